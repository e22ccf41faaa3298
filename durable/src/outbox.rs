//! Settled events on their way to the store, in order of arrival.
//!
//! [`Queue`] says when which events are sent, and is used twice: by a gate that outlives the host of its calls (here),
//! and by a process for the calls of all keys, so that its batches are large.

mod queue;

use serde::{Deserialize, Serialize};

pub(crate) use self::queue::Head;
pub use self::queue::{Batch, Bounds, Queue, Queued};
use crate::rows::Row;
use crate::{CallId, Millis};

/// With this many waiting events the batch is sent at once.
const PLENTY: usize = 200;

/// Events kept while the store is unavailable.
pub const CAPACITY: usize = 10_000;

/// One call's event, as text that only the host can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub call: CallId,
    pub text: String,
    /// The store may already have an event of this call: it must check before it writes.
    pub doubtful: bool,
    /// The call never settled: the text is the note from its `Admit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostKey>,
}

/// The key of a lost call, as it was when the call was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostKey {
    pub key_id: String,
    pub key_name: String,
}

/// The result of sending a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendResult {
    Written,
    /// The store was unavailable, or too slow.
    Away,
    /// The store is available and refuses the batch.
    Refused,
}

/// The events of a gate.
pub(crate) type Outbox = Queue<Entry>;

impl Queued for Entry {
    const BOUNDS: Bounds = Bounds {
        batch: 500,
        // A store limits the size of a request.
        batch_bytes: 512 << 10,
        // About 1 KiB each.
        capacity: CAPACITY,
        first_pause_ms: 1_000,
        last_pause_ms: 60_000,
    };

    fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl Outbox {
    /// Adds an event. Of two events of one call, the one from its settlement stays.
    pub(crate) fn push(&mut self, now: Millis, entry: Entry, wait_ms: u64, rows: &mut Vec<Row>) {
        if entry.doubtful
            && let Some((number, held)) = self.find(|held| held.call == entry.call)
        {
            if held.lost.is_some() && entry.lost.is_none() && !self.is_in_flight(number) {
                self.replace(number, entry);
                rows.push(Row::Event(number));
                if self.hasten(now, wait_ms) {
                    rows.push(Row::Head);
                }
            }
            return;
        }
        let (number, dropped) = self.push_back(entry);
        rows.extend([Row::Head, Row::Event(number)]);
        rows.extend(dropped.map(Row::Event));
        let plenty = self.len() >= PLENTY;
        self.hasten(now, if plenty { 0 } else { wait_ms });
    }

    /// The call has settled, or lives after all: removes its event as a lost call, unless that is already in flight.
    pub(crate) fn recall(&mut self, call: CallId, rows: &mut Vec<Row>) {
        let lost = self.find(|held| held.call == call && held.lost.is_some());
        let lost = lost.map(|(number, _)| number);
        if let Some(number) = lost.filter(|number| !self.is_in_flight(*number)) {
            self.remove(number);
            rows.push(Row::Event(number));
        }
    }
}

#[cfg(test)]
mod tests;
