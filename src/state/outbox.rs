//! The queue of settled events that the ledger does not have yet.
//!
//! While the store accepts no writes the queue grows, up to [`CAPACITY`] events; the health check reports it.
//! `relay::ledger_writer` takes batches from the queue and writes them.

mod backlog;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use self::backlog::Backlog;
pub use self::backlog::SettledEvent;
use crate::model::usage::LedgerEvent;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;

/// Events kept while the store takes no writes. Beyond that the oldest are lost.
pub const CAPACITY: usize = 50_000;

/// A batch that takes longer than this has met a store that is not well.
const SLOW_MS: u64 = 5_000;

#[derive(Default)]
pub struct Outbox {
    backlog: Mutex<Backlog>,
    /// When the batch under way was first tried; 0: none is.
    began: AtomicU64,
    /// Since when the store takes no writes; 0: it took the last one.
    failing: AtomicU64,
    /// Events dropped because the backlog was full, or the store refused them for good.
    lost: AtomicU64,
    wake: Mutex<Option<std::task::Waker>>,
    closed: AtomicBool,
}

/// How much waits for the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub events: usize,
    /// Their size in memory, about.
    pub bytes: usize,
}

impl Outbox {
    /// `key`: whose gate counts the event.
    pub fn push(&self, key: KeyHash, event: LedgerEvent) {
        let (is_lost, mark) = lock(&self.backlog).push(SettledEvent { key, event });
        if is_lost && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
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
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    /// Events not yet written, those of the batch under way among them.
    pub fn waiting(&self) -> Waiting {
        lock(&self.backlog).waiting()
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Since when the store takes no writes, as far as the ledger has tried.
    pub fn failing_since(&self, now: Millis) -> Option<Millis> {
        let of = |at: &AtomicU64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        let slow = of(&self.began).filter(|began| now.saturating_sub(*began) > SLOW_MS);
        of(&self.failing).or(slow)
    }

    /// Events that are not known to be in the store, those of the batch under way among them.
    pub fn unwritten(&self) -> Vec<SettledEvent> {
        lock(&self.backlog).unwritten()
    }

    /// Lets the writer end once everything is written.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    /// Takes the oldest events, at most `most`, to be written now. They count as waiting until
    /// [`Self::batch_ended`].
    pub(crate) fn take_batch(&self, most: usize, now: Millis) -> Arc<Vec<SettledEvent>> {
        let batch = lock(&self.backlog).take(most);
        if !batch.is_empty() {
            self.began.store(now, Ordering::Relaxed);
        }
        batch
    }

    /// The batch that was taken is in the store, or its events are lost.
    pub(crate) fn batch_ended(&self) {
        self.began.store(0, Ordering::Relaxed);
        lock(&self.backlog).written();
    }

    /// The store refused one event for good.
    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The store accepted a write. Returns whether the write before it had failed.
    pub(crate) fn write_succeeded(&self) -> bool {
        self.failing.swap(0, Ordering::Relaxed) > 0
    }

    /// A write failed at `now`. The first failure's time stays until a write succeeds.
    pub(crate) fn write_failed(&self, now: Millis) {
        let _ = self
            .failing
            .compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ready once an event waits, or the outbox is closed.
    pub(crate) async fn filled(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.wake) = Some(context.waker().clone());
            if lock(&self.backlog).is_empty() && !self.is_closed() {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
    }

    /// Ready once the outbox is closed.
    pub(crate) async fn closed(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.wake) = Some(context.waker().clone());
            if self.is_closed() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
