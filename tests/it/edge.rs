//! What is true of the Worker only: what a call costs there, and what becomes of it when an isolate or an object is
//! gone. The rest of the suite runs there too.

use std::time::Duration;

use crs_support::client::Client;
use crs_support::crs::{Crs, Edition};
use crs_support::provider::{FakeProvider, Script};
use crs_support::redis_server::RedisServer;
use crs_support::relay::{Relay, Setup};
use crs_support::upstash::Manner;
use crs_support::{eventually, within};
use serde_json::{Value, json};

use super::support::{ACCOUNT_KEY, Ready, entries, ready, ready_with, relay, slots_are_free};

/// Long enough that no batch of the ledger is written while something is counted.
const LATER: u64 = 60_000;

/// The bound on what waits for a store, with some for the machine's being busy.
const PROMPTLY: Duration = Duration::from_secs(4);

/// What the platform would bill, as `/metrics` has it.
async fn units(relay: &Relay, service: &str) -> u64 {
    let text = relay.metrics().await;
    let line = format!("crs_platform_units{{service=\"{service}\"}} ");
    text.lines()
        .find_map(|metric| metric.strip_prefix(&line))
        .unwrap_or_else(|| panic!("no {service} in {text}"))
        .parse()
        .expect("a number")
}

/// Calls until machines, accounts and prices are known.
async fn warm(r: &Ready) {
    for _ in 0..3 {
        r.client.messages("hi").send().await.good();
    }
}

#[tokio::test]
async fn a_warm_call_costs_four_messages_and_no_command() {
    let r = ready_with(|setup| setup.env("LEDGER_FLUSH_INTERVAL", LATER)).await;
    warm(&r).await;
    slots_are_free(&r.relay, &r.key).await;
    let (messages, commands) = (
        units(&r.relay, "object_requests").await,
        r.relay.upstash().commands(),
    );
    for _ in 0..10 {
        r.client.messages("hi").send().await.good();
        r.client.messages("hi").stream().send().await.good();
    }
    eventually("the calls are settled", async || {
        let spent = units(&r.relay, "object_requests").await - messages;
        assert!(spent <= 80, "{spent} messages for 20 calls");
        (spent == 80).then_some(())
    })
    .await;
    assert_eq!(
        r.relay.upstash().commands() - commands,
        0,
        "{:?}",
        r.relay.upstash().log()
    );
    // What would be billed is told, and so is what a month of it costs.
    let text = r.relay.metrics().await;
    for service in [
        "worker_requests",
        "object_requests",
        "object_rows_written",
        "store_commands",
    ] {
        assert!(
            text.contains(&format!(
                "crs_platform_monthly_micro_usd{{service=\"{service}\"}}"
            )),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_ledger_is_written_in_batches() {
    let r = ready_with(|setup| setup.env("LEDGER_FLUSH_INTERVAL", 1_000)).await;
    warm(&r).await;
    r.entries(3).await;
    let before = scripts(&r.relay);
    let calls = (0..60).map(|_| r.client.messages("hi").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(r.entries(63).await.len(), 63);
    let written = scripts(&r.relay) - before;
    assert!(written <= 10, "{written} commands for 60 calls");
}

/// Scripts run so far: batches of the ledger, and what admins change.
fn scripts(relay: &Relay) -> usize {
    relay
        .upstash()
        .log()
        .iter()
        .filter(|command| command.as_str() == "EVAL")
        .count()
}

#[tokio::test]
async fn a_flood_of_garbage_keys_costs_nothing() {
    let r = ready_with(|setup| setup.env("LEDGER_FLUSH_INTERVAL", LATER)).await;
    warm(&r).await;
    slots_are_free(&r.relay, &r.key).await;
    let (messages, commands) = (
        units(&r.relay, "object_requests").await,
        r.relay.upstash().commands(),
    );
    let plain = Client::new(&r.relay.api());
    let flood = (0..20).map(|lane| {
        let plain = plain.clone();
        async move {
            for number in 0..500 {
                // As long as a key of ours, and of its alphabet.
                let garbage = format!("cr_{:064x}", lane * 1_000_000 + number);
                plain
                    .messages("hi")
                    .header("x-api-key", &garbage)
                    .send()
                    .await
                    .expect(401);
            }
        }
    });
    within(
        Duration::from_mins(2),
        "10,000 answers",
        futures_util::future::join_all(flood),
    )
    .await;
    assert_eq!(units(&r.relay, "object_requests").await, messages);
    assert_eq!(r.relay.upstash().commands(), commands);
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn what_is_not_set_is_said_in_every_answer() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("JWT_SECRET", "")
        .env("ENCRYPTION_KEY", "CHANGE-THIS-32-CHARACTER-KEY-NOW")
        .env("ADMIN_PASSWORD", "")
        .start_unready()
        .await;
    let plain = Client::new(relay.url());
    for path in ["/health", "/api/v1/models", "/admin/api-keys", "/"] {
        let answer = plain.get(path).await.expect(503);
        let said = answer.json()["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned();
        for name in ["JWT_SECRET", "ENCRYPTION_KEY"] {
            assert!(said.contains(name), "{path}: {said}");
        }
        assert!(!said.contains("CHANGE-THIS"), "{said}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    let page = plain
        .call("GET", "/")
        .header("accept", "text/html,*/*")
        .send()
        .await
        .expect(503);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let page = page.raw_text();
    assert!(
        page.contains("JWT_SECRET") && page.contains("wrangler secret put"),
        "{page}"
    );
    assert!(
        !page.contains("panicked") && !page.contains(".rs:"),
        "no stack: {page}"
    );
}

#[tokio::test]
async fn another_encryption_key_serves_nobody_and_touches_nothing() {
    let mut r = ready().await;
    r.client.messages("hi").send().await.good();
    r.entries(1).await;
    r.relay.terminate().await;
    let other = relay(&r.provider)
        .data_of(&r.relay)
        .env("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja")
        .start_unready()
        .await;
    for path in ["/health", "/api/v1/models"] {
        let said = Client::new(other.url()).get(path).await.expect(503).raw_text();
        assert!(
            said.contains("ENCRYPTION_KEY") && said.contains("fingerprint"),
            "{said}"
        );
    }
    drop(other);
    r.relay.start_again().await;
    r.relay.client(&r.key.secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn an_object_that_is_evicted_forgets_nothing() {
    let r = ready_with(|setup| setup.env("LOG_LEVEL", "debug")).await;
    let key = r.relay.key("narrow").set("concurrencyLimit", 1).create().await;
    let client = r.relay.client(&key.secret);
    r.provider.next(
        Script::message("for as long as it takes")
            .deltas(8)
            .stall_after(4),
    );
    let (_, mut raw) = client.messages("hi").stream().open().await;
    raw.until("message_start").await;
    let loads = || r.relay.log().matches("a machine was loaded").count();
    let before = loads();
    // The runtime evicts an object that was idle for ten seconds, when it next looks.
    for seconds in [12, 20, 30] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        client.messages("hi").send().await.expect(429);
        if loads() > before {
            break;
        }
    }
    assert!(loads() > before, "nothing was evicted: {}", r.relay.log());
    raw.reset();
    slots_are_free(&r.relay, &key).await;
    client.messages("hi").send().await.good();
    assert_eq!(r.entries(2).await.len(), 2);
}

#[tokio::test]
async fn a_call_whose_isolate_is_gone_is_recorded_and_frees_its_slot() {
    let mut r = ready_with(|setup| {
        setup
            .env("CONNECT_TIMEOUT", 500)
            .env("REQUEST_TIMEOUT", 1_500)
            .env("STREAM_IDLE_TIMEOUT", 1_000)
    })
    .await;
    let key = r.relay.key("narrow").set("concurrencyLimit", 1).create().await;
    r.provider.next(
        Script::message("never to be ended")
            .deltas(50)
            .every(Duration::from_millis(100)),
    );
    let (_, mut raw) = r.relay.client(&key.secret).messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    r.relay.kill9().await;
    r.relay.start_again().await;
    let client = r.relay.client(&key.secret);
    client.messages("hi").send().await.expect(429);
    slots_are_free(&r.relay, &key).await;
    let entry = entries(&r.relay, 1).await.remove(0);
    assert_eq!(
        (entry["quality"].as_str(), entry["error"].as_str()),
        (Some("partial"), Some("call_lost")),
        "{entry}"
    );
    assert_eq!(
        (entry["keyName"].as_str(), entry["stream"].as_bool()),
        (Some("narrow"), Some(true))
    );
    client.messages("hi").send().await.good();
    assert_eq!(entries(&r.relay, 2).await.len(), 2);
}

#[tokio::test]
async fn upstash_in_trouble_stops_nobody_and_loses_nothing() {
    let r = ready().await;
    warm(&r).await;
    let mut calls = 3;
    assert_eq!(r.entries(calls).await.len(), calls);
    for manner in [
        Manner::Silent,
        Manner::Refuses,
        Manner::TooMany,
        Manner::Fails,
        Manner::Garbage,
        Manner::HalfAnswer,
        Manner::Slow(Duration::from_secs(5)),
    ] {
        let named = format!("{manner:?}");
        r.relay.upstash().behaves(manner);
        for _ in 0..5 {
            within(PROMPTLY, &named, r.client.messages("hi").send())
                .await
                .good();
        }
        calls += 5;
        let health = Client::new(r.relay.url()).get("/health").await.expect(200).json();
        assert_eq!(health["status"], "degraded", "{named}: {health}");
        r.relay.upstash().behaves(Manner::Works);
        assert_eq!(r.entries(calls).await.len(), calls, "{named}");
    }
    let summary = r.relay.admin().get("/admin/usage/summary").await.good().json();
    assert_eq!(
        summary["totals"]["requests"].as_u64(),
        Some(calls as u64),
        "each is counted once: {summary}"
    );
}

#[tokio::test]
async fn old_records_go_when_the_day_is_tidied() {
    let r = ready_with(|setup| setup.env("REQUEST_LOG_DAYS", 3)).await;
    r.client.messages("hi").send().await.good();
    let entry = r.entries(1).await.remove(0);
    let at = entry["at"].as_str().expect("a moment")[..10].to_owned();
    let redis = r.relay.redis();
    let days: Vec<String> = redis
        .command(&["KEYS", "ledger:requests:*"])
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        days.iter().any(|key| !key.ends_with(":index")),
        "a record of {at}: {days:?}"
    );
    let long_ago = day_before(&at, 10);
    redis.command(&["HSET", &format!("ledger:requests:{long_ago}"), "req_x", "{}"]);
    r.relay.trigger().await;
    eventually("the old record is gone", async || {
        let left = redis.command(&["EXISTS", &format!("ledger:requests:{long_ago}")]);
        left.contains('0').then_some(())
    })
    .await;
    assert_eq!(r.entries(1).await.len(), 1);
}

/// So many days before that one.
fn day_before(day: &str, days: u32) -> String {
    crs_edge::tested::Day::parse(day)
        .expect("a day")
        .before(days)
        .to_string()
}

#[tokio::test]
async fn an_account_added_elsewhere_is_used_at_once() {
    let r = ready().await;
    warm(&r).await;
    // A change of the account reaches isolates that hold a copy, through the pool.
    let accounts = r.relay.admin().get("/admin/accounts").await.good().json();
    let id = accounts["items"][0]["id"].as_str().expect("an id").to_owned();
    let change: Value = json!({ "credentials": { "type": "apiKey", "apiKey": "sk-ant-test-another" } });
    r.relay
        .admin()
        .patch(&format!("/admin/accounts/{id}"), &change)
        .await
        .good();
    r.client.messages("hi").send().await.good();
    let last = r.provider.last_call();
    assert_eq!(last.credential(), Some("sk-ant-test-another"));
    assert_ne!(last.credential(), Some(ACCOUNT_KEY));
}

#[tokio::test]
async fn a_batch_of_a_hundred_accounts_is_one_request_and_twelve_fit_the_free_plan() {
    let r = ready().await;
    let admin = r.relay.admin();
    let mut ids = Vec::new();
    for number in 0..100 {
        let account = json!({
            "name": format!("one of many {number:02}"), "platform": "claude", "priority": 90,
            "credentials": { "type": "apiKey", "apiKey": format!("sk-ant-test-{number:02}") },
        });
        let made = r.relay.add_account(&account).await;
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    for what in [
        json!({ "change": { "priority": 80 } }),
        json!({ "action": "pause" }),
        json!({ "action": "reset" }),
        json!({ "action": "flushSessions" }),
        json!({ "action": "delete" }),
    ] {
        // The few that the free plan bears, then all that are left.
        let (few, rest) = ids.split_at(12);
        let rest = if what["action"] == "delete" {
            rest
        } else {
            &ids[..]
        };
        for ids in [few, rest] {
            // Two for each, and a third for a record that was read too long ago.
            let store = 3 * ids.len() as u64;
            let mut body = what.clone();
            body["ids"] = json!(ids);
            let before = (
                units(&r.relay, "object_requests").await,
                r.relay.upstash().commands(),
            );
            let told = admin.post("/admin/accounts/batch", &body).await.good().json();
            let asked = r.relay.upstash().commands() - before.1;
            let objects = units(&r.relay, "object_requests").await - before.0;
            assert_eq!(told["failed"], 0, "{told}");
            // With what looks at the session. The free plan allows 50 of one request, the paid one 10,000.
            assert!(asked <= store + 8, "{what} of {}: {asked} commands", ids.len());
            assert!(
                objects <= ids.len() as u64 + 8,
                "{what} of {}: {objects} objects",
                ids.len()
            );
        }
    }
    let left = admin.get("/admin/accounts?pageSize=100").await.good().json();
    assert_eq!(left["total"], 1, "the first account is not among them");
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn a_panic_costs_its_own_request_and_no_other() {
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    // A version of HTTP that the runtime's bindings take for impossible: they panic.
    let answer = r
        .relay
        .with_cf("/health", &json!({ "httpProtocol": "HTTP/9" }))
        .await;
    assert_eq!(answer.status, 500, "{}", answer.raw_text());
    let said = answer.raw_text();
    assert!(
        !said.contains("panicked") && !said.contains(".rs"),
        "no stack: {said}"
    );
    eventually("the log says where", async || {
        r.relay.log().contains("panicked").then_some(())
    })
    .await;
    for _ in 0..3 {
        r.client.messages("hi").send().await.good();
    }
    slots_are_free(&r.relay, &r.key).await;
    assert_eq!(r.entries(4).await.len(), 4);
}

#[tokio::test]
async fn two_isolates_share_one_keys_limits() {
    let r = ready_with(crs_support::relay::Setup::twice).await;
    let key = r.relay.key("narrow").set("concurrencyLimit", 7).create().await;
    r.provider
        .answer(Script::message("slow").deltas(6).stall_after(4));
    let clients = [r.relay.api(), format!("{}/api", r.relay.second())]
        .map(|api| Client::new(&api).with_key(&key.secret));
    let calls = (0..100).map(|number| clients[number % 2].messages("hi").stream().open());
    let calls = futures_util::future::join_all(calls).await;
    let status = |wanted| calls.iter().filter(|(head, _)| head.status == wanted).count();
    assert_eq!((status(200), status(429)), (7, 93));
    for (_, raw) in calls {
        raw.reset();
    }
    slots_are_free(&r.relay, &key).await;
    // A change through one is known to the other with its next call.
    r.relay
        .admin()
        .patch(
            &format!("/admin/api-keys/{}", key.id),
            &json!({ "isActive": false }),
        )
        .await
        .good();
    for client in &clients {
        client.messages("hi").send().await.expect(401);
    }
}

#[tokio::test]
async fn a_login_link_is_made_anywhere_with_the_workers_secret() {
    const SECRET: &str = "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua";
    let r = ready_with(|setup| setup.env("JWT_SECRET", SECRET)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ran = tokio::process::Command::new(env!("CARGO_BIN_EXE_crs"))
        .args(["admin", "login-link", "--json", "--url", r.relay.url()])
        .env_clear()
        .env("JWT_SECRET", SECRET)
        .env("DATA_DIR", folder.path())
        .kill_on_drop(true)
        .output();
    let ran = within(PROMPTLY, "the command", ran).await.expect("it runs");
    let made: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let body = json!({ "ticket": made["ticket"] });
    let nobody = Client::new(r.relay.url());
    let session = nobody.post("/web/auth/login-link", &body).await.good().json();
    let token = session["token"].as_str().expect("a token");
    nobody
        .clone()
        .with_bearer(token)
        .get("/admin/api-keys")
        .await
        .good();
    nobody.post("/web/auth/login-link", &body).await.expect(401);
}

#[tokio::test]
async fn what_an_operator_imports_over_the_air_is_served() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    let redis = RedisServer::start();
    let mut crs = Crs::full(Edition::Upstream, "the-key-of-the-crs", &provider.url());
    let old = crs.key("old", &[("dailyCostLimit", "5")]);
    crs.load(&redis, 1);
    let env = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(env.path(), crs.env_file(&redis, 1)).unwrap();
    let secrets = [
        ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
        ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
    ];
    let with_secrets = |setup: Setup| {
        let set = |setup: Setup, (name, value): (&str, &str)| setup.env(name, value);
        secrets.into_iter().fold(setup, set)
    };
    let worker = with_secrets(relay(&provider))
        .env("RECORD_MAX_AGE", 1_000)
        .start()
        .await;
    let client = worker.client(&old.secret);
    client.messages("hi").send().await.expect(401);
    let machine = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")))
        .provider(&provider)
        .env("UPSTASH_REDIS_REST_URL", worker.upstash().url())
        .env("UPSTASH_REDIS_REST_TOKEN", worker.upstash().token())
        .prepare();
    let import = |more: &'static [&str]| {
        let mut args = vec!["import", "--json", "--to", "upstash", "--env"];
        args.push(env.path().to_str().unwrap());
        args.extend(more);
        let machine = &machine;
        async move {
            let output = machine.cli(&args).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        }
    };
    let copied = import(&[]).await;
    assert_eq!(copied["keys"]["created"], 25, "{copied}");
    let proof = import(&["--verify"]).await;
    for kind in ["keys", "accounts", "sums"] {
        assert_eq!(proof[kind]["different"], 0, "{kind}: {proof}");
    }
    // A Worker that has refused the key before reads of the import within its RECORD_MAX_AGE.
    eventually("the old key is known", async || {
        (client.messages("hi").send().await.status != 401).then_some(())
    })
    .await;
    client.messages("hi").send().await.good();
    let request = provider.requests().last().unwrap().clone();
    assert_eq!(request.header("x-api-key"), Some("sk-ant-from-crs"));
}
