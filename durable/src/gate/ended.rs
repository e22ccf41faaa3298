//! Calls whose leases ended before anybody told what they used.
//!
//! Somebody may still come and tell: their host could not reach the gate for a while. So each keeps the
//! right to be counted, once, in the periods in which it was admitted. Bounded in time and number: what is
//! told later than that is in the ledger, but counts against no limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spend::Rounds;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

pub(super) const KEEP_MS: u64 = 3_600_000;
const CAPACITY: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) rounds: Rounds,
    end: Deadline,
    /// The operator freed it: its stream is to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AllEnded {
    calls: BTreeMap<CallId, Ended>,
}

impl AllEnded {
    pub(super) fn get(&self, call: CallId) -> Option<&Ended> {
        self.calls.get(&call)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.keys().copied()
    }

    pub(super) fn was_released(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|ended| ended.released)
    }

    pub(super) fn put(
        &mut self,
        now: Millis,
        call: CallId,
        rounds: Rounds,
        released: bool,
        rows: &mut Vec<Row>,
    ) {
        let ended = Ended {
            rounds,
            end: Deadline::after(now, KEEP_MS),
            released,
        };
        self.calls.insert(call, ended);
        rows.push(Row::Ended(call));
        if self.calls.len() > CAPACITY {
            let first = self.calls.iter().min_by_key(|(_, ended)| ended.end.until());
            if let Some(call) = first.map(|(call, _)| *call) {
                self.take(call, rows);
            }
        }
    }

    pub(super) fn restore(&mut self, call: CallId, ended: Ended) {
        self.calls.insert(call, ended);
    }

    pub(super) fn take(&mut self, call: CallId, rows: &mut Vec<Row>) -> Option<Rounds> {
        let ended = self.calls.remove(&call)?;
        rows.push(Row::Ended(call));
        Some(ended.rounds)
    }

    pub(super) fn sweep(&mut self, now: Millis, rows: &mut Vec<Row>) {
        let gone = self.calls.extract_if(.., |_, ended| ended.end.passed(now));
        rows.extend(gone.map(|(call, _)| Row::Ended(call)));
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for ended in self.calls.values_mut() {
            ended.end.set_back(now);
        }
    }
}
