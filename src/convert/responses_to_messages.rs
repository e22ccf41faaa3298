//! Converts OpenAI's Responses for accounts that speak the Messages API, and their answers back.
//!
//! Pure functions: bytes to bytes, no clock, no I/O, no state between two calls. The client carries Claude's
//! thinking as encrypted reasoning (see `carry`), so a conversation continues on any host and after any restart.
//!
//! | data | function |
//! | --- | --- |
//! | a request | [`request()`] makes the Messages request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! Unsupported input is refused with its path and name. Metadata, tuning parameters and storage options are
//! dropped; `request/fields.rs` lists them. Choices that are not obvious:
//!
//! | Responses | becomes | because |
//! | --- | --- | --- |
//! | `instructions`, and `developer` and `system` messages before the first turn | `system` | it is the same thing |
//! | such messages later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and invalidate the cache |
//! | a call without its output, an output without its call | refused | the model would believe a made-up result |
//! | `custom` tools, `local_shell`, tools in namespaces | tools of the Messages API; their calls are converted back | |
//! | reasoning of another provider's model | dropped | only that provider can read it |
//! | a `web_search` without access to the web | dropped | Claude has no search index of its own |
//! | a `web_search_call` in the history | its query as text | the item does not contain its results |
//! | no effort, but a summary requested | the model's default thinking | Codex sends this to models that it does not know |
//! | an assistant's message at the end | refused | Claude would continue it, OpenAI's models begin a new answer |
//! | no cache marks | marks at the end of the instructions and of the transcript | OpenAI's clients expect caching, and Claude caches only what is marked |
//! | `store`, left out or true | nothing is stored | there is no storage; `previous_response_id` is refused |

mod answer;
mod carry;
mod converter;
mod error;
mod names;
mod request;

pub use self::answer::stream::Stream;
pub use self::answer::whole::answer;
pub use self::converter::ResponsesToMessages;
pub use self::error::{UnusableAnswer, error_body};
pub use self::request::{Context, Options, request};
pub use crate::convert::claude::model::Target;

#[cfg(test)]
mod tests;
