//! Anthropic's Messages protocol spoken to OpenAI's Responses, and its answers turned back.
//!
//! Pure: bytes to bytes, no clock, no I/O, nothing remembered between two calls. Reasoning that OpenAI encrypts
//! travels through the client in the `signature` of a `thinking` block, or as a `redacted_thinking` block, so a
//! conversation goes on on any host and after any restart.
//!
//! | what | by |
//! | --- | --- |
//! | a request | [`request()`] makes the Responses request, and a [`Context`] for its answer |
//! | an answer | [`events`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! What an OpenAI account cannot be sent is refused by its place and name. What only tunes, accounts
//! or caches is left out; `request/fields.rs` lists it. Choices that are not obvious:
//!
//! | of the Messages API | becomes | because |
//! | --- | --- | --- |
//! | `system` | `instructions` | it is the same thing |
//! | `role: system` among the messages | a `developer` message in its place | moved to the front it would change the prefix of every later request, and with it what OpenAI has cached |
//! | a result without its call, a call without its result | refused, as both APIs do | a made-up result would be believed |
//! | `is_error` | `Error: ` before the result | there is no such member |
//! | thinking of another vendor's model | left out | its signature means nothing here |
//! | thinking that nothing of the same turn follows | left out | OpenAI refuses reasoning without what it led to |
//! | no `thinking` and no effort | a low effort | OpenAI's own default thinks at length, out of the same `max_tokens` |
//! | `budget_tokens` | an effort | there are no budgets |
//! | `temperature`, `top_p` for a model that reasons | left out | it would be refused |
//! | `stop_sequences`, an assistant's turn at the end | refused | there is no such thing |
//! | a tool with `defer_loading` | declared once it was loaded or called | it is what deferring means |
//! | a schema of an answer whose objects have optional members | sent without `strict` | OpenAI holds an answer only to schemas that require all they name |
//!
//! ChatGPT's logins take no bound on the output and no sampling parameters, answer with a stream only, and want
//! `instructions` in each request: those are the client's, or empty.

mod answer;
mod converter;
mod error;
mod model;
mod request;

pub use self::answer::stream::Stream;
#[cfg(test)]
pub use self::answer::whole::answer;
pub use self::answer::whole::events;
pub use self::converter::MessagesToResponses;
pub use self::error::{Unusable, error_body};
pub use self::request::{Context, Options, request};

#[cfg(test)]
mod tests;
