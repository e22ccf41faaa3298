//! The tools themselves are tested: a provider that lies would make every other test lie.

mod bench;
mod claude_code;
mod control;
mod provider;
mod proxy;
mod relay;
mod upstash;
mod worker;
