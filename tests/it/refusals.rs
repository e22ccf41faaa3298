//! Calls that reached no provider are counted for the operator and for the key's holder, on every host.

use crs_support::client::Client;
use crs_support::eventually;
use crs_support::relay::Host;
use serde_json::{Value, json};

use super::HOST;
use super::support::ready;

/// Key, code, and how often today and yesterday.
fn counts(list: &Value) -> Vec<(Option<String>, String, u64)> {
    let items = list["items"].as_array().expect("a list");
    let mut counts: Vec<_> = items
        .iter()
        .map(|row| {
            let count = row["today"].as_u64().expect("a count") + row["yesterday"].as_u64().expect("a count");
            let code = row["code"].as_str().expect("a code").to_owned();
            (row["keyName"].as_str().map(str::to_owned), code, count)
        })
        .collect();
    counts.sort_unstable();
    counts
}

#[tokio::test]
async fn refused_calls_are_counted_by_key_and_code() {
    let r = ready().await;
    let off = r.relay.key("off").set("isActive", false).create().await;
    let limited = r
        .relay
        .key("limited")
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 1)
        .create()
        .await;
    let limited_client = r.relay.client(&limited.secret);
    limited_client.messages("hi").send().await.good();
    let off_client = r.relay.client(&off.secret);
    for _ in 0..3 {
        limited_client.messages("hi").send().await.expect(429);
        off_client.messages("hi").send().await.expect(401);
        let stranger = r.relay.client("cr_not-a-key-of-this-relay");
        stranger.messages("hi").send().await.expect(401);
    }
    let bad = r.client.call("POST", "/v1/messages").body("{");
    bad.send().await.expect(400);
    assert_eq!(r.provider.calls(), 1);

    let named = |name: &str| Some(name.to_owned());
    let expected = [
        (None, "unknown_key".to_owned(), 3),
        (named("k"), "invalid_body".to_owned(), 1),
        (named("limited"), "rate_limited".to_owned(), 3),
        (named("off"), "key_disabled".to_owned(), 3),
    ];
    let admin = r.relay.admin();
    eventually("the counts are there", async || {
        let list = admin.get("/admin/refusals").await.good().json();
        (counts(&list) == expected).then_some(())
    })
    .await;
    let of = format!("/admin/refusals?keyId={}", limited.id);
    let of = admin.get(&of).await.good().json();
    assert_eq!(of["total"], 1, "{of}");
    assert!(of["items"][0]["nextAllowedAt"].is_string(), "{of}");

    // Its holder sees them without a login.
    let whose = json!({ "apiKey": limited.secret });
    let stranger = Client::new(r.relay.url());
    let stats = stranger
        .post("/apiStats/api/user-stats", &whose)
        .await
        .good()
        .json();
    let refusals = &stats["data"]["now"]["refusals"];
    assert_eq!(
        (&refusals[0]["code"], refusals.as_array().map(Vec::len)),
        (&json!("rate_limited"), Some(1)),
        "{refusals}"
    );
}

#[tokio::test]
async fn counts_of_refusals_outlive_the_relay() {
    applies_here!();
    let mut r = ready().await;
    let stranger = r.relay.client("cr_not-a-key-of-this-relay");
    for _ in 0..5 {
        stranger.messages("hi").send().await.expect(401);
    }
    if HOST == Host::Worker {
        // Miniflare ends at once, and Cloudflare lets the isolate write. Asking for them writes them, too.
        r.relay.admin().get("/admin/refusals").await.good();
    }
    r.relay.restart().await;
    let list = r.relay.admin().get("/admin/refusals").await.good().json();
    assert_eq!(counts(&list), [(None, "unknown_key".to_owned(), 5)], "{list}");
}
