//! Every limit of a key holds to the request and to the cent, from any crowd; each refusal says which limit it is,
//! when it lifts, and whether to try again.

use std::time::Duration;

use crs_support::client::{Answer, Client, Raw};
use crs_support::provider::{Script, Usage};
use serde_json::{Value, json};

use super::HOST;
use super::support::{Ready, entries, micro_usd, ready, slots_are_free};
use crs_support::eventually;
use crs_support::relay::{Host, Key};

/// Calls at once.
const CROWD: usize = 200;

/// How many of a crowd got through; the others were told 429.
async fn admitted(r: &Ready, secret: &str, crowd: usize) -> usize {
    let client = r.relay.client(secret);
    let calls = (0..crowd).map(|_| client.messages("hi").send());
    let answers = futures_util::future::join_all(calls).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(
        good + refused,
        crowd,
        "others: {:?}",
        answers.iter().find(|a| a.status != 200 && a.status != 429)
    );
    good
}

async fn record(r: &Ready, id: &str) -> Value {
    r.relay
        .admin()
        .get(&format!("/admin/api-keys/{id}"))
        .await
        .good()
        .json()
}

/// A key with one slot and a queue behind it; `patience` in milliseconds.
async fn one_slot(r: &Ready, queue: u32, patience: u32) -> Key {
    r.relay
        .key("queue")
        .set("concurrencyLimit", 1)
        .set("concurrencyQueueSize", queue)
        .set("concurrencyQueueTimeout", patience)
        .create()
        .await
}

/// A call that has the slot until it is reset.
async fn holds_the_slot(r: &Ready, client: &Client, words: &str) -> Raw {
    r.provider
        .next(Script::message("holds the slot").stall_before_head());
    let holder = client.messages(words).stream().sent().await;
    r.provider.wait_for(1).await;
    holder
}

fn said(answer: &Answer) -> String {
    answer.json()["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

#[tokio::test]
async fn a_window_of_requests_admits_exactly_its_limit() {
    let r = ready().await;
    let key = r
        .relay
        .key("window")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 17)
        .create()
        .await;
    assert_eq!(admitted(&r, &key.secret, CROWD).await, 17);
    assert_eq!(r.provider.calls(), 17);
    let answer = r
        .relay
        .client(&key.secret)
        .messages("hi")
        .send()
        .await
        .expect(429);
    assert!(
        said(&answer).contains("17") && said(&answer).contains("requests per window"),
        "{}",
        said(&answer)
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let wait: u64 = answer
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    // Counting tokens is free.
    let body = r.client.messages("hi").ask.body;
    let count = r
        .relay
        .client(&key.secret)
        .call("POST", "/v1/messages/count_tokens")
        .body(body);
    count.send().await.good();
}

#[tokio::test]
async fn a_limit_on_cost_stops_at_what_was_spent() {
    let r = ready().await;
    // 1,000 tokens in and 1,000 out of a Sonnet: $0.018.
    r.provider.answer(Script::message("dear").usage(Usage {
        input: 1_000,
        output: 1_000,
        cache_write_5m: 0,
        cache_write_1h: 0,
        cache_read: 0,
    }));
    let key = r.relay.key("daily").set("dailyCostLimit", 0.05).create().await;
    let client = r.relay.client(&key.secret);
    for _ in 0..3 {
        client.messages("hi").send().await.good();
        slots_are_free(&r.relay, &key).await;
    }
    let answer = client.messages("hi").send().await.expect(429);
    assert!(
        said(&answer).contains("$0.05") && said(&answer).contains("per day"),
        "{}",
        said(&answer)
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let wait: u64 = answer
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!(wait <= 86_400, "{wait}");
    // The limit's figure is the ledger's.
    let spent: u64 = entries(&r.relay, 3)
        .await
        .iter()
        .map(|entry| micro_usd(&entry["cost"]))
        .sum();
    let shown = record(&r, &key.id).await["spend"]["day"]["spent"]
        .as_f64()
        .expect("a sum");
    assert!(
        (shown * 1e6 - spent as f64).abs() < 1.0,
        "{shown} USD, {spent} micro-USD"
    );
    // Another key is not touched.
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn a_month_is_refused_when_it_is_spent_and_goes_on_when_it_is_forgiven() {
    let r = ready().await;
    // $0.018 each.
    r.provider.answer(Script::message("dear").usage(Usage {
        input: 1_000,
        output: 1_000,
        cache_write_5m: 0,
        cache_write_1h: 0,
        cache_read: 0,
    }));
    let key = r
        .relay
        .key("monthly")
        .set("monthlyCostLimit", 0.03)
        .create()
        .await;
    let client = r.relay.client(&key.secret);
    for _ in 0..2 {
        client.messages("hi").send().await.good();
        slots_are_free(&r.relay, &key).await;
    }
    let answer = client.messages("hi").send().await.expect(429);
    assert!(
        said(&answer).contains("$0.03 for cost per month"),
        "{}",
        said(&answer)
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let month = record(&r, &key.id).await["spend"]["month"].clone();
    assert_eq!(month["spent"].as_f64(), Some(0.036), "{month}");
    // The first of a month, at midnight by the relay's clock.
    let resets = month["resetsAt"].as_str().expect("a time");
    assert!(said(&answer).contains(resets), "{resets}: {}", said(&answer));
    let reset = json!({"which": "month"});
    let path = format!("/admin/api-keys/{}/reset-limits", key.id);
    r.relay.admin().post(&path, &reset).await.good();
    client.messages("hi").send().await.good();
    slots_are_free(&r.relay, &key).await;
    let spend = record(&r, &key.id).await["spend"].clone();
    assert_eq!(
        (spend["month"]["spent"].as_f64(), spend["total"]["spent"].as_f64()),
        (Some(0.018), Some(0.054)),
        "{spend}"
    );
}

#[tokio::test]
async fn a_crowd_cannot_overshoot_a_money_limit_by_more_than_it_holds() {
    let r = ready().await;
    r.provider.answer(
        Script::message("dear")
            .usage(Usage {
                input: 1_000,
                output: 1_000,
                cache_write_5m: 0,
                cache_write_1h: 0,
                cache_read: 0,
            })
            .delay_head(Duration::from_millis(100)),
    );
    let key = r.relay.key("total").set("totalCostLimit", 0.3).create().await;
    let good = admitted(&r, &key.secret, CROWD).await;
    // Each reserves at most what it may answer with: 1,024 tokens out and a little in, $0.0156.
    assert!((1..=20).contains(&good), "{good}");
    slots_are_free(&r.relay, &key).await;
    let spend = record(&r, &key.id).await["spend"]["total"].clone();
    assert_eq!(spend["reserved"].as_f64(), Some(0.0), "{spend}");
    let spent = spend["spent"].as_f64().expect("a sum");
    assert!(
        (spent - 0.018 * good as f64).abs() < 1e-6,
        "{spent} for {good} calls"
    );
    // Beyond the limit only by what the calls that ran used more than they had reserved.
    assert!(spent <= 0.3 + 0.003 * good as f64, "{spent}");
}

#[tokio::test]
async fn only_opus_is_stopped_by_its_own_limit() {
    let r = ready().await;
    r.provider
        .answer(Script::message("dear").model("claude-opus-4-1").usage(Usage {
            input: 1_000,
            output: 1_000,
            cache_write_5m: 0,
            cache_write_1h: 0,
            cache_read: 0,
        }));
    let key = r
        .relay
        .key("opus")
        .set("weeklyOpusCostLimit", 0.05)
        .create()
        .await;
    let client = r.relay.client(&key.secret);
    client.messages("hi").model("claude-opus-4-1").send().await.good();
    slots_are_free(&r.relay, &key).await;
    let answer = client
        .messages("hi")
        .model("claude-opus-4-1")
        .send()
        .await
        .expect(429);
    assert!(said(&answer).contains("Opus"), "{}", said(&answer));
    r.provider.answer(Script::message("cheap"));
    client
        .messages("hi")
        .model("claude-sonnet-4-5")
        .send()
        .await
        .good();
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a client that waits beside the test")]
async fn a_queue_serves_in_order_and_loses_nobody() {
    let r = ready().await;
    r.provider.answer(Script::message("in turn"));
    let key = one_slot(&r, 5, 20_000).await;
    let client = r.relay.client(&key.secret);
    let holder = holds_the_slot(&r, &client, "number 0").await;
    let mut calls = Vec::new();
    for number in 1..5 {
        calls.push(tokio::spawn(client.messages(&format!("number {number}")).send()));
        // One after the other, so that there is an order to keep.
        eventually("it waits", async || {
            (record(&r, &key.id).await["queued"].as_u64() == Some(number)).then_some(())
        })
        .await;
    }
    holder.reset();
    for call in calls {
        let answer = call.await.expect("a call").good();
        assert!(answer.header("x-queue-wait-ms").is_some());
    }
    let order: Vec<_> = r
        .provider
        .requests()
        .iter()
        .map(|seen| seen.text().split("number ").nth(1).expect("a number")[..1].to_owned())
        .collect();
    assert_eq!(order, ["0", "1", "2", "3", "4"]);
    slots_are_free(&r.relay, &key).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a client that waits beside the test")]
async fn a_client_that_leaves_gives_up_its_place() {
    let r = ready().await;
    let key = one_slot(&r, 3, 20_000).await;
    let client = r.relay.client(&key.secret);
    let holder = holds_the_slot(&r, &client, "first").await;
    let waiter = client.messages("leaves").stream().sent().await;
    let queued = async |wanted: u64| {
        eventually("the queue", async || {
            (record(&r, &key.id).await["queued"].as_u64() == Some(wanted)).then_some(())
        })
        .await;
    };
    queued(1).await;
    waiter.reset();
    queued(0).await;
    let stays = tokio::spawn(client.messages("stays").send());
    queued(1).await;
    holder.reset();
    stays.await.expect("a call").good();
    assert!(
        !r.provider
            .requests()
            .iter()
            .any(|seen| seen.text().contains("leaves"))
    );
    slots_are_free(&r.relay, &key).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "clients that wait beside the test")]
async fn a_queued_call_hears_that_its_key_was_disabled() {
    let r = ready().await;
    // Far longer than the test may take: only news of the key ends the wait.
    let key = one_slot(&r, 3, 240_000).await;
    let client = r.relay.client(&key.secret);
    let holder = holds_the_slot(&r, &client, "first").await;
    let path = format!("/admin/api-keys/{}", key.id);
    let queued = async |wanted: u64| {
        eventually("the queue", async || {
            (record(&r, &key.id).await["queued"].as_u64() == Some(wanted)).then_some(())
        })
        .await;
    };
    let changed = async |change: Value| {
        r.relay.admin().patch(&path, &change).await.good();
    };
    let waits = tokio::spawn(client.messages("waits").send());
    queued(1).await;
    changed(json!({ "permissions": ["gemini"] })).await;
    let refused = waits.await.expect("a call").expect(403);
    assert!(said(&refused).contains("may not use"), "{}", said(&refused));
    changed(json!({ "permissions": [] })).await;
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(client.messages("waits").send()))
        .collect();
    queued(3).await;
    changed(json!({ "isActive": false })).await;
    for call in calls {
        let refused = call.await.expect("a call");
        assert!(said(&refused).contains("disabled"), "{}", said(&refused));
    }
    assert!(
        !r.provider
            .requests()
            .iter()
            .any(|seen| seen.text().contains("waits"))
    );
    holder.reset();
    slots_are_free(&r.relay, &key).await;
}

#[tokio::test]
async fn a_queue_that_is_full_or_too_slow_says_so() {
    let r = ready().await;
    let key = one_slot(&r, 1, 400).await;
    let client = r.relay.client(&key.secret);
    let holder = holds_the_slot(&r, &client, "first").await;
    let calls = (0..4).map(|_| client.messages("hi").send());
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 429));
    let waited = answers
        .iter()
        .filter(|answer| said(answer).contains("while this one waited"))
        .count();
    let full = answers
        .iter()
        .filter(|answer| said(answer).contains("waiting"))
        .count();
    assert_eq!(
        (waited, full),
        (1, 3),
        "{:?}",
        answers.iter().map(said).collect::<Vec<_>>()
    );
    holder.reset();
    slots_are_free(&r.relay, &key).await;
}

#[tokio::test]
async fn clients_and_models_can_be_chosen() {
    let r = ready().await;
    let key = r
        .relay
        .key("chosen")
        .set("enableClientRestriction", true)
        .set("allowedClients", json!(["claude_code"]))
        .set("enableModelRestriction", true)
        .set("modelRestrictionMode", "allow")
        .set("restrictedModels", json!(["claude-sonnet-4-5"]))
        .create()
        .await;
    let client = r.relay.client(&key.secret);
    let refused = client.messages("hi").send().await.expect(403);
    assert!(said(&refused).contains("claude_code"), "{}", said(&refused));
    let own =
        |call: crs_support::client::Call| call.header("user-agent", "claude-cli/2.1.330 (external, cli)");
    own(client.messages("hi")).send().await.good();
    own(client.messages("hi").model("claude-opus-4-1"))
        .send()
        .await
        .expect(403);
}

#[tokio::test]
async fn a_key_begins_with_its_first_use() {
    let r = ready().await;
    let key = r
        .relay
        .key("later")
        .set("expirationMode", "activation")
        .set("activationDays", 1)
        .set("activationUnit", "hours")
        .create()
        .await;
    assert_eq!(record(&r, &key.id).await["activatedAt"], Value::Null);
    r.relay.client(&key.secret).messages("hi").send().await.good();
    eventually("its record says so", async || {
        (!record(&r, &key.id).await["activatedAt"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bound_key_never_falls_back_in_silence() {
    let r = ready().await;
    let second = r.second_account().await;
    let accounts = r.relay.admin().get("/admin/accounts").await.good().json();
    let id = |name: &str| {
        let items = accounts["items"].as_array().expect("accounts").clone();
        let account = items
            .into_iter()
            .find(|account| account["name"] == name)
            .expect("it");
        account["id"].as_str().expect("an id").to_owned()
    };
    let bound = json!({ "claude": id("second") });
    let key = r.relay.key("bound").set("bindings", bound.clone()).create().await;
    let client = r.relay.client(&key.secret);
    client.messages("hi").send().await.good();
    assert_eq!(r.provider.last_call().credential(), Some(second));
    r.provider
        .for_credential(second)
        .answer(Script::error(429).with_header("retry-after", "60"));
    let calls = r.provider.calls();
    client.messages("hi").send().await.expect(429);
    let answer = client.messages("hi").send().await.expect(429);
    assert!(said(&answer).contains("bound"), "{}", said(&answer));
    assert_eq!(r.provider.calls(), calls + 1, "the other account was not asked");
    let free = r
        .relay
        .key("falls back")
        .set("bindings", bound)
        .set("bindingFallback", true)
        .create()
        .await;
    r.relay.client(&free.secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn limits_outlive_a_crash() {
    applies_here!();
    let mut r = ready().await;
    r.provider.answer(Script::message("dear").usage(Usage {
        input: 1_000,
        output: 1_000,
        cache_write_5m: 0,
        cache_write_1h: 0,
        cache_read: 0,
    }));
    let key = r
        .relay
        .key("kept")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 3)
        .set("dailyCostLimit", 100)
        .create()
        .await;
    for _ in 0..3 {
        r.relay.client(&key.secret).messages("hi").send().await.good();
    }
    entries(&r.relay, 3).await;
    let before = record(&r, &key.id).await["spend"]["day"]["spent"].clone();
    r.relay.kill9().await;
    r.relay.start_again().await;
    r.relay
        .client(&key.secret)
        .messages("hi")
        .send()
        .await
        .expect(429);
    assert_eq!(record(&r, &key.id).await["spend"]["day"]["spent"], before);
}

#[tokio::test]
async fn the_real_limits_of_a_store_that_is_away_still_hold() {
    applies_here!();
    let r = ready().await;
    let key = r
        .relay
        .key("away")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 5)
        .create()
        .await;
    let client = r.relay.client(&key.secret);
    client.messages("hi").send().await.good();
    assert!(matches!(HOST, Host::Redis | Host::Worker));
    r.relay.redis().pause();
    for _ in 0..4 {
        client.messages("hi").send().await.good();
    }
    client.messages("hi").send().await.expect(429);
    r.relay.redis().resume();
    assert_eq!(entries(&r.relay, 5).await.len(), 5);
}

#[tokio::test]
async fn a_window_that_cannot_be_read_is_not_made_up() {
    applies_here!();
    let mut r = ready().await;
    let key = r
        .relay
        .key("unread")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 2)
        .create()
        .await;
    for _ in 0..2 {
        r.relay.client(&key.secret).messages("hi").send().await.good();
    }
    entries(&r.relay, 2).await;
    r.relay.terminate().await;
    r.relay.start_again().await;
    // The first call since the start finds no store: it is not let through on an empty window, then or later.
    r.relay.redis().pause();
    let client = r.relay.client(&key.secret);
    client.messages("hi").send().await.expect(503);
    r.relay.redis().resume();
    eventually("the window is remembered", async || {
        let status = client.messages("hi").send().await.status;
        (status == 429).then_some(())
    })
    .await;
    assert_eq!(r.provider.calls(), 2);
}
