//! Converters between two protocols: bytes in, bytes out.
//!
//! | module | from the client's protocol to the account's |
//! | --- | --- |
//! | [`chat_to_messages`] | OpenAI's Chat Completions to Anthropic's Messages |
//! | [`messages_to_chat`] | Anthropic's Messages to OpenAI's Chat Completions, for hosts that support nothing else |
//! | [`messages_to_gemini`] | Anthropic's Messages to Google's `generateContent` |
//! | [`messages_to_responses`] | Anthropic's Messages to OpenAI's Responses |
//! | [`responses_to_messages`] | OpenAI's Responses to Anthropic's Messages |

#[cfg(test)]
mod captured;
pub mod chat_to_messages;
mod claude;
#[cfg(test)]
mod growth;
mod messages;
pub mod messages_to_chat;
pub mod messages_to_gemini;
pub mod messages_to_responses;
#[cfg(test)]
mod outcome;
pub mod responses_to_messages;

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use crate::dialect::answer::{Rewrite, Whole};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::Meter;
use crate::model::account::live::LiveAccount;

/// Turns calls of one protocol into calls of another, and their answers back.
pub trait Converter: Send + Sync {
    /// The endpoint of a converted call.
    fn target(&self, endpoint: Endpoint) -> Endpoint;

    /// Converts the call, or returns why it cannot be converted. Stores in `kept` what the conversion of the
    /// answer needs.
    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String>;

    /// Whether [`Self::whole`] accepts every answer form of the account's protocol. Otherwise the caller first
    /// brings the answer into the form that the client asked for.
    fn reads_any_form(&self) -> bool {
        false
    }

    /// Converts a whole answer into the form that the client asked for, or returns why that is impossible.
    /// `kept`: see [`Self::request`].
    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String>;

    /// Returns a converter that works on a stream piece by piece. `source` first turns the account's bytes into
    /// the protocol that this converter reads. `None` if the request was not converted by this converter.
    fn stream(
        &self,
        call: &Call,
        kept: &Extensions,
        source: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>>;

    /// Converts the account's error body into the client's protocol.
    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes;

    /// A meter for the bytes of [`Rewrite::measured`] and [`Whole::measured`]; where these are `None`, for the
    /// bytes sent to the client.
    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter>;

    /// Removes pieces of reasoning that the account encrypted or sealed and can no longer read. Returns the new
    /// body of the client's call and the number of removed pieces, or `None` if the call has none of them.
    fn without_sealed(&self, _call: &Call, _unreadable: &[Bytes]) -> Option<(Bytes, u32)> {
        None
    }
}
