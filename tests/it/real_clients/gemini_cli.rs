//! The real Gemini CLI, with the settings in README.md: with a key, and as with a login.

use std::path::Path;

use crs_support::gemini_cli::GeminiCli;
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{Key, entries, relay};
use super::codex::refusals;

/// A relay with an account of Google and a key with these fields.
async fn with_a_key(fields: &[(&str, Value)]) -> (FakeProvider, Relay, Key) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let account = json!({
        "name": "login", "platform": "gemini", "credentials": { "type": "oauth", "accessToken": "ya29.a-token" },
    });
    relay.add_account(&account).await;
    let mut key = relay.key("k");
    for (name, value) in fields {
        key = key.set(name, value.clone());
    }
    let key = key.create().await;
    (provider, relay, key)
}

/// Both ways of asking.
async fn both(relay: &Relay, key: &Key) -> [GeminiCli; 2] {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = format!("{}/gemini", relay.url());
    [
        GeminiCli::with_key(checkout, &base, &key.secret).await,
        // Glued together, its addresses have a doubled slash.
        GeminiCli::with_login(checkout, &format!("{base}/"), &key.secret).await,
    ]
}

const MODEL: Option<&str> = Some("gemini-2.5-pro");

#[tokio::test]
async fn print_mode() {
    let (provider, relay, key) = with_a_key(&[]).await;
    provider
        .on(Route::Gemini)
        .answer(Script::gemini("hello from the far side — 你好"));
    for (turn, gemini) in both(&relay, &key).await.iter().enumerate() {
        let run = gemini.print(MODEL, "say hello").await.good();
        assert_eq!(run.text(), "hello from the far side — 你好", "{run:?}");
        let all = entries(&relay, turn + 1).await;
        let entry = all
            .iter()
            .find(|entry| entry["endpoint"] == "generate_content")
            .expect("it");
        assert_eq!(
            (&entry["quality"], &entry["status"]),
            (&json!("exact"), &json!(200))
        );
        assert!(
            entry["client"]
                .as_str()
                .is_some_and(|client| client.starts_with("GeminiCLI"))
        );
        let seen = provider.requests_to(Route::Gemini).pop().expect("a call");
        assert_eq!(seen.header("authorization"), Some("Bearer ya29.a-token"));
    }
}

#[tokio::test]
async fn a_tool_turn() {
    let (provider, relay, key) = with_a_key(&[]).await;
    for gemini in both(&relay, &key).await {
        let file = gemini.file("secret.txt", "the word is marzipan");
        provider.on(Route::Gemini).answer(Script::gemini_tool_turn(
            "read_file",
            &json!({ "file_path": file }),
            "the file was read",
        ));
        let run = gemini.print(MODEL, "read secret.txt").await.good();
        assert!(run.text().contains("the file was read"), "{run:?}");
        let last = provider.requests_to(Route::Gemini).pop().expect("a call");
        assert!(last.text().contains("marzipan"), "{}", last.text());
    }
}

#[tokio::test]
async fn a_limit_that_will_not_lift_soon_stops_it_at_once() {
    for field in ["dailyCostLimit", "totalCostLimit"] {
        let (provider, relay, key) = with_a_key(&[(field, json!(0.000_001))]).await;
        let [with_key, with_login] = both(&relay, &key).await;
        with_key.print(MODEL, "hi").await.good();
        entries(&relay, 1).await;
        for (told, gemini) in [with_key, with_login].into_iter().enumerate() {
            let run = gemini.print(MODEL, "hi").await;
            assert!(run.code != Some(0) && !run.timed_out, "{run:?}");
            assert!(run.stderr.contains("has reached its limit"), "{run:?}");
            assert!(run.took.as_secs() < 30, "{run:?}");
            assert_eq!(refusals(&relay, "cost_limited").await, told as u64 + 1, "{field}");
        }
        assert_eq!(provider.requests_to(Route::Gemini).len(), 1);
    }
}

#[tokio::test]
async fn it_may_be_the_only_client_of_a_key() {
    let fields = [
        ("enableClientRestriction", json!(true)),
        ("allowedClients", json!(["gemini_cli"])),
    ];
    let (_provider, relay, key) = with_a_key(&fields).await;
    for gemini in both(&relay, &key).await {
        gemini.print(MODEL, "hi").await.good();
    }
}
