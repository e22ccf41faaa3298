//! A search of the web that Gemini makes for a client of the Messages API.

use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::{context, convert, with, with_messages};
use crate::convert::messages_to_gemini::{Context, Stream, UnusableAnswer, answer};

/// As Claude Code sends it.
fn request() -> Value {
    let mut body = with(
        "tools",
        json!([{ "type": "web_search_20250305", "name": "web_search", "max_uses": 8 }]),
    );
    body["tool_choice"] = json!({ "type": "tool", "name": "web_search" });
    body["model"] = "gemini-3-flash-preview".into();
    body
}

fn grounding() -> Value {
    json!({
        "webSearchQueries": ["rust 2027", "rust edition"],
        "groundingChunks": [
            { "web": { "uri": "https://blog.rust-lang.org/x", "title": "rust-lang.org" } },
            { "web": { "uri": "https://example.com/", "title": "Example" } },
        ],
        "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 9, "text": "Rust 2027" }, "groundingChunkIndices": [0] }],
    })
}

fn chunk(parts: Value, last: Option<Value>) -> Value {
    let mut candidate = json!({ "content": { "role": "model", "parts": parts } });
    if let Some(grounding) = &last {
        candidate["finishReason"] = "STOP".into();
        candidate["groundingMetadata"] = grounding.clone();
    }
    json!({ "candidates": [candidate], "modelVersion": "gemini-3-flash-preview",
        "usageMetadata": { "promptTokenCount": 100, "candidatesTokenCount": 10 } })
}

fn whole(chunk: &Value, context: &Context) -> Result<Value, UnusableAnswer> {
    let answer = answer(chunk.to_string().as_bytes(), context, "req1")?;
    Ok(serde_json::from_slice(&answer.body).expect("JSON"))
}

fn streamed(chunks: &[Value], context: &Context) -> Vec<u8> {
    let mut stream = Stream::new(context, "req1");
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&stream.feed(format!("data: {chunk}\n\n").as_bytes()));
    }
    out.extend_from_slice(&stream.finish());
    out
}

#[test]
fn sources_count_and_citations_are_told_whole_and_streamed() {
    let (sent, context) = convert(&request());
    assert_eq!(sent["tools"], json!([{ "googleSearch": {} }]));
    assert_eq!(sent.get("toolConfig"), None);

    let thought = json!({ "text": "Hm.", "thought": true });
    let parts = json!([thought, { "text": "Rust 2027 is planned." }]);
    let message = whole(&chunk(parts, Some(grounding())), &context).unwrap();
    let content = message["content"].as_array().unwrap();
    let kinds: Vec<&str> = content
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "thinking",
            "server_tool_use",
            "web_search_tool_result",
            "server_tool_use",
            "web_search_tool_result",
            "text",
            "text"
        ]
    );
    assert_eq!(content[1]["name"], "web_search");
    assert_eq!(content[1]["input"], json!({ "query": "rust 2027" }));
    assert_eq!(content[3]["input"], json!({ "query": "rust edition" }));
    assert_eq!(content[2]["tool_use_id"], content[1]["id"]);
    assert_eq!(
        content[2]["content"],
        json!([
            { "type": "web_search_result", "title": "rust-lang.org", "url": "https://blog.rust-lang.org/x",
              "encrypted_content": "gts1.", "page_age": null },
            { "type": "web_search_result", "title": "Example", "url": "https://example.com/",
              "encrypted_content": "gts1.", "page_age": null },
        ])
    );
    assert_eq!(content[4]["content"], json!([]));
    assert_eq!(
        content[5],
        json!({ "type": "text", "text": "Rust 2027", "citations": [{ "type": "web_search_result_location",
            "url": "https://blog.rust-lang.org/x", "title": "rust-lang.org", "encrypted_index": "gts1.",
            "cited_text": "Rust 2027" }] })
    );
    assert_eq!(content[6], json!({ "type": "text", "text": " is planned." }));
    assert_eq!(
        message["usage"]["server_tool_use"],
        json!({ "web_search_requests": 2 })
    );
    assert_eq!(message["stop_reason"], "end_turn");

    let stream = streamed(
        &[
            chunk(json!([thought]), None),
            chunk(json!([{ "text": "Rust 2027 is" }]), None),
            chunk(json!([{ "text": " planned." }]), Some(grounding())),
        ],
        &context,
    );
    let Outcome::Message(told) = check(&stream) else {
        panic!("ends well")
    };
    assert_eq!(told, message);
}

#[test]
fn an_answer_without_a_search_is_text() {
    let (_, context) = convert(&request());
    let message = whole(&chunk(json!([{ "text": "Hi." }]), Some(json!({}))), &context).unwrap();
    assert_eq!(message["content"], json!([{ "type": "text", "text": "Hi." }]));
    assert_eq!(message["usage"].get("server_tool_use"), None);
}

#[test]
fn a_stream_that_breaks_off_has_what_was_said() {
    let (_, context) = convert(&request());
    let stream = streamed(&[chunk(json!([{ "text": "Rust 2027 is" }]), None)], &context);
    assert!(matches!(check(&stream), Outcome::Error(_)));
    assert!(String::from_utf8(stream).unwrap().contains("Rust 2027 is"));
}

#[test]
fn what_is_held_back_is_bounded() {
    let (_, context) = convert(&request());
    let long = "x".repeat(6 << 20);
    let chunks = vec![chunk(json!([{ "text": long }]), None); 3];
    assert!(matches!(check(&streamed(&chunks, &context)), Outcome::Error(_)));
}

#[test]
fn domains_become_words_and_none_is_no_search() {
    let mut body = request();
    body["tools"][0]["allowed_domains"] = json!(["rust-lang.org", "docs.rs"]);
    body["system"] = "You search.".into();
    let (sent, _) = convert(&body);
    assert_eq!(
        sent["systemInstruction"]["parts"],
        json!([{ "text": "You search." }, { "text": "Search and use only pages of these domains: rust-lang.org, docs.rs." }])
    );
    body["tool_choice"] = json!({ "type": "none" });
    assert_eq!(convert(&body).0.get("tools"), None);
}

#[test]
fn a_conversation_with_searches_goes_on() {
    let (_, context) = convert(&request());
    let parts = json!([{ "text": "Rust 2027 is planned." }]);
    let ours = whole(&chunk(parts, Some(grounding())), &context).unwrap()["content"].clone();
    let theirs = json!([
        { "type": "server_tool_use", "id": "srvtoolu_01A", "name": "web_search", "input": { "query": "tea" } },
        { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_01A", "content": [
            { "type": "web_search_result", "title": "Tea", "url": "https://tea.example", "encrypted_content": "EqQB" } ] },
        { "type": "text", "text": "Green.", "citations": [] },
    ]);
    let (sent, _) = convert(&with_messages(json!([
        { "role": "user", "content": "rust?" }, { "role": "assistant", "content": ours },
        { "role": "user", "content": "tea?" }, { "role": "assistant", "content": theirs },
        { "role": "user", "content": "so?" },
    ])));
    assert_eq!(
        sent["contents"][1]["parts"],
        json!([{ "text": "Rust 2027" }, { "text": " is planned." }])
    );
    assert_eq!(
        sent["contents"][3]["parts"],
        json!([
            { "text": "I searched the web for “tea”." },
            { "text": "It found:\n- Tea: https://tea.example" },
            { "text": "Green." },
        ])
    );
}

#[test]
fn an_image_is_no_answer_of_the_messages_api() {
    let mut body = with("max_tokens", 10.into());
    body["model"] = "gemini-2.5-flash-image".into();
    assert!(super::refused(&body).starts_with("model: `gemini-2.5-flash-image` answers with images"));
    // Nor from a model that was not known to make some.
    let context = context("gemini-next");
    let parts =
        json!([{ "text": "Here" }, { "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } }]);
    let answer = chunk(parts, Some(json!({})));
    assert_eq!(
        whole(&answer, &context),
        Err(UnusableAnswer::Media("image/png".to_owned()))
    );
    let stream = streamed(&[answer], &context);
    assert!(matches!(check(&stream), Outcome::Error(_)));
    assert!(String::from_utf8(stream).unwrap().contains("image/png"));
}

#[test]
fn half_a_pair_of_surrogates_is_a_replacement_character() {
    let body = br#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"cut \ud83d"},
        {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"A","input":{"a":"\ude00"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"\ud83d\ude00"}]}],
        "tools":[{"name":"A","input_schema":{"type":"object","description":"\ud83d"}}]}"#;
    let converted = super::request(body, &super::Options::default()).unwrap();
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    assert_eq!(sent["contents"][0]["parts"][0]["text"], "cut \u{fffd}");
    assert_eq!(
        sent["contents"][1]["parts"][0]["functionCall"]["args"]["a"],
        "\u{fffd}"
    );
    assert_eq!(
        sent["contents"][2]["parts"][0]["functionResponse"]["response"]["output"],
        "😀"
    );

    let said = br#"{"candidates":[{"content":{"parts":[{"text":"cut \ud83d"}]},"finishReason":"STOP"}]}"#;
    let context = context("gemini-2.5-pro");
    let answer = answer(said, &context, "x").unwrap();
    let message: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(message["content"][0]["text"], "cut \u{fffd}");
    let stream = streamed(&[], &context);
    assert!(matches!(check(&stream), Outcome::Error(_)));
    let mut stream = Stream::new(&context, "x");
    let mut out = stream.feed(&[b"data: ", &said[..], b"\n\n"].concat()).to_vec();
    out.extend_from_slice(&stream.finish());
    assert!(matches!(check(&out), Outcome::Message(_)));
}
