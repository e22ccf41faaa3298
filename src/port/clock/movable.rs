//! A clock for tests: it stands still until it is moved, and wakes its sleepers then.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Clock, Millis};

#[derive(Clone, Default)]
pub(crate) struct Movable(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Millis,
    ticks: u64,
    sleepers: Vec<Waker>,
}

impl Movable {
    pub(crate) fn at(now: Millis) -> Movable {
        Movable(Arc::new(Mutex::new(State {
            now,
            ..State::default()
        })))
    }

    /// Time passes, on both clocks.
    pub(crate) fn advance(&self, time: Duration) {
        self.change(|state| {
            state.now += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            state.ticks += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        });
    }

    /// Somebody sets the wall clock, forwards or back.
    pub(crate) fn jump(&self, now: Millis) {
        self.change(|state| state.now = now);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let sleepers = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            std::mem::take(&mut state.sleepers)
        };
        sleepers.into_iter().for_each(Waker::wake);
    }

    fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for Movable {
    fn now(&self) -> Millis {
        self.read(|state| state.now)
    }

    fn ticks(&self) -> u64 {
        self.read(|state| state.ticks)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        let end = self
            .ticks()
            .saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        Box::pin(poll_fn(move |context| {
            clock.read(|state| {
                if state.ticks >= end {
                    return Poll::Ready(());
                }
                state.sleepers.push(context.waker().clone());
                Poll::Pending
            })
        }))
    }
}

#[tokio::test]
async fn sleepers_wake_when_the_clock_is_moved_far_enough() {
    use futures_util::FutureExt;

    let clock = Movable::at(1_000);
    let mut sleep = clock.sleep(Duration::from_millis(10));
    assert!((&mut sleep).now_or_never().is_none());
    clock.advance(Duration::from_millis(9));
    assert!((&mut sleep).now_or_never().is_none());
    clock.advance(Duration::from_millis(1));
    sleep.await;
    assert_eq!(clock.now(), 1_010);
}
