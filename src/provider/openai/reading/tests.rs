use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::usage::Quality;
use crate::relay::meter::{Measured, Meter};

fn event(value: &Value) -> String {
    format!(
        "event: {}\ndata: {value}\n\n",
        value["type"].as_str().unwrap_or_default()
    )
}

/// A stream as the API sends it; the first event echoes the request.
fn responses() -> String {
    let head = json!({"id": "resp_1", "model": "gpt-5-2025-08-07", "status": "in_progress", "usage": null,
        "error": null, "instructions": "ignore \"usage\": {\"input_tokens\": 9}", "service_tier": "auto",
        "tools": [{"usage": {"input_tokens": 5}}]});
    let mut done = head.clone();
    done["status"] = "completed".into();
    done["service_tier"] = "priority".into();
    done["output"] = json!([{"type": "message", "content": [{"text": "你好 \"x\" {"}]}]);
    done["usage"] = json!({"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
        "output_tokens": 70, "output_tokens_details": {"reasoning_tokens": 50}, "total_tokens": 1070});
    [
        event(&json!({"type": "response.created", "response": head})),
        event(&json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "你好 \"x"})),
        event(&json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "\" {"})),
        event(&json!({"type": "response.completed", "response": done})),
    ]
    .concat()
}

/// What comes before the last event.
fn before_the_end(stream: &str) -> String {
    let (before, _) = stream.split_once("event: response.completed").unwrap();
    before.to_owned()
}

fn chat() -> String {
    let chunk = |more: Value| {
        let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5", "choices": [], "usage": null});
        for (name, value) in more.as_object().unwrap() {
            chunk[name] = value.clone();
        }
        format!("data: {chunk}\r\n\r\n")
    };
    [
        chunk(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]})),
        chunk(json!({"choices": [{"index": 0, "delta": {"content": "hello there"}, "finish_reason": null}]})),
        chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        chunk(json!({"usage": {"prompt_tokens": 50, "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens_details": {"reasoning_tokens": 3}}})),
        "data: [DONE]\r\n\r\n".to_owned(),
    ]
    .concat()
}

fn measure(reading: &'static Reading, stream: bool, text: &str, whole: bool) -> Measured {
    let mut meter = Meter::reading(reading, stream);
    meter.feed(text.as_bytes());
    meter.finish(whole)
}

fn tokens(input: u64, output: u64, written: u64, read: u64) -> Tokens {
    Tokens {
        input,
        output,
        cache_write_5m: written,
        cache_write_1h: 0,
        cache_read: read,
    }
}

#[test]
fn the_last_event_names_the_usage() {
    let measured = measure(&RESPONSES, true, &responses(), true);
    assert_eq!(measured.tokens, tokens(300, 70, 100, 600));
    assert_eq!(measured.quality, Quality::Exact);
    assert_eq!(measured.model.as_deref(), Some("gpt-5-2025-08-07"));
    assert_eq!(measured.message_id.as_deref(), Some("resp_1"));
    assert_eq!(measured.terms.tier.as_deref(), Some("priority"));
    assert_eq!(
        (measured.stop_reason.as_deref(), measured.error),
        (Some("completed"), None)
    );
}

#[test]
fn an_answer_in_one_piece_is_read_as_well() {
    let whole = json!({"id": "resp_1", "object": "response", "status": "incomplete", "error": null, "model": "gpt-5",
        "output": [{"usage": {"input_tokens": 7}}], "usage": {"input_tokens": 3, "output_tokens": 4}});
    let measured = measure(&RESPONSES, false, &whole.to_string(), true);
    assert_eq!(
        (measured.tokens, measured.quality),
        (tokens(3, 4, 0, 0), Quality::Exact)
    );
    let whole = json!({"id": "c", "model": "gpt-5", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
    let measured = measure(&CHAT, false, &whole.to_string(), true);
    assert_eq!(
        (measured.tokens, measured.quality, measured.stop_reason.as_deref()),
        (tokens(3, 4, 0, 0), Quality::Exact, Some("stop"))
    );
}

#[test]
fn chat_names_usage_in_a_chunk_of_its_own_or_not_at_all() {
    let measured = measure(&CHAT, true, &chat(), true);
    assert_eq!(
        (measured.tokens, measured.quality),
        (tokens(30, 7, 0, 20), Quality::Exact)
    );
    let unasked: String = chat()
        .split_inclusive("\r\n\r\n")
        .filter(|part| !part.contains("\"prompt_tokens\""))
        .collect();
    let measured = measure(&CHAT, true, &unasked, true);
    assert_eq!(
        (measured.tokens.output, measured.quality),
        (3, Quality::Estimated)
    );
}

#[test]
fn a_stream_is_over_by_its_own_word_only() {
    let ended = |reading, text: &str| {
        let mut meter = Meter::reading(reading, true);
        meter.feed(text.as_bytes());
        meter.ended()
    };
    assert!(ended(&RESPONSES, &responses()));
    let cut = before_the_end(&responses());
    assert!(!ended(&RESPONSES, &cut));
    assert!(ended(&CHAT, &chat()));
    assert!(ended(&CHAT, "data: [DONE]\n\n") && ended(&CHAT, "data:[DONE]\n"));
    assert!(!ended(&CHAT, "data: [DONE\n\n") && !ended(&RESPONSES, "data: [DONE]\n\n"));
}

#[test]
fn a_broken_stream_is_partial_and_guessed_by_its_length() {
    let cut = before_the_end(&responses());
    let measured = measure(&RESPONSES, true, &cut, false);
    assert_eq!(measured.quality, Quality::Partial);
    // 14 bytes with their escapes.
    assert_eq!(measured.tokens, tokens(0, 4, 0, 0));
}

#[test]
fn errors_are_read_wherever_they_stand() {
    let failed = event(
        &json!({"type": "response.failed", "response": {"status": "failed", "usage": null,
        "error": {"code": "server_is_overloaded", "message": "busy"}}}),
    );
    let bare = event(&json!({"type": "error", "code": "x", "message": "busy", "param": null}));
    let inner = event(&json!({"type": "error", "error": {"type": "server_error", "message": "busy"}}));
    for (text, kind) in [
        (failed, "server_is_overloaded"),
        (bare, "error"),
        (inner, "server_error"),
    ] {
        let measured = measure(&RESPONSES, true, &text, true);
        let error = measured.error.unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_str()), (kind, "busy"));
        assert_eq!(
            (measured.quality, measured.tokens),
            (Quality::Exact, Tokens::default())
        );
    }
    let message = event(&json!({"type": "response.output_item.done", "message": "no error"}));
    assert_eq!(measure(&RESPONSES, true, &message, false).error, None);
}

#[test]
fn figures_that_cannot_be_true_are_cut_and_doubted() {
    let usage = json!({"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1e300}});
    let measured = measure(&RESPONSES, false, &usage.to_string(), true);
    assert_eq!(measured.tokens, tokens(0, 1_000_000_000, 0, 5));
    assert_eq!(measured.quality, Quality::Estimated);
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(0..4000_usize, 0..40), chats: bool, ends: bool) {
        let (reading, text) = if chats { (&CHAT, chat()) } else { (&RESPONSES, responses()) };
        let text = if ends { text } else { text.chars().take(text.len() / 2).collect() };
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.sort_unstable();
        let mut meter = Meter::reading(reading, true);
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            meter.feed(&text.as_bytes()[from..cut]);
            from = cut;
        }
        let mut once = Meter::reading(reading, true);
        once.feed(text.as_bytes());
        prop_assert_eq!((meter.ended(), meter.between_events()), (once.ended(), once.between_events()));
        prop_assert_eq!(meter.finish(ends), once.finish(ends));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(prop::sample::select(b"data: {}[]\",:\\\n\rue1".to_vec()), 0..400), stream: bool) {
        let mut meter = Meter::reading(&RESPONSES, stream);
        for byte in &bytes {
            meter.feed(&[*byte]);
        }
        let mut once = Meter::reading(&RESPONSES, stream);
        once.feed(&bytes);
        prop_assert_eq!(meter.finish(true), once.finish(true));
    }
}
