use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::carried::{Carried, MOST, given_back};
use super::events::{End, Events};
use super::request::{Asked, Turn, Unserved, read};
use super::{SocketError, rate_limits, refused, warmed_up};

fn parsed(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap()
}

fn asked(message: &Value, carried: &Carried) -> Result<Asked, Unserved> {
    read(message.to_string().as_bytes(), carried)
}

fn turn(message: &Value, carried: &Carried) -> Turn {
    match asked(message, carried).unwrap() {
        Asked::Turn(turn) => turn,
        other => panic!("{other:?}"),
    }
}

fn body(turn: &Turn) -> Value {
    serde_json::from_slice(&turn.body).unwrap()
}

/// A message without a previous response, with this input.
fn create(input: Value) -> Value {
    json!({ "type": "response.create", "model": "gpt-5", "store": false, "input": input })
}

#[test]
fn a_message_is_a_body_with_its_values_as_they_were_written() {
    let message = br#"{"type":"response.create","model":"m","stream":false,"background":true,"n":1.50,"x":{"b": 1,"a":"\u4f60"},"input":[{"a" : 1}],"generate":true}"#;
    let Ok(Asked::Turn(turn)) = read(message, &Carried::default()) else {
        panic!("a turn")
    };
    assert_eq!(
        turn.body,
        br#"{"stream":true,"model":"m","n":1.50,"x":{"b": 1,"a":"\u4f60"},"input":[{"a" : 1}]}"#.as_slice()
    );
    assert!(!turn.has_cache_key);
}

#[test]
fn a_text_as_input_is_a_message_and_no_input_stays_none() {
    let message = create(json!("hi \"you\""));
    assert_eq!(
        body(&turn(&message, &Carried::default()))["input"],
        json!([{ "type": "message", "role": "user", "content": "hi \"you\"" }])
    );
    let message =
        json!({ "type": "response.create", "model": "m", "prompt": { "id": "p" }, "prompt_cache_key": "k" });
    let turn = turn(&message, &Carried::default());
    assert!(turn.has_cache_key);
    assert_eq!(body(&turn).get("input"), None);
}

#[test]
fn a_follow_up_has_the_whole_conversation() {
    let mut carried = Carried::default();
    let first = turn(&create(json!([{ "n": 1 }, { "n": 2 }])), &carried);
    carried.keep("resp_1".to_owned(), Some(first.items(b"{\"n\":3}".to_vec())));
    let mut message = create(json!([{ "n": 4 }]));
    message["previous_response_id"] = json!("resp_1");
    let second = turn(&message, &carried);
    assert_eq!(
        body(&second),
        json!({ "model": "gpt-5", "store": false, "stream": true, "input": [{ "n": 1 }, { "n": 2 }, { "n": 3 }, { "n": 4 }] })
    );
    carried.keep("resp_2".to_owned(), Some(second.items(Vec::new())));
    message["previous_response_id"] = json!("resp_2");
    message["input"] = json!([]);
    assert_eq!(
        body(&turn(&message, &carried))["input"].as_array().unwrap().len(),
        4
    );
    message.as_object_mut().unwrap().remove("input");
    assert_eq!(
        body(&turn(&message, &carried))["input"].as_array().unwrap().len(),
        4
    );
    message["previous_response_id"] = json!("resp_1");
    assert_eq!(
        asked(&message, &carried),
        Err(Unserved::Socket(SocketError::PreviousNotFound)),
        "only the last one is kept"
    );
}

#[test]
fn what_a_provider_stored_it_continues() {
    let mut carried = Carried::default();
    carried.stored("resp_1".to_owned());
    let message = json!({
        "type": "response.create", "model": "m", "input": [{ "n": 2 }], "previous_response_id": "resp_1",
    });
    let sent = body(&turn(&message, &carried));
    assert_eq!(
        (&sent["previous_response_id"], &sent["input"]),
        (&json!("resp_1"), &json!([{ "n": 2 }]))
    );
    let unknown = body(&turn(&message, &Carried::default()));
    assert_eq!(unknown["previous_response_id"], "resp_1", "it may be stored");
    assert_eq!(carried.size(), 0);
}

#[test]
fn what_is_too_large_to_keep_is_sent_again_on_a_new_connection() {
    let mut carried = Carried::default();
    let first = turn(&create(json!([{ "n": 1 }])), &carried);
    carried.keep("resp_1".to_owned(), Some(first.items(vec![b' '; MOST])));
    let mut message = create(json!([]));
    message["previous_response_id"] = json!("resp_1");
    let limit = Err(Unserved::Socket(SocketError::ConnectionLimit));
    assert_eq!(asked(&message, &carried), limit);
    carried.keep("resp_1".to_owned(), Some(first.items(Vec::new())));
    assert!(carried.size() > 0 && asked(&message, &carried).is_ok());
    carried.drop_items();
    assert_eq!(asked(&message, &carried), limit);
}

#[test]
fn other_messages_are_a_notice_or_wrong() {
    let none = Carried::default();
    let processed = json!({ "type": "response.processed", "response_id": "resp_1" });
    assert_eq!(asked(&processed, &none), Ok(Asked::Nothing));
    for wrong in [
        json!({ "type": "response.append", "input": [] }),
        json!({ "model": "m" }),
        json!([1]),
        json!({ "type": "response.create", "model": "m", "stream_id": "a" }),
        create(json!(7)),
        create(json!({})),
    ] {
        assert!(
            matches!(asked(&wrong, &none), Err(Unserved::Invalid(_))),
            "{wrong}"
        );
    }
    for text in ["", "{", "nothing", "{\"type\":\"response.create\"}x", "\u{0}"] {
        assert!(
            matches!(read(text.as_bytes(), &none), Err(Unserved::Invalid(_))),
            "{text}"
        );
    }
}

#[test]
fn a_warm_up_is_told_apart_and_answered_with_nothing() {
    let mut message = create(json!([{ "n": 1 }]));
    message["generate"] = json!(false);
    let Ok(Asked::WarmUp { turn, model }) = asked(&message, &Carried::default()) else {
        panic!("a warm-up")
    };
    assert_eq!((model.as_str(), body(&turn).get("generate")), ("gpt-5", None));
    let [created, completed] = warmed_up("resp_w", &model, 1_800_000_000_123).map(|frame| parsed(&frame));
    assert_eq!(
        (&created["type"], &completed["type"]),
        (&json!("response.created"), &json!("response.completed"))
    );
    let response = &completed["response"];
    assert_eq!(
        (
            &response["id"],
            &response["output"],
            &response["usage"],
            &response["created_at"]
        ),
        (&json!("resp_w"), &json!([]), &Value::Null, &json!(1_800_000_000))
    );
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// An answer of two items, as ChatGPT sends it.
fn answer() -> String {
    [
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "resp_1", "status": "in_progress", "model": "m", "error": null } }),
        json!({ "type": "response.output_item.done", "item": { "type": "reasoning", "id": "rs_1", "encrypted_content": "e" } }),
        json!({ "type": "response.output_text.delta", "delta": "hi 你" }),
        json!({ "type": "response.output_item.done", "item": { "type": "message", "id": "msg_1", "content": [] } }),
        json!({ "type": "response.completed", "response": { "id": "resp_1", "output": [], "usage": null } }),
    ]
    .iter()
    .map(event)
    .collect()
}

/// The frames of a stream that is cut into such pieces, and how the turn ended.
fn frames(stream: &str, cuts: usize) -> (Vec<Value>, End) {
    let mut events = Events::default();
    let mut frames = Vec::new();
    for chunk in stream.as_bytes().chunks(cuts) {
        frames.extend(events.feed(chunk));
    }
    let (rest, end) = events.finish();
    frames.extend(rest);
    (frames.iter().map(|frame| parsed(frame)).collect(), end)
}

#[test]
fn each_event_is_a_frame_wherever_the_stream_is_cut() {
    let stream = format!(": a comment\n\n{}", answer());
    for cuts in [1, 7, 64, 100_000] {
        let (frames, end) = frames(&stream, cuts);
        assert_eq!(frames.len(), 5);
        assert_eq!(frames[2]["delta"], "hi 你");
        let output = br#"{"type":"reasoning","encrypted_content":"e"},{"type":"message","content":[]}"#;
        let End::Finished {
            id,
            stored,
            output: Some(kept),
        } = end
        else {
            panic!("{end:?}")
        };
        assert_eq!((id.as_str(), stored), ("resp_1", false));
        let list = |items: &[u8]| -> Value {
            serde_json::from_str(&format!("[{}]", std::str::from_utf8(items).unwrap())).unwrap()
        };
        assert_eq!(list(&kept), list(output));
    }
}

#[test]
fn items_are_taken_from_the_whole_answer_if_no_event_had_them() {
    let done = json!({ "type": "response.completed", "response": { "id": "resp_1", "store": true, "output": [{ "type": "file_search_call", "id": "fs_1" }] } });
    let (_, end) = frames(&event(&done), 9);
    let kept = br#"{"id":"fs_1","type":"file_search_call"}"#.to_vec();
    let same = |kept: &[u8]| serde_json::from_slice::<Value>(kept).unwrap();
    let End::Finished {
        stored: true,
        output: Some(output),
        ..
    } = end
    else {
        panic!("{end:?}")
    };
    assert_eq!(same(&output), same(&kept));
}

#[test]
fn nothing_follows_the_end() {
    let (all, _) = frames(&format!("{}data: [DONE]\n\n{}", answer(), answer()), 50);
    assert_eq!(all.len(), 5);
    let mut events = Events::default();
    events.feed(answer().as_bytes());
    assert!(events.has_ended());
}

#[test]
fn a_stream_that_breaks_off_is_a_failed_response() {
    let whole = answer();
    let (before, _) = whole.split_once("event: response.completed").unwrap();
    let (frames, end) = frames(before, 30);
    let last = frames.last().unwrap();
    assert_eq!(
        (&last["type"], &last["sequence_number"], &last["response"]),
        (
            &json!("response.failed"),
            &json!(4),
            &json!({ "id": "resp_1", "model": "m", "status": "failed", "error": { "code": "stream_broken", "message": "The answer broke off before it was complete." } })
        )
    );
    assert_eq!(end, End::Failed);
    let (nothing, end) = self::frames("", 1);
    assert_eq!((nothing.len(), end), (1, End::Failed));
}

#[test]
fn an_error_of_the_stream_ends_it_as_a_failed_response() {
    let ours = json!({ "type": "error", "code": "server_is_overloaded", "message": "m", "error": { "code": "server_is_overloaded", "message": "m", "reason": "stream_idle" } });
    let theirs = json!({ "type": "error", "code": "rate_limit_exceeded", "message": "try again in 1.5s" });
    for (event_of, code) in [(ours, "stream_idle"), (theirs, "rate_limit_exceeded")] {
        let (frames, end) = frames(&format!("{}{}", event(&event_of), answer()), 40);
        assert_eq!((frames.len(), end), (1, End::Failed));
        assert_eq!(frames[0]["response"]["error"]["code"], code);
        assert_eq!(frames[0]["response"]["error"]["message"], event_of["message"]);
    }
    let with_status = json!({ "type": "error", "status": 429, "error": { "code": "x" } });
    assert_eq!(frames(&event(&with_status), 40).0, vec![with_status]);
    for last in ["response.failed", "response.incomplete"] {
        let (frames, _) = frames(&event(&json!({ "type": last, "response": { "id": "r" } })), 40);
        assert_eq!(frames.len(), 1, "{last}");
    }
}

#[test]
fn items_that_need_their_id_keep_it() {
    let item = r#"{"type":"image_generation_call","id":"ig_1"}"#;
    assert_eq!(given_back(item), item.as_bytes());
    let item = r#"{"id":"fc_1","type":"function_call","id":"fc_2","arguments":"{\"id\": 1}"}"#;
    assert_eq!(
        given_back(item),
        br#"{"type":"function_call","arguments":"{\"id\": 1}"}"#
    );
}

#[test]
fn a_refused_call_is_an_error_with_what_clients_obey() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("2"));
    headers.insert("x-codex-primary-used-percent", HeaderValue::from_static("100"));
    headers.insert("set-cookie", HeaderValue::from_static("a=b"));
    let body = br#"{"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"m"}}"#;
    assert_eq!(
        parsed(&refused(StatusCode::TOO_MANY_REQUESTS, &headers, body)),
        json!({
            "type": "error", "status": 429,
            "error": { "type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "m" },
            "headers": { "retry-after": "2", "x-codex-primary-used-percent": "100" },
        })
    );
    let other = parsed(&refused(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>"));
    assert_eq!(
        (&other["status"], &other["error"]["message"], other.get("headers")),
        (&json!(502), &json!("<html>"), None)
    );
    for error in [SocketError::PreviousNotFound, SocketError::ConnectionLimit] {
        let frame = parsed(&error.frame());
        assert_eq!((&frame["type"], &frame["status"]), (&json!("error"), &json!(400)));
        assert!(frame["error"]["code"].is_string());
    }
}

#[test]
fn the_plans_windows_are_an_event() {
    let mut headers = HeaderMap::new();
    assert_eq!(rate_limits(&headers), None);
    for (name, value) in [
        ("x-codex-primary-used-percent", "42.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", "1800000000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(
        parsed(&rate_limits(&headers).unwrap()),
        json!({
            "type": "codex.rate_limits",
            "rate_limits": {
                "primary": { "used_percent": 42.5, "window_minutes": 300, "reset_at": 1_800_000_000 },
                "secondary": null,
            },
        })
    );
}

#[test]
fn kept_items_share_their_bodys_memory() {
    let turn = turn(&create(json!([{ "n": 1 }])), &Carried::default());
    let mut out = Vec::new();
    turn.items(Vec::new()).write(&mut out);
    assert_eq!(Bytes::from(out), "{\"n\":1}");
}
