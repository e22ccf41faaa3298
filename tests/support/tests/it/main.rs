//! The tools themselves are tested: a provider that lies would make every other test lie.

mod provider;
mod proxy;
mod relay;
