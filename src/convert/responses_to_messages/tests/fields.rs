//! Every top-level field that Responses has: it has its effect, or is refused by its place.

use serde_json::{Value, json};

use super::{refused, tool, try_convert, user, with, with_input};
use crate::convert::responses_to_messages::request::fields::FIELDS;
use crate::dialect::wire::fields::Fate;

/// A value of the field that differs from what is assumed without it. Panics for a field without one.
fn sample(field: &str) -> Value {
    match field {
        "model" => json!("claude-opus-4-5"),
        "input" => json!([user("MARK")]),
        "max_output_tokens" => json!(77),
        "stream" | "store" | "background" => json!(true),
        "temperature" => json!(0.25),
        "top_p" => json!(0.5),
        "tools" => json!([tool("A")]),
        "tool_choice" => json!({ "type": "function", "name": "Unknown" }),
        "parallel_tool_calls" => json!(false),
        "reasoning" => json!({ "effort": "high" }),
        "text" => json!({ "format": { "type": "json_object" } }),
        "include" => json!(["message.output_text.logprobs"]),
        "top_logprobs" | "max_tool_calls" => json!(3),
        "instructions"
        | "previous_response_id"
        | "conversation"
        | "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "service_tier"
        | "truncation" => json!("MARK"),
        "prompt"
        | "background_options"
        | "moderation"
        | "access_programs"
        | "image"
        | "metadata"
        | "client_metadata"
        | "context_management"
        | "prompt_cache_options"
        | "stream_options" => json!({ "a": "b" }),
        other => panic!("`{other}` has no sample"),
    }
}

/// What is made of a request.
fn made(body: &Value) -> Result<Value, String> {
    let converted = try_convert(body).map_err(|refused| refused.message)?;
    Ok(serde_json::from_slice(&converted.body).unwrap())
}

#[test]
fn every_field_has_the_effect_that_the_table_says() {
    for (field, fate) in FIELDS.known {
        let mut plain = with_input(json!([user("hi")]));
        let mut body = with(field, sample(field));
        if *field == "parallel_tool_calls" {
            // It has a meaning only beside tools.
            plain["tools"] = json!([tool("A")]);
            body["tools"] = plain["tools"].clone();
        }
        if *field == "store" {
            plain["store"] = Value::Null;
        }
        let plain = made(&plain).unwrap();
        let converted = made(&body);
        match fate {
            Fate::Carried => assert_ne!(converted.unwrap(), plain, "{field} has no effect"),
            Fate::Converted => match converted {
                Ok(converted) => assert_ne!(converted, plain, "{field} has no effect"),
                Err(why) => assert!(why.starts_with(field), "{why}"),
            },
            Fate::LeftOut => assert_eq!(converted, Ok(plain), "{field}"),
            Fate::Refused(why) => assert_eq!(converted, Err(format!("{field}: {why}"))),
        }
        // `null` is no value.
        if !matches!(*field, "model" | "input") {
            assert!(made(&with(field, Value::Null)).is_ok(), "{field}");
        }
    }
}

#[test]
fn a_field_that_is_not_in_the_table_is_refused_by_its_name() {
    for value in [json!(1), json!({ "type": "enabled" }), json!(false), json!([])] {
        let why = refused(&with("next_years_field", value));
        assert!(why.starts_with("next_years_field: Unknown parameter"), "{why}");
    }
}
