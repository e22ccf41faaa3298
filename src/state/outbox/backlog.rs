//! Events that wait, counted.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{CAPACITY, Waiting};
use crate::model::usage::LedgerEvent;
use crate::port::gates::KeyHash;

/// Fill levels, percent, at which the operator is warned while there is still time.
const MARKS: [usize; 3] = [25, 50, 90];

/// An event, and whose gate counts it.
#[derive(Clone)]
pub struct SettledEvent {
    pub(super) key: KeyHash,
    pub(super) event: LedgerEvent,
}

impl SettledEvent {
    pub fn key(&self) -> &KeyHash {
        &self.key
    }

    pub fn into_event(self) -> LedgerEvent {
        self.event
    }

    pub fn event(&self) -> &LedgerEvent {
        &self.event
    }
}

/// In the order they came.
#[derive(Default)]
pub(super) struct Backlog {
    queue: VecDeque<SettledEvent>,
    /// Of the queue.
    bytes: usize,
    /// Taken and not written yet.
    writing: Waiting,
    batch: Arc<Vec<SettledEvent>>,
    /// How many of [`MARKS`] were passed since the backlog was last below the first.
    passed: usize,
}

impl Backlog {
    /// Says whether another event was lost for this one, and which mark was passed.
    pub(super) fn push(&mut self, settled: SettledEvent) -> (bool, Option<usize>) {
        let is_full = self.queue.len() + self.writing.events >= CAPACITY;
        if is_full && let Some(oldest) = self.queue.pop_front() {
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
        self.bytes += size(&settled);
        self.queue.push_back(settled);
        let used = (self.queue.len() + self.writing.events) * 100 / CAPACITY;
        let passed = MARKS.iter().filter(|mark| used >= **mark).count();
        let mark = (passed > self.passed).then(|| MARKS.get(passed - 1)).flatten();
        self.passed = self.passed.max(passed);
        (is_full, mark.copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            events: self.queue.len() + self.writing.events,
            bytes: self.bytes + self.writing.bytes,
        }
    }

    /// The oldest, at most so many. They count until [`Self::written`].
    pub(super) fn take(&mut self, most: usize) -> Arc<Vec<SettledEvent>> {
        let count = self.queue.len().min(most);
        let taken: Vec<_> = self.queue.drain(..count).collect();
        let bytes = taken.iter().map(size).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.writing = Waiting { events: count, bytes };
        self.batch = Arc::new(taken);
        self.batch.clone()
    }

    /// Everything that is not known to be in the store, the oldest first.
    pub(super) fn unwritten(&self) -> Vec<SettledEvent> {
        self.batch.iter().chain(&self.queue).cloned().collect()
    }

    /// The batch that was taken is in the store.
    pub(super) fn written(&mut self) {
        self.writing = Waiting::default();
        self.batch = Arc::default();
        let used = self.queue.len() * 100 / CAPACITY;
        if MARKS.first().is_some_and(|first| used < *first) {
            self.passed = 0;
        }
    }
}

/// Memory of an event: its own, its texts', and its trace's, about.
fn size(settled: &SettledEvent) -> usize {
    let event = &settled.event;
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
    size_of::<SettledEvent>()
        + texts.into_iter().map(String::len).sum::<usize>()
        + maybe.into_iter().flatten().map(String::len).sum::<usize>()
        + attempts * 512
}
