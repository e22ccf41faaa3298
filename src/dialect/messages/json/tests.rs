use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::usage::Tokens;

fn measure(body: &str, complete: bool) -> Measurement {
    let mut tap = JsonTap::default();
    tap.feed(body.as_bytes());
    tap.finish(complete)
}

fn answer() -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "a \"usage\": {\"output_tokens\": 9} \\ \u{1F600} }]}"},
            {"type": "tool_use", "input": {"usage": {"output_tokens": 8}, "model": "no", "x": [[], {}]}}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 12, "output_tokens": 77, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 4},
        "container": null,
    })
    .to_string()
}

const USED: Tokens = Tokens {
    input: 12,
    output: 77,
    cache_write_5m: 5,
    cache_write_1h: 0,
    cache_read: 4,
};

#[test]
fn a_whole_answer_is_exact_however_it_is_cut() {
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&answer()).unwrap()).unwrap();
    for body in [answer(), pretty] {
        let expected = measure(&body, true);
        assert_eq!((expected.tokens, expected.quality), (USED, Quality::Exact));
        assert_eq!(expected.model.as_deref(), Some("claude-opus-5-5"));
        assert_eq!(expected.message_id.as_deref(), Some("msg_1"));
        assert_eq!(expected.stop_reason.as_deref(), Some("end_turn"));
        for cut in 0..body.len() {
            let (head, tail) = body.as_bytes().split_at(cut);
            let mut tap = JsonTap::default();
            tap.feed(head);
            tap.feed(tail);
            assert!(tap.ended());
            assert_eq!(tap.finish(true), expected, "cut at {cut}");
        }
        let mut tap = JsonTap::default();
        body.as_bytes().iter().for_each(|byte| tap.feed(&[*byte]));
        assert_eq!(tap.finish(true), expected);
    }
}

#[test]
fn what_is_missing_is_said() {
    let silent = json!({"content": [{"type": "text", "text": "x".repeat(400)}], "model": "m"}).to_string();
    let measured = measure(&silent, true);
    assert_eq!(measured.quality, Quality::Estimated);
    assert!(
        (100..120).contains(&measured.tokens.output),
        "{}",
        measured.tokens.output
    );
    let broken = measure(silent.split_at(300).0, false);
    assert_eq!(broken.quality, Quality::Partial);
    assert!(
        (60..80).contains(&broken.tokens.output),
        "{}",
        broken.tokens.output
    );
    for nothing in [
        "",
        "null",
        "[1, 2]",
        "<html>oops</html>",
        "{",
        "{\"usage\": 5}",
        "{}",
    ] {
        let measured = measure(nothing, true);
        assert_eq!(
            (measured.tokens, measured.quality),
            (Tokens::default(), Quality::Estimated),
            "{nothing}"
        );
        let closed = nothing.ends_with('}');
        let expected = if closed {
            Quality::Estimated
        } else {
            Quality::Partial
        };
        assert_eq!(measure(nothing, false).quality, expected, "{nothing}");
    }
}

#[test]
fn an_error_bills_nothing() {
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}, "request_id": "r"});
    let measured = measure(&error.to_string(), true);
    assert_eq!(
        measured.error,
        Some(ProviderError::new("rate_limit_error", "slow down"))
    );
    assert_eq!(
        (measured.tokens, measured.quality),
        (Tokens::default(), Quality::Exact)
    );
    let plain = measure(r#"{"error":"Unauthorized","message":"no"}"#, true);
    assert_eq!(plain.error, Some(ProviderError::new("", "Unauthorized")));
    assert_eq!(
        measure(r#"{"error":null,"usage":{"output_tokens":1}}"#, true).error,
        None
    );
}

#[test]
fn a_token_count_is_free() {
    let measured = measure(r#"{"input_tokens": 2095}"#, true);
    assert_eq!(measured.counted, Some(2_095));
    assert_eq!(
        (measured.tokens, measured.quality),
        (Tokens::default(), Quality::Exact)
    );
}

#[test]
fn a_huge_value_of_interest_is_given_up() {
    let body = format!(
        r#"{{"model":"{}","usage":{{"output_tokens":3}}}}"#,
        "m".repeat(CAPTURE_BYTES)
    );
    let mut tap = JsonTap::default();
    for chunk in body.as_bytes().chunks(1_000) {
        tap.feed(chunk);
        assert!(tap.capture.capacity() <= 2 * CAPTURE_BYTES);
    }
    let measured = tap.finish(true);
    assert_eq!((measured.model, measured.tokens.output), (None, 3));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
        "[\\\\\"{}\\[\\],: ]{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["usage", "model", "id", "error", "content", "stop_reason", "output_tokens", "input_tokens", "type"]).prop_map(str::to_owned),
        1 => ".{0,30}",
    ]
}

proptest! {
    #[test]
    fn any_object_is_read_as_a_parser_reads_it(
        members in prop::collection::vec((any_key(), any_value()), 0..8),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let object = Value::Object(members.into_iter().collect());
        let body = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let mut tap = JsonTap::default();
        for pair in at.windows(2) {
            tap.feed(&body.as_bytes()[pair[0]..pair[1]]);
        }
        prop_assert!(tap.ended());
        let measured = tap.finish(true);
        let text = |key: &str, most| object.get(key).and_then(Value::as_str).map(|text| bounded(text, most));
        prop_assert_eq!(measured.model, text("model", 200));
        prop_assert_eq!(measured.message_id, text("id", 200));
        prop_assert_eq!(measured.stop_reason, text("stop_reason", 64));
        prop_assert_eq!(measured.error, object.get("error").and_then(ProviderError::read));
        prop_assert_eq!(measured.counted, object.get("input_tokens").and_then(count));
        let mut tally = Tally::default();
        object.get("usage").inspect(|usage| tally.take(usage));
        if tally.tokens().output > 0 {
            prop_assert_eq!(measured.tokens, tally.tokens());
        }
    }

    #[test]
    fn garbage_harms_nothing(bytes in prop::collection::vec(any::<u8>(), 0..500), cut in any::<prop::sample::Index>()) {
        for prefix in [&b""[..], b"{", b"{\"usage\":", b"{\"id\":\"", b"{\"content\":[{"] {
            let body = [prefix, &bytes].concat();
            let (head, tail) = body.split_at(cut.index(body.len() + 1));
            let mut tap = JsonTap::default();
            tap.feed(head);
            tap.feed(tail);
            let mut at_once = JsonTap::default();
            at_once.feed(&body);
            prop_assert_eq!(tap.finish(true), at_once.finish(true));
        }
    }
}

#[test]
fn a_container_of_the_message_is_charged_though_nothing_counts_it() {
    for (container, sessions) in [(r#"{"id":"container_1"}"#, 1), ("null", 0)] {
        let mut tap = JsonTap::default();
        tap.feed(
            format!(
                r#"{{"content":[],"container":{container},"usage":{{"input_tokens":5,"output_tokens":7}}}}"#
            )
            .as_bytes(),
        );
        let extras = tap.finish(true).terms.extras;
        assert_eq!(extras.get(crate::model::charge::Item::CodeSession), sessions);
    }
}

/// An answer whose usage counts so many searches, with results of three and the failure of one.
fn searched(named: Option<u64>) -> String {
    let result = |content: Value| json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": content});
    let page = json!([{"type": "web_search_result", "url": "https://x", "title": "web_search_tool_result"}]);
    let failure = json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"});
    let mut answer = json!({
        "model": "claude-opus-5-5", "stop_reason": "end_turn",
        "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "type"}},
            result(page.clone()), result(page.clone()), result(failure), result(page),
            {"type": "text", "text": "web_search_tool_result", "x": {"type": "web_search_tool_result"}},
        ],
        "usage": {"input_tokens": 12, "output_tokens": 77},
    });
    if let Some(named) = named {
        answer["usage"]["server_tool_use"] = json!({"web_search_requests": named});
    }
    answer.to_string()
}

#[test]
fn searches_that_are_shown_are_charged() {
    for (named, searches, quality) in [
        (None, 3, Quality::Estimated),
        (Some(1), 3, Quality::Estimated),
        (Some(3), 3, Quality::Exact),
        (Some(5), 5, Quality::Exact),
    ] {
        let body = searched(named);
        for cut in 0..body.len() {
            let (head, tail) = body.as_bytes().split_at(cut);
            let mut tap = JsonTap::default();
            tap.feed(head);
            tap.feed(tail);
            let measured = tap.finish(true);
            assert_eq!(
                (
                    measured.terms.extras.get(crate::model::charge::Item::WebSearch),
                    measured.quality
                ),
                (searches, quality),
                "{named:?} cut at {cut}"
            );
        }
    }
}
