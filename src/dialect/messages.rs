//! Anthropic's Messages protocol.
//!
//! | module | content |
//! | --- | --- |
//! | [`error`] | the relay's own errors |
//! | [`forms`] | converts between a whole message and a stream of events |
//! | [`json`], [`sse`] | read usage from an answer as its bytes pass |
//! | [`user_id`] | the session in `metadata.user_id` |
//! | [`usage`] | sums the `usage` object |

pub(crate) mod error;
pub(crate) mod forms;
pub mod json;
pub mod sse;
pub mod usage;
pub mod user_id;

use bytes::Bytes;
use crs_durable::Millis;
use http::{HeaderMap, header};

use self::user_id::session_id;
use super::Dialect;
use super::answer::{Whole, is_object, is_other_form};
use super::body::Field;
use super::call::{Call, Endpoint};
use super::meter::{LastEvent, Measurement, Meter, Tap, is_event_stream};

use super::refusal::Refusal;
use super::session::{BodySignal, Signals};
use super::wire::events::data;
use crate::error::Failure;
use crate::model::trace::Signal;

/// The signals of its clients for a conversation.
pub const SESSION: Signals = Signals {
    headers: &["x-claude-code-session-id"],
    body: BodySignal {
        signal: Signal::Metadata,
        read: |fields, body| session_id(fields.raw(Field::Metadata, body)?),
    },
    system: Field::System,
    conversation: &[Field::Messages],
};

pub struct Messages;

impl Dialect for Messages {
    fn refusal(&self, failure: &Failure, request_id: &str, _now: Millis) -> Refusal {
        Refusal::of(failure, error::body(failure, request_id))
    }

    fn stream_error(&self, _endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes {
        let body = error::body(failure, request_id);
        Bytes::from(format!("event: error\ndata: {body}\n\n"))
    }

    fn error_event(&self, error: &[u8]) -> Bytes {
        [b"event: error\n", &data(error)[..]].concat().into()
    }

    fn heartbeat(&self, began: bool) -> &'static [u8] {
        // Pings are allowed anywhere, but some clients expect `message_start` as the first event.
        if began {
            b"event: ping\ndata: {\"type\": \"ping\"}\n\n"
        } else {
            b": ping\n\n"
        }
    }

    fn meter(&self, endpoint: Endpoint, _stream: bool, headers: &HeaderMap) -> Option<Meter> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        (endpoint == Endpoint::Messages).then(|| meter(kind))
    }

    fn has_other_form(&self, call: &Call, headers: &HeaderMap, _first: &[u8]) -> bool {
        call.endpoint == Endpoint::Messages && is_other_form(call, headers)
    }

    fn in_asked_form(&self, call: &Call, whole: Bytes) -> Result<Whole, String> {
        match (call.stream, is_object(&whole)) {
            (true, true) => forms::streamed(&whole).map(Whole::stream),
            (true, false) => Err("the provider's answer is not a message".to_owned()),
            (false, true) => Ok(whole.into()),
            (false, false) => forms::whole(&whole).map(|message| Bytes::from(message).into()),
        }
    }
}

/// The meter for a body with this `content-type`. Any body that is not an event stream is read as JSON.
fn meter(content_type: Option<&str>) -> Meter {
    if is_event_stream(content_type) {
        stream_meter()
    } else {
        object_meter()
    }
}

/// Reads usage from an event stream.
pub fn stream_meter() -> Meter {
    Meter::with(Box::<sse::SseTap>::default())
}

/// Reads usage from a JSON object.
pub fn object_meter() -> Meter {
    Meter::with(Box::<json::JsonTap>::default())
}

impl Tap for sse::SseTap {
    fn feed(&mut self, chunk: &[u8]) {
        self.feed(chunk);
    }

    fn ended(&self) -> bool {
        self.ended()
    }

    fn between_events(&self) -> Option<bool> {
        Some(self.between_events())
    }

    fn close(&mut self) -> LastEvent {
        self.close()
    }

    fn finish(self: Box<Self>, complete: bool) -> Measurement {
        (*self).finish(complete)
    }
}

impl Tap for json::JsonTap {
    fn feed(&mut self, chunk: &[u8]) {
        self.feed(chunk);
    }

    fn ended(&self) -> bool {
        self.ended()
    }

    fn between_events(&self) -> Option<bool> {
        None
    }

    fn close(&mut self) -> LastEvent {
        LastEvent::Whole
    }

    fn finish(self: Box<Self>, complete: bool) -> Measurement {
        (*self).finish(complete)
    }
}
