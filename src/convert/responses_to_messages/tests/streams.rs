//! The rules of a stream of Responses, as one state machine.

use std::collections::HashMap;

use serde_json::{Value, json};

/// How a valid stream ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// With this response.
    Response(Value),
    /// With this error.
    Error(Value),
}

/// Checks a whole stream; panics at the first broken rule.
#[track_caller]
pub(super) fn check(stream: &[u8]) -> Outcome {
    let text = std::str::from_utf8(stream).expect("UTF-8");
    assert!(text.ends_with("\n\n"), "every event is closed");
    let mut items: Vec<Value> = Vec::new();
    let mut told: HashMap<u64, String> = HashMap::new();
    let mut open = None;
    let mut end = None;
    for (number, event) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("its name first");
        let data: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("its data then")).expect("JSON");
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
        assert!(end.is_none(), "nothing comes after the end: {event}");
        let verb = name.rsplit('.').next();
        let at = data["output_index"].as_u64();
        match name {
            "response.created" | "response.in_progress" => {
                assert!(items.is_empty() && data["response"]["status"] == "in_progress");
            }
            "response.output_item.added" => {
                assert!(
                    open.is_none() && at == Some(items.len() as u64),
                    "one after the other: {event}"
                );
                open = at;
            }
            "response.output_item.done" => {
                assert_eq!(open.take(), at);
                let item = data["item"].clone();
                if let Some(told) = told.get(&at.unwrap()) {
                    let whole = ["arguments", "input"]
                        .into_iter()
                        .find_map(|member| item[member].as_str());
                    let whole = whole.or_else(|| item["content"][0]["text"].as_str());
                    let whole = whole.or_else(|| item["summary"][0]["text"].as_str());
                    assert_eq!(whole, Some(told.as_str()), "the pieces are the whole");
                }
                items.push(item);
            }
            "response.completed" | "response.incomplete" => {
                assert_eq!(data["response"]["output"], json!(items));
                let usage = &data["response"]["usage"];
                assert_eq!(
                    usage["total_tokens"].as_u64(),
                    Some(usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap())
                );
                end = Some(Outcome::Response(data["response"].clone()));
            }
            "response.failed" => {
                assert!(data["response"]["error"]["code"].is_string());
                end = Some(Outcome::Error(data["response"]["error"].clone()));
            }
            _ if verb == Some("delta") => {
                assert_eq!(open, at, "{event}");
                told.entry(at.unwrap())
                    .or_default()
                    .push_str(data["delta"].as_str().unwrap());
            }
            name => {
                assert!(
                    verb == Some("done") || name.ends_with("_part.added"),
                    "no such event: {name}"
                );
                assert_eq!(open, at, "{event}");
            }
        }
    }
    end.unwrap_or_else(|| panic!("a stream has an end:\n{text}"))
}
