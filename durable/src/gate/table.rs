//! The gate as rows of a table: its head, and one row for each lease, each waiting call, each call whose lease ended
//! unsettled, each reservation for work that goes on, and each event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::spend::Spend;
use super::{Gate, KeyPolicy};
use crate::freshness::Freshness;
use crate::outbox;
use crate::rows::{self, Row, RowMachine};
use crate::time::{Deadline, Present};
use crate::{CallId, Millis};

/// The parts of a gate that exist once.
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

impl RowMachine for Gate {
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
            Row::Kept(call) => self.kept.get(call).and_then(rows::text),
            Row::Waiter(turn) => self.queue.get(turn).and_then(rows::text),
            Row::Event(number) => self.outbox.entry(number).and_then(rows::text),
            Row::Account(_) | Row::Errors(_) | Row::Session(_) | Row::Origin(_) | Row::Elsewhere(_) => None,
        }
    }

    fn rows(&self) -> Vec<Row> {
        std::iter::once(Row::Head)
            .chain(self.leases.calls().map(Row::Lease))
            .chain(self.ended.calls().map(Row::Ended))
            .chain(self.kept.calls().map(Row::Kept))
            .chain(self.queue.turns().map(Row::Waiter))
            .chain(self.outbox.numbers().map(Row::Event))
            .collect()
    }

    fn from_rows(all: impl IntoIterator<Item = (Row, String)>) -> Self {
        let mut gate = Self::default();
        for (row, text) in all {
            gate.put(row, Some(&text), &mut Vec::new());
        }
        gate
    }

    fn put(&mut self, row: Row, text: Option<&str>, woken: &mut Vec<CallId>) {
        match row {
            Row::Head => self.put_head(text.and_then(rows::read).unwrap_or_default()),
            Row::Lease(call) => {
                self.leases.free(call);
                if let Some(lease) = text.and_then(rows::read) {
                    self.leases.put(call, lease);
                }
            }
            Row::Ended(call) => self.ended.put_row(call, text.and_then(rows::read)),
            Row::Kept(call) => {
                self.kept.free(call);
                if let Some(kept) = text.and_then(rows::read) {
                    self.kept.put(call, kept);
                }
            }
            Row::Waiter(turn) => {
                let before = self.queue.put_row(turn, text.and_then(rows::read));
                woken.extend(before);
            }
            Row::Event(number) => self.outbox.put_row(number, text.and_then(rows::read)),
            Row::Account(_) | Row::Errors(_) | Row::Session(_) | Row::Origin(_) | Row::Elsewhere(_) => {}
        }
    }
}

impl Gate {
    fn put_head(&mut self, head: Head) {
        self.present = head.present;
        self.record = head.record;
        self.freshness = head.freshness;
        self.newest = head.newest;
        self.activated = head.activated;
        self.spend = head.spend;
        self.outbox.set_head(head.outbox);
    }
}
