//! Converts Anthropic's Messages for Gemini's `generateContent`, and its answers back.
//!
//! Pure functions: bytes to bytes, no clock, no I/O, no state between two calls. The client carries the data of
//! an answer that a later request needs (see [`carry`]), so a conversation continues on any host, after any
//! restart, on any account.
//!
//! | data | function |
//! | --- | --- |
//! | a request | [`request()`] makes the inner `generateContent` request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//! | `count_tokens` | [`count_tokens`] and [`counted`] |
//!
//! Unsupported input is refused with its path and name ([`FieldRefusal`]). Metadata, tuning parameters and cache
//! hints are dropped; `messages_to_gemini/request.rs` lists them. Choices that are not obvious:
//!
//! | Messages API | becomes | because |
//! | --- | --- | --- |
//! | `system`, and `role: system` before the first user turn | `systemInstruction` | it is the same thing |
//! | `role: system` later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and invalidate Gemini's cache; the client wraps the same text like this for models without such messages |
//! | a tool result | a `functionResponse`, in the order of the calls | Gemini matches them by order if it gave no ids |
//! | a result without its call, a call without its result | refused, as the Messages API does | the model would believe a made-up result |
//! | a `thoughtSignature` | carried by `thinking` and `redacted_thinking` blocks, see [`carry`] | the client returns those unread |
//! | thinking of another vendor's model | dropped | its signature is invalid here |
//! | a call without a signature, for Gemini 3 and later | the signature Google documents for calls from elsewhere | it is refused without one |
//! | no `thinking` | the lowest thinking that the model supports | Gemini's own default thinks at length, within the same `max_tokens` |
//! | a tool with `defer_loading` | declared once it was loaded or called | this is what deferring means |

pub mod carry;

mod answer;
mod converter;
mod count;
mod error;
mod request;
mod schema;
mod vendor;

use crate::dialect::wire::{budget, json, object, text};

pub use self::answer::stream::Stream;
pub use self::answer::usage::Usage;
pub use self::answer::whole::{Answer, answer};
pub use self::converter::MessagesToGemini;
pub use self::count::{CountForm, count_tokens, counted};
pub use self::error::{FieldRefusal, ProviderError, UnusableAnswer, error_body};
pub use self::request::{Context, ConvertedRequest, Options, request};
pub use self::schema::Form;
#[doc(hidden)]
pub use self::schema::reduced;
#[doc(hidden)]
pub use crate::dialect::wire::{BudgetUse, allowance};

#[cfg(test)]
pub(in crate::convert) mod tests;
