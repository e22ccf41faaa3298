//! Another server becomes the master: by sentinels, or behind one address.

use crs_support::sentinel::Sentinel;
use crs_support::switch::Switch;
use futures_util::StreamExt as _;

use super::*;

/// A master, its replica, and the sentinel that knows both.
fn trio() -> (RedisServer, RedisServer, Sentinel) {
    let (master, replica) = (RedisServer::start(), RedisServer::start());
    replica.follow(&master);
    let sentinel = Sentinel::of(&master);
    sentinel.knows_a_replica();
    (master, replica, sentinel)
}

fn by(sentinel: &Sentinel, master: &RedisServer) -> Tcp {
    Tcp::new(&sentinel.whole_url(master, 2), None).unwrap()
}

fn guarded() -> (Vec<Guard>, Vec<Command>) {
    let guard = Guard::Value {
        key: "never".into(),
        is: None,
    };
    (vec![guard], count("n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_masters_death_calls_go_to_the_next_one() {
    let (mut master, replica, sentinel) = trio();
    let store = by(&sentinel, &master);
    store.run(count("n")).await.unwrap();
    let mut messages = store.listen("news").await.unwrap().unwrap();
    assert!(replica.command(&["INFO", "replication"]).contains("role:slave"));
    master.kill();
    let ended = crs_support::within(Duration::from_secs(5), "the end of messages", messages.next());
    let (ended, outcome) = tokio::join!(ended, store.run(count("n")));
    assert!(ended.is_none() && outcome.is_err());
    recovers(&store, &count("n")).await;
    let sum = store.run(get("n")).await.unwrap();
    // Replication may lag behind the first.
    assert!(
        matches!(sum.as_slice(), [Reply::Value(Some(sum))] if matches!(sum.as_ref(), b"1" | b"2")),
        "{sum:?}"
    );
    let mut messages = store.listen("news").await.unwrap().unwrap();
    replica.command(&["PUBLISH", "news", "after"]);
    let heard = crs_support::within(Duration::from_secs(5), "a message", messages.next()).await;
    assert_eq!(heard.as_deref(), Some(&b"after"[..]));
}

/// A sentinel demotes the earlier master only some ten seconds after a planned failover. A master that must have a
/// replica takes no writes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_lost_its_replica_is_left() {
    let (master, replica, sentinel) = trio();
    master.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let limits = Limits {
        rest: Duration::from_millis(20),
        ..Limits::default()
    };
    let store = Tcp::with_limits(&sentinel.whole_url(&master, 0), None, limits).unwrap();
    recovers(&store, &count("n")).await;
    sentinel.fail_over();
    crs_support::eventually("the replica leads", async || {
        let told = replica.command(&["INFO", "replication"]);
        told.contains("role:master").then_some(())
    })
    .await;
    recovers(&store, &count("after")).await;
    assert!(replica.command(&["GET", "after"]).contains('1'));
}

#[tokio::test]
async fn a_demoted_server_behind_one_address_is_left() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    second.follow(&first);
    let switch = Switch::to(first.port()).await;
    let limits = Limits {
        rest: Duration::ZERO,
        ..Limits::default()
    };
    let url = first.url_by(switch.port(), 0);
    let (mut from, mut to) = (&first, &second);
    for round in 1..=4 {
        let store = Tcp::with_limits(&url, None, limits).unwrap();
        store.run(get("n")).await.unwrap();
        from.hand_over();
        switch.next_to(to.port());
        std::mem::swap(&mut from, &mut to);
        // A refused write has not run.
        if round % 2 == 0 {
            assert!(matches!(
                store.run(count("n")).await,
                Err(StoreError::Away { .. })
            ));
            assert_eq!(store.run(count("n")).await.unwrap(), [Reply::Int(round)]);
        } else {
            let (guards, batch) = guarded();
            assert!(matches!(
                store.atomically(guards, batch).await,
                Err(StoreError::Away { .. })
            ));
            let (guards, batch) = guarded();
            assert_eq!(store.atomically(guards, batch).await.unwrap(), Applied::Yes);
        }
    }
}

/// Where nothing leads to another server, not every write connects anew.
#[tokio::test]
async fn a_replica_is_left_at_most_once_per_rest() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    second.follow(&first);
    let limits = Limits {
        rest: Duration::from_hours(1),
        ..Limits::default()
    };
    let store = Tcp::with_limits(&second.url(0), None, limits).unwrap();
    let connections = || {
        let stats = second.command(&["INFO", "stats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    store.run(get("n")).await.unwrap();
    let before = connections();
    for _ in 0..20 {
        assert!(matches!(
            store.run(count("n")).await,
            Err(StoreError::Away { .. })
        ));
        store.run(get("n")).await.unwrap();
    }
    assert_eq!(connections(), before + 1, "one is of the question");
}

#[tokio::test]
async fn sentinels_that_do_not_answer_are_passed_over() {
    let (master, _replica, sentinel) = trio();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let first = format!("{},{gone}", silent.local_addr().unwrap());
    let own = format!("127.0.0.1:{}", sentinel.port());
    let url = sentinel
        .whole_url(&master, 0)
        .replace(&own, &format!("{first},{own}"));
    let store = Tcp::new(&url, None).unwrap();
    assert_eq!(store.run(count("n")).await.unwrap(), [Reply::Int(1)]);
}

#[tokio::test]
async fn what_sentinels_refuse_is_said_without_passwords() {
    let (master, replica, sentinel) = trio();
    let other = sentinel.whole_url(&master, 0).replace("/main-1/", "/main-2/");
    let replica_only = Sentinel::of(&replica);
    for (url, expected) in [
        (other, "it knows no master main-2"),
        (sentinel.url(&master, 0), "NOAUTH"),
        (
            format!("{}?sentinel_password=s3cr3t", sentinel.url(&master, 0)),
            "sentinel 127.0.0.1",
        ),
        (
            sentinel.whole_url(&master, 0).replace("://:", "://:s3cr3t"),
            "127.0.0.1",
        ),
    ] {
        let store = Tcp::new(&url, None).unwrap();
        match store.ping().await {
            Err(error @ StoreError::Failed { .. }) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error}");
                for secret in ["s3cr3t", "word of", "p@ss"] {
                    assert!(!error.contains(secret), "{error}");
                }
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    // A replica may be promoted later.
    let store = by(&replica_only, &replica);
    assert!(matches!(store.ping().await, Err(StoreError::Away { .. })));
}

#[tokio::test]
async fn the_master_may_speak_tls_alone() {
    let master = RedisServer::start_tls();
    let sentinel = Sentinel::of(&master);
    let url = sentinel
        .whole_url(&master, 0)
        .replace("redis+sentinel", "rediss+sentinel");
    let store = Tcp::new(
        &format!("{url}&sentinel_tls=false"),
        master.authority().map(str::as_bytes),
    );
    assert_eq!(store.unwrap().run(count("n")).await.unwrap(), [Reply::Int(1)]);
}
