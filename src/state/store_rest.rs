//! Pauses reads of the store after a failure, so that a slow store does not slow down every request.

use std::sync::atomic::{AtomicU64, Ordering};

use crs_durable::Millis;

/// How long cached records are used without asking the store after it failed, milliseconds.
const STORE_REST_MS: u64 = 5_000;

/// The end of the pause.
#[derive(Default)]
pub struct StoreRest(AtomicU64);

impl StoreRest {
    /// Whether the store failed within the last [`STORE_REST_MS`].
    pub(crate) fn resting(&self, now: Millis) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        // If the clock jumped back, the pause must not become longer.
        until > now && until <= now + STORE_REST_MS
    }

    /// Begins a pause at `now`, because the store failed.
    pub(crate) fn begin(&self, now: Millis) {
        self.0.store(now + STORE_REST_MS, Ordering::Relaxed);
    }
}
