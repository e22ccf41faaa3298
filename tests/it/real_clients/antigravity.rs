//! The real Claude Code on Antigravity's accounts, with the settings in README.md.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{entries, relay};

/// Claude Code with the models and the base URL that its users set for Google's accounts.
async fn on_antigravity(version: &str) -> (FakeProvider, Relay, ClaudeCode) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let account = json!({
        "name": "a", "platform": "antigravity", "credentials": { "type": "oauth", "accessToken": "ya29.a-login" },
    });
    relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    let base = format!("{}/antigravity/api/", relay.url());
    let claude = ClaudeCode::new(version, &base, &key.secret)
        .await
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "gemini-2.5-flash")
        .model("gemini-3.1-pro-preview");
    (provider, relay, claude)
}

#[tokio::test]
async fn print_mode() {
    for version in versions() {
        let (provider, relay, claude) = on_antigravity(&version).await;
        provider
            .on(Route::Gemini)
            .answer(Script::gemini("hello from the far side — 你好"));
        let run = claude.print("say hello").await.good();
        assert!(
            run.text().contains("hello from the far side — 你好"),
            "{version}: {}",
            run.text()
        );
        let entry = entries(&relay, 1).await.remove(0);
        assert_eq!(
            (&entry["quality"], &entry["status"], &entry["platform"]),
            (&json!("exact"), &json!(200), &json!("antigravity")),
            "{version}: {entry}"
        );
        // One call a turn, at the first attempt: nothing of it was refused.
        assert_eq!(provider.requests_to(Route::Gemini).len(), 1, "{version}");
    }
}

#[tokio::test]
async fn a_tool_turn() {
    for version in versions() {
        let (provider, relay, claude) = on_antigravity(&version).await;
        let claude = claude.allowed_tools(&["Read"]);
        let file = claude.file("secret.txt", "the word is marzipan");
        provider.on(Route::Gemini).answer(Script::function_turn(
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
        let last = provider.requests_to(Route::Gemini).pop().expect("a call");
        let last = last.json();
        let parts: Vec<&Value> = last["request"]["contents"]
            .as_array()
            .expect("contents")
            .iter()
            .flat_map(|content| content["parts"].as_array().expect("parts"))
            .collect();
        let called = parts
            .iter()
            .find(|part| part.get("functionCall").is_some())
            .expect("the call");
        // Through the client and back.
        assert_eq!(called["thoughtSignature"], "signed-by-the-fake", "{version}");
        let result = parts
            .iter()
            .find(|part| part.get("functionResponse").is_some())
            .expect("its result");
        assert!(result.to_string().contains("marzipan"), "{version}: {result}");
        assert!(
            entries(&relay, 2)
                .await
                .iter()
                .all(|entry| entry["quality"] == "exact")
        );
    }
}
