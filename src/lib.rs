//! crs-edge: a relay that pools provider accounts behind keys of your own.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`app`] | `App`: everything a request may touch, as a struct of ports |
//! | [`config`] | every setting, read once at start |
//! | [`http`] | the shared axum surface: router, extractors, errors, endpoints |
//! | [`model`] | the nouns: key, account, usage, price |
//! | [`port`] | what the core asks of a host, traits only |
//! | [`relay`] | the verb: one model call, metered |
//! | [`secrets`] | what is derived from the operator's secrets: client keys, sealing, passwords, sessions |
//! | [`store`] | backends of the `Store` port, and the repositories over it |

pub mod app;
pub mod config;
pub mod http;
pub mod model;
pub mod port;
pub mod relay;
pub mod secrets;
pub mod store;
