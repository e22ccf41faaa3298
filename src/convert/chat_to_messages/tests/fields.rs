//! Every top-level field and every type of tool that chat completions have: each has its effect, or is refused by
//! its place.

use serde_json::{Value, json};

use super::{refused, tool, try_convert, with, with_messages};
use crate::convert::chat_to_messages::Target;
use crate::convert::chat_to_messages::request::fields::FIELDS;
use crate::dialect::wire::fields::Fate;

/// A value of the field that differs from what is assumed without it. Panics for a field without one.
#[allow(clippy::match_same_arms, reason = "in the order of the table")]
fn sample(field: &str) -> Value {
    match field {
        "model" => json!("claude-opus-4-5"),
        "messages" => json!([{ "role": "user", "content": "MARK" }]),
        "max_completion_tokens" | "max_tokens" => json!(77),
        "modalities" => json!(["text", "audio"]),
        "parallel_tool_calls" | "logprobs" | "store" | "stream" => json!(true),
        "reasoning_effort" => json!("high"),
        "response_format" => json!({ "type": "json_object" }),
        "stop" => json!(["MARK"]),
        "stream_options" => json!({ "include_usage": true }),
        "temperature" => json!(0.25),
        "tool_choice" => json!({ "type": "function", "function": { "name": "Unknown" } }),
        "tools" => json!([tool("A")]),
        "n" | "top_logprobs" | "seed" | "top_k" => json!(3),
        "functions" => json!([{ "name": "MARK" }]),
        "function_call"
        | "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "service_tier"
        | "verbosity" => json!("MARK"),
        "audio"
        | "web_search_options"
        | "moderation"
        | "metadata"
        | "prediction"
        | "prompt_cache_options"
        | "logit_bias"
        | "usage"
        | "reasoning"
        | "thinking" => json!({ "a": 1 }),
        "top_p" | "frequency_penalty" | "presence_penalty" | "top_a" | "min_p" | "repetition_penalty" => {
            json!(0.5)
        }
        other => panic!("`{other}` has no sample"),
    }
}

/// What is made of a request, and whether its answer has a last chunk with the figures.
fn made(body: &Value) -> Result<(Value, bool), String> {
    let converted = try_convert(body, Target::Claude).map_err(|refused| refused.message)?;
    let sent = serde_json::from_slice(&converted.body).unwrap();
    Ok((sent, converted.context.include_usage))
}

#[test]
fn every_field_has_the_effect_that_the_table_says() {
    for (field, fate) in FIELDS.known {
        let mut without = with_messages(json!([{ "role": "user", "content": "hi" }]));
        let mut body = with(field, sample(field));
        if *field == "parallel_tool_calls" {
            // It has a meaning only beside tools.
            without["tools"] = json!([tool("A")]);
            body["tools"] = without["tools"].clone();
            body[field] = false.into();
        }
        let plain = made(&without).unwrap();
        let converted = made(&body);
        match fate {
            Fate::Carried => assert_ne!(converted.unwrap(), plain, "{field} has no effect"),
            Fate::Converted => match converted {
                Ok(converted) => assert_ne!(converted, plain, "{field} has no effect"),
                Err(why) if *field == "top_logprobs" => assert!(why.starts_with("logprobs"), "{why}"),
                Err(why) => assert!(why.starts_with(field), "{why}"),
            },
            Fate::LeftOut => assert_eq!(converted, Ok(plain), "{field}"),
            Fate::Refused(why) => assert_eq!(converted, Err(format!("{field}: {why}"))),
        }
        // `null` is no value.
        if !matches!(*field, "model" | "messages") {
            assert!(made(&with(field, Value::Null)).is_ok(), "{field}");
        }
    }
}

#[test]
fn a_field_that_is_not_in_the_table_is_refused_by_its_name() {
    for value in [json!(1), json!({ "type": "enabled" }), json!(false), json!([])] {
        let why = refused(&with("next_years_field", value));
        assert!(
            why.starts_with("next_years_field: Unrecognized request argument supplied"),
            "{why}"
        );
    }
}

/// The types of `ChatCompletionToolUnion` in OpenAI's SDKs, and those of the Responses API that clients mix up with
/// them.
#[test]
fn every_type_of_tool_is_converted_or_refused_by_its_place() {
    assert!(made(&with("tools", json!([tool("A")]))).is_ok());
    for kind in [
        "custom",
        "web_search",
        "file_search",
        "code_interpreter",
        "mcp",
        "novelty",
    ] {
        let why = refused(&with(
            "tools",
            json!([tool("A"), { "type": kind, kind: { "name": "B" } }]),
        ));
        assert!(why.starts_with("tools.1: ") && why.contains(kind), "{why}");
    }
}

#[test]
fn every_documented_effort_is_taken() {
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        assert!(made(&with("reasoning_effort", effort.into())).is_ok(), "{effort}");
    }
    let sent = |effort: &str| made(&with("reasoning_effort", effort.into())).unwrap();
    assert_eq!(sent("max"), sent("xhigh"));
}
