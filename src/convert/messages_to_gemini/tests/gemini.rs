//! The rules of a `generateContent` request.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Checks a request; panics at the first broken rule.
#[track_caller]
pub(super) fn check(request: &Value) {
    only(
        request,
        &[
            "systemInstruction",
            "contents",
            "tools",
            "toolConfig",
            "generationConfig",
        ],
    );
    if let Some(system) = request.get("systemInstruction") {
        parts(system, "system");
    }
    contents(request["contents"].as_array().expect("contents"));
    let mut names = HashSet::new();
    for tool in request
        .get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        for function in tool
            .get("functionDeclarations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            only(
                function,
                &["name", "description", "parameters", "parametersJsonSchema"],
            );
            let name = fits(&function["name"]);
            assert!(names.insert(name.to_owned()), "{name} is declared twice");
        }
    }
    let config = &request["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"];
    for name in config.as_array().into_iter().flatten() {
        assert!(names.contains(name.as_str().unwrap()), "{name} may be called");
    }
}

fn contents(contents: &[Value]) {
    let mut calls: Vec<&Value> = Vec::new();
    assert!(!contents.is_empty());
    for (index, content) in contents.iter().enumerate() {
        only(content, &["role", "parts"]);
        let role = if index % 2 == 0 { "user" } else { "model" };
        assert_eq!(content["role"], role, "turns alternate, a user begins");
        let parts = parts(content, role);
        let results: Vec<&Value> = parts
            .iter()
            .filter_map(|part| part.get("functionResponse"))
            .collect();
        assert_eq!(results.len(), calls.len(), "each call has its result, at once");
        for (result, call) in results.iter().zip(&calls) {
            assert_eq!(result["name"], call["name"], "in the order of the calls");
            assert_eq!(result.get("id"), call.get("id"));
            let said = result["response"].as_object().unwrap();
            assert!(said.len() == 1 && (said.contains_key("output") || said.contains_key("error")));
        }
        calls = parts.iter().filter_map(|part| part.get("functionCall")).collect();
    }
    assert_eq!(calls, Vec::<&Value>::new(), "no call is left open");
}

fn parts<'v>(content: &'v Value, role: &str) -> &'v [Value] {
    let parts = content["parts"].as_array().unwrap();
    assert!(!parts.is_empty(), "no turn is empty");
    for part in parts {
        let part = part.as_object().unwrap();
        let kinds = [
            "text",
            "inlineData",
            "fileData",
            "functionCall",
            "functionResponse",
        ];
        let held: Vec<&&str> = kinds.iter().filter(|kind| part.contains_key(**kind)).collect();
        assert_eq!(held.len(), 1, "one kind of content: {part:?}");
        let allowed: &[&str] = match role {
            "model" => &["text", "functionCall"],
            "user" => &["text", "inlineData", "fileData", "functionResponse"],
            _ => &["text"],
        };
        assert!(allowed.contains(held[0]), "{role} may not hold {part:?}");
        if role == "model" {
            model(part);
        }
        if part.get("text") == Some(&Value::from("")) {
            assert!(part.contains_key("thoughtSignature"), "no part is empty");
        }
    }
    parts
}

fn model(part: &Map<String, Value>) {
    let signature = part
        .get("thoughtSignature")
        .map(|signature| signature.as_str().unwrap());
    assert_ne!(signature, Some(""));
    if part.contains_key("thought") {
        assert!(signature.is_some(), "thoughts go with their signatures: {part:?}");
    }
    if let Some(signature) = signature {
        assert!(
            !signature.starts_with("gts1."),
            "tokens of ours stay with the client"
        );
    }
    if let Some(call) = part.get("functionCall") {
        fits(&call["name"]);
        assert!(call["args"].is_object());
    }
}

fn fits(name: &Value) -> &str {
    let name = name.as_str().unwrap();
    assert!(!name.is_empty() && name.len() <= 64, "{name}");
    assert!(
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
        "{name}"
    );
    assert!(
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')),
        "{name}"
    );
    name
}

fn only(object: &Value, keys: &[&str]) {
    for key in object.as_object().unwrap().keys() {
        assert!(keys.contains(&key.as_str()), "{key} in {object}");
    }
}
