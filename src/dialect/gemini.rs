//! Google's `generateContent`, in the Gemini API and Code Assist.
//!
//! | module | content |
//! | --- | --- |
//! | [`envelope`] | adds or removes Code Assist's envelope around an answer as it passes |
//! | [`error`] | the relay's own errors for Google's clients |
//! | [`forms`] | converts between an object, a list and a stream of events |
//! | [`reading`] | where answers report usage |

pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod forms;
pub(crate) mod reading;

use bytes::Bytes;
use crs_durable::Millis;
use http::HeaderMap;

use self::forms::Shape;
use super::Dialect;
use super::answer::{Whole, is_object, is_other_form};
use super::body::Field;
use super::call::{Call, Endpoint, Surface};
use super::meter::{Meter, streams};
use super::refusal::Refusal;
use super::session::{BodySignal, Signals};
use crate::error::Failure;
use crate::model::trace::Signal;

/// The signals of its clients for a conversation.
pub const SESSION: Signals = Signals {
    headers: &[],
    body: BodySignal {
        signal: Signal::SessionId,
        read: |fields, body| Some(fields.text(Field::SessionId, body)?.into_owned()),
    },
    system: Field::SystemInstruction,
    conversation: &[Field::Contents],
};

pub struct Gemini;

impl Dialect for Gemini {
    fn refusal(&self, failure: &Failure, request_id: &str, _now: Millis) -> Refusal {
        Refusal::of(failure, error::body(failure, request_id))
    }

    fn stream_error(&self, _endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes {
        Bytes::from(format!("data: {}\r\n\r\n", error::body(failure, request_id)))
    }

    fn meter(&self, endpoint: Endpoint, _stream: bool, headers: &HeaderMap) -> Option<Meter> {
        endpoint
            .takes_slot()
            .then(|| Meter::reading(&reading::GENERATE, streams(headers)))
    }

    /// The expected form is an object for a single answer; for a stream a list, or events with `alt=sse`.
    fn has_other_form(&self, call: &Call, headers: &HeaderMap, first: &[u8]) -> bool {
        if !matches!(call.endpoint, Endpoint::Generate(_)) {
            return false;
        }
        match (call.stream, forms::wants_events(call)) {
            (true, true) => is_other_form(call, headers),
            (true, false) => streams(headers) || is_object(first),
            (false, _) => streams(headers) || forms::is_list(first),
        }
    }

    fn in_asked_form(&self, call: &Call, whole: Bytes) -> Result<Whole, String> {
        let shape = match call.endpoint {
            Endpoint::Generate(Surface::Internal) => Shape::Enveloped,
            _ => Shape::Plain,
        };
        match (call.stream, forms::wants_events(call)) {
            (true, true) => forms::events(&whole, Some(shape)).map(Whole::stream),
            (true, false) => forms::list(&whole, shape).map(|list| Bytes::from(list).into()),
            (false, _) => forms::object(&whole, shape).map(|object| Bytes::from(object).into()),
        }
    }
}
