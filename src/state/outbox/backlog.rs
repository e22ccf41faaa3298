//! The queue of waiting events, and its fill levels.

use std::sync::Arc;

use crs_durable::outbox::{Batch, Bounds, Queue, Queued, SendResult};

use super::{CAPACITY, Waiting};
use crate::model::usage::LedgerEvent;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// Fill levels in percent at which the operator is warned.
const MARKS: [usize; 3] = [25, 50, 90];

/// An event, and the key whose gate counts it.
#[derive(Clone)]
pub struct SettledEvent(Arc<(KeyHash, LedgerEvent)>);

impl SettledEvent {
    pub(super) fn new(key: KeyHash, event: LedgerEvent) -> Self {
        Self(Arc::new((key, event)))
    }

    pub fn key(&self) -> &KeyHash {
        &self.0.0
    }

    pub fn event(&self) -> &LedgerEvent {
        &self.0.1
    }

    /// A copy if the outbox still has the event.
    pub fn into_event(self) -> LedgerEvent {
        Arc::unwrap_or_clone(self.0).1
    }
}

impl Queued for SettledEvent {
    const BOUNDS: Bounds = Bounds {
        // A larger batch needs fewer increments per event but a longer transaction.
        batch: super::BATCH,
        batch_bytes: usize::MAX,
        capacity: CAPACITY,
        first_pause_ms: 100,
        // A killed process loses what waits: not long after an outage.
        last_pause_ms: 1_000,
    };

    fn bytes(&self) -> usize {
        size(self.event())
    }
}

/// In order of arrival.
#[derive(Default)]
pub(super) struct Backlog {
    queue: Queue<SettledEvent>,
    /// Number of [`MARKS`] passed since the queue was last below the first.
    passed: usize,
}

impl Backlog {
    /// Returns whether another event was dropped for this one, and the mark that was passed.
    pub(super) fn push(&mut self, settled: SettledEvent) -> (bool, Option<usize>) {
        let (_, dropped) = self.queue.push_back(settled);
        let passed = self.passed_marks();
        let mark = (passed > self.passed).then(|| MARKS.get(passed - 1)).flatten();
        self.passed = self.passed.max(passed);
        (dropped.is_some(), mark.copied())
    }

    fn passed_marks(&self) -> usize {
        let used = self.queue.len() * 100 / CAPACITY;
        MARKS.iter().filter(|mark| used >= **mark).count()
    }

    /// Whether no event waits for a batch, apart from the batch in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn lost(&self) -> u64 {
        self.queue.given_up()
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            events: self.queue.len(),
            bytes: self.queue.entries().map(Queued::bytes).sum(),
        }
    }

    /// The batch in flight, or the next one. Its events stay until [`Self::sent`] says that the store has them.
    pub(super) fn take(&mut self, now: Millis) -> Option<Batch<SettledEvent>> {
        self.queue.take_now(now)
    }

    /// All events that may not be in the store, oldest first.
    pub(super) fn unwritten(&self) -> Vec<SettledEvent> {
        self.queue.entries().cloned().collect()
    }

    /// Records the result of a batch. Returns the events that were given up, and when the next batch is to be sent.
    pub(super) fn sent(
        &mut self,
        now: Millis,
        last: u64,
        sent: SendResult,
    ) -> (Vec<SettledEvent>, Option<Millis>) {
        let given_up = self.queue.sent(now, last, sent, &mut Vec::new());
        if self.passed_marks() == 0 {
            self.passed = 0;
        }
        (given_up, self.queue.due())
    }
}

/// Approximate memory of an event with its texts and trace.
fn size(event: &LedgerEvent) -> usize {
    let texts = [
        &event.request_id,
        &event.key_id,
        &event.key_name,
        &event.account_id,
        &event.account_name,
        &event.endpoint,
        &event.model,
        &event.price_version,
        &event.client,
    ];
    let maybe = [&event.error, &event.detail];
    let attempts = event.trace.as_ref().map_or(0, |trace| trace.attempts.len());
    size_of::<(KeyHash, LedgerEvent)>()
        + texts.into_iter().map(String::len).sum::<usize>()
        + maybe.into_iter().flatten().map(String::len).sum::<usize>()
        + attempts * 512
}
