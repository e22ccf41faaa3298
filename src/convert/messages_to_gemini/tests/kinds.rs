//! Every kind of block and tool that the Messages API has: converted, or refused by its place. None is dropped.
//!
//! The kinds are those of Anthropic's SDK (`ContentBlockParam`, `BetaContentBlockParam`, `ToolUnion`,
//! `BetaToolUnion`).

use serde_json::{Value, json};

use super::{tool, try_convert, with, with_messages};
use crate::convert::outcome;

/// What becomes of a kind: this is found in what is sent, or it is refused.
enum Fate {
    Sent(&'static str),
    Refused,
}

use Fate::{Refused, Sent};

#[track_caller]
fn holds(name: &str, body: &Value, place: &str, fate: &Fate) {
    let mark = match fate {
        Sent(mark) => Some(*mark),
        Refused => None,
    };
    outcome::holds(
        &name,
        try_convert(body).map(|converted| converted.body),
        place,
        mark,
    );
}

#[test]
fn every_block_of_a_user() {
    let base64 = |kind: &str| json!({ "type": "base64", "media_type": kind, "data": "TUFSSw==" });
    let cases = [
        (json!({ "type": "text", "text": "MARK" }), Sent("MARK")),
        (
            json!({ "type": "image", "source": base64("image/png") }),
            Sent("TUFSSw=="),
        ),
        (
            json!({ "type": "image", "source": { "type": "url", "url": "https://x/MARK.png" } }),
            Sent("MARK.png"),
        ),
        (
            json!({ "type": "image", "source": { "type": "file", "file_id": "f" } }),
            Refused,
        ),
        (
            json!({ "type": "document", "source": base64("application/pdf") }),
            Sent("TUFSSw=="),
        ),
        (
            json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "MARK" } }),
            Sent("MARK"),
        ),
        (
            json!({ "type": "document", "source": { "type": "url", "url": "https://x/MARK.pdf" } }),
            Sent("MARK.pdf"),
        ),
        (
            json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "MARK" }] } }),
            Sent("MARK"),
        ),
        (
            json!({ "type": "document", "source": { "type": "file", "file_id": "f" } }),
            Refused,
        ),
        (
            json!({ "type": "search_result", "source": "s", "title": "MARK", "content": [{ "type": "text", "text": "x" }] }),
            Sent("MARK"),
        ),
        (json!({ "type": "container_upload", "file_id": "f" }), Refused),
        (json!({ "type": "audio", "source": base64("audio/wav") }), Refused),
        (json!({ "type": "novelty" }), Refused),
    ];
    for (block, fate) in cases {
        let body =
            with_messages(json!([{ "role": "user", "content": [{ "type": "text", "text": "x" }, block] }]));
        holds(&block.to_string(), &body, "messages.0.content.1", &fate);
        // In a tool's result, too.
        let body = with_messages(json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "A", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": [block] }] },
        ]));
        holds(&block.to_string(), &body, "messages.2.content.0.content.0", &fate);
    }
}

#[test]
fn every_block_of_an_assistant() {
    let server = |name: &str| json!({ "type": "server_tool_use", "id": "srvtoolu_01", "name": name, "input": { "query": "MARK" } });
    let result = |kind: &str, content: Value| json!({ "type": kind, "tool_use_id": "srvtoolu_01", "content": content });
    let cases = [
        (json!({ "type": "text", "text": "MARK" }), Sent("MARK")),
        (
            json!({ "type": "thinking", "thinking": "t", "signature": "gts1.gemini.s4:MARK" }),
            Sent("MARK"),
        ),
        (
            json!({ "type": "redacted_thinking", "data": "gts1.gemini.e4:MARK" }),
            Sent("MARK"),
        ),
        // Of another vendor's model: its signature means nothing here. README says so.
        (
            json!({ "type": "thinking", "thinking": "t", "signature": "EqQB" }),
            Sent("so?"),
        ),
        (
            json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "TUFSSw==" } }),
            Sent("TUFSSw=="),
        ),
        (server("web_search"), Sent("MARK")),
        (
            result(
                "web_search_tool_result",
                json!([{ "type": "web_search_result", "title": "MARK", "url": "u", "encrypted_content": "E" }]),
            ),
            Sent("MARK"),
        ),
        (
            result(
                "web_search_tool_result",
                json!({ "type": "web_search_tool_result_error", "error_code": "MARK" }),
            ),
            Sent("MARK"),
        ),
        // With Anthropic's search for tools there, all are declared.
        (server("tool_search_tool_regex"), Sent("so?")),
        (
            result(
                "tool_search_tool_result",
                json!({ "type": "tool_search_tool_search_result", "tool_references": [
                { "type": "tool_reference", "tool_name": "Deferred" } ] }),
            ),
            Sent("\"name\":\"Deferred\""),
        ),
        (server("web_fetch"), Refused),
        (server("code_execution"), Refused),
        (server("bash_code_execution"), Refused),
        (server("text_editor_code_execution"), Refused),
        (result("web_fetch_tool_result", json!({})), Refused),
        (result("code_execution_tool_result", json!({})), Refused),
        (result("bash_code_execution_tool_result", json!({})), Refused),
        (
            result("text_editor_code_execution_tool_result", json!({})),
            Refused,
        ),
        (
            json!({ "type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {} }),
            Refused,
        ),
        (
            json!({ "type": "mcp_tool_result", "tool_use_id": "m", "content": "x" }),
            Refused,
        ),
        (json!({ "type": "compaction", "content": "x" }), Refused),
        (json!({ "type": "novelty" }), Refused),
    ];
    for (block, fate) in cases {
        let mut body = with_messages(json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [block] },
            { "role": "user", "content": "so?" },
        ]));
        let mut deferred = tool("Deferred");
        deferred["defer_loading"] = true.into();
        body["tools"] = json!([deferred]);
        holds(&block.to_string(), &body, "messages.1.content.0", &fate);
    }
}

#[test]
fn every_kind_of_tool() {
    let cases = [
        (
            json!({ "name": "MARK", "input_schema": { "type": "object" } }),
            Sent("MARK"),
        ),
        (
            json!({ "type": "custom", "name": "MARK", "input_schema": { "type": "object" } }),
            Sent("MARK"),
        ),
        (
            json!({ "type": "bash_20250124", "name": "bash" }),
            Sent("\"name\":\"bash\""),
        ),
        (
            json!({ "type": "text_editor_20250728", "name": "edit" }),
            Sent("\"name\":\"edit\""),
        ),
        (
            json!({ "type": "memory_20250818", "name": "memory" }),
            Sent("\"name\":\"memory\""),
        ),
        (
            json!({ "type": "web_search_20250305", "name": "web_search" }),
            Sent("googleSearch"),
        ),
        (
            json!({ "type": "web_search_20260209", "name": "web_search" }),
            Sent("googleSearch"),
        ),
        (
            json!({ "type": "web_fetch_20250910", "name": "web_fetch" }),
            Refused,
        ),
        (
            json!({ "type": "code_execution_20250825", "name": "code_execution" }),
            Refused,
        ),
        (
            json!({ "type": "computer_20250124", "name": "computer" }),
            Refused,
        ),
        (json!({ "type": "mcp_toolset", "mcp_server_name": "s" }), Refused),
        (json!({ "type": "advisor_20260301", "name": "advisor" }), Refused),
        (json!({ "type": "novelty" }), Refused),
    ];
    for (tool, fate) in cases {
        holds(
            &tool.to_string(),
            &with("tools", json!([tool])),
            "tools.0: tools of the type",
            &fate,
        );
    }
    // Has every deferred tool declared.
    let mut deferred = tool("Deferred");
    deferred["defer_loading"] = true.into();
    let search = json!({ "type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25" });
    let body = with("tools", json!([deferred, search]));
    holds("tool_search", &body, "", &Sent("\"name\":\"Deferred\""));
}
