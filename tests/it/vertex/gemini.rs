//! Gemini at Vertex AI by the same service account: for Gemini's clients in both of Google's protocols, and for Claude Code.

use crs_support::client::Client;
use crs_support::provider::google::{self, SERVICE_ACCOUNT_PEM, key_file};
use crs_support::provider::{FakeProvider, Request, Route};
use serde_json::{Value, json};

use super::super::support::{entries, relay};
use super::{EMAIL, Vertex, plain};

const PLACE: &str = "projects/my-project/locations/global/publishers/google/models/gemini-2.5-pro";

/// With a client below `/gemini`.
async fn vertex() -> (Vertex, Client) {
    let provider = FakeProvider::start().await;
    provider.takes_service_account(EMAIL, SERVICE_ACCOUNT_PEM);
    let relay = relay(&provider).start().await;
    let account = json!({ "name": "vertex", "platform": "gemini", "credentials": {
        "type": "serviceAccount", "serviceAccount": key_file(EMAIL, SERVICE_ACCOUNT_PEM), "region": "global",
        "baseUrl": provider.url(),
    } });
    let account = relay.add_account(&account).await;
    let id = account["id"].as_str().expect("an id");
    let key = relay.key("k").create().await;
    let gemini = Client::new(&format!("{}/gemini", relay.url())).with_bearer(&key.secret);
    let v = Vertex {
        client: relay.client(&key.secret),
        provider,
        path: format!("/admin/accounts/{id}"),
        relay,
    };
    (v, gemini)
}

fn asked(v: &Vertex) -> Request {
    v.provider.requests().pop().expect("a call of the provider")
}

/// As the Gemini API takes it: without a role, with ids.
fn contents() -> Value {
    json!([
        { "parts": [{ "text": "Grüße, 你好" }] },
        { "role": "model", "parts": [{ "functionCall": { "id": "c1", "name": "f", "args": {} } }] },
        { "role": "user", "parts": [{ "functionResponse": { "id": "c1", "name": "f", "response": {} } }] },
    ])
}

#[tokio::test]
async fn googles_protocols_go_up_in_vertex_form() {
    let (v, gemini) = vertex().await;
    let body = json!({ "contents": contents() });
    let api = |method: &str| {
        let path = format!("/v1beta/models/gemini-2.5-pro:{method}");
        gemini.call("POST", &path).json(&body).send()
    };
    let whole = api("generateContent").await.good().json();
    assert!(whole["candidates"][0].is_object(), "{whole}");
    let call = asked(&v);
    assert_eq!(call.target, format!("/v1beta1/{PLACE}:generateContent"));
    assert_eq!(call.header("x-goog-api-key"), None);
    assert_eq!(call.json()["contents"][0]["role"], "user");
    assert_eq!(call.json()["contents"][0]["parts"][0]["text"], "Grüße, 你好");

    let streamed = plain(&api("streamGenerateContent?alt=sse").await.good());
    assert!(streamed.contains("usageMetadata"), "{streamed}");
    let target = asked(&v).target;
    assert_eq!(target, format!("/v1beta1/{PLACE}:streamGenerateContent?alt=sse"));
    api("countTokens").await.good();
    assert_eq!(
        v.provider
            .requests_to(Route::Assist)
            .pop()
            .expect("a count")
            .target,
        format!("/v1beta1/{PLACE}:countTokens")
    );

    // Gemini CLI's own protocol.
    let enveloped = json!({ "model": "gemini-2.5-pro", "project": "of-the-client", "request": body });
    let call = gemini
        .call("POST", "/v1internal:generateContent")
        .json(&enveloped);
    let whole = call.send().await.good().json();
    assert!(whole["response"]["candidates"][0].is_object(), "{whole}");
    assert!(!asked(&v).text().contains("of-the-client"));
    assert_eq!(v.provider.google_tokens(), 1);
    for entry in entries(&v.relay, 4).await {
        let is_free = entry["endpoint"] == "count_tokens";
        assert_eq!(entry["cost"].as_f64() > Some(0.0), !is_free, "{entry}");
    }
}

#[tokio::test]
async fn claude_code_is_served_and_counted() {
    let (v, _) = vertex().await;
    let key = v.relay.key("other").create().await;
    let claude = Client::new(&format!("{}/gemini-cli/api", v.relay.url())).with_bearer(&key.secret);
    let call = |path: &str, max: Value| {
        let mut body = json!({ "model": "gemini-2.5-pro", "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_1", "name": "f", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "x" }] },
        ], "tools": [{ "name": "f", "input_schema": { "type": "object" } }] });
        if !max.is_null() {
            body["max_tokens"] = max;
        }
        claude.call("POST", path).json(&body).send()
    };
    let answer = call("/v1/messages", json!(64)).await.good().json();
    assert_eq!(answer["type"], "message", "{answer}");
    let counted = call("/v1/messages/count_tokens", Value::Null).await.good().json();
    assert!(counted["input_tokens"].as_u64() > Some(0), "{counted}");
}

#[tokio::test]
async fn a_model_that_is_not_there_marks_nobody() {
    let (v, gemini) = vertex().await;
    let missing =
        format!("Publisher Model `{PLACE}` was not found or your project does not have access to it.");
    v.provider
        .on(Route::Gemini)
        .next(google::error(404, "NOT_FOUND", &missing));
    let call = || {
        gemini
            .call("POST", "/v1beta/models/gemini-2.5-pro:generateContent")
            .json(&json!({ "contents": contents() }))
            .send()
    };
    let refused = plain(&call().await.expect(404));
    assert!(refused.contains("was not found"), "{refused}");
    assert_eq!(v.account().await["status"], "active");
    call().await.good();
}
