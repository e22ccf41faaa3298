//! Headers of the messages between an isolate and the Durable Objects.

/// Headers of an answer: what was billed in the object since its last one.
pub(super) const ROWS_WRITTEN: &str = "x-rows-written";
pub(super) const COMMANDS: &str = "x-store-commands";

/// Header of a command: hex of the call that waits for its slot, or for a token's renewal.
pub(super) const WAIT: &str = "x-wait";
