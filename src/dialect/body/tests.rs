use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::walk::MOST_LEVELS;
use super::*;

fn patch_model(body: &Bytes, fields: &Fields, model: &str) -> Bytes {
    let span = fields.span(Field::Model);
    patch(
        body,
        span.map(|span| Edit::text(span, model)).into_iter().collect(),
    )
}

fn fails(body: &str) -> String {
    scan(body.as_bytes()).unwrap_err().to_string()
}

#[test]
fn fields_are_found_wherever_they_stand() {
    let body = br#" {"messages":[{"role":"user","content":"a \"model\": \"x\" } ]"}], "model" : "claude-opus-5-5",
        "max_tokens":32000,"stream":true,"metadata":{"user_id":"u","model":"no"},"prompt_cache_key":"k\u0031"} "#;
    let fields = scan(body).unwrap();
    assert_eq!(fields.model(body).unwrap().as_deref(), Some("claude-opus-5-5"));
    assert!(matches!(fields.model(body), Ok(Some(Cow::Borrowed(_)))));
    assert!(fields.is_true(Field::Stream, body));
    assert_eq!(fields.raw(Field::MaxTokens, body), Some(&b"32000"[..]));
    assert_eq!(
        fields.raw(Field::Metadata, body),
        Some(&br#"{"user_id":"u","model":"no"}"#[..])
    );
    assert_eq!(fields.text(Field::PromptCacheKey, body).as_deref(), Some("k1"));
    assert_eq!(fields.span(Field::Project), None);
    assert_eq!(scan(b"{}").unwrap(), Fields::default());
}

#[test]
fn what_is_wrong_is_said() {
    for (body, says) in [
        ("", "body is not valid JSON: unexpected end at byte 0"),
        ("hello", "body is not valid JSON: expected `{` at byte 0"),
        ("[]", "body must be a JSON object"),
        ("\"x\"", "body must be a JSON object"),
        ("{\"a\":1", "unexpected end at byte 6"),
        ("{\"a\":1,}", "expected a key in quotes at byte 7"),
        ("{\"a\" 1}", "expected `:` at byte 5"),
        ("{\"a\":}", "expected a value at byte 5"),
        ("{\"a\":[1,]}", "expected a value at byte 8"),
        ("{\"a\":[1 2]}", "expected `,` or `]` at byte 8"),
        ("{\"a\":{\"b\":1]}", "expected `,` or `}` at byte 11"),
        ("{\"a\":\"x}", "unterminated string at byte 5"),
        ("{\"a\":\"x\\", "unterminated string at byte 5"),
        ("{\"a\":\"\\x\"}", "bad escape in a string at byte 7"),
        ("{\"a\":\"\\u12g4\"}", "bad escape in a string at byte 7"),
        ("{\"a\":01}", "expected `,` or `}` at byte 6"),
        ("{\"a\":-}", "bad number at byte 6"),
        ("{\"a\":1.}", "bad number at byte 7"),
        ("{\"a\":1e+}", "bad number at byte 8"),
        ("{\"a\":nul}", "expected a value at byte 5"),
        ("{\"a\":True}", "expected a value at byte 5"),
        ("{} x", "unexpected text after the object at byte 3"),
        ("{'a':1}", "expected a key in quotes at byte 1"),
    ] {
        assert!(fails(body).ends_with(says), "{body}: {}", fails(body));
    }
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(scan(deep(MOST_LEVELS).as_bytes()).is_ok());
    assert!(fails(&deep(MOST_LEVELS + 1)).contains("nested too deeply"));
}

#[test]
fn two_of_a_field_that_decides_are_refused_however_they_are_spelt() {
    assert_eq!(
        fails(r#"{"model":"a","model":"b"}"#),
        "body names `model` twice, at bytes 9 and 21"
    );
    assert!(fails(r#"{"model":"a","mod\u0065l":"b"}"#).contains("twice"));
    for name in ["project", "request"] {
        let body = format!("{{\"{name}\":\"a\",\"x\":1,\"{name}\":\"b\"}}");
        assert!(fails(&body).contains("twice"), "{name}");
    }
    let escaped = br#"{"mod\u0065l":"b"}"#;
    assert_eq!(
        scan(escaped).unwrap().model(escaped).unwrap().as_deref(),
        Some("b")
    );
    let twice = br#"{"stream":true,"stream":false}"#;
    assert!(!scan(twice).unwrap().is_true(Field::Stream, twice));
    let number = br#"{"model":5}"#;
    assert_eq!(scan(number).unwrap().model(number), Err(Malformed::ModelNoString));
}

#[test]
fn a_patch_touches_the_name_only() {
    let body = Bytes::from_static(b"{\"a\": [1.0, \"\\u00e9\"],\n\t\"model\"\r: \"x\\\"y\" , \"b\":1e3}");
    let fields = scan(&body).unwrap();
    let patched = patch_model(&body, &fields, "new \"é\"");
    assert_eq!(
        patched,
        &b"{\"a\": [1.0, \"\\u00e9\"],\n\t\"model\"\r: \"new \\\"\xc3\xa9\\\"\" , \"b\":1e3}"[..]
    );
    let none = Bytes::from_static(b"{\"a\":1}");
    assert_eq!(patch_model(&none, &scan(&none).unwrap(), "x"), none);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\\\\"{}\\[\\],:\n\t\u{1}]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6).prop_map(object),
        ]
    })
}

fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(members.into_iter().collect())
}

fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<String> = FIELDS
        .iter()
        .map(|(name, _)| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    prop_oneof![3 => prop::sample::select(known), 2 => ".{0,20}"]
}

fn any_body() -> impl Strategy<Value = (Value, String)> {
    (
        prop::collection::vec((any_key(), any_value()), 0..8),
        any::<bool>(),
    )
        .prop_map(|(members, pretty)| {
            let value = object(members);
            let text = if pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            };
            (value, text.unwrap())
        })
}

/// What this module says it does not check, in serde_json's words.
const LENIENT: [&str; 6] = [
    "control character",
    "invalid unicode code point",
    "lone leading surrogate",
    "unexpected end of hex escape",
    "number out of range",
    "recursion limit",
];

proptest! {
    #[test]
    fn fields_are_those_a_parser_finds((value, text) in any_body()) {
        let fields = scan(text.as_bytes()).unwrap();
        for (name, field) in FIELDS {
            let name = std::str::from_utf8(name).unwrap();
            let raw = fields.raw(field, text.as_bytes());
            let found = raw.map(|raw| serde_json::from_slice::<Value>(raw).unwrap());
            prop_assert_eq!(found.as_ref(), value.get(name));
            let shown = fields.text(field, text.as_bytes());
            prop_assert_eq!(shown.as_deref(), value.get(name).and_then(Value::as_str));
            prop_assert_eq!(fields.is_true(field, text.as_bytes()), value.get(name) == Some(&json!(true)));
        }
    }

    #[test]
    fn a_patched_body_differs_in_the_model_only((value, text) in any_body(), model in ".{0,30}") {
        let body = Bytes::from(text);
        let patched = patch_model(&body, &scan(&body).unwrap(), &model);
        let mut expected = value;
        if let Some(slot) = expected.get_mut("model") {
            *slot = json!(model);
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&patched).unwrap(), expected);
    }

    #[test]
    fn damage_is_judged_as_a_parser_judges_it(
        (_, text) in any_body(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\ue0-1tn \x00\xff".to_vec()), 0..3_u8), 1..4),
    ) {
        let mut body = text.into_bytes();
        for (at, byte, how) in hits {
            let at = at.index(body.len() + 1);
            match how {
                0 => body.truncate(at),
                1 => body.insert(at, byte),
                _ => if let Some(slot) = body.get_mut(at) { *slot = byte },
            }
        }
        let ours = scan(&body);
        match serde_json::from_slice::<Value>(&body) {
            Ok(Value::Object(_)) => prop_assert!(matches!(ours, Ok(_) | Err(Malformed::Twice { .. })), "{:?}", ours),
            Ok(_) => prop_assert_eq!(ours, Err(Malformed::NoObject)),
            Err(error) if ours.is_ok() => {
                let why = error.to_string();
                prop_assert!(LENIENT.iter().any(|lenient| why.contains(lenient)), "{}", why);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn garbage_harms_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for prefix in [&b""[..], b"{\"a\":", b"{\"model\":\"", b"{\"a\":[{\"b\":"] {
            let body = Bytes::from([prefix, &bytes].concat());
            if let Ok(fields) = scan(&body) {
                drop(patch_model(&body, &fields, "m"));
                drop(fields.model(&body));
            }
            drop(crate::dialect::messages::user_id::session_id(&body));
        }
    }
}

#[test]
fn removed_members_leave_an_object() {
    for (body, expected) in [
        (r#"{"model":"m","stream":true}"#, "{}"),
        (r#"{ "model" : "m" , "stream" : true }"#, "{  }"),
        (r#"{"model":"m","stream":true,"n":1}"#, r#"{"n":1}"#),
        (r#"{"n":1,"model":"m","stream":true}"#, r#"{"n":1}"#),
        (r#"{"model":"m","n":1,"stream":true}"#, r#"{"n":1}"#),
        (r#"{"stream":true,"x":1,"model":"m","y":2}"#, r#"{"x":1,"y":2}"#),
        (r#"{"n":1}"#, r#"{"n":1}"#),
    ] {
        let body = Bytes::from_static(body.as_bytes());
        let fields = scan(&body).unwrap();
        let removed = fields.whole_members(&[Field::Stream, Field::Model], &body);
        let left = patch(&body, removed.into_iter().map(Edit::cut).collect());
        assert_eq!(left, expected);
    }
}
