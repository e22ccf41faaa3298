//! How long conversions take, from small bodies to the largest that are accepted: `scripts/bench --convert`.
//!
//! For each converter and each shape of body a table of sizes, times and bytes a second; it fails if a large body
//! takes much more time for each byte than a small one.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::convert::chat_to_messages::{self, Target};
use crate::convert::messages_to_gemini::{self, CountForm, Form};
use crate::convert::messages_to_responses;
use crate::convert::responses_to_messages;
use crate::dialect::wire::marks;

/// Bytes.
const SIZES: [usize; 6] = [256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 100 << 20];

/// Limit for the time per byte of the largest body relative to the smallest.
const WORSE: f64 = 4.0;

/// Items of a list, of about `each` bytes. Where that would be too many items, they get longer.
fn items(size: usize, each: usize, item: impl Fn(usize, &str) -> String) -> String {
    // A conversion accepts at most a million values.
    let count = (size / each).clamp(1, if each < 1_000 { 90_000 } else { 15_000 });
    let filling = "x".repeat((size / count).saturating_sub(each * 9 / 10));
    let mut list = String::with_capacity(size + (64 << 10));
    for number in 0..count {
        let _ = write!(
            list,
            "{}{}",
            if number == 0 { "" } else { "," },
            item(number, &filling)
        );
    }
    list
}

fn messages_calls(size: usize) -> String {
    let calls = items(size / 2, 100, |at, text| {
        format!(
            r#"{{"type":"tool_use","id":"t{at}","name":"n{}","input":{{"a":"{text}"}}}}"#,
            at % 500
        )
    });
    let results = items(size / 2, 100, |at, text| {
        format!(
            r#"{{"type":"tool_result","tool_use_id":"t{at}","content":[{{"type":"text","text":"{text}"}}]}}"#
        )
    });
    format!(
        r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":[{calls}]}},{{"role":"user","content":[{results}]}}]}}"#
    )
}

fn messages_text(size: usize) -> String {
    let turns = items(size, 200, |at, text| {
        let role = if at % 2 == 0 { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":[{{"type":"text","text":"so: \n {text}"}}]}}"#)
    });
    format!(r#"{{"model":"gemini-2.5-pro","messages":[{turns}]}}"#)
}

fn messages_tools(size: usize) -> String {
    let tools = items(size, 1_000, |at, text| {
        format!(
            r##"{{"name":"tool.{at}","description":"{text}","input_schema":{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/d"}},"b":{{"anyOf":[{{"type":"string"}},{{"type":"null"}}]}}}},"required":["a","b"],"$defs":{{"d":{{"type":"string","description":"{text}"}}}}}}}}"##
        )
    });
    format!(r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"go"}}],"tools":[{tools}]}}"#)
}

/// Capped: real schemas are not longer than this.
fn messages_schema(size: usize) -> String {
    let properties = items(size / 2, 60, |at, text| {
        format!(r#""p{at}":{{"description":"{text}"}}"#)
    });
    let required = items(size / 2, 60, |at, text| format!(r#""p{at}","{text}""#));
    format!(
        r#"{{"model":"gemini-3-pro","messages":[{{"role":"user","content":"go"}}],"tools":[{{"name":"t","input_schema":{{"type":"object","properties":{{{properties}}},"required":[{required}]}}}}]}}"#
    )
}

fn chat_calls(size: usize) -> String {
    let calls = items(size / 2, 100, |at, text| {
        format!(
            r#"{{"id":"c{at}","type":"function","function":{{"name":"n{}","arguments":"{{\"a\":\"{text}\"}}"}}}}"#,
            at % 500
        )
    });
    let results = items(size / 2, 100, |at, text| {
        format!(r#"{{"role":"tool","tool_call_id":"c{at}","content":"{text}"}}"#)
    });
    format!(
        r#"{{"model":"claude-sonnet-4-5","messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":null,"tool_calls":[{calls}]}},{results}]}}"#
    )
}

fn responses_calls(size: usize) -> String {
    let calls = items(size, 200, |at, text| {
        format!(
            r#"{{"type":"function_call","call_id":"c{at}","name":"n{}","arguments":"{{\"a\":\"{text}\"}}"}},{{"type":"function_call_output","call_id":"c{at}","output":"{text}"}}"#,
            at % 500
        )
    });
    format!(
        r#"{{"model":"claude-sonnet-4-5","input":[{{"type":"message","role":"user","content":"go"}},{calls}]}}"#
    )
}

fn answer_of_openai(size: usize) -> String {
    let output = items(size, 200, |at, text| {
        let content = format!(r#"[{{"type":"output_text","text":"{text}"}}]"#);
        match at % 2 {
            0 => format!(r#"{{"type":"message","role":"assistant","content":{content}}}"#),
            _ => format!(
                r#"{{"type":"function_call","call_id":"c{at}","name":"n","arguments":"{{\"a\":\"{text}\"}}"}}"#
            ),
        }
    });
    format!(r#"{{"object":"response","status":"completed","output":[{output}]}}"#)
}

fn answer_of_gemini(size: usize) -> String {
    let parts = items(size, 200, |at, text| match at % 2 {
        0 => format!(r#"{{"text":"{text}"}}"#),
        _ => format!(r#"{{"functionCall":{{"name":"n","args":{{"a":"{text}"}}}}}}"#),
    });
    format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"STOP"}}]}}"#)
}

/// The best of a few runs.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn time(body: &str, convert: &dyn Fn(&[u8])) -> Duration {
    let runs = if body.len() > (32 << 20) { 1 } else { 3 };
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let began = Instant::now();
        convert(black_box(body.as_bytes()));
        best = best.min(began.elapsed());
    }
    best
}

fn measure(name: &str, shape: &dyn Fn(usize) -> String, convert: &dyn Fn(&[u8])) {
    let mut first = None;
    for size in SIZES {
        let body = shape(size);
        let took = time(&body, convert);
        let each = took.as_secs_f64() * 1e9 / body.len() as f64;
        println!(
            "{name:<28} {:>7.1} MB {:>9.1} ms {each:>7.2} ns a byte",
            body.len() as f64 / 1e6,
            took.as_secs_f64() * 1e3
        );
        let first = *first.get_or_insert(each);
        assert!(
            each < WORSE * first.max(1.0),
            "{name}: {first} ns a byte became {each}"
        );
    }
}

#[test]
#[ignore = "measures; run by scripts/bench --convert"]
fn conversions_grow_linearly() {
    let to_gemini = |form| {
        move |body: &[u8]| {
            let options = messages_to_gemini::Options {
                model: None,
                schemas: form,
            };
            black_box(messages_to_gemini::request(body, &options)).expect("converts");
        }
    };
    let count = |body: &[u8]| {
        black_box(messages_to_gemini::count_tokens(
            body,
            &messages_to_gemini::Options::default(),
            CountForm::Contents,
        ))
        .expect("converts");
    };
    let chat_to = |target| {
        move |body: &[u8]| {
            black_box(chat_to_messages::request(
                body,
                &chat_to_messages::Options { target, model: None },
            ))
            .expect("converts");
        }
    };
    let plain = br#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"hi"}]}"#;
    let context = messages_to_gemini::request(plain, &messages_to_gemini::Options::default())
        .expect("converts")
        .context;
    let answer = |body: &[u8]| {
        black_box(messages_to_gemini::answer(body, &context, "a")).expect("converts");
    };
    let rid = |body: &[u8]| {
        black_box(marks::of_messages(body));
    };
    let to_openai = |body: &[u8]| {
        let options = messages_to_responses::Options::default();
        black_box(messages_to_responses::request(body, &options)).expect("converts");
    };
    let to_claude = |body: &[u8]| {
        let options = responses_to_messages::Options::default();
        black_box(responses_to_messages::request(body, &options)).expect("converts");
    };
    let plain = br#"{"model":"gpt-5.4","messages":[{"role":"user","content":"hi"}]}"#;
    let asked = messages_to_responses::request(plain, &messages_to_responses::Options::default())
        .expect("converts")
        .context;
    let answer_from_openai = |body: &[u8]| {
        black_box(messages_to_responses::answer(body, &asked, "a")).expect("converts");
    };
    measure("messages to OpenAI, calls", &messages_calls, &to_openai);
    measure("Responses to Claude, calls", &responses_calls, &to_claude);
    measure("an answer of OpenAI", &answer_of_openai, &answer_from_openai);
    measure("messages, calls", &messages_calls, &to_gemini(Form::JsonSchema));
    measure("messages, text", &messages_text, &to_gemini(Form::JsonSchema));
    measure("messages, tools", &messages_tools, &to_gemini(Form::JsonSchema));
    measure(
        "messages, tools, older form",
        &messages_tools,
        &to_gemini(Form::OpenApi),
    );
    measure(
        "messages, one schema",
        &messages_schema,
        &to_gemini(Form::JsonSchema),
    );
    measure("count_tokens, tools", &messages_tools, &count);
    measure("chat to Claude, calls", &chat_calls, &chat_to(Target::Claude));
    measure("chat to Gemini, calls", &chat_calls, &chat_to(Target::Gemini));
    measure("an answer of Gemini", &answer_of_gemini, &answer);
    let marked = |size| messages_calls(size).replace("\"t", "\"toolu_gts1_01a2210a113c7606acb2719c56bf3111_");
    measure("marks", &marked, &rid);
}
