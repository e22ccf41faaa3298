//! Requests, one rule at a time.

use serde_json::{Value, json};

use super::{OLDER, convert, refused, tool, with, with_messages};
use crate::convert::messages_to_gemini::{CountForm, Options, count_tokens, counted, request};

/// The request to this model with this set.
fn tuned(model: &str, key: &str, value: Value) -> Value {
    let mut body = with(key, value);
    body["model"] = model.into();
    convert(&body).0["generationConfig"].clone()
}

#[test]
fn system_text_is_the_instruction_and_billing_is_not() {
    let body = with(
        "system",
        json!([
            { "type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;" },
            { "type": "text", "text": "You are Claude Code.", "cache_control": { "type": "ephemeral" } },
            { "type": "text", "text": "" },
            { "type": "text", "text": "Rules." },
        ]),
    );
    let (sent, _) = convert(&body);
    assert_eq!(
        sent["systemInstruction"],
        json!({ "parts": [{ "text": "You are Claude Code." }, { "text": "Rules." }] })
    );
    let (sent, _) = convert(&with("system", json!("Be brief.")));
    assert_eq!(sent["systemInstruction"]["parts"][0]["text"], "Be brief.");
}

#[test]
fn system_messages_stay_where_they_are() {
    let (sent, _) = convert(&with_messages(json!([
        { "role": "system", "content": "First." },
        { "role": "user", "content": "hi" },
        { "role": "system", "content": [{ "type": "text", "text": "Then." }], "output_config": { "effort": "low" } },
        { "role": "assistant", "content": "ok" },
        { "role": "system", "content": "<system-reminder>Wrapped.</system-reminder>", "clear_at": "next_user_message" },
        { "role": "system", "content": [], "output_config": { "effort": "high" } },
    ])));
    assert_eq!(sent["systemInstruction"]["parts"], json!([{ "text": "First." }]));
    assert_eq!(
        sent["contents"],
        json!([
            { "role": "user", "parts": [
                { "text": "hi" }, { "text": "<system-reminder>\nThen.\n</system-reminder>" },
            ] },
            { "role": "model", "parts": [{ "text": "ok" }] },
            { "role": "user", "parts": [{ "text": "<system-reminder>Wrapped.</system-reminder>" }] },
        ])
    );
}

#[test]
fn results_find_their_calls() {
    let (sent, _) = convert(&with_messages(json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": [
            { "type": "tool_use", "id": "toolu_01A", "name": "Read", "input": { "path": "a" } },
            { "type": "tool_use", "id": "toolu_01B", "name": "Bash", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "text", "text": "By the way" },
            { "type": "tool_result", "tool_use_id": "toolu_01B", "content": "no such file", "is_error": true },
        ] },
        { "role": "system", "content": "Note." },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_01A", "content": [
            { "type": "text", "text": "one" }, { "type": "text", "text": "two" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
        ] }] },
    ])));
    assert_eq!(
        sent["contents"][2]["parts"],
        json!([
            { "functionResponse": { "name": "Read", "response": { "output": "one\ntwo" } } },
            { "functionResponse": { "name": "Bash", "response": { "error": "no such file" } } },
            { "text": "From the result of Read:" },
            { "inlineData": { "mimeType": "image/png", "data": "AAAA" } },
            { "text": "By the way" },
            { "text": "<system-reminder>\nNote.\n</system-reminder>" },
        ])
    );
}

#[test]
fn newer_models_take_images_inside_results_and_need_signatures() {
    let mut body = with_messages(json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYI" },
            { "type": "tool_use", "id": "toolu_01A", "name": "Shot", "input": {} },
            { "type": "tool_use", "id": "toolu_01B", "name": "Shot", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_01A", "content": [
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } } ] },
            { "type": "tool_result", "tool_use_id": "toolu_01B" },
        ] },
    ]));
    body["model"] = "gemini-3-pro-preview".into();
    let (sent, _) = convert(&body);
    assert_eq!(
        sent["contents"][1]["parts"],
        json!([
            { "functionCall": { "name": "Shot", "args": {} }, "thoughtSignature": "skip_thought_signature_validator" },
            { "functionCall": { "name": "Shot", "args": {} } },
        ])
    );
    assert_eq!(
        sent["contents"][2]["parts"],
        json!([
            { "functionResponse": { "name": "Shot", "response": { "output": "" },
                "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }] } },
            { "functionResponse": { "name": "Shot", "response": { "output": "" } } },
        ])
    );
}

#[test]
fn what_cannot_be_sent_is_named() {
    let user = |block: Value| {
        with_messages(json!([{ "role": "user", "content": [{ "type": "text", "text": "x" }, block] }]))
    };
    let call = json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "A", "input": {} }] });
    let result = json!({ "type": "tool_result", "tool_use_id": "t1", "content": "x" });
    let go = json!({ "role": "user", "content": "go" });
    let mut contained = with_messages(json!([go]));
    contained["container"] = "container_1".into();
    let cases = [
        (
            contained,
            "container: a Gemini account has no containers to run code in",
        ),
        (
            user(json!({ "type": "container_upload", "file_id": "f" })),
            "messages.0.content.1: the block type `container_upload` cannot be sent to a Gemini account",
        ),
        (
            user(json!({ "type": "image", "source": { "type": "file", "file_id": "f" } })),
            "messages.0.content.1.source: the source type `file` cannot be sent to a Gemini account",
        ),
        (
            with_messages(json!([go, { "role": "assistant", "content": [
                { "type": "server_tool_use", "id": "s", "name": "code_execution", "input": {} } ] }])),
            "messages.1.content.0: the block type `server_tool_use` cannot be sent to a Gemini account",
        ),
        (
            with_messages(json!([go, call, { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "novelty" }] } ] }])),
            "messages.2.content.0.content.0: the block type `novelty` cannot be sent to a Gemini account",
        ),
        (
            user(result.clone()),
            "messages.0.content.1: unexpected `tool_use_id` found in `tool_result` blocks: t1. Each",
        ),
        (
            with_messages(json!([go, call, go])),
            "messages.1.content.0: `tool_use` ids were found without `tool_result` blocks immediately after: t1",
        ),
        (
            with_messages(json!([go, call])),
            "messages.1.content.0: `tool_use` ids were found without",
        ),
        (
            with_messages(json!([go, call, call])),
            "messages.2.content.0: `tool_use` ids must be unique: t1",
        ),
        (
            with_messages(json!([go, call, { "role": "user", "content": [result, result] }])),
            "messages.2.content.1: each tool_use must have a single result: t1 has two",
        ),
        (
            with_messages(json!([call])),
            "messages.0: the first message must use the role `user`",
        ),
        (
            with_messages(json!([{ "role": "user", "content": "" }])),
            "messages: there is nothing",
        ),
        (with_messages(json!([])), "messages: there is nothing"),
        (
            with_messages(json!([{ "role": "tool", "content": "x" }])),
            "messages.0.role: `tool` is not",
        ),
        (
            with_messages(json!([{ "role": "user", "content": 5 }])),
            "messages.0.content: must be a text or a list",
        ),
        (
            user(json!({ "type": "text" })),
            "messages.0.content.1.text: Field required",
        ),
        (user(json!("text")), "messages.0.content.1: invalid type"),
        (
            with_messages(json!([go, { "role": "assistant", "content": [
                { "type": "tool_use", "id": "t1", "name": "A", "input": [] }] }])),
            "messages.1.content.0.input: Input should be an object",
        ),
        (json!({ "model": "gemini-2.5-pro" }), "messages: Field required"),
        (
            with("mcp_servers", json!([{ "url": "https://x" }])),
            "mcp_servers: a Gemini account cannot",
        ),
        (
            with("stop_sequences", json!(["1", "2", "3", "4", "5", "6"])),
            "stop_sequences: at most 5 can be sent to this model",
        ),
        (
            with("thinking", json!({ "type": "deep" })),
            "thinking.type: `deep` is not",
        ),
        (
            with("system", json!([{ "type": "image" }])),
            "system.0: the block type `image` cannot",
        ),
        (
            with("output_config", json!({ "format": { "type": "grammar" } })),
            "output_config.format: the format `grammar` cannot",
        ),
        (
            with("tools", json!([{ "description": "x" }])),
            "tools.0.name: Field required",
        ),
    ];
    for (body, wanted) in cases {
        let message = refused(&body);
        assert!(message.starts_with(wanted), "{message}\n{wanted}");
    }
}

#[test]
fn thinking_as_each_model_takes_it() {
    let thinking = |model: &str, value: Value| tuned(model, "thinking", value)["thinkingConfig"].clone();
    let enabled = json!({ "type": "enabled", "budget_tokens": 31_999 });
    let adaptive = json!({ "type": "adaptive" });
    let cases = [
        (
            "gemini-2.5-pro",
            &enabled,
            json!({ "includeThoughts": true, "thinkingBudget": 31_999 }),
        ),
        (
            "gemini-2.5-flash",
            &enabled,
            json!({ "includeThoughts": true, "thinkingBudget": 24_576 }),
        ),
        (
            "gemini-2.5-pro",
            &adaptive,
            json!({ "includeThoughts": true, "thinkingBudget": -1 }),
        ),
        (
            "gemini-2.5-pro",
            &Value::Null,
            json!({ "includeThoughts": false, "thinkingBudget": 128 }),
        ),
        (
            "gemini-2.5-flash",
            &json!({ "type": "disabled" }),
            json!({ "includeThoughts": false, "thinkingBudget": 0 }),
        ),
        ("gemini-2.0-flash", &enabled, Value::Null),
        (
            "gemini-3-pro",
            &enabled,
            json!({ "includeThoughts": true, "thinkingLevel": "high" }),
        ),
        (
            "gemini-3-pro",
            &json!({ "type": "enabled", "budget_tokens": 1024 }),
            json!({ "includeThoughts": true, "thinkingLevel": "low" }),
        ),
        ("gemini-3-pro", &adaptive, json!({ "includeThoughts": true })),
        (
            "gemini-3-pro",
            &json!({ "type": "adaptive", "display": "omitted" }),
            json!({ "includeThoughts": false }),
        ),
        (
            "gemini-3-pro",
            &Value::Null,
            json!({ "includeThoughts": false, "thinkingLevel": "low" }),
        ),
        (
            "claude-opus-4-5-thinking",
            &enabled,
            json!({ "includeThoughts": true, "thinkingBudget": 31_999 }),
        ),
        ("claude-opus-4-5-thinking", &Value::Null, Value::Null),
    ];
    for (model, asked, wanted) in cases {
        assert_eq!(thinking(model, asked.clone()), wanted, "{model} {asked}");
    }
    for (model, effort, wanted) in [
        ("gemini-3.1-pro", "medium", "medium".into()),
        ("gemini-3-pro", "medium", Value::Null),
        ("gemini-3-pro", "xhigh", "high".into()),
        ("gemini-3-flash", "low", "low".into()),
    ] {
        let mut body = with("output_config", json!({ "effort": effort }));
        body["thinking"] = adaptive.clone();
        body["model"] = model.into();
        let level = convert(&body).0["generationConfig"]["thinkingConfig"]["thinkingLevel"].clone();
        assert_eq!(level, wanted, "{model} {effort}");
    }
}

#[test]
fn lengths_and_randomness() {
    let mut body = with("temperature", json!(0.25));
    body["top_p"] = json!(0.9);
    body["top_k"] = json!(40);
    body["stop_sequences"] = json!(["END"]);
    body["max_tokens"] = json!(128_000);
    let config = convert(&body).0["generationConfig"].clone();
    assert_eq!(
        config,
        json!({
            "maxOutputTokens": 65_535, "temperature": 0.25, "topP": 0.9, "topK": 40, "stopSequences": ["END"],
            "thinkingConfig": { "includeThoughts": false, "thinkingBudget": 128 },
        })
    );
    assert_eq!(
        tuned("gemini-2.0-flash", "stream", json!(true)),
        json!({ "maxOutputTokens": 1000 })
    );
}

#[test]
fn formats() {
    let format = json!({ "format": { "type": "json_schema", "schema": {
        "$schema": "x", "type": "object", "properties": { "b": { "const": "k" }, "a": { "type": "string" } },
        "required": ["b", "a"], "additionalProperties": false } } });
    let config = tuned("gemini-2.5-flash", "output_config", format.clone());
    assert_eq!(config["responseMimeType"], "application/json");
    assert_eq!(
        config["responseJsonSchema"],
        json!({ "type": "object", "properties": { "b": { "type": "string", "enum": ["k"] }, "a": { "type": "string" } },
            "required": ["b", "a"], "additionalProperties": false })
    );
    let old = tuned("gemini-2.5-flash", "output_format", format["format"].clone());
    assert_eq!(old["responseJsonSchema"], config["responseJsonSchema"]);
    let mut body = with("output_config", format);
    body["tools"] = json!([tool("A")]);
    assert_eq!(
        refused(&body),
        "output_config.format: gemini-2.5-pro cannot be given tools and a format at once"
    );
    body["model"] = "gemini-3-pro".into();
    convert(&body);
    let older = request(body.to_string().as_bytes(), &OLDER).unwrap();
    let older: Value = serde_json::from_slice(&older.body).unwrap();
    assert_eq!(older["generationConfig"]["responseSchema"]["type"], "OBJECT");
    assert_eq!(
        older["tools"][0]["functionDeclarations"][0]["parameters"]["type"],
        "OBJECT"
    );
}

#[test]
fn the_model_may_be_another_than_the_one_named() {
    let options = Options {
        model: Some("models/gemini-3-flash"),
        ..Options::default()
    };
    let mut body = with("stream", json!(true));
    body["model"] = "claude-opus-5-5".into();
    let converted = request(body.to_string().as_bytes(), &options).unwrap();
    assert_eq!(converted.model, "gemini-3-flash");
    assert!(converted.stream);
}

#[test]
fn counting() {
    let mut body = with("system", json!("Be brief."));
    body.as_object_mut().unwrap().remove("max_tokens");
    body["tools"] = json!([tool("A")]);
    body["thinking"] = json!({ "type": "adaptive" });
    let count = |form| -> Value {
        let (model, sent) = count_tokens(body.to_string().as_bytes(), &Options::default(), form).unwrap();
        assert_eq!(model, "gemini-2.5-pro");
        serde_json::from_slice(&sent).unwrap()
    };
    let whole = &count(CountForm::Whole)["generateContentRequest"];
    assert_eq!(whole["model"], "models/gemini-2.5-pro");
    assert_eq!(whole["systemInstruction"]["parts"][0]["text"], "Be brief.");
    assert!(whole["tools"][0]["functionDeclarations"].is_array());
    assert_eq!(whole.get("generationConfig"), None);
    let contents = count(CountForm::Contents);
    assert_eq!(contents["model"], "models/gemini-2.5-pro");
    let parts = contents["contents"][0]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    assert_eq!(
        (&parts[0]["text"], &parts[2]["text"]),
        (&json!("Be brief."), &json!("hi"))
    );
    assert_eq!(
        counted(br#"{"totalTokens":31,"cachedContentTokenCount":0}"#).unwrap(),
        br#"{"input_tokens":31}"#
    );
    assert!(counted(b"{}").is_err());
}

#[test]
fn documents_and_images_by_address() {
    let (sent, _) = convert(&with_messages(json!([{ "role": "user", "content": [
        { "type": "image", "source": { "type": "url", "url": "https://x.org/a.JPG?b" } },
        { "type": "image", "source": { "type": "url", "url": "https://x.org/a" } },
        { "type": "document", "title": "T", "context": "C", "source": { "type": "url", "url": "https://x.org/a.pdf" } },
        { "type": "document", "source": { "type": "content", "content": "inner" } },
    ] }])));
    assert_eq!(
        sent["contents"][0]["parts"],
        json!([
            { "fileData": { "mimeType": "image/jpeg", "fileUri": "https://x.org/a.JPG?b" } },
            { "fileData": { "fileUri": "https://x.org/a" } },
            { "text": "T" }, { "text": "C" },
            { "fileData": { "mimeType": "application/pdf", "fileUri": "https://x.org/a.pdf" } },
            { "text": "inner" },
        ])
    );
}
