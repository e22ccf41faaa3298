//! Whether the process is shutting down.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Debug, Default)]
pub struct Ending(AtomicU8);

impl Ending {
    /// The first signal: calls should go elsewhere.
    pub fn begin(&self) {
        self.0.fetch_max(1, Ordering::Relaxed);
    }

    /// The second signal: skips waits whose results can be kept in another way.
    pub fn hurry(&self) {
        self.0.fetch_max(2, Ordering::Relaxed);
    }

    pub fn begun(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub fn hurries(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}
