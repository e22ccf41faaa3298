//! Time as the core sees it.

#[cfg(test)]
pub(crate) mod movable;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use crs_durable::Millis;

pub trait Clock: Send + Sync {
    /// Wall clock, milliseconds since the Unix epoch. May jump.
    fn now(&self) -> Millis;

    /// Monotonic microseconds since some fixed moment, for durations. On the edge it stands still
    /// while the CPU works.
    fn ticks(&self) -> u64;

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}
