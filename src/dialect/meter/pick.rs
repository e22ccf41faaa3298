//! Picks values out of a JSON text as its bytes pass.
//!
//! A table of paths selects the values. Lists do not count as a step of a path: `["choices", "delta"]` is that
//! field of every choice. Only selected values are captured (up to [`CAPTURE_BYTES`] each); everything else is
//! skipped, strings from quote to quote. It is not a validator: after broken JSON it reads nothing further.

use serde_json::Value;

use super::table::{AnswerFacts, KEY_BYTES, Reading, Take};

/// Maximum size of a captured value; longer ones are ignored.
pub(crate) const CAPTURE_BYTES: usize = 64 << 10;

/// Capacity kept for the next capture.
const KEPT_BYTES: usize = 4 << 10;

/// Maximum depth of objects and lists on a path. Deeper ones are skipped.
const MOST_LEVELS: usize = 12;

#[derive(Debug)]
pub(crate) struct Picker {
    reading: &'static Reading,
    state: State,
    levels: Vec<Level>,
    /// Inside a string: the last byte was a backslash.
    escaped: bool,
    key: [u8; KEY_BYTES],
    /// Length of the key, which may exceed the part held.
    key_len: usize,
    /// The position of the current value on the rules' paths.
    here: Place,
    sink: Sink,
    capture: Vec<u8>,
    gave_up: bool,
}

/// The rules whose paths lead here, one bit each, and the number of steps done.
#[derive(Clone, Copy, Debug)]
struct Place {
    rules: u64,
    steps: usize,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    list: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value's first byte is expected.
    Value,
    /// Between two members or elements: the next, a comma or the end is expected.
    Between,
    Key,
    Colon,
    String,
    Scalar,
    /// Inside a skipped value, at this depth.
    Nested {
        depth: u32,
    },
    NestedString {
        depth: u32,
    },
    /// The text's value has ended.
    Done,
    Dead,
}

#[derive(Clone, Copy, Debug)]
enum Sink {
    Nothing,
    /// The value is captured and read at its end.
    Capture(fn(&mut AnswerFacts, &Value)),
    /// Only its length counts.
    Content,
}

impl Picker {
    pub(crate) fn new(reading: &'static Reading) -> Self {
        Self {
            reading,
            state: State::Value,
            levels: Vec::new(),
            escaped: false,
            key: [0; KEY_BYTES],
            key_len: 0,
            here: Place {
                rules: u64::MAX,
                steps: 0,
            },
            sink: Sink::Nothing,
            capture: Vec::new(),
            gave_up: false,
        }
    }

    /// Prepares for another text.
    pub(crate) fn again(&mut self) {
        let mut capture = std::mem::take(&mut self.capture);
        capture.clear();
        capture.shrink_to(KEPT_BYTES);
        *self = Self {
            capture,
            levels: std::mem::take(&mut self.levels),
            ..Self::new(self.reading)
        };
        self.levels.clear();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the text's value has begun and is an object or a list.
    pub(crate) fn began(&self) -> bool {
        !self.levels.is_empty() || self.state == State::Done
    }

    /// The next bytes of the text.
    pub(crate) fn feed(&mut self, chunk: &[u8], seen: &mut AnswerFacts) {
        let mut rest = chunk;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Value => {
                    if byte.is_ascii_whitespace() {
                        tail
                    } else {
                        self.begin_value(byte);
                        // A scalar's first byte belongs to its text.
                        if self.state == State::Scalar { rest } else { tail }
                    }
                }
                State::Between => self.between(byte, rest, tail),
                State::Colon => {
                    if byte == b':' {
                        self.state = State::Value;
                    } else if !byte.is_ascii_whitespace() {
                        self.state = State::Dead;
                    }
                    tail
                }
                State::Key | State::String | State::NestedString { .. } => self.string(rest, seen),
                State::Scalar => {
                    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                    let end = rest.iter().position(ends).unwrap_or(rest.len());
                    let (part, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                    self.hold(part, seen);
                    if !tail.is_empty() {
                        self.end_value(seen);
                    }
                    tail
                }
                State::Nested { depth } => self.nested(rest, depth, seen),
                State::Done | State::Dead => return,
            };
        }
    }

    fn between<'a>(&mut self, byte: u8, rest: &'a [u8], tail: &'a [u8]) -> &'a [u8] {
        let Some(level) = self.levels.last().copied() else {
            self.state = State::Done;
            return tail;
        };
        match byte {
            b',' | b' ' | b'\n' | b'\r' | b'\t' => tail,
            b']' | b'}' if (byte == b']') == level.list => {
                self.levels.pop();
                if self.levels.is_empty() {
                    self.state = State::Done;
                }
                tail
            }
            b'"' if !level.list => {
                self.state = State::Key;
                self.key_len = 0;
                tail
            }
            _ if level.list => {
                self.here = level.place;
                self.state = State::Value;
                rest
            }
            _ => {
                self.state = State::Dead;
                tail
            }
        }
    }

    fn begin_value(&mut self, byte: u8) {
        self.capture.clear();
        self.gave_up = false;
        self.sink = Sink::Nothing;
        let Place { rules, steps } = self.here;
        let mut leads_on = false;
        for rule in self.reading.among(rules) {
            if rule.path.len() == steps {
                self.sink = match rule.take {
                    Take::Value(read) => Sink::Capture(read),
                    Take::Content => Sink::Content,
                };
            } else {
                leads_on |= rule.path.len() > steps;
            }
        }
        let picked = !matches!(self.sink, Sink::Nothing);
        self.state = match byte {
            b'"' => State::String,
            b'{' | b'[' if leads_on && !picked && self.levels.len() < MOST_LEVELS => {
                self.levels.push(Level {
                    list: byte == b'[',
                    place: self.here,
                });
                State::Between
            }
            b'{' | b'[' => State::Nested { depth: 1 },
            b',' | b'}' | b']' | b':' => State::Dead,
            _ => State::Scalar,
        };
        if matches!(self.state, State::String | State::Nested { .. }) && matches!(self.sink, Sink::Capture(_))
        {
            self.capture.push(byte);
        }
    }

    /// Skips a string up to its closing quote; returns the rest.
    fn string<'a>(&mut self, text: &'a [u8], seen: &mut AnswerFacts) -> &'a [u8] {
        let mut at = usize::from(std::mem::take(&mut self.escaped));
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(next) = memchr::memchr2(b'"', b'\\', rest) else {
                self.in_string(text, seen);
                return &[];
            };
            at += next + 1;
            if rest.get(next) == Some(&b'"') {
                break;
            }
            at += 1;
            if at > text.len() {
                self.escaped = true;
                self.in_string(text, seen);
                return &[];
            }
        }
        let (part, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
        match self.state {
            State::Key => {
                self.in_string(part.split_last().map_or(part, |(_, key)| key), seen);
                self.here = self.step();
                self.state = State::Colon;
            }
            State::NestedString { depth } => {
                self.in_string(part, seen);
                self.state = State::Nested { depth };
            }
            _ => {
                if matches!(self.sink, Sink::Content) {
                    // Without the closing quote.
                    seen.content(part.len() as u64 - 1);
                } else {
                    self.hold(part, seen);
                }
                self.end_value(seen);
            }
        }
        tail
    }

    fn in_string(&mut self, part: &[u8], seen: &mut AnswerFacts) {
        if self.state != State::Key {
            self.hold(part, seen);
            return;
        }
        for (slot, byte) in self.key.iter_mut().skip(self.key_len).zip(part) {
            *slot = *byte;
        }
        self.key_len += part.len();
    }

    /// The position of this key's value.
    fn step(&self) -> Place {
        let from = self.levels.last().map_or(self.here, |level| level.place);
        let key = self.key.get(..self.key_len).unwrap_or_default();
        let length = self.reading.by_length.get(from.steps);
        let mut left = from.rules
            & length
                .and_then(|length| length.get(self.key_len))
                .copied()
                .unwrap_or(0);
        let mut rules = 0;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            let path = self.reading.rules.get(at).map_or(&[][..], |rule| rule.path);
            if path.get(from.steps).is_some_and(|step| step.as_bytes() == key) {
                rules |= 1 << at;
            }
            left &= left - 1;
        }
        Place {
            rules,
            steps: from.steps + 1,
        }
    }

    fn nested<'a>(&mut self, text: &'a [u8], mut depth: u32, seen: &mut AnswerFacts) -> &'a [u8] {
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            at += 1;
            match byte {
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth -= 1,
                b'"' => {}
                _ => continue,
            }
            if *byte == b'"' || depth == 0 {
                let (part, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
                self.hold(part, seen);
                if depth == 0 {
                    self.end_value(seen);
                } else {
                    self.state = State::NestedString { depth };
                }
                return tail;
            }
        }
        self.hold(text, seen);
        self.state = State::Nested { depth };
        &[]
    }

    fn hold(&mut self, part: &[u8], seen: &mut AnswerFacts) {
        match self.sink {
            Sink::Nothing => {}
            Sink::Content => seen.content(part.len() as u64),
            Sink::Capture(_) if self.gave_up => {}
            Sink::Capture(_) if self.capture.len() + part.len() > CAPTURE_BYTES => {
                self.gave_up = true;
                self.capture = Vec::new();
            }
            Sink::Capture(_) => self.capture.extend_from_slice(part),
        }
    }

    fn end_value(&mut self, seen: &mut AnswerFacts) {
        self.state = if self.levels.is_empty() {
            State::Done
        } else {
            State::Between
        };
        if let Sink::Capture(read) = std::mem::replace(&mut self.sink, Sink::Nothing)
            && !self.gave_up
            && let Ok(value) = serde_json::from_slice::<Value>(&self.capture)
        {
            read(seen, &value);
        }
    }
}

#[cfg(test)]
mod tests;
