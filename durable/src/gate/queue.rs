//! The queue of calls that wait for a slot, first come, first served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Deadline;
use crate::{CallId, Millis};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiter {
    pub(super) call: CallId,
    pub(super) since: Millis,
    /// The call waits until then at the latest.
    pub(super) end: Deadline,
}

/// A call's turn. Turns are assigned in order and only compared, so an empty queue may restart them.
pub(super) type Turn = u64;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Queue {
    waiters: BTreeMap<Turn, Waiter>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn get(&self, turn: Turn) -> Option<&Waiter> {
        self.waiters.get(&turn)
    }

    pub(super) fn turns(&self) -> impl Iterator<Item = Turn> {
        self.waiters.keys().copied()
    }

    /// In the order of their turns.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    /// The call's place (1 is the next) and the end of its wait.
    pub(super) fn place(&self, call: CallId) -> Option<(u32, Millis)> {
        self.waiters
            .values()
            .zip(1..)
            .find(|(waiter, _)| waiter.call == call)
            .map(|(waiter, place)| (place, waiter.end.until()))
    }

    /// The call behind this one; the first if this one is the last or does not wait.
    pub(super) fn after(&self, call: Option<CallId>) -> Option<CallId> {
        let mut calls = self.iter().map(|waiter| waiter.call);
        let next = call.and_then(|call| calls.find(|other| *other == call).and_then(|_| calls.next()));
        next.or_else(|| self.iter().next().map(|waiter| waiter.call))
    }

    /// Adds the call at the end.
    pub(super) fn push(&mut self, waiter: Waiter) -> Turn {
        let last = self.waiters.last_key_value().map(|(turn, _)| *turn);
        let turn = last.map_or(0, |turn| turn.saturating_add(1));
        self.waiters.insert(turn, waiter);
        turn
    }

    /// Replaces a row. Returns the call that waited there, if it no longer waits.
    pub(super) fn put_row(&mut self, turn: Turn, waiter: Option<Waiter>) -> Option<CallId> {
        let now = waiter.as_ref().map(|waiter| waiter.call);
        let before = match waiter {
            Some(waiter) => self.waiters.insert(turn, waiter),
            None => self.waiters.remove(&turn),
        };
        before.map(|waiter| waiter.call).filter(|call| Some(*call) != now)
    }

    pub(super) fn pop(&mut self) -> Option<(Turn, Waiter)> {
        self.waiters.pop_first()
    }

    pub(super) fn remove(&mut self, call: CallId) -> Option<Turn> {
        let turn = self
            .waiters
            .iter()
            .find(|(_, waiter)| waiter.call == call)
            .map(|(turn, _)| *turn)?;
        self.waiters.remove(&turn);
        Some(turn)
    }

    /// Removes and returns the calls that waited too long.
    pub(super) fn sweep(&mut self, now: Millis) -> Vec<(Turn, Waiter)> {
        self.waiters
            .extract_if(.., |_, waiter| waiter.end.passed(now))
            .collect()
    }

    /// When the first wait ends.
    pub(super) fn earliest(&self) -> Option<Millis> {
        self.waiters.values().map(|waiter| waiter.end.until()).min()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for waiter in self.waiters.values_mut() {
            waiter.end.set_back(now);
            waiter.since = waiter.since.min(now);
        }
    }
}
