//! The other converters, as [`super::bridge`] checks the one to Gemini: any bytes may be a request or the answer to
//! one. They never panic, what they send is JSON, and what they stream does not depend on the cuts.
//!
//! The first byte says where the rest is cut in two: the request, and what answers it.

use crs_edge::tested::{chat_to_messages, messages_to_responses};
use serde_json::Value;

/// From Anthropic's Messages to OpenAI's Responses.
pub fn responses(data: &[u8]) {
    use messages_to_responses::{Options, Stream, error_body, events, request};
    let Some((asked, answered)) = cut(data) else {
        return;
    };
    for (login, count) in [(false, false), (true, false), (false, true)] {
        let options = Options {
            login,
            count,
            ..Options::default()
        };
        if let Ok(converted) = request(asked, &options) {
            json(&converted.body);
        }
    }
    json(&error_body(400, answered, "refused"));

    // Answers are read for the request, or else for a plain one.
    let plain = br#"{"model":"gpt-5.4","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"}}"#;
    let Ok(converted) = request(asked, &Options::default()).or_else(|_| request(plain, &Options::default()))
    else {
        panic!("a plain request converts");
    };
    if let Ok(events) = events(answered, &converted.context, "f") {
        whole_events(&events);
    }
    let streamed = |size: usize| {
        let mut stream = Stream::new(&converted.context, "f");
        let mut out: Vec<u8> = answered
            .chunks(size)
            .flat_map(|piece| stream.feed(piece))
            .collect();
        out.extend(stream.finish());
        out
    };
    let whole = streamed(answered.len().max(1));
    assert_eq!(whole, streamed(1), "the cuts are seen");
    whole_events(&whole);
}

/// Whole events, and one end.
fn whole_events(stream: &[u8]) {
    let mut ends = 0;
    for event in text(stream).split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').expect("an event has two lines");
        let name = name.strip_prefix("event: ").expect("an event has a name");
        let data = json(data.strip_prefix("data: ").expect("an event has data").as_bytes());
        assert_eq!(data["type"], name);
        assert_eq!(ends, 0, "something comes after the end");
        ends += usize::from(matches!(name, "message_stop" | "error"));
    }
    assert_eq!(ends, 1);
}

/// From OpenAI's Chat Completions to Anthropic's Messages.
pub fn chat(data: &[u8]) {
    use chat_to_messages::{Options, Stream, Target, answer, error_body, request};
    let Some((asked, answered)) = cut(data) else {
        return;
    };
    for target in [Target::Claude, Target::Gemini] {
        if let Ok(converted) = request(asked, &Options { target, model: None }) {
            json(&converted.body);
        }
    }
    json(&error_body(400, answered, "refused"));

    let plain = br#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true},"stream":true}"#;
    let Ok(converted) = request(asked, &Options::default()).or_else(|_| request(plain, &Options::default()))
    else {
        panic!("a plain request converts");
    };
    if let Ok(completion) = answer(answered, &converted.context, "f", 1) {
        json(&completion);
    }
    let streamed = |size: usize| {
        let mut stream = Stream::new(&converted.context, "f", 1);
        let mut out: Vec<u8> = answered
            .chunks(size)
            .flat_map(|piece| stream.feed(piece))
            .collect();
        out.extend(stream.finish());
        out
    };
    let whole = streamed(answered.len().max(1));
    assert_eq!(whole, streamed(1), "the cuts are seen");
    let mut ended = false;
    for event in text(&whole)
        .split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
    {
        assert!(!ended, "something comes after the end");
        let data = event.strip_prefix("data: ").expect("data alone");
        ended = data == "[DONE]" || !json(data.as_bytes())["error"].is_null();
    }
    assert!(ended, "a stream has an end");
}

fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (cut, rest) = data.split_first()?;
    Some(rest.split_at(rest.len() * usize::from(*cut) / 256))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}
