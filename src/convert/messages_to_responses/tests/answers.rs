//! What single answers become.

use serde_json::{Value, json};

use super::context;
use super::items::{Item, response};
use crate::convert::messages_to_gemini::tests::check::{Outcome, check};
use crate::convert::messages_to_responses::{Stream, UnusableAnswer, answer, request};

fn message(response: &Value) -> Result<Value, UnusableAnswer> {
    let body = response.to_string();
    answer(body.as_bytes(), &context(true), "r").map(|message| serde_json::from_slice(&message).unwrap())
}

fn said(text: &str) -> Item {
    Item::Message(vec![(text.to_owned(), false)])
}

#[test]
fn why_an_answer_ended() {
    let call = Item::Call("A".to_owned(), json!({}));
    let refusal = Item::Message(vec![("No.".to_owned(), true)]);
    let with = |items: &[Item], status: &str, reason: Option<&str>| {
        let mut whole = response(items, status);
        whole["incomplete_details"] = reason.map_or(Value::Null, |reason| json!({ "reason": reason }));
        message(&whole).unwrap()["stop_reason"].clone()
    };
    for (items, status, reason, expected) in [
        (vec![said("a")], "completed", None, "end_turn"),
        (vec![said("a"), call.clone()], "completed", None, "tool_use"),
        (vec![refusal], "completed", None, "refusal"),
        (
            vec![said("a")],
            "incomplete",
            Some("max_output_tokens"),
            "max_tokens",
        ),
        (vec![call], "incomplete", Some("max_output_tokens"), "max_tokens"),
        (vec![said("a")], "incomplete", Some("content_filter"), "refusal"),
        (
            vec![said("a")],
            "incomplete",
            Some("next_years_reason"),
            "end_turn",
        ),
        (Vec::new(), "completed", None, "end_turn"),
    ] {
        assert_eq!(
            with(&items, status, reason),
            expected,
            "{items:?} {status} {reason:?}"
        );
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    assert_eq!(
        message(&json!({ "object": "list" })),
        Err(UnusableAnswer::Unreadable)
    );
    assert_eq!(
        answer(b"<html>", &context(true), "r"),
        Err(UnusableAnswer::Unfinished)
    );
    let mut failed = response(&[], "failed");
    failed["error"] = json!({ "code": "server_error", "message": "org-1 broke" });
    let unusable = message(&failed).unwrap_err();
    assert_eq!(
        unusable.type_and_message(),
        (
            "api_error",
            "the model's provider reported server_error".to_owned()
        )
    );
}

#[test]
fn errors_inside_of_a_stream_end_it_in_anthropics_shape() {
    let created = json!({ "type": "response.created", "response": response(&[], "in_progress") });
    let error = |code: &str, message: &str| json!({ "type": "error", "code": code, "message": message });
    let failed = json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "context_length_exceeded", "message": "Too much." } } });
    for (events, kind, message) in [
        (
            vec![created.clone(), error("rate_limit_exceeded", "org-1")],
            "rate_limit_error",
            "the model's provider reported rate_limit_exceeded",
        ),
        (
            vec![created.clone(), failed],
            "invalid_request_error",
            "prompt is too long: Too much.",
        ),
        (
            vec![error("server_is_overloaded", "x")],
            "overloaded_error",
            "the model's provider reported server_is_overloaded",
        ),
        (
            vec![json!({ "error": { "code": "invalid_prompt", "message": "No." } })],
            "invalid_request_error",
            "No.",
        ),
        (
            vec![created],
            "api_error",
            "the answer of the model's provider broke off",
        ),
    ] {
        let mut stream = Stream::new(&context(true), "r");
        let mut out = Vec::new();
        for event in &events {
            out.extend_from_slice(&stream.feed(format!("data: {event}\n\n").as_bytes()));
        }
        out.extend_from_slice(&stream.finish());
        let expected = json!({ "type": "error", "error": { "type": kind, "message": message } });
        assert_eq!(check(&out), Outcome::Error(expected));
    }
}

#[test]
fn names_that_were_changed_come_back() {
    let body = json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": "hi" }], "tools": [super::tool("mcp.files/read")] });
    let converted = request(body.to_string().as_bytes(), &super::Options::default()).unwrap();
    let sent: Value = serde_json::from_slice(&converted.body).unwrap();
    let name = sent["tools"][0]["name"].as_str().unwrap().to_owned();
    let whole = response(&[Item::Call(name, json!({}))], "completed").to_string();
    let message: Value =
        serde_json::from_slice(&answer(whole.as_bytes(), &converted.context, "r").unwrap()).unwrap();
    assert_eq!(message["content"][0]["name"], "mcp.files/read");
}

#[test]
fn an_id_that_clients_could_not_take_is_another() {
    let mut whole = response(&[Item::Call("A".to_owned(), json!({}))], "completed");
    whole["output"][0]["call_id"] = "functions.A:0".into();
    let message = message(&whole).unwrap();
    assert!(
        message["content"][0]["id"].as_str().unwrap().starts_with("call_"),
        "{message}"
    );
}
