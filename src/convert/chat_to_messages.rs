//! Chat Completions spoken to accounts that speak the Messages API, and its answers turned back.
//!
//! Pure: bytes to bytes, no clock, no I/O, nothing remembered between two calls. An account that speaks
//! `generateContent` is reached through the Messages API too, by the converter between those two.
//!
//! | what | by |
//! | --- | --- |
//! | a request | [`request()`] makes the Messages request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! What cannot be sent is refused by its place and name ([`Refused`](crate::dialect::wire::Refused)). What only
//! tunes, accounts or caches is left out; `chat_to_messages/request.rs` lists it. Choices that are not obvious:
//!
//! | of Chat Completions | becomes | because |
//! | --- | --- | --- |
//! | `system` and `developer` before the first turn | `system` | it is the same thing |
//! | the same later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and with it what is cached |
//! | `tool` messages | results at the head of the user's turn | the Messages API wants all results of a turn in the next one |
//! | a result without its call, a call without its result | refused, as OpenAI does | a made-up result would be believed |
//! | an id of a call that came before, or of other letters | another, that follows from it | ids are unique there, and some clients count them per answer |
//! | arguments that are no JSON object | an object with the text as `arguments` | models do write broken JSON, and the conversation has to go on |
//! | an assistant's message at the very beginning | the same, after a note that it begins so | there the user begins |
//! | calls without `tools` | tools that take anything, and may not be called | calls of undeclared tools are refused |
//! | no `max_tokens` | for Claude, what its model can write, up to 32,000 | a length is required there |
//! | `reasoning_effort` | thinking, by effort or by a budget, as the model takes it; none where the model could not go on without thoughts that the client has not kept | thoughts have no place in this protocol |
//! | `temperature` above 1, and beside thinking or for models that take none | 1, and left out | it would be refused, and many tools always send one |
//! | no marks for the cache | marks at the end of the instructions and of the transcript, if it has tools or answers | OpenAI's clients expect a cache, and Claude keeps only what is marked |
//! | `response_format` of a schema | the same, without what Claude cannot hold an answer to | |
//! | `json_object` | a schema of any object for Gemini, a line of the instructions for Claude | Claude has no such thing |

mod answer;
mod converter;
mod error;
mod request;

pub use self::answer::stream::Stream;
pub use self::answer::whole::answer;
pub use self::converter::ChatToMessages;
pub use self::error::{Unusable, error_body};
pub use self::request::{Context, Options, request};
pub use crate::convert::claude::model::Target;

#[cfg(test)]
pub(in crate::convert) mod tests;
