//! Writes settled events to the ledger, in batches.
//!
//! A batch is atomic and idempotent by its id, so it can be sent again if its acknowledgement was lost. Every event
//! waits `LEDGER_FLUSH_INTERVAL` for others before its batch is written, even if it is alone: a transaction with its
//! fsync costs as much as a hundred calls, so a transaction per lone call would be most of that call's cost. A killed
//! process loses the events of that time and of one write.

pub mod spill;

use std::collections::HashSet;
use std::time::Duration;

use crs_durable::outbox::SendResult;

use crate::app::App;
use crate::model::usage::LedgerEvent;
use crate::port::clock::within;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::state::outbox::{AfterBatch, SettledEvent};

/// Maximum pause between two tries at shutdown, when little time is left.
const LAST_PAUSE_AT_END: Duration = Duration::from_millis(250);

/// Writes events until the outbox is closed and empty. A native host runs one instance.
pub async fn run(app: App) {
    loop {
        app.outbox.filled().await;
        // One window for all: events within it are written together.
        within(&*app.ports.clock, app.config.ledger.flush, app.outbox.closed()).await;
        flush(&app).await;
        if app.outbox.is_closed() && app.outbox.waiting().events == 0 {
            return;
        }
    }
}

/// Writes all waiting events, however long the store takes.
pub async fn flush(app: &App) {
    let clock = &*app.ports.clock;
    while let Some(batch) = app.outbox.take_batch(clock.now()) {
        let sent = write(app, &batch.entries).await;
        let AfterBatch {
            given_up,
            pause_ms,
            is_back,
        } = app.outbox.sent(clock.now(), batch.last, sent);
        for settled in given_up {
            let event = serde_json::to_string(settled.event()).unwrap_or_default();
            tracing::error!(event, "a ledger event cannot be written and is only in this log");
        }
        if is_back {
            let events = app.outbox.waiting().events;
            tracing::info!(events, "the store takes writes again");
        }
        let pause = Duration::from_millis(pause_ms);
        if pause.is_zero() {
            continue;
        }
        if app.outbox.is_closed() {
            clock.sleep(pause.min(LAST_PAUSE_AT_END)).await;
        } else {
            within(clock, pause, app.outbox.closed()).await;
        }
    }
}

/// Tries once to write a batch.
async fn write(app: &App, batch: &[SettledEvent]) -> SendResult {
    let Some(first) = batch.first() else {
        return SendResult::Written;
    };
    let events: Vec<&LedgerEvent> = batch.iter().map(SettledEvent::event).collect();
    let gates: HashSet<&KeyHash> = batch.iter().map(SettledEvent::key).collect();
    let id = &first.event().request_id;
    // The current states: they count these events, so a restart must not count fewer.
    let kept = gates.iter().flat_map(|key| app.ports.gates.kept(key)).collect();
    let now = app.ports.clock.now();
    let written = if app.ports.gates.others_write() {
        app.ledger.append_unwritten(id, &events, kept, now).await
    } else {
        app.ledger.append_with(id, &events, kept, now).await
    };
    match written {
        Ok(_) => SendResult::Written,
        Err(StoreError::Away { reason, .. }) => {
            tracing::warn!(
                reason,
                events = batch.len(),
                "the ledger cannot be written; trying again"
            );
            SendResult::Away
        }
        Err(error) => {
            tracing::error!(%error, events = batch.len(), "the store refuses a batch of the ledger");
            // A store that refuses everything (for example because a token was revoked) does not mean that this batch
            // is bad.
            if app.ports.store.ping().await.is_ok() {
                SendResult::Refused
            } else {
                SendResult::Away
            }
        }
    }
}
