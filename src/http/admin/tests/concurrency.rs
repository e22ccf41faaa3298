//! `/admin/concurrency`, and what accounts show of the calls they serve.

use crs_durable::pool::{self, Outcome, QuotaWindow};
use crs_durable::{CallId, gate};
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::dialect::call::request_id;
use crate::model::account::Platform;
use crate::port::gates::Gates as _;

async fn account(bench: &Bench, more: Value) -> String {
    let mut body =
        json!({"name": "main", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let id = bench.post("/admin/accounts", body).await.is(201).text("id");
    bench.learn_roster().await;
    id
}

async fn key(bench: &Bench, name: &str) -> Value {
    let body = json!({"name": name, "concurrencyLimit": 1});
    bench.post("/admin/api-keys", body).await.is(201).json
}

async fn pool(bench: &Bench, command: pool::Command) -> pool::Reply {
    bench.gates.pool(Platform::Claude, command).await.unwrap()
}

async fn pick(bench: &Bench, call: u128, holder: &Value) {
    let pick = pool::Pick {
        family: "sonnet".to_owned(),
        holder: holder["id"].as_str().unwrap_or_default().to_owned(),
        session: Some(7),
        ..pool::Pick::of(CallId(call), 60_000)
    };
    let picked = pool(bench, pool::Command::Pick(pick)).await;
    assert!(matches!(picked, pool::Reply::Picked { .. }), "{picked:?}");
}

/// A call that runs, as the relay would have it.
async fn call(bench: &Bench, id: u128, key: &Value) {
    let admitted = bench.admit(key["key"].as_str().unwrap(), id).await;
    assert!(matches!(admitted, gate::Reply::Granted { .. }), "{admitted:?}");
    pick(bench, id, key).await;
}

fn at(call: u128) -> String {
    format!("/admin/concurrency/{}", request_id(CallId(call)))
}

#[tokio::test]
async fn tells_who_holds_what() {
    let bench = Bench::new().await;
    let served_by = account(&bench, json!({"maxConcurrency": 5})).await;
    let (first, second, idle) = (
        key(&bench, "first").await,
        key(&bench, "second").await,
        key(&bench, "idle").await,
    );
    let nothing = bench.get("/admin/concurrency").await.is(200).json;
    assert_eq!(
        (&nothing["keys"]["total"], &nothing["accounts"]),
        (&json!(0), &json!([]))
    );
    call(&bench, 1, &first).await;
    bench.clock.jump(NOW + 1000);
    call(&bench, 2, &second).await;
    // The operator's test has no key.
    pick(&bench, 3, &Value::Null).await;

    let shown = bench.get("/admin/concurrency").await.is(200).json;
    assert_eq!(shown["keys"]["total"], 2);
    assert_eq!(
        shown["keys"]["items"][0],
        json!({
            "keyId": first["id"], "keyName": "first", "concurrencyLimit": 1, "queued": 0,
            "leases": [{
                "requestId": request_id(CallId(1)), "since": "2025-11-24T16:00:00.000Z",
                "until": "2025-11-24T16:01:00.000Z", "slot": true, "reserved": {"tokens": 0, "cost": 0.0},
                "accountId": served_by, "accountName": "main",
            }],
        })
    );
    let accounts = &shown["accounts"];
    assert_eq!(
        (
            &accounts[0]["accountId"],
            &accounts[0]["maxConcurrency"],
            &accounts[1]
        ),
        (&json!(served_by), &json!(5), &Value::Null)
    );
    let leases = accounts[0]["leases"].as_array().unwrap();
    assert_eq!(leases.len(), 3);
    assert_eq!(
        (&leases[1]["keyName"], &leases[1]["family"]),
        (&json!("second"), &json!("sonnet"))
    );
    assert_eq!(
        (&leases[2]["keyId"], &leases[2]["keyName"]),
        (&Value::Null, &Value::Null)
    );
    // The account shows the same calls.
    let account = bench.get(&format!("/admin/accounts/{served_by}")).await.json;
    assert_eq!(&account["leases"], &accounts[0]["leases"]);
    assert_eq!(account["currentConcurrency"], 3);

    let page = bench.get("/admin/concurrency?pageSize=1&page=2").await.json;
    assert_eq!(page["keys"]["items"][0]["keyName"], "second");
    let one = |key: &Value| format!("/admin/concurrency?keyId={}", key["id"].as_str().unwrap());
    let only = bench.get(&one(&second)).await.json;
    assert_eq!(only["keys"]["items"][0]["leases"].as_array().unwrap().len(), 1);
    assert_eq!(only["accounts"][0]["leases"].as_array().unwrap().len(), 1);
    let none = bench.get(&one(&idle)).await.is(200).json;
    assert_eq!(none["keys"]["items"][0]["leases"], json!([]));
    assert_eq!(none["accounts"], json!([]));
    bench.get("/admin/concurrency?keyId=nope").await.is(404);
    bench
        .get("/admin/concurrency?page=0")
        .await
        .refuses(422, "invalid_field", "page");
    bench.gates.away.store(true, std::sync::atomic::Ordering::SeqCst);
    bench.get("/admin/concurrency").await.is(503);
}

#[tokio::test]
async fn a_slot_is_freed_by_hand() {
    let bench = Bench::new().await;
    account(&bench, json!({"maxConcurrency": 1})).await;
    let key = key(&bench, "first").await;
    call(&bench, 1, &key).await;
    let plain = key["key"].as_str().unwrap();
    assert!(matches!(bench.admit(plain, 2).await, gate::Reply::Refused(_)));
    bench.delete(&at(1)).await.is(204);
    assert_eq!(bench.get("/admin/concurrency").await.json["accounts"], json!([]));
    call(&bench, 2, &key).await;
    bench.delete(&at(1)).await.is(404);

    // A call that no account serves just now is found by its key.
    pool(&bench, pool::Command::Release { call: CallId(2) }).await;
    bench.delete(&at(2)).await.is(404);
    let with_key = format!("{}?keyId={}", at(2), key["id"].as_str().unwrap());
    bench.delete(&with_key).await.is(204);
    bench.delete(&with_key).await.is(404);
    let log = bench.get("/admin/audit?action=lease.release").await.is(200).json;
    assert_eq!(
        log["items"].as_array().unwrap().len(),
        2,
        "one for each call that held something: {log}"
    );
    assert!(matches!(bench.admit(plain, 3).await, gate::Reply::Granted { .. }));
    for wrong in ["x", "req_1", "req_zz"] {
        bench
            .delete(&format!("/admin/concurrency/{wrong}"))
            .await
            .refuses(422, "invalid_field", "id");
    }
}

#[tokio::test]
async fn an_account_shows_what_holds_it_back_and_what_it_has_left() {
    let bench = Bench::new().await;
    let id = account(
        &bench,
        json!({
            "dailyQuota": 2, "reservePercent": 20, "shared": false, "supportedModels": ["m", "m"],
            "subscriptionExpiresAt": "2026-01-01",
        }),
    )
    .await;
    let path = format!("/admin/accounts/{id}");
    let shown = bench.get(&path).await.json;
    for (field, value) in [
        ("dailyQuota", json!(2.0)),
        ("reservePercent", json!(20)),
        ("shared", json!(false)),
        ("supportedModels", json!(["m"])),
        ("subscriptionExpiresAt", json!("2026-01-01T00:00:00.000Z")),
        ("quota", json!([])),
        ("recentErrors", json!([])),
        ("leases", json!([])),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let open = json!({"shared": true, "supportedModels": null, "subscriptionExpiresAt": null});
    let opened = bench.patch(&path, open).await.is(200).json;
    assert_eq!(opened["supportedModels"], Value::Null);
    bench.learn_roster().await;

    pick(&bench, 1, &Value::Null).await;
    let report = pool::Report {
        status: Some(429),
        quota: vec![QuotaWindow {
            name: "unified-5h".to_owned(),
            family: None,
            used_permille: 875,
            resets_at: NOW + 3_600_000,
            observed_at: NOW,
        }],
        spent: 2_500_000,
        ..pool::Report::of(
            CallId(1),
            id.clone(),
            Outcome::Throttled {
                until: None,
                family: Some("sonnet".to_owned()),
                why: "slow down".to_owned(),
            },
        )
    };
    pool(&bench, pool::Command::Report(report)).await;
    let shown = bench.get(&path).await.json;
    let cooldown = &shown["cooldowns"][0];
    assert_eq!(
        (&cooldown["kind"], &cooldown["reason"], &cooldown["family"]),
        (&json!("throttled"), &json!("slow down"), &json!("sonnet"))
    );
    assert_eq!(
        shown["quota"],
        json!([{
            "name": "unified-5h", "family": null, "usedPercent": 87.5,
            "resetsAt": "2025-11-24T17:00:00.000Z", "observedAt": "2025-11-24T16:00:00.000Z",
        }])
    );
    assert_eq!(shown["dailySpend"]["spent"], 2.5);
    assert_eq!(shown["status"], "quotaReached");
    assert_eq!(shown["statusUntil"], shown["dailySpend"]["resetsAt"]);
    let error = &shown["recentErrors"][0];
    assert_eq!(
        (&error["status"], &error["reason"], &error["requestId"]),
        (&json!(429), &json!("slow down"), &json!(request_id(CallId(1))))
    );
    // A reset forgets what was guessed and measured, not what was spent.
    let reset = bench
        .post(&format!("{path}/reset"), Value::Null)
        .await
        .is(200)
        .json;
    assert_eq!((&reset["cooldowns"], &reset["quota"]), (&json!([]), &json!([])));
    assert_eq!(reset["dailySpend"]["spent"], 2.5);
    let ended = bench
        .patch(&path, json!({"subscriptionExpiresAt": "2025-01-01"}))
        .await
        .is(200)
        .json;
    assert_eq!(ended["status"], "expired");

    for (field, value, says) in [
        ("reservePercent", json!(91), "from 0 to 90"),
        ("dailyQuota", json!(-1), "USD as a number"),
        ("supportedModels", json!([]), "send null for all"),
        ("shared", json!(null), "true or false"),
        ("groups", json!("g"), "a list"),
    ] {
        let answer = bench.patch(&path, json!({field: value})).await;
        let answer = answer.refuses(422, "invalid_field", field);
        assert!(answer.text("message").contains(says), "{:?}", answer.json);
    }
}

#[tokio::test]
async fn sessions_are_let_go() {
    let bench = Bench::new().await;
    let id = account(&bench, json!({})).await;
    let path = format!("/admin/accounts/{id}");
    let mut calls = 0;
    for flush in [
        format!("{path}/flush-sessions"),
        "/admin/sessions/flush".to_owned(),
    ] {
        calls += 1;
        pick(&bench, calls, &Value::Null).await;
        let served = pool::Report {
            served: true,
            ..pool::Report::of(CallId(calls), id.clone(), pool::Outcome::Finished)
        };
        let report = pool::Command::Report(served);
        bench.gates.pool(Platform::Claude, report).await.unwrap();
        assert_eq!(bench.get(&path).await.json["sessions"], 1);
        let body = if flush.starts_with(&path) {
            Value::Null
        } else {
            json!({"platform": "claude"})
        };
        assert!(super::bench::ok(bench.post(&flush, body).await.status));
        assert_eq!(bench.get(&path).await.json["sessions"], 0);
    }
    bench
        .post("/admin/sessions/flush", json!({}))
        .await
        .refuses(422, "missing_field", "platform");
    bench
        .post("/admin/accounts/x/flush-sessions", Value::Null)
        .await
        .is(404);
}
