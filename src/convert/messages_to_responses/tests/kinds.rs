//! Every kind of block and tool that the Messages API has: converted, or refused by its place. None is dropped.
//!
//! The kinds are those of Anthropic's SDK (`ContentBlockParam`, `BetaContentBlockParam`, `BetaToolUnion`).

use serde_json::{Value, json};

use super::{tool, try_convert, with, with_messages};
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
fn every_block_of_a_user() {
    let base64 = |kind: &str| json!({ "type": "base64", "media_type": kind, "data": "TUFSSw==" });
    let source = |source: Value| json!({ "type": "document", "source": source });
    for (block, fate) in [
        (json!({ "type": "text", "text": "MARK" }), Some("MARK")),
        (
            json!({ "type": "image", "source": base64("image/png") }),
            Some("TUFSSw=="),
        ),
        (
            json!({ "type": "image", "source": { "type": "url", "url": "https://x/MARK.png" } }),
            Some("MARK.png"),
        ),
        (
            json!({ "type": "image", "source": { "type": "file", "file_id": "f" } }),
            None,
        ),
        (source(base64("application/pdf")), Some("TUFSSw==")),
        (
            source(json!({ "type": "text", "media_type": "text/plain", "data": "MARK" })),
            Some("MARK"),
        ),
        (
            source(json!({ "type": "url", "url": "https://x/MARK.pdf" })),
            Some("MARK.pdf"),
        ),
        (
            source(json!({ "type": "content", "content": [{ "type": "text", "text": "MARK" }] })),
            Some("MARK"),
        ),
        (source(json!({ "type": "file", "file_id": "f" })), None),
        (
            json!({ "type": "search_result", "source": "s", "title": "MARK", "content": [{ "type": "text", "text": "x" }] }),
            Some("MARK"),
        ),
        (json!({ "type": "container_upload", "file_id": "f" }), None),
        (json!({ "type": "audio", "source": base64("audio/wav") }), None),
        (json!({ "type": "novelty" }), None),
    ] {
        let said = json!([{ "role": "user", "content": [{ "type": "text", "text": "x" }, block] }]);
        holds(&block, &with_messages(said), "messages.0.content.1", fate);
        // In a tool's result, too.
        let returned = json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "A", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": [block] }] },
        ]);
        holds(
            &block,
            &with_messages(returned),
            "messages.2.content.0.content.0",
            fate,
        );
    }
}

#[test]
fn every_block_of_an_assistant() {
    let server = |name: &str| json!({ "type": "server_tool_use", "id": "srvtoolu_01", "name": name, "input": { "query": "MARK" } });
    let result = |kind: &str, content: Value| json!({ "type": kind, "tool_use_id": "srvtoolu_01", "content": content });
    for (block, fate) in [
        (json!({ "type": "text", "text": "MARK" }), Some("MARK")),
        (
            json!({ "type": "thinking", "thinking": "t", "signature": "gts1.openai.MARK" }),
            Some("MARK"),
        ),
        (
            json!({ "type": "redacted_thinking", "data": "gts1.openai.MARK" }),
            Some("MARK"),
        ),
        // Of another vendor's model: its signature means nothing here. README says so.
        (
            json!({ "type": "thinking", "thinking": "t", "signature": "EqQB" }),
            Some("so?"),
        ),
        (server("web_search"), Some("MARK")),
        (
            result(
                "web_search_tool_result",
                json!([{ "type": "web_search_result", "title": "MARK", "url": "u", "encrypted_content": "E" }]),
            ),
            Some("MARK"),
        ),
        (
            result(
                "web_search_tool_result",
                json!({ "type": "web_search_tool_result_error", "error_code": "MARK" }),
            ),
            Some("MARK"),
        ),
        // With Anthropic's search for tools there, all are declared.
        (server("tool_search_tool_regex"), Some("so?")),
        (
            result(
                "tool_search_tool_result",
                json!({ "type": "tool_search_tool_search_result", "tool_references": [
                { "type": "tool_reference", "tool_name": "Deferred" } ] }),
            ),
            Some("\"name\":\"Deferred\""),
        ),
        (
            json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "TUFSSw==" } }),
            None,
        ),
        (server("web_fetch"), None),
        (server("code_execution"), None),
        (result("web_fetch_tool_result", json!({})), None),
        (result("code_execution_tool_result", json!({})), None),
        (
            json!({ "type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {} }),
            None,
        ),
        (
            json!({ "type": "mcp_tool_result", "tool_use_id": "m", "content": "x" }),
            None,
        ),
        (json!({ "type": "compaction", "content": "x" }), None),
        (json!({ "type": "novelty" }), None),
    ] {
        let mut body = with_messages(json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": [block, { "type": "text", "text": "Well." }] },
            { "role": "user", "content": "so?" },
        ]));
        let mut deferred = tool("Deferred");
        deferred["defer_loading"] = true.into();
        body["tools"] = json!([deferred]);
        holds(&block, &body, "messages.1.content.0", fate);
    }
}

#[test]
fn every_kind_of_tool() {
    for (kind, fate) in [
        ("custom", Some("\"name\":\"MARK\"")),
        ("bash_20250124", Some("\"name\":\"MARK\"")),
        ("text_editor_20250728", Some("\"name\":\"MARK\"")),
        ("memory_20250818", Some("\"name\":\"MARK\"")),
        ("tool_search_tool_bm25_20251119", Some("\"name\":\"Deferred\"")),
        ("web_search_20250305", None),
        ("web_search_20260318", None),
        ("web_fetch_20250910", None),
        ("code_execution_20250825", None),
        ("computer_20250124", None),
        ("computer_toolset_20260801", None),
        ("browser_toolset_20260801", None),
        ("mcp_toolset", None),
        ("advisor_20260301", None),
        ("novelty", None),
    ] {
        let mut deferred = tool("Deferred");
        deferred["defer_loading"] = true.into();
        let declared = json!({ "type": kind, "name": "MARK", "input_schema": { "type": "object" } });
        let body = with("tools", json!([deferred, declared]));
        holds(&kind.into(), &body, "tools.1: tools of the type", fate);
    }
}
