//! Writes settled events to the ledger, in batches.
//!
//! A batch is atomic and idempotent by its id, so a batch whose acknowledgement was lost is sent again without
//! harm. An event waits at most `LEDGER_FLUSH_INTERVAL` before its batch is written, unless the batch before it
//! takes longer. That, and the time of one write, is what a killed process loses.

pub mod spill;

use std::collections::HashSet;
use std::time::Duration;

use crate::app::App;
use crate::model::usage::LedgerEvent;
use crate::port::clock::within;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::state::outbox::{SettledEvent, Waiting};

/// Events of one batch. A larger batch means fewer increments per event and a longer transaction.
const BATCH: usize = 2_000;

/// Refusals after which a batch is taken apart.
const REFUSALS: u32 = 3;

/// Longest pause between two tries while the store is away.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// The same once the process is ending: there is little time left.
const LAST_PAUSE_AT_END: Duration = Duration::from_millis(250);

/// Writes events as they come, until the outbox is closed and empty. A native host runs one of these.
pub async fn run(app: App) {
    loop {
        app.outbox.filled().await;
        flush(&app).await;
        if app.outbox.is_closed() && app.outbox.waiting().events == 0 {
            return;
        }
        // Under load events wait for each other. A lone event is written at once.
        within(&*app.ports.clock, app.config.ledger.flush, app.outbox.closed()).await;
    }
}

/// Writes everything that waits, however long the store takes.
pub async fn flush(app: &App) {
    loop {
        let batch = app.outbox.take_batch(BATCH, app.ports.clock.now());
        if batch.is_empty() {
            return;
        }
        if !write(app, &batch).await {
            // Something in it cannot be written, now or ever: it must not hold up the rest.
            for settled in batch.iter() {
                if !write(app, std::slice::from_ref(settled)).await {
                    app.outbox.count_lost();
                    let event = serde_json::to_string(settled.event()).unwrap_or_default();
                    tracing::error!(event, "a ledger event cannot be written and is only in this log");
                }
            }
        }
        app.outbox.batch_ended();
    }
}

/// Tries until the store has the batch. Returns false if the store is up and refuses the batch.
async fn write(app: &App, batch: &[SettledEvent]) -> bool {
    let Some(first) = batch.first() else {
        return true;
    };
    let events: Vec<&LedgerEvent> = batch.iter().map(SettledEvent::event).collect();
    let gates: HashSet<&KeyHash> = batch.iter().map(SettledEvent::key).collect();
    let mut pause = Duration::from_millis(100);
    let mut refusals = 0;
    loop {
        match app
            .ledger
            .append_with(
                &first.event().request_id,
                &events,
                // As they are by now: they count these events, and a restart must not count them less.
                gates.iter().filter_map(|key| app.ports.gates.kept(key)).collect(),
                app.ports.clock.now(),
            )
            .await
        {
            Ok(_) => {
                if app.outbox.write_succeeded() {
                    let Waiting { events, .. } = app.outbox.waiting();
                    tracing::info!(events, "the store takes writes again");
                }
                return true;
            }
            Err(StoreError::Away { reason, .. }) => {
                tracing::warn!(
                    reason,
                    events = batch.len(),
                    "the ledger cannot be written; trying again"
                );
            }
            Err(error) => {
                tracing::error!(%error, events = batch.len(), "the store refuses a batch of the ledger");
                // A store that refuses everything (a token was withdrawn, a stranger answers in its
                // place) says nothing about this batch.
                if app.ports.store.ping().await.is_ok() {
                    refusals += 1;
                }
                if refusals == REFUSALS {
                    return false;
                }
            }
        }
        app.outbox.write_failed(app.ports.clock.now());
        if app.outbox.is_closed() {
            app.ports.clock.sleep(pause.min(LAST_PAUSE_AT_END)).await;
        } else {
            within(&*app.ports.clock, pause, app.outbox.closed()).await;
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
