//! Writes the counts of refused calls ([`crate::state::refusal_tally`]) to the store.
//!
//! A refused call costs a lock and an entry of a map, no message. Counts are written in batches, at most one every
//! [`WRITE_EVERY`] of a process or isolate: natively by a task of the process, on the edge by a task that the first
//! refusal of a key after a batch leaves behind its response. So a killed process or an evicted isolate loses what
//! was refused in the last [`WRITE_EVERY`], and while the store is away counts wait here, bounded in number.
//!
//! Calls without a key of this relay leave no such task, since nobody's flood of garbage may cost the operator
//! messages: on the edge their counts are written with those of the next key, or when the operator asks.
//!
//! Only hashes of keys are known here. Their ids are read when a batch is written, one round trip for all of them;
//! the hash of a key that was deleted counts as no key.

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

/// How long a refusal waits for others to be written with. Below the 30 s that a Worker may go on after a response.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Counts a call that ends without a provider having been called. `key`: `None` if it presented no key of this relay.
pub fn count(app: &App, key: Option<&KeyHash>, call: CallId, failure: &Failure) {
    // The gate does not know this hash, so nobody does.
    let key = key.filter(|_| failure.code != Code::UnknownKey);
    let now = app.ports.clock.now();
    let day = app.refusals.calendar().day(now);
    app.refusal_tally.count(day, key, call, failure, now);
    // A native process has a task of its own for it.
    if key.is_some() && app.ports.gates.keeps_events().is_some() && app.refusal_tally.wants_task(now) {
        let app_ = app.clone();
        app.ports.tasks.spawn(Box::pin(async move {
            app_.ports.clock.sleep(WRITE_EVERY).await;
            app_.refusal_tally.task_is_back();
            write_logged(&app_).await;
        }));
    }
}

/// [`write()`], with a failure logged: the counts stay, and are tried again with the next.
pub async fn write_logged(app: &App) {
    if let Err(error) = write(app).await {
        tracing::warn!(%error, "refused calls are not counted in the store yet");
    }
}

/// Writes everything that was counted, unless somebody else is writing.
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
