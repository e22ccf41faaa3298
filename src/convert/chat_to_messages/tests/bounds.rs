//! What a request may become, in bytes and in work.

use std::fmt::Write as _;

use crate::convert::chat_to_messages::{Options, Target, request};
use crate::convert::messages_to_gemini;
use crate::dialect::wire::text::equal::comparisons;

fn converted(body: &str, target: Target) -> Result<Vec<u8>, String> {
    let options = Options { target, model: None };
    request(body.as_bytes(), &options)
        .map(|converted| converted.body)
        .map_err(|refused| refused.message)
}

/// The work of a body with 8 times as many of a thing is about 8 times as much, and not 64 times.
fn grows_linearly(body: impl Fn(usize) -> String) {
    for target in [Target::Claude, Target::Gemini] {
        let work = |count| {
            let body = body(count);
            comparisons(|| {
                converted(&body, target).unwrap_or_else(|refused| panic!("{refused}"));
            })
        };
        let (some, more) = (work(500), work(4_000));
        assert!(
            more < 12 * some.max(500),
            "{target:?}: {some} comparisons became {more}"
        );
    }
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for number in 0..count {
        let _ = write!(list, "{}{}", if number == 0 { "" } else { "," }, item(number));
    }
    list
}

fn tool(name: &str) -> String {
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","parameters":{{"type":"object","properties":{{"a":{{}}}}}}}}}}"#
    )
}

#[test]
fn calls_are_linear_work() {
    // In one turn, each of a tool of its own; and in turns that all use one id.
    grows_linearly(|count| {
        let calls = list(count, |at| {
            format!(r#"{{"id":"c{at}","type":"function","function":{{"name":"n{at}","arguments":"{{}}"}}}}"#)
        });
        let results = list(count, |at| {
            format!(
                r#"{{"role":"tool","tool_call_id":"c{}","content":"r"}}"#,
                count - 1 - at
            )
        });
        format!(
            r#"{{"model":"claude-sonnet-4-5","messages":[{{"role":"user","content":"go"}},
                {{"role":"assistant","content":null,"tool_calls":[{calls}]}},{results}]}}"#
        )
    });
    grows_linearly(|count| {
        let turns = list(count, |_| {
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"n","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"c","content":"r"}"#
                .to_owned()
        });
        format!(r#"{{"model":"claude-sonnet-4-5","messages":[{{"role":"user","content":"go"}},{turns}]}}"#)
    });
}

#[test]
fn allowed_tools_are_linear_work() {
    grows_linearly(|count| {
        let tools = list(count, |at| tool(&format!("n{at}")));
        let allowed = list(count, |at| {
            format!(
                r#"{{"type":"function","function":{{"name":"n{}"}}}}"#,
                count - 1 - at
            )
        });
        format!(
            r#"{{"model":"claude-sonnet-4-5","messages":[{{"role":"user","content":"go"}}],"tools":[{tools}],
                "tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"auto","tools":[{allowed}]}}}}}}"#
        )
    });
}

#[test]
fn a_schema_that_repeats_a_long_text_is_refused_on_its_way_to_gemini() {
    let properties = list(3_900, |at| format!(r##""p{at}":{{"$ref":"#/$defs/d"}}"##));
    let long = "x".repeat(50_000);
    let body = format!(
        r#"{{"model":"gemini-2.5-pro","messages":[{{"role":"user","content":"go"}}],"tools":[{{"type":"function",
            "function":{{"name":"t","parameters":{{"type":"object","properties":{{{properties}}},
            "$defs":{{"d":{{"type":"string","description":"{long}"}}}}}}}}}}]}}"#
    );
    let message = converted(&body, Target::Gemini).unwrap();
    assert!(message.len() < body.len() + 1_000);
    let refused = messages_to_gemini::request(&message, &messages_to_gemini::Options::default()).unwrap_err();
    assert!(refused.message.contains("it would be longer than"), "{refused}");
}

#[test]
fn half_a_pair_of_surrogates_is_a_replacement_character() {
    let body = r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"cut \ud83d"}]}"#;
    for target in [Target::Claude, Target::Gemini] {
        let sent = String::from_utf8(converted(body, target).unwrap()).unwrap();
        assert!(sent.contains("cut \u{fffd}"), "{sent}");
    }
}

#[test]
fn half_a_pair_in_the_arguments_of_a_call_is_a_replacement_character() {
    let body = r#"{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"go"},
        {"role":"assistant","tool_calls":[{"id":"c","type":"function",
            "function":{"name":"t","arguments":"{\"a\":\"\\ud83d\",\"b\":\"\\ud83d\\ude00\"}"}}]},
        {"role":"tool","tool_call_id":"c","content":"done"}]}"#;
    for target in [Target::Claude, Target::Gemini] {
        // A lone escape makes this fail.
        let sent: serde_json::Value = serde_json::from_slice(&converted(body, target).unwrap()).unwrap();
        let input = &sent["messages"][1]["content"][0]["input"];
        assert_eq!(
            *input,
            serde_json::json!({"a": "\u{fffd}", "b": "\u{1f600}"}),
            "{sent}"
        );
    }
}
