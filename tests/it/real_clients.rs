//! The real clients through the relay, offline: Claude Code, Codex CLI and Gemini CLI.

mod codex;
mod gemini_cli;

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::Script;
use serde_json::json;

use super::support::{entries, ready};

#[tokio::test]
async fn print_mode() {
    for version in versions() {
        let r = ready().await;
        r.provider
            .answer(Script::message("hello from the far side — 你好"));
        let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &r.key.secret).await;
        let run = claude.print("say hello").await.good();
        assert!(
            run.text().contains("hello from the far side — 你好"),
            "{version}: {}",
            run.text()
        );
        let entry = r.entry().await;
        assert_eq!(
            (entry["quality"].as_str(), entry["status"].as_u64()),
            (Some("exact"), Some(200)),
            "{version}"
        );
        assert!(
            entry["client"]
                .as_str()
                .is_some_and(|client| client.starts_with("claude-cli/")),
            "{entry}"
        );
        assert!(entry["cost"].as_u64() > Some(0));
        let seen = r.provider.last_call();
        assert!(
            seen.header("anthropic-beta")
                .is_some_and(|beta| beta.contains("claude-code-20250219"))
        );
        assert!(seen.header("authorization").is_none());
    }
}

#[tokio::test]
async fn a_tool_turn() {
    for version in versions() {
        let r = ready().await;
        let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &r.key.secret)
            .await
            .allowed_tools(&["Read"]);
        let file = claude.file("secret.txt", "the word is marzipan");
        r.provider.answer(Script::tool_turn(
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
        let results: Vec<_> = r
            .provider
            .requests()
            .iter()
            .flat_map(crs_support::provider::Request::tool_results)
            .collect();
        assert!(
            results.iter().any(|result| result.contains("marzipan")),
            "{version}: {results:?}"
        );
        assert!(
            entries(&r.relay, 2)
                .await
                .iter()
                .all(|entry| entry["quality"] == "exact")
        );
    }
}

#[tokio::test]
async fn a_conversation_continued() {
    for version in versions() {
        let r = ready().await;
        let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &r.key.secret).await;
        r.provider.answer(Script::message("I will remember"));
        claude.print("remember 42").await.good();
        r.provider.answer(Script::message("it was 42"));
        let run = claude.go_on("what was it?").await.good();
        assert!(run.text().contains("it was 42"), "{version}: {}", run.text());
        assert!(
            r.provider.last_call().text().contains("I will remember"),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_limit_that_will_not_lift_soon_stops_it_at_once() {
    let r = ready().await;
    r.provider
        .answer(Script::error(429).with_header("retry-after", "3600"));
    let version = versions().remove(0);
    let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &r.key.secret).await;
    let run = claude.print("hi").await;
    assert!(run.code != Some(0) && !run.timed_out, "{run:?}");
    assert!(
        run.text().contains("rate limited") || run.stderr.contains("rate limited"),
        "{} {}",
        run.text(),
        run.stderr
    );
    assert_eq!(
        r.provider.calls(),
        1,
        "the provider is asked once, whatever the client does"
    );
}
