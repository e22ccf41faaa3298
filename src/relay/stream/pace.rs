//! Decides when a stream with a silent provider gets a heartbeat, its end, or an error.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::port::clock::Clock;

/// The action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The client has received nothing for the heartbeat interval.
    Heartbeat,
    /// The answer was complete and nothing followed.
    End,
    /// The provider was silent for too long.
    Idle,
}

/// Times of the last frames, and one timer. The timer is set once per silence and not per frame: when it fires,
/// it checks whether anything arrived meanwhile.
pub(super) struct Pace {
    /// Ticks of the provider's last frame.
    pub(super) heard: u64,
    /// Ticks of the client's last frame.
    pub(super) last_sent: u64,
    /// The timer and the ticks at which it fires.
    alarm: Option<(u64, BoxFuture<'static, ()>)>,
}

/// Limits for each kind of silence; `None`: unlimited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) idle: Option<Duration>,
    pub(super) end: Option<Duration>,
    pub(super) heartbeat: Option<Duration>,
}

impl Pace {
    pub(super) fn new(now: u64) -> Self {
        Self {
            heard: now,
            last_sent: now,
            alarm: None,
        }
    }

    /// Ready when an action is due.
    pub(super) fn poll(&mut self, clock: &dyn Clock, limits: Limits, context: &mut Context<'_>) -> Poll<Due> {
        let after = |from: u64, limit: Option<Duration>, due| {
            limit.map(|limit| (from.saturating_add(limit.as_micros() as u64), due))
        };
        loop {
            // If two are due, ending the stream comes before keeping it alive.
            let next = [
                after(self.heard, limits.end, Due::End),
                after(self.heard, limits.idle, Due::Idle),
                after(self.last_sent, limits.heartbeat, Due::Heartbeat),
            ];
            let Some((at, due)) = next.into_iter().flatten().min_by_key(|(at, _)| *at) else {
                return Poll::Pending;
            };
            let now = clock.ticks();
            if now >= at {
                return Poll::Ready(due);
            }
            if self.alarm.as_ref().is_none_or(|(fires, _)| *fires > at) {
                self.alarm = Some((at, clock.sleep(Duration::from_micros(at - now))));
            }
            if let Some((_, alarm)) = &mut self.alarm {
                ready!(alarm.as_mut().poll(context));
                self.alarm = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::clock::movable::Movable;

    const SECOND: Duration = Duration::from_secs(1);

    fn poll(pace: &mut Pace, clock: &Movable, limits: Limits) -> Option<Due> {
        let waker = std::task::Waker::noop();
        match pace.poll(clock, limits, &mut Context::from_waker(waker)) {
            Poll::Ready(due) => Some(due),
            Poll::Pending => None,
        }
    }

    #[test]
    fn each_is_due_in_its_time() {
        let clock = Movable::at(0);
        let limits = Limits {
            idle: Some(SECOND * 30),
            end: None,
            heartbeat: Some(SECOND * 10),
        };
        let mut pace = Pace::new(0);
        assert_eq!(poll(&mut pace, &clock, limits), None);
        clock.advance(SECOND * 10);
        assert_eq!(poll(&mut pace, &clock, limits), Some(Due::Heartbeat));
        pace.last_sent = clock.ticks();
        clock.advance(SECOND * 9);
        assert_eq!(poll(&mut pace, &clock, limits), None);
        // Our own signs of life are none of the provider's.
        pace.last_sent = clock.ticks();
        clock.advance(SECOND * 10);
        pace.last_sent = clock.ticks();
        clock.advance(SECOND);
        assert_eq!(poll(&mut pace, &clock, limits), Some(Due::Idle));
        // A frame moves both, and a sooner moment replaces the timer.
        pace.heard = clock.ticks();
        pace.last_sent = clock.ticks();
        assert_eq!(poll(&mut pace, &clock, limits), None);
        let ended = Limits {
            end: Some(SECOND / 2),
            ..limits
        };
        assert_eq!(poll(&mut pace, &clock, ended), None);
        clock.advance(SECOND / 2);
        assert_eq!(poll(&mut pace, &clock, ended), Some(Due::End));
    }

    #[test]
    fn a_stream_without_limits_waits() {
        let clock = Movable::at(0);
        let none = Limits {
            idle: None,
            end: None,
            heartbeat: None,
        };
        assert_eq!(poll(&mut Pace::new(0), &clock, none), None);
    }
}
