//! The protocols that clients speak. Values in, values out: no I/O, no clock, no accounts.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`messages`] | Anthropic's Messages |
//! | [`openai`] | OpenAI's Responses and Chat Completions |
//! | [`gemini`] | Google's `generateContent`, and Code Assist's envelope around it |
//! | [`call`], `endpoint` | a parsed call, whatever its protocol, and what it can ask for |
//! | [`body`] | request bodies: finds fields without parsing, edits them in place |
//! | [`session`], [`origin`] | the conversation of a call, and the provider's objects that it refers to |
//! | [`answer`] | answers that are rewritten for the client, whole or piece by piece |
//! | [`refusal`] | errors of the relay's own |
//! | [`meter`] | reads usage from an answer's bytes as they pass |
//! | [`wire`] | JSON and event streams, as all protocols use them |

pub mod answer;
pub mod body;
pub mod call;
#[cfg(test)]
pub(crate) mod captured;
mod endpoint;
pub mod gemini;
pub mod messages;
pub mod meter;
pub mod openai;
pub mod origin;
pub mod refusal;
pub mod session;
pub(crate) mod wire;

use bytes::Bytes;
use crs_durable::Millis;
use http::HeaderMap;

use self::answer::Whole;
use self::call::{Call, Endpoint};
use self::meter::Meter;
use self::refusal::Refusal;
use crate::error::Failure;

/// A protocol that clients speak.
pub trait Dialect: Send + Sync {
    /// The answer to a call that failed.
    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal;

    /// A failure inside a stream that has begun.
    fn stream_error(&self, endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes;

    /// The JSON of an error, as an event of a stream that has begun.
    fn error_event(&self, error: &[u8]) -> Bytes {
        wire::events::data(error).into()
    }

    /// Bytes without content that keep the client of a stream waiting: a comment, or the protocol's ping.
    /// `began`: the client has received a part of the answer.
    fn heartbeat(&self, _began: bool) -> &'static [u8] {
        b": ping\n\n"
    }

    /// Reads usage from an answer of this protocol. `None` for calls that use nothing. `stream`: the client asked
    /// for a stream.
    fn meter(&self, endpoint: Endpoint, stream: bool, headers: &HeaderMap) -> Option<Meter>;

    /// Whether an answer that begins so has another form than the client asked for, such as JSON in place of
    /// events.
    fn has_other_form(&self, call: &Call, headers: &HeaderMap, first: &[u8]) -> bool;

    /// A whole answer in the form that the client asked for, or why it cannot have it.
    fn in_asked_form(&self, call: &Call, whole: Bytes) -> Result<Whole, String>;
}
