//! The gate as rows of a table: its head, its leases, its events.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Gate, KeyPolicy};
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
                outbox: self.outbox.head.clone(),
            }),
            Row::Lease(call) => self.leases.get(call).and_then(rows::text),
            Row::Event(number) => self.outbox.entry(number).and_then(rows::text),
            Row::Account(_) | Row::Errors(_) | Row::Session(_) => None,
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
                    gate.outbox.set_head(head.outbox);
                }
                Row::Lease(call) => {
                    if let Some(lease) = rows::read(&text) {
                        gate.leases.put(call, lease);
                    }
                }
                Row::Event(number) => {
                    if let Some(entry) = rows::read(&text) {
                        gate.outbox.restore(number, entry);
                    }
                }
                Row::Account(_) | Row::Errors(_) | Row::Session(_) => {}
            }
        }
        gate
    }
}
