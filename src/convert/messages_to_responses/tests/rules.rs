//! The rules of a request of Responses, as far as the conversion could break them.

use std::collections::HashSet;

use serde_json::Value;

/// Panics at the first broken rule.
#[track_caller]
pub(super) fn check(sent: &Value) {
    assert_eq!(sent["store"], false, "nothing is kept for the client");
    assert!(sent["model"].is_string());
    let input = sent["input"].as_array().expect("items");
    assert!(!input.is_empty());
    let mut open = Vec::new();
    let mut ids = HashSet::new();
    for (at, item) in input.iter().enumerate() {
        match item["type"].as_str().expect("a type") {
            "message" => {
                let role = item["role"].as_str().unwrap();
                if role != "assistant" {
                    assert!(open.is_empty(), "outputs come first: {open:?}");
                }
                let content = item["content"].as_array().unwrap();
                assert!(!content.is_empty(), "no message is empty");
                for part in content {
                    check_part(role, part);
                }
            }
            "reasoning" => {
                assert!(!item["encrypted_content"].as_str().unwrap().is_empty());
                for part in item["summary"].as_array().unwrap() {
                    assert_eq!(part["type"], "summary_text");
                    assert!(part["text"].is_string());
                }
                let next = input.get(at + 1).expect("something follows reasoning");
                let is_the_models = match next["type"].as_str().unwrap() {
                    "message" => next["role"] == "assistant",
                    kind => matches!(kind, "reasoning" | "function_call"),
                };
                assert!(is_the_models, "reasoning leads to something: {next}");
            }
            "function_call" => {
                let id = item["call_id"].as_str().unwrap();
                assert!(id.len() <= 64, "{id}");
                check_name(item["name"].as_str().unwrap());
                let arguments: Value = serde_json::from_str(item["arguments"].as_str().unwrap()).unwrap();
                assert!(arguments.is_object());
                open.push(id.to_owned());
                ids.insert(id.to_owned());
            }
            "function_call_output" => {
                let id = item["call_id"].as_str().unwrap();
                let at = open.iter().position(|open| open == id);
                open.remove(at.unwrap_or_else(|| panic!("no call {id} before")));
                match &item["output"] {
                    Value::String(_) => {}
                    Value::Array(parts) => parts.iter().for_each(|part| check_part("user", part)),
                    other => panic!("no output: {other}"),
                }
            }
            other => panic!("no such item: {other}"),
        }
    }
    assert!(open.is_empty(), "all calls have outputs: {open:?}");
    let last = input.last().unwrap();
    assert!(last["role"] != "assistant", "the model begins its answer anew");
    let mut names = HashSet::new();
    for tool in sent["tools"].as_array().into_iter().flatten() {
        assert_eq!(tool["type"], "function");
        assert_eq!(tool["strict"], false);
        assert_eq!(tool["parameters"]["type"], "object");
        assert!(tool["parameters"]["properties"].is_object());
        check_name(tool["name"].as_str().unwrap());
        assert!(names.insert(tool["name"].as_str().unwrap()), "one tool of a name");
    }
    if let Some(name) = sent["tool_choice"]["name"].as_str() {
        assert!(names.contains(name));
    }
}

#[track_caller]
fn check_part(role: &str, part: &Value) {
    let kind = part["type"].as_str().unwrap();
    match (role, kind) {
        ("assistant", "output_text") | ("user" | "developer", "input_text") => {
            assert!(!part["text"].as_str().unwrap().is_empty());
        }
        ("user", "input_image") => assert!(part["image_url"].is_string()),
        ("user", "input_file") => {
            assert!(
                part["file_url"].is_string() || part["file_data"].is_string() && part["filename"].is_string()
            );
        }
        _ => panic!("no {kind} of {role}"),
    }
}

#[track_caller]
fn check_name(name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    assert!(
        (1..=64).contains(&name.len()) && name.bytes().all(plain),
        "{name}"
    );
}
