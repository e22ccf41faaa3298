//! Protocols described by tables: which values of an answer tell what.
//!
//! A provider names paths and says what the value at each means ([`Rule`]). The same table reads an answer
//! in one piece, a list of answers, and a stream of events, each of whose data is a text of its own. However
//! the network cuts the bytes, the same is read.

use serde_json::Value;

use super::hosted::HostedCalls;
use super::pick::{ByLength, Picker, by_length};
use super::{Last, Measured, ProviderError, Tap, bounded, guess};
use crate::model::price::Terms;
use crate::model::usage::{Quality, Tokens};

use crate::dialect::origin;
use crate::dialect::wire::lines::Splitter;

pub(crate) use crate::dialect::meter::count::{MOST_TOKENS, count};

/// How a protocol tells of usage.
#[derive(Debug)]
pub struct Reading {
    pub(crate) rules: &'static [Rule],
    pub(crate) by_length: ByLength,
    mark: bool,
}

impl Reading {
    /// At most 64 rules, with paths of at most six steps and keys of less than 24 bytes: more do not compile.
    /// `mark`: a stream is over when `[DONE]` has come.
    pub const fn new(rules: &'static [Rule], mark: bool) -> Self {
        Self {
            rules,
            by_length: by_length(rules),
            mark,
        }
    }

    /// The rules of these bits.
    pub(crate) fn among(&self, mut bits: u64) -> impl Iterator<Item = &'static Rule> {
        if self.rules.len() < 64 {
            bits &= (1 << self.rules.len()) - 1;
        }
        let rules = self.rules;
        std::iter::from_fn(move || {
            let rule = rules.get(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(rule)
        })
    }
}

/// A value of interest. Lists are no step of a path.
#[derive(Debug)]
pub struct Rule {
    pub path: &'static [&'static str],
    pub take: Take,
}

#[derive(Debug)]
pub enum Take {
    Value(fn(&mut Seen, &Value)),
    /// Generated content: its length is all that is of interest, and only if no usage is named.
    Content,
}

impl Rule {
    pub const fn value(path: &'static [&'static str], read: fn(&mut Seen, &Value)) -> Self {
        Self {
            path,
            take: Take::Value(read),
        }
    }

    pub const fn content(path: &'static [&'static str]) -> Self {
        Self {
            path,
            take: Take::Content,
        }
    }
}

/// What an answer has told so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// As the provider named them last.
    pub tokens: Option<Tokens>,
    pub terms: Terms,
    /// A figure cannot be true.
    pub doubtful: bool,
    pub error: Option<ProviderError>,
    /// The answer is over by its own word.
    pub ended: bool,
    model: Option<String>,
    message_id: Option<String>,
    reasoning: Option<u64>,
    stop_reason: Option<String>,
    content: u64,
    /// Of the text under way: it is an error by its type, and what it says.
    is_error: bool,
    says: Option<String>,
    /// Tools that the provider ran for the call.
    hosted: HostedCalls,
}

impl Seen {
    pub fn model(&mut self, value: &Value) {
        self.model = value
            .as_str()
            .map(|text| bounded(text, 200))
            .or(self.model.take());
    }

    pub fn message_id(&mut self, value: &Value) {
        self.message_id = value
            .as_str()
            .map(|text| bounded(text, 200))
            .or(self.message_id.take());
    }

    /// What only the account that made it can read, to be sent back in the conversation's next call.
    pub fn encrypted_reasoning(&mut self, value: &Value) {
        if let Some(content) = value.as_str() {
            self.reasoning = Some(origin::fingerprint(content.as_bytes()));
        }
    }

    /// Encrypted reasoning of an answer in one piece: the last one's fingerprint counts, and all of it is content.
    pub fn encrypted_output(&mut self, value: &Value) {
        self.encrypted_reasoning(value);
        self.content(value.as_str().map_or(0, str::len) as u64);
    }

    /// A reason to stop ends the answer; `null` is none.
    pub fn stop_reason(&mut self, value: &Value) {
        if let Some(reason) = value.as_str() {
            self.stop_reason = Some(bounded(reason, 64));
            self.ended = true;
        }
    }

    pub fn error(&mut self, value: &Value) {
        if let Some(error) = ProviderError::read(value) {
            self.error.get_or_insert(error);
            self.ended = true;
        }
    }

    /// The text itself is an error, which stands in its other fields.
    pub fn is_error(&mut self) {
        self.is_error = true;
    }

    pub fn says(&mut self, value: &Value) {
        self.says = value.as_str().map(|text| bounded(text, 2_000));
    }

    /// A name of a service tier.
    pub fn tier(&mut self, value: &Value) {
        if let Some(tier) = value.as_str() {
            // Names are short; a long one is nobody's tier.
            self.terms.tier = (tier.len() <= 32).then(|| tier.to_owned());
        }
    }

    /// For what tells of tools that the provider runs.
    pub fn hosted(&mut self) -> &mut HostedCalls {
        &mut self.hosted
    }

    /// A figure, cut to what can be true.
    pub fn figure(&mut self, value: Option<&Value>) -> u64 {
        let named = value.and_then(count).unwrap_or_default();
        self.doubtful |= named > MOST_TOKENS;
        named.min(MOST_TOKENS)
    }

    pub(crate) fn content(&mut self, bytes: u64) {
        self.content = self.content.saturating_add(bytes);
    }

    fn text_ends(&mut self) {
        self.hosted.text_ends();
        let says = self.says.take();
        if std::mem::take(&mut self.is_error) {
            self.error
                .get_or_insert_with(|| ProviderError::new("error", says.as_deref().unwrap_or_default()));
            self.ended = true;
        }
    }

    /// See [`super`] for how the quality is decided. `whole`: the body came to its own end.
    fn measured(self, whole: bool, nothing: bool) -> Measured {
        let mut tokens = self.tokens.unwrap_or_default();
        let mut terms = self.terms;
        let unknown = self.hosted.tell(&mut terms);
        // Servers that name no output while they send some mean "not counted".
        let hollow = tokens.output == 0 && self.content > EMPTY_CONTENT;
        let refused = self.error.is_some() && self.tokens.is_none() && self.content <= EMPTY_CONTENT;
        let whole = whole && self.error.is_none();
        let quality = if refused || (whole && self.tokens.is_some() && !hollow) {
            if self.doubtful || unknown {
                Quality::Estimated
            } else {
                Quality::Exact
            }
        } else {
            tokens.output = tokens.output.max(guess(self.content));
            if whole || nothing {
                Quality::Estimated
            } else {
                Quality::Partial
            }
        };
        Measured {
            model: self.model,
            message_id: self.message_id,
            reasoning: self.reasoning,
            tokens,
            terms,
            quality,
            stop_reason: self.stop_reason,
            error: self.error,
            counted: None,
        }
    }
}

/// `[]`, or a message with nothing in it.
const EMPTY_CONTENT: u64 = 40;

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
    /// What is here of the event under way.
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

/// Data that is no JSON, and OpenAI's way to say that a stream is over. Hosts send it in other protocols, too.
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
