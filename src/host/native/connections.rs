//! Who is connected: caps on connections, in all and per address, and shorter waits as they fill.
//!
//! A connection costs a descriptor, and one to a provider while it calls. Whoever has nothing to say must not use
//! them up: the fuller it is, the sooner an idle connection is closed, and at the caps new ones are refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Descriptors for everything but connections: the store, the log, the listener.
const OTHERS: usize = 64;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub total: usize,
    /// Connections at once from one address, or one IPv6 site; 0: no limit.
    pub per_address: usize,
    /// How long a connection may be idle while there is room for others: longer than the proxies in front of us
    /// keep idle connections, so that it is not we who close one that is just being used.
    pub idle: Duration,
    /// And when there is none.
    pub least_idle: Duration,
    /// How often each connection looks whether it was idle for too long.
    pub look: Duration,
}

impl Limits {
    /// With so many descriptors; `total`: at most, if it is not 0.
    pub fn new(descriptors: u64, total: usize, per_address: usize) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let fit = (descriptors.saturating_sub(OTHERS) / 2).max(16);
        let total = if total == 0 { fit } else { total.min(fit) };
        Self {
            total,
            per_address,
            idle: Duration::from_mins(3),
            least_idle: Duration::from_secs(5),
            look: Duration::from_secs(5),
        }
    }
}

/// The connections of a server.
pub struct Connections {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    by_site: HashMap<Site, usize>,
}

/// What counts as one address. A host with IPv6 has a /64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Site {
    V4(u32),
    V6(u64),
}

impl Site {
    /// `None`: not counted. What comes over loopback is a proxy, or somebody who can do worse.
    fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(address) => Some(Self::V4(address.to_bits())),
            IpAddr::V6(address) => Some(Self::V6((address.to_bits() >> 64) as u64)),
        }
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// There are as many as there may be.
    Full,
    /// So many come from its address.
    Address,
}

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts a connection from this address. `behind_proxy`: whoever connects is a proxy of ours, so that the
    /// address says nothing.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        behind_proxy: bool,
    ) -> Result<Connected, ConnectionRefusal> {
        let site = Site::of(address).filter(|_| !behind_proxy && self.limits.per_address > 0);
        let mut state = self.state();
        if state.total >= self.limits.total {
            return Err(ConnectionRefusal::Full);
        }
        if let Some(site) = site {
            let of_site = state.by_site.entry(site).or_default();
            if *of_site >= self.limits.per_address {
                return Err(ConnectionRefusal::Address);
            }
            *of_site += 1;
        }
        state.total += 1;
        drop(state);
        Ok(Connected {
            connections: self.clone(),
            site,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted, until it is dropped.
pub struct Connected {
    connections: Arc<Connections>,
    site: Option<Site>,
}

impl Connected {
    /// How long this connection may be idle now: what `idle` allows up to half of either cap, and from there
    /// on less, down to `least_idle`.
    pub fn patience(&self) -> Duration {
        let limits = &self.connections.limits;
        let state = self.connections.state();
        let of_site = self.site.and_then(|site| state.by_site.get(&site)).copied();
        let share = |count: usize, of: usize| count.saturating_mul(1000) / of.max(1);
        let fill =
            share(state.total, limits.total).max(of_site.map_or(0, |count| share(count, limits.per_address)));
        let over = u32::try_from(fill.clamp(500, 1000) - 500).unwrap_or(500);
        let least = limits.least_idle.min(limits.idle);
        limits
            .idle
            .saturating_sub(limits.idle.saturating_sub(least) * over / 500)
    }

    pub fn look(&self) -> Duration {
        self.connections.limits.look
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.total = state.total.saturating_sub(1);
        if let Some(site) = self.site
            && let Some(of_site) = state.by_site.get_mut(&site)
        {
            *of_site = of_site.saturating_sub(1);
            if *of_site == 0 {
                state.by_site.remove(&site);
            }
        }
    }
}

/// Whether a connection serves a request, and since when it does not.
#[derive(Default)]
pub struct Activity {
    requests: AtomicUsize,
    /// Milliseconds since the connection began.
    idle_since: AtomicU64,
}

impl Activity {
    /// How long the connection has served nothing, `now` milliseconds after it began.
    pub fn idle_for(&self, now: u64) -> Duration {
        if self.requests.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(now.saturating_sub(self.idle_since.load(Ordering::Acquire)))
    }

    pub fn begin(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    pub fn end(&self, now: u64) {
        self.idle_since.store(now, Ordering::Release);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_address: usize) -> Arc<Connections> {
        Arc::new(Connections::new(Limits::new(100_000, total, per_address)))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_are_no_more_connections_than_descriptors_for_them() {
        assert_eq!(Limits::new(1_064, 0, 0).total, 500);
        assert_eq!(Limits::new(1_064, 9_000, 0).total, 500);
        assert_eq!(Limits::new(1_064, 90, 0).total, 90);
        assert_eq!(Limits::new(10, 0, 0).total, 16);
        assert!(Limits::new(u64::MAX, 0, 0).total > 1 << 40);
    }

    #[test]
    fn an_address_has_a_cap_and_a_site_is_an_address() {
        let all = connections(100, 2);
        let from = |address: &str| all.admit(ip(address), false);
        let _held = [from("192.0.2.1").unwrap(), from("::ffff:192.0.2.1").unwrap()];
        assert_eq!(from("192.0.2.1").err(), Some(ConnectionRefusal::Address));
        let other = from("192.0.2.2").unwrap();
        let _site = [
            from("2001:db8:1:2::1").unwrap(),
            from("2001:db8:1:2:ffff::9").unwrap(),
        ];
        assert_eq!(from("2001:db8:1:2::3").err(), Some(ConnectionRefusal::Address));
        let _next = from("2001:db8:1:3::1").unwrap();
        // Proxies sit there.
        let _local: Vec<_> = (0..10).map(|_| from("127.0.0.1").unwrap()).collect();
        let _six: Vec<_> = (0..10).map(|_| from("::1").unwrap()).collect();
        let _proxied: Vec<_> = (0..10)
            .map(|_| all.admit(ip("192.0.2.1"), true).unwrap())
            .collect();
        drop(other);
        assert!(
            !all.state()
                .by_site
                .contains_key(&Site::of(ip("192.0.2.2")).unwrap())
        );
    }

    #[test]
    fn at_the_cap_nobody_is_taken_until_somebody_leaves() {
        let all = connections(2, 0);
        let first = all.admit(ip("127.0.0.1"), false).unwrap();
        let _second = all.admit(ip("192.0.2.1"), false).unwrap();
        assert_eq!(
            all.admit(ip("192.0.2.2"), false).err(),
            Some(ConnectionRefusal::Full)
        );
        drop(first);
        all.admit(ip("192.0.2.2"), false).unwrap();
    }

    #[test]
    fn the_fuller_it_is_the_shorter_the_waits() {
        let all = connections(20, 10);
        let mut held = vec![all.admit(ip("192.0.2.1"), false).unwrap()];
        let mut last = held[0].patience();
        assert_eq!(last, Duration::from_mins(3));
        for count in 2..=10 {
            held.push(all.admit(ip("192.0.2.1"), false).unwrap());
            let patience = held[0].patience();
            assert!(patience < last || count <= 5, "{count}: {patience:?}");
            last = patience;
        }
        assert_eq!(last, Duration::from_secs(5), "its address is full");
        let other = all.admit(ip("192.0.2.2"), false).unwrap();
        assert!(other.patience() > Duration::from_mins(2));
        held.extend((0..9).map(|_| all.admit(ip("127.0.0.1"), false).unwrap()));
        assert_eq!(other.patience(), Duration::from_secs(5));
    }

    #[test]
    fn a_connection_that_serves_is_not_idle() {
        let activity = Activity::default();
        assert_eq!(activity.idle_for(7_000), Duration::from_secs(7));
        activity.begin();
        assert_eq!(activity.idle_for(900_000), Duration::ZERO);
        activity.begin();
        activity.end(901_000);
        assert_eq!(activity.idle_for(950_000), Duration::ZERO);
        activity.end(960_000);
        assert_eq!(activity.idle_for(961_000), Duration::from_secs(1));
    }
}
