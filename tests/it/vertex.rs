//! Claude at Google Vertex AI by a service account: the relay signs for an access token, and requests are in Vertex'
//! form.

use crs_support::client::{Answer, Client};
use crs_support::provider::google::{self, ANOTHER_PEM, SERVICE_ACCOUNT_PEM, key_file};
use crs_support::provider::{FakeProvider, Request, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{entries, relay};

mod gemini;

const EMAIL: &str = "relay@my-project.iam.gserviceaccount.com";

struct Vertex {
    provider: FakeProvider,
    relay: Relay,
    client: Client,
    /// The account's path in the admin API.
    path: String,
}

async fn vertex() -> Vertex {
    vertex_with(json!({})).await
}

async fn vertex_with(more: Value) -> Vertex {
    let provider = FakeProvider::start().await;
    provider.takes_service_account(EMAIL, SERVICE_ACCOUNT_PEM);
    let relay = relay(&provider).start().await;
    let mut credentials = json!({
        "type": "serviceAccount", "serviceAccount": key_file(EMAIL, SERVICE_ACCOUNT_PEM).to_string(),
        "region": "us-east5", "baseUrl": format!("{}/vertex", provider.url()),
    });
    for (name, value) in more.as_object().expect("fields") {
        credentials[name] = value.clone();
    }
    let account = json!({ "name": "vertex", "platform": "claude", "credentials": credentials });
    let account = relay.add_account(&account).await;
    let id = account["id"].as_str().expect("an id");
    let key = relay.key("k").create().await;
    Vertex {
        client: relay.client(&key.secret),
        provider,
        path: format!("/admin/accounts/{id}"),
        relay,
    }
}

impl Vertex {
    async fn account(&self) -> Value {
        self.relay.admin().get(&self.path).await.good().json()
    }

    fn tokens_asked(&self) -> Vec<Request> {
        self.provider.requests_to(Route::Token)
    }
}

fn plain(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn body(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "max_tokens": 64, "stream": stream,
        "messages": [{ "role": "user", "content": "Grüße, 你好" }],
    })
}

#[tokio::test]
async fn one_signed_claim_serves_many_calls() {
    let v = vertex().await;
    let call = |stream| {
        v.client
            .call("POST", "/v1/messages?beta=true")
            .header("anthropic-version", "2023-06-01")
            .header("anthropic-beta", "claude-code-20250219,effort-2025-11-24")
            .json(&body("claude-sonnet-4-5", stream))
            .send()
    };
    call(false).await.good();
    let asked = v.provider.last_call();
    let place = "/vertex/v1/projects/my-project/locations/us-east5/publishers/anthropic/models";
    assert_eq!(
        asked.target,
        format!("{place}/claude-sonnet-4-5@20250929:rawPredict")
    );
    assert_eq!(asked.json()["anthropic_version"], "vertex-2023-10-16");
    assert_eq!(asked.json().get("model"), None);
    assert_eq!(asked.json()["messages"][0]["content"], "Grüße, 你好");
    assert_eq!(asked.header("anthropic-version"), None);
    assert_eq!(asked.header("anthropic-beta"), Some("claude-code-20250219"));
    assert_eq!(asked.header("x-api-key"), None);

    let streamed = plain(&call(true).await.good());
    assert!(streamed.contains("event: message_stop"), "{streamed}");
    assert!(v.provider.last_call().target.ends_with(":streamRawPredict"));
    assert_eq!((v.provider.google_tokens(), v.tokens_asked().len()), (1, 1));

    for entry in entries(&v.relay, 2).await {
        assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
        // Google charges more for one region.
        let version = entry["priceVersion"].as_str().expect("a version");
        assert!(version.ends_with("+regional"), "{entry}");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_a_model_of_its_own() {
    let v = vertex().await;
    let mut asked = body("claude-haiku-4-5", false);
    asked.as_object_mut().expect("fields").remove("stream");
    let counted = v
        .client
        .call("POST", "/v1/messages/count_tokens")
        .header("anthropic-beta", "web-search-2025-03-05")
        .json(&asked)
        .send()
        .await
        .good()
        .json();
    assert!(counted["input_tokens"].as_u64() > Some(0), "{counted}");
    let asked = v.provider.requests_to(Route::CountTokens).pop().expect("a count");
    assert!(
        asked.target.ends_with("/models/count-tokens:rawPredict"),
        "{}",
        asked.target
    );
    assert_eq!(asked.json()["model"], "claude-haiku-4-5@20251001");
    assert_eq!(asked.header("anthropic-beta"), None);
}

#[tokio::test]
async fn a_token_is_renewed_when_it_ends() {
    let v = vertex().await;
    v.provider.google_tokens_last(0);
    let call = || {
        v.client
            .call("POST", "/v1/messages")
            .json(&body("claude-opus-5", false))
            .send()
    };
    call().await.good();
    v.provider.google_tokens_last(3599);
    call().await.good();
    assert_eq!(v.provider.google_tokens(), 2, "the first one ended at once");
    call().await.good();
    assert_eq!(v.provider.google_tokens(), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_repeated_once() {
    let v = vertex().await;
    let call = || {
        v.client
            .call("POST", "/v1/messages")
            .json(&body("claude-opus-5", false))
            .send()
    };
    call().await.good();
    // Good by its own date; Google knows better. A token that is so new is not renewed for a refusal alone.
    v.provider.end_google_tokens();
    call().await.expect(503);
    assert_eq!(v.provider.google_tokens(), 1);
    let account = v.account().await;
    assert_eq!(account["status"], "unauthorized", "{account}");
    assert!(account["statusUntil"].is_string(), "{account}");

    v.relay
        .admin()
        .post(&format!("{}/reset", v.path), &json!({}))
        .await
        .good();
    call().await.good();
    assert_eq!(v.provider.google_tokens(), 2);
    let asked = v.provider.requests_to(Route::Messages);
    let tokens: Vec<_> = asked.iter().map(|request| request.bearer()).collect();
    assert_eq!(tokens.len(), 4, "the second refused call was repeated once");
    assert!(tokens[0] == tokens[2] && tokens[2] != tokens[3], "{tokens:?}");
    assert_eq!(v.account().await["status"], "active");
}

#[tokio::test]
async fn many_calls_at_once_share_one_token() {
    let v = vertex().await;
    let calls = (0..8).map(|_| {
        v.client
            .call("POST", "/v1/messages")
            .json(&body("claude-opus-5", false))
            .send()
    });
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(v.provider.google_tokens(), 1);
}

#[tokio::test]
async fn a_wrong_key_marks_the_account_until_it_has_the_right_one() {
    let wrong = key_file(EMAIL, ANOTHER_PEM);
    let v = vertex_with(json!({ "serviceAccount": wrong })).await;
    let call = || {
        v.client
            .call("POST", "/v1/messages")
            .json(&body("claude-sonnet-5", false))
            .send()
    };
    call().await.expect(503);
    let account = v.account().await;
    assert_eq!(account["status"], "unauthorized", "{account}");
    let why = account["statusReason"].as_str().expect("a reason");
    assert!(why.contains("Invalid JWT Signature."), "{why}");
    assert_eq!(v.provider.calls(), 0);

    let right = json!({ "credentials": {
        "type": "serviceAccount", "serviceAccount": key_file(EMAIL, SERVICE_ACCOUNT_PEM),
    } });
    v.relay.admin().patch(&v.path, &right).await.good();
    call().await.good();
    assert_eq!(v.account().await["status"], "active");
}

#[tokio::test]
async fn google_refuses_in_the_clients_protocol_and_another_account_serves() {
    let v = vertex().await;
    let missing = "Publisher Model `projects/my-project/locations/us-east5/publishers/anthropic/models/claude-opus-5` was \
                   not found or your project does not have access to it.";
    v.provider.answer(google::error(404, "NOT_FOUND", missing));
    let call = || {
        v.client
            .call("POST", "/v1/messages")
            .json(&body("claude-opus-5", false))
            .send()
    };
    let refused = call().await.expect(404).json();
    assert_eq!(refused["type"], "error");
    assert_eq!(refused["error"]["type"], "not_found_error");
    assert_eq!(refused["error"]["message"], missing);
    assert_eq!(v.account().await["status"], "active");

    v.relay.claude_account("official", "sk-ant-official").await;
    v.provider
        .for_credential("sk-ant-official")
        .answer(Script::message("hi"));
    call().await.good();
    let asked = v.provider.last_call();
    assert_eq!(asked.header("x-api-key"), Some("sk-ant-official"));
    assert_eq!(asked.json()["model"], "claude-opus-5");
}

#[tokio::test]
async fn neither_key_nor_token_is_shown_and_both_stay_with_their_host() {
    let v = vertex().await;
    v.client
        .call("POST", "/v1/messages")
        .json(&body("claude-sonnet-5", false))
        .send()
        .await
        .good();
    let shown = plain(&v.relay.admin().get(&v.path).await.good());
    assert!(
        !shown.contains("PRIVATE KEY") && !shown.contains("ya29."),
        "{shown}"
    );
    let credentials = v.account().await["credentials"].clone();
    assert_eq!(
        credentials,
        json!({
            "type": "serviceAccount", "clientEmail": EMAIL, "project": "my-project", "region": "us-east5",
            "baseUrl": format!("{}/vertex", v.provider.url()),
        })
    );
    let moved = json!({ "credentials": { "type": "serviceAccount", "baseUrl": null } });
    let refused = v.relay.admin().call("PATCH", &v.path).json(&moved).send().await;
    assert_eq!(refused.status, 422, "{}", plain(&refused));
    assert!(
        plain(&refused).contains("credentials.serviceAccount"),
        "{}",
        plain(&refused)
    );
    // Another region is the same host, and the token goes on.
    let region = json!({ "credentials": { "type": "serviceAccount", "region": "global", "project": "another-project" } });
    v.relay.admin().patch(&v.path, &region).await.good();
    v.client
        .call("POST", "/v1/messages")
        .json(&body("claude-sonnet-5", false))
        .send()
        .await
        .good();
    let asked = v.provider.last_call();
    assert!(
        asked
            .target
            .contains("/projects/another-project/locations/global/"),
        "{}",
        asked.target
    );
    assert_eq!(v.provider.google_tokens(), 1);
}

#[tokio::test]
async fn service_accounts_are_validated() {
    let v = vertex().await;
    let file = |change: Value| {
        let mut file = key_file(EMAIL, SERVICE_ACCOUNT_PEM);
        for (name, value) in change.as_object().expect("fields") {
            file[name] = value.clone();
        }
        json!({ "serviceAccount": file })
    };
    let given = |platform: &str, change: Value| {
        let mut credentials = json!({
            "type": "serviceAccount", "serviceAccount": key_file(EMAIL, SERVICE_ACCOUNT_PEM), "region": "global",
        });
        for (name, value) in change.as_object().expect("fields") {
            credentials[name] = value.clone();
        }
        let account = json!({ "name": "n", "platform": platform, "credentials": credentials });
        v.relay
            .admin()
            .call("POST", "/admin/accounts")
            .json(&account)
            .send()
    };
    for (platform, change, field) in [
        ("openai", json!({}), "credentials.type"),
        (
            "claude",
            json!({ "region": "us.evil.example/" }),
            "credentials.region",
        ),
        ("claude", json!({ "project": "../other" }), "credentials.project"),
        ("claude", json!({ "apiKey": "k" }), "credentials.apiKey"),
        (
            "claude",
            file(json!({ "token_uri": "https://evil.example/token" })),
            "credentials.serviceAccount",
        ),
        (
            "claude",
            file(json!({ "private_key": "x" })),
            "credentials.serviceAccount",
        ),
        (
            "claude",
            file(json!({ "project_id": null })),
            "credentials.project",
        ),
    ] {
        let refused = given(platform, change.clone()).await.expect(422).json();
        assert_eq!(refused["field"], field, "{change} {refused}");
    }
    let account = given("claude", json!({ "project": "billed-project" }))
        .await
        .good()
        .json();
    assert_eq!(account["credentials"]["project"], "billed-project");
    assert_eq!(account["credentials"]["baseUrl"], Value::Null);
}
