//! Health while the store takes no writes, and how long calls wait to be written.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::bench::{Bench, NOW};
use super::usage::{account, event, key};
use crate::model::time::iso;
use crate::port::gates::KeyHash;
use crate::relay::ledger_writer;
use crate::state::outbox::CAPACITY;

const KEY: KeyHash = KeyHash([7; 32]);

async fn health(bench: &Bench) -> Value {
    bench.raw("GET", "/health", None, "").await.is(200).json
}

/// The value of a metric.
async fn metric(bench: &Bench, name: &str) -> usize {
    let local = crate::http::extract::FromThisMachine::in_process();
    let request = Request::get("/metrics")
        .extension(local)
        .body(Body::empty())
        .unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    let text = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

/// The default of `LEDGER_FLUSH_INTERVAL`.
const WINDOW: Duration = Duration::from_millis(100);

/// Lets everything run that needs no time to pass.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// The ledger's writer, as a native host runs it.
fn writer(bench: &Bench) {
    #[expect(clippy::disallowed_methods, reason = "this is the test's host")]
    drop(tokio::spawn(ledger_writer::run(bench.app.clone())));
}

async fn written(bench: &Bench) -> usize {
    let listed = bench.get("/admin/requests").await.is(200).json;
    listed["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_with_what_waits() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    writer(&bench);
    let well = health(&bench).await;
    assert_eq!(well["status"], "healthy");
    assert_eq!(well["components"]["store"]["refusingSince"], Value::Null);
    assert_eq!(well["components"]["ledger"]["capacity"], CAPACITY);

    bench.store.full.store(true, Ordering::SeqCst);
    for number in 0..3 {
        bench.app.outbox.push(KEY, event(NOW, number, &key, &account));
    }
    settle().await;
    // Before their window ends, nothing was written.
    bench.clock.advance(WINDOW);
    settle().await;
    bench.clock.advance(Duration::from_secs(90));
    settle().await;
    let ill = health(&bench).await;
    assert_eq!(ill["status"], "degraded", "{ill}");
    let store = &ill["components"]["store"];
    assert_eq!(store["status"], "refusing", "it can still be read");
    assert_eq!(store["refusingSince"], iso(NOW + WINDOW.as_millis() as u64));
    let ledger = &ill["components"]["ledger"];
    assert_eq!((&ledger["pending"], &ledger["lost"]), (&json!(3), &json!(0)));
    assert!(ledger["pendingBytes"].as_u64() > Some(600), "{ledger}");
    assert_eq!(metric(&bench, "crs_ledger_pending").await, 3);
    assert_eq!(metric(&bench, "crs_ledger_capacity").await, CAPACITY);
    assert_eq!(metric(&bench, "crs_store_refusing_seconds").await, 90);

    bench.store.full.store(false, Ordering::SeqCst);
    // The longest pause between two tries.
    bench.clock.advance(Duration::from_secs(10));
    settle().await;
    let well = health(&bench).await;
    assert_eq!(well["status"], "healthy", "{well}");
    assert_eq!(well["components"]["ledger"]["pending"], 0);
    assert_eq!(well["components"]["ledger"]["pendingBytes"], 0);
    assert_eq!(metric(&bench, "crs_store_refusing_seconds").await, 0);
    assert_eq!(written(&bench).await, 3);
}

#[tokio::test]
async fn what_there_is_room_for_is_kept_and_the_oldest_go_first() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    let one = event(NOW, 1, &key, &account);
    for _ in 0..CAPACITY {
        bench.app.outbox.push(KEY, one.clone());
    }
    let full = bench.app.outbox.waiting();
    assert_eq!((full.events, bench.app.outbox.lost()), (CAPACITY, 0));
    bench.app.outbox.push(KEY, one.clone());
    assert_eq!(bench.app.outbox.waiting(), full);
    assert_eq!(bench.app.outbox.lost(), 1);
    assert_eq!(health(&bench).await["components"]["ledger"]["lost"], 1);
}

#[tokio::test]
async fn a_call_waits_for_others_as_long_as_it_is_set_and_no_longer() {
    let bench = Bench::with(&[("LEDGER_FLUSH_INTERVAL", "250")]).await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    writer(&bench);
    let push = |number| bench.app.outbox.push(KEY, event(NOW, number, &key, &account));
    push(1);
    settle().await;
    bench.clock.advance(Duration::from_millis(100));
    push(2);
    settle().await;
    bench.clock.advance(Duration::from_millis(149));
    settle().await;
    assert_eq!(written(&bench).await, 0, "also one that is alone waits");
    bench.clock.advance(Duration::from_millis(1));
    settle().await;
    assert_eq!(written(&bench).await, 2);
    push(3);
    settle().await;
    assert_eq!(written(&bench).await, 2, "the next has a window of its own");
    bench.clock.advance(Duration::from_millis(250));
    settle().await;
    assert_eq!(written(&bench).await, 3);
    // Whoever ends the process does not wait for the interval.
    push(4);
    settle().await;
    bench.app.outbox.close();
    settle().await;
    assert_eq!(written(&bench).await, 4);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_too() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "k").await, account(&bench, "a").await);
    // It hangs: the batch is under way for ever.
    bench.app.outbox.push(KEY, event(NOW, 1, &key, &account));
    let mut writing = Box::pin(ledger_writer::flush(&bench.app));
    assert!(futures_util::poll!(&mut writing).is_pending());
    assert_eq!(bench.app.outbox.failing_since(NOW + 5_000), None);
    assert_eq!(bench.app.outbox.failing_since(NOW + 5_001), Some(NOW));
    writing.await;
    assert_eq!(bench.app.outbox.failing_since(NOW + 99_000), None);
}
