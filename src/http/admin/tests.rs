mod accounts;
mod auth;
mod bench;
mod concurrency;
mod contract;
mod groups;
mod health;
mod keys;
mod limits;
mod oem;
mod reading;
#[cfg(not(target_arch = "wasm32"))]
mod scale;
mod sign_in;
mod spend;
mod streams;
mod trace;
mod usage;
