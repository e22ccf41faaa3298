//! Sticky sessions: which account a client's session stays with, as long as that can serve it.
//!
//! Bounded in number and time. A binding lasts an hour from its last use; when there are too many, the
//! one unused for longest goes first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::Number;
use crate::Millis;

/// From the last use. The provider's prompt cache lives no longer, so neither need the binding.
pub(super) const SESSION_TTL_MS: u64 = 3_600_000;

/// At most this many; kept as text they stay under a megabyte, half of what a row of a Durable
/// Object's storage can hold.
pub(super) const MAX_SESSIONS: usize = 20_000;

/// A renewal by less than this need not be kept: it is lost if the host dies, and that is all.
const REFILE_MS: u64 = 60_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, Number, Millis)>", into = "Vec<(u64, Number, Millis)>")]
pub(super) struct Sessions {
    bound: BTreeMap<u64, Binding>,
    /// (`filed`, session): an order of ends that is up to `REFILE_MS` behind.
    order: BTreeSet<(Millis, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    account: Number,
    until: Millis,
    filed: Millis,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(super) fn get(&self, now: Millis, session: u64) -> Option<Number> {
        self.bound
            .get(&session)
            .filter(|binding| now < binding.until)
            .map(|binding| binding.account)
    }

    /// The accounts of all bindings.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Number> {
        self.bound.values().map(|binding| binding.account)
    }

    /// When the first binding may end; may be early.
    pub(super) fn earliest(&self) -> Option<Millis> {
        self.order.first().map(|(filed, _)| *filed)
    }

    /// The account of one binding, and until when; for the kept form.
    pub(super) fn binding(&self, session: u64) -> Option<(Number, Millis)> {
        self.bound
            .get(&session)
            .map(|binding| (binding.account, binding.until))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.bound.keys().copied()
    }

    pub(super) fn restore(&mut self, session: u64, account: Number, until: Millis) {
        self.put(session, account, until);
    }

    /// Binds the session; says which sessions a restart must not forget, or must.
    pub(super) fn bind(&mut self, now: Millis, session: u64, account: Number) -> Vec<u64> {
        if self.get(now, session) == Some(account) {
            return self.touch(now, session);
        }
        self.put(session, account, now.saturating_add(SESSION_TTL_MS));
        let mut changed = vec![session];
        while self.bound.len() > MAX_SESSIONS {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.bound.remove(&oldest);
            changed.push(oldest);
        }
        changed
    }

    /// The session was used; says whether a restart must not forget it: then it is named.
    pub(super) fn touch(&mut self, now: Millis, session: u64) -> Vec<u64> {
        let Some(binding) = self.bound.get_mut(&session) else {
            return Vec::new();
        };
        binding.until = binding.until.max(now.saturating_add(SESSION_TTL_MS));
        if binding.until <= binding.filed.saturating_add(REFILE_MS) {
            return Vec::new();
        }
        let Binding { account, until, .. } = *binding;
        self.put(session, account, until);
        vec![session]
    }

    fn put(&mut self, session: u64, account: Number, until: Millis) {
        let binding = Binding {
            account,
            until,
            filed: until,
        };
        if let Some(old) = self.bound.insert(session, binding) {
            self.order.remove(&(old.filed, session));
        }
        self.order.insert((until, session));
    }

    /// Drops bindings that have ended, and names them.
    pub(super) fn sweep(&mut self, now: Millis) -> Vec<u64> {
        let mut ended = Vec::new();
        while let Some((filed, session)) = self.order.first().copied().filter(|(filed, _)| *filed <= now) {
            self.order.remove(&(filed, session));
            let Some(binding) = self.bound.get_mut(&session) else {
                continue;
            };
            if now < binding.until {
                binding.filed = binding.until;
                self.order.insert((binding.filed, session));
            } else {
                self.bound.remove(&session);
                ended.push(session);
            }
        }
        ended
    }

    /// The account the session is bound to, even if the binding has just ended.
    pub(super) fn account(&self, session: u64) -> Option<Number> {
        self.bound.get(&session).map(|binding| binding.account)
    }

    /// Drops one binding; names it if there was one.
    pub(super) fn drop(&mut self, session: u64) -> Vec<u64> {
        let Some(old) = self.bound.remove(&session) else {
            return Vec::new();
        };
        self.order.remove(&(old.filed, session));
        vec![session]
    }

    /// Drops the bindings to accounts that `gone` names, and says which.
    pub(super) fn drop_accounts(&mut self, gone: impl Fn(Number) -> bool) -> Vec<u64> {
        let dropped = self
            .bound
            .extract_if(.., |_, binding| gone(binding.account))
            .map(|(session, _)| session)
            .collect();
        let bound = &self.bound;
        self.order.retain(|(_, session)| bound.contains_key(session));
        dropped
    }

    /// The clock was set back: no binding is further ahead than one made now.
    pub(super) fn set_back(&mut self, now: Millis) {
        let most = now.saturating_add(SESSION_TTL_MS);
        let kept: Vec<_> = std::mem::take(self).into();
        *self = kept
            .into_iter()
            .map(|(session, account, until)| (session, account, until.min(most)))
            .collect();
    }
}

impl FromIterator<(u64, Number, Millis)> for Sessions {
    fn from_iter<I: IntoIterator<Item = (u64, Number, Millis)>>(kept: I) -> Self {
        let mut sessions = Self::default();
        for (session, account, until) in kept {
            sessions.put(session, account, until);
        }
        sessions
    }
}

impl From<Vec<(u64, Number, Millis)>> for Sessions {
    fn from(kept: Vec<(u64, Number, Millis)>) -> Self {
        kept.into_iter().collect()
    }
}

impl From<Sessions> for Vec<(u64, Number, Millis)> {
    fn from(sessions: Sessions) -> Self {
        let row = |(session, binding): (u64, Binding)| (session, binding.account, binding.until);
        sessions.bound.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Number = 1;
    const B: Number = 2;
    const T: Millis = 10_000_000;

    #[test]
    fn a_binding_lasts_its_time_from_the_last_use() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.bind(T, 7, A), [7]);
        assert!(
            sessions.touch(T + REFILE_MS, 7).is_empty(),
            "too little to be kept"
        );
        let end = T + REFILE_MS + SESSION_TTL_MS;
        assert_eq!(sessions.get(end - 1, 7), Some(A), "but it counts");
        assert_eq!(sessions.get(end, 7), None);
        assert!(sessions.sweep(end - 1).is_empty());
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.earliest(), Some(end));
        assert_eq!(sessions.sweep(end), [7]);
        assert_eq!((sessions.len(), sessions.earliest()), (0, None));
    }

    #[test]
    fn renewals_are_kept_by_the_minute() {
        let mut sessions = Sessions::default();
        sessions.bind(T, 7, A);
        let kept = (1..=600)
            .filter(|second| !sessions.bind(T + second * 1_000, 7, A).is_empty())
            .count();
        assert!((8..=10).contains(&kept), "{kept}");
        assert_eq!(sessions.bind(T + 600_000, 7, B), [7], "another account always is");
        assert_eq!((sessions.len(), sessions.order.len()), (1, 1));
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let mut sessions = Sessions::default();
        let many = MAX_SESSIONS as u64;
        for session in 0..many {
            sessions.bind(T + session, session, A);
        }
        sessions.touch(T + many + 2 * REFILE_MS, 0);
        assert_eq!(sessions.bind(T + many + 2 * REFILE_MS, many, A), [many, 1]);
        assert_eq!(
            (sessions.len(), sessions.order.len()),
            (MAX_SESSIONS, MAX_SESSIONS)
        );
        let bound = |session| sessions.get(T + many, session).is_some();
        assert!(bound(0) && !bound(1) && bound(2) && bound(many));
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_a_binding() {
        let mut sessions = Sessions::default();
        sessions.bind(T, 7, A);
        sessions.set_back(T - 5_000_000);
        assert_eq!(sessions.earliest(), Some(T - 5_000_000 + SESSION_TTL_MS));
        assert_eq!(sessions.get(T - 5_000_000 + SESSION_TTL_MS, 7), None);
    }

    #[test]
    fn bindings_of_one_account_can_be_dropped() {
        let mut sessions: Sessions = vec![(1, A, T), (2, B, T), (3, A, T)].into();
        assert_eq!(sessions.drop_accounts(|account| account == A), [1, 3]);
        assert!(sessions.drop_accounts(|account| account == A).is_empty());
        assert_eq!(Vec::from(sessions.clone()), [(2, B, T)]);
        assert_eq!(sessions.order.len(), 1);
        assert!(sessions.drop(1).is_empty());
        assert_eq!(sessions.drop(2), [2]);
        assert!(sessions.drop_accounts(|_| true).is_empty());
        assert_eq!((sessions.len(), sessions.earliest()), (0, None));
    }
}
