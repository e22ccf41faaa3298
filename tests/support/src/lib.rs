//! What the tests and the benchmark of crs-edge stand on: a provider that does as it is told, clients that
//! see every byte, proxies that count, the relay as a process, Redis and Upstash on this machine, and the real
//! clients.
//!
//! Nothing in here depends on the relay's own code: a mistake in the relay cannot hide in its mirror image.
//! Every wait is bounded and says what it waited for; everything started is ended on drop, by its id.

pub mod bench;
pub mod claude_code;
pub mod cli;
pub mod client;
pub mod codex;
pub mod crs;
pub mod fixtures;
pub mod gemini_cli;
pub mod node;
pub mod pasted;
pub mod provider;
pub mod proxy;
pub mod redis_server;
pub mod relay;
pub mod sdk;
pub mod sentinel;
pub mod switch;
pub mod upstash;
pub mod wire;

use std::future::Future;
use std::time::Duration;

/// Longest wait for anything in a test that names no bound of its own.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not longer than `limit`.
///
/// # Panics
/// With `what` in the message, when the limit passes.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| panic!("waited {limit:?} in vain for {what}"))
}

/// Asks `check` again and again, until it gives a value or [`PATIENCE`] ends. For what announces nothing.
///
/// # Panics
/// With `what` in the message, when the time is up.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
