//! `/admin/overview`.

use std::sync::atomic::Ordering;

use crs_durable::{CallId, pool};
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use super::usage::{account, event};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::usage::LedgerEvent;
use crate::port::gates::Gates as _;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

async fn overview(bench: &Bench) -> Value {
    bench.get("/admin/overview").await.is(200).json
}

async fn key(bench: &Bench, fields: Value) -> Value {
    bench.post("/admin/api-keys", fields).await.is(201).json
}

fn spent(at: u64, number: u128, key: &Value, account: &Value, cost: u64) -> LedgerEvent {
    let mut event = event(at, number, key, account);
    event.cost = MicroUsd(cost);
    event
}

/// Values of one field of a list, joined.
fn all(list: &Value, field: &str) -> String {
    let items = list.as_array().unwrap().iter();
    let words: Vec<String> = items
        .map(|item| item[field].to_string().replace('"', ""))
        .collect();
    words.join(" ")
}

async fn report(bench: &Bench, number: u128, account: &Value, outcome: pool::Outcome) {
    let id = account["id"].as_str().unwrap().to_owned();
    let report = pool::Report::of(CallId(number), id, outcome);
    let command = pool::Command::Report(report);
    bench.gates.pool(Platform::Claude, command).await.unwrap();
}

fn throttled(until: u64) -> pool::Outcome {
    pool::Outcome::Throttled {
        until: Some(until),
        family: None,
        why: "429".to_owned(),
    }
}

#[tokio::test]
async fn a_relay_that_nobody_used_has_nothing_to_tell() {
    let bench = Bench::new().await;
    let empty = overview(&bench).await;
    assert_eq!(
        empty["keys"],
        json!({"total": 0, "active": 0, "disabled": 0, "expired": 0, "deleted": 0})
    );
    for list in [
        "nearLimit",
        "endingKeys",
        "platforms",
        "trouble",
        "unpricedModels",
        "poolsAway",
    ] {
        assert_eq!(empty[list], json!([]), "{list}");
    }
    assert_eq!((&empty["requests"], &empty["running"]), (&json!(0), &json!(0)));
    assert_eq!(empty["asOf"], "2025-11-24T16:00:00.000Z");
    bench.raw("GET", "/admin/overview", None, "").await.is(401);
}

#[tokio::test]
async fn keys_are_counted_and_those_that_end_soon_are_named() {
    let bench = Bench::new().await;
    let ends = |days: u64| crate::model::time::iso(NOW + days * DAY);
    key(&bench, json!({"name": "in 6", "expiresAt": ends(6)})).await;
    key(&bench, json!({"name": "in 2", "expiresAt": ends(2)})).await;
    key(&bench, json!({"name": "in 8", "expiresAt": ends(8)})).await;
    key(
        &bench,
        json!({"name": "past", "expiresAt": "2020-01-01T00:00:00Z"}),
    )
    .await;
    key(
        &bench,
        json!({"name": "off", "expiresAt": ends(2), "isActive": false}),
    )
    .await;
    let gone = key(&bench, json!({"name": "gone"})).await;
    let gone = format!("/admin/api-keys/{}", gone["id"].as_str().unwrap());
    bench.delete(&gone).await.is(200);
    let told = overview(&bench).await;
    assert_eq!(
        told["keys"],
        json!({"total": 5, "active": 3, "disabled": 1, "expired": 1, "deleted": 1})
    );
    assert_eq!(all(&told["endingKeys"], "keyName"), "in 2 in 6");
    assert_eq!(told["endingKeys"][0]["endsAt"], ends(2));
    assert_eq!(told["endingKeysCount"], 2);
}

#[tokio::test]
async fn keys_near_a_limit_are_named_by_their_tightest() {
    let bench = Bench::new().await;
    let account = account(&bench, "main").await;
    let daily = key(
        &bench,
        json!({"name": "daily", "dailyCostLimit": 10, "totalCostLimit": 100}),
    )
    .await;
    let weekly = key(&bench, json!({"name": "weekly", "weeklyCostLimit": 20})).await;
    let total = key(&bench, json!({"name": "total", "totalCostLimit": 5})).await;
    let monthly = key(&bench, json!({"name": "monthly", "monthlyCostLimit": 30})).await;
    let well = key(&bench, json!({"name": "well", "dailyCostLimit": 10})).await;
    let off = key(
        &bench,
        json!({"name": "off", "dailyCostLimit": 1, "isActive": false}),
    )
    .await;
    let forgiven = key(&bench, json!({"name": "forgiven", "dailyCostLimit": 1})).await;
    // At `NOW` it is Tuesday 00:00 for the operator: weeks began a day ago.
    let events = [
        spent(NOW - 40 * DAY, 1, &total, &account, 4_000_000),
        // The month began 24 days ago.
        spent(NOW - 30 * DAY, 9, &monthly, &account, 50_000_000),
        spent(NOW - 20 * DAY, 10, &monthly, &account, 29_000_000),
        spent(NOW - HOUR, 2, &weekly, &account, 15_000_000),
        spent(NOW + HOUR, 3, &weekly, &account, 4_000_000),
        spent(NOW + HOUR, 4, &daily, &account, 9_200_000),
        spent(NOW + HOUR, 5, &total, &account, 1_000_000),
        spent(NOW + HOUR, 6, &well, &account, 8_900_000),
        spent(NOW + HOUR, 7, &off, &account, 5_000_000),
        spent(NOW + HOUR, 8, &forgiven, &account, 1_000_000),
    ];
    bench.clock.jump(NOW + 3 * HOUR);
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let reset = format!(
        "/admin/api-keys/{}/reset-limits",
        forgiven["id"].as_str().unwrap()
    );
    bench.post(&reset, json!({"which": "day"})).await.is(200);
    let told = overview(&bench).await;
    let near = &told["nearLimit"];
    assert_eq!(all(near, "keyName"), "total monthly weekly daily", "{near}");
    assert_eq!(all(near, "usedPercent"), "100.0 96.7 95.0 92.0");
    assert_eq!(
        near[3]["level"],
        json!({
            "limit": "dailyCost", "unit": "usd", "most": 10.0, "used": 9.2, "reserved": 0.0, "left": 0.8,
            "resetsAt": "2025-11-25T16:00:00.000Z",
        })
    );
    assert_eq!(near[0]["level"]["limit"], "totalCost");
    assert_eq!(near[1]["level"]["limit"], "monthlyCost");
    assert_eq!(near[1]["level"]["resetsAt"], "2025-11-30T16:00:00.000Z");
    assert_eq!(near[0]["level"]["resetsAt"], Value::Null);
    assert_eq!(told["nearLimitComplete"], true);
    assert_eq!(told["requests"], 10);
}

#[tokio::test]
async fn a_key_in_use_near_the_limit_of_its_window_is_named() {
    let bench = Bench::new().await;
    let account = account(&bench, "main").await;
    let fields = json!({"name": "windowed", "rateLimitWindow": 60, "rateLimitRequests": 2});
    let windowed = key(&bench, fields).await;
    let text = windowed["key"].as_str().unwrap().to_owned();
    bench.admit(&text, 1).await;
    bench.admit(&text, 2).await;
    let before = bench.gates.to_gates.load(Ordering::SeqCst);
    // The ledger has no call of it yet: nobody asks its gate.
    assert_eq!(overview(&bench).await["nearLimit"], json!([]));
    assert_eq!(bench.gates.to_gates.load(Ordering::SeqCst), before);
    let events = [spent(NOW, 1, &windowed, &account, 1)];
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let told = overview(&bench).await;
    assert_eq!(all(&told["nearLimit"], "keyName"), "windowed");
    assert_eq!(told["nearLimit"][0]["level"]["limit"], "windowRequests");
    assert_eq!(
        told["nearLimit"][0]["level"]["resetsAt"],
        "2025-11-24T17:00:00.000Z"
    );
    // An hour later the window is over.
    bench.clock.jump(NOW + HOUR);
    assert_eq!(overview(&bench).await["nearLimit"], json!([]));
}

#[tokio::test]
async fn however_many_are_near_few_gates_are_asked_and_the_answer_says_so() {
    let bench = Bench::new().await;
    let account = account(&bench, "main").await;
    let mut events = Vec::new();
    for number in 0..25 {
        let fields = json!({"name": format!("k{number}"), "dailyCostLimit": 1});
        let key = key(&bench, fields).await;
        events.push(spent(NOW + HOUR, number, &key, &account, 900_000 + number as u64));
    }
    bench.clock.jump(NOW + 2 * HOUR);
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let before = bench.gates.to_gates.load(Ordering::SeqCst);
    let told = overview(&bench).await;
    assert_eq!(bench.gates.to_gates.load(Ordering::SeqCst) - before, 20);
    assert_eq!(told["nearLimit"].as_array().unwrap().len(), 20);
    assert_eq!(told["nearLimitComplete"], false);
}

#[tokio::test]
async fn accounts_in_trouble_say_why_and_until_when_and_a_blocked_platform_is_marked() {
    let bench = Bench::new().await;
    let mut accounts = Vec::new();
    for name in ["refused", "late", "early", "paused", "off"] {
        accounts.push(account(&bench, name).await);
    }
    let path = |n: usize| format!("/admin/accounts/{}", accounts[n]["id"].as_str().unwrap());
    bench.patch(&path(3), json!({"schedulable": false})).await.is(200);
    bench.patch(&path(4), json!({"isActive": false})).await.is(200);
    bench.learn_roster().await;
    let denied = pool::Outcome::Denied {
        why: "401: no".to_owned(),
        until: None,
    };
    report(&bench, 1, &accounts[0], denied).await;
    report(&bench, 2, &accounts[1], throttled(NOW + 2 * HOUR)).await;
    let told = overview(&bench).await;
    assert_eq!(all(&told["trouble"], "accountName"), "refused late");
    assert_eq!(
        told["platforms"],
        json!([{
            "platform": "claude", "accounts": 5, "usable": 1, "blocked": false, "backAt": null,
            "byStatus": {"active": 1, "inactive": 1, "paused": 1, "rateLimited": 1, "unauthorized": 1},
        }])
    );
    report(&bench, 3, &accounts[2], throttled(NOW + HOUR)).await;
    let told = overview(&bench).await;
    assert_eq!(all(&told["trouble"], "accountName"), "refused early late");
    assert_eq!(
        all(&told["trouble"], "code"),
        "credentials_refused provider_limit provider_limit"
    );
    assert_eq!(
        all(&told["trouble"], "status"),
        "unauthorized rateLimited rateLimited"
    );
    assert_eq!(told["trouble"][0]["reason"], "401: no");
    assert_eq!(
        (&told["trouble"][0]["until"], &told["trouble"][1]["until"]),
        (&Value::Null, &json!("2025-11-24T17:00:00.000Z"))
    );
    let claude = &told["platforms"][0];
    assert_eq!((&claude["blocked"], &claude["usable"]), (&json!(true), &json!(0)));
    assert_eq!(claude["backAt"], "2025-11-24T17:00:00.000Z");
    assert_eq!(told["troubleCount"], 3);
}

#[tokio::test]
async fn a_pool_that_does_not_answer_is_named_and_the_rest_is_told() {
    let bench = Bench::new().await;
    let soon = crate::model::time::iso(NOW + DAY);
    let main = account(&bench, "main").await;
    let path = format!("/admin/accounts/{}", main["id"].as_str().unwrap());
    bench
        .patch(&path, json!({"subscriptionExpiresAt": soon}))
        .await
        .is(200);
    bench.gates.away.store(true, Ordering::SeqCst);
    let told = overview(&bench).await;
    assert_eq!(told["poolsAway"], json!(["claude"]));
    assert_eq!(told["platforms"][0]["byStatus"], json!({"active": 1}));
    assert_eq!(all(&told["endingSubscriptions"], "accountName"), "main");
    assert_eq!(told["endingSubscriptionsCount"], 1);
    // It is in trouble when it has ended, and no longer about to.
    bench.clock.jump(NOW + 2 * DAY);
    let told = overview(&bench).await;
    assert_eq!(told["endingSubscriptionsCount"], 0);
    assert_eq!(told["trouble"][0]["code"], "subscription_ended");
    assert_eq!(told["platforms"][0]["blocked"], true);
}

#[tokio::test]
async fn models_that_are_charged_a_guessed_price_are_named() {
    let bench = Bench::new().await;
    let (account, key) = (
        account(&bench, "main").await,
        key(&bench, json!({"name": "k"})).await,
    );
    let of = |number: u128, at: u64, model: &str, cost: u64| {
        let mut event = spent(at, number, &key, &account, cost);
        event.model = model.to_owned();
        event
    };
    let events = [
        of(1, NOW, "claude-sonnet-4-5", 900),
        of(2, NOW, "house-model", 10),
        of(3, NOW, "other-model", 20),
        of(4, NOW, "(unserved)", 0),
        of(5, NOW - 8 * DAY, "old-model", 30),
    ];
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let told = overview(&bench).await;
    assert_eq!(
        told["unpricedModels"],
        json!([
            {"model": "other-model", "requests": 1, "cost": 0.000_02},
            {"model": "house-model", "requests": 1, "cost": 0.000_01},
        ])
    );
    let body = json!({"overrides": {"other-model": {"input": 1, "output": 2}}});
    bench.call("PUT", "/admin/prices", &body).await.is(200);
    assert_eq!(
        all(&overview(&bench).await["unpricedModels"], "model"),
        "house-model"
    );
}
