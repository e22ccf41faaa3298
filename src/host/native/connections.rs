//! Caps on client connections, in all and per address, and shorter idle times as they fill.
//!
//! A connection costs a descriptor, and one to a provider while it calls. Idle clients must not use them up: the more
//! connections are open, the sooner an idle one is closed. At the caps a new connection replaces the one that has
//! been idle longest; if none is idle, the new one is refused.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Descriptors for everything except connections: the store, the log, the listener.
const OTHERS: usize = 64;

/// Maximum number of evicted connections whose descriptors are still in use. Part of [`OTHERS`].
const LEAVING: usize = 32;

/// Number of connections that are examined to find one to evict: the next ones in turn, so that a crowd at the caps
/// does not cause a walk over all of them for each attempt.
const SEARCHED: usize = 256;

/// The limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub total: usize,
    /// Connections at once from one address, or one IPv6 site; 0: no limit.
    pub per_address: usize,
    /// How long a connection may be idle while there is room for others. Longer than proxies in front keep idle
    /// connections, so that we do not close one that is just being used.
    pub idle: Duration,
    /// The same when there is no room.
    pub least_idle: Duration,
    /// A connection that is idle for less than this is not evicted: its first or next request may be in transit.
    pub evictable: Duration,
    /// How often each connection checks its idle time.
    pub look: Duration,
}

impl Limits {
    /// Derives the limits from the number of descriptors; `total`: an upper bound, if it is not 0.
    pub fn new(descriptors: u64, total: usize, per_address: usize) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let fit = (descriptors.saturating_sub(OTHERS) / 2).max(16);
        let total = if total == 0 { fit } else { total.min(fit) };
        Self {
            total,
            per_address,
            idle: Duration::from_mins(3),
            least_idle: Duration::from_secs(5),
            evictable: Duration::from_secs(1),
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
    /// By place; free places are reused.
    open: Vec<Option<Arc<Slot>>>,
    free: Vec<usize>,
    by_site: HashMap<Site, HashSet<usize>>,
    /// Evicted and not yet closed. They no longer count, but still have their descriptors.
    leaving: usize,
    /// Start of the next search for an idle connection.
    cursor: usize,
}

impl State {
    fn total(&self) -> usize {
        self.open.len() - self.free.len()
    }

    fn of_site(&self, site: Option<Site>) -> usize {
        site.and_then(|site| self.by_site.get(&site))
            .map_or(0, HashSet::len)
    }

    fn insert(&mut self, slot: Arc<Slot>) -> usize {
        let site = slot.site;
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.open.push(None);
                self.open.len() - 1
            }
        };
        if let Some(open) = self.open.get_mut(place) {
            *open = Some(slot);
        }
        if let Some(site) = site {
            self.by_site.entry(site).or_default().insert(place);
        }
        place
    }

    /// `None` if it was removed before; its place may have another connection now.
    fn remove(&mut self, place: usize, slot: &Arc<Slot>) -> Option<()> {
        let open = self.open.get_mut(place)?;
        open.take_if(|open| Arc::ptr_eq(open, slot))?;
        self.free.push(place);
        if let Some(site) = slot.site
            && let Some(places) = self.by_site.get_mut(&site)
        {
            places.remove(&place);
            if places.is_empty() {
                self.by_site.remove(&site);
            }
        }
        Some(())
    }

    /// Evicts one of the idle connections among `places`: from the site with the most connections, the one that has
    /// been idle longest. False if none has been idle for `least`, or too many are closing already.
    fn evict(&mut self, places: impl Iterator<Item = usize>, least: Duration, now: u64) -> bool {
        if self.leaving >= LEAVING {
            return false;
        }
        let idle = places.filter_map(|place| {
            let slot = self.open.get(place)?.as_ref()?;
            let idle = slot.activity.idle_for(now);
            (idle >= least).then(|| (self.of_site(slot.site), idle, place, slot.clone()))
        });
        let Some((_, _, place, slot)) = idle.max_by_key(|(of_site, idle, _, _)| (*of_site, *idle)) else {
            return false;
        };
        if self.remove(place, &slot).is_none() {
            return false;
        }
        self.leaving += 1;
        slot.evicted.notify_one();
        true
    }
}

/// An open connection.
struct Slot {
    site: Option<Site>,
    activity: Activity,
    evicted: Notify,
}

/// The unit that counts as one address. An IPv6 host usually has a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Site {
    V4(u32),
    V6(u64),
}

impl Site {
    /// `None`: not counted. Loopback connections come from a proxy, or from a local user who can do worse.
    fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(address) => Some(Self::V4(address.to_bits())),
            IpAddr::V6(address) => Some(Self::V6((address.to_bits() >> 64) as u64)),
        }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The total cap is reached.
    Full,
    /// The cap of its address is reached.
    Address,
}

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Counts a connection from this address, `now` milliseconds after the server's start. At a cap, evicts the
    /// longest idle connection under that cap. `behind_proxy`: all connections come from our proxy, so the address is
    /// meaningless.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        behind_proxy: bool,
        now: u64,
    ) -> Result<ConnectionPermit, ConnectionRefusal> {
        let site = Site::of(address).filter(|_| !behind_proxy && self.limits.per_address > 0);
        let mut state = self.state();
        if site.is_some() && state.of_site(site) >= self.limits.per_address {
            let places: Vec<usize> = site
                .and_then(|site| state.by_site.get(&site))
                .into_iter()
                .flatten()
                .copied()
                .take(SEARCHED)
                .collect();
            if !state.evict(places.into_iter(), self.limits.evictable, now) {
                return Err(ConnectionRefusal::Address);
            }
        }
        if state.total() >= self.limits.total {
            let (from, all) = (state.cursor, state.open.len().max(1));
            state.cursor = (from + SEARCHED) % all;
            let places = (from..from + SEARCHED.min(all)).map(|place| place % all);
            if !state.evict(places, self.limits.evictable, now) {
                return Err(ConnectionRefusal::Full);
            }
        }
        let slot = Arc::new(Slot {
            site,
            activity: Activity::new(now),
            evicted: Notify::new(),
        });
        let place = state.insert(slot.clone());
        drop(state);
        Ok(ConnectionPermit {
            connections: self.clone(),
            slot,
            place,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts until it is dropped or evicted.
pub struct ConnectionPermit {
    connections: Arc<Connections>,
    slot: Arc<Slot>,
    place: usize,
}

impl ConnectionPermit {
    /// How long this connection may be idle now: `idle` up to half of either cap, and less beyond, down to
    /// `least_idle`.
    pub fn patience(&self) -> Duration {
        let limits = &self.connections.limits;
        let state = self.connections.state();
        let share = |count: usize, of: usize| count.saturating_mul(1000) / of.max(1);
        let of_site = state.of_site(self.slot.site);
        let fill = share(state.total(), limits.total).max(share(of_site, limits.per_address));
        let over = u32::try_from(fill.clamp(500, 1000) - 500).unwrap_or(500);
        let least = limits.least_idle.min(limits.idle);
        limits
            .idle
            .saturating_sub(limits.idle.saturating_sub(least) * over / 500)
    }

    pub fn look(&self) -> Duration {
        self.connections.limits.look
    }

    pub fn activity(&self) -> &Activity {
        &self.slot.activity
    }

    /// Resolves when this connection must close to make room for another.
    pub async fn evicted(&self) {
        self.slot.evicted.notified().await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        if state.remove(self.place, &self.slot).is_none() {
            state.leaving = state.leaving.saturating_sub(1);
        }
    }
}

/// Whether a connection serves a request, and otherwise since when it is idle.
pub struct Activity {
    requests: AtomicUsize,
    /// Milliseconds since the server's start.
    idle_since: AtomicU64,
}

impl Activity {
    fn new(now: u64) -> Self {
        Self {
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now),
        }
    }

    /// How long the connection has been idle, `now` milliseconds after the server's start.
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
    use futures_util::FutureExt as _;

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
        let from = |address: &str| all.admit(ip(address), false, 0);
        let _held = [from("192.0.2.1").unwrap(), from("::ffff:192.0.2.1").unwrap()];
        assert_eq!(from("192.0.2.1").err(), Some(ConnectionRefusal::Address));
        let other = from("192.0.2.2").unwrap();
        let _site = [
            from("2001:db8:1:2::1").unwrap(),
            from("2001:db8:1:2:ffff::9").unwrap(),
        ];
        assert_eq!(from("2001:db8:1:2::3").err(), Some(ConnectionRefusal::Address));
        let _next = from("2001:db8:1:3::1").unwrap();
        // Proxies connect from there.
        let _local: Vec<_> = (0..10).map(|_| from("127.0.0.1").unwrap()).collect();
        let _six: Vec<_> = (0..10).map(|_| from("::1").unwrap()).collect();
        let _proxied: Vec<_> = (0..10)
            .map(|_| all.admit(ip("192.0.2.1"), true, 0).unwrap())
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
        let first = all.admit(ip("127.0.0.1"), false, 0).unwrap();
        let _second = all.admit(ip("192.0.2.1"), false, 0).unwrap();
        assert_eq!(
            all.admit(ip("192.0.2.2"), false, 0).err(),
            Some(ConnectionRefusal::Full)
        );
        drop(first);
        all.admit(ip("192.0.2.2"), false, 0).unwrap();
    }

    #[test]
    fn at_the_cap_the_longest_idle_makes_room_and_who_serves_stays() {
        let all = connections(3, 0);
        let local = |now| all.admit(ip("127.0.0.1"), false, now);
        let (busy, older, newer) = (local(0).unwrap(), local(100).unwrap(), local(200).unwrap());
        busy.activity().begin();
        assert_eq!(
            local(1_000).err(),
            Some(ConnectionRefusal::Full),
            "nobody is idle for long"
        );
        let next = local(1_150).unwrap();
        assert!(older.evicted().now_or_never().is_some());
        assert!(newer.evicted().now_or_never().is_none());
        assert_eq!(all.state().total(), 3);
        // Its place belongs to another connection, so its end frees nothing again.
        drop(older);
        assert_eq!(all.state().total(), 3);
        assert_eq!(all.state().leaving, 0);
        newer.activity().begin();
        newer.activity().end(2_000);
        let last = local(2_500).unwrap();
        assert!(next.evicted().now_or_never().is_some());
        drop((busy, newer, next, last));
        assert_eq!(all.state().total(), 0);
    }

    #[test]
    fn who_holds_the_most_makes_room_first() {
        let all = connections(6, 4);
        let held: Vec<_> = [
            "192.0.2.9",
            "192.0.2.1",
            "192.0.2.1",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.2",
        ]
        .into_iter()
        .map(|address| all.admit(ip(address), false, 0).unwrap())
        .collect();
        let _next = all.admit(ip("192.0.2.3"), false, 60_000).unwrap();
        let evicted: Vec<bool> = held
            .iter()
            .map(|one| one.evicted().now_or_never().is_some())
            .collect();
        assert_eq!(evicted.iter().filter(|evicted| **evicted).count(), 1);
        assert!(evicted[1] || evicted[2] || evicted[3], "{evicted:?}");
    }

    #[test]
    fn an_address_at_its_cap_evicts_its_own() {
        let all = connections(100, 2);
        let from = |address: &str, now| all.admit(ip(address), false, now);
        let other = from("192.0.2.2", 0).unwrap();
        let (first, second) = (from("192.0.2.1", 10).unwrap(), from("192.0.2.1", 20).unwrap());
        let _third = from("192.0.2.1", 5_000).unwrap();
        assert!(first.evicted().now_or_never().is_some());
        assert!(second.evicted().now_or_never().is_none());
        assert!(other.evicted().now_or_never().is_none());
    }

    #[test]
    fn descriptors_on_their_way_back_are_bounded() {
        let all = connections(100, 0);
        let mut held: Vec<_> = (0..100)
            .map(|_| all.admit(ip("127.0.0.1"), false, 0).unwrap())
            .collect();
        let mut more: Vec<_> = (0..LEAVING)
            .map(|_| all.admit(ip("127.0.0.1"), false, 5_000).unwrap())
            .collect();
        let refused = all.admit(ip("127.0.0.1"), false, 5_000).err();
        assert_eq!(refused, Some(ConnectionRefusal::Full));
        held.retain(|one| one.evicted().now_or_never().is_none());
        assert_eq!(held.len(), 100 - LEAVING);
        more.push(all.admit(ip("127.0.0.1"), false, 5_000).unwrap());
        assert_eq!(all.state().total(), 100);
    }

    #[test]
    fn the_fuller_it_is_the_shorter_the_waits() {
        let all = connections(20, 10);
        let mut held = vec![all.admit(ip("192.0.2.1"), false, 0).unwrap()];
        let mut last = held[0].patience();
        assert_eq!(last, Duration::from_mins(3));
        for count in 2..=10 {
            held.push(all.admit(ip("192.0.2.1"), false, 0).unwrap());
            let patience = held[0].patience();
            assert!(patience < last || count <= 5, "{count}: {patience:?}");
            last = patience;
        }
        assert_eq!(last, Duration::from_secs(5), "its address is full");
        let other = all.admit(ip("192.0.2.2"), false, 0).unwrap();
        assert!(other.patience() > Duration::from_mins(2));
        held.extend((0..9).map(|_| all.admit(ip("127.0.0.1"), false, 0).unwrap()));
        assert_eq!(other.patience(), Duration::from_secs(5));
    }

    #[test]
    fn a_connection_that_serves_is_not_idle() {
        let activity = Activity::new(2_000);
        assert_eq!(activity.idle_for(9_000), Duration::from_secs(7));
        activity.begin();
        assert_eq!(activity.idle_for(900_000), Duration::ZERO);
        activity.begin();
        activity.end(901_000);
        assert_eq!(activity.idle_for(950_000), Duration::ZERO);
        activity.end(960_000);
        assert_eq!(activity.idle_for(961_000), Duration::from_secs(1));
    }
}
