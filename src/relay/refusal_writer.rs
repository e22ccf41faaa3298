//! Writes the counts of refused calls ([`crate::state::refusal_tally`]) to the store.
//!
//! Counting a refused call takes a lock and a map entry, but no message. Each process or isolate writes a batch
//! at most every [`WRITE_EVERY`]: natively from a background task, on the edge from a task that the first refusal
//! of a key after a batch starts behind its response. A killed process or an evicted isolate loses the counts of
//! the last [`WRITE_EVERY`]. While the store is unavailable the counts wait here, limited in number.
//!
//! On the edge, calls without a key of this relay start no such task, so that a flood of garbage causes no
//! messages. Their counts are written with those of the next key, or when the operator asks.
//!
//! Only hashes of keys are known here. Their ids are read when a batch is written, in one round trip; the hash of
//! a deleted key counts as no key.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crs_durable::CallId;

use crate::app::App;
use crate::dialect::call::request_id;
use crate::error::{Code, Failure};
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::port::store::StoreError;
use crate::state::refusal_tally::{Batch, Writing};
use crate::store::refusals::{LastRefusal, NewRefusals, RefusalPlace};

/// Time that a refusal waits for its batch. Below the 30 s that a Worker may run after a response.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Counts a call that ended before a provider was called. `key`: `None` if the call had no key of this relay.
pub fn count(app: &App, key: Option<&KeyHash>, call: CallId, failure: &Failure) {
    // The gate does not know this hash, so no key has it.
    let key = key.filter(|_| failure.code != Code::UnknownKey);
    let now = app.ports.clock.now();
    let day = app.refusals.calendar().day(now);
    app.refusal_tally.count(day, key, call, failure, now);
    // Natively a background task writes them.
    if key.is_some() && !app.ports.host.outlives_calls() && app.refusal_tally.wants_task(now) {
        let app_ = app.clone();
        app.ports.tasks.spawn(Box::pin(async move {
            app_.ports.clock.sleep(WRITE_EVERY).await;
            app_.refusal_tally.task_is_back();
            write_logged(&app_).await;
        }));
    }
}

/// Like [`write()`], but logs a failure: the counts stay and are written with the next batch.
pub async fn write_logged(app: &App) {
    if let Err(error) = write(app).await {
        tracing::warn!(%error, "refused calls are not counted in the store yet");
    }
}

/// Writes all counts, unless another task is writing.
pub async fn write(app: &App) -> Result<(), StoreError> {
    while let Some(writing) = begin(app) {
        let counts = resolved(app, &writing.batch).await?;
        app.refusals
            .add(&writing.batch.id, &counts, app.ports.clock.now())
            .await?;
        writing.done();
    }
    Ok(())
}

fn begin(app: &App) -> Option<Writing<'_>> {
    let now = app.ports.clock.now();
    app.refusal_tally
        .begin(now, || random::record_id(now, &*app.ports.random))
}

/// Replaces key hashes by key ids.
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
