//! A gate's events for the ledger: of settled calls, and of calls that never settled.

use crs_durable::Millis;
use crs_durable::outbox::{Batch, Entry, SendResult};

use super::Ledger;
use crate::model::usage::LedgerEvent;
use crate::port::store::{Store, StoreError};

impl Ledger {
    /// Writes a gate's batch. Each event is written once, however often the batch is sent.
    pub async fn append_of_gate(&self, store: &dyn Store, batch: Batch, now: Millis) -> SendResult {
        let Some(first) = batch.entries.first() else {
            return SendResult::Written;
        };
        let name = format!("{:032x}-{}", first.call.0, batch.first);
        let look = batch.entries.iter().any(|entry| entry.doubtful);
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
