//! The schema converter: what a tool's schema becomes, and the work that takes, are bounded by the length of what
//! was sent, in both forms, or the request is refused.

use crs_edge::tested::messages_to_gemini::{CountForm, Form, Options, count_tokens, reduced, request};
use serde_json::Value;

/// Bytes that a conversion may write for so much input, and steps that it may take. Stated anew here, so that the
/// converter's own constants cannot grow unseen.
fn most(input: usize) -> usize {
    4 * input + (1 << 20)
}

/// Values that a conversion may hold.
const MOST_VALUES: usize = 1_000_000;

/// Takes the bytes for the JSON of a tool's schema.
pub fn check(data: &[u8]) {
    let Ok(schema) = std::str::from_utf8(data) else {
        return;
    };
    let input = schema.len();
    for form in [Form::JsonSchema, Form::OpenApi] {
        let (result, spent) = reduced(schema, form);
        assert!(spent.bytes <= most(input), "{spent:?} for {input} bytes");
        assert!(spent.steps <= most(input), "{spent:?} for {input} bytes");
        assert!(spent.values <= MOST_VALUES, "{spent:?} for {input} bytes");
        let Ok(written) = result else { continue };
        assert!(
            written.len() <= most(input),
            "{input} bytes became {}",
            written.len()
        );
        // Everything written was paid for. A byte of text may be written as six (`\u0001`), and a visit to a
        // schema that pays for two values may add a few more, such as a type.
        assert!(
            written.len() <= 6 * spent.bytes,
            "{} bytes for {spent:?}",
            written.len()
        );
        let read: Value = serde_json::from_slice(&written).expect("JSON");
        assert!(read.is_object(), "{read}");
        assert!(
            values(&read) <= 4 * spent.values,
            "{} for {spent:?}",
            values(&read)
        );
    }
    if reduced(schema, Form::JsonSchema).0.is_ok() {
        in_a_request(schema);
    }
}

/// The schema where it comes from: a tool of a request.
fn in_a_request(schema: &str) {
    let asked = format!(
        r#"{{"model":"gemini-2.5-pro","max_tokens":1,"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"name":"t","input_schema":{schema}}}]}}"#
    );
    let bounded = |body: &[u8]| {
        let (input, output) = (asked.len(), body.len());
        assert!(output <= most(input), "{input} bytes became {output}");
    };
    for schemas in [Form::JsonSchema, Form::OpenApi] {
        let options = Options { model: None, schemas };
        if let Ok(converted) = request(asked.as_bytes(), &options) {
            bounded(&converted.body);
        }
        for form in [CountForm::Whole, CountForm::Contents] {
            if let Ok((_, body)) = count_tokens(asked.as_bytes(), &options, form) {
                bounded(&body);
            }
        }
    }
}

fn values(json: &Value) -> usize {
    match json {
        Value::Array(list) => 1 + list.iter().map(values).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values).sum::<usize>(),
        _ => 1,
    }
}
