//! The one integration binary: a module per behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected ends there"
)]

mod accounts;
mod bodies;
mod cli;
mod durability;
mod failover;
mod gemini;
mod keys;
mod leaving;
mod oauth;
mod openai;
mod operations;
mod pass_through;
mod proxies;
mod real_clients;
mod sdks;
mod support;
mod tidy;
