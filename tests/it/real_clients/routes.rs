//! The real Claude Code and Codex, with the models that they ask for by themselves, served by other platforms.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::codex::Codex;
use crs_support::provider::{FakeProvider, Route, Script};
use serde_json::json;

use super::super::support::{entries, relay};

#[tokio::test]
async fn claude_code_asks_for_claude_and_openai_serves() {
    for version in versions() {
        let provider = FakeProvider::start().await;
        let relay = relay(&provider).start().await;
        let account = json!({ "name": "openai", "platform": "openai", "credentials": { "type": "apiKey", "apiKey": "sk-openai" } });
        relay.add_account(&account).await;
        let key = relay.key("k").create().await;
        let routes = json!({ "routes": [
            { "models": "claude-*haiku*", "to": [{ "platform": "openai", "model": "gpt-5-mini" }] },
            { "models": "claude-*", "to": [{ "platform": "claude" }, { "platform": "openai", "model": "gpt-5.4" }] },
        ] });
        relay
            .admin()
            .call("PUT", "/admin/routes")
            .json(&routes)
            .send()
            .await
            .expect(200);
        let claude = ClaudeCode::new(&version, &format!("{}/", relay.api()), &key.secret)
            .await
            .allowed_tools(&["Read"]);
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
        let asked = provider.requests_to(Route::Responses);
        let models: Vec<_> = asked
            .iter()
            .map(|request| request.json()["model"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert!(
            models
                .iter()
                .all(|model| model == "gpt-5.4" || model == "gpt-5-mini")
                && models.iter().any(|model| model == "gpt-5.4"),
            "{version}: {models:?}"
        );
        for entry in entries(&relay, asked.len()).await {
            assert_eq!(
                (&entry["platform"], &entry["quality"]),
                (&json!("openai"), &json!("exact")),
                "{version}: {entry}"
            );
        }
    }
}

#[tokio::test]
async fn codex_asks_for_a_gpt_and_claude_serves() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.claude_account("claude", "sk-ant-of-the-operator").await;
    let key = relay.key("k").create().await;
    let routes = json!({ "routes": [
        { "client": "responses", "models": "*", "to": [{ "platform": "claude", "model": "claude-sonnet-4-5" }] },
    ] });
    let path = format!("/admin/api-keys/{}", key.id);
    relay
        .admin()
        .call("PATCH", &path)
        .json(&routes)
        .send()
        .await
        .expect(200);
    provider
        .on(Route::Messages)
        .answer(Script::message("hello from the far side"));
    let codex = Codex::new(&format!("{}/openai", relay.url()), &key.secret).await;
    let run = codex.exec("say hello").await.good();
    assert!(run.text().contains("hello from the far side"), "{run:?}");
    assert_eq!(
        provider.last_call().json()["model"],
        "claude-sonnet-4-5",
        "the model of the route is asked for"
    );
    let entry = entries(&relay, 1).await.remove(0);
    assert_eq!(
        (&entry["platform"], &entry["model"], &entry["quality"]),
        (&json!("claude"), &json!("claude-sonnet-4-5"), &json!("exact")),
        "{entry}"
    );
}
