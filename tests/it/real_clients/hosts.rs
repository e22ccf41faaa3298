//! The real Claude Code on Amazon Bedrock, on Google Vertex AI, and on a host that supports only Chat Completions, with
//! the settings in README.md.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::google::{SERVICE_ACCOUNT_PEM, key_file};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{entries, relay};
use super::codex::refusals;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

async fn on_account(
    version: &str,
    account: impl Fn(&FakeProvider) -> Value,
) -> (FakeProvider, Relay, ClaudeCode) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.add_account(&account(&provider)).await;
    let key = relay.key("k").create().await;
    let claude = ClaudeCode::new(version, &format!("{}/", relay.api()), &key.secret).await;
    (provider, relay, claude)
}

/// The fake refuses wrong signatures, and everything that Bedrock's runtime refuses.
async fn on_bedrock(version: &str) -> (FakeProvider, Relay, ClaudeCode) {
    let (provider, relay, claude) = on_account(version, |provider| {
        json!({ "name": "bedrock", "platform": "claude", "credentials": {
            "type": "accessKeys", "accessKeyId": ID, "secretAccessKey": SECRET, "region": "eu-west-1",
            "baseUrl": format!("{}/anthropic", provider.url()),
        } })
    })
    .await;
    provider.takes_access_keys(ID, SECRET, None);
    (provider, relay, claude.model("claude-sonnet-4-5"))
}

/// The fake refuses wrong signatures, and what Vertex refuses: known betas that it has not, `model` in the body.
async fn on_vertex(version: &str) -> (FakeProvider, Relay, ClaudeCode) {
    const EMAIL: &str = "relay@my-project.iam.gserviceaccount.com";
    let (provider, relay, claude) = on_account(version, |provider| {
        json!({ "name": "vertex", "platform": "claude", "credentials": {
            "type": "serviceAccount", "serviceAccount": key_file(EMAIL, SERVICE_ACCOUNT_PEM), "region": "global",
            "baseUrl": provider.url(),
        } })
    })
    .await;
    provider.takes_service_account(EMAIL, SERVICE_ACCOUNT_PEM);
    (provider, relay, claude.model("claude-sonnet-4-5"))
}

/// The host serves the model that the client names: version 2.1.197 drops the thinking of other models' answers.
async fn on_chat_host(version: &str) -> (FakeProvider, Relay, ClaudeCode) {
    let (provider, relay, claude) = on_account(version, |provider| {
        json!({
            "name": "host", "platform": "openai", "chatOnly": true,
            "credentials": { "type": "apiKey", "apiKey": "sk-host", "baseUrl": format!("{}/v1", provider.url()) },
        })
    })
    .await;
    let claude = claude
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "gpt-5-mini")
        .model("gpt-5.4");
    (provider, relay, claude)
}

#[tokio::test]
async fn print_mode_on_bedrock() {
    for version in versions() {
        let (provider, relay, claude) = on_bedrock(&version).await;
        provider.answer(Script::message("hello from the far side — 你好"));
        let run = claude.print("say hello").await.good();
        assert!(
            run.text().contains("hello from the far side — 你好"),
            "{version}: {}",
            run.text()
        );
        let entry = entries(&relay, 1).await.remove(0);
        assert_eq!(
            (&entry["quality"], &entry["status"], &entry["platform"]),
            (&json!("exact"), &json!(200), &json!("claude")),
            "{version}: {entry}"
        );
        assert!(entry["cost"].as_f64() > Some(0.0), "{version}: {entry}");
        let sent = provider.last_call();
        assert_eq!(
            sent.json()["model"],
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "{version}"
        );
        assert!(provider.requests_to(Route::CountTokens).is_empty(), "{version}");
    }
}

#[tokio::test]
async fn a_tool_turn_on_bedrock() {
    for version in versions() {
        let (provider, relay, claude) = on_bedrock(&version).await;
        let claude = claude.allowed_tools(&["Read"]);
        let file = claude.file("secret.txt", "the word is marzipan");
        provider.answer(Script::tool_turn(
            "Read",
            json!({ "file_path": file }),
            "the file was read",
        ));
        let run = claude.print("read secret.txt").await.good();
        assert!(
            run.text().contains("the file was read"),
            "{version}: {}",
            run.text()
        );
        assert!(provider.last_call().text().contains("marzipan"), "{version}");
        let entries = entries(&relay, 2).await;
        assert!(
            entries.iter().all(|entry| entry["quality"] == "exact"),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_tool_turn_on_vertex() {
    for version in versions() {
        let (provider, relay, claude) = on_vertex(&version).await;
        let claude = claude.allowed_tools(&["Read"]);
        let file = claude.file("secret.txt", "the word is marzipan");
        provider.answer(Script::tool_turn(
            "Read",
            json!({ "file_path": file }),
            "the file was read",
        ));
        let run = claude.print("read secret.txt").await.good();
        assert!(
            run.text().contains("the file was read"),
            "{version}: {}",
            run.text()
        );
        let sent = provider.last_call();
        assert!(sent.text().contains("marzipan"), "{version}");
        assert!(
            sent.target
                .ends_with("/claude-sonnet-4-5@20250929:streamRawPredict"),
            "{version}: {}",
            sent.target
        );
        for entry in entries(&relay, 2).await {
            assert_eq!(
                (&entry["quality"], &entry["status"]),
                (&json!("exact"), &json!(200)),
                "{version}: {entry}"
            );
            assert!(entry["cost"].as_f64() > Some(0.0), "{version}: {entry}");
        }
        assert_eq!(provider.google_tokens(), 1, "{version}");
    }
}

#[tokio::test]
async fn print_mode_on_a_chat_host() {
    for version in versions() {
        let (provider, relay, claude) = on_chat_host(&version).await;
        provider.on(Route::ChatCompletions).answer(Script::chat_host(
            "Hm.",
            "hello from the far side — 你好",
            None,
        ));
        let run = claude.print("say hello").await.good();
        assert!(
            run.text().contains("hello from the far side — 你好"),
            "{version}: {}",
            run.text()
        );
        let entry = entries(&relay, 1).await.remove(0);
        assert_eq!(
            (&entry["quality"], &entry["status"], &entry["platform"]),
            (&json!("exact"), &json!(200), &json!("openai")),
            "{version}: {entry}"
        );
        let sent = provider.requests_to(Route::ChatCompletions);
        assert_eq!(sent.len(), 1, "{version}: one call, at the first attempt");
        assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
    }
}

/// The host gets its reasoning back with the result.
#[tokio::test]
async fn a_tool_turn_with_its_reasoning_on_a_chat_host() {
    for version in versions() {
        let (provider, relay, claude) = on_chat_host(&version).await;
        let claude = claude.allowed_tools(&["Read"]);
        let file = claude.file("secret.txt", "the word is marzipan");
        provider
            .on(Route::ChatCompletions)
            .answer(Script::chat_host_tool_turn(
                "I need the file.",
                "Read",
                &json!({ "file_path": file }),
                "the file was read",
            ));
        let run = claude.print("read secret.txt").await.good();
        assert!(
            run.text().contains("the file was read"),
            "{version}: {}",
            run.text()
        );
        let mut sent = provider.requests_to(Route::ChatCompletions);
        let last = sent.pop().expect("a call").json();
        let messages = last["messages"].as_array().expect("messages");
        let at = messages
            .iter()
            .position(|message| message["role"] == "tool")
            .expect("the result");
        assert_eq!(
            messages[at - 1]["reasoning_content"],
            "I need the file.",
            "{version}"
        );
        assert!(
            messages[at].to_string().contains("marzipan"),
            "{version}: {}",
            messages[at]
        );
        assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
    }
}

/// The second turn is another process.
#[tokio::test]
async fn two_turns_on_a_chat_host() {
    for version in versions() {
        let (provider, relay, claude) = on_chat_host(&version).await;
        let route = provider.on(Route::ChatCompletions);
        route.answer(Script::chat_host("42 it is.", "I will remember", None));
        claude.print("remember 42").await.good();
        let route = provider.on(Route::ChatCompletions);
        route.answer(Script::chat_host("", "it was 42", None));
        let run = claude.go_on("what was it?").await.good();
        assert!(run.text().contains("it was 42"), "{version}: {}", run.text());
        let mut sent = provider.requests_to(Route::ChatCompletions);
        let last = sent.pop().expect("a call").text();
        assert!(last.contains("I will remember"), "{version}: {last}");
        assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
    }
}
