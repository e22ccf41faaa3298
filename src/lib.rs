//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`app`] | `App`: everything a request may touch, as a struct of ports |
//! | `backup` | the file of a backup, natively: packed, sealed, read, checked |
//! | [`config`] | every setting, read once at start |
//! | [`error`] | what failed, whose fault it was, whether to try again |
//! | [`host`] | the only code that knows where it runs |
//! | [`http`] | the shared axum surface: router, extractors, errors, endpoints |
//! | [`metrics`] | figures for Prometheus |
//! | [`model`] | the nouns: key, account, usage, price |
//! | [`port`] | what the core asks of a host, traits only |
//! | [`provider`] | one dialect each, pure translation |
//! | [`relay`] | the verb: serve one model call |
//! | [`secrets`] | what is derived from the operator's secrets: client keys, sealing, passwords, sessions |
//! | [`state`] | what one process keeps in memory for all calls |
//! | [`store`] | backends of the `Store` port, and the repositories over it |

pub mod app;
#[cfg(not(target_arch = "wasm32"))]
pub mod backup;
pub mod config;
pub mod error;
pub mod host;
pub mod http;
pub mod metrics;
pub mod model;
pub mod port;
pub mod provider;
pub mod relay;
pub mod secrets;
pub mod state;
pub mod store;

// The Durable Objects vanish from the module's exports unless the crate's root names them.
#[cfg(target_arch = "wasm32")]
pub use host::worker::{GateObject, PoolObject};
