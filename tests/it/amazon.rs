//! Claude at Amazon Bedrock by access keys: requests are signed and have Bedrock's model names.

use crs_support::client::{Answer, Client};
use crs_support::provider::{FakeProvider, Route};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{entries, relay};

mod invoke;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Bedrock {
    provider: FakeProvider,
    relay: Relay,
    client: Client,
    account: Value,
}

/// At the runtime's Messages API.
async fn bedrock(more: Value) -> Bedrock {
    bedrock_at("/anthropic", more).await
}

/// `more`: other fields of the credentials; with another type, all of them but the address.
async fn bedrock_at(path: &str, more: Value) -> Bedrock {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let url = format!("{}{path}", provider.url());
    let mut credentials = json!({ "baseUrl": url });
    if more.get("type").is_none() {
        credentials = json!({
            "type": "accessKeys", "accessKeyId": ID, "secretAccessKey": SECRET, "region": "eu-west-1", "baseUrl": url,
        });
    }
    for (name, value) in more.as_object().expect("fields") {
        credentials[name] = value.clone();
    }
    let account = json!({ "name": "bedrock", "platform": "claude", "credentials": credentials });
    let account = relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    Bedrock {
        client: relay.client(&key.secret),
        provider,
        relay,
        account,
    }
}

/// The answer's body as text.
fn plain(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A request of Claude Code, with JSON in `metadata.user_id`.
fn body(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "max_tokens": 64, "stream": stream,
        "messages": [{ "role": "user", "content": "Grüße, 你好 / a+b=c" }],
        "metadata": { "user_id": "{\"device_id\":\"ab12\",\"session_id\":\"0b0e1ae2-7f5f-4d2e-9f5b-7f1f0a2c3d4e\"}" },
    })
}

#[tokio::test]
async fn a_call_is_signed_and_names_the_regions_inference_profile() {
    let b = bedrock(json!({})).await;
    b.provider.takes_access_keys(ID, SECRET, None);
    let call = b
        .client
        .call("POST", "/v1/messages?beta=true")
        .json(&body("claude-sonnet-4-5", false));
    let answer = call
        .header("content-type", "application/json")
        .send()
        .await
        .good();
    assert!(!plain(&answer).contains(SECRET), "{}", plain(&answer));
    let asked = b.provider.last_call();
    assert_eq!(asked.target, "/anthropic/v1/messages?beta=true");
    assert_eq!(
        asked.json()["model"],
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    );
    assert_eq!(
        asked.json()["metadata"]["user_id"],
        "__device_id_:_ab12_,_session_id_:_0b0e1ae2-7f5f-4d2e-9f5b-7f1f0a2c3d4e__"
    );
    let shown = asked.header("authorization").expect("a signature");
    assert!(
        shown.contains("/eu-west-1/bedrock/aws4_request, SignedHeaders="),
        "{shown}"
    );
    assert_eq!(asked.header("x-api-key"), None);

    b.client
        .call("POST", "/v1/messages")
        .json(&body("claude-opus-4-6", true))
        .send()
        .await
        .good();
    assert_eq!(
        b.provider.last_call().json()["model"],
        "eu.anthropic.claude-opus-4-6-v1"
    );
    let entries = entries(&b.relay, 2).await;
    for entry in &entries {
        // The fake returns the requested name; the price is that of its canonical model.
        let model = entry["model"].as_str().expect("a model");
        assert!(model.starts_with("eu.anthropic.claude-"), "{entry}");
        assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
        let version = entry["priceVersion"].as_str().expect("a version");
        assert!(version.ends_with("+regional"), "{entry}");
    }
}

#[tokio::test]
async fn a_session_token_is_sent_and_the_operators_mapping_has_priority() {
    let b = bedrock(json!({ "sessionToken": "session/token+==" })).await;
    b.provider.takes_access_keys(ID, SECRET, Some("session/token+=="));
    let id = b.account["id"].as_str().expect("an id");
    let path = format!("/admin/accounts/{id}");
    let mapping = json!({ "modelMapping": { "claude-sonnet-4-5": "global.anthropic.claude-sonnet-4-5-20250929-v1:0" } });
    b.relay.admin().patch(&path, &mapping).await.good();
    b.client
        .call("POST", "/v1/messages")
        .json(&body("claude-sonnet-4-5", false))
        .send()
        .await
        .good();
    let asked = b.provider.last_call();
    assert_eq!(
        asked.json()["model"],
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    );
    assert_eq!(asked.header("x-amz-security-token"), Some("session/token+=="));

    let shown = plain(&b.relay.admin().get(&path).await.good());
    assert!(
        !shown.contains(SECRET) && !shown.contains("session/token"),
        "{shown}"
    );
    assert!(shown.contains(ID) && shown.contains("eu-west-1"), "{shown}");
    // Another address is another host, to which the secret is not bound.
    let moved = json!({ "credentials": { "type": "accessKeys", "baseUrl": null } });
    let refused = b.relay.admin().call("PATCH", &path).json(&moved).send().await;
    assert_eq!(refused.status, 422, "{}", plain(&refused));
    assert!(plain(&refused).contains("secretAccessKey"), "{}", plain(&refused));
}

#[tokio::test]
async fn wrong_keys_mark_the_account_and_another_serves() {
    let b = bedrock(json!({ "secretAccessKey": "another" })).await;
    b.provider.takes_access_keys(ID, SECRET, None);
    b.client
        .call("POST", "/v1/messages")
        .json(&body("claude-sonnet-4-5", false))
        .send()
        .await
        .expect(503);
    let id = b.account["id"].as_str().expect("an id");
    let account = b
        .relay
        .admin()
        .get(&format!("/admin/accounts/{id}"))
        .await
        .good()
        .json();
    assert_eq!(account["status"], "unauthorized", "{account}");
    b.relay.claude_account("official", "sk-ant-official").await;
    b.client
        .call("POST", "/v1/messages")
        .json(&body("claude-sonnet-4-5", false))
        .send()
        .await
        .good();
    let asked = b.provider.last_call();
    assert_eq!(asked.json()["model"], "claude-sonnet-4-5");
    assert_eq!(asked.header("x-api-key"), Some("sk-ant-official"));
}

#[tokio::test]
async fn the_runtime_is_not_asked_to_count_tokens() {
    let b = bedrock(json!({})).await;
    b.provider.takes_access_keys(ID, SECRET, None);
    let count = || {
        b.client
            .call("POST", "/v1/messages/count_tokens")
            .json(&body("claude-sonnet-4-5", false))
    };
    let refused = count().send().await;
    assert_ne!(refused.status, 200, "{}", plain(&refused));
    assert!(b.provider.requests_to(Route::CountTokens).is_empty());
}

#[tokio::test]
async fn access_keys_are_validated() {
    let b = bedrock(json!({})).await;
    let given = |platform: &str, change: Value| {
        let mut credentials = json!({
            "type": "accessKeys", "accessKeyId": ID, "secretAccessKey": SECRET, "region": "us-east-1",
        });
        for (name, value) in change.as_object().expect("fields") {
            credentials[name] = value.clone();
        }
        let account = json!({ "name": "n", "platform": platform, "credentials": credentials });
        b.relay
            .admin()
            .call("POST", "/admin/accounts")
            .json(&account)
            .send()
    };
    for (platform, change, field) in [
        ("openai", json!({}), "credentials.type"),
        (
            "claude",
            json!({ "region": "us-east-1.evil.example/" }),
            "credentials.region",
        ),
        (
            "claude",
            json!({ "accessKeyId": "short" }),
            "credentials.accessKeyId",
        ),
        ("claude", json!({ "apiKey": "k" }), "credentials.apiKey"),
    ] {
        let refused = given(platform, change.clone()).await.expect(422).json();
        assert_eq!(refused["field"], field, "{change} {refused}");
    }
    assert_eq!(
        given("claude", json!({})).await.good().json()["credentials"]["baseUrl"],
        Value::Null
    );
}
