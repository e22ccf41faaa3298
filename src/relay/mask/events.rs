//! Error events of a stream, and nothing else of it: what the model says passes byte for byte.
//!
//! Most chunks are whole events of which none speaks of an error: one search finds that out. An event that
//! begins like an error is held until its end is here, as a secret may lie across two chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::SecretMask;
use crate::provider::begins_like_an_error;
use crate::store::accounts::LiveAccount;

/// More of an error event is not held, bytes.
const LONGEST_EVENT: usize = 64 << 10;

/// What is between two events.
const BORDERS: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];

const LONGEST_BORDER: usize = 4;

pub(in crate::relay) struct EventMask {
    account: Arc<LiveAccount>,
    /// Made when it is needed first.
    mask: Option<SecretMask>,
    /// Whether the body is a stream of events: else it is one JSON text.
    events: bool,
    /// The beginning of an event that may be an error.
    held: BytesMut,
    /// The end of an event that is none is still to come.
    within: bool,
    /// The last bytes of what went on of that event.
    last: Bytes,
}

impl EventMask {
    pub(in crate::relay) fn new(account: Arc<LiveAccount>, events: bool) -> Self {
        Self {
            account,
            mask: None,
            events,
            held: BytesMut::new(),
            within: false,
            last: Bytes::new(),
        }
    }

    /// What of the stream may go on; the same bytes, most of the time.
    pub(in crate::relay) fn pass(&mut self, data: Bytes) -> Bytes {
        let speaks_of_errors = || memmem::find(&data, b"error").is_some();
        if !self.events {
            return if speaks_of_errors() {
                self.mask().raw(data)
            } else {
                data
            };
        }
        if self.held.is_empty() && ends_an_event(&data) && !speaks_of_errors() {
            self.within = false;
            return data;
        }
        self.event_by_event(data)
    }

    /// What was held when the stream ended.
    pub(in crate::relay) fn rest(&mut self) -> Bytes {
        let rest = self.held.split().freeze();
        if rest.is_empty() {
            rest
        } else {
            self.mask().raw(rest)
        }
    }

    fn event_by_event(&mut self, data: Bytes) -> Bytes {
        let whole = if self.held.is_empty() {
            data
        } else {
            self.held.extend_from_slice(&data);
            self.held.split().freeze()
        };
        let mut passed = 0;
        // Only if there is something to hide.
        let mut changed: Option<BytesMut> = None;
        while passed < whole.len() {
            let rest = whole.slice(passed..);
            let starts = !self.within;
            let blank = rest
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            let end = if starts && blank > 0 {
                // Empty lines between events are of neither.
                Some(blank)
            } else if starts {
                event_end(&rest)
            } else {
                self.end_of_begun(&rest)
            };
            let event = rest.slice(..end.unwrap_or(rest.len()));
            let is_error = starts && begins_like_an_error(&event);
            if is_error && end.is_none() && event.len() < LONGEST_EVENT {
                self.held.extend_from_slice(&event);
                break;
            }
            self.within = end.is_none();
            let told = if is_error {
                self.mask().raw(event.clone())
            } else {
                event.clone()
            };
            match &mut changed {
                Some(changed) => changed.extend_from_slice(&told),
                None if told != event => {
                    let mut begun = BytesMut::from(whole.get(..passed).unwrap_or_default());
                    begun.extend_from_slice(&told);
                    changed = Some(begun);
                }
                None => {}
            }
            passed += event.len();
        }
        if self.within {
            let from = passed.saturating_sub(LONGEST_BORDER - 1);
            self.last = whole.slice(from..passed);
        }
        changed.map_or_else(|| whole.slice(..passed), BytesMut::freeze)
    }

    /// Where the event ends of which the beginning went on already: the empty line may have begun there.
    fn end_of_begun(&self, data: &[u8]) -> Option<usize> {
        let across = BORDERS.iter().filter_map(|border| {
            (1..border.len()).find_map(|cut| {
                let (begun, left) = border.split_at_checked(cut)?;
                (self.last.ends_with(begun) && data.starts_with(left)).then_some(left.len())
            })
        });
        across.min().or_else(|| event_end(data))
    }

    fn mask(&mut self) -> &SecretMask {
        self.mask.get_or_insert_with(|| SecretMask::of(&self.account))
    }
}

fn ends_an_event(data: &[u8]) -> bool {
    BORDERS.iter().any(|border| data.ends_with(border))
}

/// Where the first event ends, with its empty line.
fn event_end(data: &[u8]) -> Option<usize> {
    let ends = BORDERS
        .iter()
        .filter_map(|border| Some(memmem::find(data, border)? + border.len()));
    ends.min()
}
