//! Conversion of single requests.

use serde_json::{Value, json};

use super::{convert, refused, with_messages};
use crate::model::account::ChatHost;

fn with(host: ChatHost, fields: Value) -> Value {
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    convert(&body, host).0
}

#[test]
fn a_turn_with_tools_images_and_thoughts() {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "TUFSSw==" } });
    let mut body = with_messages(json!([
        { "role": "user", "content": [{ "type": "text", "text": "Look." }, image] },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "gts1.chat.reasoning_content" },
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "call_1", "name": "Read", "input": { "path": "a" } },
            { "type": "tool_use", "id": "call_2", "name": "Read", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "call_1", "content": [{ "type": "text", "text": "A" }, image] },
            { "type": "tool_result", "tool_use_id": "call_2", "content": "no", "is_error": true },
            { "type": "text", "text": "And?" },
        ] },
    ]));
    body["system"] = json!([{ "type": "text", "text": "You help." }]);
    body["tools"] = json!([{ "name": "Read", "description": "Reads.", "input_schema": { "type": "object", "properties": {} } }]);
    body["tool_choice"] = json!({ "type": "tool", "name": "Read", "disable_parallel_tool_use": true });
    let sent = convert(&body, ChatHost::DeepSeek).0;
    let shown = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,TUFSSw==" } });
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "Read", "arguments": arguments } });
    assert_eq!(
        sent["messages"],
        json!([
            { "role": "system", "content": "You help." },
            { "role": "user", "content": [{ "type": "text", "text": "Look." }, shown] },
            { "role": "assistant", "content": "I look.", "reasoning_content": "Hm.",
              "tool_calls": [call("call_1", "{ \"path\": \"a\" }".replace(' ', "").as_str()), call("call_2", "{}")] },
            { "role": "tool", "tool_call_id": "call_1", "content": "A\n\nThe image of this result follows." },
            { "role": "tool", "tool_call_id": "call_2", "content": "Error: no" },
            { "role": "user", "content": [shown, { "type": "text", "text": "And?" }] },
        ])
    );
    assert_eq!(
        sent["tools"],
        json!([{ "type": "function", "function": { "name": "Read", "description": "Reads.", "parameters": { "type": "object", "properties": {} } } }])
    );
    assert_eq!(
        sent["tool_choice"],
        json!({ "type": "function", "function": { "name": "Read" } })
    );
    assert_eq!(sent["parallel_tool_calls"], false);
    assert_eq!(sent["max_tokens"], 1000);
}

#[test]
fn reasoning_returns_in_its_original_field_and_foreign_reasoning_is_dropped() {
    let sent = |block: Value, host| {
        let body = with_messages(json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [block, { "type": "tool_use", "id": "c", "name": "A", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "c", "content": "r" }] },
        ]));
        convert(&body, host).0["messages"][1].clone()
    };
    let thinking = |signature: &str| json!({ "type": "thinking", "thinking": "T", "signature": signature });
    assert_eq!(
        sent(thinking("gts1.chat.reasoning"), ChatHost::Other)["reasoning"],
        "T"
    );
    let hidden = json!({ "type": "redacted_thinking", "data": "gts1.chat.reasoning_content:T: 1" });
    assert_eq!(sent(hidden, ChatHost::Kimi)["reasoning_content"], "T: 1");
    let foreign = sent(thinking("EqQB"), ChatHost::Other);
    assert!(
        foreign.get("reasoning_content").is_none() && foreign.get("reasoning").is_none(),
        "{foreign}"
    );
    // DeepSeek refuses a call without reasoning.
    assert_eq!(
        sent(thinking("EqQB"), ChatHost::DeepSeek)["reasoning_content"],
        ""
    );
}

#[test]
fn a_schema_is_sent_in_a_form_that_the_host_supports() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"], "additionalProperties": false });
    let fields = json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } });
    let sent = with(ChatHost::Other, fields.clone());
    assert_eq!(
        sent["response_format"],
        json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } })
    );
    let sent = with(ChatHost::DeepSeek, fields);
    assert_eq!(sent["response_format"], json!({ "type": "json_object" }));
    let system = sent["messages"][0]["content"].as_str().unwrap();
    assert!(
        system.contains("JSON") && system.contains("additionalProperties"),
        "{system}"
    );
}

#[test]
fn tuning_parameters_are_sent() {
    let fields = json!({
        "stop_sequences": ["X"], "temperature": 0.5, "top_p": 0.25, "top_k": 3, "stream": true,
        "thinking": { "type": "disabled" }, "metadata": { "user_id": "u" },
    });
    let sent = with(ChatHost::Glm, fields);
    assert_eq!(
        sent,
        json!({
            "model": "deepseek-chat", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 1000,
            "temperature": 0.5, "top_p": 0.25, "stop": ["X"], "thinking": { "type": "disabled" },
            "stream": true, "stream_options": { "include_usage": true },
        })
    );
}

#[test]
fn system_messages_among_the_messages_become_user_messages() {
    let body = with_messages(json!([
        { "role": "user", "content": "hi" },
        { "role": "system", "content": "Be brief." },
    ]));
    let sent = convert(&body, ChatHost::Other).0;
    assert_eq!(
        sent["messages"][1],
        json!({ "role": "user", "content": "Be brief." })
    );
}

#[test]
fn unsupported_parts_are_refused() {
    let pdf = json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "TUFSSw==" } });
    let body = with_messages(json!([{ "role": "user", "content": [pdf] }]));
    assert!(
        refused(&body).starts_with("messages: a document other than text"),
        "{}",
        refused(&body)
    );
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    body["tools"] = json!([{ "type": "web_search_20250305", "name": "web_search" }]);
    assert!(refused(&body).starts_with("tools.0: "), "{}", refused(&body));
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    body["next_years_beta"] = json!(1);
    assert!(
        refused(&body).starts_with("next_years_beta: Extra inputs"),
        "{}",
        refused(&body)
    );
}
