//! Calls of dead processes: the remaining processes free their resources and write their events.
//!
//! A gate with leases of a process is on a list, by the time until which the process is responsible for it. The
//! process adds it with the first step that takes a lease, and then about once per lease duration. Any process visits
//! entries whose time has passed. A process cannot know whether another one wrote an event for one of its calls: it may
//! have been stopped or cut off, or the store may have lost the call's renewals. So each batch of events is written on
//! the condition that the log has none of them (`others_write`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crs_durable::Millis;
use crs_durable::gate::{self, Gate};
use crs_durable::outbox::Entry;
use crs_durable::rows::Row;
use crs_durable::shared::Request;

use super::super::held::{Held, Machine, NativeHome as _, lock};
use super::cell::Driver;
use super::{Inner, SharedGates};
use crate::port::gates::KeyHash;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Number of gates per visit.
const AT_ONCE: u64 = 200;

impl<M: Machine> Driver<M> {
    /// Adds the machine to the list if this step takes a lease.
    pub(super) async fn list(&self, request: &Request) {
        let holds = |(row, text): &(Row, Option<String>)| matches!(row, Row::Lease(_)) && text.is_some();
        if !request.rows.iter().any(holds) {
            return;
        }
        let now = self.inner.now();
        let lease = self.inner.lease_ms;
        let until = now.saturating_add(2 * lease);
        let key = {
            let state = lock(&self.cell.state);
            let is_due = state.listed_until < now.saturating_add(lease);
            state.key.clone().filter(|_| is_due)
        };
        let Some(key) = key else { return };
        let list = Command::ZAdd {
            key: keys::HOLDING_GATES.to_owned(),
            entries: vec![(until as f64, key.hex())],
        };
        match self.inner.store.run(vec![list]).await {
            Ok(_) => lock(&self.cell.state).listed_until = until,
            Err(error) => {
                tracing::debug!(%error, "a gate with leases could not be listed");
            }
        }
    }
}

impl SharedGates {
    /// Visits the gates for which no process is responsible any more.
    pub(super) async fn visit(&self) -> Result<(), StoreError> {
        let list = || keys::HOLDING_GATES.to_owned();
        loop {
            let now = self.0.now();
            let read = Command::ZRangeByScore {
                key: list(),
                min: 0.0,
                max: now as f64,
                rev: false,
                offset: 0,
                limit: AT_ONCE,
            };
            let replies = self.0.store.run(vec![read]).await?;
            let Some(Reply::Scored(listed)) = replies.into_iter().next() else {
                return Ok(());
            };
            let Some((_, last)) = listed.last() else {
                return Ok(());
            };
            let (last, count) = (*last, listed.len() as u64);
            let mut again = Vec::new();
            for (name, _) in listed {
                let Some(key) = KeyHash::from_hex(&name) else {
                    continue;
                };
                if !self.write_out(&key).await {
                    again.push((now.saturating_add(self.0.lease_ms) as f64, name));
                }
            }
            // First the entries that stay: their times are later than those of the removed ones.
            let stay = Command::ZAdd {
                key: list(),
                entries: again,
            };
            let go = Command::ZRemRangeByScore {
                key: list(),
                min: 0.0,
                max: last,
            };
            self.0.store.run(vec![stay, go]).await?;
            if count < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Frees ended leases of a gate, and writes its due events. Returns whether the gate is quiet.
    pub(super) async fn write_out(&self, key: &KeyHash) -> bool {
        let Some(cell) = self.0.table.gate(key) else {
            return true;
        };
        let Ok(taken) = self.0.ask(&cell, gate::Command::TakeBatch).await else {
            return false;
        };
        if let gate::Reply::Batch(Some(batch)) = taken {
            let (last, count) = (batch.last, batch.entries.len());
            let sent = self
                .0
                .ledger
                .append_of_gate(&*self.0.store, batch, self.0.clock.now())
                .await;
            tracing::info!(calls = count, ?sent, "records of calls whose process is gone");
            let reply = self.0.ask(&cell, gate::Command::BatchSent { last, sent }).await;
            if let Ok(gate::Reply::GivenUp(entries)) = reply {
                for Entry { text, .. } in entries {
                    tracing::error!(
                        event = text,
                        "a ledger event cannot be written and is only in this log"
                    );
                }
            }
        }
        lock(&cell.state).holder.home.ask(Gate::is_quiet)
    }
}

impl Inner {
    /// Whether the process was stopped for so long that its leases may have ended.
    pub(super) fn was_stopped(&self, now: Millis) -> bool {
        let seen = self.tended.load(Ordering::Relaxed);
        now.saturating_sub(seen) > self.lease_ms / 2
    }

    /// Runs a visit in the background.
    pub(super) fn send_visitor(self: &Arc<Self>) {
        let gates = Held(self.clone());
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = gates.visit().await {
                tracing::debug!(%error, "gates of processes that may be gone cannot be visited");
            }
        }));
    }
}
