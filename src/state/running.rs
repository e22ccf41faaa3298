//! Running streams of this process or isolate, so that the operator can end them.
//!
//! Only streams are registered; other calls end soon by themselves. A stream registers before it is admitted, so
//! that none is missed if its key gets disabled right after the admission.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crs_durable::CallId;
use crs_durable::gate::CallEnd;
use futures_util::task::AtomicWaker;

use crate::error::{Code, Failure};
use crate::port::gates::KeyHash;

/// Number of locks over which the streams are distributed.
const SHARDS: usize = 16;

type Streams = BTreeMap<(KeyHash, CallId), Arc<Lifeline>>;

/// The registry of running streams.
pub struct Running {
    shards: [Mutex<Streams>; SHARDS],
    wakes: bool,
}

impl Running {
    /// `wakes`: whether one request may wake another's task. The edge runtime forbids that, so there a stream
    /// notices its end when it is polled next: with its next frame or the renewal of its lease.
    pub fn new(wakes: bool) -> Self {
        Self {
            shards: Default::default(),
            wakes,
        }
    }

    /// Registers a stream. Its owner must [`Self::remove`] it.
    pub(crate) fn add(&self, key: &KeyHash, call: CallId) -> Arc<Lifeline> {
        let lifeline = Arc::<Lifeline>::default();
        self.shard(key).insert((key.clone(), call), lifeline.clone());
        lifeline
    }

    pub(crate) fn remove(&self, key: &KeyHash, call: CallId) {
        self.shard(key).remove(&(key.clone(), call));
    }

    /// Ends all streams of a key that became invalid.
    pub fn end_key(&self, key: &KeyHash) {
        let first = (key.clone(), CallId(0));
        let last = (key.clone(), CallId(u128::MAX));
        for (_, lifeline) in self.shard(key).range(first..=last) {
            self.cut(lifeline, CallEnd::KeyGone);
        }
    }

    /// Ends one call's stream, of any key. Searches all streams.
    pub fn end_call(&self, call: CallId) {
        for shard in &self.shards {
            for ((_, running), lifeline) in lock(shard).iter() {
                if *running == call {
                    self.cut(lifeline, CallEnd::Released);
                }
            }
        }
    }

    /// Ends one stream of a key.
    pub fn end(&self, key: &KeyHash, call: CallId, why: CallEnd) {
        if let Some(lifeline) = self.shard(key).get(&(key.clone(), call)) {
            self.cut(lifeline, why);
        }
    }

    fn cut(&self, lifeline: &Lifeline, why: CallEnd) {
        lifeline.mark(why);
        if self.wakes {
            lifeline.waker.wake();
        }
    }

    fn shard(&self, key: &KeyHash) -> MutexGuard<'_, Streams> {
        let [first, ..] = key.0;
        let [zeroth, ..] = &self.shards;
        lock(self.shards.get(usize::from(first) % SHARDS).unwrap_or(zeroth))
    }
}

/// Signals a stream to end.
#[derive(Default)]
pub(crate) struct Lifeline {
    /// A [`CallEnd`] as a number; 0: none.
    cut: AtomicU8,
    waker: AtomicWaker,
}

const KEY_GONE: u8 = 1;
const RELEASED: u8 = 2;

impl Lifeline {
    /// Ends the stream from within its own request. The first reason counts.
    pub(crate) fn cut(&self, why: CallEnd) {
        self.mark(why);
        self.waker.wake();
    }

    fn mark(&self, why: CallEnd) {
        let why = match why {
            CallEnd::KeyGone => KEY_GONE,
            CallEnd::Released => RELEASED,
        };
        let _ = self
            .cut
            .compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Why the stream must end, as a failure for its client; `None` if it need not.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.cut.load(Ordering::Acquire) {
            KEY_GONE => Some(Failure::new(
                Code::KeyDisabled,
                "This API key was disabled or deleted while the answer was under way. Ask the operator of this relay.",
            )),
            RELEASED => Some(Failure::new(
                Code::EndedByOperator,
                "The operator of this relay ended this call. Please try again.",
            )),
            _ => None,
        }
    }

    /// Ready when the stream must end. Wakes the task that polled last.
    pub(crate) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<Failure> {
        self.waker.register(context.waker());
        self.failure().map_or(Poll::Pending, Poll::Ready)
    }
}

fn lock(shard: &Mutex<Streams>) -> MutexGuard<'_, Streams> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU8);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_key_ends_its_own_streams_and_a_call_its_own() {
        let running = Running::new(true);
        let (one, other) = (KeyHash([1; 32]), KeyHash([17; 32]));
        let lines: Vec<_> = (1..=3).map(|call| running.add(&one, CallId(call))).collect();
        let others = running.add(&other, CallId(9));
        running.end_call(CallId(2));
        let codes = || -> Vec<_> {
            lines
                .iter()
                .map(|line| line.failure().map(|failure| failure.code))
                .collect()
        };
        assert_eq!(codes(), [None, Some(Code::EndedByOperator), None]);
        running.remove(&one, CallId(3));
        running.end_key(&one);
        // The first reason stays, and what has left is not reached.
        assert_eq!(
            codes(),
            [Some(Code::KeyDisabled), Some(Code::EndedByOperator), None]
        );
        assert_eq!(others.failure(), None);
    }

    #[test]
    fn whoever_waits_is_woken_where_that_may_be() {
        for wakes in [true, false] {
            woken_or_not(wakes);
        }
    }

    fn woken_or_not(wakes: bool) {
        let running = Running::new(wakes);
        let key = KeyHash([1; 32]);
        let line = running.add(&key, CallId(1));
        let woken = Arc::new(Woken::default());
        let waker = std::task::Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        assert!(line.poll_cut(&mut context).is_pending());
        running.end_key(&key);
        assert_eq!(woken.0.load(Ordering::SeqCst), u8::from(wakes));
        assert!(line.poll_cut(&mut context).is_ready());
    }
}
