//! What Claude Code's documentation asks of a gateway (code.claude.com/docs/en/llm-gateway-protocol), and the API's
//! version of October 2026, which the SDKs send since then.

use std::time::Duration;

use crs_support::client::Client;
use crs_support::provider::{Route, Script};
use serde_json::json;

use super::support::{ACCOUNT_KEY, ready};

/// A list of betas as Claude Code writes it, with one that nobody knows.
const BETAS: &str =
    "claude-code-20250219,interleaved-thinking-2025-05-14, not-known-2099-01-01,effort-2025-11-24";

#[tokio::test]
async fn models_are_listed_while_the_provider_hangs() {
    let r = ready().await;
    for route in [Route::Models, Route::Messages] {
        r.provider
            .on(route)
            .answer(Script::message("never").stall_before_head());
    }
    let listed = async {
        for path in ["/v1/models", "/v1/models?limit=1000"] {
            let models = r.client.get(path).await.good().json();
            let names: Vec<_> = models["data"].as_array().expect("data").iter().collect();
            let is_picked = |name: &str| name.starts_with("claude") || name.starts_with("anthropic");
            assert!(!names.is_empty());
            assert!(
                names
                    .iter()
                    .all(|model| model["id"].as_str().is_some_and(is_picked)),
                "{models}"
            );
        }
    };
    tokio::time::timeout(Duration::from_secs(3), listed)
        .await
        .expect("an answer within 3 s");
    assert_eq!(r.provider.calls(), 0, "no provider is asked");
}

#[tokio::test]
async fn betas_version_and_system_reach_the_provider_as_they_are() {
    let r = ready().await;
    let body = "{\"model\":\"claude-opus-5-5\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: cc_version=2.1.330;\"}], \"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"system\",\"content\":\"be brief\"}],\"output_config\":{\"effort\":\"high\"}}";
    // As the SDKs of October 2026 send it: the key as a bearer token.
    let client = Client::new(&r.relay.api()).with_bearer(&r.key.secret);
    for version in ["2026-10-21", "2023-06-01"] {
        client
            .call("POST", "/v1/messages?beta=true")
            .body(body)
            .header("anthropic-version", version)
            .header("anthropic-beta", BETAS)
            .send()
            .await
            .good();
        let seen = r.provider.last_call();
        assert_eq!(seen.text(), body);
        for (name, value) in [
            ("anthropic-version", version),
            ("anthropic-beta", BETAS),
            ("x-api-key", ACCOUNT_KEY),
        ] {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
        assert_eq!(seen.header("authorization"), None);
    }
}

#[tokio::test]
async fn errors_of_the_provider_are_not_changed() {
    let r = ready().await;
    for (status, kind, message) in [
        // The new version refuses these even with their defaults.
        (
            400,
            "invalid_request_error",
            "temperature: Extra inputs are not permitted",
        ),
        (
            400,
            "claude_code_version_too_old",
            "claude-opus-5-5 needs Claude Code 2.1.300 or newer. Run `claude update`.",
        ),
        (413, "request_too_large", "Request exceeds the maximum size"),
    ] {
        let body = format!(
            "{{\"type\":\"error\", \"error\":{{\"type\":\"{kind}\",\"message\":\"{message}\",\"details\":{{\"minimum\":\"2.1.300\"}}}},\"request_id\":\"req_1\"}}"
        );
        r.provider
            .next(Script::bytes("application/json", body.clone()).status(status));
        let answer = r.client.messages("hi").send().await.expect(status);
        assert_eq!(answer.body, body, "byte for byte");
    }
    assert_eq!(r.provider.calls(), 3, "each is asked once");
}

#[tokio::test]
async fn what_is_converted_for_claude_fits_the_version_that_is_sent() {
    let r = ready().await;
    let client = Client::new(&format!("{}/openai/claude/v1", r.relay.url())).with_bearer(&r.key.secret);
    // Another protocol's client cannot choose the version of this one.
    client
        .call("POST", "/chat/completions")
        .header("anthropic-version", "2026-10-21")
        .json(&json!({
            "model": "claude-sonnet-4-5", "temperature": 0.5, "messages": [{ "role": "user", "content": "hi" }],
        }))
        .send()
        .await
        .good();
    let seen = r.provider.last_call();
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(seen.json()["temperature"], 0.5, "which that version accepts");
}
