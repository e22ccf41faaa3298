//! Time.

#[cfg(test)]
pub(crate) mod movable;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use crs_durable::Millis;

pub trait Clock: Send + Sync {
    /// Wall clock, milliseconds since the Unix epoch. May jump.
    fn now(&self) -> Millis;

    /// Monotonic microseconds since some fixed moment, for durations. On the edge it stands still during
    /// computations.
    fn ticks(&self) -> u64;

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Waits for `future`, at most `limit`. The timer is only created if the future has to wait.
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T> + Send,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut alarm: Option<BoxFuture<'static, ()>> = None;
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(value));
        }
        alarm
            .get_or_insert_with(|| clock.sleep(limit))
            .as_mut()
            .poll(context)
            .map(|()| None)
    })
    .await
}
