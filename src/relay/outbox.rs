//! Settled events on their way to the ledger.
//!
//! Events wait here until the store has them. They are written in batches, each atomic and idempotent by
//! its id, so a batch whose acknowledgement was lost is sent again without harm. While the store is away
//! they pile up, bounded.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::model::usage::LedgerEvent;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;

/// Events of one batch. A larger batch means fewer increments per event and a longer transaction.
const BATCH: usize = 2_000;

/// Events kept while the store is away; about 1 KiB each.
const CAPACITY: usize = 50_000;

/// Time between two batches under load. A lone event is written at once.
const SPACING: Duration = Duration::from_millis(100);

/// Refusals after which a batch is taken apart.
const REFUSALS: u32 = 3;

/// Longest pause between two tries while the store is away.
const LAST_PAUSE: Duration = Duration::from_secs(10);

struct Settled {
    key: KeyHash,
    event: LedgerEvent,
}

#[derive(Default)]
pub struct Outbox {
    queue: Mutex<VecDeque<Settled>>,
    /// Events of the batch that is being written.
    writing: AtomicUsize,
    /// Events dropped because the queue was full, or the store refused them for good.
    lost: AtomicU64,
    wake: Mutex<Option<std::task::Waker>>,
    closed: AtomicBool,
}

impl Outbox {
    /// `key`: whose gate counts the event.
    pub fn push(&self, key: KeyHash, event: LedgerEvent) {
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
            queue.push_back(Settled { key, event });
        }
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    /// Events not yet written.
    pub fn pending(&self) -> usize {
        lock(&self.queue).len() + self.writing.load(Ordering::Relaxed)
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

    fn take(&self) -> Vec<Settled> {
        let mut queue = lock(&self.queue);
        let count = queue.len().min(BATCH);
        self.writing.store(count, Ordering::Relaxed);
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
        if batch.is_empty() {
            return;
        }
        if !write(app, &batch).await {
            // Something in it cannot be written, now or ever: it must not hold up the rest.
            for settled in &batch {
                if !write(app, std::slice::from_ref(settled)).await {
                    app.outbox.lost.fetch_add(1, Ordering::Relaxed);
                    let event = serde_json::to_string(&settled.event).unwrap_or_default();
                    tracing::error!(event, "a ledger event cannot be written and is only in this log");
                }
            }
        }
        app.outbox.writing.store(0, Ordering::Relaxed);
    }
}

/// Tries until the store has the batch. Says no if the store is there and refuses it.
async fn write(app: &App, batch: &[Settled]) -> bool {
    let Some(first) = batch.first() else {
        return true;
    };
    let events: Vec<&LedgerEvent> = batch.iter().map(|settled| &settled.event).collect();
    let gates: HashSet<&KeyHash> = batch.iter().map(|settled| &settled.key).collect();
    let mut pause = Duration::from_millis(100);
    let mut refusals = 0;
    loop {
        match app
            .ledger
            .append_with(
                &first.event.request_id,
                &events,
                // As they are by now: they count these events, and a restart must not count them less.
                gates.iter().filter_map(|key| app.ports.gates.kept(key)).collect(),
                app.ports.clock.now(),
            )
            .await
        {
            Ok(_) => return true,
            Err(StoreError::Away { reason, .. }) => {
                tracing::warn!(
                    reason,
                    events = batch.len(),
                    "the ledger cannot be written; trying again"
                );
            }
            Err(error) => {
                tracing::error!(%error, events = batch.len(), "the store refuses a batch of the ledger");
                // A store that refuses everything (a token was withdrawn, a stranger answers in its
                // place) says nothing about this batch.
                if app.ports.store.ping().await.is_ok() {
                    refusals += 1;
                }
                if refusals == REFUSALS {
                    return false;
                }
            }
        }
        app.ports.clock.sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
