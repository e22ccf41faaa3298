//! What the core asks of a host. Traits only: nothing here knows where it runs.
//!
//! Every port is `Send + Sync` on every target; an adapter bridges futures that are not.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`store`], [`whole`] | the data: one command batch; everything in it |
//! | [`gates`] | the machines of `crs-durable` |
//! | [`upstream`], [`destination`] | an exchange with a provider, and the rules on where it may go |
//! | [`clock`], [`random`] | time, and bytes that nobody can guess |
//! | [`tasks`] | work beside or after a response |
//! | [`backups`] | files of backups |
//! | [`billed`] | units that the host's platform bills |

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
