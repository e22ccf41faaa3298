//! Where accounts may point: not at this machine or a private network unless the operator allows it, and never
//! at a metadata service; and what a test call shows of whoever answers there.

use crs_support::client::events;
use crs_support::provider::{FakeProvider, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{ACCOUNT_KEY, relay, setup};

const ALLOW: &str = "ALLOW_PRIVATE_UPSTREAMS";

fn account(base_url: &str) -> Value {
    json!({
        "name": "elsewhere", "platform": "claude", "priority": 1,
        "credentials": { "type": "apiKey", "apiKey": ACCOUNT_KEY, "baseUrl": base_url },
    })
}

/// What the test of an account says went wrong.
async fn failed_test(relay: &Relay, id: &str) -> String {
    let path = format!("/admin/accounts/{id}/test");
    let answer = relay.admin().post(&path, &json!({})).await.good();
    let last = events(&answer.body).pop().expect("an event").data;
    assert_eq!(last["success"], false, "{last}");
    last["error"].as_str().expect("an error").to_owned()
}

#[tokio::test]
async fn private_addresses_want_the_setting_and_configured_ones_do_not() {
    let provider = FakeProvider::start().await;
    let inside = FakeProvider::start().await;
    let relay = relay(&provider).env(ALLOW, "false").start().await;
    let port = inside.address().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
    ] {
        let body = account(&format!("http://{host}:{port}"));
        let refusal = relay.admin().post("/admin/accounts", &body).await;
        assert_eq!(refusal.status, 422, "{host}");
        let refusal = refusal.json();
        assert_eq!(refusal["field"], "credentials.baseUrl", "{host}");
        let message = refusal["message"].as_str().expect("a message");
        assert!(
            message.contains("ALLOW_PRIVATE_UPSTREAMS=true"),
            "{host}: {message}"
        );
    }
    // CLAUDE_API_URL names this one.
    relay.add_account(&account(&provider.url())).await;
    let key = relay.key("k").create().await;
    relay.client(&key.secret).messages("hi").send().await.good();
    assert_eq!((provider.calls(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn metadata_services_are_refused_whatever_is_set() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    for host in [
        "169.254.169.254",
        "2852039166",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
    ] {
        let body = account(&format!("http://{host}"));
        let refusal = relay.admin().post("/admin/accounts", &body).await;
        assert_eq!(refusal.status, 422, "{host}");
    }
}

#[tokio::test]
async fn an_account_from_before_the_rule_reaches_nothing() {
    applies_here!();
    let inside = FakeProvider::start().await;
    let provider = FakeProvider::start().await;
    let mut before = relay(&provider).start().await;
    let id = before.add_account(&account(&inside.url())).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let key = before.key("k").create().await;
    before.client(&key.secret).messages("hi").send().await.good();
    assert_eq!(inside.calls(), 1);
    before.terminate().await;
    let connections = inside.connections();

    let after = setup()
        .data_of(&before)
        .provider(&provider)
        .env(ALLOW, "false")
        .start()
        .await;
    let error = failed_test(&after, &id).await;
    assert!(error.contains("ALLOW_PRIVATE_UPSTREAMS=true"), "{error}");
    let refused = after.client(&key.secret).messages("hi").send().await;
    assert!(refused.status >= 500, "{}", refused.status);
    assert!(
        !refused.text().contains("ALLOW_PRIVATE_UPSTREAMS"),
        "the setting is the operator's"
    );
    assert_eq!(inside.connections(), connections);
}

#[tokio::test]
async fn a_test_call_shows_no_foreign_body() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let id = relay.claude_account("first", ACCOUNT_KEY).await;
    let foreign = r#"{"AccessKeyId": "ASIA-INSIDE", "SecretAccessKey": "INSIDE"}"#;
    for status in [200, 404] {
        provider.next(
            Script::raw_stream(foreign)
                .status(status)
                .with_header("content-type", "application/json"),
        );
        let error = failed_test(&relay, &id).await;
        assert!(
            error.contains(&status.to_string()) && !error.contains("INSIDE"),
            "{status}: {error}"
        );
    }
    for (status, kind, body) in [
        (500, "text/plain", "INSIDE trace"),
        (302, "text/html", "<html>INSIDE</html>"),
        (400, "text/html", "<html>INSIDE</html>"),
        (404, "text/plain", "INSIDE"),
        (200, "text/html", "<html>INSIDE</html>"),
    ] {
        provider.next(
            Script::raw_stream(body)
                .status(status)
                .with_header("content-type", kind),
        );
        let error = failed_test(&relay, &id).await;
        assert!(
            error.contains("has no error") && !error.contains("INSIDE"),
            "{status} {kind}: {error}"
        );
    }
    provider.next(Script::error_saying(404, "not_found_error", "model: nothing"));
    let error = failed_test(&relay, &id).await;
    assert!(error.contains("404: not_found_error: model: nothing"), "{error}");
}
