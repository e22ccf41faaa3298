//! Ports: the traits that a host implements. Nothing here depends on a host.
//!
//! Every port is `Send + Sync` on every target; adapters bridge futures that are not.
//!
//! | module | content |
//! | --- | --- |
//! | [`store`], [`whole`] | the data: command batches; reading everything |
//! | [`gates`] | the gates and pools of `crs-durable` |
//! | [`upstream`], [`destination`] | an exchange with a provider or a WebSocket to it, and the rules on its destination |
//! | [`clock`], [`random`], [`signer`] | time, secure random bytes, signatures |
//! | [`tasks`] | work beside or after a response |
//! | [`backups`] | backup files |
//! | [`socket`] | a client's WebSocket |
//! | [`billed`] | units billed by the host's platform |

pub mod backups;
pub mod billed;
pub mod clock;
pub mod destination;
pub mod gates;
#[cfg(not(target_arch = "wasm32"))]
pub mod home;
pub mod random;
pub mod signer;
pub mod socket;
pub mod store;
pub mod tasks;
pub mod upstream;
#[cfg(not(target_arch = "wasm32"))]
pub mod whole;
