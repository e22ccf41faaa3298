//! Headers of the messages between an isolate and the Durable Objects.

/// Headers of an answer: the units billed to the object since its last answer.
pub(super) const ROWS_WRITTEN: &str = "x-rows-written";
pub(super) const COMMANDS: &str = "x-store-commands";

/// Header of a command: its reply may be held back while its call waits for a slot or a token's renewal.
pub(super) const WAIT: &str = "x-wait";
