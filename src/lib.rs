//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | content |
//! | --- | --- |
//! | `account` | one folder per provider: requests, judgement of answers, sign-in |
//! | `app` | `App`: the state available to every request |
//! | `backup` | backup files: packed, sealed, read, verified; native only |
//! | `cli` | the command line; native only |
//! | `config` | all settings, read once at start |
//! | `convert` | converters between protocols |
//! | `dialect` | client protocols |
//! | `error` | failures: cause, fault, retry |
//! | `host` | the code of each host: native, and Cloudflare Worker |
//! | `http` | the shared axum router: extractors, errors, endpoints |
//! | `import` | import of the data of claude-relay-service; native only |
//! | `metrics` | figures for Prometheus |
//! | `model` | data types: key, account, usage, price |
//! | `plan` | which converters and accounts serve a protocol |
//! | `port` | traits that a host implements |
//! | `relay` | serves one model call |
//! | `secrets` | everything derived from the operator's secrets: client keys, sealing, passwords, sessions |
//! | `state` | in-memory state shared by all calls of a process |
//! | `store` | backends of the `Store` port, and the repositories on top of them |
//!
//! All modules are private. The public items are the program ([`run`] and the functions that start the server) or
//! the Worker's entry, and [`tested`], so the compiler reports unused code.

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

// The command line refers to the library by its public name.
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

// The Durable Objects are only exported if the crate's root names them.
#[cfg(target_arch = "wasm32")]
pub use self::host::worker::{GateObject, PoolObject};

/// Parts used by the integration tests and the fuzz targets.
#[doc(hidden)]
pub mod tested;
