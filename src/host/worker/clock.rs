//! JavaScript's clock and timers. On the edge the clock stands still during computations.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use worker::send::SendFuture;
use worker::{Date, Delay};

use crate::port::clock::{Clock, Millis};

/// Ticks count from its creation.
pub(super) struct EdgeClock {
    start: Millis,
}

impl Default for EdgeClock {
    fn default() -> Self {
        Self {
            start: Date::now().as_millis(),
        }
    }
}

impl Clock for EdgeClock {
    fn now(&self) -> Millis {
        Date::now().as_millis()
    }

    fn ticks(&self) -> u64 {
        self.now().saturating_sub(self.start).saturating_mul(1000)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Timers below one millisecond may fire before the clock has moved.
        let time = time.max(Duration::from_millis(1));
        Box::pin(SendFuture::new(Sleep {
            delay: Delay::from(time),
            waits: Arc::default(),
        }))
    }
}

/// A timer that wakes the task that polled it last. The runtime's own timer wakes the first one, but a stream is
/// polled by a different task for each chunk.
struct Sleep {
    delay: Delay,
    waits: Arc<Waits>,
}

#[derive(Default)]
struct Waits(AtomicWaker);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.waits.0.register(context.waker());
        let waker = Waker::from(self.waits.clone());
        Pin::new(&mut self.delay).poll(&mut Context::from_waker(&waker))
    }
}
