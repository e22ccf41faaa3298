//! Three processes on one Redis act as one relay: limits are exact at any process, a login is renewed once, a queue
//! has one order, and the ledger is consistent.
//!
//! Tests that count calls run `crs ledger verify` at the end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crs_support::eventually;
use crs_support::provider::{FakeProvider, Script, Usage};
use crs_support::redis_server::RedisServer;
use serde_json::{Value, json};

use super::support::{Key, Ready, entries, ready, ready_with};

/// Sends concurrent calls to all processes in turn. Returns how many were admitted; the others got 429.
async fn admitted(r: &Ready, key: &Key, crowd: usize) -> usize {
    let client = r.relay.client(&key.secret);
    let calls = (0..crowd).map(|_| client.messages("hi").send());
    let answers = futures_util::future::join_all(calls).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    let others = answers.iter().find(|answer| !matches!(answer.status, 200 | 429));
    assert!(
        others.is_none(),
        "{:?}",
        others.map(crs_support::client::Answer::raw_text)
    );
    good
}

/// Every sum of the ledger equals that of its events.
async fn ledger_is_consistent(r: &Ready) {
    ledger_is_consistent_at(r, &[0, 1, 2]).await;
}

/// The same, with these processes only.
async fn ledger_is_consistent_at(r: &Ready, processes: &[usize]) {
    let urls = r.relay.urls();
    for process in processes {
        let health = crs_support::client::Client::new(&urls[*process]);
        eventually("all is written", async || {
            let health = health.get("/health").await.expect(200).json();
            (health["components"]["ledger"]["pending"] == 0).then_some(())
        })
        .await;
    }
    let output = r.relay.cli(&["ledger", "verify", "--days", "1", "--json"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let books: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    assert!(output.status.success(), "{books}");
}

/// A figure of each process.
async fn figures(r: &Ready, name: &str) -> Vec<f64> {
    let mut all = Vec::new();
    for url in r.relay.urls() {
        let text = crs_support::client::Client::new(&url)
            .get("/metrics")
            .await
            .good()
            .raw_text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        all.push(
            line.unwrap_or_else(|| panic!("no {name} in {text}"))
                .parse()
                .expect("a figure"),
        );
    }
    all
}

#[tokio::test]
async fn a_window_admits_exactly_its_limit_over_all_processes() {
    let r = ready().await;
    let key = r
        .relay
        .key("window")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 100)
        .create()
        .await;
    assert_eq!(admitted(&r, &key, 600).await, 100);
    assert_eq!(r.provider.calls(), 100);
    assert_eq!(admitted(&r, &key, 30).await, 0);
    let steps = figures(&r, "crs_machine_steps").await;
    assert!(steps.iter().all(|steps| *steps > 0.0), "{steps:?}");
    ledger_is_consistent(&r).await;
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "when a call came to the provider is what is tested"
)]
async fn never_more_at_once_than_the_limit_over_all_processes() {
    const HOLDS: Duration = Duration::from_millis(150);
    let r = ready().await;
    let key = r.relay.key("seven").set("concurrencyLimit", 7).create().await;
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let seen = arrivals.clone();
    r.provider.answer(Script::decide(move |_| {
        seen.lock().expect("a list").push(Instant::now());
        Script::message("one of seven").delay_head(HOLDS)
    }));
    let mut good = 0;
    for _ in 0..6 {
        good += admitted(&r, &key, 60).await;
    }
    assert!((7..=6 * 60).contains(&good), "{good}");
    let arrivals = arrivals.lock().expect("a list").clone();
    for (index, arrival) in arrivals.iter().enumerate() {
        // Earlier calls that certainly still ran.
        let held = arrivals[..index]
            .iter()
            .filter(|earlier| arrival.duration_since(**earlier) < Duration::from_millis(145))
            .count();
        assert!(held < 7, "{} at once", held + 1);
    }
    // All slots are free again, at any process.
    eventually("all slots are free", async || {
        let answers = futures_util::future::join_all((0..7).map(|_| {
            let client = r.relay.client(&key.secret);
            async move { client.messages("hi").send().await.status }
        }))
        .await;
        answers.iter().all(|status| *status == 200).then_some(())
    })
    .await;
    ledger_is_consistent(&r).await;
}

/// A limit on money is exceeded by at most the usage of running calls beyond their reservations.
#[tokio::test]
async fn a_budget_holds_over_all_processes() {
    let r = ready().await;
    // $0.018 each, less than a call reserves.
    r.provider.answer(Script::message("dear").usage(Usage {
        input: 1_000,
        output: 1_000,
        cache_write_5m: 0,
        cache_write_1h: 0,
        cache_read: 0,
    }));
    let key = r.relay.key("budget").set("dailyCostLimit", 0.5).create().await;
    let mut good = 0;
    for _ in 0..20 {
        good += admitted(&r, &key, 30).await;
    }
    // Each reserves at least $0.0154; concurrent calls use up to the difference more.
    assert!((27..=33).contains(&good), "{good}");
    ledger_is_consistent(&r).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long the crowd took is tested too")]
async fn an_ended_login_is_renewed_once_for_all_processes() {
    let provider = FakeProvider::start().await;
    provider.oauth().delay(Duration::from_millis(300));
    let tokens = provider.oauth().issue_expired();
    let relay = super::support::relay(&provider).start().await;
    relay
        .claude_oauth_account("login", &tokens, 1_600_000_000_000)
        .await;
    let key = relay.key("crowd").create().await;
    let client = relay.client(&key.secret);
    let began = Instant::now();
    let calls = (0..200).map(|_| client.messages("hi").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(provider.oauth().refreshes(), 1);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "clients that wait beside the test")]
async fn a_queue_is_served_in_order_at_any_process() {
    let r = ready().await;
    let key = r
        .relay
        .key("queue")
        .set("concurrencyLimit", 1)
        .set("concurrencyQueueSize", 20)
        .set("concurrencyQueueTimeout", 30_000)
        .create()
        .await;
    r.provider
        .answer(Script::message("in turn").delay_head(Duration::from_millis(50)));
    r.provider
        .next(Script::message("holds the slot").deltas(6).stall_after(4));
    let client = r.relay.client(&key.secret);
    let (_, mut holder) = client.messages("first").stream().open().await;
    holder.until("content_block_delta").await;
    let mut calls = Vec::new();
    for number in 0..9 {
        calls.push(tokio::spawn(client.messages(&format!("number {number}")).send()));
        waiting(&r, &key, number + 1).await;
    }
    holder.leave();
    for call in calls {
        call.await.expect("a call").good();
    }
    let order: Vec<String> = r.provider.requests()[1..]
        .iter()
        .map(|request| {
            request.json()["messages"][0]["content"]
                .as_str()
                .expect("words")
                .to_owned()
        })
        .collect();
    let expected: Vec<String> = (0..9).map(|number| format!("number {number}")).collect();
    assert_eq!(order, expected);
    ledger_is_consistent(&r).await;
}

/// Waits until that many calls of the key are queued.
async fn waiting(r: &Ready, key: &Key, count: u64) {
    eventually("a call waits", async || {
        let record = r.relay.admin().get(&format!("/admin/api-keys/{}", key.id)).await;
        (record.good().json()["queued"].as_u64() == Some(count)).then_some(())
    })
    .await;
}

/// Every process knows the cooldown that one process learned.
#[tokio::test]
async fn a_cooldown_is_known_everywhere() {
    let r = ready().await;
    r.provider
        .answer(Script::error(429).with_header("retry-after", "600"));
    let client = r.relay.client(&r.key.secret);
    client.messages("hi").send().await.expect(429);
    let asked = r.provider.calls();
    for _ in 0..6 {
        client.messages("hi").send().await.expect(429);
    }
    assert_eq!(r.provider.calls(), asked, "an account in a cooldown gets no call");
}

/// One process is killed: the others continue, and its leases end.
#[tokio::test]
async fn the_others_go_on_after_a_process_was_killed() {
    let mut r = ready().await;
    for _ in 0..6 {
        r.client.messages("hi").send().await.good();
    }
    r.relay.other(1).kill9();
    let urls = r.relay.urls();
    for url in &urls[..2] {
        let client = crs_support::client::Client::new(&format!("{url}/api")).with_key(&r.key.secret);
        client.messages("hi").send().await.good();
    }
    let health = crs_support::client::Client::new(r.relay.url());
    let shown = health.get("/health").await.good().json();
    assert_eq!(
        shown["components"]["limits"],
        json!({"home": "redis", "kept": 0, "aloneSince": null})
    );
}

/// A process that shuts down frees the slots of its calls before their leases end.
#[tokio::test]
async fn a_process_that_shuts_down_frees_its_slots_at_once() {
    let mut r = ready_with(|setup| setup.env("SHUTDOWN_GRACE", 200)).await;
    let key = r.relay.key("one").set("concurrencyLimit", 1).create().await;
    let _held = holds(&r, &key, 1).await;
    r.relay.other(0).terminate();
    r.relay.other(0).ends(Duration::from_secs(10)).await;
    let elsewhere = at(&r, 0, &key);
    eventually("the slot is free", async || {
        (elsewhere.messages("hi").send().await.status == 200).then_some(())
    })
    .await;
}

/// The slots of a killed process are free after one lease, and another process records its calls.
#[tokio::test]
async fn the_calls_of_a_killed_process_are_recorded_by_another() {
    let mut r = ready_with(|setup| setup.env("SHARED_LEASE", 1_500)).await;
    let keys = [
        r.relay.key("met").set("concurrencyLimit", 1).create().await,
        // No other process ever gets a call of this one.
        r.relay.key("unmet").create().await,
    ];
    let mut held = Vec::new();
    for key in &keys {
        held.push(holds(&r, key, 1).await);
    }
    r.relay.other(0).kill9();
    at(&r, 0, &keys[0]).messages("hi").send().await.expect(429);
    let lost = entries_of(&r, "call_lost", 2).await;
    let mut names: Vec<_> = lost
        .iter()
        .map(|entry| entry["keyName"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["met", "unmet"]);
    for entry in &lost {
        assert_eq!(
            (entry["quality"].as_str(), entry["stream"].as_bool()),
            (Some("partial"), Some(true))
        );
    }
    at(&r, 2, &keys[0]).messages("hi").send().await.good();
    ledger_is_consistent_at(&r, &[0, 2]).await;
}

/// A process that was stopped for longer than its leases finds that others recorded its calls, and counts none of
/// them twice.
#[tokio::test]
async fn a_process_that_was_stopped_counts_nothing_twice() {
    let mut r = ready_with(|setup| setup.env("SHARED_LEASE", 1_000)).await;
    let key = r.relay.key("stopped").create().await;
    r.provider.next(
        Script::message("longer than the pause")
            .deltas(30)
            .every(Duration::from_millis(150)),
    );
    let (_, mut raw) = at(&r, 1, &key).messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    r.relay.other(0).pause();
    entries_of(&r, "call_lost", 1).await;
    r.relay.other(0).resume();
    raw.until("message_stop").await;
    at(&r, 1, &key).messages("hi").send().await.good();
    assert_eq!(entries(&r.relay, 2).await.len(), 2);
    ledger_is_consistent(&r).await;
    assert_eq!(entries(&r.relay, 2).await.len(), 2);
}

/// A change by the operator at one process takes effect at all of them within a second.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how soon it holds is what is tested")]
async fn a_change_by_the_operator_holds_everywhere_within_a_second() {
    const SOON: Duration = Duration::from_secs(1);
    let r = ready().await;
    let urls = r.relay.urls();
    let admins: Vec<_> = {
        let token = r.relay.token().to_owned();
        urls.iter()
            .map(|url| crs_support::client::Client::new(url).with_bearer(&token))
            .collect()
    };
    for process in 0..3 {
        at(&r, process, &r.key).messages("hi").send().await.good();
    }

    // A key: its streams end at every process, and new calls are refused.
    let key = r.relay.key("gone soon").create().await;
    let mut raw = holds(&r, &key, 2).await;
    let changed = Instant::now();
    admins[0]
        .patch(
            &format!("/admin/api-keys/{}", key.id),
            &json!({"isActive": false}),
        )
        .await
        .good();
    raw.until("event: error").await;
    for process in 0..3 {
        at(&r, process, &key).messages("hi").send().await.expect(401);
    }
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());

    // A price.
    let prices = json!({"overrides": {"claude-sonnet-4-20250514": {"input": 1.0, "output": 2.0}}});
    let changed = Instant::now();
    let set = admins[1].put("/admin/prices", &prices).await;
    assert!(set.status < 300, "{}", set.raw_text());
    // The site's name.
    admins[2]
        .put("/admin/oem-settings", &json!({"siteName": "Ours"}))
        .await
        .good();
    for url in &urls {
        eventually("the name is known", async || {
            let shown = crs_support::client::Client::new(url)
                .get("/admin/oem-settings")
                .await;
            shown.raw_text().contains("Ours").then_some(())
        })
        .await;
    }
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());

    // A disabled account serves no call.
    let accounts = admins[0].get("/admin/accounts").await.good().json();
    let id = accounts["items"][0]["id"].as_str().expect("an id").to_owned();
    let changed = Instant::now();
    admins[0]
        .patch(&format!("/admin/accounts/{id}"), &json!({"isActive": false}))
        .await
        .good();
    for process in 0..3 {
        let answer = at(&r, process, &r.key).messages("hi").send().await;
        assert!(answer.status >= 400, "{}", answer.raw_text());
    }
    assert!(changed.elapsed() < SOON, "{:?}", changed.elapsed());
}

/// Redis loses everything: leases of all processes stay.
#[tokio::test]
async fn a_redis_that_starts_empty_gets_the_leases_again() {
    let mut redis = RedisServer::start();
    let provider = FakeProvider::start().await;
    let relay = super::support::relay(&provider)
        .env("REDIS_URL", redis.url(0))
        // The records are lost with it, so they must not be read again.
        .env("RECORD_MAX_AGE", 3_600_000)
        .start()
        .await;
    relay.claude_account("first", super::support::ACCOUNT_KEY).await;
    let key = relay.key("two").set("concurrencyLimit", 2).create().await;
    let client = relay.client(&key.secret);
    let r = Ready {
        provider,
        relay,
        key,
        client,
    };
    // The records of accounts are lost, too: each process must have read them before.
    for process in 0..3 {
        at(&r, process, &r.key).messages("hi").send().await.good();
    }
    let first = holds(&r, &r.key, 0).await;
    let _second = holds(&r, &r.key, 1).await;
    for process in 0..3 {
        at(&r, process, &r.key).messages("hi").send().await.expect(429);
    }
    redis.start_again();
    for process in 0..3 {
        at(&r, process, &r.key).messages("hi").send().await.expect(429);
    }
    first.leave();
    eventually("the slot is free at another process", async || {
        (at(&r, 2, &r.key).messages("hi").send().await.status == 200).then_some(())
    })
    .await;
}

/// A client of one process, from 0.
fn at(r: &Ready, process: usize, key: &Key) -> crs_support::client::Client {
    let url = &r.relay.urls()[process];
    crs_support::client::Client::new(&format!("{url}/api")).with_key(&key.secret)
}

/// Opens a stream at that process that does not end.
async fn holds(r: &Ready, key: &Key, process: usize) -> crs_support::client::Raw {
    r.provider
        .next(Script::message("it never ends").deltas(8).stall_after(4));
    let (_, mut raw) = at(r, process, key).messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    raw
}

/// The ledger's entries with that error, once there are `count` of them.
async fn entries_of(r: &Ready, error: &str, count: usize) -> Vec<Value> {
    let client = crs_support::client::Client::new(r.relay.url()).with_bearer(r.relay.token());
    eventually("the calls are in the ledger", async || {
        let page = client.get("/admin/requests?pageSize=100").await;
        let items = page.good().json()["items"].as_array().expect("items").clone();
        let lost: Vec<_> = items.into_iter().filter(|item| item["error"] == error).collect();
        (lost.len() >= count).then_some(lost)
    })
    .await
}
