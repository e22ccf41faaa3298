//! `/apiStats/api`: what the holder of a key sees.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::bench::{Answer, Bench, NOW};
use super::usage::{account, event};
use crate::http::extract::ClientAddress;
use crate::model::money::MicroUsd;

const ROUTES: [&str; 4] = ["get-key-id", "user-stats", "user-model-stats", "user-trend"];

async fn ask_from(bench: &Bench, from: &str, route: &str, body: Value) -> Answer {
    let address: IpAddr = from.parse().unwrap();
    let request = Request::post(format!("/apiStats/api/{route}")).extension(ClientAddress(Some(address)));
    bench
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn ask(bench: &Bench, route: &str, body: Value) -> Answer {
    ask_from(bench, "10.0.0.1", route, body).await
}

/// A key with these fields, and its text.
async fn key(bench: &Bench, mut fields: Value) -> (Value, String) {
    fields["name"] = json!("alice");
    let key = bench.post("/admin/api-keys", fields).await.is(201).json;
    let text = key["key"].as_str().unwrap().to_owned();
    (key, text)
}

#[tokio::test]
async fn a_holder_sees_what_was_used_and_what_is_left() {
    let bench = Bench::new().await;
    let (key, text) = key(
        &bench,
        json!({"dailyCostLimit": 10, "weeklyCostLimit": 100, "concurrencyLimit": 4}),
    )
    .await;
    let account = account(&bench, "the-secret-account").await;
    let mut dear = event(NOW, 1, &key, &account);
    dear.cost = MicroUsd(7_200_000);
    let mut broken = event(NOW, 2, &key, &account);
    broken.error = Some("stream_broken".to_owned());
    broken.cost = MicroUsd(0);
    bench.app.ledger.append("b", &[dear, broken], NOW).await.unwrap();

    let id = ask(&bench, "get-key-id", json!({"apiKey": text}))
        .await
        .is(200)
        .json;
    assert_eq!(id, json!({"success": true, "data": {"id": key["id"]}}));
    for whose in [json!({"apiKey": text}), json!({"apiId": key["id"]})] {
        let stats = ask(&bench, "user-stats", whose.clone()).await.is(200).json;
        assert!(!stats.to_string().contains("the-secret-account") && !stats.to_string().contains(&text));
        assert!(!stats.to_string().contains(account["id"].as_str().unwrap()));
        let data = &stats["data"];
        assert_eq!(
            (&data["name"], &data["isActive"]),
            (&json!("alice"), &json!(true))
        );
        assert_eq!(data["accounts"]["claudeAccountId"], Value::Null);
        let total = &data["usage"]["total"];
        assert_eq!((&total["requests"], &total["allTokens"]), (&json!(2), &json!(30)));
        assert_eq!(
            (&total["cost"], &total["formattedCost"]),
            (&json!(7.2), &json!("$7.20"))
        );
        assert_eq!(
            (
                &data["limits"]["dailyCostLimit"],
                &data["limits"]["currentDailyCost"]
            ),
            (&json!(10.0), &json!(7.2))
        );
        let now = &data["now"];
        assert_eq!((&now["refused"], &now["running"]), (&Value::Null, &json!(0)));
        // The tightest first. It is midnight where the operator is.
        assert_eq!(
            now["remaining"][0],
            json!({"limit": "dailyCost", "unit": "usd", "most": 10.0, "used": 7.2, "reserved": 0.0, "left": 2.8,
                "resetsAt": "2025-11-25T16:00:00.000Z"})
        );
        assert_eq!(now["remaining"][1]["limit"], "weeklyCost");
        assert_eq!(now["failures"], json!([{"error": "stream_broken", "count": 1}]));

        let models = ask(&bench, "user-model-stats", whose.clone()).await.is(200).json;
        assert_eq!(models["period"], "monthly");
        let model = &models["data"][0];
        assert_eq!(
            (&model["model"], &model["requests"]),
            (&json!("claude-sonnet-4-5"), &json!(2))
        );
        assert_eq!(
            (&model["costs"]["total"], &model["pricing"]["input"]),
            (&json!(7.2), &json!(3.0))
        );
        // 20 tokens at 3 USD for a million.
        assert_eq!(
            (&model["costs"]["input"], &model["formatted"]["input"]),
            (&json!(0.00006), &json!("$0.000060"))
        );

        let mut trend = whose;
        trend["unit"] = json!("day");
        trend["count"] = json!(2);
        let trend = ask(&bench, "user-trend", trend).await.is(200).json;
        let costs: Vec<&Value> = trend["data"]["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| &point["cost"])
            .collect();
        assert_eq!(costs, [&json!(0.0), &json!(7.2)]);
    }
}

#[tokio::test]
async fn a_limit_that_is_reached_is_told_with_when_it_lifts() {
    let bench = Bench::new().await;
    let (key, text) = key(&bench, json!({"dailyCostLimit": 5, "weeklyOpusCostLimit": 1})).await;
    let account = account(&bench, "main").await;
    let stats = async || {
        ask(&bench, "user-stats", json!({"apiKey": text}))
            .await
            .is(200)
            .json["data"]["now"]
            .clone()
    };
    let spend = async |number, model: &str, cost| {
        let mut event = event(NOW, number, &key, &account);
        (event.model, event.cost) = (model.to_owned(), MicroUsd(cost));
        bench
            .app
            .ledger
            .append(&format!("b{number}"), &[event], NOW)
            .await
            .unwrap();
    };
    spend(1, "claude-opus-4-1", 1_000_000).await;
    let opus = stats().await;
    assert_eq!(
        (&opus["refused"]["opusOnly"], &opus["refused"]["code"]),
        (&json!(true), &json!("cost_limited"))
    );
    spend(2, "claude-sonnet-4-5", 4_000_000).await;
    let all = stats().await;
    assert_eq!(all["refused"]["opusOnly"], false);
    assert_eq!(all["refused"]["until"], "2025-11-25T16:00:00.000Z");
    assert!(
        all["refused"]["message"]
            .as_str()
            .unwrap()
            .contains("$5.00 for cost per day"),
        "{all}"
    );
}

#[tokio::test]
async fn a_month_is_told_to_its_holder_until_it_is_over() {
    let bench = Bench::new().await;
    let (key, text) = key(&bench, json!({"monthlyCostLimit": 5})).await;
    let account = account(&bench, "main").await;
    let mut events = Vec::new();
    // At `NOW` it is 25 November for the operator.
    for (number, days, cost) in [(1, 30, 9_000_000), (2, 24, 3_000_000), (3, 0, 2_000_000)] {
        let mut event = event(NOW - days * 86_400_000, number, &key, &account);
        event.cost = MicroUsd(cost);
        events.push(event);
    }
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let stats = async || {
        let stats = ask(&bench, "user-stats", json!({"apiKey": text}))
            .await
            .is(200)
            .json;
        stats["data"].clone()
    };
    let told = stats().await;
    let limits = &told["limits"];
    assert_eq!(
        (&limits["monthlyCostLimit"], &limits["monthlyCost"]),
        (&json!(5.0), &json!(5.0))
    );
    assert_eq!(
        told["now"]["remaining"][0],
        json!({
            "limit": "monthlyCost", "unit": "usd", "most": 5.0, "used": 5.0, "reserved": 0.0, "left": 0.0,
            "resetsAt": "2025-11-30T16:00:00.000Z",
        })
    );
    let refused = &told["now"]["refused"];
    assert_eq!(refused["until"], "2025-11-30T16:00:00.000Z");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("$5.00 for cost per month"), "{message}");
    bench.clock.jump(1_764_518_400_000);
    let told = stats().await;
    assert_eq!(told["now"]["refused"], Value::Null);
    assert_eq!(told["limits"]["monthlyCost"], 0.0);
    assert_eq!(
        told["now"]["remaining"][0]["resetsAt"],
        "2025-12-31T16:00:00.000Z"
    );
}

#[tokio::test]
async fn each_key_that_does_not_work_is_told_what_to_do() {
    let bench = Bench::new().await;
    let (disabled, disabled_text) = key(&bench, json!({})).await;
    let (expired, expired_text) = key(&bench, json!({"expiresAt": "2025-11-24T17:00:00Z"})).await;
    let (deleted, deleted_text) = key(&bench, json!({})).await;
    let path = |key: &Value| format!("/admin/api-keys/{}", key["id"].as_str().unwrap());
    bench
        .call("PATCH", &path(&disabled), &json!({"isActive": false}))
        .await
        .is(200);
    bench.delete(&path(&deleted)).await.is(200);
    bench.clock.jump(NOW + 2 * 3_600_000);
    for route in ROUTES {
        for (text, status, code, says) in [
            (disabled_text.as_str(), 401, "key_disabled", "Ask the operator"),
            (&expired_text, 401, "key_expired", "2025-11-24"),
            (&deleted_text, 401, "unknown_key", "copied whole"),
            ("cr_0123456789abcdef", 401, "unknown_key", "copied whole"),
            ("short", 400, "invalid_key_format", "copied whole"),
        ] {
            let answer = ask(&bench, route, json!({"apiKey": text})).await.is(status);
            assert_eq!(answer.json["error"], code, "{route}");
            assert!(
                answer.json["message"].as_str().unwrap().contains(says),
                "{}",
                answer.json
            );
            assert!(!answer.json.to_string().contains(text));
        }
        let answer = ask(&bench, route, json!({})).await.is(400);
        assert_eq!(answer.json["error"], "missing_key");
        bench
            .clock
            .jump(crate::port::clock::Clock::now(&bench.clock) + 60_000);
    }
    let by_id = async |key: &Value| ask(&bench, "user-stats", json!({"apiId": key["id"]})).await;
    assert_eq!(by_id(&disabled).await.is(403).json["error"], "key_disabled");
    assert_eq!(by_id(&expired).await.is(403).json["error"], "key_expired");
    by_id(&deleted).await.is(404);
    ask(&bench, "user-stats", json!({"apiId": "*"})).await.is(404);
}

#[tokio::test]
async fn what_was_never_a_key_costs_no_reads() {
    let bench = Bench::new().await;
    let calls = || bench.store.calls.load(Ordering::Relaxed);
    let before = calls();
    for route in ROUTES {
        ask(&bench, route, json!({"apiKey": "cr_0123456789abcdef"})).await;
        ask(&bench, route, json!({"apiId": "not-an-id"})).await;
    }
    ask(&bench, "batch-stats", json!({"apiIds": ["x", "*"]}))
        .await
        .is(200);
    assert_eq!(calls(), before);
}

#[tokio::test]
async fn several_keys_are_summed_and_those_that_do_not_work_left_out() {
    let bench = Bench::new().await;
    let (first, _) = key(&bench, json!({})).await;
    let (second, _) = key(&bench, json!({})).await;
    let (disabled, _) = key(&bench, json!({"isActive": false})).await;
    let account = account(&bench, "main").await;
    let events = [
        event(NOW, 1, &first, &account),
        event(NOW - 1, 2, &second, &account),
        event(NOW, 3, &disabled, &account),
    ];
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let ids = json!([
        first["id"],
        second["id"],
        disabled["id"],
        "00000000-0000-0000-0000-000000000000"
    ]);
    let batch = ask(&bench, "batch-stats", json!({"apiIds": ids}))
        .await
        .is(200)
        .json;
    let sum = &batch["data"]["aggregated"];
    assert_eq!((&sum["totalKeys"], &sum["activeKeys"]), (&json!(4), &json!(2)));
    assert_eq!(
        (&sum["usage"]["requests"], &sum["dailyUsage"]["requests"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(batch["data"]["individual"].as_array().unwrap().len(), 2);
    assert_eq!(batch["data"]["individual"][0]["usage"]["cost"], 0.0001);
    for ids in [json!([]), json!(vec!["x"; 31])] {
        ask(&bench, "batch-stats", json!({"apiIds": ids})).await.is(400);
    }
}

#[tokio::test]
async fn models_of_several_keys_are_summed() {
    let bench = Bench::new().await;
    let (first, _) = key(&bench, json!({})).await;
    let (second, _) = key(&bench, json!({})).await;
    let (disabled, _) = key(&bench, json!({"isActive": false})).await;
    let account = account(&bench, "main").await;
    let of = |number, key: &Value, model: &str, cost, at| {
        let mut event = event(at, number, key, &account);
        (event.model, event.cost) = (model.to_owned(), MicroUsd(cost));
        event
    };
    let events = [
        of(1, &first, "claude-opus-4-1", 5_000_000, NOW),
        of(2, &first, "claude-sonnet-4-5", 3_000_000, NOW),
        of(3, &second, "claude-sonnet-4-5", 4_000_000, NOW),
        of(4, &disabled, "claude-haiku-4-5", 9_000_000, NOW),
        // Of this month, not of today: it is past midnight where the operator is.
        of(5, &second, "claude-opus-4-1", 1_000_000, NOW - 3 * 86_400_000),
        of(6, &second, "claude-haiku-4-5", 500_000, NOW - 40 * 86_400_000),
    ];
    bench.app.ledger.append("b", &events, NOW).await.unwrap();
    let ids = json!([first["id"], second["id"], disabled["id"], "*"]);
    let rows = async |body: Value| {
        let answer = ask(&bench, "batch-model-stats", body).await.is(200).json;
        let rows: Vec<(String, u64, f64)> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["model"].as_str().unwrap().to_owned(),
                    row["requests"].as_u64().unwrap(),
                    row["costs"]["total"].as_f64().unwrap(),
                )
            })
            .collect();
        (answer["period"].as_str().unwrap().to_owned(), rows)
    };
    let row = |model: &str, requests, cost| (model.to_owned(), requests, cost);
    assert_eq!(
        rows(json!({"apiIds": ids})).await,
        (
            "daily".to_owned(),
            vec![row("claude-sonnet-4-5", 2, 7.0), row("claude-opus-4-1", 1, 5.0)]
        )
    );
    assert_eq!(
        rows(json!({"apiIds": ids, "period": "monthly"})).await,
        (
            "monthly".to_owned(),
            vec![row("claude-sonnet-4-5", 2, 7.0), row("claude-opus-4-1", 2, 6.0)]
        )
    );
    assert_eq!(
        rows(json!({"apiIds": [disabled["id"]]})).await,
        ("daily".to_owned(), Vec::new())
    );
    for ids in [json!([]), json!(vec!["x"; 31])] {
        ask(&bench, "batch-model-stats", json!({"apiIds": ids}))
            .await
            .is(400);
    }
}

/// The events of a test call.
async fn test_call(bench: &Bench, body: Value) -> Vec<Value> {
    let request = Request::post("/apiStats/api-key/test")
        .extension(ClientAddress(None))
        .header("user-agent", "a-script/1.0")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let events = text.split_terminator("\n\n");
    events
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_test_of_a_key_is_a_real_call_that_is_told_in_events() {
    let bench = Bench::new().await;
    let (_, text) = key(&bench, json!({})).await;
    account(&bench, "the-secret-account").await;
    let say = |events: &[Value]| {
        let text = events
            .iter()
            .fold(String::new(), |text, event| text + &format!("data: {event}\n\n"));
        let body = http_body_util::Full::new(bytes::Bytes::from(text));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let answer = http::Response::builder()
            .header("content-type", "text/event-stream")
            .body(body)
            .unwrap();
        bench.provider.will(async { Ok(answer) });
    };
    let start = json!({"type": "message_start", "message": {"id": "m", "model": "claude-opus-4-1", "usage": {"input_tokens": 1, "output_tokens": 1}}});
    let delta = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    say(&[
        start.clone(),
        delta("Hel"),
        delta("lo"),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]);
    let events = test_call(
        &bench,
        json!({"apiKey": text, "model": "claude-opus-4-1", "prompt": "ping", "maxTokens": 100}),
    )
    .await;
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "test_start",
            "content",
            "content",
            "message_stop",
            "test_complete"
        ]
    );
    assert_eq!(
        (&events[1]["text"], &events[2]["text"]),
        (&json!("Hel"), &json!("lo"))
    );
    let last = &events[4];
    assert_eq!((&last["success"], &last["error"]), (&json!(true), &Value::Null));
    assert!(last["requestId"].as_str().unwrap().starts_with("req_"), "{last}");
    {
        let asked = bench.provider.asked.lock().unwrap();
        let (request, _) = &asked[0];
        let sent: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(
            sent,
            json!({"model": "claude-opus-4-1", "max_tokens": 100, "stream": true,
                "messages": [{"role": "user", "content": "ping"}]})
        );
        assert_eq!(request.headers()["user-agent"], "a-script/1.0");
        assert!(!format!("{:?}", request.headers()).contains(&text));
    }
    // An error within the stream, and a stream that ends too early.
    say(&[
        start.clone(),
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy now"}}),
    ]);
    let events = test_call(&bench, json!({"apiKey": text})).await;
    let last = events.last().unwrap();
    assert_eq!(last["success"], false, "{events:?}");
    say(&[start, delta("Hel")]);
    let events = test_call(&bench, json!({"apiKey": text})).await;
    assert_eq!(events.last().unwrap()["success"], false, "{events:?}");
    assert!(!format!("{events:?}").contains("the-secret-account"));
}

#[tokio::test]
async fn a_test_of_a_key_that_is_refused_says_why() {
    let bench = Bench::new().await;
    let (_, text) = key(&bench, json!({"permissions": ["openai"]})).await;
    let events = test_call(&bench, json!({"apiKey": text})).await;
    let last = events.last().unwrap();
    assert_eq!(last["success"], false);
    assert!(!last["error"].as_str().unwrap().is_empty() && last["requestId"].is_string());
    assert!(bench.provider.asked.lock().unwrap().is_empty());
    let asked = async |body: Value| {
        let request = Request::post("/apiStats/api-key/test").extension(ClientAddress(None));
        bench
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await
    };
    assert_eq!(asked(json!({})).await.is(400).json["error"], "missing_key");
    assert_eq!(
        asked(json!({"apiKey": "cr_0123456789abcdef"})).await.is(401).json["error"],
        "unknown_key"
    );
    asked(json!({"apiKey": text, "maxTokens": 5_000}))
        .await
        .refuses(422, "invalid_field", "maxTokens");
}

#[tokio::test]
async fn the_address_of_crs_leads_to_the_page() {
    let bench = Bench::new().await;
    let request = Request::get("/apiStats?apiId=1").body(Body::empty()).unwrap();
    let answer = bench.send(request).await.is(302);
    assert_eq!(answer.headers["location"], "/admin-next/api-stats?apiId=1");
}

#[tokio::test]
async fn who_asks_too_often_waits_and_others_do_not() {
    let bench = Bench::new().await;
    let (first, text) = key(&bench, json!({})).await;
    let (_, other) = key(&bench, json!({})).await;
    // Of one key, from many addresses.
    for number in 0..30 {
        ask_from(
            &bench,
            &format!("10.0.1.{number}"),
            "get-key-id",
            json!({"apiKey": text}),
        )
        .await
        .is(200);
    }
    let slow = ask_from(&bench, "10.0.2.1", "get-key-id", json!({"apiKey": text}))
        .await
        .is(429);
    assert_eq!(
        (&slow.json["error"], slow.headers["retry-after"].as_str()),
        (&json!("too_many_requests"), "2")
    );
    ask_from(&bench, "10.0.2.1", "user-stats", json!({"apiId": first["id"]}))
        .await
        .is(429);
    ask_from(&bench, "10.0.2.1", "get-key-id", json!({"apiKey": other}))
        .await
        .is(200);
    // From one address, with whatever.
    for _ in 0..60 {
        ask_from(
            &bench,
            "10.0.3.1",
            "get-key-id",
            json!({"apiKey": "no key at all"}),
        )
        .await
        .is(401);
    }
    ask_from(&bench, "10.0.3.1", "get-key-id", json!({"apiKey": other}))
        .await
        .is(429);
    bench.clock.jump(NOW + 2_000);
    ask_from(&bench, "10.0.3.1", "get-key-id", json!({"apiKey": text}))
        .await
        .is(200);
}

#[tokio::test]
async fn the_page_may_be_on_another_origin() {
    let bench = Bench::with(&[("CONSOLE_ORIGIN", "https://console.example.com")]).await;
    let request = Request::builder()
        .method("OPTIONS")
        .uri("/apiStats/api/user-stats")
        .header("origin", "https://console.example.com")
        .header("access-control-request-method", "POST");
    let answer = bench.send(request.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://console.example.com"
    );
}
