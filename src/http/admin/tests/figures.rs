//! `/admin/usage` for any days, for groups and for the time before; and the log as a table.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::bench::{Bench, LOCAL, NOW};
use super::usage::{account, event, key, used};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;

#[tokio::test]
async fn days_can_be_asked_for_and_the_time_before_is_told() {
    let (bench, first, ..) = used().await;
    let days = bench
        .get("/admin/usage/summary?from=2025-11-24&to=2025-11-24")
        .await
        .is(200)
        .json;
    assert_eq!(
        (&days["range"], &days["from"], &days["to"]),
        (&Value::Null, &json!("2025-11-24"), &json!("2025-11-24"))
    );
    assert_eq!(
        (&days["totals"]["requests"], &days["keys"][0]["id"]),
        (&json!(1), &first["id"])
    );
    let today = bench.get("/admin/usage/summary").await.is(200).json;
    assert_eq!(
        (&today["range"], &today["from"]),
        (&json!("today"), &json!("2025-11-25"))
    );
    assert_eq!(today["previous"]["from"], "2025-11-24");
    assert_eq!(today["previous"]["totals"]["requests"], 1);
    // The call was in yesterday's last hour, and it is three o'clock.
    assert_eq!(today["previous"]["untilNow"]["requests"], 0);
    let all = bench.get("/admin/usage/summary?range=all").await.is(200).json;
    assert_eq!((&all["from"], &all["previous"]), (&Value::Null, &Value::Null));
    for path in ["summary", "failures", "latency", "ranking?kind=keys"] {
        let and = if path.contains('?') { '&' } else { '?' };
        for (query, field) in [
            ("range=today&from=2025-11-24", "range"),
            ("to=2025-11-24", "from"),
            ("from=2025-11-26", "to"),
            ("from=2025-11-25&to=2025-11-24", "to"),
            ("from=2025-11-24&to=2025-11-26", "to"),
            ("from=2025-01-01", "from"),
            ("from=yesterday", "from"),
        ] {
            let answer = bench
                .get(&format!("/admin/usage/{path}{and}{query}"))
                .await
                .is(422);
            assert_eq!(answer.json["field"], field, "{path} {query}");
        }
    }
}

#[tokio::test]
async fn the_dearest_are_charted_in_one_answer() {
    let (bench, first, second, account) = used().await;
    let path = "/admin/usage/trend?unit=day&from=2025-11-24&to=2025-11-25&groupBy=key&top=2";
    let trend = bench.get(path).await.is(200).json;
    assert_eq!(trend["points"].as_array().unwrap().len(), 2);
    assert_eq!(
        trend["groups"],
        json!([
            {"id": second["id"], "name": "second", "requests": [0, 1], "errors": [0, 1], "tokens": [0, 15], "cost": [0.0, 0.0009]},
            {"id": first["id"], "name": "first", "requests": [1, 1], "errors": [0, 0], "tokens": [15, 15], "cost": [0.0001, 0.0001]},
        ])
    );
    let by_account = bench
        .get("/admin/usage/trend?unit=hour&count=4&groupBy=account")
        .await
        .is(200)
        .json;
    assert_eq!(by_account["groups"][0]["id"], account["id"]);
    assert_eq!(by_account["groups"][0]["requests"], json!([0, 1, 1, 0]));
    assert_eq!(
        bench.get("/admin/usage/trend").await.is(200).json["groups"],
        Value::Null
    );
    for (query, field) in [
        ("top=3", "top"),
        ("groupBy=key&top=13", "top"),
        ("groupBy=key&key=x", "groupBy"),
        ("groupBy=client", "groupBy"),
        ("from=2025-11-24&count=2", "count"),
        ("unit=hour&from=2025-11-01", "from"),
    ] {
        let answer = bench.get(&format!("/admin/usage/trend?{query}")).await.is(422);
        assert_eq!(answer.json["field"], field, "{query}");
    }
}

#[tokio::test]
async fn keys_of_an_account_and_failures_of_a_key_are_told() {
    let (bench, first, second, account) = used().await;
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let keys = bench
        .get(&format!(
            "/admin/usage/ranking?kind=keysOf&account={}",
            id(&account)
        ))
        .await
        .is(200)
        .json;
    assert_eq!(
        (&keys["complete"], &keys["items"][0]["name"]),
        (&json!(true), &json!("second"))
    );
    assert_eq!(keys["items"][1]["totals"]["requests"], 1);
    let accounts = bench
        .get(&format!(
            "/admin/usage/ranking?kind=accountsOf&range=all&key={}",
            id(&first)
        ))
        .await
        .is(200)
        .json;
    assert_eq!(
        (
            &accounts["items"][0]["name"],
            &accounts["items"][0]["totals"]["requests"]
        ),
        (&json!("main"), &json!(2))
    );
    for (query, field) in [
        ("kind=keysOf", "account"),
        ("kind=accountsOf", "key"),
        ("kind=keys&account=x", "account"),
        ("kind=keysOf&account=x&key=x", "key"),
    ] {
        let answer = bench.get(&format!("/admin/usage/ranking?{query}")).await.is(422);
        assert_eq!(answer.json["field"], field, "{query}");
    }

    let failures = async |query: String| {
        bench
            .get(&format!("/admin/usage/failures?{query}"))
            .await
            .is(200)
            .json
    };
    let of_second = failures(format!("key={}&series=true&range=7days", id(&second))).await;
    assert_eq!(
        of_second["items"],
        json!([{"error": "provider_overloaded", "count": 1}])
    );
    assert_eq!(
        (&of_second["of"]["name"], &of_second["complete"]),
        (&json!("second"), &json!(true))
    );
    assert_eq!(of_second["points"].as_array().unwrap().len(), 7);
    assert_eq!(
        (&of_second["points"][6]["label"], &of_second["points"][6]["total"]),
        (&json!("2025-11-25"), &json!(1))
    );
    assert_eq!(failures(format!("key={}", id(&first))).await["total"], 0);
    assert_eq!(failures("model=claude-sonnet-4-5".to_owned()).await["total"], 1);
    assert_eq!(failures(format!("account={}", id(&account))).await["total"], 1);

    let latency = bench
        .get("/admin/usage/latency?model=claude-sonnet-4-5&range=7days&series=true")
        .await
        .is(200)
        .json;
    assert_eq!(
        (&latency["of"]["kind"], &latency["duration"]["count"]),
        (&json!("model"), &json!(3))
    );
    assert_eq!(latency["points"][5]["duration"]["count"], 1);
    assert_eq!(latency["points"][6]["duration"]["count"], 2);
}

/// The table's rows.
async fn table(bench: &Bench, query: &str) -> Vec<String> {
    let request = Request::builder()
        .uri(format!("/admin/requests.csv{query}"))
        .header("authorization", format!("Bearer {LOCAL}"))
        .extension(crate::http::extract::FromThisMachine::in_process());
    let response = bench
        .router
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_log_is_filtered_by_what_went_wrong_and_what_it_took() {
    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "one").await, account(&bench, "main").await);
    let mut slow = event(NOW, 1, &key, &account);
    slow.duration_ms = 9_000;
    slow.session = Some("00000000000000ab".to_owned());
    let mut dear = event(NOW, 2, &key, &account);
    dear.cost = MicroUsd(2_500_000);
    dear.platform = Platform::OpenAi;
    let mut broken = event(NOW, 3, &key, &account);
    broken.error = Some("stream_broken".to_owned());
    broken.key_name = "=HYPERLINK(\"http://x\")".to_owned();
    bench
        .app
        .ledger
        .append("b", &[slow, dear, broken], NOW)
        .await
        .unwrap();
    for (query, expected) in [
        ("slowerThan=9000", "1"),
        ("slowerThan=9001", ""),
        ("dearerThan=2.5", "2"),
        ("dearerThan=2.500001", ""),
        ("platform=openai", "2"),
        ("error=stream_broken", "3"),
        ("error=stream", ""),
        ("session=00000000000000ab", "1"),
        ("", "321"),
    ] {
        let page = bench.get(&format!("/admin/requests?{query}")).await.is(200).json;
        let last = |item: &Value| item["requestId"].as_str().unwrap().chars().last().unwrap();
        let numbers: String = page["items"].as_array().unwrap().iter().map(last).collect();
        assert_eq!(numbers, expected, "{query}");
        // The table has the same rows, below its head.
        let rows = table(&bench, &format!("?{query}")).await;
        assert_eq!(rows.len(), expected.len() + 1, "{query}");
    }
    for (query, field) in [
        ("platform=x", "platform"),
        ("dearerThan=-1", "dearerThan"),
        ("slowerThan=x", "slowerThan"),
    ] {
        let answer = bench.get(&format!("/admin/requests?{query}")).await.is(422);
        assert_eq!(answer.json["field"], field, "{query}");
    }
    let rows = table(&bench, "?error=stream_broken").await;
    assert!(
        rows[1].contains(",\"'=HYPERLINK(\"\"http://x\"\")\","),
        "{}",
        rows[1]
    );
    assert_eq!(table(&bench, "?limit=2").await[3], "(more)");
    assert_eq!(table(&bench, "?limit=3").await.len(), 4);
    bench
        .get("/admin/requests.csv?limit=0")
        .await
        .refuses(422, "invalid_field", "limit");
    bench.raw("GET", "/admin/requests.csv", None, "").await.is(401);
}

#[tokio::test]
async fn a_long_table_comes_in_pieces_and_breaks_off_when_the_store_fails() {
    use http_body_util::BodyExt as _;

    let bench = Bench::new().await;
    let (key, account) = (key(&bench, "one").await, account(&bench, "main").await);
    let events: Vec<_> = (0..1_200)
        .map(|number| event(NOW, number, &key, &account))
        .collect();
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let rows = table(&bench, "").await;
    assert_eq!(rows.len(), 1_201);
    let ids: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(ids.len(), 1_201);
    assert_eq!(table(&bench, "?limit=500").await.len(), 502);

    let request = Request::builder()
        .uri("/admin/requests.csv")
        .header("authorization", format!("Bearer {LOCAL}"))
        .extension(crate::http::extract::FromThisMachine::in_process());
    let response = bench
        .router
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(String::from_utf8(first.to_vec()).unwrap().lines().count(), 501);
    // Nothing more was read than was taken.
    bench.store.away.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(body.frame().await.unwrap().is_err());
}
