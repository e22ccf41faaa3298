//! JavaScript's clock and timers. On the edge it stands still while the CPU works.

use std::time::Duration;

use futures_util::future::BoxFuture;
use worker::send::SendFuture;
use worker::{Date, Delay};

use crate::port::clock::{Clock, Millis};

/// Counts ticks from the moment it was made.
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
        // A timer that is asked for less than a millisecond may fire before the clock has moved.
        let time = time.max(Duration::from_millis(1));
        Box::pin(SendFuture::new(async move { Delay::from(time).await }))
    }
}
