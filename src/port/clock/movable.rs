//! A clock for tests that stands still until it is moved, and then wakes its sleepers.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Clock, Millis};

#[derive(Clone, Default)]
pub(crate) struct Movable(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Millis,
    ticks: u64,
    /// The sleepers, by the tick of their wake-up and a unique number.
    sleepers: BTreeMap<(u64, u64), Waker>,
    numbers: u64,
}

impl Movable {
    pub(crate) fn at(now: Millis) -> Movable {
        Movable(Arc::new(Mutex::new(State {
            now,
            ..State::default()
        })))
    }

    /// Advances both clocks.
    pub(crate) fn advance(&self, time: Duration) {
        let over: Vec<Waker> = self.read(|state| {
            state.now += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            state.ticks += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let asleep = state.sleepers.split_off(&(state.ticks + 1, 0));
            std::mem::replace(&mut state.sleepers, asleep)
                .into_values()
                .collect()
        });
        over.into_iter().for_each(Waker::wake);
    }

    /// The time until the first sleeper wakes; `None` if there is none.
    pub(crate) fn until_first_wakes(&self) -> Option<Duration> {
        self.read(|state| {
            let ((end, _), _) = state.sleepers.first_key_value()?;
            // Rounded up to whole milliseconds, so that both clocks agree.
            Some(Duration::from_millis(
                end.saturating_sub(state.ticks).div_ceil(1000),
            ))
        })
    }

    /// Sets the wall clock, forwards or back.
    pub(crate) fn jump(&self, now: Millis) {
        self.read(|state| state.now = now);
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
        let end = self
            .ticks()
            .saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        let number = self.read(|state| {
            state.numbers += 1;
            state.numbers
        });
        Box::pin(Sleep {
            clock: self.clone(),
            place: (end, number),
        })
    }
}

struct Sleep {
    clock: Movable,
    place: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.clock.read(|state| {
            if state.ticks >= self.place.0 {
                return Poll::Ready(());
            }
            state.sleepers.insert(self.place, context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // The waker is dropped outside of the lock.
        let _waker = self.clock.read(|state| state.sleepers.remove(&self.place));
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
