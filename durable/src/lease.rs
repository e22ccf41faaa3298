//! Leases: slots with an owner and an end. Both machines use them.
//!
//! One call has at most one lease. [`Leases::sweep`] removes ended leases. Every command runs it first, and it looks
//! at the leases only if one may have ended since the last sweep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Deadline;
use crate::{CallId, Millis};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease<T> {
    pub(crate) since: Millis,
    pub(crate) end: Deadline,
    /// The leased resources.
    pub(crate) what: T,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Leases<T> {
    held: BTreeMap<CallId, Lease<T>>,
    /// No lease ends before this. It may be too early (its lease was renewed or freed), never too late; `None` if
    /// there are no leases.
    earliest: Option<Millis>,
}

impl<T> Default for Leases<T> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            earliest: None,
        }
    }
}

impl<T> Leases<T> {
    pub(crate) fn get(&self, call: CallId) -> Option<&Lease<T>> {
        self.held.get(&call)
    }

    pub(crate) fn get_mut(&mut self, call: CallId) -> Option<&mut T> {
        self.held.get_mut(&call).map(|lease| &mut lease.what)
    }

    /// The calls that have leases.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.held.keys().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CallId, &Lease<T>)> {
        self.held.iter().map(|(call, lease)| (*call, lease))
    }

    /// When the first lease may end; may be early.
    pub(crate) fn earliest(&self) -> Option<Millis> {
        self.earliest
    }

    /// Sets the call's lease, replacing an existing one.
    pub(crate) fn put(&mut self, call: CallId, lease: Lease<T>) {
        let end = lease.end.until();
        self.earliest = Some(self.earliest.map_or(end, |earliest| earliest.min(end)));
        self.held.insert(call, lease);
    }

    /// Extends the call's lease to at least `ttl_ms` from now; returns whether there is one.
    pub(crate) fn renew(&mut self, now: Millis, call: CallId, ttl_ms: u64) -> bool {
        self.held.get_mut(&call).is_some_and(|lease| {
            lease.end.extend(Deadline::after(now, ttl_ms));
            true
        })
    }

    pub(crate) fn free(&mut self, call: CallId) -> Option<Lease<T>> {
        let lease = self.held.remove(&call);
        if self.held.is_empty() {
            self.earliest = None;
        }
        lease
    }

    /// Removes and returns the leases that have ended.
    pub(crate) fn sweep(&mut self, now: Millis) -> Vec<(CallId, T)> {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return Vec::new();
        }
        self.take_where(|lease| lease.end.passed(now))
    }

    /// Removes and returns the leases for which `goes` is true.
    pub(crate) fn take_where(&mut self, goes: impl Fn(&Lease<T>) -> bool) -> Vec<(CallId, T)> {
        let gone = self
            .held
            .extract_if(.., |_, lease| goes(lease))
            .map(|(call, lease)| (call, lease.what))
            .collect();
        self.earliest = self.held.values().map(|lease| lease.end.until()).min();
        gone
    }

    /// The clock was set back: no lease ends later than it was to end when last renewed.
    pub(crate) fn set_back(&mut self, now: Millis) {
        for lease in self.held.values_mut() {
            lease.end.set_back(now);
            lease.since = lease.since.min(now);
        }
        self.earliest = self.held.values().map(|lease| lease.end.until()).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CallId = CallId(1);
    const B: CallId = CallId(2);

    fn lease(now: Millis, ttl_ms: u64) -> Lease<char> {
        Lease {
            since: now,
            end: Deadline::after(now, ttl_ms),
            what: 'x',
        }
    }

    fn until(leases: &Leases<char>, call: CallId) -> Option<Millis> {
        leases.get(call).map(|lease| lease.end.until())
    }

    #[test]
    fn a_lease_ends_at_its_end_and_not_before() {
        let mut leases = Leases::default();
        leases.put(A, lease(0, 100));
        leases.put(B, lease(10, 100));
        assert_eq!(leases.sweep(99), []);
        assert_eq!(leases.sweep(100), [(A, 'x')]);
        assert_eq!(leases.calls().count(), 1);
        assert_eq!(leases.earliest(), Some(110));
        assert_eq!(leases.sweep(110), [(B, 'x')]);
        assert_eq!(leases.earliest(), None);
    }

    #[test]
    fn renewal_only_extends_and_only_what_is_there() {
        let mut leases = Leases::default();
        leases.put(A, lease(0, 100));
        assert!(leases.renew(10, A, 20));
        assert_eq!(until(&leases, A), Some(100));
        assert!(leases.renew(50, A, 100));
        assert_eq!(until(&leases, A), Some(150));
        assert!(!leases.renew(50, B, 100));
        assert_eq!(leases.calls().count(), 1);
        assert_eq!(leases.earliest(), Some(100), "early is allowed");
        assert_eq!(leases.sweep(100), []);
        assert_eq!(leases.earliest(), Some(150), "and found out");
    }

    #[test]
    fn a_clock_set_back_shortens() {
        let mut leases = Leases::default();
        leases.put(A, lease(100_000, 100));
        leases.set_back(50_000);
        assert_eq!(until(&leases, A), Some(50_100));
        assert_eq!(leases.earliest(), Some(50_100));
        assert_eq!(leases.get(A).map(|lease| lease.since), Some(50_000));
    }
}
