//! Figures of sharing, for health and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crs_durable::Millis;

use crate::port::gates::HomeFigures;

#[derive(Default)]
pub(super) struct Figures {
    steps: AtomicU64,
    commands: AtomicU64,
    conflicts: AtomicU64,
    replayed: AtomicU64,
    /// Answered commands that the home does not have.
    kept: AtomicU64,
    /// Since when there are any; 0: there are none.
    away: AtomicU64,
}

impl Figures {
    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn commands(&self, count: usize) {
        self.commands.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn conflict(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn replayed(&self, count: usize) {
        self.replayed.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// A machine keeps `now` commands instead of `before`.
    pub(super) fn keeps(&self, before: usize, now: usize) {
        self.kept.fetch_add(now as u64, Ordering::Relaxed);
        self.kept.fetch_sub(before as u64, Ordering::Relaxed);
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn is_away(&self, now: Millis, reason: &dyn std::fmt::Display) {
        let since = self
            .away
            .compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        if since.is_ok() {
            tracing::warn!(%reason, "the home of limits and accounts is away; this process decides by what it knows");
        }
    }

    /// The home answered. It is back when it has all that was decided meanwhile.
    pub(super) fn is_back(&self) {
        if self.kept() == 0 && self.away.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!("the home of limits and accounts is back, and has what was decided meanwhile");
        }
    }

    pub(super) fn away_since(&self) -> Option<Millis> {
        Some(self.away.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    pub(super) fn shown(&self, kind: &'static str) -> HomeFigures {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        HomeFigures {
            kind,
            steps: of(&self.steps),
            commands: of(&self.commands),
            conflicts: of(&self.conflicts),
            replayed: of(&self.replayed),
            kept: of(&self.kept),
            away_since: self.away_since(),
        }
    }
}
