//! `/admin/usage` in time, by rank, by failure and by duration; and whether the books agree.

use serde_json::{Value, json};

use super::bench::NOW;
use super::usage::{event, used};

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_trend_has_a_point_for_each_hour_day_or_month() {
    let (bench, first, _, account) = used().await;
    let get = async |query: &str| {
        bench
            .get(&format!("/admin/usage/trend?{query}"))
            .await
            .is(200)
            .json
    };
    let requests = |trend: &Value| -> Vec<u64> {
        let points = trend["points"].as_array().unwrap().iter();
        points
            .map(|point| point["totals"]["requests"].as_u64().unwrap())
            .collect()
    };
    let days = get("count=3").await;
    assert_eq!(requests(&days), [0, 1, 2]);
    assert_eq!(
        (&days["unit"], &days["of"]["kind"]),
        (&json!("day"), &json!("all"))
    );
    assert_eq!(days["points"][2]["label"], "2025-11-25");
    let hours = get(&format!("unit=hour&count=4&key={}", id(&first))).await;
    assert_eq!(requests(&hours), [0, 1, 0, 0]);
    assert_eq!(
        hours["of"],
        json!({"kind": "key", "id": first["id"], "name": "first"})
    );
    let months = get(&format!("unit=month&count=2&account={}", id(&account))).await;
    assert_eq!(requests(&months), [0, 3]);
    assert_eq!(
        requests(&get("unit=month&count=1&model=claude-sonnet-4-5").await),
        [3]
    );
    assert_eq!(requests(&get("").await).len(), 30);
    let gone = get("key=nobody&count=1").await;
    assert_eq!((&gone["of"]["name"], requests(&gone)), (&Value::Null, vec![0]));
    for (query, code, field) in [
        ("unit=week", "invalid_field", "unit"),
        ("count=0", "invalid_field", "count"),
        ("count=101", "invalid_field", "count"),
        ("unit=month&count=37", "invalid_field", "count"),
        ("key=a&model=b", "invalid_field", "key"),
        ("account=a&model=b", "invalid_field", "account"),
        ("range=today", "unknown_field", "range"),
    ] {
        bench
            .get(&format!("/admin/usage/trend?{query}"))
            .await
            .refuses(422, code, field);
    }
}

#[tokio::test]
async fn a_ranking_names_who_cost_most() {
    let (bench, first, second, _) = used().await;
    let get = async |query: &str| {
        bench
            .get(&format!("/admin/usage/ranking?{query}"))
            .await
            .is(200)
            .json
    };
    let keys = get("kind=keys&range=7days").await;
    assert_eq!(
        (&keys["items"][0]["id"], &keys["items"][0]["name"]),
        (&second["id"], &json!("second"))
    );
    assert_eq!(keys["items"][1]["totals"]["cost"], 0.000_2);
    assert_eq!(get("kind=keys&top=1").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(get("kind=accounts&range=all").await["items"][0]["name"], "main");
    assert_eq!(
        get("kind=models&range=month").await["items"][0]["id"],
        "claude-sonnet-4-5"
    );
    let models = get(&format!("kind=modelsOf&key={}&range=30days", id(&first))).await;
    assert_eq!(
        (&models["kind"], &models["items"][0]["totals"]["requests"]),
        (&json!("modelsOf"), &json!(2))
    );
    for (query, code, field) in [
        ("", "missing_field", "kind"),
        ("kind=users", "invalid_field", "kind"),
        ("kind=modelsOf", "invalid_field", "key"),
        ("kind=keys&key=a", "invalid_field", "key"),
        ("kind=keys&top=101", "invalid_field", "top"),
    ] {
        bench
            .get(&format!("/admin/usage/ranking?{query}"))
            .await
            .refuses(422, code, field);
    }
}

#[tokio::test]
async fn failures_are_counted_by_code_and_times_are_percentiles() {
    let (bench, first, _, account) = used().await;
    let failures = bench.get("/admin/usage/failures?range=7days").await.is(200).json;
    let expected = json!([{"error": "provider_overloaded", "count": 1}]);
    assert_eq!((&failures["items"], &failures["total"]), (&expected, &json!(1)));
    let slow: Vec<_> = (0..98)
        .map(|number| {
            let mut event = event(NOW + 1, 100 + number, &first, &account);
            (event.duration_ms, event.first_byte_ms) = (100_000, None);
            event
        })
        .collect();
    bench.app.ledger.append("slow", &slow, NOW + 1).await.unwrap();
    let all = bench.get("/admin/usage/latency").await.is(200).json;
    assert_eq!(
        (&all["firstByte"]["count"], &all["duration"]["count"]),
        (&json!(2), &json!(100))
    );
    assert_eq!(all["firstByte"]["p99"], 20);
    let p50 = all["duration"]["p50"].as_f64().unwrap();
    let factor = all["errorFactor"].as_f64().unwrap();
    assert!(p50 / 100_000.0 < factor && 100_000.0 / p50 < factor, "{p50}");
    let of = async |query: String| {
        bench
            .get(&format!("/admin/usage/latency?{query}"))
            .await
            .is(200)
            .json
    };
    for range in ["7days", "month", "all"] {
        let key = of(format!("range={range}&key={}", id(&first))).await;
        assert_eq!(
            (&key["duration"]["count"], &key["of"]["name"]),
            (&json!(100), &json!("first")),
            "{range}"
        );
        let account = of(format!("range={range}&account={}", id(&account))).await;
        assert_eq!(account["duration"]["count"], 101, "{range}");
    }
    let none = of("key=nobody".to_owned()).await;
    assert_eq!(
        none["duration"],
        json!({"count": 0, "p50": null, "p90": null, "p99": null})
    );
    for path in ["latency?key=a&account=b", "latency?range=week", "failures?top=1"] {
        bench.get(&format!("/admin/usage/{path}")).await.is(422);
    }
}

#[tokio::test]
async fn the_books_are_compared_by_day() {
    let (bench, ..) = used().await;
    let verify = async |ago: u32| bench.post("/admin/usage/verify", json!({ "daysAgo": ago })).await;
    let yesterday = verify(1).await.is(200).json;
    assert_eq!(
        yesterday,
        json!({"day": "2025-11-24", "daysKept": 30, "events": 1, "different": 0, "differences": [], "complete": true})
    );
    let day = bench.app.ledger.calendar().day(NOW).before(1);
    let count = crate::port::store::Command::HIncrBy {
        key: crate::store::keys::ledger_sums(crate::store::ledger::Bucket::Day(day)),
        field: "requests:total".to_owned(),
        by: 2,
    };
    bench.app.ports.store.run(vec![count]).await.unwrap();
    let wrong = verify(1).await.is(200).json;
    assert_eq!(wrong["different"], 1);
    assert_eq!(
        wrong["differences"],
        json!([{"field": "requests:total", "stored": 3, "events": 1}])
    );
    assert_eq!(verify(30).await.is(200).json["events"], 0);
    assert_eq!(verify(0).await.is(200).json["different"], 0);
    verify(31).await.refuses(422, "invalid_field", "daysAgo");
}
