//! Protocols described by tables: which values of an answer tell what.
//!
//! A provider names paths and says what the value at each means ([`Rule`]). The same table reads an answer
//! in one piece, a list of answers, and a stream of events, each of whose data is a text of its own. However
//! the network cuts the bytes, the same is read.

use super::pick::Picker;
pub use super::table::{Reading, Rule, Seen};
use super::{Last, Measured, Tap};
use crate::dialect::wire::lines::Splitter;

/// An answer in one piece: an object, or a list of them.
#[derive(Debug)]
pub(crate) struct Whole {
    picker: Picker,
    seen: Seen,
}

impl Whole {
    pub(crate) fn new(reading: &'static Reading) -> Self {
        Self {
            picker: Picker::new(reading),
            seen: Seen::default(),
        }
    }
}

impl Tap for Whole {
    fn feed(&mut self, chunk: &[u8]) {
        self.picker.feed(chunk, &mut self.seen);
    }

    fn ended(&self) -> bool {
        self.picker.is_done()
    }

    fn between_events(&self) -> Option<bool> {
        None
    }

    fn close(&mut self) -> Last {
        Last::Whole
    }

    fn finish(mut self: Box<Self>, complete: bool) -> Measured {
        self.seen.text_ends();
        let whole = self.picker.is_done();
        self.seen.measured(whole, complete)
    }
}

/// A stream of events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>. Names of events
/// are not looked at: these protocols say in the data what it is.
#[derive(Debug)]
pub(crate) struct Events {
    picker: Picker,
    seen: Seen,
    /// Whether [`DONE`] ends the answer.
    mark: bool,
    /// How much of [`DONE`] the data has been so far; `None`: it is something else.
    marked: Option<usize>,
    /// State of the current event.
    event: Event,
    line: Line,
    splitter: Splitter,
    /// The last line was empty, or none has begun.
    between: bool,
    began: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have come.
    Start(usize),
    Data,
    Skip,
}

/// Of an event whose empty line has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Comments at most.
    Nothing,
    Fields,
    Data,
}

const DATA: &[u8] = b"data:";

/// Not JSON: marks the end of OpenAI's streams. Hosts send it in other protocols, too.
const DONE: &[u8] = b"[DONE]";

impl Events {
    pub(crate) fn new(reading: &'static Reading) -> Self {
        Self {
            picker: Picker::new(reading),
            seen: Seen::default(),
            mark: reading.mark,
            event: Event::Nothing,
            marked: Some(0),
            line: Line::Start(0),
            splitter: Splitter::default(),
            between: true,
            began: false,
        }
    }

    /// Bytes of one line.
    fn part(&mut self, mut part: &[u8]) {
        while let Line::Start(known) = self.line {
            let Some((byte, rest)) = part.split_first() else {
                return;
            };
            self.between = false;
            if known == 0 && *byte != b':' && self.event == Event::Nothing {
                self.event = Event::Fields;
            }
            if DATA.get(known) != Some(byte) {
                self.line = Line::Skip;
            } else if known + 1 == DATA.len() {
                self.line = Line::Data;
                self.event = Event::Data;
                self.began = true;
                // Between two lines of data there is a line end.
                self.picker.feed(b"\n", &mut self.seen);
            } else {
                self.line = Line::Start(known + 1);
            }
            part = rest;
        }
        if self.line == Line::Data {
            self.compare(part);
            self.picker.feed(part, &mut self.seen);
        }
    }

    fn compare(&mut self, part: &[u8]) {
        let Some(marked) = &mut self.marked else {
            return;
        };
        for byte in part {
            match DONE.get(*marked) {
                Some(expected) if expected == byte => *marked += 1,
                _ if byte.is_ascii_whitespace() => {}
                _ => {
                    self.marked = None;
                    return;
                }
            }
        }
    }

    fn line_ends(&mut self) {
        let empty = self.line == Line::Start(0);
        // JSON in one line is whole now, and known before the event's closing line.
        if empty || self.picker.is_done() {
            self.event_ends();
        }
        self.between |= empty;
        self.line = Line::Start(0);
    }

    fn is_marked(&self) -> bool {
        self.marked == Some(DONE.len())
    }

    fn event_ends(&mut self) {
        self.seen.text_ends();
        self.seen.ended |= self.mark && self.is_marked();
        self.marked = Some(0);
        self.event = Event::Nothing;
        self.picker.again();
    }
}

impl Tap for Events {
    fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(part) = self.splitter.next(&mut rest) {
            self.part(part.bytes);
            if part.is_last {
                self.line_ends();
            }
        }
    }

    fn ended(&self) -> bool {
        self.seen.ended
    }

    fn between_events(&self) -> Option<bool> {
        Some(self.between && self.line == Line::Start(0))
    }

    fn close(&mut self) -> Last {
        let is_whole = match self.event {
            Event::Nothing => return Last::Whole,
            Event::Fields => false,
            // A text that is no JSON is whole with its line.
            Event::Data => {
                let is_text = self.line == Line::Start(0) && !self.picker.began();
                is_text || self.picker.is_done() || self.is_marked()
            }
        };
        if !is_whole {
            return Last::Cut;
        }
        self.event_ends();
        Last::Whole
    }

    fn finish(mut self: Box<Self>, complete: bool) -> Measured {
        // A last line without its end still counts, if it is whole.
        self.event_ends();
        let whole = self.seen.ended;
        let nothing = complete && !self.began;
        self.seen.measured(whole, nothing)
    }
}
