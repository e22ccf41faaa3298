//! The real client against the fake provider, nothing between them: what fails here is not the relay's
//! fault.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::{FakeProvider, GREETING, Request, Route, Script};
use serde_json::json;

const TOKEN: &str = "cr_0000000000000000000000000000000000000000000000000000000000000000";

async fn client(version: &str, provider: &FakeProvider) -> ClaudeCode {
    ClaudeCode::new(version, &format!("{}/api/", provider.url()), TOKEN).await
}

/// What every call of the client looks like.
fn check(request: &Request) {
    assert_eq!(request.target, "/api/v1/messages?beta=true");
    assert_eq!(request.bearer(), Some(TOKEN));
    assert!(request.wants_stream());
    assert!(request.header("user-agent").unwrap().starts_with("claude-cli/"));
}

async fn prints(version: &str) {
    let provider = FakeProvider::start().await;
    let claude = client(version, &provider).await;
    let run = claude.print("hi").await.good();
    assert_eq!(run.text(), GREETING);
    assert_eq!(provider.calls(), 1);
    check(&provider.last_call());
    assert_eq!(claude.outside(), Vec::<String>::new());
    // Nothing else is sent that would need a key.
    for other in provider.requests_to(Route::Other) {
        assert_eq!(other.method, "HEAD");
        assert_eq!(other.credential(), None);
    }
}

async fn runs_a_tool(version: &str) {
    let provider = FakeProvider::start().await;
    let claude = client(version, &provider)
        .await
        .allowed_tools(&["Read", "Bash(cat:*)"]);
    let path = claude.file("note.txt", "the answer is 四十二\n");
    let tools = [
        ("Read", json!({"file_path": path})),
        ("Bash", json!({"command": format!("cat {path}")})),
    ];
    for (name, input) in tools {
        provider.forget();
        provider.answer(Script::tool_turn(name, input, "It says: {result}"));
        let run = claude.stream_json("what is in note.txt?").await.good();
        assert!(
            run.result()["result"]
                .as_str()
                .unwrap()
                .contains("the answer is 四十二"),
            "{name}: {run:#?}"
        );
        let calls = provider.requests_to(Route::Messages);
        assert_eq!(calls.len(), 2, "{name}");
        assert!(calls[0].tool_results().is_empty());
        assert!(calls[1].tool_results()[0].contains("四十二"));
        calls.iter().for_each(check);
    }
}

async fn goes_on(version: &str) {
    let provider = FakeProvider::start().await;
    provider.next(Script::message("Nice to meet you, 小明."));
    provider.next(Script::message("You are 小明."));
    let claude = client(version, &provider).await;
    claude.print("I am 小明").await.good();
    let run = claude.go_on("Who am I?").await.good();
    assert_eq!(run.text(), "You are 小明.");
    let body = provider.last_call().json();
    let said = body["messages"].to_string();
    for part in ["I am 小明", "Nice to meet you", "Who am I?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn the_current_version_prints() {
    prints(&versions()[0]).await;
}

#[tokio::test]
async fn the_current_version_runs_a_tool() {
    runs_a_tool(&versions()[0]).await;
}

#[tokio::test]
async fn the_current_version_goes_on() {
    goes_on(&versions()[0]).await;
}

#[tokio::test]
async fn the_older_version_prints() {
    prints(&versions()[1]).await;
}

#[tokio::test]
async fn the_older_version_runs_a_tool() {
    runs_a_tool(&versions()[1]).await;
}

#[tokio::test]
async fn the_older_version_goes_on() {
    goes_on(&versions()[1]).await;
}

/// The other tests trust that a way out would be seen.
#[tokio::test]
async fn a_way_out_is_seen_and_leads_nowhere() {
    let provider = FakeProvider::start().await;
    let claude = client(&versions()[0], &provider).await;
    let claude = [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
    ]
    .iter()
    .fold(claude, |claude, name| claude.without_env(name));
    assert_eq!(claude.print("hi").await.good().text(), GREETING);
    let outside = claude.outside();
    assert!(
        outside.iter().any(|target| target == "api.anthropic.com:443"),
        "{outside:?}"
    );
}
