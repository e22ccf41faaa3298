//! The real Codex CLI, with the settings in README.md.

use crs_support::codex::Codex;
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::Relay;
use serde_json::json;

use super::super::support::{Key, entries, relay};

/// A relay with an account of ChatGPT and a key with these fields.
async fn with_a_key(fields: &[(&str, serde_json::Value)]) -> (FakeProvider, Relay, Key) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let account = json!({
        "name": "chatgpt", "platform": "openai",
        "credentials": { "type": "oauth", "accessToken": "a-token", "tenant": "11111111-2222-4333-8444-555555555555" },
    });
    relay.add_account(&account).await;
    let mut key = relay.key("k");
    for (name, value) in fields {
        key = key.set(name, value.clone());
    }
    let key = key.create().await;
    (provider, relay, key)
}

fn base(relay: &Relay) -> String {
    format!("{}/openai", relay.url())
}

#[tokio::test]
async fn print_mode() {
    let (provider, relay, key) = with_a_key(&[]).await;
    provider
        .on(Route::Responses)
        .answer(Script::openai("hello from the far side — 你好"));
    let codex = Codex::new(&base(&relay), &key.secret).await;
    let run = codex.exec("say hello").await.good();
    assert!(run.text().contains("hello from the far side — 你好"), "{run:?}");
    let entry = entries(&relay, 1).await.remove(0);
    assert_eq!(
        (&entry["quality"], &entry["status"]),
        (&json!("exact"), &json!(200))
    );
    assert!(
        entry["client"]
            .as_str()
            .is_some_and(|client| client.starts_with("codex_exec/"))
    );
    let seen = provider.requests_to(Route::Responses).remove(0);
    assert_eq!(seen.header("authorization"), Some("Bearer a-token"));
    assert_eq!(seen.header("originator"), Some("codex_exec"));
    let path = format!("/admin/requests/{}", entry["requestId"].as_str().expect("an id"));
    let trace = relay.admin().get(&path).await.good().json()["trace"].clone();
    assert_eq!(trace["session"], "header", "{trace}");
}

#[tokio::test]
async fn a_tool_turn() {
    let (provider, relay, key) = with_a_key(&[]).await;
    let codex = Codex::new(&base(&relay), &key.secret).await;
    let file = codex.file("secret.txt", "the word is marzipan");
    provider.on(Route::Responses).answer(Script::openai_tool_turn(
        "exec_command",
        &json!({ "cmd": format!("cat {file}") }),
        "the file was read",
    ));
    let run = codex.exec("read secret.txt").await.good();
    assert!(run.text().contains("the file was read"), "{run:?}");
    let asked = provider.requests_to(Route::Responses);
    assert!(
        asked.iter().any(|request| request.text().contains("marzipan")),
        "{:?}",
        asked.last().map(crs_support::provider::Request::text)
    );
    assert!(
        entries(&relay, 2)
            .await
            .iter()
            .all(|entry| entry["quality"] == "exact")
    );
}

/// Whether the relay made this body of a message that came over a WebSocket.
fn came_over_a_socket(request: &crs_support::provider::Request) -> bool {
    request.text().starts_with("{\"stream\":true,")
}

#[tokio::test]
async fn over_a_web_socket_it_prints_and_runs_tools() {
    let (provider, relay, key) = with_a_key(&[("concurrencyLimit", json!(1))]).await;
    let codex = Codex::over_web_socket(&base(&relay), &key.secret).await;
    let file = codex.file("secret.txt", "the word is marzipan");
    provider.on(Route::Responses).answer(Script::openai_tool_turn(
        "exec_command",
        &json!({ "cmd": format!("cat {file}") }),
        "the file was read",
    ));
    let run = codex.exec("read secret.txt").await.good();
    assert!(run.text().contains("the file was read"), "{run:?}");
    assert!(!run.stderr.contains("Falling back"), "{run:?}");
    let asked = provider.requests_to(Route::Responses);
    assert_eq!(asked.len(), 2, "a warm-up asks nobody");
    assert!(asked.iter().all(came_over_a_socket));
    let [first, second] = [&asked[0], &asked[1]].map(|request| request.json()["input"].clone());
    let [first, second] = [&first, &second].map(|input| input.as_array().expect("items").clone());
    assert_eq!(first[..], second[..first.len()], "the whole conversation");
    assert!(asked[1].text().contains("marzipan"));
    assert!(
        entries(&relay, 2)
            .await
            .iter()
            .all(|entry| entry["quality"] == "exact")
    );
}

#[tokio::test]
async fn without_web_sockets_it_goes_on_with_posts() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).env("CODEX_WEBSOCKET", "false").start().await;
    let account = json!({
        "name": "a", "platform": "openai", "credentials": { "type": "apiKey", "apiKey": "sk-x" },
    });
    relay.add_account(&account).await;
    let key = relay.key("k").create().await;
    let codex = Codex::over_web_socket(&base(&relay), &key.secret).await;
    codex.exec("hi").await.good();
    let asked = provider.requests_to(Route::Responses);
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_limit_that_will_not_lift_soon_stops_it_at_once() {
    for field in ["dailyCostLimit", "totalCostLimit"] {
        let (provider, relay, key) = with_a_key(&[(field, json!(0.000_001))]).await;
        let codex = Codex::new(&base(&relay), &key.secret).await;
        codex.exec("hi").await.good();
        entries(&relay, 1).await;
        let run = codex.exec("hi").await;
        assert!(run.code != Some(0) && !run.timed_out, "{run:?}");
        assert!(
            run.stdout.contains("usage limit") || run.stderr.contains("usage limit"),
            "{run:?}"
        );
        assert_eq!(provider.requests_to(Route::Responses).len(), 1);
        let refused = refusals(&relay, "cost_limited").await;
        assert_eq!(refused, 1, "{field}: once");
    }
}

#[tokio::test]
async fn it_may_be_the_only_client_of_a_key() {
    let fields = [
        ("enableClientRestriction", json!(true)),
        ("allowedClients", json!(["codex_cli"])),
    ];
    let (_provider, relay, key) = with_a_key(&fields).await;
    Codex::new(&base(&relay), &key.secret)
        .await
        .exec("hi")
        .await
        .good();
}

/// How often clients were told so.
pub(super) async fn refusals(relay: &Relay, code: &str) -> u64 {
    let text = relay.metrics().await;
    let line = text
        .lines()
        .find(|line| line.contains("refus") && line.contains(&format!("\"{code}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_default()
}
