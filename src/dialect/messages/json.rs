//! Reads usage from an Anthropic JSON answer as its bytes pass.
//!
//! The body is one object with a few small values of interest. The reader scans the top level, captures those
//! values (up to [`CAPTURE_BYTES`] each), and skips all others, strings from quote to quote. It is not a
//! validator: if the body is not an object, or is broken, it reads nothing further.

use serde_json::Value;

use super::usage::Tally;
use crate::dialect::meter::count::count;
use crate::dialect::meter::{Measurement, ProviderError, bounded, guess};
use crate::model::usage::Quality;

/// Maximum size of a captured value; longer ones are ignored.
pub const CAPTURE_BYTES: usize = 64 << 10;

/// Longer than every key of interest.
const KEY_BYTES: usize = 24;

#[derive(Debug)]
pub struct JsonTap {
    state: State,
    /// Inside a string: the last byte was a backslash.
    escaped: bool,
    key: [u8; KEY_BYTES],
    /// Length of the key, which may exceed the part held.
    key_len: usize,
    want: Want,
    capture: Vec<u8>,
    gave_up: bool,
    tally: Tally,
    model: Option<String>,
    message_id: Option<String>,
    stop_reason: Option<String>,
    error: Option<ProviderError>,
    counted: Option<u64>,
    /// Bytes of the value of `content`.
    content: u64,
    /// Number of web search results in it.
    searches: u64,
    /// The last text of a block was the key `type`.
    after_type: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the object.
    Before,
    /// Between two members: a key, a comma or the end is expected.
    Between,
    Key,
    Colon,
    /// The value's first byte is expected.
    Value,
    String,
    /// A number, `true`, `false` or `null`.
    Scalar,
    /// Inside an object or list, at this depth.
    Nested {
        depth: u32,
    },
    /// Inside a string there.
    NestedString {
        depth: u32,
    },
    /// The object is closed.
    Done,
    /// Not an object, or not JSON.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    /// Only its length.
    Content,
    Usage,
    Model,
    Id,
    StopReason,
    Error,
    /// The container in which the provider ran code.
    Container,
    /// The result of a token count.
    InputTokens,
}

impl Default for JsonTap {
    fn default() -> Self {
        Self {
            state: State::Before,
            escaped: false,
            key: [0; KEY_BYTES],
            key_len: 0,
            want: Want::Nothing,
            capture: Vec::new(),
            gave_up: false,
            tally: Tally::default(),
            model: None,
            message_id: None,
            stop_reason: None,
            error: None,
            counted: None,
            content: 0,
            searches: 0,
            after_type: false,
        }
    }
}

impl JsonTap {
    /// The next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Before => {
                    if !byte.is_ascii_whitespace() {
                        self.state = if byte == b'{' { State::Between } else { State::Dead };
                    }
                    tail
                }
                State::Between => {
                    match byte {
                        b'"' => {
                            self.state = State::Key;
                            self.key_len = 0;
                        }
                        b'}' => self.state = State::Done,
                        b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                        _ => self.state = State::Dead,
                    }
                    tail
                }
                State::Colon => {
                    if byte == b':' {
                        self.state = State::Value;
                    } else if !byte.is_ascii_whitespace() {
                        self.state = State::Dead;
                    }
                    tail
                }
                State::Value => {
                    if byte.is_ascii_whitespace() {
                        tail
                    } else {
                        self.begin_value(byte);
                        // A scalar's first byte belongs to its text.
                        if self.state == State::Scalar { rest } else { tail }
                    }
                }
                State::Key | State::String | State::NestedString { .. } => self.string(rest),
                State::Scalar => {
                    let ends = |byte: &u8| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace();
                    let end = rest.iter().position(ends).unwrap_or(rest.len());
                    let (part, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                    self.hold(part);
                    if !tail.is_empty() {
                        self.end_value();
                    }
                    tail
                }
                State::Nested { depth } => self.nested(rest, depth),
                State::Done | State::Dead => return,
            };
        }
    }

    pub fn ended(&self) -> bool {
        self.state == State::Done
    }

    /// See [`crate::dialect::meter`] for the quality. Usage in a JSON answer is always final, and an error body
    /// means that nothing is billed.
    pub fn finish(mut self, complete: bool) -> Measurement {
        self.tally.shows_searches(self.searches);
        let mut tokens = self.tally.tokens();
        let hollow = tokens.output == 0 && self.content > EMPTY_CONTENT;
        let free = self.error.is_some() || self.counted.is_some();
        let quality = if !self.tally.any() && free || self.tally.any() && !hollow {
            if self.tally.doubtful() {
                Quality::Estimated
            } else {
                Quality::Exact
            }
        } else {
            tokens.output = tokens.output.max(guess(self.content));
            if self.state == State::Done || complete {
                Quality::Estimated
            } else {
                Quality::Partial
            }
        };
        Measurement {
            reasoning: None,
            model: self.model,
            message_id: self.message_id,
            tokens,
            terms: self.tally.terms().clone(),
            quality,
            stop_reason: self.stop_reason,
            error: self.error,
            counted: self.counted,
        }
    }

    /// Skips a string up to its closing quote; returns the rest.
    fn string<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut at = 0;
        if self.escaped {
            self.escaped = false;
            at = 1;
        }
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(next) = memchr::memchr2(b'"', b'\\', rest) else {
                self.in_string(text);
                return &[];
            };
            at += next + 1;
            if rest.get(next) == Some(&b'"') {
                break;
            }
            at += 1;
            if at > text.len() {
                self.escaped = true;
                self.in_string(text);
                return &[];
            }
        }
        let (part, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
        match self.state {
            State::Key => {
                self.in_string(part.split_last().map_or(part, |(_, key)| key));
                self.want = self.wanted();
                self.state = State::Colon;
            }
            State::NestedString { depth } => {
                self.in_string(part);
                self.block_text(depth);
                self.state = State::Nested { depth };
            }
            _ => {
                self.in_string(part);
                self.end_value();
            }
        }
        tail
    }

    fn in_string(&mut self, part: &[u8]) {
        if self.state == State::Key || self.is_block_text() {
            for byte in part
                .iter()
                .take(KEY_BYTES.saturating_sub(self.key_len))
                .enumerate()
            {
                if let Some(slot) = self.key.get_mut(self.key_len + byte.0) {
                    *slot = *byte.1;
                }
            }
            self.key_len += part.len();
        }
        if self.state != State::Key {
            self.hold(part);
        }
    }

    /// Whether a key or text of a block, or of an object in it, is being read.
    fn is_block_text(&self) -> bool {
        self.want == Want::Content && matches!(self.state, State::NestedString { depth: 2 | 3 })
    }

    /// Called at the end of such a text, including its closing quote.
    fn block_text(&mut self, depth: u32) {
        if !self.is_block_text() {
            return;
        }
        let text = self.key.get(..self.key_len.min(KEY_BYTES)).unwrap_or_default();
        if self.after_type && depth == 2 && text == b"web_search_tool_result\"" {
            self.searches += 1;
        }
        // In place of the results: a failed search, which is free.
        if self.after_type && depth == 3 && self.key_len == ERROR_TYPE.len() && ERROR_TYPE.starts_with(text) {
            self.searches = self.searches.saturating_sub(1);
        }
        self.after_type = text == b"type\"";
    }

    fn wanted(&self) -> Want {
        match self.key.get(..self.key_len).unwrap_or_default() {
            b"content" => Want::Content,
            b"usage" => Want::Usage,
            b"model" => Want::Model,
            b"id" => Want::Id,
            b"stop_reason" => Want::StopReason,
            b"error" => Want::Error,
            b"container" => Want::Container,
            b"input_tokens" => Want::InputTokens,
            _ => Want::Nothing,
        }
    }

    fn begin_value(&mut self, byte: u8) {
        self.capture.clear();
        self.gave_up = false;
        if self.want == Want::Content {
            self.content = 0;
            self.searches = 0;
            self.after_type = false;
        }
        self.state = match byte {
            b'"' => State::String,
            b'{' | b'[' => State::Nested { depth: 1 },
            b',' | b'}' | b']' | b':' => State::Dead,
            _ => State::Scalar,
        };
        if matches!(self.state, State::String | State::Nested { .. }) {
            self.hold(&[byte]);
        }
    }

    fn nested<'a>(&mut self, text: &'a [u8], mut depth: u32) -> &'a [u8] {
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth -= 1,
                b'"' => {}
                _ => continue,
            }
            if *byte == b'"' || depth == 0 {
                let (part, tail) = text.split_at_checked(at + 1).unwrap_or((text, &[]));
                self.hold(part);
                if depth == 0 {
                    self.end_value();
                } else {
                    self.state = State::NestedString { depth };
                    self.key_len = 0;
                }
                return tail;
            }
        }
        self.hold(text);
        self.state = State::Nested { depth };
        &[]
    }

    fn hold(&mut self, part: &[u8]) {
        match self.want {
            Want::Nothing => {}
            Want::Content => self.content = self.content.saturating_add(part.len() as u64),
            _ if self.gave_up => {}
            _ if self.capture.len() + part.len() > CAPTURE_BYTES => {
                self.gave_up = true;
                self.capture = Vec::new();
            }
            _ => self.capture.extend_from_slice(part),
        }
    }

    fn end_value(&mut self) {
        self.state = State::Between;
        if matches!(self.want, Want::Nothing | Want::Content) || self.gave_up {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&self.capture) else {
            return;
        };
        let text = |most| value.as_str().map(|text| bounded(text, most));
        match self.want {
            Want::Usage => self.tally.take(&value),
            Want::Model => self.model = text(200),
            Want::Id => self.message_id = text(200),
            Want::StopReason => self.stop_reason = text(64),
            Want::Error => self.error = ProviderError::read(&value),
            Want::Container if value.is_object() => self.tally.ran_code(),
            Want::InputTokens => self.counted = count(&value),
            Want::Nothing | Want::Content | Want::Container => {}
        }
    }
}

/// Including its closing quote.
const ERROR_TYPE: &[u8] = b"web_search_tool_result_error\"";

/// Size of `[]`, or of an empty text block.
const EMPTY_CONTENT: u64 = 40;

#[cfg(test)]
mod tests;
