//! The web search that Claude Code asks for, made by Gemini; and what Gemini cannot be sent.

use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{ALL, Behind, bridged, hi, message, streamed};

/// As Claude Code's own WebSearch sends it.
fn search() -> Value {
    json!({
        "model": "gemini-3-flash-preview", "max_tokens": 1000,
        "system": "You are an assistant for performing a web search tool use",
        "messages": [{ "role": "user", "content": "Perform a web search for the query: rust 2027" }],
        "tools": [{ "type": "web_search_20250305", "name": "web_search", "max_uses": 8 }],
        "tool_choice": { "type": "tool", "name": "web_search" },
    })
}

fn found() -> Script {
    let grounding = json!({
        "webSearchQueries": ["rust 2027"],
        "groundingChunks": [{ "web": { "uri": "https://blog.rust-lang.org/x", "title": "rust-lang.org" } }],
        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 9, "text": "Rust 2027" }, "groundingChunkIndices": [0] }],
    });
    Script::grounded(
        &[json!({ "text": "Rust 2027 is" }), json!({ "text": " planned." })],
        grounding,
    )
}

#[tokio::test]
async fn a_search_is_told_with_its_sources_its_count_and_citations() {
    for behind in ALL {
        let b = bridged(behind).await;
        b.answers(found());
        for body in [search(), streamed(search())] {
            let told = message(&b.ask(&body).send().await.good());
            assert_eq!(b.sent()["tools"], json!([{ "googleSearch": {} }]), "{behind:?}");
            let content = told["content"].as_array().expect("content");
            let kinds: Vec<&str> = content
                .iter()
                .filter_map(|block| block["type"].as_str())
                .collect();
            assert_eq!(
                kinds,
                ["server_tool_use", "web_search_tool_result", "text", "text"]
            );
            assert_eq!(
                (&content[0]["name"], &content[0]["input"]),
                (&json!("web_search"), &json!({ "query": "rust 2027" }))
            );
            assert_eq!(content[1]["tool_use_id"], content[0]["id"]);
            let page = &content[1]["content"][0];
            assert_eq!(
                (&page["url"], &page["title"]),
                (&json!("https://blog.rust-lang.org/x"), &json!("rust-lang.org"))
            );
            let citation = &content[2]["citations"][0];
            assert_eq!(
                (
                    &content[2]["text"],
                    &citation["type"],
                    &citation["url"],
                    &citation["cited_text"]
                ),
                (
                    &json!("Rust 2027"),
                    &json!("web_search_result_location"),
                    &json!("https://blog.rust-lang.org/x"),
                    &json!("Rust 2027")
                )
            );
            assert_eq!(content[3]["text"], " is planned.");
            assert_eq!(
                told["usage"]["server_tool_use"],
                json!({ "web_search_requests": 1 })
            );
        }
    }
}

#[tokio::test]
async fn what_gemini_lacks_is_refused_by_its_place_and_never_sent() {
    let b = bridged(Behind::ApiKey).await;
    let own = json!({ "name": "Bash", "input_schema": { "type": "object", "properties": {} } });
    let mut image = hi();
    image["model"] = "gemini-2.5-flash-image".into();
    let with = |tools: Value| {
        let mut body = hi();
        body["tools"] = tools;
        body
    };
    for (body, place) in [
        (
            with(json!([own, { "type": "code_execution_20250825", "name": "code_execution" }])),
            "tools.1: ",
        ),
        (
            with(json!([{ "type": "web_fetch_20250910", "name": "web_fetch" }])),
            "tools.0: ",
        ),
        (
            with(json!([own, { "type": "mcp_toolset", "mcp_server_name": "s" }])),
            "tools.1: ",
        ),
        (
            with(json!([own, { "type": "web_search_20250305", "name": "web_search" }])),
            "tools.1: ",
        ),
        (image, "model: "),
    ] {
        let refusal = b.ask(&body).send().await.expect(400).json();
        assert_eq!(refusal["error"]["type"], "invalid_request_error");
        let says = refusal["error"]["message"].as_str().expect("words");
        assert!(says.starts_with(place), "{says}");
    }
    assert!(b.provider.requests_to(Route::Gemini).is_empty());
}

#[tokio::test]
async fn half_a_pair_of_surrogates_is_taken() {
    let b = bridged(Behind::ApiKey).await;
    let body = r#"{"model":"gemini-3-flash-preview","max_tokens":10,"stream":true,"messages":[{"role":"user","content":"cut \ud83d"}]}"#;
    b.ask(&hi()).body(body).send().await.good();
    assert_eq!(b.sent()["contents"][0]["parts"][0]["text"], "cut \u{fffd}");
}
