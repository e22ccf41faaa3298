//! A machine in a Durable Object: loaded from its SQLite storage, handled, saved, woken.
//!
//! An idle object is evicted after a minute or two, even while a call it admitted still runs. So every step
//! is written before its reply leaves: the writes of one step are made without waiting in between, which
//! makes them one transaction, and the object's output gate holds the reply back until they are on disk.
//! Nothing is awaited while a step is handled, so two commands never see each other half done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{SqlStorage, SqlStorageValue, State, Storage};

use crate::rows::{Kept, Row};
use crate::{CallId, Machine, Millis};

/// Rows without an index of their own: each index would be one more row written.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS machine (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID";

/// See the module.
pub struct Object<M> {
    machine: RefCell<M>,
    sql: SqlStorage,
    storage: Storage,
    /// When the object is to be woken, as far as this instance knows.
    alarm: Cell<Option<Millis>>,
    rows_written: Cell<u64>,
    /// Whether the storage has the table: see [`Object::forget`].
    has_table: Cell<bool>,
}

/// What a command led to.
pub struct Handled<R> {
    pub reply: R,
    /// When the machine wants to be woken; give it to [`Object::wake`].
    pub wake_at: Option<Millis>,
    /// Calls that wait and are to ask again.
    pub wake: Vec<CallId>,
}

impl<M> Object<M>
where
    M: Kept,
    M::Command: DeserializeOwned,
    M::Reply: Serialize,
{
    /// The machine as it was left.
    pub fn load(state: &State) -> worker::Result<Self> {
        let storage = state.storage();
        let sql = storage.sql();
        sql.exec(TABLE, None)?;
        Ok(Self {
            machine: RefCell::new(read(&sql)?),
            sql,
            storage,
            alarm: Cell::new(None),
            rows_written: Cell::new(0),
            has_table: Cell::new(true),
        })
    }

    /// One step, kept. If it cannot be kept it has not happened.
    pub fn handle(&self, now: Millis, command: M::Command) -> worker::Result<Handled<M::Reply>> {
        let mut machine = self.machine.borrow_mut();
        let step = Machine::handle(&mut *machine, now, command);
        let touched: BTreeSet<Row> = step.rows.into_iter().collect();
        if !touched.is_empty() && !self.has_table.replace(true) {
            self.sql.exec(TABLE, None)?;
        }
        for row in touched {
            if let Err(error) = self.write(&machine, row) {
                *machine = read(&self.sql)?;
                return Err(error);
            }
        }
        Ok(Handled {
            reply: step.reply,
            wake_at: step.wake_at,
            wake: step.wake,
        })
    }

    /// Sees to it that the object is woken by then. An alarm that is there already may come earlier.
    pub async fn wake(&self, now: Millis, wake_at: Option<Millis>) -> worker::Result<()> {
        let Some(at) = wake_at else { return Ok(()) };
        if self.alarm.get().is_some_and(|alarm| alarm <= at) {
            return Ok(());
        }
        self.alarm.set(Some(at));
        self.rows_written.set(self.rows_written.get() + 1);
        let ahead = i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX);
        self.storage.set_alarm(ahead).await
    }

    /// Asks the machine without a step.
    pub fn ask<T>(&self, question: impl FnOnce(&M) -> T) -> T {
        question(&self.machine.borrow())
    }

    /// Deletes all that is stored, alarm included: an object without storage ceases to exist once it is evicted.
    /// For a machine that holds nothing which must not be lost. No other event is delivered while the storage
    /// is busy, so no step comes in between.
    pub async fn forget(&self) -> worker::Result<()> {
        if !self.has_table.replace(false) {
            return Ok(());
        }
        self.alarm.set(None);
        self.storage.delete_alarm().await?;
        self.storage.delete_all().await
    }

    /// The alarm has come.
    pub fn woken(&self) {
        self.alarm.set(None);
    }

    /// Rows written since the last time this was asked.
    pub fn take_rows_written(&self) -> u64 {
        self.rows_written.take()
    }

    fn write(&self, machine: &M, row: Row) -> worker::Result<()> {
        let name = SqlStorageValue::from(row.to_string());
        self.rows_written.set(self.rows_written.get() + 1);
        match machine.row(row) {
            Some(text) => self.sql.exec(
                "INSERT INTO machine (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                vec![name, text.into()],
            ),
            None => self.sql.exec("DELETE FROM machine WHERE name = ?", vec![name]),
        }
        .map(|_| ())
    }
}

fn read<M: Kept>(sql: &SqlStorage) -> worker::Result<M> {
    let cursor = sql.exec("SELECT name, text FROM machine", None)?;
    let rows = cursor.raw().filter_map(|row| match row.ok()?.as_slice() {
        [SqlStorageValue::String(name), SqlStorageValue::String(text)] => {
            Some((name.parse().ok()?, text.clone()))
        }
        _ => None,
    });
    Ok(M::from_rows(rows))
}
