//! Reservations for work that a provider goes on with after a call's answer: responses in the background.
//!
//! Such a reservation needs no host, so it is written with what must survive a restart. Whoever learns the usage
//! settles it by its id. One that nobody settles ends with its time, and nothing is counted.

use serde::{Deserialize, Serialize};

use super::spend::Rounds;
use super::{Estimate, Gate};
use crate::lease::Lease;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// Further ones are not reserved, so that memory is bounded.
const CAPACITY: usize = 1_000;

/// What a call leaves behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) reserved: Estimate,
    pub(super) opus: bool,
    /// Those of the call: the usage counts in its periods.
    pub(super) rounds: Rounds,
}

impl Gate {
    /// Passes the running call's reservation to `kept`.
    pub(super) fn keep(&mut self, now: Millis, call: CallId, kept: CallId, ttl_ms: u64) {
        let is_full = self.kept.calls().count() >= CAPACITY;
        if is_full || self.kept.get(kept).is_some() || !self.runs(call) {
            return;
        }
        let Some(held) = self.leases.get_mut(call) else {
            return;
        };
        let what = Kept {
            reserved: std::mem::take(&mut held.reserved),
            opus: held.opus,
            rounds: held.rounds,
        };
        let end = Deadline::after(now, ttl_ms);
        let lease = Lease {
            since: now,
            end,
            what,
        };
        self.kept.put(kept, lease);
        self.effects.rows.extend([Row::Lease(call), Row::Kept(kept)]);
    }

    /// Ends the reservation. Returns the periods in which its usage counts.
    pub(super) fn take_kept(&mut self, kept: CallId) -> Option<Rounds> {
        let lease = self.kept.free(kept)?;
        self.effects.rows.push(Row::Kept(kept));
        Some(lease.what.rounds)
    }

    pub(super) fn sweep_kept(&mut self, now: Millis) {
        let ended = self.kept.sweep(now).into_iter();
        self.effects.rows.extend(ended.map(|(kept, _)| Row::Kept(kept)));
    }
}
