//! The only code that knows where it runs: an entry point and adapters of the ports, per host.

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;
