use std::sync::Arc;
use std::time::{Duration, Instant};

use crs_support::redis_server::RedisServer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::store::conformance::{self, Subject, differential};

/// Nothing may take longer, with some for the machine's being busy.
const NEVER_LONGER: Duration = Duration::from_secs(6);

fn subject(url: &str, authority: Option<&str>) -> Subject {
    let store = Tcp::new(url, authority.map(str::as_bytes)).unwrap();
    Subject {
        store: Arc::new(store),
        clock: None,
    }
}

fn get(key: &str) -> Vec<Command> {
    vec![Command::Get { key: key.into() }]
}

fn count(key: &str) -> Vec<Command> {
    vec![Command::IncrBy {
        key: key.into(),
        by: 1,
    }]
}

/// Asks until the answer is good; a server that was away is tried again after the rest.
async fn recovers(store: &Tcp, batch: &[Command]) -> Vec<Reply> {
    crs_support::eventually("the store is back", async || store.run(batch.to_vec()).await.ok()).await
}

#[expect(clippy::disallowed_methods, reason = "how long a call took is what is tested")]
async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let outcome = call.await;
    (outcome, start.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let server = RedisServer::start();
    conformance::run(&subject(&server.url(3), None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_over_tls() {
    let server = RedisServer::start_tls();
    conformance::run(&subject(&server.url(0), server.authority())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_over_resp3() {
    let server = RedisServer::start();
    conformance::run(&subject(&format!("{}?protocol=resp3", server.url(0)), None)).await;
}

#[test]
fn agrees_with_memory() {
    let server = RedisServer::start();
    differential::agrees_with_memory(&subject(&server.url(0), None), 300);
}

#[tokio::test]
async fn databases_are_apart() {
    let server = RedisServer::start();
    let (first, second) = (
        Tcp::new(&server.url(0), None).unwrap(),
        Tcp::new(&server.url(5), None).unwrap(),
    );
    first.run(count("n")).await.unwrap();
    assert_eq!(second.run(get("n")).await.unwrap(), [Reply::Value(None)]);
    assert_eq!(
        first.run(get("n")).await.unwrap(),
        [Reply::Value(Some("1".into()))]
    );
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_does_not_show_it() {
    let server = RedisServer::start();
    let store = Tcp::new(&server.url_with("not-the-password", 0), None).unwrap();
    // The second time during the rest.
    for _ in 0..2 {
        match store.ping().await {
            Err(error @ StoreError::Failed { .. }) => {
                assert!(!error.to_string().contains("not-the-password"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let without = Tcp::new(&format!("redis://127.0.0.1:{}", server.port()), None).unwrap();
    assert!(matches!(without.ping().await, Err(StoreError::Failed { .. })));
    assert!(matches!(
        without.run(get("k")).await,
        Err(StoreError::Failed { .. })
    ));
}

#[test]
fn an_address_that_is_none_is_refused_without_being_shown() {
    for url in [
        "",
        "http://secret@host",
        "redis://:secret@",
        "redis://:secret@host:port",
        "redis://:secret@host/x",
    ] {
        let error = Tcp::new(url, None).map(|_| ()).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(matches!(
        Tcp::new("rediss://localhost", Some(b"no PEM")),
        Ok(_) | Err(OptionsError::Authority(_))
    ));
    assert!(Tcp::new("redis://localhost", Some(b"a plain connection has no authority")).is_err());
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_not_accepted() {
    let (server, other) = (RedisServer::start_tls(), RedisServer::start_tls());
    for authority in [None, other.authority()] {
        let store = Tcp::new(&server.url(0), authority.map(str::as_bytes)).unwrap();
        let (outcome, time) = timed(store.ping()).await;
        assert!(outcome.is_err());
        assert!(time < NEVER_LONGER);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away_at_once() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let store = Tcp::new(&format!("redis://127.0.0.1:{port}"), None).unwrap();
    let (outcomes, time) = timed(futures_util::future::join_all(
        (0..50).map(|_| store.run(count("n"))),
    ))
    .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(StoreError::Away { .. }))),
        "{outcomes:?}"
    );
    assert!(time < NEVER_LONGER);
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = accepted.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            held.push(connection);
        }
    });
    let limits = Limits {
        rest: Duration::from_hours(1),
        ..Limits::default()
    };
    let store = Tcp::with_limits(&format!("redis://{address}"), None, limits).unwrap();
    let (outcomes, time) = timed(futures_util::future::join_all(
        (0..200).map(|_| store.run(get("k"))),
    ))
    .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(StoreError::Away { .. })))
    );
    assert!(time < NEVER_LONGER, "{time:?}");
    for _ in 0..1_000 {
        assert!(matches!(
            store.run(count("n")).await,
            Err(StoreError::Away { .. })
        ));
    }
    assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_away_and_comes_back() {
    let server = RedisServer::start();
    let store = Arc::new(Tcp::new(&server.url(0), None).unwrap());
    store.run(count("n")).await.unwrap();
    server.pause();
    let calls = (0..100).map(|n| {
        let store = store.clone();
        async move {
            if n % 2 == 0 {
                store.run(count("n")).await
            } else {
                store.run(get("n")).await
            }
        }
    });
    let (outcomes, time) = timed(futures_util::future::join_all(calls)).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(StoreError::Away { .. })))
    );
    assert!(time < NEVER_LONGER, "{time:?}");
    server.resume();
    recovers(&store, &get("n")).await;
}

#[tokio::test]
async fn a_restart_between_two_calls_is_not_noticed() {
    let mut server = RedisServer::start();
    // Every connection counts as unused for long, as in real life it mostly is.
    let limits = Limits {
        idle: Duration::ZERO,
        ..Limits::default()
    };
    let store = Tcp::with_limits(&server.url(0), None, limits).unwrap();
    for expected in [1, 1, 1] {
        assert_eq!(store.run(count("n")).await.unwrap(), [Reply::Int(expected)]);
        server.start_again();
    }
    assert_eq!(store.run(get("n")).await.unwrap(), [Reply::Value(None)]);
}

#[tokio::test]
async fn what_only_reads_is_asked_again_on_a_new_connection() {
    let mut server = RedisServer::start();
    let limits = Limits {
        idle: Duration::from_hours(1),
        ..Limits::default()
    };
    let store = Tcp::with_limits(&server.url(0), None, limits).unwrap();
    store.run(count("n")).await.unwrap();
    server.start_again();
    assert_eq!(store.run(get("n")).await.unwrap(), [Reply::Value(None)]);
    // What writes is not: whether it ran is not known.
    server.start_again();
    assert!(matches!(
        store.run(count("n")).await,
        Err(StoreError::Away { .. })
    ));
    assert_eq!(store.run(count("n")).await.unwrap(), [Reply::Int(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_under_load_is_away_and_comes_back() {
    let mut server = RedisServer::start();
    let store = Arc::new(Tcp::new(&server.url(0), None).unwrap());
    let mut callers = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        callers.spawn(async move {
            let mut longest = Duration::ZERO;
            loop {
                let (outcome, time) = timed(store.run(count(&format!("n{n}")))).await;
                longest = longest.max(time);
                match outcome {
                    Ok(_) => {}
                    Err(StoreError::Away { .. }) => return longest,
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    recovers(&store, &count("started")).await;
    server.kill();
    while let Some(longest) = callers.join_next().await {
        assert!(longest.unwrap() < NEVER_LONGER);
    }
    server.start_again();
    assert_eq!(recovers(&store, &count("after")).await, [Reply::Int(1)]);
}

mod failover;
