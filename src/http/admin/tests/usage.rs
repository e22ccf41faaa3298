//! `/admin/usage`, `/admin/requests` and `/admin/prices`.

use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::price::Terms;
use crate::model::usage::{LedgerEvent, Quality, Tokens};

/// An hour in milliseconds.
const HOUR: u64 = 3_600_000;

pub(super) fn event(at: u64, number: u128, key: &Value, account: &Value) -> LedgerEvent {
    LedgerEvent {
        request_id: format!("req_{:032x}", (u128::from(at) << 80) | number),
        at,
        key_id: key["id"].as_str().unwrap().to_owned(),
        key_name: key["name"].as_str().unwrap().to_owned(),
        account_id: account["id"].as_str().unwrap().to_owned(),
        account_name: account["name"].as_str().unwrap().to_owned(),
        platform: Platform::Claude,
        endpoint: "messages".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        stream: true,
        status: 200,
        error: None,
        detail: None,
        tokens: Tokens {
            input: 10,
            output: 5,
            ..Tokens::default()
        },
        cost: MicroUsd(100),
        charges: Vec::new(),
        price_version: "test".to_owned(),
        quality: Quality::Exact,
        first_byte_ms: Some(20),
        duration_ms: 300,
        attempts: 1,
        client: "claude-cli/2.0".to_owned(),
        session: None,
        trace: None,
    }
}

pub(super) async fn key(bench: &Bench, name: &str) -> Value {
    bench
        .post("/admin/api-keys", json!({ "name": name }))
        .await
        .is(201)
        .json
}

pub(super) async fn account(bench: &Bench, name: &str) -> Value {
    let body = json!({"name": name, "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}});
    bench.post("/admin/accounts", body).await.is(201).json
}

/// Two keys and an account. At `NOW` it is midnight where the operator is: one call was yesterday.
pub(super) async fn used() -> (Bench, Value, Value, Value) {
    let bench = Bench::new().await;
    let (first, second) = (key(&bench, "first").await, key(&bench, "second").await);
    let account = account(&bench, "main").await;
    let mut failed = event(NOW + 2 * HOUR, 3, &second, &account);
    failed.status = 529;
    failed.error = Some("provider_overloaded".to_owned());
    failed.detail = Some("Overloaded".to_owned());
    failed.cost = MicroUsd(900);
    let events = [
        event(NOW - 1, 1, &first, &account),
        event(NOW + HOUR, 2, &first, &account),
        failed,
    ];
    bench.clock.jump(NOW + 3 * HOUR);
    bench
        .app
        .ledger
        .append("b1", &events, NOW + 3 * HOUR)
        .await
        .unwrap();
    (bench, first, second, account)
}

#[tokio::test]
async fn sums_are_by_the_operators_day_and_name_who() {
    let (bench, first, second, account) = used().await;
    let today = bench.get("/admin/usage/summary").await.is(200).json;
    assert_eq!(
        (&today["range"], &today["utcOffsetMinutes"]),
        (&json!("today"), &json!(480))
    );
    assert_eq!(today["totals"]["requests"], 2);
    assert_eq!(today["totals"]["errors"], 1);
    assert_eq!(today["totals"]["cost"], 0.001);
    assert_eq!(today["totals"]["output"], 10);
    let names: Vec<&Value> = today["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    assert_eq!(names, ["second", "first"]);
    assert_eq!(today["keys"][0]["id"], second["id"]);
    assert_eq!(today["accounts"][0]["name"], "main");
    assert_eq!(today["models"][0]["model"], "claude-sonnet-4-5");
    let week = bench
        .get("/admin/usage/summary?range=7days&top=1")
        .await
        .is(200)
        .json;
    assert_eq!(week["totals"]["requests"], 3);
    assert_eq!(week["keys"].as_array().unwrap().len(), 1);

    // Who is gone has sums, and no name.
    bench
        .delete(&format!("/admin/accounts/{}", account["id"].as_str().unwrap()))
        .await
        .is(204);
    let all = bench.get("/admin/usage/summary?range=all").await.is(200).json;
    assert_eq!(
        (&all["accounts"][0]["name"], &all["accounts"][0]["id"]),
        (&Value::Null, &account["id"])
    );
    assert_eq!(all["totals"]["requests"], 3);

    let shown = bench
        .get(&format!("/admin/api-keys/{}", first["id"].as_str().unwrap()))
        .await
        .json;
    assert_eq!(shown["lastUsedAt"], "2025-11-24T17:00:00.000Z");
    for (query, field) in [("range=week", "range"), ("top=0", "top"), ("top=26", "top")] {
        bench
            .get(&format!("/admin/usage/summary?{query}"))
            .await
            .refuses(422, "invalid_field", field);
    }
}

#[tokio::test]
async fn an_account_was_last_used_when_the_ledger_says() {
    let (bench, _, _, account) = used().await;
    let shown = bench
        .get(&format!("/admin/accounts/{}", account["id"].as_str().unwrap()))
        .await
        .json;
    assert_eq!(shown["lastUsedAt"], "2025-11-24T18:00:00.000Z");
    assert_eq!(
        bench.get("/admin/accounts").await.json["items"][0]["lastUsedAt"],
        shown["lastUsedAt"]
    );
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let (bench, first, second, account) = used().await;
    let numbers = async |query: String| -> String {
        let page = bench.get(&format!("/admin/requests?{query}")).await.is(200).json;
        let last = |item: &Value| item["requestId"].as_str().unwrap().chars().last().unwrap();
        page["items"].as_array().unwrap().iter().map(last).collect()
    };
    assert_eq!(numbers(String::new()).await, "321");
    assert_eq!(
        numbers(format!("keyId={}", first["id"].as_str().unwrap())).await,
        "21"
    );
    assert_eq!(
        numbers(format!("keyId={}", second["id"].as_str().unwrap())).await,
        "3"
    );
    assert_eq!(
        numbers(format!("accountId={}", account["id"].as_str().unwrap())).await,
        "321"
    );
    assert_eq!(numbers("model=claude-opus-4-1".to_owned()).await, "");
    assert_eq!(numbers("status=529".to_owned()).await, "3");
    assert_eq!(numbers("errorsOnly=true".to_owned()).await, "3");
    // Days are the operator's, and a day as the end is within.
    assert_eq!(numbers("from=2025-11-25".to_owned()).await, "32");
    assert_eq!(numbers("to=2025-11-24".to_owned()).await, "1");
    assert_eq!(numbers("from=2025-11-25&to=2025-11-25".to_owned()).await, "32");
    assert_eq!(
        numbers("from=2025-11-24T16:00:00Z&to=2025-11-24T18:00:00Z".to_owned()).await,
        "2"
    );

    let page = bench.get("/admin/requests?pageSize=2").await.is(200).json;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["pageSize"]),
        (2, &json!(2))
    );
    let cursor = page["nextCursor"].as_str().unwrap();
    assert_eq!(numbers(format!("pageSize=2&cursor={cursor}")).await, "1");
    assert_eq!(numbers("pageSize=2&page=2".to_owned()).await, "1");
    assert_eq!(numbers("pageSize=2&page=3".to_owned()).await, "");
    for (query, code, field) in [
        ("page=0".to_owned(), "invalid_field", "page"),
        ("page=51&pageSize=100".to_owned(), "invalid_field", "page"),
        (format!("page=1&cursor={cursor}"), "invalid_field", "page"),
        ("cursor=x".to_owned(), "invalid_field", "cursor"),
        ("from=yesterday".to_owned(), "invalid_field", "from"),
        ("to=2025-13-01".to_owned(), "invalid_field", "to"),
        ("status=ok".to_owned(), "invalid_field", "status"),
        ("key=x".to_owned(), "unknown_field", "key"),
    ] {
        bench
            .get(&format!("/admin/requests?{query}"))
            .await
            .refuses(422, code, field);
    }
}

#[tokio::test]
async fn one_call_is_found_by_its_id() {
    let (bench, _, second, _) = used().await;
    let id = format!("req_{:032x}", (u128::from(NOW + 2 * HOUR) << 80) | 3);
    let call = bench.get(&format!("/admin/requests/{id}")).await.is(200).json;
    assert_eq!(call["requestId"], id);
    assert_eq!(call["at"], "2025-11-24T18:00:00.000Z");
    assert_eq!(
        (&call["keyId"], &call["status"], &call["error"]),
        (&second["id"], &json!(529), &json!("provider_overloaded"))
    );
    assert_eq!(
        (&call["detail"], &call["quality"], &call["cost"]),
        (&json!("Overloaded"), &json!("exact"), &json!(0.000_9))
    );
    for unknown in ["nope", "req_00000000000000000000000000000000", "req_ü"] {
        let path: String = unknown.replace('ü', "%C3%BC");
        bench.get(&format!("/admin/requests/{path}")).await.is(404);
    }
}

#[tokio::test]
async fn the_operators_prices_hold_from_the_next_call_on_and_after_a_restart() {
    let bench = Bench::new().await;
    let first = bench.get("/admin/prices").await.is(200).json;
    assert_eq!(
        (&first["overrides"], &first["updatedAt"]),
        (&json!({}), &Value::Null)
    );
    let cost = |bench: &Bench| {
        let tokens = Tokens {
            input: 1_000_000,
            ..Tokens::default()
        };
        let book = bench.app.prices();
        book.bill(
            "house-model",
            Platform::Claude,
            &tokens,
            &Terms::default(),
            Quality::Exact,
        )
    };
    let before = cost(&bench);
    assert_eq!(before.quality, Quality::Estimated);
    let body = json!({"overrides": {"house-model": {"input": 1.25, "output": 6}}});
    let set = bench.call("PUT", "/admin/prices", &body).await.is(200).json;
    assert_eq!(set["overrides"]["house-model"]["input"], 1.25);
    assert_eq!(
        (cost(&bench).cost, cost(&bench).quality),
        (MicroUsd(1_250_000), Quality::Exact)
    );
    assert_eq!(bench.get("/admin/prices").await.is(200).json, set);

    let restarted = crate::app::assemble(bench.app.config.clone(), bench.app.ports.clone(), None);
    restarted.load().await.unwrap();
    let mut again = bench.clone();
    again.app = restarted;
    assert_eq!(cost(&again).cost, MicroUsd(1_250_000));

    bench
        .call("PUT", "/admin/prices", &json!({"overrides": {}}))
        .await
        .is(200);
    assert_eq!(cost(&bench), before);
}

#[tokio::test]
async fn what_is_no_price_is_refused_by_name() {
    let bench = Bench::new().await;
    for (body, code, field) in [
        (json!({}), "missing_field", "overrides"),
        (json!({"overrides": []}), "invalid_field", "overrides"),
        (
            json!({"overrides": {"m": {"input": 1}}}),
            "missing_field",
            "overrides.m.output",
        ),
        (
            json!({"overrides": {"m": {"input": "1", "output": 1}}}),
            "invalid_field",
            "overrides.m.input",
        ),
        (
            json!({"overrides": {"m": {"input": -1, "output": 1}}}),
            "invalid_field",
            "overrides.m.input",
        ),
        (
            json!({"overrides": {"m": {"input": 1, "output": 1, "in": 1}}}),
            "unknown_field",
            "overrides.m.in",
        ),
        (
            json!({"overrides": {"m": [1, 1]}}),
            "invalid_field",
            "overrides.m",
        ),
        (
            json!({"overrides": {"": {"input": 1, "output": 1}}}),
            "invalid_field",
            "overrides",
        ),
    ] {
        bench
            .call("PUT", "/admin/prices", &body)
            .await
            .refuses(422, code, field);
    }
    assert_eq!(bench.get("/admin/prices").await.json["overrides"], json!({}));
}

#[tokio::test]
async fn older_prices_do_not_come_back() {
    let bench = Bench::new().await;
    let book = |input: f64| {
        let overrides = serde_json::from_value(json!({"m": {"input": input, "output": 1.0}})).unwrap();
        crate::model::price::PriceBook::new(&overrides).unwrap()
    };
    bench.app.set_prices(2, book(2.0));
    // Slower than the change after it.
    bench.app.set_prices(1, book(1.0));
    let tokens = Tokens {
        input: 1_000_000,
        ..Tokens::default()
    };
    let bill = bench
        .app
        .prices()
        .bill("m", Platform::Claude, &tokens, &Terms::default(), Quality::Exact);
    assert_eq!(bill.cost, MicroUsd(2_000_000));
}
