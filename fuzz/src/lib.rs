//! The check of each fuzz target, as a plain function of bytes that panics when it finds something.
//!
//! tests/it/fuzz.rs includes these files and calls the functions with generated input, so that every test run
//! exercises them, on a stable compiler. To fuzz for longer, with a nightly compiler and cargo-fuzz
//! (`cargo install cargo-fuzz --locked`), from the root of the repository:
//!
//! ```text
//! cargo +nightly fuzz list
//! cargo +nightly fuzz run schema fuzz/corpus/schema fuzz/seeds/schema -- -max_total_time=60
//! ```
//!
//! This crate has no unsafe code, so `-s none` (no address sanitizer) loses little, builds in half the time and runs faster.
//!
//! New inputs go to the first folder, and an input that fails to `fuzz/artifacts`; `cargo +nightly fuzz run schema
//! FILE` runs it again. `fuzz/seeds` has inputs to start from for the targets whose input has a grammar; the others
//! need none. More answers to start from are in `tests/fixtures`. `cargo check` in `fuzz/` wants a stable compiler only.

pub mod address;
pub mod body;
pub mod bridge;
pub mod converters;
pub mod headers;
pub mod key;
pub mod model_name;
pub mod query;
pub mod schema;
pub mod stream;
