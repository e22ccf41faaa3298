//! Reads an answer's usage while its bytes pass.
//!
//! A meter is shown every chunk of a response body, however the network cut it, and is asked at the end.
//! It never holds, changes or delays a byte, its memory is bounded whatever passes, and it costs tens of
//! nanoseconds per frame of text. It is honest about what it knows:
//!
//! | the answer | quality | tokens |
//! | --- | --- | --- |
//! | named its final usage | exact | as named |
//! | ended well, named no final usage | estimated | as named, the output by its length |
//! | broke off, or ended without an end | partial | as named, the output by its length |
//! | was an error before any message | exact | none: nothing is billed |
//!
//! A length becomes tokens at four bytes each, the envelope of each frame not counted: right within a
//! factor of two for English text, too low for Chinese.

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

/// Watches one response body.
#[derive(Debug)]
pub struct Meter(Box<dyn Tap>);

/// Reads the bodies of one protocol and form.
pub(crate) trait Tap: std::fmt::Debug + Send + Sync {
    fn feed(&mut self, chunk: &[u8]);
    fn ended(&self) -> bool;
    /// `None`: the body is not a stream of events.
    fn between_events(&self) -> Option<bool>;
    /// See [`Meter::close`].
    fn close(&mut self) -> Last;
    fn finish(self: Box<Self>, complete: bool) -> Measured;
}

/// How the bytes of a stream stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Between two events, or behind the whole data of one: some servers send no empty line at the end.
    Whole,
    /// Within an event.
    Cut,
}

/// The figures that a response reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The model the provider says it used.
    pub model: Option<String>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// Fingerprint of the last encrypted reasoning in it, see `dialect::origin`.
    pub reasoning: Option<u64>,
    pub tokens: Tokens,
    pub terms: Terms,
    /// Of the tokens; whether the price is known is another matter.
    pub quality: Quality,
    pub stop_reason: Option<String>,
    /// The provider's own error, in the stream or as the body.
    pub error: Option<ProviderError>,
    /// The result of a token count. Counting is free, so `tokens` is empty then.
    pub counted: Option<u64>,
}

/// An error in the provider's words, for the operator only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// `overloaded_error`, ...; at most 100 bytes; empty when none was named.
    pub kind: String,
    /// At most 2,000 bytes.
    pub message: String,
}

impl Meter {
    /// A meter that reads with `tap`.
    pub(crate) fn with(tap: Box<dyn Tap>) -> Self {
        Self(tap)
    }

    /// The meter of a protocol that is described by a table.
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

    /// Whether the answer is over by its own word: its last event came, or at least the reason to stop or
    /// an error; or the object closed. A body that ends before has broken off, however politely its
    /// connection was closed.
    pub fn ended(&self) -> bool {
        self.0.ended()
    }

    /// Whether the body is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.0.between_events().is_some()
    }

    /// Whether an event of our own may be written now: the last event is closed by an empty line. If not,
    /// two line ends must go first. Always true for JSON, where nothing can be written.
    pub fn between_events(&self) -> bool {
        self.0.between_events().unwrap_or(true)
    }

    /// No more bytes come. What is here of the last event counts as that event if it is whole. A stream ended
    /// well if this returns [`Last::Whole`] and [`Self::ended`] is true afterwards:
    ///
    /// | protocol | its end |
    /// | --- | --- |
    /// | Messages | `message_stop`; or `message_delta` with a `stop_reason`, as some servers send nothing after it |
    /// | Responses | `response.completed`, `.incomplete`, `.failed`: a `status` that is final |
    /// | Chat Completions | `[DONE]`, or a `finish_reason`, as some servers send no `[DONE]` |
    /// | Gemini, Code Assist | a `finishReason`, or the prompt's `blockReason` |
    /// | all | an error |
    ///
    /// A body that is not a stream is always [`Last::Whole`]: its length or its JSON shows its end.
    pub fn close(&mut self) -> Last {
        self.0.close()
    }

    /// `complete`: the body came to its end, and the connection neither broke nor was given up.
    pub fn finish(self, complete: bool) -> Measured {
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
    /// Reads Anthropic's `{"type", "message"}`, OpenAI's and Google's with the more telling `code` or
    /// `status`, and the plain string of simpler servers.
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

/// Tokens of an output that is known only by its length.
pub(crate) fn guess(bytes: u64) -> u64 {
    bytes.div_ceil(4).min(crate::dialect::meter::count::MOST_TOKENS)
}
