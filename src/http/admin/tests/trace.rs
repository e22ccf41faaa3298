//! How a call was served: in its log, and in the headers of a client that may know.

use axum::http::Request;
use serde_json::{Value, json};

use super::bench::{Answer, Bench};
use super::usage::account;
use crate::relay::ledger_writer;

async fn call(bench: &Bench, key: &str, asks: bool) -> Answer {
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 1, "messages": []});
    let mut request = Request::post("/api/v1/messages")
        .header("x-api-key", key)
        .header("x-claude-code-session-id", "one-conversation");
    if asks {
        request = request.header("x-relay-trace", "1");
    }
    bench.send(request.body(body.to_string().into()).unwrap()).await
}

fn answers(bench: &Bench, read: u64) {
    let usage = json!({"input_tokens": 100 - read, "output_tokens": 5, "cache_read_input_tokens": read});
    let body = json!({"type": "message", "model": "claude-sonnet-4-5", "content": [], "usage": usage});
    bench.provider.answers(200, &[], &body);
}

async fn trace(bench: &Bench, answer: &Answer) -> Value {
    ledger_writer::flush(&bench.app).await;
    let id = &answer.headers["x-request-id"];
    let shown = bench.get(&format!("/admin/requests/{id}")).await.is(200).json;
    assert!(shown["priceVersion"].is_string());
    assert_eq!(shown["costs"]["asCharged"], true, "{shown}");
    shown["trace"].clone()
}

#[tokio::test]
async fn a_call_tells_who_was_asked_and_why_others_were_not() {
    let bench = Bench::new().await;
    let (first, second) = (account(&bench, "first é").await, account(&bench, "second").await);
    let paused = account(&bench, "paused").await;
    let path = |account: &Value| format!("/admin/accounts/{}", account["id"].as_str().unwrap());
    bench
        .patch(&path(&paused), json!({"isActive": false}))
        .await
        .is(200);
    bench.patch(&path(&first), json!({"priority": 1})).await.is(200);
    let created = bench.post("/admin/api-keys", json!({"name": "k"})).await.is(201);
    let (id, key) = (created.text("id"), created.text("key"));

    // The first account is limited, the second one serves.
    bench.provider.answers(
        429,
        &[],
        &json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}),
    );
    answers(&bench, 20);
    let answer = call(&bench, &key, true).await.is(200);
    let told = answer
        .headers
        .keys()
        .filter(|name| name.starts_with("x-relay-") || name.starts_with("x-queue"));
    assert_eq!(told.count(), 0, "this key may not know");
    let trace_1 = trace(&bench, &answer).await;
    assert_eq!(trace_1["session"], "header");
    assert_eq!(
        (&trace_1["sticky"], &trace_1["waitedMs"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(trace_1["cacheReadShare"], 0.2);
    assert_eq!(trace_1["previousCacheReadShare"], Value::Null);
    let attempts = trace_1["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (&attempts[0]["accountId"], &attempts[0]["accountName"]),
        (&first["id"], &json!("first é"))
    );
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["error"]),
        (&json!(429), &json!("accounts_limited"))
    );
    assert_eq!(attempts[0]["candidates"], 2);
    assert_eq!(attempts[0]["ranked"], json!(["first é", "second"]));
    assert_eq!(
        attempts[0]["skipped"],
        json!([{"account": "paused", "why": "inactive", "code": "inactive"}])
    );
    let figures = &attempts[0]["figures"];
    assert_eq!(
        (&figures[0]["priority"], &figures[1]["priority"]),
        (&json!(1), &json!(50)),
        "in the order of `ranked`"
    );
    assert_eq!(
        (&figures[0]["held"], &figures[0]["backedOff"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        (&attempts[1]["accountId"], &attempts[1]["status"]),
        (&second["id"], &json!(200))
    );
    assert_eq!(attempts[1]["error"], Value::Null);

    // The list does without.
    let listed = bench.get("/admin/requests").await.is(200).json;
    assert_eq!(listed["items"][0]["attempts"], 2);
    assert!(listed["items"][0].get("trace").is_none());

    // The next call of the conversation stays, and its key may know now.
    let allow = |key: &mut crate::model::key::Key| key.allow_trace = true;
    bench
        .app
        .keys
        .update(&id, super::bench::NOW, allow)
        .await
        .unwrap();
    let hash = bench.app.keyring.recognise(&key).unwrap();
    let invalidate = crs_durable::gate::Command::Invalidate;
    bench.app.ports.gates.gate(&hash, invalidate).await.unwrap();
    answers(&bench, 90);
    let answer = call(&bench, &key, true).await.is(200);
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    assert_eq!(header("x-relay-account"), Some("second"));
    assert_eq!(
        (header("x-relay-attempts"), header("x-relay-sticky")),
        (Some("1"), Some("true"))
    );
    assert_eq!(header("x-relay-waited-ms"), Some("0"));
    assert!(header("x-relay-skipped").unwrap().contains("paused=inactive"));
    let trace_2 = trace(&bench, &answer).await;
    assert_eq!(
        (&trace_2["sticky"], &trace_2["previousCacheReadShare"]),
        (&json!(true), &json!(0.2))
    );
    answers(&bench, 90);
    let silent = call(&bench, &key, false).await.is(200);
    assert!(!silent.headers.contains_key("x-relay-account"));
}
