//! Anthropic's Messages protocol spoken to Gemini's `generateContent`, and its answers turned back.
//!
//! Pure: bytes to bytes, no clock, no I/O, nothing remembered between two calls. What a later request
//! needs to know of an earlier answer travels through the client (see [`carry`]), so a conversation goes on
//! on any host, after any restart, on any account.
//!
//! | what | by |
//! | --- | --- |
//! | a request | [`request()`] makes the inner `generateContent` request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//! | `count_tokens` | [`count_tokens`] and [`counted`] |
//!
//! What a Gemini account cannot be sent is refused by its place and name ([`Refused`]). What only tunes,
//! accounts or caches is left out; `convert/request.rs` lists it. Choices that are not obvious:
//!
//! | of the Messages API | becomes | because |
//! | --- | --- | --- |
//! | `system`, and `role: system` before the first user turn | `systemInstruction` | it is the same thing |
//! | `role: system` later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and with it what Gemini has cached; the client wraps the same text so for models without such messages |
//! | a tool result | a `functionResponse`, in the order of the calls | Gemini pairs them by order where it gives no ids |
//! | a result without its call, a call without its result | refused, as the Messages API does | a made-up result would be believed |
//! | a `thoughtSignature` | carried by `thinking` and `redacted_thinking` blocks, see [`carry`] | the client gives those back unread |
//! | thinking of another vendor's model | left out | its signature means nothing here |
//! | a call without a signature, for Gemini 3 and later | the signature Google documents for calls from elsewhere | it is refused without one |
//! | no `thinking` | as little thinking as the model can do | Gemini's own default thinks at length, out of the same `max_tokens` |
//! | a tool with `defer_loading` | declared once it was loaded or called | it is what deferring means |

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
pub use self::error::{ProviderError, Refused, Unusable, error_body};
pub use self::request::{Context, Converted, Options, request};
pub use self::schema::Form;
#[doc(hidden)]
pub use self::schema::reduced;
#[doc(hidden)]
pub use crate::dialect::wire::{Spent, allowance};

#[cfg(test)]
pub(in crate::convert) mod tests;
