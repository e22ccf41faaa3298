//! The machines in this process: one lock per key, one per platform.
//!
//! A process that dies ends its calls, so leases are kept in memory only. What a restart must not forget is
//! written to the store: of pools (cooldowns, refused credentials, sticky sessions) soon after it changed, of
//! gates (windows, what was spent, first uses) with the ledger's batch that it belongs to, and soon after any
//! other change. A gate is read when its key is first used.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use crs_durable::gate::{self, Gate};
use crs_durable::pool::{self, Pool};
use crs_durable::{CallId, Machine as _, Millis};
use futures_channel::oneshot;

use crate::model::account::Platform;
use crate::port::clock::{Clock, within};
use crate::port::gates::{Gates, GatesError, KeyHash};
use crate::port::store::{Command, Reply, Store};
use crate::store::keys;

/// Gates are spread over this many locks, so that keys do not wait for each other.
const SHARDS: usize = 64;

const PLATFORMS: [Platform; 4] = [
    Platform::Claude,
    Platform::OpenAi,
    Platform::Gemini,
    Platform::Antigravity,
];

pub struct NativeGates {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    gates: Vec<Mutex<HashMap<KeyHash, GateCell>>>,
    pools: [PoolCell; 4],
    /// Since when the store takes none of it; 0: it took the last.
    unsaved_since: AtomicU64,
}

#[derive(Default)]
struct GateCell {
    gate: Gate,
    unsaved: bool,
    /// The store may have a row of it.
    stored: bool,
    /// Calls that wait for a slot.
    waiting: HashMap<CallId, WaitingCall>,
}

struct WaitingCall {
    /// Dropped when the call is to ask again.
    _wake: oneshot::Sender<()>,
    /// When it asks by itself.
    asks_at: Millis,
}

#[derive(Default)]
struct PoolCell {
    pool: Mutex<Pool>,
    /// Calls that wait for a token's renewal; each is woken by its sender being dropped. Locked after `pool`.
    waiting: Mutex<HashMap<CallId, oneshot::Sender<()>>>,
    unsaved: AtomicBool,
}

impl PoolCell {
    fn step(&self, clock: &dyn Clock, command: pool::Command) -> PoolStep {
        let mut pool = lock(&self.pool);
        let waits = match &command {
            pool::Command::BeginRefresh {
                call, waits: true, ..
            } => Some((*call, command.clone())),
            _ => None,
        };
        let now = clock.now();
        let step = pool.handle(now, command);
        if step.changes.lasting {
            self.unsaved.store(true, Ordering::Release);
        }
        if waits.is_some() || !step.wake.is_empty() {
            // Whoever asks again waits no longer for what was promised before.
            let own = waits.as_ref().map(|(call, _)| call);
            let mut waiting = lock(&self.waiting);
            for call in step.wake.iter().chain(own) {
                waiting.remove(call);
            }
        }
        let (pool::Reply::RefreshBusy { until, round }, Some((call, mut again))) = (&step.reply, waits)
        else {
            return PoolStep::Done(step.reply);
        };
        if let pool::Command::BeginRefresh { waited_for, .. } = &mut again {
            *waited_for = Some(*round);
        }
        let (wake, woken) = oneshot::channel();
        lock(&self.waiting).insert(call, wake);
        PoolStep::Waits {
            woken,
            at_most: Duration::from_millis(until.saturating_sub(now).max(1)),
            again: Box::new(again),
        }
    }
}

enum PoolStep {
    Done(pool::Reply),
    /// Somebody else renews the token.
    Waits {
        /// Dropped when there is news.
        woken: oneshot::Receiver<()>,
        at_most: Duration,
        /// The command to send then.
        again: Box<pool::Command>,
    },
}

impl NativeGates {
    /// Machines as they were when the process last ran.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let reads = PLATFORMS
            .iter()
            .map(|platform| Command::Get {
                key: keys::pool(*platform),
            })
            .collect();
        let replies = store.run(reads).await.map_err(|error| error.to_string())?;
        let gates = Self {
            store,
            clock,
            gates: (0..SHARDS).map(|_| Mutex::default()).collect(),
            pools: Default::default(),
            unsaved_since: AtomicU64::new(0),
        };
        for (cell, (platform, reply)) in gates.pools.iter().zip(PLATFORMS.iter().zip(replies)) {
            let Reply::Value(Some(saved)) = reply else {
                continue;
            };
            match serde_json::from_slice::<Pool>(&saved) {
                Ok(pool) => *lock(&cell.pool) = pool.resumed(),
                // Written by another version: what it knew heals or is learned again.
                Err(error) => {
                    tracing::warn!(platform = platform.name(), %error, "the saved state of a pool cannot be read and is dropped");
                }
            }
        }
        Ok(gates)
    }

    /// Takes over states that an earlier run has kept because the store did not take them. Call it before any gate
    /// is in use: the store's rows are older than these.
    pub fn resume(&self, kept: Vec<(KeyHash, String)>) {
        for (key, text) in kept {
            let Ok(shard) = self.shard(&key) else { continue };
            match serde_json::from_str::<Gate>(&text) {
                Ok(gate) => {
                    let cell = GateCell {
                        gate: gate.resumed(),
                        unsaved: true,
                        stored: true,
                        ..GateCell::default()
                    };
                    lock(shard).insert(key, cell);
                }
                Err(error) => {
                    tracing::warn!(%error, "the state of a gate that an earlier run kept cannot be read and is dropped");
                }
            }
        }
    }

    /// Writes what changed since the last time.
    pub async fn save(&self) {
        let pools = self.save_pools().await;
        let gates = self.save_gates().await;
        if pools && gates {
            self.unsaved_since.store(0, Ordering::Relaxed);
        } else {
            let now = self.clock.now().max(1);
            let since = &self.unsaved_since;
            let _ = since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Says whether everything was saved.
    async fn save_pools(&self) -> bool {
        let mut saved_all = true;
        for (cell, platform) in self.pools.iter().zip(PLATFORMS) {
            if !cell.unsaved.swap(false, Ordering::AcqRel) {
                continue;
            }
            let saved = serde_json::to_vec(&*lock(&cell.pool));
            let Ok(value) = saved else { continue };
            let write = Command::Set {
                key: keys::pool(platform),
                value: Bytes::from(value),
                expire_at: None,
            };
            if let Err(error) = self.store.run(vec![write]).await {
                cell.unsaved.store(true, Ordering::Release);
                saved_all = false;
                tracing::warn!(platform = platform.name(), %error, "the state of a pool cannot be saved; trying again");
            }
        }
        saved_all
    }

    /// Says whether everything was saved.
    async fn save_gates(&self) -> bool {
        let mut saved_all = true;
        for shard in &self.gates {
            let writes: Vec<(KeyHash, Command)> = lock(shard)
                .iter_mut()
                .filter_map(|(key, cell)| {
                    let unsaved = std::mem::take(&mut cell.unsaved);
                    unsaved.then(|| Some((key.clone(), cell.keep(key)?)))?
                })
                .collect();
            if writes.is_empty() {
                continue;
            }
            let (unsaved, batch): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
            if let Err(error) = self.store.run(batch).await {
                saved_all = false;
                tracing::warn!(%error, "the state of gates cannot be saved; trying again");
                let mut cells = lock(shard);
                for key in unsaved {
                    if let Some(cell) = cells.get_mut(&key) {
                        cell.unsaved = true;
                    }
                }
            }
        }
        saved_all
    }

    fn shard(&self, key: &KeyHash) -> Result<&Mutex<HashMap<KeyHash, GateCell>>, GatesError> {
        let [first, ..] = key.0;
        self.gates
            .get(usize::from(first) % SHARDS)
            .ok_or_else(|| GatesError {
                machine: "gate",
                reason: "no shard".to_owned(),
            })
    }

    /// Brings the gate into memory as it was when the process last ran. One that cannot be read is not made up:
    /// it would forget its windows, and write over what the store remembers.
    async fn wake_up(&self, key: &KeyHash) -> Result<(), GatesError> {
        let read = vec![Command::Get {
            key: keys::gate(&key.hex()),
        }];
        let replies = self.store.run(read).await.map_err(|error| GatesError {
            machine: "gate",
            reason: format!("its state cannot be read: {error}"),
        })?;
        let kept = replies.into_iter().next();
        let stored = matches!(kept, Some(Reply::Value(Some(_))));
        let gate = match kept {
            Some(Reply::Value(Some(kept))) => match serde_json::from_slice::<Gate>(&kept) {
                Ok(gate) => gate.resumed(),
                // Written by another version. The gate learns the sums from the ledger.
                Err(error) => {
                    tracing::warn!(%error, "the saved state of a gate cannot be read and is dropped");
                    Gate::default()
                }
            },
            _ => Gate::default(),
        };
        // Whoever was first has it.
        lock(self.shard(key)?)
            .entry(key.clone())
            .or_insert_with(|| GateCell {
                gate,
                stored,
                ..GateCell::default()
            });
        Ok(())
    }

    /// One step, if the gate is in memory; otherwise the command, to be asked again. A call that is to wait for
    /// a slot is told by the receiver, or asks again after the time.
    fn step(&self, key: &KeyHash, command: gate::Command) -> Result<Step, GatesError> {
        // A caller that asks again, or leaves, no longer waits for the earlier reply.
        let call = match &command {
            gate::Command::Admit(admit) => Some(admit.call),
            gate::Command::Cancel { call } => Some(*call),
            _ => None,
        };
        let mut shard = lock(self.shard(key)?);
        let now = self.clock.now();
        let Some(cell) = shard.get_mut(key) else {
            return Ok(Step::Asleep(command));
        };
        let step = cell.gate.handle(now, command);
        cell.unsaved |= step.changes.lasting || (cell.stored && cell.gate.is_over());
        for told in step.wake.iter().chain(&call) {
            cell.waiting.remove(told);
        }
        if let (gate::Reply::Queued { wait_ms, until, .. }, Some(call)) = (&step.reply, call) {
            let (wake, told) = oneshot::channel();
            // Something may come free by the mere passing of time.
            let next = step.wake_at.map_or(*wait_ms, |at| at.saturating_sub(now));
            let at_most = (*wait_ms).min(next).max(1);
            let asks_at = now.saturating_add(at_most);
            cell.waiting.insert(call, WaitingCall { _wake: wake, asks_at });
            return Ok(Step::Waits {
                told,
                at_most: Duration::from_millis(at_most),
                until: *until,
            });
        }
        if let Some(at) = step.wake_at {
            cell.ensure_asked_at(at.max(now.saturating_add(1)));
        }
        Ok(Step::Done(step.reply))
    }
}

enum Step {
    Done(gate::Reply),
    /// The call waits for a slot.
    Waits {
        /// Dropped when the call is to ask again.
        told: oneshot::Receiver<()>,
        /// And when it is to ask by itself.
        at_most: Duration,
        /// When the queue gives it up.
        until: Millis,
    },
    /// The gate is not in memory.
    Asleep(gate::Command),
}

impl GateCell {
    /// The timers of the calls that wait are all that tells the gate that time has passed. If none of them ends
    /// by then (the call whose timer did has left, or there is news since), one asks at once and gets a new one.
    fn ensure_asked_at(&mut self, at: Millis) {
        if self.waiting.values().all(|waiting| waiting.asks_at > at) {
            let any = self.waiting.keys().next().copied();
            any.and_then(|call| self.waiting.remove(&call));
        }
    }

    /// The command that writes the gate's state; the row ends with its key.
    fn keep(&mut self, key: &KeyHash) -> Option<Command> {
        let key = keys::gate(&key.hex());
        self.stored = !self.gate.is_over();
        if !self.stored {
            return Some(Command::Del { key });
        }
        let text = serde_json::to_vec(&self.gate).ok()?;
        Some(Command::Set {
            key,
            value: Bytes::from(text),
            expire_at: None,
        })
    }
}

#[async_trait]
impl Gates for NativeGates {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        let mut command = command;
        // Only a call that may have to wait is asked for again.
        let mut again = match &command {
            gate::Command::Admit(admit) => Some(admit.clone()),
            _ => None,
        };
        loop {
            match self.step(key, command)? {
                Step::Done(reply) => return Ok(reply),
                Step::Asleep(asked) => {
                    self.wake_up(key).await?;
                    command = asked;
                }
                Step::Waits { told, at_most, until } => {
                    let _ = within(&*self.clock, at_most, told).await;
                    let Some(admit) = &mut again else {
                        return Err(GatesError {
                            machine: "gate",
                            reason: "it lets something wait that is no call".to_owned(),
                        });
                    };
                    admit.queued_until = Some(until);
                    command = gate::Command::Admit(admit.clone());
                }
            }
        }
    }

    fn kept(&self, key: &KeyHash) -> Option<Command> {
        let mut shard = lock(self.shard(key).ok()?);
        let cell = shard.get_mut(key)?;
        cell.unsaved = false;
        cell.keep(key)
    }

    fn unsaved_since(&self) -> Option<Millis> {
        Some(self.unsaved_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        let cell = PLATFORMS
            .iter()
            .zip(&self.pools)
            .find_map(|(name, cell)| (*name == platform).then_some(cell));
        let cell = cell.ok_or_else(|| GatesError {
            machine: "pool",
            reason: "unknown platform".to_owned(),
        })?;
        let mut command = command;
        loop {
            match cell.step(&*self.clock, command) {
                PoolStep::Done(reply) => return Ok(reply),
                PoolStep::Waits {
                    woken,
                    at_most,
                    again,
                } => {
                    let _ = within(&*self.clock, at_most, woken).await;
                    command = *again;
                }
            }
        }
    }
}

/// A panic inside a machine cannot leave it half changed for long: leases end by themselves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
