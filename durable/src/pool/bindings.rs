//! Expiring bindings of names to accounts: sessions of clients, and objects that a provider stores for one account.
//!
//! Bounded in number and time. A binding lasts for its time to live from its last use. Above the bound, the owner (a
//! client key) with the most bindings loses its least recently used one: one key cannot push out those of others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::Number;
use crate::Millis;

/// Sticky sessions. The provider's prompt cache lives an hour at most, so a session need not live longer.
pub(super) type Sessions = Bindings<3_600_000, 50_000>;

/// Objects at providers: stored responses for 30 days, files and caches for their reported lifetime.
pub(super) type Origins = Bindings<{ 7 * 86_400_000 }, 10_000>;

/// The owner of a binding: a hash of the client key.
pub(super) type Owner = u64;

/// A renewal by less than this need not be persisted: a host's death loses it, which does no harm.
const REFILE_MS: u64 = 60_000;

/// Name, account, end and owner: the persisted form of a binding.
type Persisted = (u64, Number, Millis, Owner);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Persisted>", into = "Vec<Persisted>")]
pub(super) struct Bindings<const TTL_MS: u64, const MOST: usize> {
    bound: BTreeMap<u64, Binding>,
    /// (`filed`, name): ordered by end, up to `REFILE_MS` out of date.
    order: BTreeSet<(Millis, u64)>,
    /// The same for each owner.
    owned: BTreeMap<Owner, BTreeSet<(Millis, u64)>>,
    /// The number of bindings of each owner.
    shares: BTreeSet<(usize, Owner)>,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    account: Number,
    until: Millis,
    filed: Millis,
    owner: Owner,
}

impl<const TTL_MS: u64, const MOST: usize> Bindings<TTL_MS, MOST> {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(super) fn get(&self, now: Millis, name: u64) -> Option<Number> {
        self.bound
            .get(&name)
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

    /// The account of one binding, its end and its owner, in the persisted form.
    pub(super) fn binding(&self, name: u64) -> Option<(Number, Millis, Owner)> {
        self.bound
            .get(&name)
            .map(|binding| (binding.account, binding.until, binding.owner))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = u64> {
        self.bound.keys().copied()
    }

    pub(super) fn restore(&mut self, name: u64, (account, until, owner): (Number, Millis, Owner)) {
        self.put(name, account, until, owner);
    }

    /// Binds the name; returns the names whose rows changed.
    pub(super) fn bind(&mut self, now: Millis, name: u64, account: Number, owner: Owner) -> Vec<u64> {
        if self.get(now, name) == Some(account) {
            return self.touch(now, name);
        }
        self.put(name, account, now.saturating_add(TTL_MS), owner);
        let mut changed = vec![name];
        while self.bound.len() > MOST {
            let most = self.shares.last().and_then(|(_, owner)| self.owned.get(owner));
            let Some((_, oldest)) = most.and_then(|owned| owned.first().copied()) else {
                break;
            };
            changed.extend(self.drop(oldest));
        }
        changed
    }

    /// Renews the binding on use; returns the name if its row changed.
    pub(super) fn touch(&mut self, now: Millis, name: u64) -> Vec<u64> {
        let Some(binding) = self.bound.get_mut(&name) else {
            return Vec::new();
        };
        binding.until = binding.until.max(now.saturating_add(TTL_MS));
        if binding.until <= binding.filed.saturating_add(REFILE_MS) {
            return Vec::new();
        }
        self.refile(name);
        vec![name]
    }

    fn put(&mut self, name: u64, account: Number, until: Millis, owner: Owner) {
        self.drop(name);
        let binding = Binding {
            account,
            until,
            filed: until,
            owner,
        };
        self.bound.insert(name, binding);
        self.order.insert((until, name));
        let owned = self.owned.entry(owner).or_default();
        self.shares.remove(&(owned.len(), owner));
        owned.insert((until, name));
        self.shares.insert((owned.len(), owner));
    }

    /// Moves the binding to its place in the order of ends.
    fn refile(&mut self, name: u64) {
        let Some(binding) = self.bound.get_mut(&name) else {
            return;
        };
        let (before, after) = ((binding.filed, name), (binding.until, name));
        binding.filed = binding.until;
        self.order.remove(&before);
        self.order.insert(after);
        if let Some(owned) = self.owned.get_mut(&binding.owner) {
            owned.remove(&before);
            owned.insert(after);
        }
    }

    /// Drops bindings that have ended, and returns their names.
    pub(super) fn sweep(&mut self, now: Millis) -> Vec<u64> {
        let mut ended = Vec::new();
        while let Some((_, name)) = self.order.first().copied().filter(|(filed, _)| *filed <= now) {
            if self.get(now, name).is_some() {
                self.refile(name);
            } else {
                ended.extend(self.drop(name));
            }
        }
        ended
    }

    /// The account that the name is bound to, even if the binding has just ended.
    pub(super) fn account(&self, name: u64) -> Option<Number> {
        self.bound.get(&name).map(|binding| binding.account)
    }

    /// Drops one binding; returns the name if there was one.
    pub(super) fn drop(&mut self, name: u64) -> Vec<u64> {
        let Some(Binding { filed, owner, .. }) = self.bound.remove(&name) else {
            return Vec::new();
        };
        self.order.remove(&(filed, name));
        if let Some(owned) = self.owned.get_mut(&owner) {
            self.shares.remove(&(owned.len(), owner));
            owned.remove(&(filed, name));
            if owned.is_empty() {
                self.owned.remove(&owner);
            } else {
                self.shares.insert((owned.len(), owner));
            }
        }
        vec![name]
    }

    /// Drops the bindings to the accounts for which `gone` is true, and returns their names.
    pub(super) fn drop_accounts(&mut self, gone: impl Fn(Number) -> bool) -> Vec<u64> {
        let names = self.bound.iter().filter(|(_, binding)| gone(binding.account));
        let names: Vec<u64> = names.map(|(name, _)| *name).collect();
        for name in &names {
            self.drop(*name);
        }
        names
    }

    /// The clock was set back: no binding ends later than one made now.
    pub(super) fn set_back(&mut self, now: Millis) {
        let most = now.saturating_add(TTL_MS);
        let kept: Vec<Persisted> = std::mem::take(self).into();
        for (name, account, until, owner) in kept {
            self.put(name, account, until.min(most), owner);
        }
    }
}

impl<const TTL_MS: u64, const MOST: usize> From<Vec<Persisted>> for Bindings<TTL_MS, MOST> {
    fn from(kept: Vec<Persisted>) -> Self {
        let mut bindings = Self::default();
        for (name, account, until, owner) in kept {
            bindings.put(name, account, until, owner);
        }
        bindings
    }
}

impl<const TTL_MS: u64, const MOST: usize> From<Bindings<TTL_MS, MOST>> for Vec<Persisted> {
    fn from(bindings: Bindings<TTL_MS, MOST>) -> Self {
        let row = |(name, binding): (u64, Binding)| (name, binding.account, binding.until, binding.owner);
        bindings.bound.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Number = 1;
    const B: Number = 2;
    const T: Millis = 10_000_000;
    const TTL: u64 = 3_600_000;
    const MOST: usize = 50_000;

    #[test]
    fn a_binding_lasts_its_time_from_the_last_use() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.bind(T, 7, A, 1), [7]);
        assert!(
            sessions.touch(T + REFILE_MS, 7).is_empty(),
            "too little to be kept"
        );
        let end = T + REFILE_MS + TTL;
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
        sessions.bind(T, 7, A, 1);
        let kept = (1..=600)
            .filter(|second| !sessions.bind(T + second * 1_000, 7, A, 1).is_empty())
            .count();
        assert!((8..=10).contains(&kept), "{kept}");
        assert_eq!(
            sessions.bind(T + 600_000, 7, B, 1),
            [7],
            "another account always is"
        );
        assert_eq!((sessions.len(), sessions.order.len()), (1, 1));
    }

    #[test]
    fn of_one_owner_the_longest_unused_goes_first() {
        let mut sessions = Sessions::default();
        let many = MOST as u64;
        for session in 0..many {
            sessions.bind(T + session, session, A, 1);
        }
        sessions.touch(T + many + 2 * REFILE_MS, 0);
        assert_eq!(sessions.bind(T + many + 2 * REFILE_MS, many, A, 1), [many, 1]);
        assert_eq!((sessions.len(), sessions.order.len()), (MOST, MOST));
        let bound = |session| sessions.get(T + many, session).is_some();
        assert!(bound(0) && !bound(1) && bound(2) && bound(many));
    }

    #[test]
    fn one_owners_crowd_pushes_out_nobody_else() {
        let mut sessions = Sessions::default();
        let crowd = |number: u64| 1_000_000 + number;
        for session in 0..50 {
            sessions.bind(T, session, A, session % 5);
        }
        for number in 0..2 * MOST as u64 {
            sessions.bind(T + 1_000, crowd(number), B, 99);
        }
        assert_eq!(sessions.len(), MOST);
        assert!((0..50).all(|session| sessions.get(T + 1_000, session) == Some(A)));
        // A new owner gets room, too.
        assert_eq!(sessions.bind(T + 2_000, 77, A, 7).len(), 2);
        assert_eq!(sessions.get(T + 2_000, 77), Some(A));
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_a_binding() {
        let mut sessions = Sessions::default();
        sessions.bind(T, 7, A, 1);
        sessions.set_back(T - 5_000_000);
        assert_eq!(sessions.earliest(), Some(T - 5_000_000 + TTL));
        assert_eq!(sessions.get(T - 5_000_000 + TTL, 7), None);
    }

    #[test]
    fn bindings_of_one_account_can_be_dropped() {
        let mut sessions: Sessions = vec![(1, A, T, 1), (2, B, T, 1), (3, A, T, 1)].into();
        assert_eq!(sessions.drop_accounts(|account| account == A), [1, 3]);
        assert!(sessions.drop_accounts(|account| account == A).is_empty());
        assert_eq!(Vec::from(sessions.clone()), [(2, B, T, 1)]);
        assert_eq!(sessions.order.len(), 1);
        assert!(sessions.drop(1).is_empty());
        assert_eq!(sessions.drop(2), [2]);
        assert!(sessions.drop_accounts(|_| true).is_empty());
        assert_eq!((sessions.len(), sessions.earliest()), (0, None));
        assert!(sessions.owned.is_empty() && sessions.shares.is_empty());
    }

    proptest! {
        /// An owner with at most an equal share loses nothing, and the indices agree with the bindings.
        #[test]
        fn an_equal_share_is_safe(
            acts in prop::collection::vec((0..40_u64, 0..4_u64, 0..3_u8, 0..300_000_u64), 1..200),
        ) {
            type Few = Bindings<1_000_000, 12>;
            let mut few = Few::default();
            let mut now = T;
            for (name, owner, act, passes) in acts {
                now += passes;
                let name = owner * 100 + name;
                few.sweep(now);
                let before = few.clone();
                match act {
                    0 => _ = few.drop(name),
                    1 => _ = few.touch(now, name),
                    _ => _ = few.bind(now, name, A, owner),
                }
                prop_assert!(few.len() <= 12);
                if act == 2 {
                    prop_assert_eq!(few.get(now, name), Some(A));
                }
                for (held, binding) in &before.bound {
                    let kept = few.bound.contains_key(held) || (act == 0 && *held == name);
                    prop_assert!(kept || before.owned[&binding.owner].len() + 1 > 12 / 4);
                }
                let again: Few = Vec::<Persisted>::from(few.clone()).into();
                let sizes = |few: &Few| few.owned.iter().map(|(owner, set)| (set.len(), *owner)).collect::<BTreeSet<_>>();
                prop_assert_eq!(&few.shares, &sizes(&few));
                prop_assert_eq!(&few.shares, &again.shares);
                let filed: BTreeSet<_> = few.bound.iter().map(|(name, binding)| (binding.filed, *name)).collect();
                prop_assert_eq!(&few.order, &filed);
                let owned: BTreeSet<_> = few.owned.values().flatten().copied().collect();
                prop_assert_eq!(&few.order, &owned);
            }
        }
    }
}
