//! The limits of keys: taken, shown, and refused.

use crs_durable::gate::{MoneyLimit, PerLimit};
use serde_json::{Value, json};

use super::bench::{Bench, LOCAL};

async fn made(bench: &Bench, body: Value) -> Value {
    bench.post("/admin/api-keys", body).await.is(201).json
}

fn path(key: &Value) -> String {
    format!("/admin/api-keys/{}", key["id"].as_str().unwrap())
}

#[tokio::test]
async fn every_limit_goes_in_and_comes_back() {
    let bench = Bench::new().await;
    let limits = json!({
        "rateLimitWindow": 60, "rateLimitRequests": 100, "rateLimitCost": 0.25, "tokenLimit": 5_000_000_000_u64,
        "dailyCostLimit": 10.5, "weeklyCostLimit": 19.999_999, "weeklyOpusCostLimit": 0.000_001,
        "monthlyCostLimit": 60.25, "totalCostLimit": 1000.0, "weeklyResetDay": 7, "weeklyResetHour": 23,
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
    let stored = record.money.map(|_, most| most.0);
    let expected = [
        (MoneyLimit::Day, 10_500_000),
        (MoneyLimit::Week, 19_999_999),
        (MoneyLimit::WeekOpus, 1),
        (MoneyLimit::Month, 60_250_000),
        (MoneyLimit::Total, 1_000_000_000),
    ];
    assert_eq!(stored, PerLimit::these(expected));

    // What may be empty is cleared by null, and all else stays.
    let cleared = [
        ("rateLimitRequests", json!(0)),
        ("rateLimitCost", json!(0.0)),
        ("tokenLimit", json!(0)),
        ("rateLimitWindow", json!(0)),
        ("expirationMode", json!("fixed")),
        ("activationDays", json!(0)),
        ("activationUnit", json!("days")),
        ("modelRestrictionMode", json!("deny")),
        ("concurrencyQueueSize", json!(0)),
        ("concurrencyQueueTimeout", json!(0)),
    ];
    let money = MoneyLimit::FIELDS.map(|field| (field, json!(0.0)));
    let mut expected = shown.clone();
    for (field, value) in cleared.into_iter().chain(money) {
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
    for field in MoneyLimit::FIELDS.into_iter().chain(["rateLimitCost"]) {
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
        ("monthlyCostLimit", json!(true), "USD as a number from 0"),
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
    // A field that is given twice, or in an object within the body, is named too.
    let twice = r#"{"name": "x", "monthlyCostLimit": 1, "monthlyCostLimit": 2}"#;
    let answer = bench.raw("POST", "/admin/api-keys", Some(LOCAL), twice).await;
    let answer = answer.refuses(422, "invalid_field", "monthlyCostLimit");
    assert!(
        answer.text("message").contains("given twice"),
        "{:?}",
        answer.json
    );
    let within = json!({"count": 2, "key": {"name": "x", "monthlyCostLimit": -1}});
    let answer = bench.post("/admin/api-keys/create-many", within).await;
    answer.refuses(422, "invalid_field", "key.monthlyCostLimit");
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
            "names an account that does not exist",
        ),
        (
            json!({"bindings": {"claude": "group:nope"}}),
            "bindings.claude",
            "names a group that does not exist",
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
