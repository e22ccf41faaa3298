//! The blocks that the console shows and README.md has, pasted: the real clients answer through them.

use std::path::Path;

use crs_support::pasted::{Terminal, connections};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::sdk;
use serde_json::json;

use super::super::support::relay;

const HELLO: &str = "hello from the far side — 你好";

#[tokio::test]
async fn every_block_connects_its_client() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let provider = FakeProvider::start().await;
    provider.answer(Script::message(HELLO));
    provider.on(Route::Responses).answer(Script::openai(HELLO));
    provider.on(Route::ChatCompletions).answer(Script::openai(HELLO));
    provider.on(Route::Gemini).answer(Script::gemini(HELLO));
    let relay = relay(&provider).start().await;
    for (platform, credentials) in [
        ("claude", json!({ "type": "apiKey", "apiKey": "sk-claude" })),
        ("openai", json!({ "type": "apiKey", "apiKey": "sk-openai" })),
        (
            "gemini",
            json!({ "type": "oauth", "accessToken": "ya29.a-token" }),
        ),
        (
            "antigravity",
            json!({ "type": "oauth", "accessToken": "ya29.a-token" }),
        ),
    ] {
        let account = json!({ "name": platform, "platform": platform, "credentials": credentials });
        relay.add_account(&account).await;
    }
    let key = relay.key("k").create().await;
    let all = connections(checkout, relay.url(), &key.secret);
    for client in &all {
        if client.command.is_some() {
            // The bridges' clients keep their variables where Claude Code does anyway.
            let is_bridge = client.id.starts_with("claude-code-");
            let lasting = (!is_bridge).then_some(&client.lasting);
            for blocks in [Some(&client.session), lasting].into_iter().flatten() {
                let terminal = Terminal::new(checkout, "say hello").await;
                let run = terminal.paste(blocks, client.command.as_deref()).await.good();
                assert!(run.text().contains(HELLO), "{}: {run:?}", client.id);
            }
        } else if let Some(form) = &client.form {
            let script = r#"
import os, sys
from openai import OpenAI
base, key, model = os.environ["BASE"].split(" ")[0], os.environ["KEY"], os.environ["BASE"].split(" ")[1]
hi = [{"role": "user", "content": "Say hello."}]
print(OpenAI(base_url=base, api_key=key).chat.completions.create(model=model, messages=hi).choices[0].message.content)
"#;
            let base = format!("{} {}", form.base_url, form.model);
            assert_eq!(
                sdk::run("openai", script, &base, &form.key).await,
                [HELLO],
                "{}",
                client.id
            );
        } else {
            let package = match client.id.as_str() {
                "anthropic-sdk" => "anthropic",
                "openai-sdk" => "openai",
                "google-sdk" => "google-genai",
                other => panic!("who runs {other}?"),
            };
            let block = client.session.first().expect("a program");
            assert_eq!(block.language, "python");
            let said = sdk::run(package, &block.text, relay.url(), &key.secret).await;
            assert_eq!(said, [HELLO], "{}", client.id);
        }
    }
}
