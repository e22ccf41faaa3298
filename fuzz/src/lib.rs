//! What each fuzz target checks, as a plain function of bytes that panics when it finds something.
//!
//! tests/it/fuzz.rs includes these files and calls the functions with generated input, so that every test run
//! exercises them, on a stable compiler.

pub mod address;
pub mod bridge;
