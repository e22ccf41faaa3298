use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Continues, Ended, Frame, event, only_new, whole};
use crate::dialect::openai::socket::carried::Carried;
use crate::dialect::openai::socket::events::{End, Events};
use crate::dialect::openai::socket::request::{Asked, Turn, read};
use crate::dialect::openai::socket::{limit_headers, rate_limits};

fn turn(message: &Value, carried: &Carried) -> Turn {
    match read(message.to_string().as_bytes(), carried) {
        Ok(Asked::Turn(turn)) => turn,
        other => panic!("{other:?}"),
    }
}

fn message(input: Value) -> Value {
    json!({ "type": "response.create", "model": "m", "store": false, "input": input, "x": 1.5 })
}

/// A follow-up of two items that a response of one item continued.
fn follow_up(input: Value) -> (Turn, Continues) {
    let mut carried = Carried::default();
    let first = turn(&message(json!([{ "n": 1 }, { "n": 2 }])), &carried);
    assert_eq!(first.continues(), None);
    carried.keep("resp_\"1".to_owned(), Some(first.items(b"{\"n\":3}".to_vec())));
    let mut next = message(input);
    next["previous_response_id"] = json!("resp_\"1");
    let next = turn(&next, &carried);
    let continues = next.continues().unwrap();
    (next, continues)
}

fn parsed(message: Option<Bytes>) -> Value {
    serde_json::from_slice(&message.expect("a message")).unwrap()
}

#[test]
fn a_provider_that_knows_the_conversation_gets_what_the_client_sent() {
    for input in [json!([{ "n": 4 }]), json!([{ "n": 4 }, [5], "six"]), json!([])] {
        let (turn, continues) = follow_up(input.clone());
        let mut sent = message(input);
        sent["previous_response_id"] = json!("resp_\"1");
        assert_eq!(parsed(only_new(&turn.body, &continues)), sent);
    }
}

#[test]
fn what_the_account_edited_stays_edited() {
    for input in [json!([{ "n": 4 }, { "n": 5 }]), json!([])] {
        let (turn, continues) = follow_up(input.clone());
        let edited = String::from_utf8(turn.body.to_vec()).unwrap();
        let edited = Bytes::from(edited.replace("\"model\":\"m\"", "\"model\":\"mapped\""));
        let mut sent = message(input);
        sent["model"] = json!("mapped");
        sent["previous_response_id"] = json!("resp_\"1");
        assert_eq!(parsed(only_new(&edited, &continues)), sent);
    }
}

#[test]
fn a_body_with_other_items_is_another_conversation() {
    let (turn, continues) = follow_up(json!([{ "n": 4 }]));
    let text = String::from_utf8(turn.body.to_vec()).unwrap();
    for other in [text.replace("{\"n\":2},", ""), "{".to_owned(), "{}".to_owned()] {
        assert_eq!(only_new(&Bytes::from(other), &continues), None);
    }
}

#[test]
fn a_whole_body_is_a_message() {
    let (turn, _) = follow_up(json!([{ "n": 4 }]));
    let mut sent = message(json!([{ "n": 1 }, { "n": 2 }, { "n": 3 }, { "n": 4 }]));
    assert_eq!(parsed(whole(&turn.body)), sent);
    sent["previous_response_id"] = json!("resp_stored");
    sent["store"] = json!(true);
    let stored = super::super::request::read(sent.to_string().as_bytes(), &Carried::default());
    let Ok(Asked::Turn(turn)) = stored else {
        panic!("a turn")
    };
    assert_eq!(turn.continues(), None, "the provider has all of it");
    assert_eq!(parsed(whole(&turn.body)), sent);
    assert_eq!(whole(b"{\"model\":\"m\"}"), None);
}

fn frame(value: &Value) -> Frame {
    Frame::read(value.to_string().as_bytes()).expect("a frame")
}

#[test]
fn a_frame_says_whether_the_turn_has_ended() {
    let end = |value: Value| match frame(&value) {
        Frame::Event { kind, end } => {
            assert_eq!(kind, value["type"].as_str().unwrap());
            end
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        end(json!({ "type": "response.created", "response": { "id": "r" } })),
        None
    );
    for kind in ["response.completed", "response.incomplete"] {
        let known = json!({ "type": kind, "response": { "id": "r", "output": [{ "id": "m" }] } });
        assert_eq!(end(known), Some(Ended::With("r".to_owned())), "{kind}");
    }
    for failed in [
        json!({ "type": "response.completed", "response": {} }),
        json!({ "type": "response.failed", "response": { "id": "r" } }),
        json!({ "type": "error", "code": "server_error", "message": "m" }),
        json!({ "type": "error", "status": 200, "error": {} }),
        json!({ "type": "error", "status": 1000, "error": {} }),
    ] {
        assert_eq!(end(failed.clone()), Some(Ended::Failed), "{failed}");
    }
    assert_eq!(frame(&json!({ "type": "codex.rate_limits" })), Frame::Limits);
    for other in [
        "",
        "[]",
        "{}",
        "{",
        "\u{0}",
        "{\"type\":7}",
        "{\"type\":\"a\\nb\"}",
    ] {
        assert_eq!(Frame::read(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn an_error_with_a_status_is_an_http_answer() {
    let error = json!({ "type": "usage_limit_reached", "message": "m", "resets_in_seconds": 7 });
    let headers = json!({ "x-codex-primary-used-percent": "100.0", "retry-after": 7, "x-b": true, "x-c": null, "": "d" });
    let said = json!({ "type": "error", "status": 429, "error": error, "headers": headers });
    let Frame::Error(refused) = frame(&said) else {
        panic!("an error")
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(parsed(Some(refused.body.clone())), json!({ "error": error }));
    let mut names: Vec<_> = refused
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    names.sort_unstable();
    let expected = [
        ("retry-after", "7"),
        ("x-b", "true"),
        ("x-codex-primary-used-percent", "100.0"),
    ];
    assert_eq!(names, expected);
    assert!(!refused.is_about_the_previous() && !refused.ends_the_connection());
    for (code, about, ends) in [
        ("previous_response_not_found", true, false),
        ("websocket_connection_limit_reached", false, true),
    ] {
        let said = json!({ "type": "error", "status_code": 400, "error": { "code": code } });
        let Frame::Error(refused) = frame(&said) else {
            panic!("an error")
        };
        assert_eq!(
            (refused.is_about_the_previous(), refused.ends_the_connection()),
            (about, ends)
        );
    }
    let bare = json!({ "type": "error", "status": 500 });
    let Frame::Error(refused) = frame(&bare) else {
        panic!("an error")
    };
    assert_eq!(parsed(Some(refused.body)), bare);
}

#[test]
fn events_reach_the_client_as_the_provider_sent_them() {
    let sent = [
        "{\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}",
        "{\n  \"type\": \"response.completed\",\r\n  \"response\": {\"id\": \"r\", \"output\": [{\"t\": \"a\\nb 你好\"}]}\n}",
    ];
    let mut stream = Vec::new();
    for text in sent {
        let Some(Frame::Event { kind, .. }) = Frame::read(text.as_bytes()) else {
            panic!("an event")
        };
        stream.extend_from_slice(&event(&kind, text.as_bytes()));
    }
    assert!(stream.starts_with(b"event: response.created\ndata: {\"type\""));
    let mut events = Events::default();
    let frames = events.feed(&stream);
    let read: Vec<Value> = frames
        .iter()
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect();
    let expected: Vec<Value> = sent
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(read, expected);
    assert!(matches!(events.finish().1, End::Finished { id, .. } if id == "r"));
}

#[test]
fn limits_are_headers_there_and_back() {
    let window =
        |used: f64| json!({ "used_percent": used, "window_minutes": 300, "reset_at": 1_800_000_000 });
    let said = json!({ "type": "codex.rate_limits", "plan_type": "plus",
        "rate_limits": { "allowed": true, "primary": window(42.5), "secondary": null } });
    let headers = limit_headers(said.to_string().as_bytes());
    assert_eq!(headers.len(), 3);
    let back: Value = serde_json::from_str(&rate_limits(&headers).unwrap()).unwrap();
    assert_eq!(
        back["rate_limits"],
        json!({ "primary": window(42.5), "secondary": null })
    );
    assert!(limit_headers(b"{\"rate_limits\":{\"primary\":{\"used_percent\":\"x\"}}}").is_empty());
    assert!(limit_headers(b"nothing").is_empty());
}
