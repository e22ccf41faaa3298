//! Names of models: one model under all its names, and no name that leaves its place.

use crs_support::client::Client;
use crs_support::provider::FakeProvider;
use crs_support::relay::{Key, Relay};
use serde_json::{Value, json};

use super::support::relay;

struct Names {
    provider: FakeProvider,
    relay: Relay,
}

async fn ready() -> Names {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.claude_account("claude", "sk-ant-test").await;
    for platform in ["openai", "gemini"] {
        let account = json!({
            "name": platform, "platform": platform, "credentials": { "type": "apiKey", "apiKey": "a-key-of-the-provider" },
        });
        relay.add_account(&account).await;
    }
    Names { provider, relay }
}

impl Names {
    async fn restricted(&self, mode: &str, models: Value) -> Key {
        self.relay
            .key("restricted")
            .set("enableModelRestriction", true)
            .set("modelRestrictionMode", mode)
            .set("restrictedModels", models)
            .create()
            .await
    }

    /// Calls this model by every protocol in which it can be named; the status and body of each.
    async fn called(&self, key: &Key, model: &str) -> Vec<(&'static str, u16, Value)> {
        let client =
            |under: &str| Client::new(&format!("{}{under}", self.relay.url())).with_bearer(&key.secret);
        let said = json!([{ "role": "user", "content": "hi" }]);
        let contents = json!([{ "role": "user", "parts": [{ "text": "hi" }] }]);
        let in_path: String = model
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let calls = [
            (
                "messages",
                client("/api")
                    .call("POST", "/v1/messages")
                    .json(&json!({ "model": model, "max_tokens": 9, "messages": said })),
            ),
            (
                "count_tokens",
                client("/api")
                    .call("POST", "/v1/messages/count_tokens")
                    .json(&json!({ "model": model, "messages": said })),
            ),
            (
                "responses",
                client("/openai")
                    .call("POST", "/responses")
                    .json(&json!({ "model": model, "input": "hi" })),
            ),
            (
                "chat",
                client("/openai")
                    .call("POST", "/v1/chat/completions")
                    .json(&json!({ "model": model, "messages": said })),
            ),
            (
                "chat on claude",
                client("/openai/claude")
                    .call("POST", "/v1/chat/completions")
                    .json(&json!({ "model": model, "messages": said })),
            ),
            (
                "messages on gemini",
                client("/gemini-cli/api")
                    .call("POST", "/v1/messages")
                    .json(&json!({ "model": model, "max_tokens": 9, "messages": said })),
            ),
            (
                "gemini",
                client("/gemini")
                    .call("POST", &format!("/v1beta/models/{in_path}:generateContent"))
                    .json(&json!({ "contents": contents })),
            ),
            (
                "code assist",
                client("/gemini")
                    .call("POST", "/v1internal:generateContent")
                    .json(&json!({ "model": model, "request": { "contents": contents } })),
            ),
        ];
        let mut answers = Vec::new();
        for (name, call) in calls {
            let answer = call.send().await;
            let body = serde_json::from_slice(&answer.body).unwrap_or_default();
            answers.push((name, answer.status, body));
        }
        answers
    }
}

#[tokio::test]
async fn a_name_that_is_a_path_is_refused_in_every_protocol() {
    let n = ready().await;
    let key = n.relay.key("k").create().await;
    for model in [
        "x/../gemini-3-pro",
        "x%2F..%2Fgemini-3-pro",
        "../../",
        "..%2F..%2F",
        "gemini-3-pro?x=y",
        "gemini 3",
        "a//b",
        "./a",
        &"m".repeat(300),
    ] {
        for (name, status, body) in n.called(&key, model).await {
            assert_eq!(status, 400, "{name} {model}: {body}");
            // In each protocol the error has its words in the same place.
            let words = body["error"]["message"].as_str().unwrap_or_default();
            assert!(words.contains("name"), "{name} {model}: {body}");
        }
    }
    assert!(n.provider.requests().is_empty(), "{:?}", n.provider.requests());
}

#[tokio::test]
async fn a_denied_model_is_denied_under_all_its_names() {
    let n = ready().await;
    let denied = n
        .restricted(
            "deny",
            json!([
                "claude-sonnet-4-5",
                "GPT-5.4-2026-03-05",
                "gemini-3.5-flash",
                "gemini-2.5-pro"
            ]),
        )
        .await;
    for model in [
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5@20250929",
        "anthropic/claude-sonnet-4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "Claude-Sonnet-4-5",
        "gpt-5.4",
        "gpt-5.4-2026-03-05",
        "models/gemini-3.5-flash",
        "gemini-3.5-flash-001",
        "gemini-2.5-pro-preview-06-05",
        "gemini-2.5-pro-exp-03-25",
        "gemini-3.5-flash-preview",
        "gpt-5.4-preview",
        // An alias that may be it today.
        "gemini-flash-latest",
    ] {
        for (name, status, body) in n.called(&denied, model).await {
            assert_eq!(status, 403, "{name} {model}: {body}");
        }
    }
    assert!(n.provider.requests().is_empty(), "{:?}", n.provider.requests());
    for model in ["claude-sonnet-5", "gpt-5.5", "gemini-3.6-flash"] {
        for (name, status, body) in n.called(&denied, model).await {
            assert_eq!(status, 200, "{name} {model}: {body}");
        }
    }
}

#[tokio::test]
async fn an_allow_list_admits_all_names_of_its_models() {
    let n = ready().await;
    let allowed = n.restricted("allow", json!(["claude-sonnet-4-5-20250929"])).await;
    for (model, status) in [
        ("claude-sonnet-4-5", 200),
        ("claude-sonnet-4-5-20250929", 200),
        ("CLAUDE-SONNET-4-5", 200),
        ("claude-sonnet-4-6", 403),
        ("claude-sonnet-4", 403),
    ] {
        let client = n.relay.client(&allowed.secret);
        client.messages("hi").model(model).send().await.expect(status);
    }
}

#[tokio::test]
async fn the_operator_can_only_write_names() {
    let n = ready().await;
    let admin = n.relay.admin();
    for model in ["../x", "a%2Fb", "a b"] {
        for (path, body) in [
            (
                "/admin/api-keys",
                json!({ "name": "k", "restrictedModels": [model] }),
            ),
            (
                "/admin/accounts",
                json!({ "name": "a", "platform": "gemini", "modelMapping": { "gemini-3-pro": model },
                "credentials": { "type": "apiKey", "apiKey": "a-key" } }),
            ),
            (
                "/admin/accounts",
                json!({ "name": "a", "platform": "gemini", "modelMapping": { model: "gemini-3-pro" },
                "credentials": { "type": "apiKey", "apiKey": "a-key" } }),
            ),
            (
                "/admin/accounts",
                json!({ "name": "a", "platform": "gemini", "supportedModels": [model],
                "credentials": { "type": "apiKey", "apiKey": "a-key" } }),
            ),
        ] {
            let answer = admin.call("POST", path).json(&body).send().await;
            assert_eq!(answer.status, 422, "{path} {body}");
        }
    }
}
