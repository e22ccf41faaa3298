//! A queue whose events leave in batches.
//!
//! A batch keeps its events until the store has them, however often it is sent, so that the store recognises a repeated
//! batch by its first event. While the store is unavailable the pauses grow; an event that the store refuses for good is
//! isolated and given up. Bounded: the oldest event that is not in flight is dropped first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SendResult;
use crate::Millis;
use crate::rows::Row;
use crate::time::Deadline;

/// A batch whose result was never reported is sent again after this.
pub(super) const RESEND_MS: u64 = 30_000;

/// Consecutive refusals after which a batch is taken apart, or its single event given up.
const REFUSALS: u32 = 3;

/// An event of a queue. Copies should be cheap: a batch is a copy.
pub trait Queued: Clone {
    const BOUNDS: Bounds;

    /// Approximate size.
    fn bytes(&self) -> usize;
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events of one batch.
    pub batch: usize,
    /// Bytes after which a batch is full.
    pub batch_bytes: usize,
    /// Events kept while the store is unavailable.
    pub capacity: usize,
    /// Pauses after failures: the first, doubled with each consecutive failure up to the last.
    pub first_pause_ms: u64,
    pub last_pause_ms: u64,
}

/// Events that are written together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch<E = super::Entry> {
    /// Numbers of its first and last event; no other batch of this queue has the same.
    pub first: u64,
    pub last: u64,
    pub entries: Vec<E>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue<E> {
    pub(crate) head: Head,
    entries: BTreeMap<u64, E>,
}

/// Everything except the events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Head {
    /// Number of the next event.
    next: u64,
    /// Number of the last event of the batch in flight.
    batch: Option<u64>,
    /// When the next batch is to be sent.
    due: Option<Deadline>,
    failures: u32,
    refusals: u32,
    /// Events that are sent one by one, because one of them was refused.
    apart: u64,
    /// Number of events ever given up.
    given_up: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            head: Head::default(),
            entries: BTreeMap::new(),
        }
    }
}

impl<E: Queued> Queue<E> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of events ever dropped or refused.
    pub fn given_up(&self) -> u64 {
        self.head.given_up
    }

    /// When the next batch is to be sent; after a failure, the end of the pause.
    pub fn due(&self) -> Option<Millis> {
        self.head.due.map(Deadline::until)
    }

    /// The events, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &E> {
        self.entries.values()
    }

    /// Whether a batch was taken and its result was not reported.
    pub fn is_sending(&self) -> bool {
        self.head.batch.is_some()
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&E> {
        self.entries.get(&number)
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.entries.keys().copied()
    }

    /// Head and events may be read in any order.
    pub(crate) fn set_head(&mut self, head: Head) {
        let next = self.head.next.max(head.next);
        self.head = Head { next, ..head };
    }

    pub(crate) fn put_row(&mut self, number: u64, entry: Option<E>) {
        let Some(entry) = entry else {
            self.entries.remove(&number);
            return;
        };
        self.head.next = self.head.next.max(number.saturating_add(1));
        self.entries.insert(number, entry);
    }

    pub(super) fn find(&self, is_it: impl Fn(&E) -> bool) -> Option<(u64, &E)> {
        let mut entries = self.entries.iter();
        entries
            .find(|(_, entry)| is_it(entry))
            .map(|(number, entry)| (*number, entry))
    }

    pub(super) fn is_in_flight(&self, number: u64) -> bool {
        self.head.batch.is_some_and(|last| number <= last)
    }

    pub(super) fn replace(&mut self, number: u64, entry: E) {
        self.entries.insert(number, entry);
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.entries.remove(&number);
    }

    /// Adds an event. Returns its number, and that of the event that was dropped for it.
    pub fn push_back(&mut self, entry: E) -> (u64, Option<u64>) {
        let number = self.head.next;
        self.entries.insert(number, entry);
        self.head.next = number.saturating_add(1);
        if self.entries.len() <= E::BOUNDS.capacity {
            return (number, None);
        }
        let first = self.head.batch.map_or(0, |last| last.saturating_add(1));
        let oldest = self.entries.range(first..).next().map(|(number, _)| *number);
        if let Some(oldest) = oldest {
            self.entries.remove(&oldest);
            self.head.given_up = self.head.given_up.saturating_add(1);
        }
        (number, oldest)
    }

    /// Makes the next batch due within this time. The note of a lost call waits long, and no other event waits with
    /// it. The pause after a failure stays. Returns whether anything changed.
    pub(super) fn hasten(&mut self, now: Millis, wait_ms: u64) -> bool {
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

    /// The batch to send now, due or not; `None`: there are no events.
    pub fn take_now(&mut self, now: Millis) -> Option<Batch<E>> {
        self.head.due = Some(Deadline::after(now, 0));
        self.take(now, &mut Vec::new())
    }

    /// The batch to send now: the one in flight, or the next; `None`: nothing is due.
    pub(crate) fn take(&mut self, now: Millis, rows: &mut Vec<Row>) -> Option<Batch<E>> {
        if !self.head.due.is_some_and(|due| due.passed(now)) {
            return None;
        }
        let last = match self.head.batch {
            Some(last) => last,
            None => {
                rows.push(Row::Head);
                self.next_batch()?
            }
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
        let most = if self.head.apart > 0 { 1 } else { E::BOUNDS.batch };
        let mut bytes = 0_usize;
        let mut last = None;
        for (number, entry) in self.entries.iter().take(most) {
            bytes = bytes.saturating_add(entry.bytes());
            if last.is_some() && bytes > E::BOUNDS.batch_bytes {
                break;
            }
            last = Some(*number);
        }
        if last.is_none() {
            self.head.due = None;
        }
        last
    }

    /// Records the result of the batch that ends with the event `last`. Returns the events that were given up.
    pub fn sent(&mut self, now: Millis, last: u64, sent: SendResult, rows: &mut Vec<Row>) -> Vec<E> {
        if self.head.batch != Some(last) {
            return Vec::new();
        }
        rows.push(Row::Head);
        let Bounds {
            first_pause_ms,
            last_pause_ms,
            ..
        } = E::BOUNDS;
        let pause = |count: u32| {
            let doubled = first_pause_ms.saturating_mul(1 << count.min(16));
            Deadline::after(now, doubled.min(last_pause_ms))
        };
        match sent {
            SendResult::Away => {
                self.head.due = Some(pause(self.head.failures));
                self.head.failures = self.head.failures.saturating_add(1);
                return Vec::new();
            }
            SendResult::Refused if self.head.refusals + 1 < REFUSALS => {
                self.head.due = Some(pause(self.head.refusals));
                self.head.refusals += 1;
                return Vec::new();
            }
            SendResult::Written | SendResult::Refused => {}
        }
        let numbers: Vec<u64> = self.entries.range(..=last).map(|(number, _)| *number).collect();
        self.head.batch = None;
        (self.head.failures, self.head.refusals) = (0, 0);
        let mut given_up = Vec::new();
        if sent == SendResult::Refused && numbers.len() > 1 {
            self.head.apart = numbers.len() as u64;
        } else {
            for number in &numbers {
                rows.push(Row::Event(*number));
                given_up.extend(self.entries.remove(number));
            }
            self.head.apart = self.head.apart.saturating_sub(1);
            match sent {
                SendResult::Refused => {
                    self.head.given_up = self.head.given_up.saturating_add(numbers.len() as u64);
                }
                SendResult::Written | SendResult::Away => given_up.clear(),
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
