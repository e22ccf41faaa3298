//! Anthropic's Messages protocol.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`forms`] | turns a whole message into a stream of events, and back |
//! | [`json`], [`sse`] | read usage from an answer as its bytes pass |
//! | [`session`] | the session in `metadata.user_id` |
//! | [`usage`] | sums the `usage` object |

pub(crate) mod forms;
pub mod json;
pub mod session;
pub mod sse;
pub mod usage;
