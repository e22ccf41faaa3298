use std::time::{Duration, Instant};

use crs_support::redis_server::RedisServer;
use crs_support::upstash::{Manner, UpstashFront};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::host::native::clock::NativeClock;
use crate::store::conformance::{self, Subject, differential};

/// Nothing may take longer, with some for the machine's being busy.
const NEVER_LONGER: Duration = Duration::from_secs(6);

fn at(url: &str, token: &str, limits: Limits) -> Upstash {
    Upstash::new(url, &Secret::new(token), Arc::new(NativeClock::default()), limits).unwrap()
}

fn store(front: &UpstashFront) -> Upstash {
    at(&front.url(), front.token(), Limits::default())
}

fn subject(front: &UpstashFront) -> Subject {
    Subject {
        store: Arc::new(store(front)),
        clock: None,
    }
}

fn get(key: &str) -> Vec<Command> {
    vec![Command::Get { key: key.into() }]
}

fn set(key: &str, value: impl Into<Bytes>) -> Vec<Command> {
    vec![Command::Set {
        key: key.into(),
        value: value.into(),
        expire_at: None,
    }]
}

fn count(key: &str) -> Vec<Command> {
    vec![Command::IncrBy {
        key: key.into(),
        by: 1,
    }]
}

#[expect(clippy::disallowed_methods, reason = "how long a call took is what is tested")]
async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let outcome = call.await;
    (outcome, start.elapsed())
}

/// Asks until the answer is good; a server that was away is tried again after the rest.
async fn recovers(store: &Upstash, batch: &[Command]) -> Vec<Reply> {
    crs_support::eventually("the store is back", async || store.run(batch.to_vec()).await.ok()).await
}

fn is_away<T: std::fmt::Debug>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Away { .. }))
}

/// Every kind of call fails in this way, and soon.
async fn all_fail(store: &Upstash, how: impl Fn(&StoreError) -> bool) {
    let errors = [
        timed(store.run(get("k"))).await.0.map(drop),
        timed(store.run(count("n"))).await.0.map(drop),
        timed(store.atomically(vec![], count("n"))).await.0.map(drop),
        timed(store.ping()).await.0,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert!(how(&error), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    conformance::run(&subject(&front)).await;
}

#[test]
fn agrees_with_memory() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let front = runtime.block_on(UpstashFront::start(&server));
    differential::agrees_with_memory(&subject(&front), 300);
}

#[tokio::test]
async fn every_call_is_one_exchange_and_every_command_is_counted() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    store
        .run([set("k", "v"), get("k"), count("n")].concat())
        .await
        .unwrap();
    assert_eq!((front.exchanges(), front.commands()), (1, 3));
    // Nothing to ask.
    store.run(vec![]).await.unwrap();
    let guard = Guard::Value {
        key: "k".into(),
        is: Some("v".into()),
    };
    let many: Vec<Command> = (0..50).flat_map(|n| count(&format!("n{n}"))).collect();
    assert_eq!(store.atomically(vec![guard], many).await.unwrap(), Applied::Yes);
    assert_eq!((front.exchanges(), front.commands()), (2, 4));
    store.ping().await.unwrap();
    assert_eq!(front.log(), ["SET", "GET", "INCRBY", "EVAL", "PING"]);
    assert_eq!(store.commands().count(), front.commands());
    assert_eq!(front.connections(), 1, "connections are kept");
}

#[tokio::test]
async fn bytes_survive_and_texts_are_stored_as_they_are() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    let values: [&'static [u8]; 7] = [
        b"",
        "schl\u{fc}ssel \u{1f511}".as_bytes(),
        b"\xff\xfe\0\x01",
        b"\xed\xa0\x80",
        "\u{fffd}base64:YQ==".as_bytes(),
        "\u{fffd}base64:\u{fffd}base64:".as_bytes(),
        b"\xf0\x9f\x94",
    ];
    for value in values.map(Bytes::from_static) {
        store.run(set("k", value.clone())).await.unwrap();
        assert_eq!(
            store.run(get("k")).await.unwrap(),
            [Reply::Value(Some(value.clone()))]
        );
        let hash = Command::HSet {
            key: "h".into(),
            entries: vec![("f".into(), value.clone())],
        };
        store.run(vec![hash]).await.unwrap();
        let guards = |is: &Bytes| {
            let is = Some(is.clone());
            vec![
                Guard::Value {
                    key: "k".into(),
                    is: is.clone(),
                },
                Guard::Field {
                    key: "h".into(),
                    field: "f".into(),
                    is,
                },
            ]
        };
        assert_eq!(
            store.atomically(guards(&value), count("n")).await.unwrap(),
            Applied::Yes
        );
        let other = Bytes::from([&value, &b"\xff"[..]].concat());
        assert_eq!(
            store.atomically(guards(&other), count("n")).await.unwrap(),
            Applied::No { guard: 0 }
        );
    }
    let others = crate::store::tcp::Tcp::new(&server.url(0), None).unwrap();
    store.run(set("k", "schl\u{fc}ssel")).await.unwrap();
    assert_eq!(
        others.run(get("k")).await.unwrap(),
        [Reply::Value(Some("schl\u{fc}ssel".into()))]
    );
}

#[tokio::test]
async fn numbers_are_whole_beyond_53_bits() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    for number in [i64::MAX, i64::MIN, (1 << 53) + 1] {
        let batch = vec![
            Command::Del { key: "n".into() },
            Command::IncrBy {
                key: "n".into(),
                by: number,
            },
            Command::HIncrBy {
                key: "h".into(),
                field: number.to_string(),
                by: number,
            },
        ];
        let replies = store.run(batch).await.unwrap();
        assert_eq!(replies[1..], [Reply::Int(number), Reply::Int(number)]);
        assert_eq!(
            store.run(get("n")).await.unwrap(),
            [Reply::Value(Some(number.to_string().into()))]
        );
    }
}

#[tokio::test]
async fn a_wrong_token_is_a_refusal_that_says_what_to_check() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = at(&front.url(), "not-the-token", Limits::default());
    all_fail(&store, |error| {
        let told = error.to_string();
        matches!(error, StoreError::Failed { .. })
            && told.contains("check UPSTASH_REDIS_REST_TOKEN")
            && !told.contains("not-the-token")
    })
    .await;
    assert_eq!(front.commands(), 0);
}

#[test]
fn an_address_or_a_token_that_is_none_is_refused_without_being_shown() {
    let make = |url: &str, token: &str| {
        Upstash::new(
            url,
            &Secret::new(token),
            Arc::new(NativeClock::default()),
            Limits::default(),
        )
        .map(drop)
    };
    for url in ["", "redis://host", "https://user:secret@host", "https://"] {
        let error = make(url, "token").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = make("https://host", "secret\n").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_not_accepted() {
    let server = RedisServer::start_tls();
    let store = at(
        &format!("https://localhost:{}", server.port()),
        "token",
        Limits::default(),
    );
    let (outcome, time) = timed(store.ping()).await;
    assert!(is_away(&outcome), "{outcome:?}");
    assert!(outcome.unwrap_err().to_string().contains("certificate"));
    assert!(time < NEVER_LONGER);
    assert_eq!(store.commands().count(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away_at_once_and_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let limits = Limits {
        rest: Duration::from_hours(1),
        ..Limits::default()
    };
    let store = at(&format!("http://{address}"), "token", limits);
    let (outcomes, time) = timed(futures_util::future::join_all(
        (0..50).map(|_| store.run(count("n"))),
    ))
    .await;
    assert!(outcomes.iter().all(is_away), "{outcomes:?}");
    assert!(time < NEVER_LONGER);
    // Even if there is one now.
    let _listener = TcpListener::bind(address).await.unwrap();
    all_fail(&store, |error| matches!(error, StoreError::Away { .. })).await;
    assert_eq!(store.commands().count(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_alone() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    front.behaves(Manner::Silent);
    let limits = Limits {
        rest: Duration::from_hours(1),
        ..Limits::default()
    };
    let store = at(&front.url(), front.token(), limits);
    let (outcomes, time) = timed(futures_util::future::join_all(
        (0..100).map(|_| store.run(get("k"))),
    ))
    .await;
    assert!(outcomes.iter().all(is_away));
    assert!(time < NEVER_LONGER, "{time:?}");
    let asked = front.exchanges();
    for _ in 0..1_000 {
        assert!(is_away(&store.run(count("n")).await));
    }
    assert_eq!(front.exchanges(), asked);
    assert_eq!(store.commands().count(), asked);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_away_and_comes_back() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    store.run(count("n")).await.unwrap();
    front.behaves(Manner::Silent);
    let (outcome, time) = timed(store.run(get("n"))).await;
    assert!(is_away(&outcome) && time < NEVER_LONGER, "{time:?}");
    front.behaves(Manner::Works);
    let (outcome, time) = timed(store.run(get("n"))).await;
    assert!(is_away(&outcome) && time < Duration::from_millis(400), "at rest");
    assert_eq!(
        recovers(&store, &get("n")).await,
        [Reply::Value(Some("1".into()))]
    );
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_and_a_slower_one_is_not() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    front.behaves(Manner::Slow(Duration::from_millis(300)));
    assert_eq!(store.run(count("n")).await.unwrap(), [Reply::Int(1)]);
    front.behaves(Manner::Slow(Duration::from_mins(1)));
    let (outcome, time) = timed(store.run(count("n"))).await;
    assert!(is_away(&outcome) && time < NEVER_LONGER, "{time:?}");
    // It may have run, and it has.
    front.behaves(Manner::Works);
    assert_eq!(
        recovers(&store, &get("n")).await,
        [Reply::Value(Some("2".into()))]
    );
    assert_eq!(store.commands().count(), front.commands());
}

#[tokio::test]
async fn too_many_requests_are_followed_by_the_rest_that_was_asked_for() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    front.behaves(Manner::TooMany);
    all_fail(&store, |error| matches!(error, StoreError::Away { .. })).await;
    assert_eq!(front.exchanges(), 1);
    front.behaves(Manner::Works);
    let (_, time) = timed(recovers(&store, &get("n"))).await;
    assert!(
        time > Duration::from_millis(800) && time < NEVER_LONGER,
        "{time:?}"
    );
}

#[tokio::test]
async fn an_error_of_theirs_is_away_for_that_call_only() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    front.behaves(Manner::Fails);
    all_fail(&store, |error| matches!(error, StoreError::Away { .. })).await;
    assert_eq!(front.exchanges(), 4);
    front.behaves(Manner::Works);
    store.run(count("n")).await.unwrap();
}

#[tokio::test]
async fn what_is_not_theirs_is_a_failure_that_shows_nothing_of_it() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    front.behaves(Manner::Garbage);
    all_fail(&store, |error| {
        let told = error.to_string();
        matches!(error, StoreError::Failed { .. })
            && told.contains("answered with something that is not Upstash's")
            && !told.contains("Welcome")
    })
    .await;
    front.behaves(Manner::Works);
    store.run(count("n")).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_not_taken() {
    for head in ["content-length: 40000000", "transfer-encoding: chunked"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // An answer before the question would be none.
            stream.read_exact(&mut [0; 100]).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = [b"100000\r\n", vec![b' '; 1 << 20].as_slice(), b"\r\n"].concat();
            let mut sent = 0;
            while stream.write_all(&chunk).await.is_ok() {
                sent += 1;
            }
            sent
        });
        let store = at(&format!("http://{address}"), "token", Limits::default());
        let (outcome, time) = timed(store.ping()).await;
        assert!(matches!(outcome, Err(StoreError::Failed { .. })), "{outcome:?}");
        assert!(time < NEVER_LONGER);
        let sent = server.join_next().await.unwrap().unwrap();
        assert!(sent < 48, "{sent} MiB");
    }
}

#[tokio::test]
async fn half_an_answer_is_asked_for_again_only_where_that_does_no_harm() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    front.behaves(Manner::HalfAnswer);
    assert!(is_away(&store.run(count("n")).await));
    assert_eq!(front.log(), ["INCRBY"]);
    assert!(is_away(&store.atomically(vec![], count("n")).await));
    assert_eq!(front.log(), ["INCRBY", "EVAL"]);
    assert!(is_away(&store.run(get("n")).await));
    assert_eq!(front.log()[2..], ["GET", "GET"]);
    // What broke twice is left alone for a while.
    assert!(is_away(&store.run(get("n")).await));
    assert_eq!(front.exchanges(), 4);
    assert_eq!(store.commands().count(), 4);
    front.behaves(Manner::Works);
    assert_eq!(
        recovers(&store, &get("n")).await,
        [Reply::Value(Some("2".into()))]
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_is_not_noticed_by_who_reads() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = store(&front);
    store.run(count("n")).await.unwrap();
    front.behaves(Manner::Refuses);
    all_fail(&store, |error| matches!(error, StoreError::Away { .. })).await;
    front.behaves(Manner::Works);
    assert_eq!(
        recovers(&store, &get("n")).await,
        [Reply::Value(Some("1".into()))]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_starts_again_under_load_is_away_and_comes_back() {
    let mut server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let store = Arc::new(store(&front));
    let mut callers = JoinSet::new();
    for n in 0..20 {
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

#[tokio::test]
async fn a_caller_that_leaves_ends_its_exchange() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    front.behaves(Manner::Silent);
    let store = store(&front);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), store.run(get("k")))
            .await
            .is_err()
    );
    assert_eq!(store.commands().count(), 1, "it was sent all the same");
    front.behaves(Manner::Works);
    store.run(get("k")).await.unwrap();
}
