//! The gate as rows of a table: its head, and one for each lease, each call that waits or was not heard of
//! again, and each event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::spend::Spend;
use super::{Gate, KeyPolicy};
use crate::Millis;
use crate::freshness::Freshness;
use crate::outbox;
use crate::rows::{self, Kept, Row};
use crate::time::{Deadline, Present};

/// What a gate has one of.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    present: Present,
    record: Option<Arc<KeyPolicy>>,
    freshness: Freshness,
    newest: Option<(u64, Deadline)>,
    activated: Option<Millis>,
    spend: Spend,
    outbox: outbox::Head,
}

impl Kept for Gate {
    fn row(&self, row: Row) -> Option<String> {
        match row {
            Row::Head => rows::text(&Head {
                present: self.present.clone(),
                record: self.record.clone(),
                freshness: self.freshness.clone(),
                newest: self.newest,
                activated: self.activated,
                spend: self.spend.clone(),
                outbox: self.outbox.head.clone(),
            }),
            Row::Lease(call) => self.leases.get(call).and_then(rows::text),
            Row::Ended(call) => self.ended.get(call).and_then(rows::text),
            Row::Waiter(turn) => self.queue.get(turn).and_then(rows::text),
            Row::Event(number) => self.outbox.entry(number).and_then(rows::text),
            Row::Account(_) | Row::Errors(_) | Row::Session(_) | Row::Origin(_) => None,
        }
    }

    fn from_rows(all: impl IntoIterator<Item = (Row, String)>) -> Self {
        let mut gate = Self::default();
        for (row, text) in all {
            match row {
                Row::Head => {
                    let head: Head = rows::read(&text).unwrap_or_default();
                    gate.present = head.present;
                    gate.record = head.record;
                    gate.freshness = head.freshness;
                    gate.newest = head.newest;
                    gate.activated = head.activated;
                    gate.spend = head.spend;
                    gate.outbox.set_head(head.outbox);
                }
                Row::Lease(call) => {
                    if let Some(lease) = rows::read(&text) {
                        gate.leases.put(call, lease);
                    }
                }
                Row::Ended(call) => {
                    if let Some(ended) = rows::read(&text) {
                        gate.ended.restore(call, ended);
                    }
                }
                Row::Waiter(turn) => {
                    if let Some(waiter) = rows::read(&text) {
                        gate.queue.restore(turn, waiter);
                    }
                }
                Row::Event(number) => {
                    if let Some(entry) = rows::read(&text) {
                        gate.outbox.restore(number, entry);
                    }
                }
                Row::Account(_) | Row::Errors(_) | Row::Session(_) | Row::Origin(_) => {}
            }
        }
        gate
    }
}
