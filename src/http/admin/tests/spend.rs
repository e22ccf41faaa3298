//! Spending of keys: shown, and reset.

use std::sync::Arc;

use crs_durable::CallId;
use crs_durable::gate::{self, Estimate, Limit, MoneyLimit, Refusal, Reply, SeedSpend, Usage};
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::port::gates::{Gates as _, KeyHash};
use crate::relay::admit::spent_before;

async fn made(bench: &Bench, body: Value) -> Value {
    bench.post("/admin/api-keys", body).await.is(201).json
}

fn path(key: &Value) -> String {
    format!("/admin/api-keys/{}", key["id"].as_str().unwrap())
}

fn hash(bench: &Bench, key: &Value) -> KeyHash {
    bench.app.keyring.recognise(key["key"].as_str().unwrap()).unwrap()
}

async fn tell(bench: &Bench, key: &Value, command: gate::Command) -> Reply {
    bench.gates.gate(&hash(bench, key), command).await.unwrap()
}

/// A call of 100 tokens that may cost 1.50 USD.
async fn begin(bench: &Bench, key: &Value, call: u128) -> Reply {
    let admit = gate::Command::Admit(gate::Admit {
        call: CallId(call),
        service: gate::Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: Some(Estimate {
            tokens: 100,
            cost: 1_500_000,
        }),
        ttl_ms: 60_000,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    });
    tell(bench, key, admit).await
}

async fn end(bench: &Bench, key: &Value, call: u128, tokens: u64, cost: u64) {
    let settle = gate::Command::Settle {
        call: CallId(call),
        event: None,
        usage: Some(Usage {
            tokens,
            cost,
            opus: false,
        }),
    };
    tell(bench, key, settle).await;
}

#[tokio::test]
async fn shows_what_runs_and_what_was_spent() {
    let bench = Bench::new().await;
    let key = made(
        &bench,
        json!({"name": "x", "rateLimitWindow": 60, "rateLimitRequests": 5, "dailyCostLimit": 10}),
    )
    .await;
    assert_eq!(key["spend"], Value::Null, "the gate does not know yet");
    assert_eq!(begin(&bench, &key, 1).await, Reply::NeedSpend);
    tell(&bench, &key, gate::Command::SeedSpend(SeedSpend::default())).await;
    assert!(matches!(begin(&bench, &key, 1).await, Reply::Granted { .. }));
    let shown = bench.get(&path(&key)).await.is(200).json;
    assert_eq!(
        (&shown["currentConcurrency"], &shown["queued"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        shown["window"],
        json!({
            "start": "2025-11-24T16:00:00.000Z", "end": "2025-11-24T17:00:00.000Z",
            "requests": 1, "tokens": 0, "cost": 0.0, "reserved": {"tokens": 100, "cost": 1.5},
        })
    );
    // At `NOW` a day of the operator's begins.
    assert_eq!(
        shown["spend"]["day"],
        json!({"spent": 0.0, "reserved": 1.5, "resetsAt": "2025-11-25T16:00:00.000Z"})
    );
    end(&bench, &key, 1, 80, 250_000).await;
    let shown = bench.get("/admin/api-keys").await.is(200).json["items"][0].clone();
    assert_eq!(
        (&shown["window"]["tokens"], &shown["window"]["cost"]),
        (&json!(80), &json!(0.25))
    );
    assert_eq!(
        shown["spend"]["total"],
        json!({"spent": 0.25, "reserved": 0.0, "resetsAt": null})
    );
    bench.gates.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let away = bench.get(&path(&key)).await.is(200).json;
    for field in ["currentConcurrency", "queued", "window", "spend"] {
        assert_eq!(away[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn what_was_spent_can_be_forgiven() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x", "dailyCostLimit": 10})).await;
    let event = LedgerEvent {
        request_id: format!("req_{:032x}", (u128::from(NOW) << 80) | 1),
        at: NOW,
        key_id: key["id"].as_str().unwrap().to_owned(),
        key_name: "x".to_owned(),
        account_id: "a".to_owned(),
        account_name: "a".to_owned(),
        platform: Platform::Claude,
        endpoint: "messages".to_owned(),
        model: "claude-opus-4-1".to_owned(),
        stream: false,
        status: 200,
        error: None,
        detail: None,
        tokens: Tokens::default(),
        cost: MicroUsd(2_000_000),
        charges: Vec::new(),
        price_version: "test".to_owned(),
        quality: Quality::Exact,
        first_byte_ms: None,
        duration_ms: 1,
        attempts: 1,
        client: String::new(),
        session: None,
        trace: None,
    };
    bench.app.ledger.append("b1", &[event], NOW).await.unwrap();
    let reset = |which: &'static str| {
        let (bench, path) = (bench.clone(), format!("{}/reset-limits", path(&key)));
        async move { bench.post(&path, json!({ "which": which })).await }
    };
    // The gate has not heard of the ledger: it is told first, so that the rest stays.
    let spend = reset("day").await.is(200).json["spend"].clone();
    let spent = |spend: &Value| {
        json!(["day", "week", "weekOpus", "month", "total"].map(|period| spend[period]["spent"].clone()))
    };
    assert_eq!(spent(&spend), json!([0.0, 2.0, 2.0, 2.0, 2.0]));
    let spend = reset("weekOpus").await.is(200).json["spend"].clone();
    assert_eq!(spent(&spend), json!([0.0, 2.0, 0.0, 2.0, 2.0]));
    let spend = reset("month").await.is(200).json["spend"].clone();
    assert_eq!(spent(&spend), json!([0.0, 2.0, 0.0, 0.0, 2.0]));
    let spend = reset("all").await.is(200).json["spend"].clone();
    assert_eq!(spent(&spend), json!([0.0, 0.0, 0.0, 0.0, 0.0]));

    let unknown = reset("year").await.refuses(422, "invalid_field", "which");
    let says = unknown.text("message");
    assert!(
        says.contains("`window`, `day`") && says.contains("`month`"),
        "{says}"
    );
    let address = format!("{}/reset-limits", path(&key));
    bench
        .post(&address, json!({}))
        .await
        .refuses(422, "missing_field", "which");
    bench
        .post("/admin/api-keys/nope/reset-limits", json!({"which": "all"}))
        .await
        .is(404);
    bench.delete(&path(&key)).await.is(200);
    reset("all").await.is(409);
}

#[tokio::test]
async fn a_month_refuses_until_it_is_over() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x", "monthlyCostLimit": 3})).await;
    let record = bench.app.keys.get(key["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(begin(&bench, &key, 1).await, Reply::NeedSpend);
    let spent = spent_before(&bench.app, &record.unwrap()).await.unwrap();
    tell(&bench, &key, gate::Command::SeedSpend(spent)).await;
    assert!(matches!(begin(&bench, &key, 1).await, Reply::Granted { .. }));
    end(&bench, &key, 1, 80, 3_000_000).await;
    // The operator's 1 December.
    let december = 1_764_518_400_000;
    let refused = begin(&bench, &key, 2).await;
    let Reply::Refused(Refusal::LimitReached(reached)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reached.which, Limit::Money(MoneyLimit::Month));
    assert_eq!(reached.resets_at, Some(december));
    bench.clock.jump(december - 1);
    assert!(matches!(begin(&bench, &key, 3).await, Reply::Refused(_)));
    bench.clock.jump(december);
    assert!(matches!(begin(&bench, &key, 4).await, Reply::Granted { .. }));
    let shown = bench.get(&path(&key)).await.is(200).json;
    assert_eq!(
        shown["spend"]["month"],
        json!({"spent": 0.0, "reserved": 1.5, "resetsAt": "2025-12-31T16:00:00.000Z"})
    );
}

#[tokio::test]
async fn a_window_can_be_begun_anew() {
    let bench = Bench::new().await;
    let key = made(
        &bench,
        json!({"name": "x", "rateLimitWindow": 60, "rateLimitRequests": 1}),
    )
    .await;
    assert!(matches!(begin(&bench, &key, 1).await, Reply::Granted { .. }));
    assert!(matches!(begin(&bench, &key, 2).await, Reply::Refused(_)));
    let address = format!("{}/reset-limits", path(&key));
    let reset = bench
        .post(&address, json!({"which": "window"}))
        .await
        .is(200)
        .json;
    assert_eq!(reset["window"], Value::Null);
    assert!(matches!(begin(&bench, &key, 2).await, Reply::Granted { .. }));
}

#[tokio::test]
async fn a_keys_time_begins_with_its_first_use_and_can_begin_anew() {
    let bench = Bench::new().await;
    let key = made(
        &bench,
        json!({"name": "x", "expirationMode": "activation", "activationDays": 2, "activationUnit": "hours"}),
    )
    .await;
    assert_eq!(
        (&key["activatedAt"], &key["expiresAt"]),
        (&Value::Null, &Value::Null)
    );
    let Reply::Granted {
        activated_at: Some(at),
        ..
    } = begin(&bench, &key, 1).await
    else {
        panic!("it was not activated");
    };
    // The gate knows first.
    let shown = bench.get(&path(&key)).await.json;
    assert_eq!(shown["activatedAt"], "2025-11-24T16:00:00.000Z");
    assert_eq!(shown["expiresAt"], "2025-11-24T18:00:00.000Z");
    // Then the record, of which the gate is told.
    let id = key["id"].as_str().unwrap();
    let kept = bench
        .app
        .keys
        .update(id, NOW, |key| key.activated_at = Some(at))
        .await;
    kept.unwrap();
    let record = bench.app.keys.get(id).await.unwrap().unwrap();
    let policy = Some(Arc::new(record.policy(480)));
    tell(&bench, &key, gate::Command::Learn { policy }).await;
    bench.clock.jump(NOW + 3 * 3_600_000);
    assert_eq!(bench.get(&path(&key)).await.json["status"], "expired");
    assert!(matches!(begin(&bench, &key, 2).await, Reply::Refused(_)));

    let anew = bench
        .patch(&path(&key), json!({"activatedAt": null}))
        .await
        .is(200)
        .json;
    assert_eq!(
        (&anew["activatedAt"], &anew["status"]),
        (&Value::Null, &json!("active"))
    );
    assert!(matches!(begin(&bench, &key, 3).await, Reply::Granted { .. }));
    assert_eq!(
        bench.get(&path(&key)).await.json["expiresAt"],
        "2025-11-24T21:00:00.000Z"
    );
}
