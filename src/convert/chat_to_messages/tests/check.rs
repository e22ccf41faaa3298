//! The rules of a stream of chunks, as one state machine.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// How a valid stream ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// With this completion, put together as a client does it.
    Completion {
        message: Value,
        finish: String,
        usage: Option<Value>,
    },
    /// With this error.
    Error(Value),
}

/// Checks a whole stream; panics at the first broken rule.
#[track_caller]
pub(super) fn check(stream: &[u8], include_usage: bool) -> Outcome {
    let text = std::str::from_utf8(stream).expect("UTF-8");
    assert!(text.ends_with("\n\n"), "every event is closed");
    let mut message = Map::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut head = None;
    let mut finish = None;
    let mut usage = None;
    let mut over = false;
    for event in text.split_terminator("\n\n") {
        assert!(!over, "nothing comes after the end: {event}");
        if event == ": ping" {
            continue;
        }
        let data = event.strip_prefix("data: ").expect("data alone");
        assert!(!data.contains(['\n', '\r']), "data on one line");
        if data == "[DONE]" {
            assert!(finish.is_some() && usage.is_some() == include_usage);
            over = true;
            continue;
        }
        let data: Value = serde_json::from_str(data).expect("JSON");
        if let Some(error) = data.get("error") {
            assert!(error["message"].is_string() && error["type"].is_string() && error["code"].is_string());
            return Outcome::Error(error.clone());
        }
        assert_eq!(data["object"], "chat.completion.chunk");
        assert!(data["id"].as_str().unwrap().starts_with("chatcmpl-"));
        let this = (data["id"].clone(), data["created"].clone(), data["model"].clone());
        assert_eq!(
            *head.get_or_insert(this.clone()),
            this,
            "all chunks are of one completion"
        );
        let choices = data["choices"].as_array().unwrap();
        let [choice] = choices.as_slice() else {
            assert!(choices.is_empty() && include_usage && finish.is_some() && usage.is_none());
            check_usage(&data["usage"]);
            usage = Some(data["usage"].clone());
            continue;
        };
        assert_eq!(data.get("usage"), include_usage.then_some(&Value::Null));
        assert!(finish.is_none(), "the reason comes last: {event}");
        assert_eq!(choice["index"], 0);
        let delta = choice["delta"].as_object().unwrap();
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert!(delta.is_empty());
            assert!(matches!(
                reason,
                "stop" | "length" | "tool_calls" | "content_filter"
            ));
            finish = Some(reason.to_owned());
        } else if message.is_empty() {
            assert_eq!(delta["role"], "assistant", "the first says who speaks");
            message.extend(delta.clone());
        } else {
            append(&mut message, &mut calls, delta);
        }
    }
    assert!(over, "a stream has an end:\n{text}");
    let mut ids = HashSet::new();
    for call in &calls {
        assert!(ids.insert(call["id"].as_str().unwrap()), "ids are unique");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
        assert!(arguments.is_object());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Outcome::Completion {
        message: message.into(),
        finish: finish.unwrap(),
        usage,
    }
}

fn append(message: &mut Map<String, Value>, calls: &mut Vec<Value>, delta: &Map<String, Value>) {
    assert_eq!(delta.len(), 1, "a delta says one thing");
    for (name, more) in delta {
        match name.as_str() {
            "content" | "reasoning_content" => {
                assert_ne!(more, "", "a delta says something");
                let before = message.entry(name.clone()).or_insert(json!(""));
                *before = format!("{}{}", before.as_str().unwrap(), more.as_str().unwrap()).into();
            }
            "images" => {
                let before = message.entry(name.clone()).or_insert(json!([]));
                before
                    .as_array_mut()
                    .unwrap()
                    .extend(more.as_array().unwrap().clone());
            }
            "tool_calls" => {
                for part in more.as_array().unwrap() {
                    let index = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
                    if index == calls.len() {
                        assert_eq!(part["type"], "function");
                        assert!(!part["function"]["name"].as_str().unwrap().is_empty());
                        let mut call = part.clone();
                        call.as_object_mut().unwrap().remove("index");
                        calls.push(call);
                    } else {
                        assert_eq!(index + 1, calls.len(), "calls come one after the other");
                        assert!(part.get("id").is_none() && part["function"].get("name").is_none());
                        let arguments = &mut calls[index]["function"]["arguments"];
                        let more = part["function"]["arguments"].as_str().unwrap();
                        *arguments = format!("{}{more}", arguments.as_str().unwrap()).into();
                    }
                }
            }
            other => panic!("no such delta: {other}"),
        }
    }
}

pub(super) fn check_usage(usage: &Value) {
    let figure = |key: &str| usage[key].as_u64().unwrap_or_else(|| panic!("{key} in {usage}"));
    assert_eq!(
        figure("prompt_tokens") + figure("completion_tokens"),
        figure("total_tokens")
    );
    assert!(usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() <= figure("prompt_tokens"));
    assert!(usage["completion_tokens_details"]["reasoning_tokens"].is_u64());
}
