//! A conversation that goes on with an account of another provider: marks of ours stay in the house, and every other
//! byte is the client's.

use crs_support::client::Client;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{Behind, bridged, message, saying};

const LONG_ID: &str = "toolu_gts1_01a2210a113c7606acb2719c56bf3111_0_q7Xk2aPz";

fn claude(content: &str, id: &str) -> String {
    format!(
        r#"{{"model":"claude-sonnet-4-6","max_tokens":9000, "thinking":{{"type":"enabled","budget_tokens":2000}},"messages":[{{"role":"user","content":"h\u00ef gts1."}},{{"role":"assistant","content":[{content}{{"type":"tool_use","id":"{id}","name":"Bash","input":{{"command":"ls"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"{id}","content":"a b"}}]}}]}}"#
    )
}

#[tokio::test]
async fn claude_gets_nothing_that_a_bridge_made() {
    let b = bridged(Behind::ApiKey).await;
    b.relay.claude_account("claude", "sk-ant-of-claude").await;
    let client = Client::new(&b.relay.api()).with_bearer(&b.key.secret);
    let ask = async |body: &str| {
        let call = client
            .call("POST", "/v1/messages")
            .header("anthropic-version", "2023-06-01");
        call.body(body.to_owned()).send().await.good();
        let mut asked = b.provider.requests_to(Route::Messages);
        asked.pop().expect("a call of Claude").text()
    };
    let thought =
        r#"{"type":"thinking","thinking":"Let me think","signature":"gts1.gemini.c0+12:U0lHTkFUVVJF"} , "#;
    let short = "toolu_01AbCdEfGhIjKlMnOpQrStUv";
    assert_eq!(ask(&claude(thought, short)).await, claude("", short));
    // Nothing of ours: byte for byte.
    assert_eq!(ask(&claude("", short)).await, claude("", short));
    let sent: Value = serde_json::from_str(&ask(&claude(thought, LONG_ID)).await).expect("JSON");
    let id = sent["messages"][1]["content"][0]["id"].as_str().expect("an id");
    assert!(id.len() <= 40, "{id}");
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], id);
}

#[tokio::test]
async fn what_the_bridge_makes_today_goes_on_at_claude_and_back() {
    let b = bridged(Behind::ApiKey).await;
    b.relay.claude_account("claude", "sk-ant-of-claude").await;
    b.next(Script::parts(&[
        json!({ "text": "Hm.", "thought": true }),
        json!({ "functionCall": { "name": "A", "args": {}, "id": "q7Xk2aPz" }, "thoughtSignature": "SIG=" }),
    ]));
    let go = json!({ "role": "user", "content": "go" });
    let mut body = saying(&json!([go]));
    body["tools"] = json!([{ "name": "A", "input_schema": { "type": "object", "properties": {} } }]);
    let told = message(&b.ask(&body).send().await.good());
    let id = told["content"][1]["id"].as_str().expect("an id").to_owned();
    assert!(
        id.len() <= 40
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{id}"
    );
    let result =
        json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "r" }] });
    body["messages"] = json!([go, { "role": "assistant", "content": told["content"] }, result]);

    let mut at_claude = body.clone();
    at_claude["model"] = "claude-sonnet-4-6".into();
    let client = Client::new(&b.relay.api()).with_bearer(&b.key.secret);
    client
        .call("POST", "/v1/messages")
        .json(&at_claude)
        .send()
        .await
        .good();
    let sent = b
        .provider
        .requests_to(Route::Messages)
        .pop()
        .expect("a call")
        .json();
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{ "type": "tool_use", "id": id, "name": "A", "input": {} }])
    );

    message(&b.ask(&body).send().await.good());
    let parts = b.sent()["contents"][1]["parts"].clone();
    assert_eq!(
        (&parts[0]["functionCall"]["id"], &parts[0]["thoughtSignature"]),
        (&json!("q7Xk2aPz"), &json!("SIG=")),
        "{parts}"
    );
}

#[tokio::test]
async fn openai_gets_ids_that_it_takes() {
    let b = bridged(Behind::ApiKey).await;
    let account =
        json!({ "name": "o", "platform": "openai", "credentials": { "type": "apiKey", "apiKey": "sk-o" } });
    b.relay.add_account(&account).await;
    let client = Client::new(&format!("{}/openai", b.relay.url())).with_bearer(&b.key.secret);
    let mut body = json!({ "model": "gpt-5.4", "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": null, "refusal": null, "tool_calls": [
            { "id": LONG_ID, "type": "function", "function": { "name": "f", "arguments": "{}" } } ] },
        { "role": "tool", "tool_call_id": LONG_ID, "content": "r" },
    ] });
    b.provider
        .on(Route::ChatCompletions)
        .answer(Script::openai("fine"));
    client
        .call("POST", "/v1/chat/completions")
        .json(&body)
        .send()
        .await
        .good();
    let sent = b
        .provider
        .requests_to(Route::ChatCompletions)
        .pop()
        .expect("a call")
        .json();
    let id = sent["messages"][1]["tool_calls"][0]["id"].clone();
    assert!(id.as_str().expect("an id").len() <= 40, "{id}");
    body["messages"][1]["tool_calls"][0]["id"] = id.clone();
    body["messages"][2]["tool_call_id"] = id;
    assert_eq!(sent, body);
}
