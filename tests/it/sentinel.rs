//! Three processes on a Redis whose master is named by a sentinel: calls go on when it dies.

use std::time::{Duration, Instant};

use crs_support::client::Client;
use crs_support::eventually;
use crs_support::provider::FakeProvider;
use crs_support::redis_server::RedisServer;
use crs_support::sentinel::Sentinel;

use super::support::{ACCOUNT_KEY, entries, relay, slots_are_free};

/// The sentinel takes half a second to find it dead and up to two to promote the replica; a call waits for its
/// store for two seconds at most.
const FAILOVER: Duration = Duration::from_secs(15);

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how soon calls go on is what is tested")]
async fn calls_go_on_after_the_masters_death() {
    let (mut master, replica) = (RedisServer::start(), RedisServer::start());
    replica.follow(&master);
    let sentinel = Sentinel::of(&master);
    sentinel.knows_a_replica();
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("REDIS_URL", sentinel.url(&master, 1))
        .env("REDIS_SENTINEL_PASSWORD", sentinel.password())
        .start()
        .await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").set("concurrencyLimit", 2).create().await;
    let clients: Vec<Client> = relay
        .urls()
        .iter()
        .map(|url| Client::new(&format!("{url}/api")).with_key(&key.secret))
        .collect();
    for client in &clients {
        client.messages("before").send().await.good();
    }
    entries(&relay, 3).await;

    master.kill();
    let killed = Instant::now();
    // Each process has a copy of this key's gate, so it needs no Redis to decide.
    for client in &clients {
        client.messages("meanwhile").send().await.good();
    }
    for url in relay.urls() {
        let health = Client::new(&url);
        eventually("the next master is used", async || {
            let shown = health.get("/health").await.json();
            let parts = &shown["components"];
            let done = parts["ledger"]["pending"] == 0 && parts["limits"]["kept"] == 0;
            (done && shown["status"] == "healthy").then_some(())
        })
        .await;
    }
    assert!(killed.elapsed() < FAILOVER, "{:?}", killed.elapsed());
    assert!(replica.command(&["INFO", "replication"]).contains("role:master"));
    for client in &clients {
        client.messages("after").send().await.good();
    }
    // The calls before were written, and may not have been replicated.
    entries(&relay, 6).await;
    slots_are_free(&relay, &key).await;
    let output = relay.cli(&["ledger", "verify", "--days", "1", "--json"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!relay.log().contains("word of"), "no password is logged");
}
