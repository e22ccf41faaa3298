//! The machines of several processes on one Redis: each process has copies, and the rows are in Redis.
//!
//! `crs_durable::shared` defines the protocol; this module does the waiting and I/O. Commands for one machine are
//! gathered, and one task at a time takes the machine's steps to the home. Time is the home's clock, as far as it is
//! known, so that the clocks of processes need not agree.
//!
//! Waiting calls are woken by the step that has news for them: calls of this process at once, calls of others by a
//! message. A message may be lost, so each call also asks by itself now and then. While the home is unavailable the
//! copy decides; a task tries to reach it (`tend`).

mod cell;
mod figures;
mod lost;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crs_durable::gate::CallEnd;
use crs_durable::pool;
use crs_durable::pool::shards::Shards;
use crs_durable::{CallId, Millis};
use futures_util::StreamExt as _;

use self::cell::Cell;
use self::figures::Figures;
use super::held::{Held, Machine, NativeHome, Table, kind_of};
use crate::port::clock::Clock;
use crate::port::gates::{GatesError, HomeFigures, KeyHash};
use crate::port::home::{Home, Message};
use crate::port::random::Random;
use crate::port::store::Store;
use crate::port::tasks::Tasks;
use crate::store::ledger::Ledger;

/// Interval of checks for machines whose home is unavailable, or that want to be woken.
const TEND_EVERY: Duration = Duration::from_millis(250);

/// How long an unused copy is kept.
const IDLE_MS: u64 = 600_000;

/// Interval of checks for unused copies.
const SWEEP_MS: u64 = 60_000;

/// Pause before the process subscribes again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// A reply that took longer says little about the home's clock.
const CLOCK_US: u64 = 200_000;

/// See the module.
pub type SharedGates = Held<Inner>;

pub struct Inner {
    home: Arc<dyn Home>,
    store: Arc<dyn Store>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    /// Upper bound of a lease, which is renewed as long as its call runs: the slots of a killed process are free
    /// after this time.
    lease_ms: u64,
    /// Ends a call of this process.
    end: OnceLock<EndCall>,
    /// When leases were last renewed.
    tended: AtomicU64,
    table: Table<Self>,
    /// The home's clock minus this process's clock; `UNKNOWN` before the home's first reply.
    ahead: AtomicI64,
    /// Steps are named by the process and a count.
    process: u64,
    steps: AtomicU64,
    tickets: AtomicU64,
    figures: Figures,
}

/// Ends a call of this process.
type EndCall = Box<dyn Fn(&KeyHash, CallId, CallEnd) + Send + Sync>;

/// The dependencies of [`SharedGates`].
pub struct Parts {
    pub home: Arc<dyn Home>,
    pub store: Arc<dyn Store>,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub tasks: Arc<dyn Tasks>,
    /// How long the slots of a killed process stay taken.
    pub lease: Duration,
    /// Number of shards of each pool; must be the same for all processes.
    pub shards: Shards,
}

const UNKNOWN: i64 = i64::MIN;

impl SharedGates {
    pub fn new(parts: Parts, random: &dyn Random) -> Self {
        let Parts {
            home,
            store,
            ledger,
            clock,
            tasks,
            lease,
            shards,
        } = parts;
        let mut process = [0; 8];
        random.fill(&mut process);
        Self(Arc::new(Inner {
            home,
            store,
            ledger,
            tended: AtomicU64::new(clock.now()),
            clock,
            tasks,
            lease_ms: lease.as_millis() as u64,
            end: OnceLock::new(),
            table: Table::new(shards),
            ahead: AtomicI64::new(UNKNOWN),
            process: u64::from_be_bytes(process),
            steps: AtomicU64::new(0),
            tickets: AtomicU64::new(0),
            figures: Figures::default(),
        }))
    }

    /// Sets the function that ends a call of this process on the operator's behalf.
    pub fn ends_by(&self, end: impl Fn(&KeyHash, CallId, CallEnd) + Send + Sync + 'static) {
        let _ = self.0.end.set(Box::new(end));
    }

    /// Does the work that belongs to no call: renews leases, reconnects to the home, wakes machines, frees the calls
    /// of dead processes, drops unused copies. Does not end.
    pub async fn tend(&self) {
        let inner = &self.0;
        let mut swept = inner.clock.now();
        let mut visited = swept;
        loop {
            inner.clock.sleep(TEND_EVERY).await;
            let now = inner.clock.now();
            let sweeps = now.saturating_sub(swept) >= SWEEP_MS;
            if sweeps {
                swept = now;
            }
            self.tend_once(sweeps);
            if now.saturating_sub(visited) >= inner.lease_ms / 4 {
                visited = now;
                inner.send_visitor();
            }
        }
    }

    fn tend_once(&self, sweeps: bool) {
        let now = self.0.clock.now();
        let late = self.0.was_stopped(now);
        self.0.tended.store(now, Ordering::Relaxed);
        for pool in self.0.table.pools() {
            // Any command runs the step; this one is always answered at once.
            let tick = pool::Command::MadeBy {
                account: String::new(),
                origins: Vec::new(),
            };
            self.0.tend(pool, late, Some(tick));
        }
        for gates in self.0.table.gates() {
            for (key, cell) in &gates {
                if self.0.tend(cell, late, None) {
                    let (gates, key) = (self.clone(), key.clone());
                    self.0.tasks.spawn(Box::pin(async move {
                        gates.write_out(&key).await;
                    }));
                }
            }
        }
        if sweeps {
            let since = now.saturating_sub(IDLE_MS);
            self.0.table.drop_gates(|cell| cell.is_idle(since));
        }
    }

    /// Handles messages of other processes. Ends only if the home has no messages.
    pub async fn listen(&self) {
        let mut asks = false;
        loop {
            match self.0.home.messages().await {
                Ok(Some(mut messages)) => {
                    if std::mem::replace(&mut asks, true) {
                        // Messages may have been lost in between.
                        self.wake_all();
                    }
                    while let Some(message) = messages.next().await {
                        self.handle(&message);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "other processes cannot be listened to; trying again");
                }
            }
            asks = true;
            self.0.clock.sleep(LISTEN_AGAIN).await;
        }
    }

    fn wake_all(&self) {
        for pool in self.0.table.pools() {
            self.0.wake(pool, &[], true);
        }
        for gates in self.0.table.gates() {
            for (_, cell) in &gates {
                self.0.wake(cell, &[], true);
            }
        }
    }

    fn handle(&self, message: &Message) {
        let Message { machine, wake, news } = message;
        match machine.strip_prefix("gate:") {
            Some(name) => {
                let key = KeyHash::from_hex(name);
                if let Some(cell) = key.and_then(|key| self.0.table.known_gate(&key)) {
                    self.0.wake(&cell, wake, *news);
                }
            }
            None => {
                if let Some(cell) = self.0.table.pools().find(|cell| cell.name == *machine) {
                    self.0.wake(cell, wake, *news);
                }
            }
        }
    }

    /// Sends the commands decided while the home was unavailable, if it is back. The caller sets a time limit.
    pub async fn save(&self) {
        while self.0.figures.kept() > 0 {
            self.tend_once(false);
            self.0.clock.sleep(TEND_EVERY).await;
        }
    }
}

impl Inner {
    /// The home's time.
    fn now(&self) -> Millis {
        self.clock.now().saturating_add_signed(self.ahead())
    }

    fn ahead(&self) -> i64 {
        match self.ahead.load(Ordering::Relaxed) {
            UNKNOWN => 0,
            ahead => ahead,
        }
    }

    /// The home's clock was `now` at some time between `asked` (in ticks) and this moment.
    fn set_time(&self, asked: u64, now: Millis) {
        let took = self.clock.ticks().saturating_sub(asked);
        if took > CLOCK_US && self.ahead.load(Ordering::Relaxed) != UNKNOWN {
            return;
        }
        let here = self.clock.now().saturating_sub(took / 2_000);
        let ahead = now.cast_signed().saturating_sub(here.cast_signed());
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// A unique name for a step.
    fn name(&self) -> u128 {
        let count = self.steps.fetch_add(1, Ordering::Relaxed);
        (u128::from(self.process) << 64) | u128::from(count)
    }
}

impl NativeHome for Inner {
    type Cell<M: Machine> = Cell<M>;

    fn cell<M: Machine>(name: String, key: Option<KeyHash>) -> Cell<M> {
        Cell::new(name, key)
    }

    fn table(&self) -> &Table<Self> {
        &self.table
    }

    async fn ask<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<Cell<M>>,
        command: M::Command,
    ) -> Result<M::Reply, GatesError> {
        let reply = self.take_to_home(cell, command).await;
        reply.ok_or_else(|| GatesError {
            machine: kind_of(&cell.name),
            reason: "its state cannot be read: the store is away".to_owned(),
        })
    }

    fn in_process(&self) -> bool {
        false
    }

    fn unsaved_since(&self) -> Option<Millis> {
        self.figures.away_since()
    }

    fn figures(&self) -> HomeFigures {
        self.figures.shown(self.home.kind())
    }

    fn others_write(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
