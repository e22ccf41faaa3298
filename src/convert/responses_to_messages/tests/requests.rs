//! What single things of a request become.

use serde_json::{Value, json};

use super::{convert, refused, tool, tools, user, with, with_input};

fn sent(body: &Value) -> Value {
    convert(body).0
}

fn said(role: &str, text: &str) -> Value {
    json!({ "type": "message", "role": role, "content": text })
}

#[test]
fn instructions_and_later_messages() {
    let mut body = with_input(json!([
        said("developer", "Be brief."),
        user("hi"),
        said("assistant", "Hello."),
        said("developer", "Mind."),
        user("go on")
    ]));
    body["instructions"] = "You help.".into();
    let sent = sent(&body);
    let system: Vec<&str> = sent["system"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["text"].as_str().unwrap())
        .collect();
    assert_eq!(system, ["You help.", "Be brief."]);
    let last = &sent["messages"][2]["content"];
    assert_eq!(last[0]["text"], "<system-reminder>\nMind.\n</system-reminder>");
    assert_eq!(last[1]["cache_control"], json!({ "type": "ephemeral" }));
    let one = self::sent(&json!({ "model": "claude-x", "input": "hi" }));
    assert_eq!(one["messages"][0]["content"][0]["text"], "hi");
}

#[test]
fn tools_of_codex_are_tools() {
    let sent = sent(&with("tools", tools()));
    let names: Vec<&str> = sent["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "exec_command",
            "apply_patch",
            "local_shell",
            "multi_agent_v1__close_agent"
        ]
    );
    assert_eq!(
        sent["tools"][1]["input_schema"]["properties"],
        json!({ "input": { "type": "string" } })
    );
    assert!(
        sent["tools"][1]["description"]
            .as_str()
            .unwrap()
            .contains("start: begin_patch")
    );
    let added =
        json!([{ "type": "additional_tools", "role": "developer", "tools": [tool("Later")] }, user("hi")]);
    assert_eq!(self::sent(&with_input(added))["tools"][0]["name"], "Later");
}

#[test]
fn a_search_needs_the_web() {
    let searched = |tool: Value| sent(&with("tools", json!([tool])))["tools"].clone();
    assert_eq!(
        searched(
            json!({ "type": "web_search", "external_web_access": true, "filters": { "allowed_domains": ["a.org"] } })
        ),
        json!([{ "type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"], "cache_control": { "type": "ephemeral" } }])
    );
    assert_eq!(
        searched(json!({ "type": "web_search", "external_web_access": false })),
        Value::Null
    );
}

#[test]
fn the_choice_among_tools() {
    for (choice, expected) in [
        (json!("auto"), Value::Null),
        (json!("none"), json!({ "type": "none" })),
        (json!("required"), json!({ "type": "any" })),
        (
            json!({ "type": "function", "name": "exec_command" }),
            json!({ "type": "tool", "name": "exec_command" }),
        ),
        (
            json!({ "type": "custom", "name": "apply_patch" }),
            json!({ "type": "tool", "name": "apply_patch" }),
        ),
    ] {
        let mut body = with("tools", tools());
        body["tool_choice"] = choice;
        assert_eq!(sent(&body)["tool_choice"], expected);
    }
    let mut body = with("tools", tools());
    body["parallel_tool_calls"] = false.into();
    assert_eq!(
        sent(&body)["tool_choice"],
        json!({ "type": "auto", "disable_parallel_tool_use": true })
    );
    body["tool_choice"] = json!({ "type": "allowed_tools", "mode": "auto", "tools": [{ "type": "function", "name": "exec_command" }] });
    assert_eq!(sent(&body)["tools"].as_array().unwrap().len(), 1);
    body["tool_choice"] = json!({ "type": "function", "name": "Unknown" });
    assert!(refused(&body).starts_with("tool_choice: there is no tool `Unknown`"));
    body["tool_choice"] = json!({ "type": "mcp", "server_label": "x" });
    assert!(refused(&body).starts_with("tool_choice: `mcp`"));
}

#[test]
fn calls_and_outputs() {
    let call = json!({ "type": "function_call", "call_id": "call/1", "name": "exec_command", "arguments": "{\"n\":12345678901234567890}" });
    let patch = json!({ "type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin" });
    let png = "data:image/png;base64,iVBORw0KGgo=";
    let output =
        |id: &str, output: Value| json!({ "type": "function_call_output", "call_id": id, "output": output });
    let mut body = with_input(json!([
        user("go"), call, patch,
        output("call/1", json!([{ "type": "input_text", "text": "a" }, { "type": "input_image", "image_url": png }])),
        { "type": "custom_tool_call_output", "call_id": "call_2", "output": "done" },
    ]));
    body["tools"] = tools();
    let sent = sent(&body);
    let said = &sent["messages"][1]["content"];
    assert_eq!(said[0]["input"].to_string(), r#"{"n":12345678901234567890}"#);
    assert_eq!(said[1]["input"], json!({ "input": "*** Begin" }));
    let results = &sent["messages"][2]["content"];
    assert_eq!(results[0]["tool_use_id"], said[0]["id"]);
    assert_eq!(results[0]["content"][1]["source"]["data"], "iVBORw0KGgo=");
    assert_eq!(results[1]["content"][0]["text"], "done");
    for (input, says) in [
        (json!([user("go"), call]), "input.1: no output answers"),
        (
            json!([user("go"), output("x", json!(""))]),
            "input.1: no call with the id `x`",
        ),
        (json!([user("go"), call, call]), "input.2: the id `call/1`"),
        (
            json!([user("go"), { "type": "message", "role": "assistant", "content": "So" }]),
            "input: the last item",
        ),
        (json!([]), "input: there is nothing"),
        (
            json!([{ "type": "item_reference", "id": "x" }]),
            "input.0: items of the type `item_reference`",
        ),
    ] {
        let refusal = refused(&with_input(input));
        assert!(refusal.starts_with(says), "{refusal}");
    }
}

#[test]
fn how_much_it_thinks() {
    let thinks = |model: &str, reasoning: Value| {
        let mut body = with("model", model.into());
        body["reasoning"] = reasoning;
        let sent = sent(&body);
        (sent["thinking"].clone(), sent["output_config"]["effort"].clone())
    };
    let budget = |tokens: u64| json!({ "type": "enabled", "budget_tokens": tokens });
    for (model, reasoning, thinking, effort) in [
        ("claude-sonnet-4-5", Value::Null, Value::Null, Value::Null),
        (
            "claude-sonnet-4-5",
            json!({ "effort": "none" }),
            Value::Null,
            Value::Null,
        ),
        (
            "claude-sonnet-4-5",
            json!({ "summary": "auto" }),
            budget(12_288),
            Value::Null,
        ),
        (
            "claude-sonnet-4-5",
            json!({ "effort": "high" }),
            budget(24_000),
            Value::Null,
        ),
        (
            "claude-opus-4-7",
            json!({ "effort": "xhigh" }),
            json!({ "type": "adaptive" }),
            json!("xhigh"),
        ),
        (
            "claude-opus-4-7",
            json!({ "summary": "auto" }),
            json!({ "type": "adaptive" }),
            Value::Null,
        ),
    ] {
        assert_eq!(
            thinks(model, reasoning.clone()),
            (thinking, effort),
            "{model} {reasoning}"
        );
    }
    assert!(refused(&with("reasoning", json!({ "effort": "vast" }))).starts_with("reasoning.effort: "));
    // A turn that began without its thoughts does not go on with some.
    let call = json!({ "type": "function_call", "call_id": "c", "name": "exec_command", "arguments": "{}" });
    let output = json!({ "type": "function_call_output", "call_id": "c", "output": "ok" });
    let thought = json!({ "type": "reasoning", "summary": [], "encrypted_content": "gts1.claude.s2:EqSG0u" });
    for (input, thinks) in [
        (json!([user("go"), call, output]), false),
        (json!([user("go"), thought, call, output]), true),
    ] {
        let mut body = with_input(input);
        body["reasoning"] = json!({ "effort": "high" });
        body["tools"] = tools();
        let sent = sent(&body);
        assert_eq!(sent.get("thinking").is_some(), thinks);
        assert_eq!(sent["messages"][1]["content"][0]["type"] == "thinking", thinks);
    }
}

#[test]
fn reasoning_of_others_is_left_out() {
    for token in [json!("gAAAA"), json!("gts1.openai.x"), Value::Null] {
        let body = with_input(
            json!([user("go"), { "type": "reasoning", "summary": [], "encrypted_content": token },
            { "type": "message", "role": "assistant", "content": "Well." }, user("so?")]),
        );
        assert_eq!(
            sent(&body)["messages"][1]["content"],
            json!([{ "type": "text", "text": "Well." }])
        );
    }
}

#[test]
fn structured_output() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"], "additionalProperties": false });
    let body = with(
        "text",
        json!({ "format": { "type": "json_schema", "name": "x", "schema": schema, "strict": true } }),
    );
    assert_eq!(
        sent(&body)["output_config"]["format"],
        json!({ "type": "json_schema", "schema": schema })
    );
    let body = with(
        "text",
        json!({ "format": { "type": "json_object" }, "verbosity": "low" }),
    );
    assert_eq!(
        sent(&body)["system"][0]["text"],
        "Answer with one JSON object and nothing around it."
    );
    assert!(refused(&with("text", json!({ "format": { "type": "grammar" } }))).starts_with("text.format: "));
}
