//! Settled events on their way to the ledger.
//!
//! Events wait here until the store has them. They are written in batches, each atomic and idempotent by
//! its id, so a batch whose acknowledgement was lost is sent again without harm. While the store takes no writes
//! they pile up, bounded, and whoever looks at the relay's health is told so.
//!
//! An event waits at most `LEDGER_FLUSH_INTERVAL` before its batch is written, unless the batch before it takes
//! longer. That, and the time of one write, is what a killed process loses.

mod backlog;
pub mod spill;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use self::backlog::Backlog;
pub use self::backlog::Settled;
use crate::app::App;
use crate::model::usage::LedgerEvent;
use crate::port::clock::{Millis, within};
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;

/// Events of one batch. A larger batch means fewer increments per event and a longer transaction.
const BATCH: usize = 2_000;

/// Events kept while the store takes no writes. Beyond that the oldest are lost.
pub const CAPACITY: usize = 50_000;

/// A batch that takes longer than this has met a store that is not well.
const SLOW_MS: u64 = 5_000;

/// Refusals after which a batch is taken apart.
const REFUSALS: u32 = 3;

/// Longest pause between two tries while the store is away.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// The same once the process is ending: there is little time left.
const LAST_PAUSE_AT_END: Duration = Duration::from_millis(250);

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
    /// What they take of memory, about.
    pub bytes: usize,
}

impl Outbox {
    /// `key`: whose gate counts the event.
    pub fn push(&self, key: KeyHash, event: LedgerEvent) {
        let (is_lost, mark) = lock(&self.backlog).push(Settled { key, event });
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
    pub fn unwritten(&self) -> Vec<Settled> {
        lock(&self.backlog).unwritten()
    }

    /// Lets `run` end once everything is written.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.wake).take() {
            waker.wake();
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    async fn filled(&self) {
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

    async fn closed(&self) {
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

/// Writes events as they come, until the outbox is closed and empty. A native host runs one of these.
pub async fn run(app: App) {
    loop {
        app.outbox.filled().await;
        flush(&app).await;
        if app.outbox.is_closed() && app.outbox.waiting().events == 0 {
            return;
        }
        // Under load events wait for each other. A lone event is written at once.
        within(&*app.ports.clock, app.config.ledger.flush, app.outbox.closed()).await;
    }
}

/// Writes everything that waits, however long the store takes.
pub async fn flush(app: &App) {
    loop {
        let batch = lock(&app.outbox.backlog).take(BATCH);
        if batch.is_empty() {
            return;
        }
        app.outbox.began.store(app.ports.clock.now(), Ordering::Relaxed);
        if !write(app, &batch).await {
            // Something in it cannot be written, now or ever: it must not hold up the rest.
            for settled in batch.iter() {
                if !write(app, std::slice::from_ref(settled)).await {
                    app.outbox.lost.fetch_add(1, Ordering::Relaxed);
                    let event = serde_json::to_string(&settled.event).unwrap_or_default();
                    tracing::error!(event, "a ledger event cannot be written and is only in this log");
                }
            }
        }
        app.outbox.began.store(0, Ordering::Relaxed);
        lock(&app.outbox.backlog).written();
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
            Ok(_) => {
                if app.outbox.failing.swap(0, Ordering::Relaxed) > 0 {
                    let Waiting { events, .. } = app.outbox.waiting();
                    tracing::info!(events, "the store takes writes again");
                }
                return true;
            }
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
        let now = app.ports.clock.now().max(1);
        let failing = &app.outbox.failing;
        let _ = failing.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        if app.outbox.is_closed() {
            app.ports.clock.sleep(pause.min(LAST_PAUSE_AT_END)).await;
        } else {
            within(&*app.ports.clock, pause, app.outbox.closed()).await;
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
