//! A short-lived cache of one value: concurrent readers cost one read.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds the last value for its lifetime. While one caller reads a new value, the others get the last one.
pub struct Fresh<T> {
    /// Lifetime of a value, microseconds of `Clock::ticks`.
    lifetime: u64,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<(u64, T)>,
    /// When the running read began.
    reading_since: Option<u64>,
    /// Incremented by `forget`, so that a value read before it is not cached.
    version: u64,
}

/// While a new value is being read, the old one is served for this many lifetimes; then others read, too.
const PATIENCE: u64 = 10;

impl<T: Clone> Fresh<T> {
    /// `lifetime`: microseconds.
    pub fn new(lifetime: u64) -> Self {
        Self {
            lifetime,
            state: Mutex::new(State {
                value: None,
                reading_since: None,
                version: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cached value, or reads it with `read` at `ticks`. A failed read is retried after a lifetime,
    /// and until then the last value is served; the error is returned only to the caller that read.
    pub async fn get<E>(&self, ticks: u64, read: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let version = {
            let mut state = self.state();
            if let Some((at, value)) = &state.value {
                let age = ticks.saturating_sub(*at);
                let being_read = state.reading_since.is_some_and(|since| {
                    ticks.saturating_sub(since) < self.lifetime.saturating_mul(PATIENCE)
                });
                if age < self.lifetime || being_read {
                    return Ok(value.clone());
                }
            }
            state.reading_since = Some(ticks);
            state.version
        };
        let reading = Reading(self);
        let value = read.await;
        drop(reading);
        let mut state = self.state();
        if state.version == version {
            match &value {
                Ok(value) => state.value = Some((ticks, value.clone())),
                Err(_) => {
                    if let Some((at, _)) = &mut state.value {
                        *at = ticks;
                    }
                }
            }
        }
        value
    }

    /// Drops the value after a change; the result of a running read is not cached.
    pub fn forget(&self) {
        let mut state = self.state();
        state.version += 1;
        state.value = None;
    }
}

/// A running read, which also ends if its caller is dropped.
struct Reading<'a, T>(&'a Fresh<T>);

impl<T> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reading_since = None;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    fn counted(reads: &AtomicU32) -> impl Future<Output = Result<u32, Infallible>> {
        std::future::ready(Ok(()))
            .map(|read: Result<(), Infallible>| read.map(|()| reads.fetch_add(1, Ordering::Relaxed) + 1))
    }

    #[tokio::test]
    async fn a_crowd_costs_one_read_a_lifetime() {
        let (fresh, reads) = (Fresh::new(100), AtomicU32::new(0));
        for ticks in 0..1000 {
            assert_eq!(
                fresh.get(ticks, counted(&reads)).await.unwrap(),
                ticks as u32 / 100 + 1
            );
        }
        assert_eq!(reads.load(Ordering::Relaxed), 10);
        fresh.forget();
        assert_eq!(fresh.get(1000, counted(&reads)).await.unwrap(), 11);
    }

    #[tokio::test]
    async fn while_one_reads_the_others_are_given_the_last_value() {
        let (fresh, reads) = (Fresh::new(100), AtomicU32::new(0));
        fresh.get(0, counted(&reads)).await.unwrap();
        let mut slow = Box::pin(fresh.get(200, std::future::pending::<Result<u32, Infallible>>()));
        assert!(slow.as_mut().now_or_never().is_none());
        assert_eq!(fresh.get(250, counted(&reads)).await.unwrap(), 1);
        // Not for ever, and not when the reader has left.
        assert_eq!(fresh.get(1300, counted(&reads)).await.unwrap(), 2);
        drop(slow);
        assert_eq!(fresh.get(1500, counted(&reads)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_failure_is_told_once_a_lifetime_and_a_change_is_not_overwritten() {
        let (fresh, reads) = (Fresh::new(100), AtomicU32::new(0));
        let fails = async || Err::<u32, &str>("away");
        assert_eq!(fresh.get(0, fails()).await, Err("away"));
        let ok = async || Ok::<_, &str>(reads.fetch_add(1, Ordering::Relaxed) + 1);
        assert_eq!(fresh.get(1, ok()).await, Ok(1));
        assert_eq!(fresh.get(200, fails()).await, Err("away"));
        assert_eq!(fresh.get(201, fails()).await, Ok(1));
        // Changed while it was read: the read value is not kept.
        let read = async {
            fresh.forget();
            Ok::<_, &str>(99)
        };
        assert_eq!(fresh.get(400, read).await, Ok(99));
        assert_eq!(fresh.get(401, ok()).await, Ok(2));
    }
}
