//! The one integration binary: a module per behaviour, and each behaviour on every host it applies to.
//!
//! The modules below are the same files five times over; `super::support` gives each the relay of its host, and
//! hosts.rs names what does not apply where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected ends there"
)]
#![allow(clippy::duplicate_mod, reason = "the same behaviour on another host")]
#![allow(dead_code, reason = "not every host needs all of what they share")]

mod fuzz;
#[macro_use]
mod hosts;
mod tidy;

/// The native host inside the test's process.
#[path = "."]
mod in_process {
    const HOST: crs_support::relay::Host = crs_support::relay::Host::InProcess;
    mod accounts;
    mod across;
    mod amazon;
    mod azure;
    mod bodies;
    mod bridge;
    mod chat;
    mod console;
    mod costs;
    mod destinations;
    mod dialects;
    mod durability;
    mod failover;
    mod first_mistakes;
    mod gateway;
    mod gemini;
    mod intake;
    mod keys;
    mod leaving;
    mod limits;
    mod logins;
    mod model_names;
    mod oauth;
    mod oauth_setup;
    mod openai;
    mod operations;
    mod pass_through;
    mod proxies;
    mod refusals;
    mod statistics;
    mod support;
    mod verdicts;
    mod vertex;
}

/// The program as it comes.
#[path = "."]
mod embedded {
    const HOST: crs_support::relay::Host = crs_support::relay::Host::Embedded;
    mod accounts;
    mod across;
    mod amazon;
    mod azure;
    mod backups;
    mod bodies;
    mod bridge;
    mod chat;
    mod cli;
    mod console;
    mod costs;
    mod destinations;
    mod dialects;
    mod durability;
    mod ending;
    mod failover;
    mod first_mistakes;
    mod gateway;
    mod gemini;
    mod import;
    mod intake;
    mod keys;
    mod leaving;
    mod limits;
    mod logins;
    mod model_names;
    mod oauth;
    mod oauth_setup;
    mod openai;
    mod operations;
    mod pass_through;
    mod proxies;
    mod real_clients;
    mod refusals;
    mod sdks;
    mod statistics;
    mod support;
    mod upstash;
    mod verdicts;
    mod vertex;
}

/// The program with Redis as its store.
#[path = "."]
mod redis {
    const HOST: crs_support::relay::Host = crs_support::relay::Host::Redis;
    mod accounts;
    mod across;
    mod amazon;
    mod azure;
    mod backups;
    mod bodies;
    mod bridge;
    mod chat;
    mod cli;
    mod console;
    mod costs;
    mod destinations;
    mod dialects;
    mod durability;
    mod ending;
    mod failover;
    mod first_mistakes;
    mod gateway;
    mod gemini;
    mod import;
    mod intake;
    mod keys;
    mod leaving;
    mod limits;
    mod logins;
    mod model_names;
    mod oauth;
    mod oauth_setup;
    mod openai;
    mod operations;
    mod pass_through;
    mod proxies;
    mod refusals;
    mod statistics;
    mod support;
    mod verdicts;
    mod vertex;
}

/// Three processes of the program on one Redis, asked in turn.
#[path = "."]
mod cluster {
    const HOST: crs_support::relay::Host = crs_support::relay::Host::Cluster;
    mod accounts;
    mod across;
    mod amazon;
    mod azure;
    mod bodies;
    mod bridge;
    mod chaos;
    mod chat;
    mod console;
    mod costs;
    mod destinations;
    mod dialects;
    mod durability;
    mod ending;
    mod failover;
    mod first_mistakes;
    mod gateway;
    mod gemini;
    mod intake;
    mod keys;
    mod leaving;
    mod limits;
    mod logins;
    mod model_names;
    mod oauth;
    mod oauth_setup;
    mod openai;
    mod operations;
    mod pass_through;
    mod proxies;
    mod refusals;
    mod sentinel;
    mod several;
    mod statistics;
    mod support;
    mod verdicts;
    mod vertex;
}

/// The Worker in Miniflare. `scripts/build-worker` must have been run.
#[path = "."]
mod worker {
    const HOST: crs_support::relay::Host = crs_support::relay::Host::Worker;
    mod accounts;
    mod across;
    mod amazon;
    mod azure;
    mod bodies;
    mod bridge;
    mod chat;
    mod console;
    mod costs;
    mod destinations;
    mod dialects;
    mod durability;
    mod edge;
    mod failover;
    mod first_mistakes;
    mod gateway;
    mod gemini;
    mod intake;
    mod keys;
    mod leaving;
    mod limits;
    mod logins;
    mod model_names;
    mod oauth;
    mod oauth_setup;
    mod openai;
    mod operations;
    mod pass_through;
    mod proxies;
    mod real_clients;
    mod refusals;
    mod sdks;
    mod statistics;
    mod support;
    mod verdicts;
    mod vertex;
}
