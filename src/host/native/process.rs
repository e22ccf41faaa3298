//! Machines whose home is the memory of this process: no I/O before a reply.
//!
//! The death of the process ends its calls, so their leases are kept in memory only. The other rows are written to the
//! store: of pools (cooldowns, refused credentials, sticky sessions) soon after they changed, of gates (windows,
//! spending, first uses) with the ledger's batch that they belong to, and soon after any other change. A gate is read
//! when its key is used, and dropped when it was not used for a while.
//!
//! The rows have the form in which processes share them (`store::home`), but no version: a store can be given to
//! several processes, and back.

pub(super) mod rows;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crs_durable::Millis;
use crs_durable::gate::Gate;
use crs_durable::holder::{Holder, Memory, Stepped, Unsaved};
use crs_durable::pool::shards::Shards;

use self::rows::StoredMachine;
use super::held::{Held, Machine, NativeHome, Table, kind_of, lock};
use crate::port::clock::{Clock, within};
use crate::port::gates::{GatesError, HomeFigures, KeyHash};
use crate::port::store::{Command, Store};

/// How long an unused gate stays in memory.
const IDLE_MS: u64 = 600_000;

/// Interval of checks for unused gates.
const SWEEP_MS: u64 = 60_000;

/// See the module.
pub type ProcessGates = Held<Process>;

pub struct Process {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    table: Table<Self>,
    /// Since when the store refuses the writes; 0: it accepted the last one.
    unsaved_since: AtomicU64,
    /// When unused gates were last dropped.
    swept: AtomicU64,
}

/// One machine.
pub struct ProcessCell<M: Machine> {
    name: String,
    state: Mutex<State<M>>,
}

struct State<M: Machine> {
    /// `None`: its rows have not been read.
    holder: Option<Holder<Memory<M>>>,
    used: Millis,
}

impl ProcessGates {
    /// Reads the pools in the state of the last run.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, GatesError> {
        let process = Process {
            store,
            // Nobody contends for a pool here.
            table: Table::new(Shards::new(1)),
            unsaved_since: AtomicU64::new(0),
            swept: AtomicU64::new(clock.now()),
            clock,
        };
        for cell in process.table.pools() {
            process.read(cell).await?;
        }
        Ok(Self(Arc::new(process)))
    }

    /// Takes over states from an earlier run that the store did not accept. Must be called before any gate is in use:
    /// the store's rows are older than these.
    pub fn resume(&self, kept: Vec<(KeyHash, Gate)>) {
        for (key, gate) in kept {
            if let Some(cell) = self.0.table.gate(&key) {
                lock(&cell.state).holder = Some(Holder::new(Memory::of_other_form(gate)));
            }
        }
    }

    /// Writes the changes since the last save.
    pub async fn save(&self) {
        let process = &*self.0;
        let pools: Vec<_> = process.table.pools().collect();
        let mut is_saved = process.write(&pools).await;
        for gates in process.table.gates() {
            let gates: Vec<_> = gates.iter().map(|(_, cell)| cell).collect();
            is_saved &= process.write(&gates).await;
        }
        let now = process.clock.now();
        if is_saved {
            process.unsaved_since.store(0, Ordering::Relaxed);
        } else {
            let since = &process.unsaved_since;
            let _ = since.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        if now.saturating_sub(process.swept.load(Ordering::Relaxed)) >= SWEEP_MS {
            process.swept.store(now, Ordering::Relaxed);
            let since = now.saturating_sub(IDLE_MS);
            process.table.drop_gates(|cell| cell.is_idle(since));
        }
    }
}

impl<M: Machine> ProcessCell<M> {
    /// Whether it is unused since that time, and the store has all of it.
    fn is_idle(&self, since: Millis) -> bool {
        let state = lock(&self.state);
        let can_go = |holder: &Holder<Memory<M>>| holder.waiting() == 0 && holder.home.is_idle();
        state.used < since && state.holder.as_ref().is_none_or(can_go)
    }

    fn take_unsaved(&self) -> Option<Unsaved> {
        lock(&self.state).holder.as_mut()?.home.take_unsaved()
    }

    /// Runs the command; if the machine is not in memory, returns it.
    fn step(
        &self,
        clock: &dyn Clock,
        command: M::Command,
    ) -> Result<Stepped<M::Reply, M::Command>, M::Command> {
        let mut state = lock(&self.state);
        let now = clock.now();
        state.used = now;
        let Some(holder) = &mut state.holder else {
            return Err(command);
        };
        let Ok(stepped) = holder.step(now, command);
        Ok(stepped)
    }
}

impl Process {
    /// Reads the machine. If it cannot be read, this fails and does not start an empty one: that would forget its
    /// windows, and overwrite the stored state.
    async fn read<M: Machine>(&self, cell: &ProcessCell<M>) -> Result<(), GatesError> {
        let read = rows::read(&*self.store, &cell.name).await;
        let stored = read.map_err(|error| GatesError {
            machine: kind_of(&cell.name),
            reason: format!("its state cannot be read: {error}"),
        })?;
        let home = match stored {
            StoredMachine::Nothing => Memory::default(),
            StoredMachine::Rows(machine) => Memory::of_rows(machine),
            StoredMachine::SharedRows(machine) | StoredMachine::Text(machine) => {
                Memory::of_other_form(machine)
            }
        };
        // The first of several concurrent readers wins.
        lock(&cell.state).holder.get_or_insert_with(|| Holder::new(home));
        Ok(())
    }

    /// Writes the changed rows of these machines. Returns whether the store has them.
    async fn write<M: Machine>(&self, cells: &[&Arc<ProcessCell<M>>]) -> bool {
        let changed = |cell: &&Arc<ProcessCell<M>>| Some(((*cell).clone(), cell.take_unsaved()?));
        let changed: Vec<_> = cells.iter().filter_map(changed).collect();
        if changed.is_empty() {
            return true;
        }
        let named = changed
            .iter()
            .map(|(cell, unsaved)| (cell.name.as_str(), unsaved));
        let Err(error) = rows::write(&*self.store, named).await else {
            return true;
        };
        tracing::warn!(%error, "the state of limits and accounts cannot be saved; trying again");
        for (cell, unsaved) in changed {
            if let Some(holder) = &mut lock(&cell.state).holder {
                holder.home.not_written(unsaved);
            }
        }
        false
    }
}

impl NativeHome for Process {
    type Cell<M: Machine> = ProcessCell<M>;

    fn cell<M: Machine>(name: String, _: Option<KeyHash>) -> ProcessCell<M> {
        let state = State {
            holder: None,
            used: 0,
        };
        ProcessCell {
            name,
            state: Mutex::new(state),
        }
    }

    fn table(&self) -> &Table<Self> {
        &self.table
    }

    async fn ask<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<ProcessCell<M>>,
        mut command: M::Command,
    ) -> Result<M::Reply, GatesError> {
        loop {
            match cell.step(&*self.clock, command) {
                Ok(Stepped {
                    reply, wait: None, ..
                }) => return Ok(reply),
                Ok(Stepped { wait: Some(wait), .. }) => {
                    let _ = within(&*self.clock, wait.at_most, wait.woken).await;
                    command = wait.again;
                }
                Err(asked) => {
                    self.read(cell).await?;
                    command = asked;
                }
            }
        }
    }

    fn in_process(&self) -> bool {
        true
    }

    fn kept(&self, key: &KeyHash) -> Vec<Command> {
        let Some(cell) = self.table.known_gate(key) else {
            return Vec::new();
        };
        let mut state = lock(&cell.state);
        let everything = state.holder.as_mut().map(|holder| holder.home.everything());
        everything.map_or_else(Vec::new, |unsaved| rows::commands(&cell.name, &unsaved))
    }

    fn unsaved_since(&self) -> Option<Millis> {
        Some(self.unsaved_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    fn figures(&self) -> HomeFigures {
        HomeFigures::of("process")
    }
}

#[cfg(test)]
mod tests;
