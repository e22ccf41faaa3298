//! Settled events on their way to the store, in the order they came.
//!
//! They leave in batches. A batch keeps its events until the store has them, however often it is sent, so
//! that the store can tell a repeated batch by its first event. While the store is away the pauses grow;
//! what the store refuses for good is found event by event and given up. Bounded: the oldest goes first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// Events of one batch, and the bytes after which one is full: a store's request has a limit.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 512 << 10;

/// With so many events waiting there is no more waiting for others.
const PLENTY: usize = 200;

/// Events kept while the store is away; about 1 KiB each.
pub const CAPACITY: usize = 10_000;

/// A batch whose end nobody told is sent again after this.
const RESEND_MS: u64 = 30_000;

/// Pauses after failures: the first, doubled with each in a row up to the last.
const FIRST_PAUSE_MS: u64 = 1_000;
const LAST_PAUSE_MS: u64 = 60_000;

/// Refusals in a row after which a batch is taken apart, or its one event given up.
const REFUSALS: u32 = 3;

/// One call's event, as text that means something to the host only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub call: CallId,
    pub text: String,
    /// The store may have an event of this call already: it must look before it writes.
    pub doubtful: bool,
    /// Nobody told of the call's end: the text is the note it was admitted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// The key of a call that was lost, as it was when the call was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub key_id: String,
    pub key_name: String,
}

/// Events that are written together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Numbers of its first and last event; this outbox has no other batch with the same.
    pub first: u64,
    pub last: u64,
    pub entries: Vec<Entry>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sent {
    Written,
    /// The store could not be reached, or not in time.
    Away,
    /// The store is there and does not take it.
    Refused,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Outbox {
    pub(crate) head: Head,
    entries: BTreeMap<u64, Entry>,
}

/// All but the events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Head {
    /// Number of the next event.
    next: u64,
    /// Number of the last event of the batch on its way.
    batch: Option<u64>,
    /// When the next batch is to be sent.
    due: Option<Deadline>,
    failures: u32,
    refusals: u32,
    /// Events that are sent one by one, because one of them was refused.
    apart: u64,
    /// Events given up, ever.
    given_up: u64,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.head.given_up
    }

    pub(crate) fn due(&self) -> Option<Millis> {
        self.head.due.map(Deadline::until)
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// In whatever order head and events are read.
    pub(crate) fn set_head(&mut self, head: Head) {
        let next = self.head.next.max(head.next);
        self.head = Head { next, ..head };
    }

    pub(crate) fn restore(&mut self, number: u64, entry: Entry) {
        self.head.next = self.head.next.max(number.saturating_add(1));
        self.entries.insert(number, entry);
    }

    /// Takes an event in. Of two events of one call, that of its settlement stays.
    pub(crate) fn push(&mut self, now: Millis, entry: Entry, wait_ms: u64, rows: &mut Vec<Row>) {
        if entry.doubtful
            && let Some((number, held)) = self.entries.iter_mut().find(|(_, held)| held.call == entry.call)
        {
            let on_its_way = self.head.batch.is_some_and(|last| *number <= last);
            if held.lost.is_some() && entry.lost.is_none() && !on_its_way {
                *held = entry;
                rows.push(Row::Event(*number));
                if self.hasten(now, wait_ms) {
                    rows.push(Row::Head);
                }
            }
            return;
        }
        rows.extend([Row::Head, Row::Event(self.head.next)]);
        self.entries.insert(self.head.next, entry);
        self.head.next = self.head.next.saturating_add(1);
        if self.entries.len() > CAPACITY {
            let first = self.head.batch.map_or(0, |last| last.saturating_add(1));
            if let Some(oldest) = self.entries.range(first..).next().map(|(number, _)| *number) {
                self.entries.remove(&oldest);
                self.head.given_up = self.head.given_up.saturating_add(1);
                rows.push(Row::Event(oldest));
            }
        }
        let plenty = self.entries.len() >= PLENTY;
        self.hasten(now, if plenty { 0 } else { wait_ms });
    }

    /// Sees to it that the next batch is sent at most so much later. What is known of a lost call waits long, and
    /// nothing else waits with it. The pause after a failure stays as it is. Says whether anything changed.
    fn hasten(&mut self, now: Millis, wait_ms: u64) -> bool {
        let due = Deadline::after(now, wait_ms);
        let pauses = self.head.batch.is_some() || self.head.failures > 0;
        let hastens = match self.head.due {
            None => true,
            Some(held) => !pauses && due.until() < held.until(),
        };
        if hastens {
            self.head.due = Some(due);
        }
        hastens
    }

    /// The batch to be sent now: the one on its way, or the next; `None`: nothing is due.
    pub(crate) fn take(&mut self, now: Millis, rows: &mut Vec<Row>) -> Option<Batch> {
        if !self.head.due.is_some_and(|due| due.passed(now)) {
            return None;
        }
        let last = match self.head.batch {
            Some(last) => last,
            None => self.next_batch()?,
        };
        self.head.batch = Some(last);
        self.head.due = Some(Deadline::after(now, RESEND_MS));
        rows.push(Row::Head);
        let (first, _) = self.entries.first_key_value()?;
        let entries = self.entries.range(..=last).map(|(_, entry)| entry.clone());
        Some(Batch {
            first: *first,
            last,
            entries: entries.collect(),
        })
    }

    fn next_batch(&mut self) -> Option<u64> {
        let most = if self.head.apart > 0 { 1 } else { BATCH };
        let mut bytes = 0;
        let mut last = None;
        for (number, entry) in self.entries.iter().take(most) {
            bytes += entry.text.len();
            if last.is_some() && bytes > BATCH_BYTES {
                break;
            }
            last = Some(*number);
        }
        if last.is_none() {
            self.head.due = None;
        }
        last
    }

    /// How the batch that ends with the event `last` fared. Gives what was given up.
    pub(crate) fn sent(&mut self, now: Millis, last: u64, sent: Sent, rows: &mut Vec<Row>) -> Vec<Entry> {
        if self.head.batch != Some(last) {
            return Vec::new();
        }
        rows.push(Row::Head);
        let pause = |count: u32| {
            let doubled = FIRST_PAUSE_MS.saturating_mul(1 << count.min(16));
            Deadline::after(now, doubled.min(LAST_PAUSE_MS))
        };
        match sent {
            Sent::Away => {
                self.head.due = Some(pause(self.head.failures));
                self.head.failures = self.head.failures.saturating_add(1);
                return Vec::new();
            }
            Sent::Refused if self.head.refusals + 1 < REFUSALS => {
                self.head.due = Some(pause(self.head.refusals));
                self.head.refusals += 1;
                return Vec::new();
            }
            Sent::Written | Sent::Refused => {}
        }
        let numbers: Vec<u64> = self.entries.range(..=last).map(|(number, _)| *number).collect();
        self.head.batch = None;
        (self.head.failures, self.head.refusals) = (0, 0);
        let mut given_up = Vec::new();
        if sent == Sent::Refused && numbers.len() > 1 {
            self.head.apart = numbers.len() as u64;
        } else {
            for number in &numbers {
                rows.push(Row::Event(*number));
                given_up.extend(self.entries.remove(number));
            }
            self.head.apart = self.head.apart.saturating_sub(1);
            match sent {
                Sent::Refused => self.head.given_up = self.head.given_up.saturating_add(numbers.len() as u64),
                Sent::Written | Sent::Away => given_up.clear(),
            }
        }
        self.head.due = (!self.entries.is_empty()).then(|| Deadline::after(now, 0));
        given_up
    }

    pub(crate) fn set_back(&mut self, now: Millis) {
        if let Some(due) = &mut self.head.due {
            due.set_back(now);
        }
    }
}

#[cfg(test)]
mod tests;
