//! Backends of `port::store::Store`.
