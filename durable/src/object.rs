//! A machine in a Durable Object: loaded from its SQLite storage, run, saved, woken.
//!
//! An idle object is evicted after a minute or two, even while a call it admitted still runs. So every step is
//! written before its reply leaves: a step makes its writes without awaiting in between, which makes them one
//! transaction, and the object's output gate holds the reply back until they are on disk. A step awaits nothing, so
//! no command sees another half done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use worker::{SqlStorage, SqlStorageValue, State, Storage};

use crate::holder::{HeldMachine, Holder, Home, ImmediateHome, Stepped};
use crate::rows::{Row, RowMachine};
use crate::{CallId, Machine, Millis, Step};

/// Rows without an index of their own: each index would cost one more row written.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS machine (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID";

/// See the module.
pub struct Object<M: HeldMachine<Command: Clone>> {
    holder: RefCell<Holder<SqlRows<M>>>,
    storage: Storage,
    /// The time of the object's alarm, as far as this instance knows it.
    alarm: Cell<Option<Millis>>,
}

/// The home of a machine in its object's storage.
pub struct SqlRows<M> {
    machine: M,
    sql: SqlStorage,
    rows_written: u64,
    /// Whether the storage has the table: see [`Object::forget`].
    has_table: bool,
}

impl<M: HeldMachine<Command: Clone>> Object<M> {
    /// Loads the machine from storage.
    pub fn load(state: &State) -> worker::Result<Self> {
        let storage = state.storage();
        let sql = storage.sql();
        sql.exec(TABLE, None)?;
        let rows = SqlRows {
            machine: read(&sql)?,
            sql,
            rows_written: 0,
            has_table: true,
        };
        Ok(Self {
            holder: RefCell::new(Holder::new(rows)),
            storage,
            alarm: Cell::new(None),
        })
    }

    /// Runs one step and saves it. A step that cannot be saved has not happened.
    pub fn handle(&self, now: Millis, command: M::Command) -> worker::Result<Stepped<M::Reply, M::Command>> {
        self.holder.borrow_mut().step(now, command)
    }

    /// The call no longer waits for a wake-up: it asks again by itself.
    pub fn wake(&self, call: CallId) {
        self.holder.borrow_mut().wake(call);
    }

    /// Sets the alarm so that the object runs by then. An existing alarm may come earlier.
    pub async fn set_alarm(&self, now: Millis, wake_at: Option<Millis>) -> worker::Result<()> {
        let Some(at) = wake_at else { return Ok(()) };
        if self.alarm.get().is_some_and(|alarm| alarm <= at) {
            return Ok(());
        }
        self.alarm.set(Some(at));
        self.holder.borrow_mut().home.rows_written += 1;
        let ahead = i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX);
        self.storage.set_alarm(ahead).await
    }

    /// Queries the machine without a step.
    pub fn ask<T>(&self, question: impl FnOnce(&M) -> T) -> T {
        question(&self.holder.borrow().home.machine)
    }

    /// Deletes everything stored, alarm included: an object without storage ceases to exist once it is evicted. Only
    /// for a machine whose loss does no harm. No other event is delivered while the storage is busy, so no step comes
    /// in between.
    pub async fn forget(&self) -> worker::Result<()> {
        if !std::mem::replace(&mut self.holder.borrow_mut().home.has_table, false) {
            return Ok(());
        }
        self.alarm.set(None);
        self.storage.delete_alarm().await?;
        self.storage.delete_all().await
    }

    /// The alarm has fired.
    pub fn woken(&self) {
        self.alarm.set(None);
    }

    /// Rows written since the last call of this function.
    pub fn take_rows_written(&self) -> u64 {
        std::mem::take(&mut self.holder.borrow_mut().home.rows_written)
    }
}

impl<M: HeldMachine<Command: Clone>> Home for SqlRows<M> {
    type Machine = M;
}

impl<M: HeldMachine<Command: Clone>> ImmediateHome for SqlRows<M> {
    type Failure = worker::Error;

    /// By the object's alarm.
    const WAKES: bool = true;

    fn run(&mut self, now: Millis, command: M::Command) -> worker::Result<Step<M::Reply>> {
        let mut step = Machine::handle(&mut self.machine, now, command);
        let touched: BTreeSet<Row> = std::mem::take(&mut step.rows).into_iter().collect();
        if !touched.is_empty() && !std::mem::replace(&mut self.has_table, true) {
            self.sql.exec(TABLE, None)?;
        }
        for row in touched {
            if let Err(error) = self.write(row) {
                self.machine = read(&self.sql)?;
                return Err(error);
            }
        }
        Ok(step)
    }
}

impl<M: RowMachine> SqlRows<M> {
    fn write(&mut self, row: Row) -> worker::Result<()> {
        let name = SqlStorageValue::from(row.to_string());
        self.rows_written += 1;
        match self.machine.row(row) {
            Some(text) => self.sql.exec(
                "INSERT INTO machine (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                vec![name, text.into()],
            ),
            None => self.sql.exec("DELETE FROM machine WHERE name = ?", vec![name]),
        }
        .map(|_| ())
    }
}

fn read<M: RowMachine>(sql: &SqlStorage) -> worker::Result<M> {
    let cursor = sql.exec("SELECT name, text FROM machine", None)?;
    let rows = cursor.raw().filter_map(|row| match row.ok()?.as_slice() {
        [SqlStorageValue::String(name), SqlStorageValue::String(text)] => {
            Some((name.parse().ok()?, text.clone()))
        }
        _ => None,
    });
    Ok(M::from_rows(rows))
}
