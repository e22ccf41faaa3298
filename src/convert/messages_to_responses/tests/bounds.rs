//! What a request may become, in bytes and in work.

use std::fmt::Write as _;

use super::refused;
use crate::convert::messages_to_responses::{Options, request};
use crate::dialect::wire::allowance;
use crate::dialect::wire::text::equal::comparisons;

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for number in 0..count {
        let _ = write!(list, "{}{}", if number == 0 { "" } else { "," }, item(number));
    }
    list
}

fn work(body: &str) -> usize {
    comparisons(|| {
        request(body.as_bytes(), &Options::default()).unwrap_or_else(|refused| panic!("{refused}"));
    })
}

/// The work of a body with 8 times as many of a thing is about 8 times as much, and not 64 times.
fn grows_linearly(body: impl Fn(usize) -> String) {
    let (some, more) = (work(&body(500)), work(&body(4_000)));
    assert!(more < 12 * some.max(500), "{some} comparisons became {more}");
}

fn with_tools(tools: &str) -> String {
    format!(r#"{{"model":"gpt-5.4","messages":[{{"role":"user","content":"hi"}}],"tools":[{tools}]}}"#)
}

#[test]
fn calls_of_one_turn_are_linear_work() {
    grows_linearly(|count| {
        let calls = list(count, |at| {
            format!(r#"{{"type":"tool_use","id":"t{at}","name":"N.{at}","input":{{}}}}"#)
        });
        // In the order that a list searched from its start likes least.
        let results = list(count, |at| {
            format!(
                r#"{{"type":"tool_result","tool_use_id":"t{}","content":"r"}}"#,
                count - 1 - at
            )
        });
        format!(
            r#"{{"model":"gpt-5.4","messages":[{{"role":"user","content":"go"}},
                {{"role":"assistant","content":[{calls}]}},{{"role":"user","content":[{results}]}}]}}"#
        )
    });
}

#[test]
fn tools_and_schemas_are_linear_work() {
    grows_linearly(|count| {
        with_tools(&list(count, |at| {
            format!(r#"{{"name":"tool.{at}","input_schema":{{"type":"object"}}}}"#)
        }))
    });
    grows_linearly(|count| {
        let properties = list(count, |at| format!(r#""p{at}":{{"type":"string"}}"#));
        let required = list(count, |at| format!(r#""p{}""#, count - 1 - at));
        format!(
            r#"{{"model":"gpt-5.4","messages":[{{"role":"user","content":"hi"}}],"output_format":{{"type":"json_schema",
                "schema":{{"type":"object","additionalProperties":false,"properties":{{{properties}}},"required":[{required}]}}}}}}"#
        )
    });
}

#[test]
fn what_is_made_is_bounded_by_what_came() {
    let text = "x".repeat(200_000);
    let body = format!(
        r#"{{"model":"gpt-5.4","messages":[{{"role":"user","content":[
            {{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{text}"}}}}]}},
            {{"role":"assistant","content":[{{"type":"thinking","thinking":"{text}","signature":"gts1.openai.{text}"}},
            {{"type":"text","text":"{text}"}}]}},{{"role":"user","content":"so?"}}]}}"#
    );
    let made = request(body.as_bytes(), &Options::default()).unwrap().body;
    assert!(made.len() < body.len() + 1_000 && made.len() < allowance(body.len()));
    let many = with_tools(&format!(
        r#"{{"name":"t","input_schema":{{"enum":[{}1]}}}}"#,
        "1,".repeat(1_100_000)
    ));
    let refusal = request(many.as_bytes(), &Options::default()).unwrap_err();
    assert!(refusal.message.starts_with("tools.0.input_schema: "), "{refusal}");
    let name = super::with("tools", serde_json::json!([super::tool(&"n".repeat(600))]));
    assert_eq!(
        refused(&name),
        "tools.0.name: a tool's name may have at most 512 bytes"
    );
}
