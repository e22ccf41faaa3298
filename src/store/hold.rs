//! A hold pauses writers of a shared store while a backup reads all of it, so that related keys are read at one
//! moment.
//!
//! The hold is a key that expires within seconds. Every atomic step over several keys requires its absence
//! (`store::audit::store`), in the same round trip. A step that meets a hold fails as if the store were briefly
//! unavailable, and data that must not be lost is kept by the mechanisms for outages: the ledger's outbox, a
//! token's renewal. Steps on a single key are consistent by themselves and go on. If a process dies while it
//! holds, it pauses the others for at most [`LIFETIME`].

#[cfg(not(target_arch = "wasm32"))]
pub mod heeding;

use crs_durable::Millis;

use super::keys;
use crate::port::store::{Applied, Command, Guard, Store, StoreError};

/// Lifetime of a hold unless it is renewed, milliseconds.
pub const LIFETIME: Millis = 20_000;

/// An active hold. End it with [`Hold::release`].
pub struct Hold {
    owner: String,
    /// Time of the last renewal.
    renewed: Millis,
}

/// Interval between renewals.
const RENEW: Millis = LIFETIME / 4;

/// Runs a step that respects holds: if it concerns several keys, it fails during a hold.
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

/// The guard of a step over several keys.
pub(crate) fn guard() -> Guard {
    Guard::Value {
        key: keys::HOLD.to_owned(),
        is: None,
    }
}

/// The error for a step that met a hold.
pub(crate) fn met(kind: &'static str) -> StoreError {
    StoreError::Away {
        kind,
        reason: "a backup is being read from it: it accepts changes again in a moment".to_owned(),
    }
}

/// Whether the commands concern several keys.
pub(crate) fn concerns(batch: &[Command]) -> bool {
    let mut keys = batch.iter().map(Command::key);
    let first = keys.next();
    keys.any(|key| Some(key) != first)
}

impl Hold {
    /// Raises a hold; `None` if there is one already. From the answer on, no step over several keys succeeds.
    pub async fn raise(store: &dyn Store, owner: &str, now: Millis) -> Result<Option<Self>, StoreError> {
        let mut hold = Self {
            owner: owner.to_owned(),
            renewed: now,
        };
        let applied = store.atomically(vec![guard()], vec![hold.set(now)]).await?;
        Ok((applied == Applied::Yes).then_some(hold))
    }

    /// Renews it. Returns `false` if it has expired, so that the data read is not of one moment.
    pub async fn keep(&mut self, store: &dyn Store, now: Millis) -> Result<bool, StoreError> {
        if now.abs_diff(self.renewed) < RENEW {
            return Ok(true);
        }
        let set = self.set(now);
        Ok(store.atomically(vec![self.own()], vec![set]).await? == Applied::Yes)
    }

    /// Ends it. Returns `false` if it had expired.
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
