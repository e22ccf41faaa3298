//! The real Claude Code on Antigravity's and Gemini's accounts, with the settings in README.md.

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::super::support::{entries, relay};
use super::codex::refusals;

/// Where Messages are converted, and whose accounts are there.
const BRIDGES: [(&str, &str); 2] = [
    ("/antigravity/api/", "antigravity"),
    ("/gemini-cli/api/", "gemini"),
];

/// Claude Code with the models and the base URL that its users set for Google's accounts.
async fn on_google(version: &str, prefix: &str) -> (FakeProvider, Relay, ClaudeCode) {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    for platform in ["antigravity", "gemini"] {
        let account = json!({
            "name": platform, "platform": platform, "credentials": { "type": "oauth", "accessToken": "ya29.a-login" },
        });
        relay.add_account(&account).await;
    }
    let key = relay.key("k").create().await;
    let base = format!("{}{prefix}", relay.url());
    let claude = ClaudeCode::new(version, &base, &key.secret)
        .await
        .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "gemini-2.5-flash")
        .model("gemini-3.1-pro-preview");
    (provider, relay, claude)
}

#[tokio::test]
async fn print_mode() {
    for version in versions() {
        for (prefix, platform) in BRIDGES {
            let (provider, relay, claude) = on_google(&version, prefix).await;
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
                (&json!("exact"), &json!(200), &json!(platform)),
                "{version}: {entry}"
            );
            // One call a turn, at the first attempt: nothing of it was refused.
            assert_eq!(provider.requests_to(Route::Gemini).len(), 1, "{version}");
            assert_nothing_refused(&relay, &version).await;
        }
    }
}

#[tokio::test]
async fn a_tool_turn() {
    for version in versions() {
        for (prefix, _) in BRIDGES {
            let (provider, relay, claude) = on_google(&version, prefix).await;
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
            assert_nothing_refused(&relay, &version).await;
        }
    }
}

/// What its users set: each makes it send other fields.
#[tokio::test]
async fn what_it_may_be_set_to_is_taken() {
    let version = versions().remove(0);
    let schema = r#"{"type":"object","properties":{"word":{"type":"string"}},"required":["word"]}"#;
    let settings: [&[&str]; 6] = [
        &["--effort", "max"],
        &["--effort", "low", "--append-system-prompt", "Be brief."],
        &["--fallback-model", "gemini-2.5-flash"],
        &["--betas", "context-1m-2025-08-07"],
        &["--autocompact", "100k"],
        &["--json-schema", schema],
    ];
    for (prefix, _) in BRIDGES {
        for options in settings {
            let (provider, relay, claude) = on_google(&version, prefix).await;
            let claude = claude.env("MAX_THINKING_TOKENS", "8000");
            provider.on(Route::Gemini).answer(Script::decide(|request| {
                // It has the model answer by a tool, if there is a schema.
                if request.text().contains("StructuredOutput") && !request.text().contains("functionResponse")
                {
                    let call =
                        json!({ "functionCall": { "name": "StructuredOutput", "args": { "word": "hi" } } });
                    return Script::parts(&[call]);
                }
                Script::gemini("it was taken")
            }));
            claude.args(options).print("say hello").await.good();
            assert!(!provider.requests_to(Route::Gemini).is_empty(), "{options:?}");
            assert_nothing_refused(&relay, &format!("{prefix} {options:?}")).await;
        }
    }
}

/// No call of it was refused for its body, not even one that it made again without what was refused.
async fn assert_nothing_refused(relay: &Relay, when: &str) {
    assert_eq!(refusals(relay, "invalid_body").await, 0, "{when}");
}

/// Claude Code's WebSearch makes a call of its own, with Anthropic's search as its one tool, and shows the model what
/// it found.
#[tokio::test]
async fn a_web_search() {
    for version in versions() {
        for (prefix, _) in BRIDGES {
            let (provider, relay, claude) = on_google(&version, prefix).await;
            let claude = claude.allowed_tools(&["WebSearch"]);
            provider.on(Route::Gemini).answer(Script::decide(|request| {
                let body = request.text();
                if body.contains("\"googleSearch\"") {
                    let grounding = json!({
                        "webSearchQueries": ["rust 2027"],
                        "groundingChunks": [{ "web": { "uri": "https://blog.rust-lang.org/x", "title": "rust-lang.org" } }],
                        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 9, "text": "Rust 2027" },
                            "groundingChunkIndices": [0] }],
                    });
                    return Script::grounded(&[json!({ "text": "Rust 2027 is planned." })], grounding);
                }
                if body.contains("\"functionResponse\"") {
                    return Script::gemini("it is planned");
                }
                Script::parts(&[json!({ "functionCall": { "name": "WebSearch", "args": { "query": "rust 2027" } } })])
            }));
            let run = claude.print("search the web for rust 2027").await.good();
            assert!(run.text().contains("it is planned"), "{version}: {}", run.text());
            let asked = provider.requests_to(Route::Gemini);
            let searches = asked
                .iter()
                .filter(|request| request.text().contains("\"googleSearch\""));
            assert_eq!(searches.count(), 1, "{version} {prefix}");
            // What the tool showed the model: the page, and the words that rest on it.
            let last = asked.last().expect("a call").text();
            for shown in ["https://blog.rust-lang.org/x", "Rust 2027"] {
                assert!(last.contains(shown), "{version} {prefix}: {last}");
            }
            assert!(
                entries(&relay, asked.len())
                    .await
                    .iter()
                    .all(|entry| entry["status"] == 200),
                "{version} {prefix}"
            );
            assert_nothing_refused(&relay, &version).await;
        }
    }
}
