//! The real Codex CLI on Claude's accounts, with the settings in README.md and a model of Claude's.

use crs_support::codex::Codex;
use crs_support::provider::{Block, FakeProvider, Message, Request, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{entries, relay};
use super::codex::refusals;

async fn on_claude() -> (FakeProvider, Relay, Codex) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.claude_account("claude", "sk-ant-of-the-operator").await;
    let key = relay.key("k").create().await;
    let base = format!("{}/openai", relay.url());
    let codex = Codex::of_model(&base, &key.secret, "claude-sonnet-4-5").await;
    (provider, relay, codex)
}

/// A message with a thought before what it says.
fn thinking(signature: &str, said: Block) -> Script {
    let is_call = matches!(said, Block::ToolUse { .. });
    let thought = Block::Thinking {
        text: "Let me see.".to_owned(),
        signature: signature.to_owned(),
    };
    let frame = if is_call {
        Message::tool_use("", "", json!({}))
    } else {
        Message::text("")
    };
    Script::of_message(Message {
        blocks: vec![thought, said],
        ..frame
    })
}

/// What of the assistant's is in a request.
fn said(request: &Request) -> Vec<Value> {
    let body = request.json();
    let messages = body["messages"].as_array().expect("messages").clone();
    let messages = messages
        .into_iter()
        .filter(|message| message["role"] == "assistant");
    messages
        .flat_map(|message| message["content"].as_array().expect("content").clone())
        .collect()
}

#[tokio::test]
async fn print_mode() {
    let (provider, relay, codex) = on_claude().await;
    provider.answer(Script::message("hello from the far side — 你好"));
    let run = codex.exec("say hello").await.good();
    assert!(run.text().contains("hello from the far side — 你好"), "{run:?}");
    let entry = entries(&relay, 1).await.remove(0);
    assert_eq!(
        (
            &entry["quality"],
            &entry["status"],
            &entry["platform"],
            &entry["endpoint"]
        ),
        (
            &json!("exact"),
            &json!(200),
            &json!("claude"),
            &json!("responses")
        ),
        "{entry}"
    );
    assert_eq!(
        provider.requests_to(Route::Messages).len(),
        1,
        "one call, at the first attempt"
    );
    assert_eq!(refusals(&relay, "invalid_body").await, 0);
    let seen = provider.last_call();
    assert!(
        seen.header("user-agent")
            .is_some_and(|agent| agent.starts_with("codex_exec/"))
    );
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn a_tool_turn_with_its_thinking() {
    let (provider, relay, codex) = on_claude().await;
    let file = codex.file("secret.txt", "the word is marzipan");
    provider.answer(Script::decide(move |request| {
        if request.tool_results().is_empty() {
            let input = json!({ "cmd": format!("cat {file}") });
            let call = Block::ToolUse {
                id: "toolu_01".to_owned(),
                name: "exec_command".to_owned(),
                input,
            };
            return thinking("EqQB-of-the-fake", call);
        }
        Script::message("the file was read")
    }));
    let run = codex.exec("read secret.txt").await.good();
    assert!(run.text().contains("the file was read"), "{run:?}");
    let last = provider.last_call();
    assert!(
        last.tool_results()
            .iter()
            .any(|result| result.contains("marzipan")),
        "{}",
        last.text()
    );
    let said = said(&last);
    assert_eq!(
        said[0],
        json!({ "type": "thinking", "thinking": "Let me see.", "signature": "EqQB-of-the-fake" })
    );
    assert_eq!(said[1]["name"], "exec_command");
    assert!(
        entries(&relay, 2)
            .await
            .iter()
            .all(|entry| entry["quality"] == "exact")
    );
    assert_eq!(refusals(&relay, "invalid_body").await, 0);
}

/// The thinking of the first turn is in the request of the second, which is another process.
#[tokio::test]
async fn two_turns_with_thinking() {
    let (provider, relay, codex) = on_claude().await;
    provider.answer(thinking("EqQB-first", Block::Text("I will remember".to_owned())));
    codex.exec("remember 42").await.good();
    provider.answer(Script::message("it was 42"));
    let run = codex.go_on("what was it?").await.good();
    assert!(run.text().contains("it was 42"), "{run:?}");
    let said = said(&provider.last_call());
    assert_eq!(
        (&said[0]["signature"], &said[1]["text"]),
        (&json!("EqQB-first"), &json!("I will remember"))
    );
    assert_eq!(refusals(&relay, "invalid_body").await, 0);
}
