//! Counts calls refused before a provider was called, until the counts are in the store.
//!
//! Memory is limited by [`MOST_ROWS`]. `relay::refusal_writer` writes the counts in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crs_durable::CallId;

use crate::error::{Code, Failure};
use crate::model::calendar::Day;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// Maximum number of pairs of key and code between two batches. Calls of further keys are counted without a key.
const MOST_ROWS: usize = 1_000;

/// Maximum length of a stored message, bytes.
const MESSAGE_BYTES: usize = 300;

/// Time after which a background task counts as lost, milliseconds.
const TASK_LOST_MS: u64 = 60_000;

#[derive(Default)]
pub struct RefusalTally(Mutex<State>);

impl RefusalTally {
    /// Counts one call.
    pub fn count(&self, day: Day, key: Option<&KeyHash>, call: CallId, failure: &Failure, now: Millis) {
        lock(self).count(day, key, call, failure, now);
    }

    /// Whether the caller must start a background task that writes: true once until [`Self::task_is_back`].
    pub fn wants_task(&self, now: Millis) -> bool {
        let mut state = lock(self);
        let wanted = !is_under_way(state.scheduled, now);
        if wanted {
            state.scheduled = Some(now);
        }
        wanted
    }

    pub fn task_is_back(&self) {
        lock(self).scheduled = None;
    }

    /// The batch to write: one that failed before, or the counts since then. `None` if there is nothing to write
    /// or another task is writing. `fresh`: creates an id for a new batch.
    pub fn begin(&self, now: Millis, fresh: impl FnOnce() -> String) -> Option<Writing<'_>> {
        let mut state = lock(self);
        if is_under_way(state.writing, now) || (state.batch.is_none() && state.counts.is_empty()) {
            return None;
        }
        if state.batch.is_none() {
            let counts = std::mem::take(&mut state.counts);
            state.batch = Some(Arc::new(Batch { id: fresh(), counts }));
        }
        let batch = state.batch.clone()?;
        state.writing = Some(now);
        Some(Writing { tally: self, batch })
    }
}

#[derive(Default)]
struct State {
    counts: HashMap<Row, RefusalCount>,
    /// Taken from `counts`, but maybe not in the store.
    batch: Option<Arc<Batch>>,
    /// Since when a batch is being written.
    writing: Option<Millis>,
    /// Since when a request's background task waits to write.
    scheduled: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub day: Day,
    pub key: Option<KeyHash>,
    pub code: Code,
}

#[derive(Debug)]
pub struct RefusalCount {
    pub count: u64,
    /// When the last one was refused.
    pub at: Millis,
    pub call: CallId,
    pub message: String,
    pub retry_at: Option<Millis>,
}

pub struct Batch {
    pub id: String,
    pub counts: HashMap<Row, RefusalCount>,
}

impl State {
    fn count(&mut self, day: Day, key: Option<&KeyHash>, call: CallId, failure: &Failure, now: Millis) {
        let mut row = Row {
            day,
            key: key.cloned(),
            code: failure.code,
        };
        if self.counts.len() >= MOST_ROWS && !self.counts.contains_key(&row) {
            row.key = None;
        }
        let counted = self.counts.entry(row).or_insert_with(|| RefusalCount {
            count: 0,
            at: now,
            call,
            message: String::new(),
            retry_at: None,
        });
        counted.count = counted.count.saturating_add(1);
        counted.at = now;
        counted.call = call;
        counted.message.clear();
        counted
            .message
            .push_str(beginning(&failure.message, MESSAGE_BYTES));
        counted.retry_at = failure
            .retry_after
            .map(|seconds| now.saturating_add(seconds.saturating_mul(1000)));
    }
}

/// The batch being written. If it is dropped before [`Self::done`], it is written again later under the same id.
pub struct Writing<'a> {
    tally: &'a RefusalTally,
    pub batch: Arc<Batch>,
}

impl Writing<'_> {
    /// Call when the store has the batch.
    pub fn done(self) {
        let mut state = lock(self.tally);
        // Another task may have written it meanwhile and taken the next one.
        if state
            .batch
            .as_ref()
            .is_some_and(|batch| batch.id == self.batch.id)
        {
            state.batch = None;
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        lock(self.tally).writing = None;
    }
}

/// Whether a task that began then may still return. If the clock jumped back, others must not wait.
fn is_under_way(since: Option<Millis>, now: Millis) -> bool {
    since.is_some_and(|since| since <= now && now - since < TASK_LOST_MS)
}

fn beginning(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

fn lock(tally: &RefusalTally) -> std::sync::MutexGuard<'_, State> {
    tally.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
