use std::net::IpAddr;
use std::sync::Arc;

use super::super::{Admins, Login, NewLogin};
use super::*;
use crate::config;
use crate::model::secret::Secret;
use crate::port::clock::movable::Movable;
use crate::port::store::Store as _;
use crate::secrets::tests::{Counting, keyring};
use crate::secrets::{Keyring, Lifetimes};
use crate::store::fake::FakeStore;

const HOUR: Millis = 3_600_000;
const NOW: Millis = 1_764_000_000_000;
const LIFETIMES: Lifetimes = Lifetimes {
    token: HOUR,
    session: 10 * HOUR,
};

struct Rig {
    store: Arc<FakeStore>,
    keyring: Arc<Keyring>,
    random: Arc<Counting>,
    admins: Admins,
    clock: Movable,
}

impl Rig {
    async fn new() -> Self {
        let clock = Movable::at(NOW);
        let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
        let (keyring, random) = (Arc::new(keyring()), Arc::new(Counting::new()));
        let admins = Admins::new(store.clone(), keyring.clone(), random.clone());
        let none = config::Admin {
            username: None,
            password: None,
            session: std::time::Duration::from_hours(1),
            session_max: std::time::Duration::from_hours(10),
        };
        let login = Login {
            username: "root".to_owned(),
            password: Secret::new("a good password"),
        };
        admins.ensure(&none, Some(&login), NOW).await.unwrap();
        Self {
            store,
            keyring,
            random,
            admins,
            clock,
        }
    }

    /// A session that begins now.
    async fn begin(&self, address: &str) -> Session {
        let epoch = self.admins.get().await.unwrap().unwrap().epoch;
        let now = self.now();
        let signed = self
            .keyring
            .sign_session(&*self.random, "root", epoch, now, LIFETIMES);
        let (_, session) = signed.unwrap();
        let address: Option<IpAddr> = address.parse().ok();
        self.admins.list_session(&session, address, now).await.unwrap();
        session
    }

    fn now(&self) -> Millis {
        use crate::port::clock::Clock as _;
        self.clock.now()
    }

    fn wait(&self, ms: Millis) {
        self.clock.advance(std::time::Duration::from_millis(ms));
    }

    async fn listed(&self) -> Vec<String> {
        let (listed, more) = self.admins.sessions(100, self.now()).await.unwrap();
        assert!(!more);
        listed.into_iter().map(|session| session.id).collect()
    }

    fn calls(&self) -> usize {
        self.store.calls.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn the_one_seen_last_is_first_and_says_where_it_began() {
    let rig = Rig::new().await;
    let first = rig.begin("203.0.113.7").await;
    rig.wait(HOUR);
    let second = rig.begin("").await;
    assert_eq!(rig.listed().await, [second.id.clone(), first.id.clone()]);
    rig.wait(HOUR);
    rig.admins.see_session(&first.id, rig.now()).await;
    let (listed, _) = rig.admins.sessions(100, rig.now()).await.unwrap();
    assert_eq!(
        listed[0],
        ListedSession {
            id: first.id,
            begun_at: NOW,
            seen_at: NOW + 2 * HOUR,
            ends_at: NOW + 10 * HOUR,
            address: "203.0.113.7".parse().ok(),
        }
    );
    assert_eq!((listed[1].address, listed[1].seen_at), (None, NOW + HOUR));
}

#[tokio::test]
async fn being_in_use_costs_one_write_in_five_minutes_and_no_request() {
    let rig = Rig::new().await;
    let session = rig.begin("").await;
    let before = rig.calls();
    for _ in 0..50 {
        rig.wait(SEEN_EVERY / 50 - 1);
        rig.admins.see_session(&session.id, rig.now()).await;
    }
    assert_eq!(rig.calls(), before);
    rig.wait(50);
    for _ in 0..50 {
        rig.admins.see_session(&session.id, rig.now()).await;
    }
    assert_eq!(rig.calls(), before + 1);
    // A store that takes no writes does not stop who reads.
    rig.store.full.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.wait(SEEN_EVERY);
    rig.admins.see_session(&session.id, rig.now()).await;
}

#[tokio::test]
async fn what_is_ended_is_over_once_and_nothing_brings_it_back() {
    let rig = Rig::new().await;
    let session = rig.begin("").await;
    let other = rig.begin("").await;
    let ends = (0..20).map(|_| rig.admins.end_listed(&session.id, NOW));
    let ended = futures_util::future::join_all(ends).await;
    let told: Vec<bool> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|ended| **ended).count(), 1);
    let (_, over) = rig.admins.with_session(&session.id).await.unwrap();
    assert!(over);
    // A request of it that was under way.
    rig.wait(SEEN_EVERY);
    rig.admins.see_session(&session.id, rig.now()).await;
    rig.admins.list_session(&session, None, rig.now()).await.unwrap();
    assert_eq!(rig.listed().await, std::slice::from_ref(&other.id));
    // Logging out is the same.
    rig.admins.end_session(&other.id, other.last_end).await.unwrap();
    assert!(rig.listed().await.is_empty());
}

#[tokio::test]
async fn only_ids_of_sessions_end_anything() {
    let rig = Rig::new().await;
    rig.begin("").await;
    for id in [
        "",
        "x",
        &"0".repeat(32),
        &"g".repeat(32),
        "../admin",
        &"0".repeat(33),
    ] {
        assert!(!rig.admins.end_listed(id, NOW).await.unwrap(), "{id}");
    }
    assert_eq!(rig.listed().await.len(), 1);
}

#[tokio::test]
async fn a_new_epoch_and_time_end_what_is_listed() {
    let rig = Rig::new().await;
    let old = rig.begin("").await;
    rig.admins.replace(NewLogin::default(), None, NOW).await.unwrap();
    assert!(rig.listed().await.is_empty());
    assert!(!rig.admins.end_listed(&old.id, NOW).await.unwrap());
    let new = rig.begin("").await;
    // A request of the old one that was under way.
    rig.wait(SEEN_EVERY);
    rig.admins.see_session(&old.id, rig.now()).await;
    assert_eq!(rig.listed().await, [new.id]);
    rig.wait(11 * HOUR);
    assert!(rig.listed().await.is_empty());
    // The next one to begin takes away what is left of it.
    let last = rig.begin("").await;
    let all = rig.store.run(vec![Command::ZCard {
        key: ADMIN_SESSIONS.to_owned(),
    }]);
    assert_eq!(all.await.unwrap(), [Reply::Int(1)]);
    assert_eq!(rig.listed().await, [last.id]);
}

#[tokio::test]
async fn a_crowd_of_sessions_is_listed_in_part() {
    let rig = Rig::new().await;
    for _ in 0..12 {
        rig.begin("").await;
        rig.wait(1);
    }
    let (listed, more) = rig.admins.sessions(10, rig.now()).await.unwrap();
    assert_eq!((listed.len(), more), (10, true));
    assert_eq!(listed[0].begun_at, listed[0].begun_at.max(listed[9].begun_at));
}
