//! Remembers refused sources in the process or isolate, so that refusing them needs no I/O.
//!
//! A refusal is remembered for at most a minute. Then the store is asked again, because another process may have
//! changed it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crs_durable::Millis;

use super::rules::{KNOWN_ADDRESSES, Refusal};

/// Maximum age of data read from the store.
const RECHECK: Millis = 60 * 1000;

/// Maximum number of remembered refusals, about a hundred bytes each.
const REFUSALS: usize = 4096;

/// Maximum number of attempts that are checked or wait, separately for strangers and others. A hash takes about
/// 30 ms, so the last one waits half a second.
const AT_ONCE: usize = 8;

/// Maximum duration of an attempt. On the edge a request may end without running its destructors, so turns
/// expire.
const LONGEST_ATTEMPT: Millis = 60 * 1000;

#[derive(Default)]
pub(super) struct Memo {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By source: the end of its wait, and until when this is valid.
    refused: HashMap<String, (Millis, Millis)>,
    /// The same for all strangers together.
    strangers_refused: Option<(Millis, Millis)>,
    known: Option<KnownAddresses>,
    /// Attempts being checked: number, whether of a stranger, start.
    turns: Vec<(u64, bool, Millis)>,
    last_turn: u64,
}

struct KnownAddresses {
    read_at: Millis,
    /// The last login of each address.
    last_login: HashMap<String, Millis>,
}

/// Whether a source is a known address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressStatus {
    Yes,
    No,
    /// The caller that gets this must read the store.
    Unread,
}

/// Permission to check one password.
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
            // Before the first read, nobody is treated as a stranger.
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

    /// Whether there was a login from `source`. One caller per minute must read the store; the others get the
    /// last result.
    pub(super) fn known(&self, source: &str, now: Millis) -> AddressStatus {
        let mut inner = self.inner();
        let Some(known) = &mut inner.known else {
            return AddressStatus::Unread;
        };
        if now.abs_diff(known.read_at) >= RECHECK {
            known.read_at = now;
            return AddressStatus::Unread;
        }
        if known.last_login.contains_key(source) {
            AddressStatus::Yes
        } else {
            AddressStatus::No
        }
    }

    /// Called if the read that `known` asked for failed.
    pub(super) fn known_not_read(&self) {
        if let Some(known) = &mut self.inner().known {
            known.read_at = 0;
        }
    }

    /// Stores the addresses read from the store. Returns whether `source` is one of them.
    pub(super) fn learn(&self, last_login: HashMap<String, Millis>, source: &str, now: Millis) -> bool {
        let is_known = last_login.contains_key(source);
        self.inner().known = Some(KnownAddresses {
            read_at: now,
            last_login,
        });
        is_known
    }

    /// Records a login from `source`. Returns the sources that exceed the maximum.
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
