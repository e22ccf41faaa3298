//! The relay's settings, and the prices of models.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, NOW};
use super::usage::event;
use crate::model::money::MicroUsd;
use crate::model::usage::{LedgerEvent, Tokens};

#[tokio::test]
async fn settings_are_told_without_a_look_at_the_store() {
    let bench = Bench::with(&[
        ("PUBLIC_ADDRESS", "https://relay.example.com/"),
        ("TIMEZONE_OFFSET", "5.5"),
        ("REQUEST_LOG_DAYS", "7"),
        ("CLAUDE_OAUTH_CLIENT_ID", "the-claude-client"),
    ])
    .await;
    let before = bench.store.calls.load(Ordering::Relaxed);
    let told = bench.get("/admin/settings").await.is(200).json;
    assert_eq!(bench.store.calls.load(Ordering::Relaxed), before);
    assert_eq!(
        told,
        json!({
            "version": env!("CARGO_PKG_VERSION"), "host": "native", "store": "memory",
            "publicAddress": "https://relay.example.com", "utcOffsetMinutes": 330,
            "retention": { "requests": 7, "audit": 365, "hours": 8, "days": 100, "months": 36 },
            "proxies": true,
            "signIns": { "claude": true, "openai": false, "gemini": false, "antigravity": false },
            "sessions": { "token": 86_400, "longest": 604_800 },
        })
    );
    // Which client it is, is nobody's business.
    assert!(!told.to_string().contains("the-claude-client"));
}

fn row<'a>(models: &'a Value, name: &str) -> &'a Value {
    let items = models["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["model"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn models_say_what_they_cost_and_why() {
    let bench = Bench::new().await;
    let prices = json!({"overrides": {
        "claude-opus-4-8": {"input": 7.5, "output": 30.0},
        "my-own-model": {"input": 1.0, "output": 2.0, "cacheRead": 0.25},
    }});
    bench.call("PUT", "/admin/prices", &prices).await.is(200);
    let somebody = json!({"id": "x", "name": "x"});
    let calls = [
        ("claude-opus-4-8-20260301", 20_000_000),
        ("claude-next-9", 5_000_000),
        ("claude-next-9", 5_000_000),
        ("somebody-elses", 50_000_000),
    ];
    let mut events: Vec<_> = (1_u128..)
        .zip(calls)
        .map(|(number, (model, cost))| LedgerEvent {
            model: model.to_owned(),
            cost: MicroUsd(cost),
            ..event(NOW, number, &somebody, &somebody)
        })
        .collect();
    // Of a call that nobody served there is no model, so no price.
    events.push(LedgerEvent {
        status: 404,
        error: Some("not_found".to_owned()),
        tokens: Tokens::default(),
        cost: MicroUsd(0),
        ..event(NOW, 9, &somebody, &somebody)
    });
    bench.app.ledger.append("b1", &events, NOW).await.unwrap();
    let models = bench
        .raw("GET", "/admin/models", Some(LOCAL), "")
        .await
        .is(200)
        .json;

    let own = row(&models, "claude-opus-4-8");
    assert_eq!(
        (&own["source"], &own["overriddenBy"], &own["calls"], &own["cost"]),
        (
            &json!("override"),
            &json!("claude-opus-4-8"),
            &json!(1),
            &json!(20.0)
        )
    );
    assert_eq!(
        own["price"],
        json!({"input": 7.5, "output": 30.0, "cacheWrite5m": 9.375, "cacheWrite1h": 15.0, "cacheRead": 0.75})
    );
    assert!(own["listed"]["input"].is_f64());
    let unknown = row(&models, "my-own-model");
    assert_eq!(
        (
            &unknown["family"],
            &unknown["listed"],
            &unknown["price"]["cacheRead"]
        ),
        (&Value::Null, &Value::Null, &json!(0.25))
    );
    let table = row(&models, "claude-haiku-4-5");
    assert_eq!(
        (&table["source"], &table["price"], &table["calls"]),
        (&json!("table"), &table["listed"], &json!(0))
    );

    assert!(!models.to_string().contains("(unserved)"));

    // Guesses come first, the dearest of them first.
    let first = &models["items"][0];
    assert_eq!(
        (&first["model"], &first["source"], &first["price"]),
        (&json!("somebody-elses"), &json!("dearestOfFamily"), &Value::Null)
    );
    let second = &models["items"][1];
    assert_eq!(
        (
            &second["model"],
            &second["family"],
            &second["calls"],
            &second["cost"]
        ),
        (&json!("claude-next-9"), &json!("claude"), &json!(2), &json!(10.0))
    );
    assert!(second["price"]["output"].as_f64() > table["price"]["output"].as_f64());
    assert_ne!(models["items"][2]["source"], "dearestOfFamily");
}
