//! OpenAI's protocols, Responses and Chat Completions.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`error`] | the relay's own errors, as OpenAI's clients expect them |
//! | [`forms`] | turns a whole answer into a stream of events, and back |
//! | [`reading`] | where answers name their usage |

pub(crate) mod error;
pub(crate) mod forms;
pub(crate) mod reading;
