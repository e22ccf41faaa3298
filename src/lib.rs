//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`account`] | one folder for each provider that has accounts: requests, judgement of answers, sign-in |
//! | [`app`] | `App`: everything a request may touch, as a struct of ports |
//! | `backup` | the file of a backup, natively: packed, sealed, read, checked |
//! | [`config`] | every setting, read once at start |
//! | [`convert`] | converters between protocols |
//! | [`dialect`] | the protocols that clients speak |
//! | [`error`] | what failed, whose fault it was, whether to try again |
//! | [`host`] | the only code that knows where it runs |
//! | [`http`] | the shared axum surface: router, extractors, errors, endpoints |
//! | `import` | taking over the data of claude-relay-service; natively only |
//! | [`metrics`] | figures for Prometheus |
//! | [`model`] | the nouns: key, account, usage, price |
//! | [`plan`] | which converters and accounts serve a protocol |
//! | [`port`] | what the core asks of a host, traits only |
//! | [`relay`] | the verb: serve one model call |
//! | [`secrets`] | what is derived from the operator's secrets: client keys, sealing, passwords, sessions |
//! | [`state`] | what one process keeps in memory for all calls |
//! | [`store`] | backends of the `Store` port, and the repositories over it |

pub mod account;
pub mod app;
#[cfg(not(target_arch = "wasm32"))]
pub mod backup;
pub mod config;
pub mod convert;
pub mod dialect;
pub mod error;
pub mod host;
pub mod http;
#[cfg(not(target_arch = "wasm32"))]
pub mod import;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod port;
pub mod relay;
pub mod secrets;
pub mod state;
pub mod store;

// The Durable Objects vanish from the module's exports unless the crate's root names them.
#[cfg(target_arch = "wasm32")]
pub use host::worker::{GateObject, PoolObject};
