//! Converts Chat Completions for accounts that speak the Messages API, and their answers back.
//!
//! Pure functions: bytes to bytes, no clock, no I/O, no state between two calls. Accounts that speak
//! `generateContent` are reached via the Messages API, with the converter between those two.
//!
//! | data | function |
//! | --- | --- |
//! | a request | [`request()`] makes the Messages request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! Unsupported input is refused with its path and name ([`FieldRefusal`](crate::dialect::wire::FieldRefusal)).
//! Metadata, tuning parameters and cache hints are dropped; `chat_to_messages/request.rs` lists them. Choices
//! that are not obvious:
//!
//! | Chat Completions | becomes | because |
//! | --- | --- | --- |
//! | `system` and `developer` before the first turn | `system` | it is the same thing |
//! | the same later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and invalidate the cache |
//! | `tool` messages | results at the beginning of the user's turn | the Messages API wants all results of a turn in the next one |
//! | a result without its call, a call without its result | refused, as OpenAI does | the model would believe a made-up result |
//! | a duplicate id of a call, or one with other letters | an id derived from it | ids must be unique there, and some clients count them per answer |
//! | arguments that are not a JSON object | an object with the text as `arguments` | models do write broken JSON, and the conversation must continue |
//! | an assistant's message at the very beginning | the same, after a note that the conversation begins so | the Messages API requires the user to begin |
//! | calls without `tools` | tools that accept any input and may not be called | calls of undeclared tools are refused |
//! | no `max_tokens` | for Claude, the model's maximum, up to 32,000 | it is required there |
//! | `reasoning_effort` | thinking, by effort or by a budget, depending on the model; none where the model could not continue without thoughts that the client has not kept | this protocol cannot carry thoughts |
//! | `temperature` above 1 | 1 | the API refuses it |
//! | `temperature` with thinking, or for models without it | dropped | the API refuses it, and many tools always send it |
//! | no cache marks | marks at the end of the instructions and of the transcript, if it has tools or answers | OpenAI's clients expect caching, and Claude caches only what is marked |
//! | `response_format` with a schema | the same, without the keywords that Claude does not support | |
//! | `json_object` | a schema of any object for Gemini, a line of the instructions for Claude | Claude has no such format |

mod answer;
mod converter;
mod error;
mod request;

pub use self::answer::stream::Stream;
pub use self::answer::whole::answer;
pub use self::converter::ChatToMessages;
pub use self::error::{UnusableAnswer, error_body};
pub use self::request::{Context, Options, request};
pub use crate::convert::claude::model::Target;

#[cfg(test)]
pub(in crate::convert) mod tests;
