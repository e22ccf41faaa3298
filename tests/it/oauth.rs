//! OAuth accounts: tokens are renewed before they end, by one refresher, and never lost.

use std::time::Duration;

use crs_support::eventually;
use crs_support::provider::{FakeProvider, Route, Script, Tokens};
use crs_support::relay::Relay;
use serde_json::Value;

use super::support::{Key, relay};

/// In milliseconds.
const LONG_AGO: u64 = 1_600_000_000_000;

struct Oauth {
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    account: String,
}

async fn account(tokens: impl FnOnce(&FakeProvider) -> Tokens, expires_at: u64) -> Oauth {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("CLAUDE_OAUTH_CLIENT_ID", "client-of-the-operator")
        .start()
        .await;
    let account = relay
        .claude_oauth_account("oauth", &tokens(&provider), expires_at)
        .await;
    let key = relay.key("k").create().await;
    Oauth {
        provider,
        relay,
        key,
        account,
    }
}

impl Oauth {
    async fn record(&self) -> Value {
        self.relay
            .admin()
            .get(&format!("/admin/accounts/{}", self.account))
            .await
            .good()
            .json()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has the machine's clock")]
fn in_an_hour() -> u64 {
    crs_support::provider::epoch(std::time::SystemTime::now()) * 1000 + 3_600_000
}

#[tokio::test]
async fn the_token_goes_up_with_the_beta_it_needs() {
    let o = account(|provider| provider.oauth().issue(), in_an_hour()).await;
    let client = o.relay.client(&o.key.secret);
    client
        .messages("hi")
        .header("anthropic-beta", "one-2025,two-2026")
        .send()
        .await
        .good();
    let seen = o.provider.last_call();
    assert_eq!(
        seen.header("anthropic-beta"),
        Some("one-2025,two-2026,oauth-2025-04-20")
    );
    assert!(seen.bearer().is_some() && seen.header("x-api-key").is_none());
    client
        .messages("hi")
        .header("anthropic-beta", "oauth-2025-04-20, one-2025")
        .send()
        .await
        .good();
    assert_eq!(
        o.provider.last_call().header("anthropic-beta"),
        Some("oauth-2025-04-20, one-2025")
    );
    client.messages("hi").send().await.good();
    assert_eq!(
        o.provider.last_call().header("anthropic-beta"),
        Some("oauth-2025-04-20")
    );
    assert_eq!(o.provider.oauth().refreshes(), 0);
}

#[tokio::test]
async fn two_hundred_calls_with_an_ended_token_cause_one_refresh() {
    let o = account(|provider| provider.oauth().issue_expired(), LONG_AGO).await;
    o.provider.oauth().delay(Duration::from_millis(150));
    let client = o.relay.client(&o.key.secret);
    let calls = (0..200).map(|_| client.messages("hi").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(o.provider.requests_to(Route::Token).len(), 1);
    let asked = o.provider.requests_to(Route::Token).remove(0).json();
    assert_eq!(
        (asked["grant_type"].as_str(), asked["client_id"].as_str()),
        (Some("refresh_token"), Some("client-of-the-operator"))
    );
    assert_eq!(o.provider.calls(), 200, "nobody was sent up with the old token");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_served() {
    // Good by its own date; the provider knows better.
    let o = account(|provider| provider.oauth().issue_expired(), in_an_hour()).await;
    let client = o.relay.client(&o.key.secret);
    let calls = (0..20).map(|_| client.messages("hi").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(o.provider.oauth().refreshes(), 1);
}

#[tokio::test]
async fn renewed_tokens_survive_a_restart() {
    applies_here!();
    let mut o = account(|provider| provider.oauth().issue_expired(), LONG_AGO).await;
    o.relay.client(&o.key.secret).messages("hi").send().await.good();
    o.relay.kill9().await;
    o.relay.start_again().await;
    o.relay.client(&o.key.secret).messages("hi").send().await.good();
    assert_eq!(o.provider.oauth().refreshes(), 1);
}

#[tokio::test]
async fn tokens_are_kept_when_the_client_leaves_while_they_are_renewed() {
    let o = account(|provider| provider.oauth().issue_expired(), LONG_AGO).await;
    o.provider.oauth().delay(Duration::from_millis(300));
    let client = o.relay.client(&o.key.secret);
    let raw = client.messages("hi").sent().await;
    eventually("the renewal began", async || {
        (!o.provider.requests_to(Route::Token).is_empty()).then_some(())
    })
    .await;
    raw.reset();
    client.messages("hi").send().await.good();
    assert_eq!(
        (o.provider.oauth().refreshes(), o.provider.oauth().refused()),
        (1, 0)
    );
}

#[tokio::test]
async fn a_dead_refresh_token_marks_the_account_and_says_so() {
    let o = account(
        |provider| {
            let tokens = provider.oauth().issue_expired();
            provider.oauth().revoke(&tokens.refresh);
            tokens
        },
        LONG_AGO,
    )
    .await;
    let client = o.relay.client(&o.key.secret);
    let calls = (0..20).map(|_| client.messages("hi").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.expect(503);
    }
    assert_eq!(o.provider.oauth().refused(), 1, "a dead token is asked for once");
    assert_eq!(o.provider.calls(), 0);
    assert_eq!(o.record().await["status"], "unauthorized");
    // New credentials end the mark.
    let tokens = o.provider.oauth().issue();
    let patch = serde_json::json!({ "credentials": {
        "type": "oauth", "accessToken": tokens.access, "refreshToken": tokens.refresh, "expiresAt": in_an_hour(),
    }});
    o.relay
        .admin()
        .patch(&format!("/admin/accounts/{}", o.account), &patch)
        .await
        .good();
    client.messages("hi").send().await.good();
    assert_eq!(o.record().await["status"], "active");
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_asked_again_later() {
    let o = account(|provider| provider.oauth().issue_expired(), LONG_AGO).await;
    o.provider.on(Route::Token).next(Script::error(503));
    let client = o.relay.client(&o.key.secret);
    client.messages("hi").send().await.expect(503);
    client.messages("hi").send().await.good();
}

#[tokio::test]
async fn secrets_stay_inside() {
    let o = account(|provider| provider.oauth().issue_expired(), LONG_AGO).await;
    let before = o.relay.admin().get("/admin/accounts").await.good().raw_text();
    o.relay.client(&o.key.secret).messages("hi").send().await.good();
    let token = o.provider.last_call().bearer().expect("a token").to_owned();
    let asked = o.provider.requests_to(Route::Token).remove(0).json();
    let refresh = asked["refresh_token"].as_str().expect("a token").to_owned();
    let mut everything = vec![before, o.relay.log(), o.record().await.to_string()];
    everything.push(o.relay.admin().get("/admin/requests").await.good().raw_text());
    let mut folders = vec![o.relay.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(path).expect("its bytes");
                everything.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    for text in everything {
        for secret in [&token, &refresh, &o.key.secret] {
            assert!(
                !text.contains(secret.as_str()),
                "a secret is in {}",
                text.chars().take(200).collect::<String>()
            );
        }
    }
}
