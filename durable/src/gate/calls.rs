//! An admitted call at its gate: what it holds, its renewal, its settlement, and the end of its lease.

use serde::{Deserialize, Serialize};

use super::spend::Rounds;
use super::{CallEnd, Estimate, Event, Gate, Usage};
use crate::outbox::{Entry, LostKey};
use crate::rows::Row;
use crate::{CallId, Millis};

/// The resources of one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Hold {
    /// It counts against the concurrency limit.
    pub(super) slot: bool,
    /// The slot is reserved for the call: it waited and has not come for it yet, or its body is not read yet. No
    /// other check has been made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) offered: bool,
    pub(super) waited_ms: u64,
    pub(super) reserved: Estimate,
    pub(super) opus: bool,
    pub(super) rounds: Rounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<Note>,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            slot: true,
            offered: false,
            waited_ms: 0,
            reserved: Estimate::default(),
            opus: false,
            rounds: Rounds::default(),
            note: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) text: String,
    pub(super) key: LostKey,
    /// How long the event waits if the note is all there is.
    #[serde(default = "lost_wait")]
    pub(super) wait_ms: u64,
}

/// The longest time that the note of a lost call waits for a batch, and for the call to settle after all.
pub(super) const LOST_WAIT_MS: u64 = 10_000;

fn lost_wait() -> u64 {
    LOST_WAIT_MS
}

impl Gate {
    pub(super) fn renew(&mut self, now: Millis, call: CallId, ttl_ms: u64, note: Option<String>) {
        if !self.runs(call) {
            return;
        }
        self.leases.renew(now, call, ttl_ms);
        self.effects.rows.push(Row::Lease(call));
        if let (Some(text), Some(held)) = (note, self.leases.get_mut(call))
            && let Some(note) = &mut held.note
        {
            note.text = text;
        }
    }

    /// Why the operator ends this call, or `None`.
    pub fn call_end(&self, call: CallId) -> Option<CallEnd> {
        if self.runs(call) {
            self.is_key_gone().then_some(CallEnd::KeyGone)
        } else {
            self.ended.was_released(call).then_some(CallEnd::Released)
        }
    }

    /// Whether the key was disabled or deleted, by the current record.
    pub(super) fn is_key_gone(&self) -> bool {
        self.freshness.known() && self.record.as_ref().is_none_or(|policy| !policy.active)
    }

    /// Whether the call was admitted and still has its lease.
    pub(super) fn runs(&self, call: CallId) -> bool {
        self.leases.get(call).is_some_and(|lease| !lease.what.offered)
    }

    /// Frees the call's lease and returns its resources.
    pub(super) fn free(&mut self, call: CallId) -> Option<Hold> {
        let lease = self.leases.free(call)?;
        self.effects.rows.push(Row::Lease(call));
        Some(lease.what)
    }

    /// Removes the call from the queue. Returns whether it waited.
    pub(super) fn leave_queue(&mut self, call: CallId) -> bool {
        let turn = self.queue.remove(call);
        self.effects.rows.extend(turn.map(Row::Waiter));
        turn.is_some()
    }

    pub(super) fn settle(&mut self, now: Millis, call: CallId, event: Option<Event>, usage: Option<Usage>) {
        self.leave_queue(call);
        let held = self.free(call);
        let had = held.is_some();
        // The lease entitles the call to be counted, so a second settlement finds none and counts nothing.
        let admitted = held.filter(|held| !held.offered).map(|held| held.rounds);
        let late = self.ended.take(call, &mut self.effects.rows);
        let kept = self.take_kept(call);
        if let (Some(rounds), Some(usage)) = (admitted.or(late).or(kept), usage)
            && (usage.tokens > 0 || usage.cost > 0)
        {
            self.spend.settle(now, rounds, &usage);
            self.effects.head();
        }
        if let Some(event) = event {
            let entry = Entry {
                call,
                text: event.text,
                doubtful: event.again || (event.held && !had),
                lost: None,
            };
            self.outbox
                .push(now, entry, event.wait_ms, &mut self.effects.rows);
        } else {
            self.outbox.recall(call, &mut self.effects.rows);
        }
    }

    /// The call will not run. Frees everything it holds.
    pub(super) fn cancel(&mut self, now: Millis, call: CallId) {
        self.leave_queue(call);
        self.outbox.recall(call, &mut self.effects.rows);
        if let Some(held) = self.free(call)
            && !held.offered
            && self.spend.forget(now, held.rounds)
        {
            self.effects.head();
        }
    }

    /// Frees leases that have ended. Those calls never settled, so their notes become their events.
    pub(super) fn sweep(&mut self, now: Millis) {
        self.ended.sweep(now, &mut self.effects.rows);
        self.sweep_kept(now);
        for (turn, waiter) in self.queue.sweep(now) {
            self.effects.rows.push(Row::Waiter(turn));
            self.effects.wake.push(waiter.call);
        }
        for (call, held) in self.leases.sweep(now) {
            self.effects.rows.push(Row::Lease(call));
            self.end_unsettled(now, call, held, false);
        }
    }

    /// The lease ended before the call settled; `released`: the operator freed it.
    pub(super) fn end_unsettled(&mut self, now: Millis, call: CallId, held: Hold, released: bool) {
        if held.offered {
            return;
        }
        self.ended
            .put(now, call, held.rounds, released, &mut self.effects.rows);
        if let Some(Note { text, key, wait_ms }) = held.note {
            let entry = Entry {
                call,
                text,
                doubtful: true,
                lost: Some(key),
            };
            self.outbox.push(now, entry, wait_ms, &mut self.effects.rows);
        }
    }
}
