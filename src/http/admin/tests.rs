mod accounts;
mod auth;
mod bench;
mod concurrency;
mod contract;
mod groups;
mod guesses;
mod keys;
mod limits;
mod oem;
mod reading;
#[cfg(not(target_arch = "wasm32"))]
mod scale;
mod sign_in;
mod spend;
mod trace;
mod usage;
