//! The one integration binary: a module per behaviour.

mod bodies;
mod cli;
mod durability;
mod failover;
mod keys;
mod leaving;
mod oauth;
mod operations;
mod pass_through;
mod proxies;
mod real_clients;
mod support;
mod tidy;
