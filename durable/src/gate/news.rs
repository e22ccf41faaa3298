//! Wakes waiting calls when their key has changed.
//!
//! | event | woken calls |
//! | --- | --- |
//! | the key admits no more calls: deleted, disabled, expired | all; they leave the queue (`offer_slots`) |
//! | the record changed in a way that matters for admission | all; each asks again and keeps its place unless it is refused |
//! | the record must be read again: invalidated, or in doubt | one, which reads it; the others are woken if it changed |
//!
//! Only one call at a time reads the record for all waiting calls, so that a long queue does not cause a burst of
//! reads. If that call leaves, or has not brought the record after [`READ_MS`], the next one in the queue reads.

use super::{Gate, Reply};
use crate::freshness::SLOW_READER_MS;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// How long the others wait for the call that reads the record.
const READ_MS: u64 = SLOW_READER_MS;

/// The waiting call that reads the record for the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    call: CallId,
    end: Deadline,
}

impl Reader {
    fn new(now: Millis, call: CallId) -> Self {
        Self {
            call,
            end: Deadline::after(now, READ_MS),
        }
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        self.end.set_back(now);
    }
}

impl Gate {
    /// The call that reads the record, as long as it waits and has time left.
    fn current_reader(&self, now: Millis) -> Option<Reader> {
        self.reader
            .filter(|reader| !reader.end.passed(now) && self.queue.place(reader.call).is_some())
    }

    /// The reply to a call that the current record cannot decide.
    pub(super) fn undecided(&mut self, now: Millis, call: CallId) -> Reply {
        let Some(queued) = self.queued_reply(now, call) else {
            return Reply::NeedPolicy;
        };
        match self.current_reader(now) {
            Some(reader) if reader.call != call => return queued,
            Some(_) => {}
            None => self.reader = Some(Reader::new(now, call)),
        }
        Reply::NeedPolicy
    }

    /// Runs after the command and after everything it freed.
    pub(super) fn wake_waiters(&mut self, now: Millis) {
        if self.effects.decides_anew {
            self.effects
                .wake
                .extend(self.queue.iter().map(|waiter| waiter.call));
        }
        if self.queue.is_empty() || self.freshness.decides(now, 1) {
            self.reader = None;
        } else if self.current_reader(now).is_none() {
            let next = self.queue.after(self.reader.map(|reader| reader.call));
            self.reader = next.map(|call| Reader::new(now, call));
            self.effects.wake.extend(next);
        }
    }

    /// When the passing of time alone will wake waiting calls.
    pub(super) fn next_news(&self, now: Millis) -> Option<Millis> {
        if self.queue.is_empty() {
            return None;
        }
        let expiry = self
            .record
            .as_ref()
            .and_then(|policy| policy.expiry(self.activated_at()));
        let reader = self.reader.map(|reader| reader.end.until());
        [expiry, reader, self.freshness.doubted_at(now)]
            .into_iter()
            .flatten()
            .min()
    }
}
