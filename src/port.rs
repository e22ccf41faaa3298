//! What the core asks of a host. Traits only: nothing here knows where it runs.
//!
//! Every port is `Send + Sync` on every target; an adapter bridges futures that are not.

pub mod backups;
pub mod billed;
pub mod clock;
pub mod destination;
pub mod gates;
pub mod random;
pub mod store;
pub mod tasks;
pub mod upstream;
#[cfg(not(target_arch = "wasm32"))]
pub mod whole;
