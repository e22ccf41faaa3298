//! What one process (or isolate) keeps in memory for all of its calls. Nothing here does I/O.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`body_memory`] | the budget of bytes for request bodies |
//! | [`outbox`] | settled events that the ledger does not have yet |
//! | [`refusal_tally`] | calls that were refused, counted until the store has the counts |
//! | [`running`] | the streams under way, so that the operator can end them |
//! | [`store_rest`] | whether the store failed a moment ago |
//! | [`turns`] | what the provider's cache gave each conversation last |

pub mod body_memory;
pub mod outbox;
pub mod refusal_tally;
pub mod running;
pub mod store_rest;
pub mod turns;
