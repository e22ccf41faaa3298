//! Converts Anthropic's Messages for OpenAI's Responses, and its answers back.
//!
//! Pure functions: bytes to bytes, no clock, no I/O, no state between two calls. The client carries OpenAI's
//! encrypted reasoning in the `signature` of a `thinking` block, or in a `redacted_thinking` block, so a
//! conversation continues on any host and after any restart.
//!
//! | data | function |
//! | --- | --- |
//! | a request | [`request()`] makes the Responses request, and a [`Context`] for its answer |
//! | an answer | [`events`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! Unsupported input is refused with its path and name. Metadata, tuning parameters and cache hints are dropped;
//! `request/fields.rs` lists them. Choices that are not obvious:
//!
//! | Messages API | becomes | because |
//! | --- | --- | --- |
//! | `system` | `instructions` | it is the same thing |
//! | `role: system` among the messages | a `developer` message in its place | moved to the front it would change the prefix of every later request, and invalidate OpenAI's cache |
//! | a result without its call, a call without its result | refused, as both APIs do | the model would believe a made-up result |
//! | `is_error` | `Error: ` before the result | there is no such member |
//! | thinking of another vendor's model | dropped | its signature is invalid here |
//! | thinking that nothing of the same turn follows | dropped | OpenAI refuses reasoning without the item it led to |
//! | no `thinking` and no effort | a low effort | OpenAI's own default thinks at length, within the same `max_tokens` |
//! | `budget_tokens` | an effort | there are no budgets |
//! | `temperature`, `top_p` for a model that reasons | dropped | the API refuses them |
//! | `stop_sequences`, an assistant's turn at the end | refused | not supported |
//! | a tool with `defer_loading` | declared once it was loaded or called | this is what deferring means |
//! | a response schema whose objects have optional members | sent without `strict` | OpenAI's strict mode requires all listed members |
//!
//! ChatGPT logins accept no output limit and no sampling parameters, answer with a stream only, and require
//! `instructions` in each request: those are the client's, or empty.

mod answer;
mod converter;
mod error;
mod model;
mod request;

pub(in crate::convert) use self::answer::events::Events;
pub use self::answer::stream::Stream;
pub(in crate::convert) use self::answer::usage::Figures;
#[cfg(test)]
pub use self::answer::whole::answer;
pub use self::answer::whole::events;
pub use self::converter::MessagesToResponses;
pub use self::error::{UnusableAnswer, error_body};
pub(in crate::convert) use self::request::tuning::{Thinking, shape, thinking};
pub use self::request::{Context, ConvertedRequest, Options, request};
pub(in crate::convert) use self::request::{Conversation, Reasoning, begin, conversation, instructions};

#[cfg(test)]
mod tests;
