//! Reads an answer's usage while its bytes pass.
//!
//! A meter sees every chunk of a response body, however the network cut it, and is read at the end. It never
//! holds, changes or delays a byte, its memory is limited, and it costs tens of nanoseconds per text frame. It
//! reports how reliable its result is:
//!
//! | the answer | quality | tokens |
//! | --- | --- | --- |
//! | contained its final usage | exact | as reported |
//! | ended well without final usage | estimated | as reported, the output by its length |
//! | broke off, or ended without an end marker | partial | as reported, the output by its length |
//! | was an error before any message | exact | none: nothing is billed |
//!
//! An input that no event reported is estimated by the flight, which knows the request.
//!
//! Four bytes count as one token, without the envelope of each frame: correct within a factor of two for English,
//! too low for Chinese.

use crate::model::price::Terms;
use crate::model::usage::{Quality, Tokens};

pub mod count;
#[cfg(test)]
pub(crate) mod cuts;
pub mod hosted;
mod pick;
pub mod reading;
pub mod shape;
mod table;

use self::reading::{Events, Reading, Whole};

/// Measures one response body.
#[derive(Debug)]
pub struct Meter(Box<dyn Tap>);

/// Reads the bodies of one protocol and form.
pub(crate) trait Tap: std::fmt::Debug + Send + Sync {
    fn feed(&mut self, chunk: &[u8]);
    fn ended(&self) -> bool;
    /// `None` if the body is not a stream of events.
    fn between_events(&self) -> Option<bool>;
    /// See [`Meter::close`].
    fn close(&mut self) -> LastEvent;
    fn finish(self: Box<Self>, complete: bool) -> Measurement;
}

/// How a stream's bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEvent {
    /// Between two events, or after the complete data of one: some servers send no empty line at the end.
    Whole,
    /// Inside an event.
    Cut,
}

/// The figures read from a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The model named by the provider.
    pub model: Option<String>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// Fingerprint of the last encrypted reasoning in it, see `dialect::origin`.
    pub reasoning: Option<u64>,
    pub tokens: Tokens,
    pub terms: Terms,
    /// The quality of the tokens, independent of the price.
    pub quality: Quality,
    pub stop_reason: Option<String>,
    /// The provider's own error, in the stream or as the body.
    pub error: Option<ProviderError>,
    /// The result of a token count, which is free, so `tokens` is empty.
    pub counted: Option<u64>,
}

/// The provider's error message, only for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// `overloaded_error`, ...; at most 100 bytes; empty if there is none.
    pub kind: String,
    /// At most 2,000 bytes.
    pub message: String,
}

impl Meter {
    /// A meter that reads with `tap`.
    pub(crate) fn with(tap: Box<dyn Tap>) -> Self {
        Self(tap)
    }

    /// A meter for a protocol described by a table.
    pub fn reading(reading: &'static Reading, event_stream: bool) -> Self {
        if event_stream {
            Self(Box::new(Events::new(reading)))
        } else {
            Self(Box::new(Whole::new(reading)))
        }
    }

    /// The next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    /// Whether the answer announced its end: its last event or at least the stop reason or an error came, or the
    /// object closed. A body that ends before has been truncated, even if its connection closed normally.
    pub fn ended(&self) -> bool {
        self.0.ended()
    }

    /// Whether the body is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.0.between_events().is_some()
    }

    /// Whether an event of our own may be written now, because an empty line has closed the last one. If not, two
    /// line ends must precede it. Always true for JSON, where nothing can be written.
    pub fn between_events(&self) -> bool {
        self.0.between_events().unwrap_or(true)
    }

    /// Ends the input. The last event counts if it is complete. A stream ended well if this returns
    /// [`LastEvent::Whole`] and [`Self::ended`] is true afterwards:
    ///
    /// | protocol | end marker |
    /// | --- | --- |
    /// | Messages | `message_stop`; or `message_delta` with a `stop_reason`, as some servers send nothing after it |
    /// | Responses | `response.completed`, `.incomplete`, `.failed`: a final `status` |
    /// | Chat Completions | `[DONE]`, or a `finish_reason`, as some servers send no `[DONE]` |
    /// | Gemini, Code Assist | a `finishReason`, or the prompt's `blockReason` |
    /// | all | an error |
    ///
    /// A body that is not a stream is always [`LastEvent::Whole`]: its length or its JSON shows its end.
    pub fn close(&mut self) -> LastEvent {
        self.0.close()
    }

    /// `complete`: the body ended, and the connection neither broke nor was given up.
    pub fn finish(self, complete: bool) -> Measurement {
        self.0.finish(complete)
    }
}

/// Whether an answer with these headers is a stream of events.
pub fn streams(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    is_event_stream(kind.and_then(|kind| kind.to_str().ok()))
}

/// Whether a `content-type` is that of an event stream.
pub fn is_event_stream(content_type: Option<&str>) -> bool {
    let kind = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    kind.eq_ignore_ascii_case("text/event-stream")
}

impl ProviderError {
    /// Reads Anthropic's `{"type", "message"}`, OpenAI's and Google's with the more specific `code` or `status`,
    /// and the plain string of simpler servers.
    pub(crate) fn read(error: &serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        let text = |key| error.get(key).and_then(Value::as_str);
        match error {
            Value::String(message) => Some(Self::new("", message)),
            Value::Object(_) => {
                let kind = text("code").or_else(|| text("status")).or_else(|| text("type"));
                Some(Self::new(
                    kind.unwrap_or_default(),
                    text("message").unwrap_or_default(),
                ))
            }
            _ => None,
        }
    }

    pub(crate) fn new(kind: &str, message: &str) -> Self {
        Self {
            kind: bounded(kind, 100),
            message: bounded(message, 2_000),
        }
    }
}

/// At most `most` bytes of `text`, whole characters only.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Estimates the tokens of an output by its length.
pub(crate) fn guess(bytes: u64) -> u64 {
    bytes.div_ceil(4).min(crate::dialect::meter::count::MOST_TOKENS)
}
