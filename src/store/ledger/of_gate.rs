//! A gate's events for the ledger: of settled calls, and of calls that never settled.

use crs_durable::Millis;
use crs_durable::outbox::{Batch, Entry, SendResult};
use sha2::{Digest as _, Sha256};

use super::Ledger;
use crate::model::usage::LedgerEvent;
use crate::port::store::{Store, StoreError};

impl Ledger {
    /// Writes a gate's batch. Each event is written once, however often the batch is sent, and whatever other batch
    /// an event of a lost call is in.
    pub async fn append_of_gate(&self, store: &dyn Store, batch: Batch, now: Millis) -> SendResult {
        let Some(name) = name(&batch) else {
            return SendResult::Written;
        };
        let look = batch
            .entries
            .iter()
            .any(|entry| entry.doubtful || entry.lost.is_some());
        let events: Vec<LedgerEvent> = batch.entries.into_iter().filter_map(event).collect();
        if events.is_empty() {
            return SendResult::Written;
        }
        match self.append_new(&name, &events, look, now).await {
            Ok(_) => SendResult::Written,
            Err(StoreError::Away { reason, .. }) => {
                tracing::warn!(
                    reason,
                    events = events.len(),
                    "the ledger cannot be written; trying again"
                );
                SendResult::Away
            }
            Err(error) => {
                tracing::error!(%error, events = events.len(), "the store refuses a batch of the ledger");
                // A store that refuses everything does not mean that this batch is bad.
                if store.ping().await.is_ok() {
                    SendResult::Refused
                } else {
                    SendResult::Away
                }
            }
        }
    }
}

/// The batch's id. Copies of a shared gate may number lost calls differently, when the store has lost steps, so with
/// such a call the id says which calls are in it.
fn name(batch: &Batch) -> Option<String> {
    let first = batch.entries.first()?;
    let name = format!("{:032x}-{}", first.call.0, batch.first);
    if batch.entries.iter().all(|entry| entry.lost.is_none()) {
        return Some(name);
    }
    let mut calls = Sha256::new();
    for entry in &batch.entries {
        calls.update(entry.call.0.to_be_bytes());
    }
    Some(format!("{name}-{:x}", calls.finalize()))
}

/// Parses an event for the ledger. For a lost call the gate adds the key.
fn event(entry: Entry) -> Option<LedgerEvent> {
    match serde_json::from_slice::<LedgerEvent>(entry.text.as_bytes()) {
        Ok(mut event) => {
            if let Some(lost) = entry.lost {
                event.key_id = lost.key_id;
                event.key_name = lost.key_name;
            }
            Some(event)
        }
        Err(error) => {
            tracing::error!(%error, event = entry.text, "a ledger event cannot be read and is only in this log");
            None
        }
    }
}
