//! Settled events on their way to the ledger.
//!
//! Events wait here until the store has them. They are written in batches, each atomic and idempotent by
//! its id, so a batch whose acknowledgement was lost is sent again without harm. While the store is away
//! they pile up, bounded.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::model::usage::LedgerEvent;

/// Events of one batch. A larger batch means fewer increments per event and a longer transaction.
const BATCH: usize = 1_000;

/// Events kept while the store is away; about 1 KiB each.
const CAPACITY: usize = 50_000;

/// Time between two batches under load. A lone event is written at once.
const SPACING: Duration = Duration::from_millis(50);

/// Longest pause between two tries while the store is away.
const LAST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Outbox {
    queue: Mutex<VecDeque<LedgerEvent>>,
    /// Events dropped because the queue was full.
    lost: AtomicU64,
    wake: Mutex<Option<std::task::Waker>>,
    closed: AtomicBool,
}

impl Outbox {
    pub fn push(&self, event: LedgerEvent) {
        {
            let mut queue = lock(&self.queue);
            if queue.len() >= CAPACITY {
                queue.pop_front();
                if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(
                        "the store has been away for too long: ledger events are being lost, oldest first"
                    );
                }
            }
            queue.push_back(event);
        }
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    /// Events not yet written.
    pub fn pending(&self) -> usize {
        lock(&self.queue).len()
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Lets `run` end once everything is written.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    fn take(&self) -> Vec<LedgerEvent> {
        let mut queue = lock(&self.queue);
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }

    async fn filled(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.wake) = Some(context.waker().clone());
            if lock(&self.queue).is_empty() && !self.closed.load(Ordering::Acquire) {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
    }
}

/// Writes events as they come, until the outbox is closed and empty. A native host runs one of these.
pub async fn run(app: App) {
    loop {
        app.outbox.filled().await;
        flush(&app).await;
        if app.outbox.closed.load(Ordering::Acquire) && app.outbox.pending() == 0 {
            return;
        }
        app.ports.clock.sleep(SPACING).await;
    }
}

/// Writes everything that waits, however long the store takes.
pub async fn flush(app: &App) {
    loop {
        let batch = app.outbox.take();
        let Some(first) = batch.first() else { return };
        let id = first.request_id.clone();
        let mut pause = Duration::from_millis(100);
        while let Err(away) = app.ledger.append(&id, &batch, app.ports.clock.now()).await {
            tracing::warn!(error = %away, events = batch.len(), "the ledger cannot be written; trying again");
            app.ports.clock.sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
