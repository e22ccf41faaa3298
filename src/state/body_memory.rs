//! Limits the memory for request bodies of a process or isolate.
//!
//! A body counts with its allocated size, from its first byte until an answer begins. A call that needs more than
//! is left waits a moment, and is refused then. One key may use half of the budget, or more for a single call, so
//! that every accepted body can be served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Code, Failure};
use crate::port::clock::Clock;
use crate::port::gates::KeyHash;

/// How long a call waits for memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Polling interval while waiting; on the edge one request cannot wake another.
const LOOK: Duration = Duration::from_millis(50);

/// Maximum number of waiting calls.
const WAITING: usize = 512;

/// Retry time sent to a refused call, seconds.
const COME_AGAIN: u64 = 5;

pub struct BodyMemory {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    by_key: HashMap<KeyHash, usize>,
    waiting: usize,
    peak: usize,
    unpacked: u64,
}

/// Figures for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyFigures {
    /// Bytes held now.
    pub used: usize,
    /// Peak memory in use, bytes.
    pub peak: usize,
    /// Total decompressed size of compressed bodies, bytes.
    pub unpacked: u64,
}

impl BodyMemory {
    /// `limit`: bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    pub fn figures(&self) -> BodyFigures {
        let state = self.state();
        BodyFigures {
            used: state.used,
            peak: state.peak,
            unpacked: state.unpacked,
        }
    }

    /// The share of the budget in use, permille.
    pub fn permille(&self) -> usize {
        self.state().used.saturating_mul(1000) / self.limit.max(1)
    }

    pub(crate) fn unpacked(&self, bytes: usize) {
        self.state().unpacked += bytes as u64;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `more` bytes for a call that holds `own`, if they are available.
    fn take(&self, key: &KeyHash, own: usize, more: usize) -> bool {
        let mut state = self.state();
        let of_key = state.by_key.get(key).copied().unwrap_or(0);
        let fair = of_key.saturating_add(more) <= self.limit / 2 || of_key == own;
        if !fair || state.used.saturating_add(more) > self.limit {
            return false;
        }
        state.used += more;
        state.peak = state.peak.max(state.used);
        *state.by_key.entry(key.clone()).or_default() += more;
        true
    }

    fn give_back(&self, key: &KeyHash, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state();
        state.used = state.used.saturating_sub(bytes);
        if let Some(of_key) = state.by_key.get_mut(key) {
            *of_key = of_key.saturating_sub(bytes);
            if *of_key == 0 {
                state.by_key.remove(key);
            }
        }
    }
}

/// A call's reservation. Dropping it returns the memory.
pub struct Reservation {
    memory: Arc<BodyMemory>,
    key: KeyHash,
    bytes: usize,
}

impl Reservation {
    /// An empty reservation.
    pub fn new(memory: &Arc<BodyMemory>, key: &KeyHash) -> Self {
        Self {
            memory: memory.clone(),
            key: key.clone(),
            bytes: 0,
        }
    }

    pub fn memory(&self) -> &BodyMemory {
        &self.memory
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows the reservation to `bytes` in total, waiting if necessary; fails with a 503.
    pub async fn grow_to(&mut self, bytes: usize, clock: &dyn Clock) -> Result<(), Failure> {
        if self.try_grow_to(bytes) {
            return Ok(());
        }
        if bytes > self.memory.limit {
            return Err(Failure::new(
                Code::BodyTooLarge,
                "The request's body is larger than the memory this relay has for bodies. Shorten the conversation, or ask the operator to raise BODY_MEMORY_MB.",
            ));
        }
        let Some(_place) = Waiting::new(&self.memory) else {
            return Err(full());
        };
        let until = clock.ticks() + PATIENCE.as_micros() as u64;
        while clock.ticks() < until {
            clock.sleep(LOOK).await;
            if self.try_grow_to(bytes) {
                return Ok(());
            }
        }
        Err(full())
    }

    /// The same without waiting; `false` if there is no memory.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = more == 0 || self.memory.take(&self.key, self.bytes, more);
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Returns the memory above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.memory.give_back(&self.key, less);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// A place among the waiting calls.
struct Waiting(Arc<BodyMemory>);

impl Waiting {
    fn new(memory: &Arc<BodyMemory>) -> Option<Self> {
        let mut state = memory.state();
        if state.waiting >= WAITING {
            return None;
        }
        state.waiting += 1;
        drop(state);
        Some(Self(memory.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

fn full() -> Failure {
    Failure::new(
        Code::BodyMemoryFull,
        "The relay holds as many request bodies as it has memory for. Please try again shortly, or ask the operator to raise BODY_MEMORY_MB.",
    )
    .retry_after(COME_AGAIN)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::port::clock::movable::Movable;

    fn key(name: u8) -> KeyHash {
        KeyHash([name; 32])
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        future.now_or_never()
    }

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let (memory, clock) = (Arc::new(BodyMemory::new(100)), Movable::at(0));
        let mut one = Reservation::new(&memory, &key(1));
        now(one.grow_to(30, &clock)).unwrap().unwrap();
        now(one.grow_to(10, &clock)).unwrap().unwrap();
        assert_eq!(
            (one.bytes(), memory.figures().used, memory.permille()),
            (30, 30, 300)
        );
        one.shrink_to(20);
        assert_eq!(memory.figures().used, 20);
        drop(one);
        let figures = memory.figures();
        assert_eq!((figures.used, figures.peak), (0, 30));
        assert!(memory.state().by_key.is_empty());
    }

    #[test]
    fn one_key_cannot_take_what_others_need() {
        let (memory, clock) = (Arc::new(BodyMemory::new(100)), Movable::at(0));
        let mut first = Reservation::new(&memory, &key(1));
        let mut second = Reservation::new(&memory, &key(1));
        let mut other = Reservation::new(&memory, &key(2));
        now(first.grow_to(30, &clock)).unwrap().unwrap();
        now(second.grow_to(20, &clock)).unwrap().unwrap();
        assert!(now(second.grow_to(21, &clock)).is_none(), "half is its share");
        assert!(now(first.grow_to(31, &clock)).is_none());
        now(other.grow_to(50, &clock)).unwrap().unwrap();
        drop((first, second));
        // A call that is alone may be as large as any.
        now(other.grow_to(100, &clock)).unwrap().unwrap();
        let never = now(other.grow_to(101, &clock)).unwrap().unwrap_err();
        assert_eq!((never.status.as_u16(), never.should_retry), (413, Some(false)));
    }

    #[tokio::test]
    async fn who_waits_is_served_when_there_is_room_and_refused_when_there_is_none_in_time() {
        let (memory, clock) = (Arc::new(BodyMemory::new(100)), Movable::at(0));
        let mut big = Reservation::new(&memory, &key(1));
        big.grow_to(90, &clock).await.unwrap();
        let mut small = Reservation::new(&memory, &key(2));
        {
            let mut waits = std::pin::pin!(small.grow_to(20, &clock));
            assert!(waits.as_mut().now_or_never().is_none());
            assert_eq!(memory.state().waiting, 1);
            big.shrink_to(80);
            clock.advance(LOOK);
            waits.await.unwrap();
        }
        assert_eq!((small.bytes(), memory.state().waiting), (20, 0));
        let mut waits = Box::pin(small.grow_to(21, &clock));
        assert!(waits.as_mut().now_or_never().is_none());
        clock.advance(PATIENCE);
        let failure = waits.await.unwrap_err();
        assert_eq!(
            (failure.status.as_u16(), failure.retry_after),
            (503, Some(COME_AGAIN))
        );
        assert_eq!(
            memory.figures(),
            BodyFigures {
                used: 100,
                peak: 100,
                unpacked: 0
            }
        );
    }

    #[test]
    fn a_crowd_does_not_wait_and_who_leaves_waits_no_longer() {
        let (memory, clock) = (Arc::new(BodyMemory::new(2)), Movable::at(0));
        let mut held = Reservation::new(&memory, &key(3));
        now(held.grow_to(1, &clock)).unwrap().unwrap();
        let mut waiting: Vec<Reservation> =
            (0..WAITING).map(|_| Reservation::new(&memory, &key(1))).collect();
        let mut waits: Vec<_> = waiting
            .iter_mut()
            .map(|one| Box::pin(one.grow_to(2, &clock)))
            .collect();
        for one in &mut waits {
            assert!(one.as_mut().now_or_never().is_none());
        }
        let mut late = Reservation::new(&memory, &key(2));
        assert!(now(late.grow_to(2, &clock)).unwrap().is_err());
        drop(waits);
        assert_eq!(memory.state().waiting, 0);
        assert!(now(late.grow_to(2, &clock)).is_none());
    }
}
