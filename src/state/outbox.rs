//! The queue of settled events of all keys that are not in the ledger yet.
//!
//! It is a queue of the process, and a queue like that of a gate on the edge (`crs_durable::outbox`): one writer for all
//! keys makes larger batches of fewer increments.
//! While the store accepts no writes the queue grows, up to [`CAPACITY`] events; the health check reports it.
//! `relay::ledger_writer` takes batches from the queue and writes them.

mod backlog;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use crs_durable::outbox::{Batch, SendResult};

use self::backlog::Backlog;
pub use self::backlog::SettledEvent;
use crate::model::usage::LedgerEvent;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// Maximum number of queued events. Beyond it the oldest are lost.
pub const CAPACITY: usize = 50_000;

/// Maximum number of events per batch.
pub const BATCH: usize = 2_000;

/// A batch that takes longer indicates a problem with the store.
const SLOW_MS: u64 = 5_000;

#[derive(Default)]
pub struct Outbox {
    backlog: Mutex<Backlog>,
    /// When the current batch was first tried; 0: there is none.
    began: AtomicU64,
    /// Since when writes fail; 0: the last one succeeded.
    failing: AtomicU64,
    /// Woken by an event or by the end. While the writer collects a batch, nobody is woken: waking another thread costs
    /// a good part of what a call costs.
    filled: Mutex<Option<Waker>>,
    /// Woken by the end.
    ended: Mutex<Option<Waker>>,
    closed: AtomicBool,
}

/// Size of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub events: usize,
    /// Approximate memory, bytes.
    pub bytes: usize,
}

/// What follows the result of a batch.
pub(crate) struct AfterBatch {
    /// Events that the store refused permanently.
    pub(crate) given_up: Vec<SettledEvent>,
    /// How long to wait before the next try or batch.
    pub(crate) pause_ms: u64,
    /// The write before this one had failed.
    pub(crate) is_back: bool,
}

impl Outbox {
    /// `key`: the key whose gate counts the event.
    pub fn push(&self, key: KeyHash, event: LedgerEvent) {
        let settled = SettledEvent::new(key, event);
        let mut backlog = lock(&self.backlog);
        let (is_lost, mark) = backlog.push(settled);
        let is_first = is_lost && backlog.lost() == 1;
        drop(backlog);
        if is_first {
            tracing::error!(
                "the store has taken no writes for too long: ledger events are being lost, oldest first"
            );
        }
        if let Some(percent) = mark {
            tracing::error!(
                percent,
                capacity = CAPACITY,
                "the store takes no writes: this much of the room for ledger events is used; once it is full, the oldest are lost"
            );
        }
        wake(&self.filled);
    }

    /// Events not yet written, including those of the current batch.
    pub fn waiting(&self) -> Waiting {
        lock(&self.backlog).waiting()
    }

    /// Number of events dropped because the queue was full or the store refused them permanently.
    pub fn lost(&self) -> u64 {
        lock(&self.backlog).lost()
    }

    /// Since when writes to the store fail, as far as the ledger has tried.
    pub fn failing_since(&self, now: Millis) -> Option<Millis> {
        let of = |at: &AtomicU64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        let slow = of(&self.began).filter(|began| now.saturating_sub(*began) > SLOW_MS);
        of(&self.failing).or(slow)
    }

    /// Events that may not be in the store, including those of the current batch.
    pub fn unwritten(&self) -> Vec<SettledEvent> {
        lock(&self.backlog).unwritten()
    }

    /// Lets the writer end after everything is written.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        wake(&self.filled);
        wake(&self.ended);
    }

    /// The batch to write now: the one that was not written yet, or the oldest events. They count as waiting until
    /// [`Self::sent`].
    pub(crate) fn take_batch(&self, now: Millis) -> Option<Batch<SettledEvent>> {
        let batch = lock(&self.backlog).take(now)?;
        let _ = self
            .began
            .compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        Some(batch)
    }

    /// Records the result of the batch that ends with the event `last`.
    pub(crate) fn sent(&self, now: Millis, last: u64, sent: SendResult) -> AfterBatch {
        let (given_up, next_at) = lock(&self.backlog).sent(now, last, sent);
        let is_back = match sent {
            SendResult::Written => self.failing.swap(0, Ordering::Relaxed) > 0,
            // The time of the first failure stays until a write succeeds.
            SendResult::Away | SendResult::Refused => {
                let failing = &self.failing;
                let _ = failing.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
                false
            }
        };
        if sent == SendResult::Written || !given_up.is_empty() {
            self.began.store(0, Ordering::Relaxed);
        }
        AfterBatch {
            given_up,
            pause_ms: next_at.map_or(0, |at| at.saturating_sub(now)),
            is_back,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ready once an event waits, or the outbox is closed.
    pub(crate) async fn filled(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.filled) = Some(context.waker().clone());
            if lock(&self.backlog).is_empty() && !self.is_closed() {
                Poll::Pending
            } else {
                lock(&self.filled).take();
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Ready once the outbox is closed.
    pub(crate) async fn closed(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.ended) = Some(context.waker().clone());
            if self.is_closed() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

fn wake(waiting: &Mutex<Option<Waker>>) {
    let waker = lock(waiting).take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
