//! Reads protocols described by tables of paths.
//!
//! A protocol lists paths and the meaning of their values ([`Rule`]). The same table reads a whole answer, a list
//! of answers, and a stream of events, whose data are separate texts. The result does not depend on how the
//! network cuts the bytes.

use super::pick::Picker;
pub use super::table::{AnswerFacts, Reading, Rule};
use super::{LastEvent, Measurement, Tap};
use crate::dialect::wire::lines::Splitter;

/// An answer in one piece: an object, or a list of them.
#[derive(Debug)]
pub(crate) struct Whole {
    picker: Picker,
    seen: AnswerFacts,
}

impl Whole {
    pub(crate) fn new(reading: &'static Reading) -> Self {
        Self {
            picker: Picker::new(reading),
            seen: AnswerFacts::default(),
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

    fn close(&mut self) -> LastEvent {
        LastEvent::Whole
    }

    fn finish(mut self: Box<Self>, complete: bool) -> Measurement {
        self.seen.text_ends();
        let whole = self.picker.is_done();
        self.seen.measured(whole, complete)
    }
}

/// A stream of events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>. Event names are ignored,
/// because these protocols have the type in the data.
#[derive(Debug)]
pub(crate) struct Events {
    picker: Picker,
    seen: AnswerFacts,
    /// Whether [`DONE`] ends the answer.
    mark: bool,
    /// Length of the match between the data and [`DONE`] so far; `None`: no match.
    marked: Option<usize>,
    /// State of the current event.
    event: Event,
    line: Line,
    splitter: Splitter,
    /// The last line was empty, or there was none yet.
    between: bool,
    began: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// This many bytes of `data:` have arrived.
    Start(usize),
    Data,
    Skip,
}

/// The state of an event whose empty line has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Only comments so far.
    Nothing,
    Fields,
    Data,
}

const DATA: &[u8] = b"data:";

/// Not JSON: the end marker of OpenAI's streams. Some hosts send it in other protocols, too.
const DONE: &[u8] = b"[DONE]";

impl Events {
    pub(crate) fn new(reading: &'static Reading) -> Self {
        Self {
            picker: Picker::new(reading),
            seen: AnswerFacts::default(),
            mark: reading.mark,
            event: Event::Nothing,
            marked: Some(0),
            line: Line::Start(0),
            splitter: Splitter::default(),
            between: true,
            began: false,
        }
    }

    /// Takes bytes of one line.
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
                // A line end separates two data lines.
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
        // JSON in one line is complete now, before the event's closing line.
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

    fn close(&mut self) -> LastEvent {
        let is_whole = match self.event {
            Event::Nothing => return LastEvent::Whole,
            Event::Fields => false,
            // Data that is not JSON is complete with its line.
            Event::Data => {
                let is_text = self.line == Line::Start(0) && !self.picker.began();
                is_text || self.picker.is_done() || self.is_marked()
            }
        };
        if !is_whole {
            return LastEvent::Cut;
        }
        self.event_ends();
        LastEvent::Whole
    }

    fn finish(mut self: Box<Self>, complete: bool) -> Measurement {
        // A complete last line counts even without its line end.
        self.event_ends();
        let whole = self.seen.ended;
        let nothing = complete && !self.began;
        self.seen.measured(whole, nothing)
    }
}
