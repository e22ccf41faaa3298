//! OpenAI's protocols, Responses and Chat Completions.
//!
//! | module | content |
//! | --- | --- |
//! | [`error`] | the relay's own errors for OpenAI's clients |
//! | [`forms`] | converts between a whole answer and a stream of events |
//! | [`reading`] | where answers report usage |
//! | [`socket`] | Responses over a WebSocket: messages become bodies, events become frames |

pub(crate) mod error;
pub(crate) mod forms;
pub(crate) mod reading;
pub(crate) mod socket;

use bytes::Bytes;
use crs_durable::Millis;
use http::{HeaderMap, header};

use super::Dialect;
use super::answer::{Whole, is_other_form};
use super::body::Field;
use super::call::{Call, Endpoint};
use super::meter::{Meter, is_event_stream};
use super::refusal::Refusal;
use super::session::{BodySignal, Signals};
use crate::error::Failure;
use crate::model::trace::Signal;

/// The signals of its clients for a conversation.
pub const SESSION: Signals = Signals {
    headers: &["session-id", "session_id", "x-session-id"],
    body: BodySignal {
        signal: Signal::CacheKey,
        read: |fields, body| Some(fields.text(Field::PromptCacheKey, body)?.into_owned()),
    },
    system: Field::Instructions,
    conversation: &[Field::Input, Field::Messages],
};

/// Both protocols: they share their errors, and a call's endpoint selects the protocol.
pub struct OpenAi;

impl Dialect for OpenAi {
    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal {
        error::refusal(failure, request_id, now)
    }

    fn stream_error(&self, endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes {
        error::in_stream(endpoint, failure, request_id)
    }

    fn meter(&self, endpoint: Endpoint, stream: bool, headers: &HeaderMap) -> Option<Meter> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        // ChatGPT has sent streams without a `content-type`.
        let streams = is_event_stream(kind) || (kind.is_none() && stream);
        let reading = match endpoint {
            Endpoint::ChatCompletions => &reading::CHAT,
            Endpoint::Images(_) => &reading::IMAGES,
            _ => &reading::RESPONSES,
        };
        endpoint.is_metered().then(|| Meter::reading(reading, streams))
    }

    fn has_other_form(&self, call: &Call, headers: &HeaderMap, _first: &[u8]) -> bool {
        let has_forms = matches!(call.endpoint, Endpoint::ChatCompletions | Endpoint::Responses);
        has_forms && is_other_form(call, headers)
    }

    fn in_asked_form(&self, call: &Call, whole: Bytes) -> Result<Whole, String> {
        let is_chat = call.endpoint == Endpoint::ChatCompletions;
        match (call.stream, is_chat) {
            (true, true) => {
                let chunks = forms::chunks(&whole, forms::wants_usage(&call.body))?;
                Ok(Whole {
                    // Usage is metered even if the client did not ask for it.
                    measured: Some(forms::chunks(&whole, true)?.into()),
                    ..Whole::stream(chunks)
                })
            }
            (true, false) => forms::response_events(&whole).map(Whole::stream),
            (false, true) => forms::completion(&whole).map(|whole| Bytes::from(whole).into()),
            (false, false) => forms::response(&whole).map(|whole| Bytes::from(whole).into()),
        }
    }
}
