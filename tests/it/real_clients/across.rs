//! The real Claude Code on OpenAI's accounts, with the settings in README.md.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::{FakeProvider, Route, Script, reasoning, said};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{entries, relay};
use super::codex::refusals;

/// Claude Code with a model of OpenAI's, on an account of this kind.
async fn on_openai(version: &str, credentials: Value) -> (FakeProvider, Relay, ClaudeCode) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let account = json!({ "name": "openai", "platform": "openai", "credentials": credentials });
    relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    let claude = ClaudeCode::new(version, &format!("{}/", relay.api()), &key.secret)
        .await
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "gpt-5-mini")
        .model("gpt-5.4");
    (provider, relay, claude)
}

fn kinds() -> [Value; 2] {
    [
        json!({ "type": "apiKey", "apiKey": "sk-openai" }),
        json!({ "type": "oauth", "accessToken": "a-token", "tenant": "11111111-2222-4333-8444-555555555555" }),
    ]
}

#[tokio::test]
async fn print_mode() {
    for version in versions() {
        for credentials in kinds() {
            let (provider, relay, claude) = on_openai(&version, credentials.clone()).await;
            provider
                .on(Route::Responses)
                .answer(Script::openai("hello from the far side — 你好"));
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
            assert!(entry["cost"].as_f64() > Some(0.0));
            // One call a turn, at the first attempt: nothing of it was refused.
            assert_eq!(provider.requests_to(Route::Responses).len(), 1, "{version}");
            assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
            let seen = provider.requests_to(Route::Responses).remove(0);
            assert!(
                seen.header("user-agent")
                    .is_some_and(|agent| agent.starts_with("claude-cli/"))
            );
        }
    }
}

#[tokio::test]
async fn a_tool_turn_with_its_reasoning() {
    for version in versions() {
        for credentials in kinds() {
            let (provider, relay, claude) = on_openai(&version, credentials.clone()).await;
            let claude = claude.allowed_tools(&["Read"]);
            let file = claude.file("secret.txt", "the word is marzipan");
            provider
                .on(Route::Responses)
                .answer(Script::openai_reasoning_turn(
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
            let last = provider
                .requests_to(Route::Responses)
                .pop()
                .expect("a call")
                .json();
            let items = last["input"].as_array().expect("items");
            let at = items
                .iter()
                .position(|item| item["type"] == "function_call")
                .expect("the call");
            assert_eq!(
                items[at - 1]["encrypted_content"],
                "sealed-by-the-fake",
                "{version}"
            );
            assert!(
                items[at + 1].to_string().contains("marzipan"),
                "{version}: {}",
                items[at + 1]
            );
            assert!(
                entries(&relay, 2)
                    .await
                    .iter()
                    .all(|entry| entry["quality"] == "exact")
            );
            assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
        }
    }
}

/// The reasoning of the first turn is in the request of the second, which is another process.
#[tokio::test]
async fn two_turns_with_reasoning() {
    for version in versions() {
        let [key, _] = kinds();
        let (provider, relay, claude) = on_openai(&version, key).await;
        provider.on(Route::Responses).answer(Script::openai_items(&[
            reasoning("**Remembering**", "sealed-in-the-first-turn"),
            said("I will remember"),
        ]));
        claude.print("remember 42").await.good();
        provider.on(Route::Responses).answer(Script::openai("it was 42"));
        let run = claude.go_on("what was it?").await.good();
        assert!(run.text().contains("it was 42"), "{version}: {}", run.text());
        let last = provider
            .requests_to(Route::Responses)
            .pop()
            .expect("a call")
            .text();
        for kept in ["I will remember", "sealed-in-the-first-turn"] {
            assert!(last.contains(kept), "{version}: no {kept} in {last}");
        }
        assert_eq!(refusals(&relay, "invalid_body").await, 0, "{version}");
    }
}
