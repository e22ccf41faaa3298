//! The gates and pools that this process holds, wherever their rows live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use crs_durable::Millis;
use crs_durable::gate::{self, Gate};
use crs_durable::pool::shards::Shards;
use crs_durable::pool::{self, Pool};
use crs_durable::shared::SharedMachine;

use crate::model::account::Platform;
use crate::port::gates::{Gates, GatesError, HomeFigures, KeyHash, shard_name, through_shards};
use crate::port::store::Command;

/// Gates are distributed over this many locks, so that keys do not wait for each other.
const LOCKS: usize = 64;

pub(super) const PLATFORMS: [Platform; 4] = [
    Platform::Claude,
    Platform::OpenAi,
    Platform::Gemini,
    Platform::Antigravity,
];

/// A machine that a process can hold.
pub trait Machine: SharedMachine<Command: Clone + Send, Reply: Send> + Send + 'static {}

impl<M: SharedMachine<Command: Clone + Send, Reply: Send> + Send + 'static> Machine for M {}

/// How this process runs its machines.
pub trait NativeHome: Sized + Send + Sync + 'static {
    /// One machine.
    type Cell<M: Machine>: Send + Sync + 'static;

    /// `name`: `gate:<hash>` or `pool:<shard>`; `key`: of a gate.
    fn cell<M: Machine>(name: String, key: Option<KeyHash>) -> Self::Cell<M>;

    fn table(&self) -> &Table<Self>;

    /// Runs a command. The calls of a reply that makes them wait have waited.
    fn ask<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<Self::Cell<M>>,
        command: M::Command,
    ) -> impl Future<Output = Result<M::Reply, GatesError>> + Send;

    /// The next five are those of [`Gates`].
    fn in_process(&self) -> bool;

    fn kept(&self, _key: &KeyHash) -> Vec<Command> {
        Vec::new()
    }

    fn unsaved_since(&self) -> Option<Millis>;

    fn figures(&self) -> HomeFigures;

    fn others_write(&self) -> bool {
        false
    }
}

/// The machines of one home.
pub struct Table<H: NativeHome> {
    gates: Vec<Mutex<GateCells<H>>>,
    /// The shards of each platform's pool.
    pools: [Vec<Arc<H::Cell<Pool>>>; 4],
    shards: Shards,
}

type GateCells<H> = HashMap<KeyHash, Arc<<H as NativeHome>::Cell<Gate>>>;

impl<H: NativeHome> Table<H> {
    pub(super) fn new(shards: Shards) -> Self {
        let pool = |platform| {
            let name = |shard| format!("pool:{}", shard_name(platform, shard));
            let cell = |shard| Arc::new(H::cell(name(shard), None));
            (0..shards.count()).map(cell).collect()
        };
        Self {
            gates: (0..LOCKS).map(|_| Mutex::default()).collect(),
            pools: PLATFORMS.map(pool),
            shards,
        }
    }

    /// The gate of a key; a new cell if there is none.
    pub(super) fn gate(&self, key: &KeyHash) -> Option<Arc<H::Cell<Gate>>> {
        let mut gates = lock(self.lock_of(key)?);
        if let Some(cell) = gates.get(key) {
            return Some(cell.clone());
        }
        let cell = Arc::new(H::cell(format!("gate:{}", key.hex()), Some(key.clone())));
        gates.insert(key.clone(), cell.clone());
        Some(cell)
    }

    /// The gate of a key, if this process has it.
    pub(super) fn known_gate(&self, key: &KeyHash) -> Option<Arc<H::Cell<Gate>>> {
        lock(self.lock_of(key)?).get(key).cloned()
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = &Arc<H::Cell<Pool>>> {
        self.pools.iter().flatten()
    }

    fn shards_of(&self, platform: Platform) -> Option<&Vec<Arc<H::Cell<Pool>>>> {
        let mut pools = PLATFORMS.iter().zip(&self.pools);
        pools.find_map(|(name, cells)| (*name == platform).then_some(cells))
    }

    /// Copies of the gates, lock by lock: none is held while the caller looks at them.
    pub(super) fn gates(&self) -> impl Iterator<Item = Vec<(KeyHash, Arc<H::Cell<Gate>>)>> {
        self.gates.iter().map(|gates| {
            let gates = lock(gates);
            gates
                .iter()
                .map(|(key, cell)| (key.clone(), cell.clone()))
                .collect()
        })
    }

    /// Drops gates that nobody uses.
    pub(super) fn drop_gates(&self, is_idle: impl Fn(&H::Cell<Gate>) -> bool) {
        for gates in &self.gates {
            lock(gates).retain(|_, cell| Arc::strong_count(cell) > 1 || !is_idle(cell));
        }
    }

    fn lock_of(&self, key: &KeyHash) -> Option<&Mutex<GateCells<H>>> {
        let [first, ..] = key.0;
        self.gates.get(usize::from(first) % LOCKS)
    }
}

/// The gates and pools of a home.
pub struct Held<H>(pub(super) Arc<H>);

impl<H> Clone for Held<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[async_trait]
impl<H: NativeHome> Gates for Held<H> {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        let cell = self.0.table().gate(key).ok_or_else(|| unknown("gate"))?;
        self.0.ask(&cell, command).await
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        let table = self.0.table();
        let cells = table.shards_of(platform);
        let ask = |shard: usize, command: pool::Command| async move {
            let cell = cells.and_then(|cells| cells.get(shard));
            self.0.ask(cell.ok_or_else(|| unknown("pool"))?, command).await
        };
        through_shards(table.shards, command, ask).await
    }

    fn in_process(&self) -> bool {
        self.0.in_process()
    }

    fn kept(&self, key: &KeyHash) -> Vec<Command> {
        self.0.kept(key)
    }

    fn unsaved_since(&self) -> Option<Millis> {
        self.0.unsaved_since()
    }

    fn home(&self) -> HomeFigures {
        self.0.figures()
    }

    fn others_write(&self) -> bool {
        self.0.others_write()
    }
}

fn unknown(machine: &'static str) -> GatesError {
    GatesError {
        machine,
        reason: "there is no such machine".to_owned(),
    }
}

/// A panic inside a machine cannot leave it inconsistent for long: leases end by themselves.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a kind of machine, for errors.
pub(super) fn kind_of(name: &str) -> &'static str {
    if name.starts_with("gate:") { "gate" } else { "pool" }
}
