//! The native program with a Redis at Upstash as its store, in good times and bad.

use std::time::Duration;

use crs_support::provider::FakeProvider;
use crs_support::redis_server::RedisServer;
use crs_support::relay::Setup;
use crs_support::upstash::{Manner, UpstashFront};
use crs_support::within;

use super::support::{ACCOUNT_KEY, entries, relay};

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
