//! The limits of keys: taken and refused, shown live, forgiven.

use std::sync::Arc;

use crs_durable::CallId;
use crs_durable::gate::{self, Estimate, Reply, SeedSpend, Usage};
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::model::account::Platform;
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::port::gates::{Gates as _, KeyHash};

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
async fn every_limit_goes_in_and_comes_back() {
    let bench = Bench::new().await;
    let limits = json!({
        "rateLimitWindow": 60, "rateLimitRequests": 100, "rateLimitCost": 0.25, "tokenLimit": 5_000_000_000_u64,
        "dailyCostLimit": 10.5, "weeklyCostLimit": 19.999_999, "weeklyOpusCostLimit": 0.000_001,
        "totalCostLimit": 1000.0, "weeklyResetDay": 7, "weeklyResetHour": 23,
        "expirationMode": "activation", "activationDays": 36, "activationUnit": "hours",
        "enableClientRestriction": true, "allowedClients": ["claude_code", "codex_cli"],
        "enableModelRestriction": true, "restrictedModels": ["m"], "modelRestrictionMode": "allow",
        "concurrencyLimit": 2, "concurrencyQueueSize": 10, "concurrencyQueueTimeout": 30_000,
        "bindingFallback": true, "allowTrace": true,
    });
    let mut body = limits.clone();
    body["name"] = json!("x");
    let key = made(&bench, body).await;
    let shown = bench.get(&path(&key)).await.is(200).json;
    for (field, value) in limits.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    let record = bench
        .app
        .keys
        .get(key["id"].as_str().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            record.daily_cost_limit,
            record.weekly_cost_limit,
            record.weekly_opus_cost_limit
        ),
        (10_500_000, 19_999_999, 1)
    );

    // What may be empty is cleared by null, and all else stays.
    let cleared = [
        ("rateLimitRequests", json!(0)),
        ("rateLimitCost", json!(0.0)),
        ("tokenLimit", json!(0)),
        ("rateLimitWindow", json!(0)),
        ("dailyCostLimit", json!(0.0)),
        ("weeklyCostLimit", json!(0.0)),
        ("weeklyOpusCostLimit", json!(0.0)),
        ("totalCostLimit", json!(0.0)),
        ("expirationMode", json!("fixed")),
        ("activationDays", json!(0)),
        ("activationUnit", json!("days")),
        ("modelRestrictionMode", json!("deny")),
        ("concurrencyQueueSize", json!(0)),
        ("concurrencyQueueTimeout", json!(0)),
    ];
    let mut expected = shown.clone();
    for (field, value) in cleared {
        expected[field] = value;
        let changed = bench.patch(&path(&key), json!({field: null})).await.is(200).json;
        assert_eq!(changed, expected, "{field}");
    }
}

#[tokio::test]
async fn a_new_key_has_no_limits() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x"})).await;
    for field in [
        "rateLimitWindow",
        "rateLimitRequests",
        "tokenLimit",
        "concurrencyQueueSize",
    ] {
        assert_eq!(key[field], 0, "{field}");
    }
    for field in [
        "rateLimitCost",
        "dailyCostLimit",
        "weeklyCostLimit",
        "totalCostLimit",
    ] {
        assert_eq!(key[field], 0.0, "{field}");
    }
    assert_eq!(
        (&key["weeklyResetDay"], &key["weeklyResetHour"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        (&key["expirationMode"], &key["bindings"]),
        (&json!("fixed"), &json!({}))
    );
    assert_eq!((&key["queued"], &key["window"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn a_limit_that_cannot_work_is_refused_with_the_reason() {
    let bench = Bench::new().await;
    for (body, field, says) in [
        (
            json!({"rateLimitRequests": 5}),
            "rateLimitRequests",
            "set `rateLimitWindow` too",
        ),
        (
            json!({"rateLimitCost": 5}),
            "rateLimitCost",
            "set `rateLimitWindow` too",
        ),
        (
            json!({"tokenLimit": 5, "rateLimitWindow": 0}),
            "rateLimitWindow",
            "`tokenLimit` is counted over",
        ),
        (
            json!({"expirationMode": "activation"}),
            "activationDays",
            "must be 1 or more",
        ),
        (
            json!({"expirationMode": "activation", "activationDays": 3, "expiresAt": "2027-01-01"}),
            "expiresAt",
            "send null for it",
        ),
        (json!({"activationDays": 30}), "activationDays", "send that too"),
        (
            json!({"concurrencyLimit": 1, "concurrencyQueueSize": 5}),
            "concurrencyQueueTimeout",
            "in milliseconds",
        ),
        (
            json!({"concurrencyQueueSize": 5, "concurrencyQueueTimeout": 5}),
            "concurrencyQueueSize",
            "without a `concurrencyLimit`",
        ),
        (
            json!({"enableClientRestriction": true}),
            "allowedClients",
            "claude_code, gemini_cli, codex_cli, droid_cli",
        ),
        (
            json!({"enableModelRestriction": true, "modelRestrictionMode": "allow"}),
            "restrictedModels",
            "no model could be used",
        ),
    ] {
        let mut body = body;
        body["name"] = json!("x");
        let answer = bench.post("/admin/api-keys", body).await;
        let answer = answer.refuses(422, "invalid_field", field);
        assert!(answer.text("message").contains(says), "{:?}", answer.json);
    }
    assert_eq!(bench.get("/admin/api-keys").await.json["total"], 0);

    // So is a change that leads there; and it changes nothing.
    let key = made(
        &bench,
        json!({"name": "x", "rateLimitWindow": 5, "rateLimitRequests": 1}),
    )
    .await;
    let before = bench.get(&path(&key)).await.json;
    bench
        .patch(&path(&key), json!({"name": "y", "rateLimitWindow": null}))
        .await
        .refuses(422, "invalid_field", "rateLimitWindow");
    assert_eq!(bench.get(&path(&key)).await.json, before);
    bench
        .patch(
            &path(&key),
            json!({"rateLimitWindow": null, "rateLimitRequests": null}),
        )
        .await
        .is(200);
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused_by_name() {
    let bench = Bench::new().await;
    for (field, value, says) in [
        ("dailyCostLimit", json!(-1), "USD as a number from 0"),
        ("dailyCostLimit", json!("10"), "USD as a number from 0"),
        ("totalCostLimit", json!(0.000_000_1), "at most 6 decimals"),
        ("rateLimitCost", json!(1e10), "USD as a number from 0"),
        ("rateLimitWindow", json!(525_601), "from 0 to 525600"),
        ("rateLimitRequests", json!(1.5), "a whole number"),
        ("tokenLimit", json!(-1), "a whole number"),
        ("weeklyResetDay", json!(0), "from 1 to 7"),
        ("weeklyResetDay", json!(8), "from 1 to 7"),
        ("weeklyResetHour", json!(24), "from 0 to 23"),
        ("expirationMode", json!("never"), "`fixed` or `activation`"),
        ("activationUnit", json!("weeks"), "`days` or `hours`"),
        ("activationDays", json!(40_000), "from 0 to 36500"),
        ("activatedAt", json!("2026-01-01"), "can only be cleared"),
        ("allowedClients", json!(["cursor"]), "claude_code, gemini_cli"),
        ("modelRestrictionMode", json!("only"), "`deny` or `allow`"),
        ("concurrencyQueueSize", json!(1001), "from 0 to 1000"),
        ("concurrencyQueueTimeout", json!(300_001), "from 0 to 300000"),
        ("allowTrace", json!("yes"), "true or false"),
    ] {
        let body = json!({"name": "x", field: value});
        let answer = bench.post("/admin/api-keys", body).await;
        let answer = answer.refuses(422, "invalid_field", field);
        assert!(answer.text("message").contains(says), "{:?}", answer.json);
    }
}

#[tokio::test]
async fn bindings_are_to_what_is_there() {
    let bench = Bench::new().await;
    let account = bench
        .post(
            "/admin/accounts",
            json!({"name": "a", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}}),
        )
        .await
        .is(201)
        .text("id");
    let group = |platform: &'static str| {
        let bench = bench.clone();
        async move {
            let body = json!({"name": platform, "platform": platform});
            let made = bench.post("/admin/account-groups", body).await.is(201);
            format!("group:{}", made.text("id"))
        }
    };
    let (ours, theirs) = (group("claude").await, group("gemini").await);
    let key = made(
        &bench,
        json!({"name": "x", "bindings": {"claude": account, "gemini": theirs}}),
    )
    .await;
    assert_eq!(key["bindings"], json!({"claude": account, "gemini": theirs}));
    for (body, bindings) in [
        (
            json!({"claudeAccountId": ours}),
            json!({"claude": ours, "gemini": theirs}),
        ),
        (json!({"geminiAccountId": ""}), json!({"claude": ours})),
        (json!({"claudeAccountId": null}), json!({})),
        (
            json!({"bindings": {"claude": account}}),
            json!({"claude": account}),
        ),
        (
            json!({"bindings": {}, "geminiAccountId": theirs}),
            json!({"gemini": theirs}),
        ),
        (json!({"bindings": null}), json!({})),
    ] {
        let changed = bench.patch(&path(&key), body).await.is(200).json;
        assert_eq!(changed["bindings"], bindings);
    }
    for (body, field, says) in [
        (
            json!({"bindings": {"claude": "nope"}}),
            "bindings.claude",
            "names no account that is there",
        ),
        (
            json!({"bindings": {"claude": "group:nope"}}),
            "bindings.claude",
            "names no group that is there",
        ),
        (
            json!({"bindings": {"gemini": account}}),
            "bindings.gemini",
            "an account of the platform claude",
        ),
        (
            json!({"claudeAccountId": theirs}),
            "claudeAccountId",
            "a group of the platform gemini",
        ),
        (
            json!({"bindings": {"claude": account}, "claudeAccountId": account}),
            "claudeAccountId",
            "send one of them",
        ),
    ] {
        let answer = bench.patch(&path(&key), body).await;
        let answer = answer.refuses(422, "invalid_field", field);
        assert!(answer.text("message").contains(says), "{:?}", answer.json);
    }
    bench
        .patch(&path(&key), json!({"bindings": {"droid": account}}))
        .await
        .is(422);
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
        cost: 2_000_000,
        price_version: "test".to_owned(),
        quality: Quality::Exact,
        first_byte_ms: None,
        duration_ms: 1,
        attempts: 1,
        client: String::new(),
    };
    bench.app.ledger.append("b1", &[event], NOW).await.unwrap();
    let reset = |which: &'static str| {
        let (bench, path) = (bench.clone(), format!("{}/reset-limits", path(&key)));
        async move { bench.post(&path, json!({ "which": which })).await }
    };
    // The gate has not heard of the ledger: it is told first, so that the rest stays.
    let spend = reset("day").await.is(200).json["spend"].clone();
    let spent = |spend: &Value| {
        json!(["day", "week", "weekOpus", "total"].map(|period| spend[period]["spent"].clone()))
    };
    assert_eq!(spent(&spend), json!([0.0, 2.0, 2.0, 2.0]));
    let spend = reset("weekOpus").await.is(200).json["spend"].clone();
    assert_eq!(spent(&spend), json!([0.0, 2.0, 0.0, 2.0]));
    let spend = reset("all").await.is(200).json["spend"].clone();
    assert_eq!(spent(&spend), json!([0.0, 0.0, 0.0, 0.0]));

    reset("month").await.refuses(422, "invalid_field", "which");
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
