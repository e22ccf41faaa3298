//! Converters between two protocols: bytes in, bytes out.
//!
//! | module | from the client's protocol to the account's |
//! | --- | --- |
//! | [`chat_to_messages`] | OpenAI's Chat Completions to Anthropic's Messages |
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

    /// The converted call, or why the client's cannot be converted. What its answer is converted with goes into
    /// `kept`.
    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String>;

    /// Whether [`Self::whole`] accepts every form that the account's protocol has. Otherwise the answer is brought
    /// into the form that the client asked for first.
    fn reads_any_form(&self) -> bool {
        false
    }

    /// A whole answer in the form that the client asked for, or why it cannot have it. `kept`: see
    /// [`Self::request`].
    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String>;

    /// Converts a stream piece by piece. `source`: converts what comes from the account to what this converter
    /// reads. `None` if nothing is known of the request.
    fn stream(
        &self,
        call: &Call,
        kept: &Extensions,
        source: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>>;

    /// The account's own error in the client's protocol.
    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes;

    /// Reads what [`Rewrite::measured`] and [`Whole::measured`] have, or else what the client gets.
    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter>;

    /// The client's body without these pieces of reasoning, which the account has encrypted or sealed and cannot read,
    /// and how many were left out. `None`: none of them is in it.
    fn without_sealed(&self, _call: &Call, _unreadable: &[Bytes]) -> Option<(Bytes, u32)> {
        None
    }
}
