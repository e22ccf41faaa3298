use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::*;

fn frame(headers: &[(&'static str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut message = Message::new(Bytes::copy_from_slice(payload));
    for (name, value) in headers {
        let value = HeaderValue::String((*value).to_owned().into());
        message = message.add_header(Header::new(*name, value));
    }
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame).unwrap();
    frame
}

fn of_type(event_type: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [(":event-type", event_type), (":message-type", "event")];
    frame(&headers, payload)
}

/// A frame with this event.
fn event(data: &str) -> Vec<u8> {
    let payload = serde_json::json!({ "bytes": STANDARD.encode(data), "p": "abc" });
    of_type("chunk", payload.to_string().as_bytes())
}

fn exception_of(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":message-type", "exception"), (":exception-type", name)];
    frame(&headers, payload.as_bytes())
}

/// Everything that a body in these chunks becomes, and the error at its end.
fn read_in(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (String, Option<String>) {
    let (mut events, mut out) = (Events::default(), Vec::new());
    let mut went = Ok(());
    for chunk in chunks {
        if went.is_ok() {
            went = events.feed(chunk.as_ref(), &mut out);
        }
    }
    let went = went.and_then(|()| events.finish(&mut out));
    (String::from_utf8(out).unwrap(), went.err())
}

fn text_of(body: &[u8]) -> (String, Option<String>) {
    read_in([body])
}

fn good(text: &str) -> (String, Option<String>) {
    (text.to_owned(), None)
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_bdrk_1","usage":{"input_tokens":1}}}"#;
const DELTA: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"你好 \n 🌍"}}"#;

#[test]
fn frames_become_events() {
    let body = [
        event(START),
        of_type("initial-response", b"{}"),
        event(DELTA),
        event("{\"type\":\"ping\"\r\n}"),
        event(
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":2}}"#,
        ),
    ]
    .concat();
    let expected = format!(
        "event: message_start\ndata: {START}\n\nevent: content_block_delta\ndata: {DELTA}\n\nevent: ping\ndata: \
         {{\"type\":\"ping\"  }}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    );
    assert_eq!(text_of(&body), good(&expected));
    // Cut at each byte, and into bytes.
    for at in 0..body.len() {
        let (first, rest) = body.split_at(at);
        assert_eq!(read_in([first, rest]), good(&expected), "{at}");
    }
    assert_eq!(read_in(body.iter().map(std::slice::from_ref)), good(&expected));
}

#[test]
fn a_text_may_mention_the_metrics() {
    let data = r#"{"type":"content_block_delta", "delta":{"text":"amazon-bedrock-invocationMetrics"}}"#;
    let expected = format!("event: content_block_delta\ndata: {data}\n\n");
    assert_eq!(text_of(&event(data)), good(&expected));
}

#[test]
fn exceptions_become_errors_of_anthropics() {
    for (name, payload, kind, message) in [
        (
            "throttlingException",
            r#"{"message":"Too many tokens"}"#,
            "rate_limit_error",
            "Too many tokens",
        ),
        (
            "modelStreamErrorException",
            r#"{"message":"An error occurred","originalStatusCode":500,"originalMessage":"the model said \"no\""}"#,
            "api_error",
            "the model said \"no\"",
        ),
        (
            "modelTimeoutException",
            r#"{"Message":"slow"}"#,
            "timeout_error",
            "slow",
        ),
        (
            "internalServerException",
            "",
            "api_error",
            "The provider broke off the answer.",
        ),
        (
            "validationException",
            r#"{"message":"bad"}"#,
            "invalid_request_error",
            "bad",
        ),
        (
            "serviceUnavailableException",
            r#"{"message":"away"}"#,
            "overloaded_error",
            "away",
        ),
        ("newException", r#"{"message":"?"}"#, "api_error", "?"),
    ] {
        // Nothing follows it.
        let body = [event(START), exception_of(name, payload), event(DELTA)].concat();
        let error = serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } });
        let expected = format!("event: message_start\ndata: {START}\n\nevent: error\ndata: {error}\n\n");
        assert_eq!(text_of(&body), good(&expected), "{name}");
        assert_eq!(read_in(body.chunks(7)), good(&expected), "{name}");
    }
    let unmodelled = frame(
        &[
            (":message-type", "error"),
            (":error-code", "InternalServerException"),
            (":error-message", "lost"),
        ],
        b"",
    );
    let (text, error) = text_of(&unmodelled);
    assert!(error.is_none() && text.contains(r#""message":"lost""#), "{text}");
}

#[test]
fn a_damaged_stream_is_an_error() {
    let whole = event(START);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        let (text, error) = text_of(&damaged);
        assert!(text.is_empty() && error.is_some(), "{at}: {text}");
    }
    for end in 1..whole.len() {
        let (text, error) = text_of(&whole[..end]);
        assert!(text.is_empty() && error.is_some(), "{end}");
    }
    // What is good before it is kept.
    let body = [&whole[..], b"\0\0\0\x05"].concat();
    let (text, error) = text_of(&body);
    assert!(
        text.starts_with("event: message_start") && error.is_some(),
        "{text}"
    );
    assert_eq!(text_of(b""), good(""));
}

#[test]
fn a_chunk_without_an_event_is_an_error() {
    for payload in [
        "",
        "{}",
        r#"{"bytes":"!"}"#,
        r#"{"bytes":1}"#,
        r#"{"bytes":"e30="}"#,
    ] {
        let (text, error) = text_of(&of_type("chunk", payload.as_bytes()));
        assert!(text.is_empty() && error.is_some(), "{payload}");
    }
    for data in [r#"{"type":"a\nevent: b"}"#, r#"{"type":""}"#, "[]", "text"] {
        assert!(text_of(&event(data)).1.is_some(), "{data}");
    }
    assert!(text_of(&frame(&[(":message-type", "news")], b"")).1.is_some());
    assert!(text_of(&frame(&[], b"{}")).1.is_some());
}

#[test]
fn a_frame_has_an_upper_bound() {
    let mut events = Events::default();
    let length = u32::try_from(MOST + 1).unwrap().to_be_bytes();
    assert!(events.feed(&length, &mut Vec::new()).is_err());
    // The largest one is held while it arrives, and no longer.
    let data = format!("{{\"type\":\"x\",\"text\":\"{}\"}}", "a".repeat(3 << 20));
    let (mut events, mut out) = (Events::default(), Vec::new());
    for chunk in event(&data).chunks(1 << 16) {
        events.feed(chunk, &mut out).unwrap();
    }
    assert!(out.len() > 3 << 20);
    assert!(events.held.capacity() <= KEPT);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..400), size in 1..50_usize) {
        let _ = read_in(body.chunks(size));
    }

    /// Valid lengths and checksums around any content.
    #[test]
    fn any_frame_is_read_or_refused(
        names in proptest::collection::vec((0..4_usize, "[a-z]{0,9}"), 0..4),
        payload in proptest::collection::vec(any::<u8>(), 0..60),
        size in 1..50_usize,
    ) {
        const NAMES: [&str; 4] = [":message-type", ":event-type", ":exception-type", "x"];
        let headers: Vec<_> = names.iter().map(|(at, value)| (NAMES[*at], value.as_str())).collect();
        let _ = read_in(frame(&headers, &payload).chunks(size));
    }

    /// Chunks do not matter, whatever they cut, and whatever is damaged.
    #[test]
    fn chunks_do_not_matter(
        texts in proptest::collection::vec("\\PC{0,20}", 1..5),
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        sizes in proptest::collection::vec(1..90_usize, 1..40),
    ) {
        let events = texts.iter().map(|text| event(&serde_json::json!({ "type": "x", "text": text }).to_string()));
        let mut body: Vec<u8> = events.flatten().collect();
        if let Some((at, with)) = damage {
            let at = at.index(body.len());
            body[at] = with;
        }
        let mut chunks = Vec::new();
        let mut rest = &body[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, others) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = others;
        }
        prop_assert_eq!(read_in(chunks), text_of(&body));
    }
}
