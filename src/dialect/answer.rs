//! An answer on its way to the client: as a whole, or rewritten piece by piece.

use bytes::Bytes;
use http::HeaderMap;

use super::call::Call;

/// Turns one body into another as it passes.
pub trait Rewrite: Send {
    /// The bytes that can be forwarded after these; may be empty. The error ends the answer.
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String>;

    /// The rest, when the body has ended.
    fn finish(&mut self) -> Bytes;

    /// Whether the provider's answer has announced its end.
    fn end(&self) -> End {
        End::Open
    }

    /// The bytes of the last step to measure; `None`: those that the client gets.
    fn measured(&mut self) -> Option<Bytes> {
        None
    }
}

/// How far an answer has announced its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing: a body that ends now was cut.
    Open,
    /// The reason for its end, so the body's own end does not matter. A little may follow.
    Named,
    /// The same, but what it used is still to come.
    Unmetered,
    /// Its last word.
    Final,
}

impl End {
    /// Of a stream that a converter makes. `is_closed`: its last event was written; `is_whole`: the reason for its end
    /// is known; `is_metered`: and what it used.
    pub fn of(is_closed: bool, is_whole: bool, is_metered: bool) -> Self {
        match (is_closed, is_whole, is_metered) {
            (true, ..) => Self::Final,
            (false, false, _) => Self::Open,
            (false, true, true) => Self::Named,
            (false, true, false) => Self::Unmetered,
        }
    }
}

/// A whole answer in the client's protocol.
pub struct Whole {
    pub told: Bytes,
    /// It is events and no JSON: the client asked for a stream, and the account sent none.
    pub is_stream: bool,
    /// The bytes to measure; `None`: those that the client gets.
    pub measured: Option<Bytes>,
}

impl From<Bytes> for Whole {
    fn from(told: Bytes) -> Self {
        Self {
            told,
            is_stream: false,
            measured: None,
        }
    }
}

impl Whole {
    /// All events of a stream.
    pub(crate) fn stream(events: Vec<u8>) -> Self {
        Self {
            is_stream: true,
            ..Self::from(Bytes::from(events))
        }
    }
}

/// Whether a good answer has the other form than its client asked for: JSON in place of events, or events in
/// place of JSON. What is neither passes as it is.
pub(crate) fn is_other_form(call: &Call, headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => call.stream,
        "text/event-stream" => !call.stream,
        _ => false,
    }
}

/// Whether the bytes are an object of JSON, where the alternative is a stream of events.
pub(crate) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}
