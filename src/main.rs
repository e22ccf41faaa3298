//! The binary `crs`: settings, then the native host.

fn main() {}
