//! OpenAI's Responses spoken to accounts that speak the Messages API, and its answers turned back.
//!
//! Pure: bytes to bytes, no clock, no I/O, nothing remembered between two calls. Claude's thinking travels through
//! the client as encrypted reasoning (see `carry`), so a conversation goes on on any host and after any restart.
//!
//! | what | by |
//! | --- | --- |
//! | a request | [`request()`] makes the Messages request, and a [`Context`] for its answer |
//! | an answer | [`answer()`], or [`Stream`] for server-sent events, cut anywhere |
//! | an error | [`error_body`] |
//!
//! What cannot be sent is refused by its place and name. What only tunes, accounts or keeps is left
//! out; `request/fields.rs` lists it. Choices that are not obvious:
//!
//! | of Responses | becomes | because |
//! | --- | --- | --- |
//! | `instructions`, and `developer` and `system` messages before the first turn | `system` | it is the same thing |
//! | such messages later on | text of the user's turn, in its place, as a `<system-reminder>` | moved to the front it would change the prefix of every later request, and with it what is cached |
//! | a call without its output, an output without its call | refused | a made-up result would be believed |
//! | `custom` tools, `local_shell`, tools in namespaces | tools of the Messages API; their calls come back as what they were | |
//! | reasoning of another provider's model | left out | nobody else can read it |
//! | a `web_search` without access to the web | left out | Claude has no index of its own to search |
//! | a `web_search_call` in the history | what was searched for, in words | its results are in no item |
//! | no effort, but a summary wanted | thinking as the model likes it | Codex asks models so that it does not know |
//! | an assistant's message at the end | refused | Claude would go on with it, OpenAI's models answer anew |
//! | no marks for the cache | marks at the end of the instructions and of the transcript | OpenAI's clients expect a cache, and Claude keeps only what is marked |
//! | `store`, left out or true | nothing is stored | there is nobody to ask for it; `previous_response_id` is refused |

mod answer;
mod carry;
mod converter;
mod error;
mod names;
mod request;

pub use self::answer::stream::Stream;
pub use self::answer::whole::answer;
pub use self::converter::ResponsesToMessages;
pub use self::error::{Unusable, error_body};
pub use self::request::{Context, Options, request};

#[cfg(test)]
mod tests;
