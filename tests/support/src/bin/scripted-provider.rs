//! The scripted provider for tests that are not written in Rust: see `crs_support::provider::steered`.
//!
//! Prints one line, its address, and ends when its input ends: whoever started it leaves no orphan.

use std::io::Read as _;

use crs_support::provider::{FakeProvider, steered};

#[tokio::main]
async fn main() {
    let provider = steered(FakeProvider::start().await);
    println!("{}", provider.url());
    let mut bytes = [0; 256];
    while std::io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
}
