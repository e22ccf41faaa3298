mod accounts;
mod auth;
mod bench;
mod contract;
mod keys;
mod oem;
mod reading;
#[cfg(not(target_arch = "wasm32"))]
mod scale;
mod trace;
mod usage;
