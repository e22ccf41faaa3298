//! What single things of a request become.

use serde_json::{Value, json};

use super::{convert, refused, tool, try_convert, with, with_messages};
use crate::convert::messages_to_responses::{Options, request};

fn sent(body: &Value) -> Value {
    convert(body).0
}

fn user(content: Value) -> Value {
    json!({ "role": "user", "content": content })
}

#[test]
fn system_and_its_later_messages() {
    let mut body = with_messages(json!([
        { "role": "system", "content": "First." }, user(json!("hi")),
        { "role": "assistant", "content": "Hello." },
        { "role": "system", "content": "Mind." }, user(json!("go on")),
    ]));
    body["system"] = json!([
        { "type": "text", "text": "x-anthropic-billing-header: 1" },
        { "type": "text", "text": "You help.", "cache_control": { "type": "ephemeral" } }, { "type": "text", "text": "Always." },
    ]);
    let sent = sent(&body);
    assert_eq!(sent["instructions"], "You help.\n\nAlways.");
    let roles: Vec<&str> = sent["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["developer", "user", "assistant", "developer", "user"]);
}

#[test]
fn calls_and_their_results() {
    let long = "x".repeat(80);
    let body = with_messages(json!([
        user(json!("go")),
        { "role": "assistant", "content": [
            { "type": "text", "text": "Looking." },
            { "type": "tool_use", "id": "toolu_1", "name": "mcp.files/read", "input": { "n": 12_345_678_901_234_567_890_u64 } },
            { "type": "tool_use", "id": long, "name": "B", "input": {} },
        ] },
        user(json!([
            { "type": "tool_result", "tool_use_id": long, "is_error": true, "content": [
                { "type": "text", "text": "no" }, { "type": "image", "source": { "type": "url", "url": "https://x/a.png" } }] },
            { "type": "tool_result", "tool_use_id": "toolu_1", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
            { "type": "text", "text": "and now?" },
        ])),
    ]));
    let sent = sent(&body);
    let input = sent["input"].as_array().unwrap();
    assert_eq!(input[2]["arguments"], r#"{"n":12345678901234567890}"#);
    assert_ne!(input[2]["name"], "mcp.files/read");
    assert_eq!(input[3]["call_id"], input[4]["call_id"]);
    assert!(input[3]["call_id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(
        input[4]["output"],
        json!([{ "type": "input_text", "text": "Error: no" },
            { "type": "input_image", "detail": "auto", "image_url": "https://x/a.png" }])
    );
    assert_eq!(input[5]["output"], "a\nb");
    assert_eq!(
        input[6]["content"],
        json!([{ "type": "input_text", "text": "and now?" }])
    );
}

#[test]
fn a_pair_that_is_none_is_refused_by_its_place() {
    let call = json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "A", "input": {} }] });
    let result = json!({ "type": "tool_result", "tool_use_id": "t", "content": "" });
    for (messages, says) in [
        (
            json!([user(json!("go")), call]),
            "messages.1.content.0: `tool_use` ids were found without",
        ),
        (
            json!([user(json!("go")), call, user(json!("so?"))]),
            "messages.1.content.0: `tool_use` ids were found",
        ),
        (
            json!([user(json!([result]))]),
            "messages.0.content.0: unexpected `tool_use_id`",
        ),
        (
            json!([user(json!("go")), call, user(json!([result, result]))]),
            "messages.2.content.1: each tool_use must",
        ),
        (
            json!([user(json!("go")), call, call]),
            "messages.2.content.0: `tool_use` ids must be unique",
        ),
        (
            json!([user(json!("go")), { "role": "assistant", "content": "So" }]),
            "messages.1: the model here begins",
        ),
        (
            json!([{ "role": "tool", "content": "x" }]),
            "messages.0.role: `tool` is not",
        ),
        (json!([user(json!(""))]), "messages: there is nothing to send"),
    ] {
        let refusal = refused(&with_messages(messages));
        assert!(refusal.starts_with(says), "{refusal}");
    }
}

#[test]
fn documents_and_images() {
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" });
    let body = with_messages(json!([user(json!([
        { "type": "document", "title": "Plan", "context": "Ours.", "source": pdf },
        { "type": "document", "source": { "type": "url", "url": "https://x/a.pdf" } },
        { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
    ]))]));
    assert_eq!(
        sent(&body)["input"][0]["content"],
        json!([
            { "type": "input_text", "text": "Plan" },
            { "type": "input_text", "text": "Ours." },
            { "type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" },
            { "type": "input_file", "file_url": "https://x/a.pdf" },
            { "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo=" },
        ])
    );
    let cited = json!({ "type": "document", "citations": { "enabled": true }, "source": pdf });
    assert!(
        refused(&with_messages(json!([user(json!([cited]))])))
            .starts_with("messages.0.content.0.citations: ")
    );
}

#[test]
fn tools_and_the_choice() {
    let mut deferred = tool("Later");
    deferred["defer_loading"] = true.into();
    let mut body = with(
        "tools",
        json!([tool("A"), { "name": "B", "input_schema": {} }, deferred, { "type": "bash_20250124", "name": "bash" }]),
    );
    let made = sent(&body);
    let names: Vec<&str> = made["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["A", "B", "bash"]);
    assert_eq!(
        made["tools"][1]["parameters"],
        json!({ "type": "object", "properties": {} })
    );
    for (choice, expected) in [
        (json!({ "type": "auto" }), json!("auto")),
        (json!({ "type": "any" }), json!("required")),
        (json!({ "type": "none" }), json!("none")),
        (
            json!({ "type": "tool", "name": "A" }),
            json!({ "type": "function", "name": "A" }),
        ),
    ] {
        body["tool_choice"] = choice;
        assert_eq!(sent(&body)["tool_choice"], expected);
    }
    body["tool_choice"] = json!({ "type": "auto", "disable_parallel_tool_use": true });
    assert_eq!(sent(&body)["parallel_tool_calls"], false);
    body["tool_choice"] = json!({ "type": "tool", "name": "Later" });
    assert!(refused(&body).starts_with("tool_choice: the tool `Later`"));
}

#[test]
fn how_much_it_thinks() {
    let thinks = |model: &str, thinking: Value, effort: Value| {
        let mut body = with("model", model.into());
        body["thinking"] = thinking;
        if !effort.is_null() {
            body["output_config"] = json!({ "effort": effort });
        }
        sent(&body)["reasoning"].clone()
    };
    let adaptive = || json!({ "type": "adaptive" });
    let budget = |tokens: u64| json!({ "type": "enabled", "budget_tokens": tokens });
    for (model, thinking, effort, expected) in [
        ("gpt-5.4", Value::Null, Value::Null, json!({ "effort": "low" })),
        (
            "gpt-5.4",
            json!({ "type": "disabled" }),
            Value::Null,
            json!({ "effort": "low" }),
        ),
        ("gpt-5.4", adaptive(), Value::Null, json!({ "summary": "auto" })),
        (
            "gpt-5.4",
            adaptive(),
            json!("medium"),
            json!({ "effort": "medium", "summary": "auto" }),
        ),
        (
            "gpt-5.4",
            adaptive(),
            json!("max"),
            json!({ "effort": "xhigh", "summary": "auto" }),
        ),
        (
            "gpt-5",
            adaptive(),
            json!("max"),
            json!({ "effort": "high", "summary": "auto" }),
        ),
        ("gpt-5.4", Value::Null, json!("high"), json!({ "effort": "high" })),
        (
            "gpt-5.4",
            budget(2_000),
            Value::Null,
            json!({ "effort": "low", "summary": "auto" }),
        ),
        (
            "gpt-5.4",
            budget(10_000),
            Value::Null,
            json!({ "effort": "medium", "summary": "auto" }),
        ),
        (
            "gpt-5.4",
            budget(31_999),
            Value::Null,
            json!({ "effort": "high", "summary": "auto" }),
        ),
        (
            "gpt-5.4",
            json!({ "type": "adaptive", "display": "omitted" }),
            json!("low"),
            json!({ "effort": "low" }),
        ),
        (
            "gpt-5-pro",
            adaptive(),
            json!("low"),
            json!({ "summary": "auto" }),
        ),
        ("gpt-4.1", adaptive(), json!("low"), Value::Null),
    ] {
        assert_eq!(
            thinks(model, thinking.clone(), effort.clone()),
            expected,
            "{model} {thinking} {effort}"
        );
    }
    assert_eq!(sent(&with("model", json!("gpt-4.1"))).get("include"), None);
    assert_eq!(
        sent(&with("model", json!("gpt-5.4")))["include"],
        json!(["reasoning.encrypted_content"])
    );
    assert!(refused(&with("thinking", json!({ "type": "sometimes" }))).starts_with("thinking.type: "));
    assert!(
        refused(&with("output_config", json!({ "effort": "vast" }))).starts_with("output_config.effort: ")
    );
}

#[test]
fn sampling_goes_to_models_that_take_it() {
    let mut body = with("temperature", json!(0.50));
    body["top_p"] = json!(0.9);
    assert_eq!(sent(&body).get("temperature"), None);
    body["model"] = "gpt-4.1".into();
    assert_eq!(
        (&sent(&body)["temperature"], &sent(&body)["top_p"]),
        (&json!(0.5), &json!(0.9))
    );
    assert_eq!(sent(&with("max_tokens", json!(1)))["max_output_tokens"], 16);
    assert!(refused(&with("stop_sequences", json!(["x"]))).starts_with("stop_sequences: "));
}

#[test]
fn structured_output() {
    let object = |required: Value, closed: Value| {
        json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "object", "properties": {}, "additionalProperties": false } },
            "required": required, "additionalProperties": closed })
    };
    for (schema, strict) in [
        (object(json!(["a", "b"]), json!(false)), true),
        (object(json!(["a"]), json!(false)), false),
        (object(json!(["a", "b"]), json!(true)), false),
    ] {
        let format = json!({ "type": "json_schema", "schema": schema });
        for body in [
            with("output_config", json!({ "format": format })),
            with("output_format", format.clone()),
        ] {
            let expected =
                json!({ "type": "json_schema", "name": "answer", "schema": schema, "strict": strict });
            assert_eq!(sent(&body)["text"]["format"], expected);
        }
    }
    assert!(
        refused(&with("output_format", json!({ "type": "grammar" }))).starts_with("output_config.format: ")
    );
}

#[test]
fn reasoning_goes_back_to_who_made_it_and_to_nobody_else() {
    let thinking = |signature: &str| json!({ "type": "thinking", "thinking": "Hm.", "signature": signature });
    let turn = |blocks: Value| {
        with_messages(
            json!([user(json!("go")), { "role": "assistant", "content": blocks }, user(json!("so?"))]),
        )
    };
    let said = json!({ "type": "text", "text": "Yes." });
    let ours = thinking("gts1.openai.gAAA_-=");
    assert_eq!(
        sent(&turn(json!([ours, said])))["input"][1],
        json!({ "type": "reasoning", "summary": [{ "type": "summary_text", "text": "Hm." }], "encrypted_content": "gAAA_-=" })
    );
    for theirs in [
        thinking("EqQB"),
        thinking("gts1.gemini.s1:a"),
        thinking("gts1.openai."),
        json!({ "type": "redacted_thinking", "data": "EmwK" }),
    ] {
        assert_eq!(
            sent(&turn(json!([theirs, said])))["input"][1]["role"],
            "assistant",
            "{theirs}"
        );
    }
    // It led to nothing.
    assert_eq!(
        sent(&turn(json!([said, ours])))["input"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_login_is_asked_as_chatgpt_wants_it() {
    let mut body = with("temperature", json!(0.5));
    body["model"] = "gpt-4.1".into();
    let options = Options {
        login: true,
        cache_key: Some("c"),
        ..Options::default()
    };
    let converted = request(body.to_string().as_bytes(), &options).unwrap();
    let sent: Value = serde_json::from_slice(&converted.body).unwrap();
    assert_eq!(
        sent,
        json!({ "model": "gpt-4.1", "instructions": "", "prompt_cache_key": "c", "store": false, "stream": true,
            "input": [{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hi" }] }] })
    );
}

#[test]
fn what_is_counted() {
    let mut body = with("tools", json!([tool("A")]));
    body["thinking"] = json!({ "type": "adaptive" });
    let options = Options {
        count: true,
        model: Some("gpt-5-mapped"),
        ..Options::default()
    };
    let converted = request(body.to_string().as_bytes(), &options).unwrap();
    let sent: Value = serde_json::from_slice(&converted.body).unwrap();
    let names: Vec<&String> = sent.as_object().unwrap().keys().collect();
    assert_eq!(names, ["input", "model", "tools"]);
    assert_eq!(sent["model"], "gpt-5-mapped");
    assert_eq!(try_convert(&body).unwrap().context.model, "gpt-5.4");
}
