//! `/admin/refusals`: calls that reached no provider.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::bench::{Answer, Bench, NOW};
use crate::relay::refusal_writer;

/// A model call with this key.
async fn call(bench: &Bench, key: &str) -> Answer {
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": []});
    send(bench, key, &body.to_string()).await
}

async fn send(bench: &Bench, key: &str, body: &str) -> Answer {
    let request = Request::post("/api/v1/messages")
        .header("x-api-key", key)
        .header("content-length", body.len())
        .body(Body::from(body.to_owned()));
    bench.send(request.unwrap()).await
}

async fn made(bench: &Bench, fields: Value) -> (String, String) {
    let key = bench.post("/admin/api-keys", fields).await.is(201);
    (key.text("id"), key.text("key"))
}

async fn rows(bench: &Bench, query: &str) -> Vec<Value> {
    let list = bench.get(&format!("/admin/refusals{query}")).await.is(200).json;
    list["items"].as_array().unwrap().clone()
}

fn counts(rows: &[Value]) -> Vec<(Option<&str>, &str, u64)> {
    let count = |row: &Value| row["today"].as_u64().unwrap() + row["yesterday"].as_u64().unwrap();
    rows.iter()
        .map(|row| (row["keyName"].as_str(), row["code"].as_str().unwrap(), count(row)))
        .collect()
}

#[tokio::test]
async fn each_refusal_is_counted_by_key_and_code() {
    let bench = Bench::new().await;
    let (off, off_key) = made(&bench, json!({"name": "off", "isActive": false})).await;
    let (on, on_key) = made(&bench, json!({"name": "on"})).await;
    for _ in 0..2 {
        call(&bench, &off_key).await.is(401);
    }
    send(&bench, &on_key, "{").await.is(400);
    // There is no account.
    call(&bench, &on_key).await.is(503);
    call(&bench, "garbage").await.is(401);
    call(&bench, "other garbage").await.is(401);
    bench.clock.advance(Duration::from_secs(1));
    call(&bench, "").await.is(401);

    let all = rows(&bench, "").await;
    assert_eq!(all[0]["code"], "missing_key", "the last one first: {all:?}");
    let mut told = counts(&all);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (None, "missing_key", 1),
            (None, "unknown_key", 2),
            (Some("off"), "key_disabled", 2),
            (Some("on"), "invalid_body", 1),
            (Some("on"), "no_account", 1),
        ]
    );
    let of_off = rows(&bench, &format!("?keyId={off}")).await;
    assert_eq!(counts(&of_off), [(Some("off"), "key_disabled", 2)]);
    assert!(of_off[0]["lastRequestId"].as_str().unwrap().starts_with("req_"));
    assert!(of_off[0]["lastMessage"].as_str().unwrap().contains("disabled"));
    assert_eq!(of_off[0]["nextAllowedAt"], Value::Null);
    assert_eq!(rows(&bench, "?code=no_account").await.len(), 1);
    assert_eq!(
        rows(&bench, &format!("?keyId={on}&code=key_disabled"))
            .await
            .len(),
        0
    );
    assert_eq!(rows(&bench, "?pageSize=2&page=3").await.len(), 1);
    bench
        .get("/admin/refusals?pageSize=0")
        .await
        .refuses(422, "invalid_field", "pageSize");

    // The holder sees his own, without what others were told.
    let whose = json!({"apiKey": on_key});
    let stats = bench.post("/apiStats/api/user-stats", whose).await.is(200).json;
    let refusals = stats["data"]["now"]["refusals"].as_array().unwrap();
    let codes: Vec<_> = refusals.iter().map(|row| (&row["code"], &row["today"])).collect();
    assert_eq!(codes.len(), 2, "{refusals:?}");
    assert!(codes.contains(&(&json!("no_account"), &json!(1))), "{refusals:?}");
}

#[tokio::test]
async fn a_limit_tells_when_it_lifts() {
    let bench = Bench::new().await;
    let (_, key) = made(
        &bench,
        json!({"name": "k", "rateLimitWindow": 60, "rateLimitRequests": 1}),
    )
    .await;
    call(&bench, &key).await.is(503);
    call(&bench, &key).await.is(429);
    let rows_ = rows(&bench, "?code=rate_limited").await;
    assert_eq!(rows_[0]["nextAllowedAt"], "2025-11-24T17:00:00.000Z", "{rows_:?}");
    bench.clock.advance(Duration::from_hours(2));
    let rows_ = rows(&bench, "?code=rate_limited").await;
    assert_eq!(rows_[0]["nextAllowedAt"], Value::Null);
}

#[tokio::test]
async fn refusing_asks_the_store_nothing_and_a_batch_is_written_once() {
    let bench = Bench::new().await;
    let (_, key) = made(&bench, json!({"name": "off", "isActive": false})).await;
    // The gate learns the key.
    call(&bench, &key).await.is(401);
    let before = bench.store.calls.load(Ordering::SeqCst);
    for _ in 0..500 {
        call(&bench, &key).await.is(401);
        call(&bench, "garbage").await.is(401);
    }
    assert_eq!(
        bench.store.calls.load(Ordering::SeqCst),
        before,
        "no message a call"
    );
    // The store is there, and its answer is lost.
    bench.store.lose_answer.store(true, Ordering::SeqCst);
    assert!(refusal_writer::write(&bench.app).await.is_err());
    call(&bench, &key).await.is(401);
    refusal_writer::write(&bench.app).await.unwrap();
    let calls = bench.store.calls.load(Ordering::SeqCst) - before;
    assert_eq!(calls, 6, "three tries, each the ids and the counts");
    let mut all = rows(&bench, "").await;
    all.sort_by_key(|row| row["code"].to_string());
    assert_eq!(
        counts(&all),
        [(Some("off"), "key_disabled", 502), (None, "unknown_key", 500)]
    );
}

#[tokio::test]
async fn counts_wait_while_the_store_is_away_and_go_after_two_days() {
    let bench = Bench::new().await;
    call(&bench, "garbage").await.is(401);
    bench.store.away.store(true, Ordering::SeqCst);
    assert!(refusal_writer::write(&bench.app).await.is_err());
    call(&bench, "garbage").await.is(401);
    bench.store.away.store(false, Ordering::SeqCst);
    assert_eq!(rows(&bench, "").await[0]["today"], 2);
    // The operator's midnight.
    bench.clock.advance(Duration::from_hours(24));
    let yesterday = rows(&bench, "").await;
    assert_eq!(
        (&yesterday[0]["today"], &yesterday[0]["yesterday"]),
        (&json!(0), &json!(2))
    );
    bench.clock.advance(Duration::from_hours(24));
    assert_eq!(rows(&bench, "").await.len(), 0);
    assert!(bench.app.ports.clock.now() > NOW);
}

/// Lets the tasks run that requests left behind.
async fn others_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_nothing_runs_between_requests_one_of_them_leaves_a_task_that_writes() {
    let bench = Bench::on_the_edge().await;
    let calls = || bench.store.calls.load(Ordering::SeqCst);
    let today = async || {
        let rows = bench
            .app
            .refusals
            .rows(bench.app.ports.clock.now())
            .await
            .unwrap();
        rows.iter().map(|row| row.today).sum::<u64>()
    };
    let (_, key) = made(&bench, json!({"name": "off", "isActive": false})).await;
    // The gate learns the key.
    call(&bench, &key).await.is(401);
    others_run().await;
    bench.clock.advance(refusal_writer::WRITE_EVERY);
    others_run().await;
    assert_eq!(today().await, 1);
    // A flood of garbage costs nothing, however long it lasts.
    let before = calls();
    for number in 0..30 {
        call(&bench, &format!("cr_{number:064x}")).await.is(401);
    }
    for _ in 0..20 {
        call(&bench, "garbage").await.is(401);
    }
    others_run().await;
    bench.clock.advance(Duration::from_mins(1));
    others_run().await;
    assert_eq!(calls(), before);
    for _ in 0..50 {
        call(&bench, &key).await.is(401);
    }
    others_run().await;
    bench
        .clock
        .advance(refusal_writer::WRITE_EVERY.saturating_sub(Duration::from_millis(1)));
    others_run().await;
    assert_eq!(calls(), before);
    bench.clock.advance(Duration::from_millis(1));
    others_run().await;
    assert_eq!(calls() - before, 2, "one batch: the ids and the counts");
    assert_eq!(today().await, 101, "the garbage is counted, too");
    // The next one leaves a task again.
    call(&bench, &key).await.is(401);
    others_run().await;
    bench.clock.advance(refusal_writer::WRITE_EVERY);
    others_run().await;
    assert_eq!(today().await, 102);
}
