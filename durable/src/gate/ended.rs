//! Calls whose leases ended before they settled.
//!
//! They may still settle: their host could not reach the gate for a while. So each keeps the right to be counted,
//! once, in the periods in which it was admitted. Bounded in time and number: a later settlement is in the ledger,
//! but counts against no limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spend::Rounds;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

pub(super) const KEEP_MS: u64 = 3_600_000;
const CAPACITY: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EndedCall {
    pub(super) rounds: Rounds,
    end: Deadline,
    /// The operator freed it: its stream must end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct EndedCalls {
    calls: BTreeMap<CallId, EndedCall>,
}

impl EndedCalls {
    pub(super) fn get(&self, call: CallId) -> Option<&EndedCall> {
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
        let ended = EndedCall {
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

    pub(super) fn put_row(&mut self, call: CallId, ended: Option<EndedCall>) {
        match ended {
            Some(ended) => _ = self.calls.insert(call, ended),
            None => _ = self.calls.remove(&call),
        }
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
