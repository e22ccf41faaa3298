//! Answers for the client, whole or rewritten piece by piece.

use bytes::Bytes;
use http::HeaderMap;

use super::call::Call;

/// Reads a success in a form of the provider's host into the accounts' protocol, before anything else sees it.
pub trait BodyReader: Send {
    /// The media type of what it returns.
    fn media(&self) -> &'static str;

    /// Takes the next bytes, and appends those in the protocol. After an error nothing more is fed; what was appended
    /// is good.
    fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), String>;

    /// The same at the end of the body. An error if it may not end here.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String>;
}

/// Converts a body as it passes.
pub trait Rewrite: Send {
    /// Takes the next bytes and returns those to forward; may be empty. An error ends the answer.
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String>;

    /// The remaining bytes after the end of the body.
    fn finish(&mut self) -> Bytes;

    /// Whether the provider's answer has announced its end.
    fn end(&self) -> End {
        End::Open
    }

    /// The bytes of the last step for the meter; `None`: the forwarded ones.
    fn measured(&mut self) -> Option<Bytes> {
        None
    }
}

/// How completely an answer has announced its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not at all: if the body ends now, it was truncated.
    Open,
    /// The stop reason has arrived, so the body's end does not matter. Some bytes may follow.
    Named,
    /// The stop reason has arrived, but the usage has not.
    Unmetered,
    /// The final event has arrived.
    Final,
}

impl End {
    /// For a converted stream. `is_closed`: its last event was written; `is_whole`: the stop reason is known;
    /// `is_metered`: so is the usage.
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
    pub body: Bytes,
    /// The body is an event stream and not JSON: the client asked for a stream, but the account sent none.
    pub is_stream: bool,
    /// The bytes for the meter; `None`: those of the body.
    pub measured: Option<Bytes>,
}

impl From<Bytes> for Whole {
    fn from(body: Bytes) -> Self {
        Self {
            body,
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

/// Whether a successful answer is JSON although the client asked for events, or the reverse. Other media types
/// are forwarded unchanged.
pub(crate) fn is_other_form(call: &Call, headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => call.stream,
        "text/event-stream" => !call.stream,
        _ => false,
    }
}

/// Whether the bytes are a JSON object and not an event stream.
pub(crate) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}
