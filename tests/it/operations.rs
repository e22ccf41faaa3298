//! Health and metrics.

use crs_support::client::Client;
use crs_support::eventually;

use crs_support::relay::Host;

use super::HOST;
use super::support::{ready, ready_with, slots_are_free};

#[tokio::test]
async fn health_tells_the_state_of_its_parts() {
    let r = ready().await;
    let health = Client::new(r.relay.url()).get("/health").await.expect(200).json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["components"]["store"]["kind"], HOST.store());
    // On the Worker each gate holds its own events, and nobody knows of all of them.
    let lost = (HOST != Host::Worker).then_some(0);
    assert_eq!(health["components"]["ledger"]["lost"].as_u64(), lost);
}

#[tokio::test]
async fn metrics_count_what_happened_without_naming_anybody() {
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    Client::new(&r.relay.api())
        .messages("hi")
        .send()
        .await
        .expect(401);
    let unpriced = r
        .client
        .messages("hi")
        .edit(|body| body["model"] = "claude-new-99".into());
    unpriced.send().await.good();
    r.entries(2).await;
    let text = r.relay.metrics().await;
    // Each process counts its own calls.
    let mut guessed = text.contains("crs_guessed_price_calls_total 1");
    for url in r.relay.urls() {
        guessed |= HOST == Host::Cluster && {
            let shown = Client::new(&url).get("/metrics").await.good();
            shown.raw_text().contains("crs_guessed_price_calls_total 1")
        };
    }
    assert!(guessed, "{text}");
    assert!(
        text.contains(
            "crs_calls_total{platform=\"claude\",endpoint=\"messages\",status=\"2xx\",quality=\"exact\"} 1"
        ),
        "{text}"
    );
    assert!(
        text.contains("crs_refusals_total{reason=\"missing_key\"} 1"),
        "{text}"
    );
    assert!(text.contains("crs_ledger_lost 0"), "{text}");
    for name in [r.key.id.as_str(), "\"first\"", "claude-sonnet"] {
        assert!(!text.contains(name), "{name} is a label");
    }
}

#[tokio::test]
async fn metrics_are_not_for_strangers() {
    let r = ready_with(|setup| setup.env("METRICS_TOKEN", "")).await;
    let client = Client::new(r.relay.url());
    // As a reverse proxy on the same machine passes a stranger's request on, and as the Worker gets any.
    let refused = client
        .call("GET", "/metrics")
        .header("x-forwarded-for", "203.0.113.7")
        .send()
        .await
        .expect(403)
        .raw_text();
    assert!(refused.contains("METRICS_TOKEN"), "{refused}");
    let here = if HOST == Host::Worker { 403 } else { 200 };
    client.get("/metrics").await.expect(here);
}

#[tokio::test]
async fn the_local_token_is_refused_to_who_comes_through_a_proxy() {
    applies_here!();
    let r = ready().await;
    let admin = r.relay.admin();
    admin.get("/admin/api-keys").await.good();
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("via", "1.1 proxy"),
    ] {
        let refused = admin
            .call("GET", "/admin/api-keys")
            .header(name, value)
            .send()
            .await
            .expect(401)
            .json();
        assert_eq!(refused["error"], "local_only", "{name}");
    }
    let mut renamed = admin.call("GET", "/admin/api-keys");
    renamed.ask.headers.retain(|(name, _)| name != "host");
    renamed
        .header("host", "relay.example.com")
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn metrics_may_ask_for_a_token() {
    let r = ready_with(|setup| setup.env("METRICS_TOKEN", "t0ken-of-prometheus")).await;
    let client = Client::new(r.relay.url());
    client.get("/metrics").await.expect(401);
    client
        .clone()
        .with_bearer("wrong")
        .get("/metrics")
        .await
        .expect(401);
    client
        .with_bearer("t0ken-of-prometheus")
        .get("/metrics")
        .await
        .good();
}

#[tokio::test]
async fn the_relay_says_which_host_it_is_and_what_models_cost() {
    let r = ready_with(|setup| setup.env("PUBLIC_ADDRESS", "https://relay.example.com/")).await;
    let admin = r.relay.admin();
    let told = admin.get("/admin/settings").await.good().json();
    let worker = HOST == Host::Worker;
    assert_eq!(told["host"], if worker { "worker" } else { "native" });
    assert_eq!(told["store"], HOST.store());
    // A Worker cannot call through one.
    assert_eq!(told["proxies"], !worker);
    assert_eq!(told["publicAddress"], "https://relay.example.com");

    r.client.messages("hi").model("claude-next-9").send().await.good();
    r.entry().await;
    let models = admin.get("/admin/models").await.good().json();
    let first = &models["items"][0];
    assert_eq!(
        (&first["model"], &first["source"]),
        (&"claude-next-9".into(), &"dearestOfFamily".into()),
        "{models}"
    );
    assert_eq!(first["calls"], 1);
}

#[tokio::test]
async fn the_overview_names_the_key_near_its_limit_and_the_account_that_is_limited() {
    let r = ready().await;
    // Any call is dearer than the limit.
    let near = r
        .relay
        .key("near")
        .set("dailyCostLimit", 0.000_001)
        .create()
        .await;
    let before = r.relay.admin().get("/admin/overview").await.good().json();
    assert_eq!(before["requests"], 0, "{before}");
    assert_eq!(before["platforms"][0]["usable"], 1, "{before}");
    assert_eq!(before["nearLimit"], serde_json::json!([]));

    r.relay.client(&near.secret).messages("hi").send().await.good();
    slots_are_free(&r.relay, &near).await;
    r.entry().await;
    r.provider.fails_once(429).with_header("retry-after", "500");
    r.client.messages("hi").send().await.expect(429);
    r.entries(2).await;
    let told = eventually("the overview has what the calls left", async || {
        let told = r.relay.admin().get("/admin/overview").await.good().json();
        (told["platforms"][0]["blocked"] == true && told["running"] == 0).then_some(told)
    })
    .await;
    assert_eq!(told["requests"], 2, "{told}");
    assert_eq!(told["nearLimit"][0]["keyId"], near.id.as_str(), "{told}");
    assert_eq!(told["nearLimit"][0]["level"]["limit"], "dailyCost", "{told}");
    assert_eq!(told["trouble"][0]["accountName"], "first", "{told}");
    assert_eq!(told["trouble"][0]["code"], "provider_limit", "{told}");
    assert_eq!(told["trouble"][0]["until"], told["platforms"][0]["backAt"]);
    assert!(told["trouble"][0]["until"].is_string(), "{told}");
}
