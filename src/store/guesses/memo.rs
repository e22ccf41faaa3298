//! The memory of a process or isolate about guessers, so that refusing them costs no I/O.
//!
//! A refusal is remembered for a minute at most; then the store is asked again, because another process may know
//! better.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crs_durable::Millis;

use super::rules::{KNOWN_ADDRESSES, Refusal};

/// How long what was read is used without another look at the store.
const RECHECK: Millis = 60 * 1000;

/// Refusals that are remembered at once: a hundred bytes each.
const REFUSALS: usize = 4096;

/// Attempts that are checked or wait for it at once, of strangers and of others each. A hash takes some 30 ms, so the
/// last waits half a second.
const AT_ONCE: usize = 8;

/// How long an attempt takes at most. On the edge a request may end without its drops being run, so a turn is a lease.
const LONGEST_ATTEMPT: Millis = 60 * 1000;

#[derive(Default)]
pub(super) struct Memo {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By source: until when it must wait, and until when that is believed.
    refused: HashMap<String, (Millis, Millis)>,
    /// The same for all strangers.
    strangers_refused: Option<(Millis, Millis)>,
    known: Option<KnownAddresses>,
    /// Attempts that are being checked: their numbers, whether they are strangers', and since when.
    turns: Vec<(u64, bool, Millis)>,
    last_turn: u64,
}

struct KnownAddresses {
    read_at: Millis,
    /// When each logged in last.
    last_login: HashMap<String, Millis>,
}

/// Whether a source is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
    /// The store must be asked, by whoever got this answer.
    Unread,
}

/// The right to be checked now.
pub(super) struct Turn {
    memo: Arc<Memo>,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.memo
            .inner()
            .turns
            .retain(|(number, _, _)| *number != self.number);
    }
}

impl Memo {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `source` must wait, as far as is known here. `by_address`: it may be a stranger.
    pub(super) fn refused(&self, source: &str, by_address: bool, now: Millis) -> Option<Millis> {
        let inner = self.inner();
        let holds = |refusal: &(Millis, Millis)| (now < refusal.1).then(|| refusal.0.saturating_sub(now));
        if let Some(wait) = inner.refused.get(source).and_then(holds) {
            return Some(wait);
        }
        let is_known = || {
            // Before anything was read nobody is taken for a stranger.
            inner
                .known
                .as_ref()
                .is_none_or(|known| known.last_login.contains_key(source))
        };
        let of_all = inner.strangers_refused.as_ref().and_then(holds);
        of_all.filter(|_| by_address && !is_known())
    }

    pub(super) fn refuse(&self, source: &str, refusal: Refusal, now: Millis) {
        let mut inner = self.inner();
        let entry = (refusal.until, refusal.until.min(now.saturating_add(RECHECK)));
        if refusal.of_all_strangers {
            inner.strangers_refused = Some(entry);
            return;
        }
        if inner.refused.len() >= REFUSALS {
            inner.refused.retain(|_, (_, believed)| now < *believed);
        }
        if inner.refused.len() < REFUSALS {
            inner.refused.insert(source.to_owned(), entry);
        }
    }

    pub(super) fn forget_refusals(&self) {
        let mut inner = self.inner();
        inner.refused.clear();
        inner.strangers_refused = None;
    }

    pub(super) fn turn(self: &Arc<Self>, stranger: bool, now: Millis) -> Option<Turn> {
        let mut inner = self.inner();
        inner
            .turns
            .retain(|(_, _, since)| now.abs_diff(*since) < LONGEST_ATTEMPT);
        let taken = inner.turns.iter().filter(|(_, is, _)| *is == stranger).count();
        if taken >= AT_ONCE {
            return None;
        }
        inner.last_turn += 1;
        let number = inner.last_turn;
        inner.turns.push((number, stranger, now));
        drop(inner);
        Some(Turn {
            memo: self.clone(),
            number,
        })
    }

    /// Whether somebody logged in from `source`. One caller a minute must read again, the others get what was
    /// read before.
    pub(super) fn known(&self, source: &str, now: Millis) -> Known {
        let mut inner = self.inner();
        let Some(known) = &mut inner.known else {
            return Known::Unread;
        };
        if now.abs_diff(known.read_at) >= RECHECK {
            known.read_at = now;
            return Known::Unread;
        }
        if known.last_login.contains_key(source) {
            Known::Yes
        } else {
            Known::No
        }
    }

    /// The read that `known` asked for failed.
    pub(super) fn known_not_read(&self) {
        if let Some(known) = &mut self.inner().known {
            known.read_at = 0;
        }
    }

    /// Takes in what the store has; answers whether `source` is in it.
    pub(super) fn learn(&self, last_login: HashMap<String, Millis>, source: &str, now: Millis) -> bool {
        let is_known = last_login.contains_key(source);
        self.inner().known = Some(KnownAddresses {
            read_at: now,
            last_login,
        });
        is_known
    }

    /// Somebody logged in from `source`. Answers which sources are too many now.
    pub(super) fn welcome(&self, source: &str, now: Millis) -> Vec<String> {
        let mut inner = self.inner();
        inner.refused.remove(source);
        let known = inner.known.get_or_insert_with(|| KnownAddresses {
            read_at: 0,
            last_login: HashMap::new(),
        });
        known.last_login.insert(source.to_owned(), now);
        let mut pushed_out = Vec::new();
        while known.last_login.len() > KNOWN_ADDRESSES {
            let oldest = known
                .last_login
                .iter()
                .filter(|(label, _)| label.as_str() != source)
                .min_by_key(|(_, at)| **at)
                .map(|(label, _)| label.clone());
            let Some(oldest) = oldest else { break };
            known.last_login.remove(&oldest);
            pushed_out.push(oldest);
        }
        pushed_out
    }
}
