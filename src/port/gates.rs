//! The machines of `crs-durable`, wherever they live.

use std::time::Duration;

use async_trait::async_trait;
use crs_durable::{Millis, gate, pool};

use crate::model::account::Platform;
use crate::port::store::Command;

/// Hash of a client key; names its gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The form it has in the store.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

#[async_trait]
pub trait Gates: Send + Sync {
    /// Sends a command to the gate of a key. `Learn`ing is the caller's business, see `relay::admit`; waiting
    /// for a slot is the host's: `Queued` is never answered.
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError>;

    /// Sends a command to the pool of a platform. Waiting for another call's renewal of a token is the host's
    /// business: a `BeginRefresh` that waits is never answered `RefreshBusy`. Bound the wait with `within`.
    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError>;

    /// Whether asking costs no message to another machine.
    fn in_process(&self) -> bool {
        true
    }

    /// The command that writes the gate's present state, to be sent in one step with the events that it
    /// counts; `None`: this host keeps it elsewhere.
    fn kept(&self, _key: &KeyHash) -> Option<Command> {
        None
    }

    /// Since when the machines' own state cannot be written; `None`: it can, or this host keeps it elsewhere.
    fn unsaved_since(&self) -> Option<Millis> {
        None
    }

    /// `Some`: gates outlive the host of their calls and keep events until the store has them, so each
    /// `Settle` brings its event and each `Admit` a note. `None`: the process keeps events itself
    /// (`state::outbox`), as it does natively.
    fn keeps_events(&self) -> Option<KeepsEvents> {
        None
    }
}

/// How gates that keep events are to keep them.
#[derive(Clone, Copy, Debug)]
pub struct KeepsEvents {
    /// How long an event may wait for others to be written with.
    pub wait: Duration,
}

/// A machine could not be reached. Never happens natively; on the edge a Durable Object can be away.
#[derive(Debug, thiserror::Error)]
#[error("the {machine} machine cannot be reached: {reason}")]
pub struct GatesError {
    pub machine: &'static str,
    pub reason: String,
}
