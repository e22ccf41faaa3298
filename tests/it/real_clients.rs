//! The real clients through the relay, offline: Claude Code, Codex CLI and Gemini CLI.

mod across;
mod antigravity;
mod codex;
mod codex_on_claude;
mod gemini_cli;
mod hosts;
mod pasted;
mod routes;

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::eventually;
use crs_support::provider::Script;
use serde_json::json;

use super::support::{entries, ready, slots_are_free};

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
        assert!(entry["cost"].as_f64() > Some(0.0));
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

#[tokio::test]
async fn a_limit_of_the_key_stops_it_and_says_which() {
    let r = ready().await;
    let key = r
        .relay
        .key("spent")
        .set("dailyCostLimit", 0.000_001)
        .create()
        .await;
    r.relay.client(&key.secret).messages("hi").send().await.good();
    entries(&r.relay, 1).await;
    for version in versions() {
        let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &key.secret).await;
        let run = claude.print("hi").await;
        assert!(run.code != Some(0) && !run.timed_out, "{version}: {run:?}");
        let told = format!("{}{}", run.text(), run.stderr);
        assert!(told.contains("per day"), "{version}: {told}");
    }
    assert_eq!(r.provider.calls(), 1, "what is refused goes to nobody");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a client that runs beside the test")]
async fn it_asks_again_for_a_slot_that_is_taken() {
    let r = ready().await;
    let key = r.relay.key("one").set("concurrencyLimit", 1).create().await;
    r.provider
        .next(Script::message("holds the slot").stall_before_head());
    let holder = r
        .relay
        .client(&key.secret)
        .messages("first")
        .stream()
        .sent()
        .await;
    r.provider.wait_for(1).await;
    let version = versions().remove(0);
    let claude = ClaudeCode::new(&version, &format!("{}/", r.relay.api()), &key.secret).await;
    r.provider.answer(Script::message("served in the end"));
    let run = tokio::spawn(async move { claude.print("hi").await });
    eventually("it is refused once", async || {
        let text = r.relay.metrics().await;
        text.contains("crs_refusals_total{reason=\"concurrency_full\"}")
            .then_some(())
    })
    .await;
    holder.reset();
    let run = run.await.expect("a run").good();
    assert!(run.text().contains("served in the end"), "{}", run.text());
    slots_are_free(&r.relay, &key).await;
}
