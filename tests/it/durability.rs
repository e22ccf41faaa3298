//! What was acknowledged is there after the worst.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crs_support::provider::{FakeProvider, Script};
use crs_support::redis_server::RedisServer;
use crs_support::relay::Setup;
use crs_support::upstash::{Manner, UpstashFront};
use crs_support::within;
use serde_json::json;

use crate::support::{ACCOUNT_KEY, entries, ready, relay};

#[tokio::test]
async fn a_first_run_makes_what_it_needs_and_tells_no_secret() {
    let provider = FakeProvider::start().await;
    let mut relay = relay(&provider).start().await;
    for file in ["secrets.json", "init.json", "server.json", "crs.redb"] {
        let mode = std::fs::metadata(relay.data().join(file))
            .expect(file)
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let (username, password) = relay.first_login();
    let log = relay.log();
    assert!(log.contains("init.json"), "{log}");
    assert!(!log.contains(&password));
    relay.login().await.get("/web/auth/user").await.good();
    let secrets = std::fs::read_to_string(relay.data().join("secrets.json")).expect("secrets");
    relay.restart().await;
    assert_eq!(
        std::fs::read_to_string(relay.data().join("secrets.json")).expect("secrets"),
        secrets
    );
    assert_eq!(relay.first_login(), (username, password));
    relay.login().await.get("/web/auth/user").await.good();
    relay.terminate().await;
    assert!(!relay.data().join("server.json").exists());
}

#[tokio::test]
async fn bad_settings_refuse_to_start_with_one_line_each() {
    let provider = FakeProvider::start().await;
    let mut bad = relay(&provider)
        .env("JWT_SECRET", "short")
        .env("PORT", "http")
        .prepare();
    let (code, said) = bad.refuses_to_start().await;
    assert_eq!(code, Some(2));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("crs: PORT") && lines[1].starts_with("crs: JWT_SECRET has 5 characters"),
        "{said}"
    );
    assert!(!bad.data().join("secrets.json").exists());
}

#[tokio::test]
async fn another_encryption_key_refuses_to_start() {
    let mut r = ready().await;
    r.relay.terminate().await;
    let folder = r.relay.data().to_owned();
    let mut other = relay(&r.provider)
        .data(&folder)
        .env("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja")
        .prepare();
    let (code, said) = other.refuses_to_start().await;
    assert_eq!(code, Some(2));
    assert!(
        said.contains("ENCRYPTION_KEY") && said.contains("fingerprint"),
        "{said}"
    );
    r.relay.start_again().await;
    r.relay.client(&r.key.secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn lost_secrets_are_not_made_anew_over_sealed_data() {
    let mut r = ready().await;
    r.relay.terminate().await;
    std::fs::remove_file(r.relay.data().join("secrets.json")).expect("removed");
    let (code, said) = r.relay.refuses_to_start().await;
    assert_eq!(code, Some(2));
    assert!(said.contains("ENCRYPTION_KEY is missing"), "{said}");
}

#[tokio::test]
async fn a_killed_relay_forgets_nothing_it_acknowledged() {
    let mut r = ready().await;
    let mut secrets = vec![r.key.secret.clone()];
    for round in 0..3 {
        let records: Vec<_> = (0..20)
            .map(|number| json!({ "name": format!("{round}-{number}") }))
            .collect();
        let made =
            futures_util::future::join_all(records.iter().map(|record| r.relay.create_key(record))).await;
        secrets.extend(made.into_iter().map(|key| key.secret));
        r.relay.kill9().await;
        r.relay.start_again().await;
        for secret in &secrets {
            r.relay.client(secret).get("/v1/me").await.good();
        }
    }
}

#[tokio::test]
async fn the_ledger_outlives_the_process() {
    let mut r = ready().await;
    for _ in 0..30 {
        r.client.messages("hi").send().await.good();
    }
    let before = r.entries(30).await;
    r.relay.kill9().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 30).await, before);
    r.relay.client(&r.key.secret).messages("hi").send().await.good();
    assert_eq!(entries(&r.relay, 31).await.len(), 31);
}

#[tokio::test]
async fn asked_to_end_it_lets_a_stream_finish() {
    let mut r = ready().await;
    r.provider.next(
        Script::message("to the very end")
            .deltas(6)
            .every(Duration::from_millis(60)),
    );
    let (_, mut raw) = r.client.messages("hi").stream().open().await;
    raw.until("message_start").await;
    let ended = tokio::join!(r.relay.terminate(), raw.until("message_stop"));
    assert_eq!(ended.0, Some(0));
    r.relay.start_again().await;
    let entry = entries(&r.relay, 1).await.remove(0);
    assert_eq!(entry["quality"], "exact");
}

#[tokio::test]
async fn the_relay_with_redis() {
    let redis = RedisServer::start();
    let provider = FakeProvider::start().await;
    let mut relay = relay(&provider).env("REDIS_URL", redis.url(1)).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    relay
        .client(&key.secret)
        .messages("hi")
        .stream()
        .send()
        .await
        .good();
    entries(&relay, 1).await;
    assert!(!relay.data().join("crs.redb").exists());
    relay.kill9().await;
    relay.start_again().await;
    relay.client(&key.secret).messages("hi").send().await.good();
    assert_eq!(entries(&relay, 2).await.len(), 2);
}

#[tokio::test]
async fn the_relay_with_upstash() {
    let redis = RedisServer::start();
    let front = UpstashFront::start(&redis).await;
    let provider = FakeProvider::start().await;
    let mut relay = with_upstash(relay(&provider), &front).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    relay
        .client(&key.secret)
        .messages("hi")
        .stream()
        .send()
        .await
        .good();
    entries(&relay, 1).await;
    assert!(!relay.data().join("crs.redb").exists());
    assert!(!relay.log().contains(front.token()));
    relay.kill9().await;
    relay.start_again().await;
    relay.client(&key.secret).messages("hi").send().await.good();
    assert_eq!(entries(&relay, 2).await.len(), 2);
}

#[tokio::test]
async fn an_outage_of_upstash_stops_nobody_and_loses_nothing() {
    let redis = RedisServer::start();
    let front = UpstashFront::start(&redis).await;
    let provider = FakeProvider::start().await;
    let relay = with_upstash(relay(&provider), &front).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    let client = relay.client(&key.secret);
    client.messages("hi").send().await.good();
    let mut calls = 1;
    entries(&relay, calls).await;

    // How long: for what is told as a refusal, long enough for batches to be given up, if anything gave up.
    for (manner, millis) in [
        (Manner::Silent, 500),
        (Manner::TooMany, 500),
        (Manner::Fails, 500),
        (Manner::Garbage, 2_500),
        (Manner::HalfAnswer, 500),
        (Manner::Refuses, 500),
    ] {
        front.behaves(manner);
        for _ in 0..5 {
            client.messages("hi").send().await.good();
            calls += 1;
        }
        let anyone = crs_support::client::Client::new(relay.url());
        let health = within(PROMPTLY, "health", anyone.get("/health")).await;
        let health = health.expect(200).json();
        assert_eq!(health["status"], "degraded", "{manner:?}: {health}");
        assert_eq!(health["components"]["store"]["kind"], "upstash");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        front.behaves(Manner::Works);
        assert_eq!(entries(&relay, calls).await.len(), calls, "{manner:?}");
    }
}

/// The bound on what waits for a store, with some for the machine's being busy.
const PROMPTLY: Duration = Duration::from_secs(4);

fn with_upstash(setup: Setup, front: &UpstashFront) -> Setup {
    setup
        .env("UPSTASH_REDIS_REST_URL", front.url())
        .env("UPSTASH_REDIS_REST_TOKEN", front.token())
}

#[tokio::test]
async fn a_store_that_does_not_answer_stops_nobody_and_loses_nothing() {
    let redis = RedisServer::start();
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).env("REDIS_URL", redis.url(1)).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    let client = relay.client(&key.secret);
    client.messages("hi").send().await.good();
    entries(&relay, 1).await;

    redis.pause();
    for _ in 0..20 {
        client.messages("hi").send().await.good();
    }
    let health = crs_support::client::Client::new(relay.url())
        .get("/health")
        .await
        .expect(200)
        .json();
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(
        health["components"]["ledger"]["pending"].as_u64() > Some(0),
        "{health}"
    );
    // A key nobody has seen yet cannot be looked up: that is said, in bounded time.
    let unknown = relay.client("cr_not-of-this-relay");
    unknown.messages("hi").send().await.expect(401);

    redis.resume();
    assert_eq!(entries(&relay, 21).await.len(), 21);
}
