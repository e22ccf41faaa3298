//! A pause of the store's readers after the store has failed: a slow store must not slow every request down.

use std::sync::atomic::{AtomicU64, Ordering};

use crs_durable::Millis;

/// After a failure of the store, cached records are used without asking it for this long.
const STORE_REST_MS: u64 = 5_000;

/// Until when the store is not asked.
#[derive(Default)]
pub struct StoreRest(AtomicU64);

impl StoreRest {
    /// Whether the store failed within the last [`STORE_REST_MS`].
    pub(crate) fn resting(&self, now: Millis) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        // A clock that jumped back must not keep it at rest for longer than the rest.
        until > now && until <= now + STORE_REST_MS
    }

    /// The store failed at `now`.
    pub(crate) fn begin(&self, now: Millis) {
        self.0.store(now + STORE_REST_MS, Ordering::Relaxed);
    }
}
