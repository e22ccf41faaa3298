//! Writers of a shared store wait while it is read as a whole, so that what several keys must agree on is read of one
//! moment.
//!
//! The hold is a key that ends by itself within seconds. Every atomic step over several keys demands that it is not
//! there (`store::audit::store`), in the same round trip; a step that meets it fails as if the store were away for a
//! moment, and what cannot wait is kept by whoever keeps it through an outage: the ledger's outbox, a token's renewal.
//! A step on one key is its own moment and goes on. A process that dies while it holds stops the others for
//! [`LIFETIME`] at most.

#[cfg(not(target_arch = "wasm32"))]
pub mod heeding;

use crs_durable::Millis;

use super::keys;
use crate::port::store::{Applied, Command, Guard, Store, StoreError};

/// How long a hold lasts unless it is renewed, in milliseconds.
pub const LIFETIME: Millis = 20_000;

/// A hold that was raised. End it with [`Hold::release`].
pub struct Hold {
    owner: String,
    /// When it was renewed last.
    renewed: Millis,
}

/// How often a hold is renewed.
const RENEW: Millis = LIFETIME / 4;

/// A step that waits for holds: one over several keys fails while somebody holds the store.
pub(crate) async fn atomically(
    store: &dyn Store,
    mut guards: Vec<Guard>,
    batch: Vec<Command>,
) -> Result<Applied, StoreError> {
    let own = guards.len();
    if store.shared() && concerns(&batch) {
        guards.push(guard());
    }
    match store.atomically(guards, batch).await? {
        Applied::No { guard } if guard >= own => Err(met(store.kind())),
        applied => Ok(applied),
    }
}

/// What a step over several keys demands.
pub(crate) fn guard() -> Guard {
    Guard::Value {
        key: keys::HOLD.to_owned(),
        is: None,
    }
}

/// What a step is told that met a hold.
pub(crate) fn met(kind: &'static str) -> StoreError {
    StoreError::Away {
        kind,
        reason: "a backup is being read from it: it takes changes again in a moment".to_owned(),
    }
}

/// Whether the commands are of several keys.
pub(crate) fn concerns(batch: &[Command]) -> bool {
    let mut keys = batch.iter().map(Command::key);
    let first = keys.next();
    keys.any(|key| Some(key) != first)
}

impl Hold {
    /// `None`: somebody else holds it. From the answer on, no step over several keys is taken.
    pub async fn raise(store: &dyn Store, owner: &str, now: Millis) -> Result<Option<Self>, StoreError> {
        let mut hold = Self {
            owner: owner.to_owned(),
            renewed: now,
        };
        let applied = store.atomically(vec![guard()], vec![hold.set(now)]).await?;
        Ok((applied == Applied::Yes).then_some(hold))
    }

    /// Keeps it up. `false`: it has ended meanwhile, so what was read is not of one moment.
    pub async fn keep(&mut self, store: &dyn Store, now: Millis) -> Result<bool, StoreError> {
        if now.abs_diff(self.renewed) < RENEW {
            return Ok(true);
        }
        let set = self.set(now);
        Ok(store.atomically(vec![self.own()], vec![set]).await? == Applied::Yes)
    }

    /// Lets the writers go on. `false`: it had ended before.
    pub async fn release(self, store: &dyn Store) -> Result<bool, StoreError> {
        let del = Command::Del {
            key: keys::HOLD.to_owned(),
        };
        Ok(store.atomically(vec![self.own()], vec![del]).await? == Applied::Yes)
    }

    fn own(&self) -> Guard {
        Guard::Value {
            key: keys::HOLD.to_owned(),
            is: Some(self.owner.clone().into()),
        }
    }

    fn set(&mut self, now: Millis) -> Command {
        self.renewed = now;
        Command::Set {
            key: keys::HOLD.to_owned(),
            value: self.owner.clone().into(),
            expire_at: Some(now.saturating_add(LIFETIME)),
        }
    }
}
