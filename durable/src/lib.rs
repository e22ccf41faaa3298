//! State that must have exactly one writer: the machines that admit calls and choose accounts.
//!
//! A machine is a pure, serialisable value. It gets the time and a command and returns a reply; it never waits,
//! never reads a clock, never draws a random number and never does I/O. On Cloudflare a Durable Object holds one
//! machine, on a native host a lock does: limits behave the same in both, and the model tests need neither.
//!
//! | machine | one per | decides |
//! | --- | --- | --- |
//! | [`gate::Gate`] | client key | whether a call may start, and what it holds: a slot, a share of the money |
//! | [`pool::Pool`] | platform | which account serves an attempt, and the health of accounts |
//!
//! Invariants, checked after every step of random histories (`tests/`):
//! 1. A slot is a lease with an owner and an end. When all clients have left and one TTL has passed, no slot is held.
//! 2. Live leases never exceed the limit; from any crowd exactly the limit is admitted, of slots, requests and
//!    money alike. The spent sum is the usage of settled calls, the reserved sum the estimates of running calls.
//! 3. Repeating a command (a lost reply, a retry) changes nothing that the first did not.
//! 4. Time may jump both ways: a lease outlives its TTL by no more than the jump.
//!    (Readings may come out of order: one up to a second behind the latest counts as the latest.)
//! 5. No call waits while a slot is free, and no waiting call is overtaken.
//!
//! | module | promise |
//! | --- | --- |
//! | `lease` | slots with an owner and an end |
//! | `freshness` | whether facts learned from the store may still decide |
//! | [`holder`] | a machine with its waiting calls, and the homes where its rows live |
//! | [`outbox`] | settled events wait here until the store has them |
//! | [`rows`] | a machine as rows of a table, of which a step touches few |
//! | [`shared`] | one process's copy of a machine whose rows several processes share |
//! | `object` | on Cloudflare: a machine in a Durable Object's storage |
//! | `time` | the present for a machine; ends that a clock set back cannot postpone |

mod freshness;
pub mod gate;
mod hash;
pub mod holder;
mod lease;
#[cfg(target_arch = "wasm32")]
pub mod object;
pub mod outbox;
pub mod pool;
pub mod rows;
pub mod shared;
mod time;

use serde::{Deserialize, Serialize};

use self::rows::Row;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// One model call of one client, from its arrival to its last byte. The host draws its time-ordered 128 bits. Leases
/// are named by it, so a repeated command finds its own lease again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u128);

/// A machine: see the crate's documentation.
pub trait Machine {
    type Command;
    type Reply;

    fn handle(&mut self, now: Millis, command: Self::Command) -> Step<Self::Reply>;
}

/// The result of a command.
#[derive(Debug, PartialEq)]
pub struct Step<R> {
    pub reply: R,
    /// When the machine wants to be woken to tidy up, if it holds anything that ends. Any command does it; a host
    /// sends `Snapshot`. A late wake-up, or none, only costs memory, except for a gate that has events
    /// (`gate::Command::TakeBatch`) or waiting calls (`wake`).
    pub wake_at: Option<Millis>,
    /// Calls that need wait no longer: at a gate each must send its `Admit` again, in this order; at a pool its
    /// `BeginRefresh`. Some may have left since.
    pub wake: Vec<CallId>,
    /// The rows that this step changed; may contain duplicates.
    pub rows: Vec<Row>,
}
