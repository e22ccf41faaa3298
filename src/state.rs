//! In-memory state shared by all calls of a process or isolate. No I/O.
//!
//! | module | content |
//! | --- | --- |
//! | [`body_memory`] | memory accounting for request bodies |
//! | [`no_sockets`] | accounts whose hosts took no WebSocket a moment ago |
//! | [`outbox`] | settled events that are not in the ledger yet |
//! | [`refusal_tally`] | counts of refused calls that are not in the store yet |
//! | [`running`] | running streams, so that the operator can end them |
//! | [`store_rest`] | whether the store failed a moment ago |
//! | [`turns`] | the latest cache figures of each conversation |

pub mod body_memory;
pub mod ending;
pub mod no_sockets;
pub mod outbox;
pub mod refusal_tally;
pub mod running;
pub mod store_rest;
pub mod turns;
