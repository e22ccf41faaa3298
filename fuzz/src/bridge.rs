//! The bridge takes any bytes for a request, and for the answer to one: it never panics, what it sends is JSON,
//! and what it streams is the same whatever the cuts, in events that are whole, with one end.
//!
//! The first byte says where the rest is cut in two: the request, and the stream that answers it.

use crs_edge::tested::messages_to_gemini::{
    CountForm, Form, Options, Stream, answer, count_tokens, counted, error_body, request,
};
use serde_json::Value;

/// See the module.
pub fn check(data: &[u8]) {
    let Some((cut, rest)) = data.split_first() else {
        return;
    };
    let (asked, answered) = rest.split_at(rest.len() * usize::from(*cut) / 256);
    for schemas in [Form::JsonSchema, Form::OpenApi] {
        let options = Options { model: None, schemas };
        if let Ok(converted) = request(asked, &options) {
            json(&converted.body);
        }
        for form in [CountForm::Whole, CountForm::Contents] {
            if let Ok((_, body)) = count_tokens(asked, &options, form) {
                json(&body);
            }
        }
    }
    json(&error_body(400, answered, "refused"));
    let _ = counted(answered);

    // Answers are read for the request, or else for a plain one.
    let plain = br#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"hi"}]}"#;
    let Ok(converted) = request(asked, &Options::default()).or_else(|_| request(plain, &Options::default()))
    else {
        panic!("a plain request converts");
    };
    let context = &converted.context;
    if let Ok(message) = answer(answered, context, "f") {
        json(&message.body);
    }
    let whole = streamed(answered.chunks(answered.len().max(1)), Stream::new(context, "f"));
    let bytes = streamed(answered.chunks(1), Stream::new(context, "f"));
    assert_eq!(whole, bytes, "the cuts are seen");
    whole_events(&whole);
}

fn streamed<'a>(chunks: impl Iterator<Item = &'a [u8]>, mut stream: Stream) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&stream.feed(chunk));
    }
    out.extend_from_slice(&stream.finish());
    out
}

/// Whole events, and one end.
fn whole_events(stream: &[u8]) {
    let text = std::str::from_utf8(stream).expect("the stream is text");
    let mut ends = 0;
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').expect("an event has two lines");
        let name = name.strip_prefix("event: ").expect("an event has a name");
        let data = json(data.strip_prefix("data: ").expect("an event has data").as_bytes());
        assert_eq!(data["type"], name);
        assert_eq!(ends, 0, "something comes after the end");
        ends += usize::from(matches!(name, "message_stop" | "error"));
    }
    assert_eq!(ends, 1);
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}
