//! The rules of a request of the Messages API.

use std::collections::HashSet;

use serde_json::Value;

/// Panics at the first broken rule.
#[track_caller]
pub(in crate::convert) fn check(request: &Value) {
    assert!(request["model"].is_string());
    if request["model"].as_str().unwrap().contains("claude") && request.get("max_tokens").is_some() {
        assert!(request["max_tokens"].as_u64().unwrap() > 0);
    }
    let mut marks = 0;
    for block in request["system"].as_array().into_iter().flatten() {
        assert_eq!(block["type"], "text");
        text(block);
        marks += usize::from(block.get("cache_control").is_some());
    }
    let mut names = HashSet::new();
    for tool in request["tools"].as_array().into_iter().flatten() {
        if tool["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("web_search_"))
        {
            marks += usize::from(tool.get("cache_control").is_some());
            continue;
        }
        assert!(names.insert(tool["name"].as_str().unwrap()));
        assert_eq!(tool["input_schema"]["type"], "object", "{tool}");
        marks += usize::from(tool.get("cache_control").is_some());
    }
    if let Some(choice) = request.get("tool_choice") {
        assert!(!names.is_empty(), "a choice needs tools");
        let kind = choice["type"].as_str().unwrap();
        assert!(matches!(kind, "auto" | "any" | "none" | "tool"));
        if kind == "tool" {
            assert!(names.contains(choice["name"].as_str().unwrap()));
        }
    }
    let messages = request["messages"].as_array().unwrap();
    assert!(!messages.is_empty());
    let mut ids = HashSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap();
        assert_eq!(
            role,
            ["user", "assistant"][index % 2],
            "they take turns, a user begins"
        );
        let content = message["content"].as_array().unwrap();
        assert!(!content.is_empty());
        let mut plain = false;
        for block in content {
            marks += usize::from(block.get("cache_control").is_some());
            match (role, block["type"].as_str().unwrap()) {
                (_, "text") => {
                    text(block);
                    plain = true;
                }
                ("user", "image" | "document") => {
                    source(&block["source"]);
                    plain = true;
                }
                ("user", "tool_result") => {
                    assert!(!plain, "results come first");
                    let id = block["tool_use_id"].as_str().unwrap();
                    let at = open.iter().position(|open| *open == id);
                    open.remove(at.expect("a result of a call in the turn before, once"));
                    match block.get("content") {
                        None => {}
                        Some(Value::String(said)) => assert!(!said.trim().is_empty()),
                        Some(Value::Array(blocks)) => assert!(!blocks.is_empty()),
                        Some(other) => panic!("no such content: {other}"),
                    }
                }
                ("assistant", "thinking") => {
                    assert!(request.get("thinking").is_some() && block["thinking"].is_string());
                    assert!(!block["signature"].as_str().unwrap().is_empty());
                }
                ("assistant", "redacted_thinking") => {
                    assert!(request.get("thinking").is_some() && !block["data"].as_str().unwrap().is_empty());
                }
                ("assistant", "tool_use") => {
                    let id = block["id"].as_str().unwrap();
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
                    assert!(!id.is_empty() && id.bytes().all(plain), "{id}");
                    assert!(ids.insert(id), "ids are unique: {id}");
                    assert!(block["input"].is_object());
                    assert!(names.contains(block["name"].as_str().unwrap()) || !names.is_empty());
                    open.push(id);
                }
                other => panic!("no such block here: {other:?}"),
            }
        }
        if role == "user" {
            assert!(open.is_empty(), "all calls have results: {open:?}");
        }
    }
    assert!(open.is_empty());
    assert!(marks <= 4, "no more marks are taken");
    let last = messages.last().unwrap();
    if last["role"] == "assistant"
        && let Some(words) = last["content"].as_array().unwrap().last().unwrap()["text"].as_str()
    {
        assert_eq!(words, words.trim_end());
    }
    thinking(request);
}

fn thinking(request: &Value) {
    let Some(thinking) = request.get("thinking") else {
        return;
    };
    if let Some(budget) = thinking["budget_tokens"].as_u64() {
        assert!(budget >= 1_024 && budget < request["max_tokens"].as_u64().unwrap());
        assert!(request.get("temperature").is_none() && request.get("top_p").is_none());
        let forced = matches!(request["tool_choice"]["type"].as_str(), Some("any" | "tool"));
        assert!(!forced, "no thinking with a call that must come");
    }
}

fn text(block: &Value) {
    assert!(
        !block["text"].as_str().unwrap().trim().is_empty(),
        "no text is blank"
    );
}

fn source(source: &Value) {
    match source["type"].as_str().unwrap() {
        "base64" => assert!(source["media_type"].is_string() && source["data"].is_string()),
        "url" => assert!(source["url"].as_str().unwrap().starts_with("http")),
        "text" => assert_eq!(source["media_type"], "text/plain"),
        other => panic!("no such source: {other}"),
    }
}
