//! Calls that were refused before a provider was called, counted until the store has the counts.
//!
//! A refused call costs a lock and an entry of a map, no message. Counts are written in batches, at most one every
//! [`WRITE_EVERY`] of a process or isolate: natively by a task of the process, on the edge by a task that the first
//! refusal after a batch leaves behind its response. So a killed process or an evicted isolate loses what was
//! refused in the last [`WRITE_EVERY`], and while the store is away counts wait here, bounded by [`MOST_ROWS`].
//!
//! Only hashes of keys are known here. Their ids are read when a batch is written, one round trip for all of them;
//! a hash that is no key of this relay any more counts as no key.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crs_durable::CallId;

use super::call::request_id;
use crate::app::App;
use crate::error::{Code, Failure};
use crate::model::calendar::Day;
use crate::model::id;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::store::refusals::{LastRefusal, NewRefusals, RefusalPlace};

/// How long a refusal waits for others to be written with. Below the 30 s that a Worker may go on after a response.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Pairs of key and code that are counted apart between two batches. Calls of more keys count as of no key.
const MOST_ROWS: usize = 1_000;

/// Longest message that is kept, bytes.
const MESSAGE_BYTES: usize = 300;

/// A task that has not come back for this long ended with its request, milliseconds.
const TASK_LOST_MS: u64 = 60_000;

#[derive(Default)]
pub struct RefusalTally(Mutex<State>);

#[derive(Default)]
struct State {
    counts: HashMap<Row, Counted>,
    /// Taken from `counts`, and not known to be in the store.
    batch: Option<Arc<Batch>>,
    /// Since when a batch is being written.
    writing: Option<Millis>,
    /// Since when a request's task waits to write.
    scheduled: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    day: Day,
    key: Option<KeyHash>,
    code: Code,
}

#[derive(Debug)]
struct Counted {
    count: u64,
    at: Millis,
    call: CallId,
    message: String,
    retry_at: Option<Millis>,
}

struct Batch {
    id: String,
    counts: HashMap<Row, Counted>,
}

/// Counts a call that ends without a provider having been called. `key`: `None` if it presented no key of this relay.
pub fn count(app: &App, key: Option<&KeyHash>, call: CallId, failure: &Failure) {
    let now = app.ports.clock.now();
    let day = app.refusals.calendar().day(now);
    let mut state = lock(&app.refusal_tally);
    state.count(day, key, call, failure, now);
    // A native process has a task of its own for it.
    if app.ports.gates.keeps_events().is_some() && !is_under_way(state.scheduled, now) {
        state.scheduled = Some(now);
        drop(state);
        let app_ = app.clone();
        app.ports.tasks.spawn(Box::pin(async move {
            app_.ports.clock.sleep(WRITE_EVERY).await;
            lock(&app_.refusal_tally).scheduled = None;
            write_logged(&app_).await;
        }));
    }
}

/// [`write`], with a failure logged: the counts stay, and are tried again with the next.
pub async fn write_logged(app: &App) {
    if let Err(error) = write(app).await {
        tracing::warn!(%error, "refused calls are not counted in the store yet");
    }
}

/// Writes everything that was counted, unless somebody else is writing.
pub async fn write(app: &App) -> Result<(), StoreError> {
    while let Some(writing) = Writing::begin(app) {
        let counts = resolved(app, &writing.batch).await?;
        app.refusals
            .add(&writing.batch.id, &counts, app.ports.clock.now())
            .await?;
        writing.done();
    }
    Ok(())
}

/// The counts by ids of keys.
async fn resolved(app: &App, batch: &Batch) -> Result<BTreeMap<RefusalPlace, NewRefusals>, StoreError> {
    let mut hashes: Vec<KeyHash> = batch.counts.keys().filter_map(|row| row.key.clone()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let found = app.keys.ids(&hashes).await?;
    let ids: HashMap<KeyHash, Option<String>> = hashes.into_iter().zip(found).collect();
    let mut counts: BTreeMap<RefusalPlace, NewRefusals> = BTreeMap::new();
    for (row, counted) in &batch.counts {
        let key_id = row.key.as_ref().and_then(|hash| ids.get(hash).cloned().flatten());
        let last = LastRefusal {
            at: counted.at,
            request_id: request_id(counted.call),
            message: counted.message.clone(),
            retry_at: counted.retry_at,
        };
        let place = counts
            .entry((row.day, key_id, row.code))
            .or_insert_with(|| NewRefusals {
                count: 0,
                last: LastRefusal::default(),
            });
        place.count = place.count.saturating_add(counted.count);
        if last.at >= place.last.at {
            place.last = last;
        }
    }
    Ok(counts)
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
        let counted = self.counts.entry(row).or_insert_with(|| Counted {
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

/// The batch that is being written. Dropped before it is done, it is tried again later under the same id.
struct Writing<'a> {
    tally: &'a RefusalTally,
    batch: Arc<Batch>,
}

impl<'a> Writing<'a> {
    fn begin(app: &'a App) -> Option<Self> {
        let now = app.ports.clock.now();
        let tally = &app.refusal_tally;
        let mut state = lock(tally);
        if is_under_way(state.writing, now) || (state.batch.is_none() && state.counts.is_empty()) {
            return None;
        }
        if state.batch.is_none() {
            let counts = std::mem::take(&mut state.counts);
            let id = id::fresh(now, &*app.ports.random);
            state.batch = Some(Arc::new(Batch { id, counts }));
        }
        let batch = state.batch.clone()?;
        state.writing = Some(now);
        Some(Self { tally, batch })
    }

    fn done(self) {
        let mut state = lock(self.tally);
        // Another task may have written it meanwhile, and taken the next one.
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

/// Whether a task that began then may still come back. A clock that jumped back must not keep others waiting.
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
