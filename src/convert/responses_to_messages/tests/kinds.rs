//! Every kind of item, content and tool that Responses has: converted, or refused by its place. None is dropped.
//!
//! The kinds are those of OpenAI's SDK (`ResponseInputItemParam`, `ToolParam` of `openai` for Python 3.54.0).

use serde_json::{Value, json};

use super::{try_convert, user, with, with_input};
use crate::convert::outcome::{self, Fate};

#[track_caller]
fn holds(name: &Value, body: &Value, place: &str, fate: Fate) {
    outcome::holds(
        name,
        try_convert(body).map(|converted| converted.body),
        place,
        fate,
    );
}

#[test]
fn every_content_of_a_message() {
    for (part, fate) in [
        (json!({ "type": "input_text", "text": "MARK" }), Some("MARK")),
        (
            json!({ "type": "input_image", "image_url": "data:image/png;base64,TUFSSw==", "detail": "high" }),
            Some("TUFSSw=="),
        ),
        (
            json!({ "type": "input_image", "image_url": "https://x/MARK.png" }),
            Some("MARK.png"),
        ),
        (json!({ "type": "input_image", "file_id": "f" }), None),
        (
            json!({ "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,TUFSSw==" }),
            Some("TUFSSw=="),
        ),
        (
            json!({ "type": "input_file", "file_url": "https://x/MARK.pdf" }),
            Some("MARK.pdf"),
        ),
        (json!({ "type": "input_file", "file_id": "f" }), None),
        (
            json!({ "type": "input_file", "filename": "a.zip", "file_data": "data:application/zip;base64,TUFSSw==" }),
            None,
        ),
        (json!({ "type": "input_audio", "input_audio": {} }), None),
        (json!({ "type": "novelty" }), None),
    ] {
        let message = json!({ "type": "message", "role": "user", "content": [part] });
        holds(&part, &with_input(json!([message])), "input.0.content.0", fate);
        let call = json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
        let output = json!({ "type": "function_call_output", "call_id": "c", "output": [part] });
        holds(
            &part,
            &with_input(json!([user("go"), call, output])),
            "input.2.output.0",
            fate,
        );
    }
}

#[test]
fn every_kind_of_item() {
    let after = |item: Value| {
        with_input(
            json!([user("go"), item, { "type": "message", "role": "assistant", "content": "Well." }, user("so?")]),
        )
    };
    for (item, fate) in [
        (
            json!({ "role": "assistant", "content": [{ "type": "output_text", "text": "MARK" }] }),
            Some("MARK"),
        ),
        (
            json!({ "role": "assistant", "content": [{ "type": "refusal", "refusal": "MARK" }] }),
            Some("MARK"),
        ),
        (json!({ "role": "developer", "content": "MARK" }), Some("MARK")),
        (json!({ "role": "system", "content": "MARK" }), Some("MARK")),
        (json!({ "role": "critic", "content": "MARK" }), None),
        (
            json!({ "role": "assistant", "content": [{ "type": "input_image", "image_url": "https://x" }] }),
            None,
        ),
        (
            json!({ "type": "reasoning", "summary": [], "encrypted_content": "gAAA" }),
            Some("Well."),
        ),
        (
            json!({ "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "search", "query": "MARK" } }),
            Some("MARK"),
        ),
        (
            json!({ "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "open_page", "url": "MARK" } }),
            Some("MARK"),
        ),
        (
            json!({ "type": "additional_tools", "role": "developer", "tools": [super::tool("MARK")] }),
            Some("MARK"),
        ),
    ] {
        holds(&item, &after(item.clone()), "input.1", fate);
    }
    for kind in [
        "file_search_call",
        "computer_call",
        "computer_call_output",
        "tool_search_call",
        "tool_search_output",
        "configuration_update",
        "compaction",
        "image_generation_call",
        "code_interpreter_call",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "compaction_trigger",
        "item_reference",
        "program",
        "program_output",
        "novelty",
    ] {
        let item = json!({ "type": kind, "id": "x" });
        holds(&item, &after(item.clone()), "input.1: items of the type", None);
    }
    // With their outputs.
    for (call, output) in [
        (
            json!({ "type": "function_call", "call_id": "c", "name": "MARK", "arguments": "{}" }),
            "function_call_output",
        ),
        (
            json!({ "type": "custom_tool_call", "call_id": "c", "name": "f", "input": "MARK" }),
            "custom_tool_call_output",
        ),
        (
            json!({ "type": "local_shell_call", "id": "l", "call_id": "c", "status": "completed",
            "action": { "type": "exec", "command": ["MARK"], "env": {} } }),
            "local_shell_call_output",
        ),
    ] {
        let output = json!({ "type": output, "id": "c", "call_id": "c", "output": "ok" });
        holds(
            &call,
            &with_input(json!([user("go"), call, output])),
            "",
            Some("MARK"),
        );
    }
}

#[test]
fn every_kind_of_tool() {
    for (kind, fate) in [
        ("function", Some("\"name\":\"MARK\"")),
        ("custom", Some("\"name\":\"MARK\"")),
        ("local_shell", Some("\"name\":\"local_shell\"")),
        ("namespace", Some("\"name\":\"MARK__inner\"")),
        ("web_search", Some("web_search_20250305")),
        ("web_search_preview", Some("web_search_20250305")),
        ("file_search", None),
        ("computer", None),
        ("computer_use_preview", None),
        ("mcp", None),
        ("code_interpreter", None),
        ("programmatic_tool_calling", None),
        ("image_generation", None),
        ("shell", None),
        ("tool_search", None),
        ("apply_patch", None),
        ("novelty", None),
    ] {
        let tool = json!({ "type": kind, "name": "MARK", "tools": [super::tool("inner")] });
        holds(
            &kind.into(),
            &with("tools", json!([tool])),
            "tools.0: tools of the type",
            fate,
        );
    }
}
