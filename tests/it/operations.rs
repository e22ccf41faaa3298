//! Health and metrics.

use crs_support::client::Client;

use crs_support::relay::Host;

use super::HOST;
use super::support::{ready, ready_with};

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
    r.entry().await;
    let text = Client::new(r.relay.url()).get("/metrics").await.good().raw_text();
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
