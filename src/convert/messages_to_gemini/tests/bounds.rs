//! What a request may become, in bytes and in work.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{OLDER, convert, refused, tool, try_convert, with, with_messages};
use crate::convert::messages_to_gemini::{CountForm, Options, allowance, count_tokens, request};
use crate::dialect::wire::text::equal::comparisons;

/// A tool with so many references to one description of so many bytes.
fn repeating(references: usize, bytes: usize) -> Value {
    let properties: serde_json::Map<String, Value> = (0..references)
        .map(|number| (format!("p{number}"), json!({ "$ref": "#/$defs/d" })))
        .collect();
    let schema = json!({
        "type": "object", "properties": properties,
        "$defs": { "d": { "type": "string", "description": "x".repeat(bytes) } },
    });
    json!({ "name": "t", "input_schema": schema })
}

#[test]
fn a_schema_that_repeats_a_long_text_is_refused_and_says_why() {
    let body = with("tools", json!([repeating(3_900, 50_000)]));
    let text = body.to_string();
    assert!(text.len() < 250_000);
    let says = refused(&body);
    assert!(
        says.starts_with("tools.0.input_schema: converted for this model it would be longer than"),
        "{says}"
    );
    for options in [Options::default(), OLDER] {
        assert!(request(text.as_bytes(), &options).is_err());
        assert!(count_tokens(text.as_bytes(), &options, CountForm::Contents).is_err());
        assert!(count_tokens(text.as_bytes(), &options, CountForm::Whole).is_err());
    }
    let format = json!({ "format": { "type": "json_schema", "schema": body["tools"][0]["input_schema"] } });
    assert!(refused(&with("output_config", format)).starts_with("output_config.format.schema: "));
}

#[test]
fn one_budget_holds_for_all_tools_of_a_call() {
    // Each alone would do.
    let one = repeating(40, 10_000);
    convert(&with("tools", json!([one])));
    let many: Vec<Value> = (0..40)
        .map(|number| {
            let mut tool = one.clone();
            tool["name"] = format!("t{number}").into();
            tool
        })
        .collect();
    assert!(refused(&with("tools", many.into())).contains("longer than"));
}

#[test]
fn other_ways_to_grow_are_bounded() {
    let long = "x".repeat(100_000);
    let shapes = [
        // A type named often has its branch once.
        json!({ "type": vec!["array"; 5_000], "items": { "type": "string", "description": long } }),
        json!({ "allOf": vec![json!({ "$ref": "#/$defs/d" }); 3_000], "$defs": { "d": { "enum": [long] } } }),
        json!({ "anyOf": vec![json!({ "$ref": "#/$defs/d" }); 3_000], "$defs": { "d": { "pattern": long } } }),
        json!({ "properties": (0..3_000).map(|at| (format!("p{at}"), json!({ "$ref": "#" }))).collect::<serde_json::Map<_, _>>(),
            "type": "object", "description": long }),
    ];
    for schema in shapes {
        let body = with("tools", json!([{ "name": "t", "input_schema": schema }])).to_string();
        for options in [Options::default(), OLDER] {
            if let Ok(converted) = request(body.as_bytes(), &options) {
                assert!(converted.body.len() <= allowance(body.len()));
                assert!(converted.body.len() < 2 * body.len(), "{}", converted.body.len());
            }
        }
    }
}

#[test]
fn a_signature_goes_to_one_call() {
    let signature = "S".repeat(100_000);
    let mut content = vec![json!({
        "type": "thinking", "thinking": "t", "signature": format!("gts1.gemini.c0+{}:{signature}", signature.len()),
    })];
    let mut results = Vec::new();
    for number in 0..200 {
        let id = format!("gts1_a{number}_0");
        content.push(json!({ "type": "tool_use", "id": id, "name": "A", "input": {} }));
        results.push(json!({ "type": "tool_result", "tool_use_id": id, "content": "" }));
    }
    let body = with_messages(json!([
        { "role": "user", "content": "go" }, { "role": "assistant", "content": content },
        { "role": "user", "content": results },
    ]));
    let converted = try_convert(&body).unwrap();
    assert!(converted.body.len() < body.to_string().len() + 20_000);
}

#[test]
fn counts_and_names_are_bounded() {
    let mut list = String::from("[1");
    for _ in 0..100_000 {
        list.push_str(",1");
    }
    list.push(']');
    let says = |body: String| request(body.as_bytes(), &Options::default()).unwrap_err().message;
    assert_eq!(
        says(format!(r#"{{"model":"gemini-2.5-pro","messages":{list}}}"#)),
        "messages: a list of more than 100000 items cannot be converted for this model at line 1 column 200003"
    );
    let mut object = String::from("{\"a\":1");
    for _ in 0..1_000 {
        object.push_str(",\"a\":1");
    }
    assert!(says(format!("{object}}}")).contains("more than 1000 members"));
    // Values that are few bytes each take memory all the same.
    let enumerated = format!(
        r#"{{"model":"gemini-2.5-pro","messages":[{{"role":"user","content":"hi"}}],"tools":[{{"name":"t","input_schema":{{"enum":[{}1]}}}}]}}"#,
        "1,".repeat(400_000)
    );
    assert!(says(enumerated).starts_with("tools.0.input_schema: "));
    let long = tool(&"n".repeat(600));
    assert_eq!(
        refused(&with("tools", json!([long]))),
        "tools.0.name: a tool's name may have at most 512 bytes"
    );
}

/// Comparisons of names that a conversion takes.
fn work(body: &str) -> usize {
    comparisons(|| {
        for options in [Options::default(), OLDER] {
            request(body.as_bytes(), &options).unwrap_or_else(|refused| panic!("{refused}"));
        }
    })
}

/// The work of a body with 8 times as many of a thing is about 8 times as much, and not 64 times.
fn grows_linearly(body: impl Fn(usize) -> String) {
    let (some, more) = (work(&body(500)), work(&body(4_000)));
    assert!(more < 12 * some.max(500), "{some} comparisons became {more}");
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for number in 0..count {
        let _ = write!(list, "{}{}", if number == 0 { "" } else { "," }, item(number));
    }
    list
}

fn with_tools(tools: &str) -> String {
    format!(r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"hi"}}],"tools":[{tools}]}}"#)
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
            r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"go"}},
                {{"role":"assistant","content":[{calls}]}},{{"role":"user","content":[{results}]}}]}}"#
        )
    });
}

#[test]
fn signed_texts_are_linear_work() {
    grows_linearly(|count| {
        let texts = list(count, |_| r#"{"type":"text","text":"ab"}"#.to_owned());
        let marks = list(count, |at| format!("t{at}+0+1+1:S")).replace(',', "");
        format!(
            r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":[
                {{"type":"redacted_thinking","data":"gts1.gemini.{marks}"}},{texts}]}},{{"role":"user","content":"so"}}]}}"#
        )
    });
}

#[test]
fn tools_are_linear_work() {
    grows_linearly(|count| {
        with_tools(&list(count, |at| {
            format!(r#"{{"name":"tool.{at}","defer_loading":false,"input_schema":{{"type":"object"}}}}"#)
        }))
    });
}

#[test]
fn schemas_are_linear_work() {
    let schema = |schema: String| with_tools(&format!(r#"{{"name":"t","input_schema":{schema}}}"#));
    let string = r#"{"type":"string"}"#;
    grows_linearly(|count| {
        let properties = list(count, |at| format!(r#""p{at}":{string}"#));
        let required = list(count, |at| format!(r#""p{}""#, count - 1 - at));
        schema(format!(
            r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#
        ))
    });
    grows_linearly(|count| {
        let branches = list(count / 2, |at| {
            format!(r#"{{"properties":{{"p{at}":{string}}},"required":["p{at}"]}}"#)
        });
        schema(format!(r#"{{"type":"object","allOf":[{branches}]}}"#))
    });
    grows_linearly(|count| {
        let properties = list(count / 2, |at| format!(r##""p{at}":{{"$ref":"#/$defs/d{at}"}}"##));
        let defs = list(count / 2, |at| format!(r#""d{at}":{string}"#));
        schema(format!(
            r#"{{"type":"object","properties":{{{properties}}},"$defs":{{{defs}}}}}"#
        ))
    });
}

#[test]
fn what_references_lead_to_is_not_read_without_end() {
    // Each is small when it is written, and large to read.
    let unknown = list(10_000, |at| format!(r#""x{at}":1"#));
    let numbers = list(20_000, |_| "1".to_owned());
    let long = "x".repeat(100_000);
    let shapes = [
        ("d", format!(r#"{{{unknown},"type":"string"}}"#)),
        ("d", format!(r#"{{"required":[{numbers}]}}"#)),
        ("d", format!(r#"{{"anyOf":[{{{unknown},"type":"null"}},true]}}"#)),
        (&*long, r#"{"type":"string"}"#.to_owned()),
    ];
    for (name, target) in shapes {
        let body = |references| {
            let properties = list(references, |at| format!(r##""p{at}":{{"$ref":"#/$defs/d"}}"##));
            let target = match name {
                "d" => target.clone(),
                _ => format!(r##"{{"anyOf":[{{"$ref":"#/$defs/{name}"}},{{"$ref":"#/$defs/{name}"}}]}}"##),
            };
            with_tools(&format!(
                r#"{{"name":"t","input_schema":{{"type":"object","properties":{{{properties}}},"$defs":{{"d":{target},"{long}":true}}}}}}"#
            ))
        };
        for options in [Options::default(), OLDER] {
            let few = body(10);
            request(few.as_bytes(), &options).unwrap_or_else(|refused| panic!("{refused}"));
            let many = body(1_900);
            let compared = comparisons(|| {
                if let Err(refused) = request(many.as_bytes(), &options) {
                    assert!(refused.message.contains("steps to convert it"), "{refused}");
                }
            });
            assert!(
                compared <= allowance(many.len()),
                "{compared} comparisons for {} bytes",
                many.len()
            );
        }
    }
}
