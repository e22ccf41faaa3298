//! Client protocols. Pure functions: no I/O, no clock, no accounts.
//!
//! | module | content |
//! | --- | --- |
//! | [`messages`] | Anthropic's Messages |
//! | [`openai`] | OpenAI's Responses and Chat Completions |
//! | [`gemini`] | Google's `generateContent`, and Code Assist's envelope around it |
//! | [`call`], `endpoint` | a parsed call of any protocol, and its endpoint |
//! | [`body`] | request bodies: finds fields without parsing, edits them in place |
//! | [`session`], [`origin`] | the conversation of a call, and its references to objects stored at the provider |
//! | [`answer`] | answers rewritten for the client, whole or piece by piece |
//! | [`refusal`] | the relay's own errors |
//! | [`meter`] | reads usage from an answer's bytes as they pass |
//! | [`wire`] | JSON and event streams, shared by all protocols |

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

/// A client protocol.
pub trait Dialect: Send + Sync {
    /// The answer to a failed call.
    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal;

    /// A failure inside a stream that has begun.
    fn stream_error(&self, endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes;

    /// An error's JSON as an event of a stream that has begun.
    fn error_event(&self, error: &[u8]) -> Bytes {
        wire::events::data(error).into()
    }

    /// Bytes without content that keep a stream's connection alive: a comment, or the protocol's ping. `began`:
    /// the client has received a part of the answer.
    fn heartbeat(&self, _began: bool) -> &'static [u8] {
        b": ping\n\n"
    }

    /// A meter for an answer of this protocol. `None` for calls without usage. `stream`: the client asked for a
    /// stream.
    fn meter(&self, endpoint: Endpoint, stream: bool, headers: &HeaderMap) -> Option<Meter>;

    /// Whether an answer that begins like this has another form than requested, such as JSON in place of events.
    fn has_other_form(&self, call: &Call, headers: &HeaderMap, first: &[u8]) -> bool;

    /// Converts a whole answer into the requested form, or returns why that is impossible.
    fn in_asked_form(&self, call: &Call, whole: Bytes) -> Result<Whole, String>;
}
