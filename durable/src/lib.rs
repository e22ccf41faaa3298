//! State that must have exactly one writer: the machines that admit calls and choose accounts.
//!
//! A machine is a pure, serialisable value. It is given the time and a command and answers with a
//! reply; it never waits, never reads a clock, never draws a random number and never talks to anyone.
//! On Cloudflare a Durable Object holds one machine, on a native host a lock does: limits behave the
//! same in both homes and are model-checked here, without either.
//!
//! | machine | one per | decides |
//! | --- | --- | --- |
//! | [`gate::Gate`] | client key | may this call start, and what does it hold: a slot, a share of the money |
//! | [`pool::Pool`] | platform | which account serves this attempt, and how accounts are doing |
//!
//! Invariants, checked after every step of random histories (`tests/`):
//! 1. A slot is a lease with an owner and an end. With all clients gone and one TTL passed, none is held.
//! 2. Never more live leases than the limit allows; exactly the limit is admitted from any crowd, of slots,
//!    requests and money alike. What was spent is the sum of what settled calls used, what is reserved that
//!    of what running calls may use.
//! 3. Repeating a command (a lost reply, a retry) changes nothing the first did not.
//! 4. Time may jump both ways: a lease outlives its TTL by no more than the jump.
//!    (Readings may come out of order: one up to a second behind the latest counts as the latest.)
//! 5. Nobody waits while a slot is free, and nobody who waits is overtaken.
//!
//! | module | promise |
//! | --- | --- |
//! | `lease` | slots with an owner and an end |
//! | `freshness` | whether what was learned from the store may still decide |
//! | [`outbox`] | settled events wait here until the store has them |
//! | [`rows`] | a machine as rows of a table, of which a step touches few |
//! | `object` | on Cloudflare: a machine in a Durable Object's storage |
//! | `time` | what is taken for the present; ends that a clock set back cannot push away |

mod freshness;
pub mod gate;
mod lease;
#[cfg(target_arch = "wasm32")]
pub mod object;
pub mod outbox;
pub mod pool;
pub mod rows;
mod time;

use serde::{Deserialize, Serialize};

use self::rows::Row;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// One model call of one client, from its arrival to its last byte. Its time-ordered 128 bits are
/// drawn by the host. Leases are named by it, so a repeated command finds its own lease again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u128);

/// A machine: see the crate's promise.
pub trait Machine {
    type Command;
    type Reply;

    fn handle(&mut self, now: Millis, command: Self::Command) -> Step<Self::Reply>;
}

/// What a command led to.
#[derive(Debug, PartialEq)]
pub struct Step<R> {
    pub reply: R,
    pub changes: Changes,
    /// When the machine wants to be woken to tidy up, if it holds anything that ends. Any command
    /// does it; a host sends `Snapshot`. To wake it late or not at all only costs memory, but for a gate
    /// that holds events (`gate::Command::TakeBatch`) or at which calls wait (`wake`).
    pub wake_at: Option<Millis>,
    /// Calls that waited and need wait no longer: at a gate, in their order, each is to send its `Admit`
    /// again; at a pool its `BeginRefresh`. Some may have gone since.
    pub wake: Vec<CallId>,
    /// The rows that are no longer what they were; some may be named twice.
    pub rows: Vec<Row>,
}

/// Which part of the state a command touched, so that a host persists no more than it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Leases came, went or were renewed. A host whose death ends all its calls need not keep them.
    pub leases: bool,
    /// Something a restart must not forget: cooldowns, health, sticky sessions.
    pub lasting: bool,
}
