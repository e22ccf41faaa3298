//! Clients of every protocol on OpenAI accounts whose host supports only Chat Completions.

use crs_support::client::{Answer, Client, text};
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{Across, empty, message};

const HOST_KEY: &str = "sk-chat-only";

async fn across() -> Across {
    let a = empty().await;
    let account = json!({
        "name": "host", "platform": "openai", "chatOnly": true,
        "credentials": { "type": "apiKey", "apiKey": HOST_KEY, "baseUrl": format!("{}/v1", a.provider.url()) },
        "modelMapping": { "gpt-5.4": "deepseek-chat" },
    });
    a.relay.add_account(&account).await;
    a
}

/// A stream of such a host, perhaps with a call.
fn chunks(reasoning: &str, text: &str, call: bool) -> Script {
    let arguments = json!({ "city": "北京" });
    Script::chat_host(reasoning, text, call.then_some(("weather", &arguments)))
}

/// The answer's body as text.
fn plain(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn tools() -> Value {
    json!([{ "name": "weather", "description": "Tells it.",
        "input_schema": { "type": "object", "properties": { "city": { "type": "string" } } } }])
}

#[tokio::test]
async fn messages_with_thoughts_and_calls_go_on() {
    for stream in [false, true] {
        let a = across().await;
        a.provider
            .on(Route::ChatCompletions)
            .answer(chunks("I need it.", "I look.", true));
        let question = json!({ "role": "user", "content": "How is the weather?" });
        let mut body = json!({
            "model": "gpt-5.4", "max_tokens": 1000, "messages": [question], "tools": tools(), "stream": stream,
            "thinking": { "type": "enabled", "budget_tokens": 1024 }, "system": "You help.",
        });
        let first = message(&a.ask(&body).send().await.good());
        assert_eq!(first["stop_reason"], "tool_use");
        let kinds: Vec<&str> = first["content"]
            .as_array()
            .expect("content")
            .iter()
            .filter_map(|block| block["type"].as_str())
            .collect();
        assert_eq!(kinds, ["thinking", "text", "tool_use"]);
        let asked = a.asked(Route::ChatCompletions);
        assert_eq!(asked.path(), "/v1/chat/completions");
        assert_eq!(asked.header("authorization"), Some("Bearer sk-chat-only"));
        let sent = asked.json();
        assert_eq!(sent["model"], "deepseek-chat");
        assert_eq!(
            sent["messages"][0],
            json!({ "role": "system", "content": "You help." })
        );
        assert_eq!(sent["tools"][0]["function"]["name"], "weather");
        let entry = a.newest(1).await;
        assert_eq!(
            json!([entry["endpoint"], entry["platform"], entry["status"]]),
            json!(["messages", "openai", 200]),
            "{entry}"
        );
        assert_eq!(entry["tokens"]["cacheRead"], 600, "{entry}");
        assert_eq!(entry["tokens"]["output"], 70, "{entry}");

        // The next turn sends the reasoning back to the host with the call.
        a.provider
            .on(Route::ChatCompletions)
            .answer(chunks("", "It is fine.", false));
        body["messages"] = json!([
            question,
            { "role": "assistant", "content": first["content"] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": first["content"][2]["id"], "content": "sunny" }] },
        ]);
        let answer = a.ask(&body).send().await.good();
        assert_eq!(text(&answer.body), "It is fine.");
        let sent = a.asked(Route::ChatCompletions).json();
        assert_eq!(sent["messages"][2]["reasoning_content"], "I need it.");
        assert_eq!(
            sent["messages"][3],
            json!({ "role": "tool", "tool_call_id": "call_00_a", "content": "sunny" })
        );
    }
}

#[tokio::test]
async fn responses_are_converted_via_messages() {
    let a = across().await;
    a.provider
        .on(Route::ChatCompletions)
        .answer(chunks("Hm.", "hello 你好", false));
    let client = Client::new(&format!("{}/openai", a.relay.url())).with_bearer(&a.key.secret);
    for stream in [false, true] {
        let body = json!({
            "model": "gpt-5.4", "store": false, "stream": stream, "include": ["reasoning.encrypted_content"],
            "instructions": "You help.",
            "input": [{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }],
        });
        let answer = client.call("POST", "/responses").json(&body).send().await.good();
        assert!(plain(&answer).contains("hello 你好"), "{}", plain(&answer));
        let sent = a.asked(Route::ChatCompletions).json();
        assert_eq!(
            sent["messages"][0],
            json!({ "role": "system", "content": "You help." })
        );
        assert_eq!(sent["messages"][1], json!({ "role": "user", "content": "hi" }));
    }
    assert!(a.provider.requests_to(Route::Responses).is_empty());
}

#[tokio::test]
async fn completions_pass_unchanged_and_share_a_pool_with_other_accounts() {
    let a = across().await;
    let client = Client::new(&format!("{}/openai", a.relay.url())).with_bearer(&a.key.secret);
    let body = json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": "hi" }], "top_k": 3 });
    client
        .call("POST", "/v1/chat/completions")
        .json(&body)
        .send()
        .await
        .good();
    let sent = a.asked(Route::ChatCompletions).json();
    assert_eq!(sent["top_k"], 3);
    assert_eq!(sent["model"], "deepseek-chat");
    // In a pool with an account that supports Responses, each is called by its own protocol.
    let fails = Script::error(503);
    a.provider.on(Route::ChatCompletions).answer(fails);
    a.account("openai", "full", "sk-openai-full").await;
    let hi =
        json!({ "model": "gpt-5.4", "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] });
    for _ in 0..3 {
        a.ask(&hi).send().await.good();
    }
    assert!(!a.provider.requests_to(Route::Responses).is_empty());
}

#[tokio::test]
async fn chat_only_is_guessed_and_the_operator_decides() {
    let a = empty().await;
    let add = |platform: &str, base: &str, said: Option<bool>| {
        let mut account = json!({
            "name": "n", "platform": platform,
            "credentials": { "type": "apiKey", "apiKey": "k", "baseUrl": base },
        });
        if let Some(said) = said {
            account["chatOnly"] = said.into();
        }
        account
    };
    for (platform, base, said, expected) in [
        ("openai", "https://api.deepseek.com", None, true),
        ("openai", "https://api.deepseek.com", Some(false), false),
        ("openai", "https://llm.example.com/v1", None, false),
        ("openai", "https://llm.example.com/v1", Some(true), true),
        ("claude", "https://api.deepseek.com/anthropic", None, false),
    ] {
        let account = a.relay.add_account(&add(platform, base, said)).await;
        assert_eq!(account["chatOnly"], expected, "{platform} {base} {said:?}");
    }
}

/// The operator's test of such an account uses its protocol.
#[tokio::test]
async fn a_test_of_the_account_is_a_completion() {
    let a = across().await;
    a.provider
        .on(Route::ChatCompletions)
        .answer(chunks("", "Hi.", false));
    let list = a.relay.admin().get("/admin/accounts").await.good().json();
    let id = list["items"][0]["id"].as_str().expect("an id").to_owned();
    let result = a
        .relay
        .admin()
        .post(&format!("/admin/accounts/{id}/test"), &json!({}))
        .await
        .good();
    let result = plain(&result);
    assert!(
        result.contains("\"success\":true") && result.contains("Hi."),
        "{result}"
    );
    assert_eq!(a.asked(Route::ChatCompletions).json()["model"], "deepseek-chat");
}
