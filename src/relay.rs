//! The verb: one model call, from the client's request to its ledger event.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`body`] | the client's request: read once, patched in place |
//! | [`meter`] | what an answer used, learned as its bytes pass |

pub mod body;
pub mod json;
pub mod meter;
pub mod sse;
pub mod usage;
