//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | what is there |
//! | --- | --- |
//! | `account` | one folder for each provider that has accounts: requests, judgement of answers, sign-in |
//! | `app` | `App`: everything a request may touch, as a struct of ports |
//! | `backup` | the file of a backup, natively: packed, sealed, read, checked |
//! | `cli` | the command line, natively |
//! | `config` | every setting, read once at start |
//! | `convert` | converters between protocols |
//! | `dialect` | the protocols that clients speak |
//! | `error` | what failed, whose fault it was, whether to try again |
//! | `host` | the only code that knows where it runs |
//! | `http` | the shared axum surface: router, extractors, errors, endpoints |
//! | `import` | taking over the data of claude-relay-service; natively only |
//! | `metrics` | figures for Prometheus |
//! | `model` | the nouns: key, account, usage, price |
//! | `plan` | which converters and accounts serve a protocol |
//! | `port` | what the core asks of a host, traits only |
//! | `relay` | the verb: serve one model call |
//! | `secrets` | what is derived from the operator's secrets: client keys, sealing, passwords, sessions |
//! | `state` | what one process keeps in memory for all calls |
//! | `store` | backends of the `Store` port, and the repositories over it |
//!
//! All of them are private: from outside there are the program ([`run`] and what starts the server) or the Worker's
//! entry, and [`tested`]. So the compiler names what nobody uses.

#![allow(
    unreachable_pub,
    reason = "`pub` in a private module means: for the rest of the crate"
)]
#![cfg_attr(
    target_arch = "wasm32",
    allow(
        dead_code,
        unused_imports,
        reason = "what the native host alone uses is checked natively"
    )
)]

// The command line names the rest as one from outside would.
#[cfg(not(target_arch = "wasm32"))]
extern crate self as crs_edge;

mod account;
mod app;
#[cfg(not(target_arch = "wasm32"))]
mod backup;
#[cfg(not(target_arch = "wasm32"))]
mod cli;
mod config;
mod convert;
mod dialect;
mod error;
mod host;
mod http;
#[cfg(not(target_arch = "wasm32"))]
mod import;
mod metrics;
mod model;
mod plan;
mod port;
mod relay;
mod secrets;
mod state;
mod store;

#[cfg(not(target_arch = "wasm32"))]
pub use self::{
    cli::run,
    config::{Vars, dotenv},
    host::native::{Setup, StartError, allocator, log, serve, serve_until},
};

// The Durable Objects vanish from the module's exports unless the crate's root names them.
#[cfg(target_arch = "wasm32")]
pub use self::host::worker::{GateObject, PoolObject};

/// Parts that the integration tests and the fuzz targets check from outside.
#[doc(hidden)]
pub mod tested;
