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

    /// Binds the session; says whether a restart must not forget it.
    pub(super) fn bind(&mut self, now: Millis, session: u64, account: Number) -> bool {
        if self.get(now, session) == Some(account) {
            return self.touch(now, session);
        }
        self.put(session, account, now.saturating_add(SESSION_TTL_MS));
        while self.bound.len() > MAX_SESSIONS {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.bound.remove(&oldest);
        }
        true
    }

    /// The session was used; says whether a restart must not forget it.
    pub(super) fn touch(&mut self, now: Millis, session: u64) -> bool {
        let Some(binding) = self.bound.get_mut(&session) else {
            return false;
        };
        binding.until = binding.until.max(now.saturating_add(SESSION_TTL_MS));
        if binding.until <= binding.filed.saturating_add(REFILE_MS) {
            return false;
        }
        let Binding { account, until, .. } = *binding;
        self.put(session, account, until);
        true
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

    /// Drops bindings that have ended.
    pub(super) fn sweep(&mut self, now: Millis) {
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
            }
        }
    }

    /// Drops the bindings to accounts that `gone` names; says whether there were any.
    pub(super) fn drop_accounts(&mut self, gone: impl Fn(Number) -> bool) -> bool {
        let before = self.bound.len();
        self.bound.retain(|_, binding| !gone(binding.account));
        let bound = &self.bound;
        self.order.retain(|(_, session)| bound.contains_key(session));
        self.bound.len() < before
    }

    pub(super) fn clear(&mut self) -> bool {
        self.order.clear();
        !std::mem::take(&mut self.bound).is_empty()
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
        assert!(sessions.bind(T, 7, A));
        assert!(!sessions.touch(T + REFILE_MS, 7), "too little to be kept");
        let end = T + REFILE_MS + SESSION_TTL_MS;
        assert_eq!(sessions.get(end - 1, 7), Some(A), "but it counts");
        assert_eq!(sessions.get(end, 7), None);
        sessions.sweep(end - 1);
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions.earliest(), Some(end));
        sessions.sweep(end);
        assert_eq!((sessions.len(), sessions.earliest()), (0, None));
    }

    #[test]
    fn renewals_are_kept_by_the_minute() {
        let mut sessions = Sessions::default();
        sessions.bind(T, 7, A);
        let kept = (1..=600)
            .filter(|second| sessions.bind(T + second * 1_000, 7, A))
            .count();
        assert!((8..=10).contains(&kept), "{kept}");
        assert!(sessions.bind(T + 600_000, 7, B), "another account always is");
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
        sessions.bind(T + many + 2 * REFILE_MS, many, A);
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
        assert!(sessions.drop_accounts(|account| account == A));
        assert!(!sessions.drop_accounts(|account| account == A));
        assert_eq!(Vec::from(sessions.clone()), [(2, B, T)]);
        assert_eq!(sessions.order.len(), 1);
        assert!(sessions.clear());
        assert_eq!((sessions.len(), sessions.earliest()), (0, None));
    }
}
