//! Every top-level field and every type of tool that the Messages API has: each has its effect, or is refused by its
//! place.

use serde_json::{Value, json};

use super::{refused, tool, try_convert, with, with_messages};
use crate::provider::antigravity::convert::request::fields::FIELDS;
use crate::provider::wire::MODALITIES;
use crate::provider::wire::fields::Fate;

/// A value of the field that differs from what is assumed without it. Panics for a field without one.
#[allow(clippy::match_same_arms, reason = "in the order of the table")]
fn sample(field: &str) -> Value {
    match field {
        "model" => json!("gemini-2.5-flash"),
        "messages" => json!([{ "role": "user", "content": "MARK" }]),
        "max_tokens" => json!(77),
        "system" => json!("MARK"),
        "stop_sequences" => json!(["MARK"]),
        "stream" => json!(true),
        "temperature" => json!(0.25),
        "top_k" => json!(7),
        "top_p" => json!(0.5),
        "thinking" => json!({ "type": "enabled", "budget_tokens": 2_048 }),
        "tools" => json!([tool("A")]),
        "tool_choice" => json!({ "type": "tool", "name": "Unknown" }),
        "output_config" => json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } }),
        "output_format" => json!({ "type": "json_schema", "schema": { "type": "object" } }),
        "mcp_servers" => json!([{ "type": "url", "name": "s", "url": "https://s" }]),
        "container"
        | "inference_geo"
        | "service_tier"
        | "speed"
        | "user_profile_id"
        | "workspace_id"
        | "fallback_credit_token"
        | "anthropic_version" => json!("MARK"),
        "billing_policy" => json!({ "type": "billing_policy", "bill_to": "user_profile" }),
        "thread" | "metadata" | "cache_control" | "context_management" | "compaction" | "diagnostics" => {
            json!({ "type": "MARK" })
        }
        "fallbacks" | "betas" | "anthropic_beta" | "safeguards" => json!(["MARK"]),
        MODALITIES => json!(["text", "image"]),
        other => panic!("`{other}` has no sample"),
    }
}

/// What is made of a request: the body, the model it is sent to, and whether it is a stream.
fn made(body: &Value) -> Result<(Value, String, bool), String> {
    let converted = try_convert(body).map_err(|refused| refused.message)?;
    let sent = serde_json::from_slice(&converted.body).unwrap();
    Ok((sent, converted.model, converted.stream))
}

#[test]
fn every_field_has_the_effect_that_the_table_says() {
    let plain = made(&with_messages(json!([{ "role": "user", "content": "hi" }]))).unwrap();
    for (field, fate) in FIELDS.known {
        let converted = made(&with(field, sample(field)));
        match fate {
            Fate::Carried => assert_ne!(converted.unwrap(), plain, "{field} has no effect"),
            Fate::Converted => match converted {
                Ok(converted) => assert_ne!(converted, plain, "{field} has no effect"),
                Err(why) => assert!(why.starts_with(field), "{why}"),
            },
            Fate::LeftOut => assert_eq!(converted, Ok(plain.clone()), "{field}"),
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
        let why = refused(&with("next_years_beta", value));
        assert!(
            why.starts_with("next_years_beta: Extra inputs are not permitted"),
            "{why}"
        );
    }
}

/// The types of `BetaToolUnion` in Anthropic's SDK for Python (1316de75b948), and whether they are converted.
#[test]
fn every_type_of_tool_is_converted_or_refused_by_its_place() {
    for (kind, is_converted) in [
        ("custom", true),
        ("bash_20241022", true),
        ("bash_20250124", true),
        ("text_editor_20241022", true),
        ("text_editor_20250124", true),
        ("text_editor_20250429", true),
        ("text_editor_20250728", true),
        ("memory_20250818", true),
        ("web_search_20250305", true),
        ("web_search_20260209", true),
        ("web_search_20260318", true),
        ("tool_search_tool_bm25_20251119", true),
        ("tool_search_tool_regex_20251119", true),
        ("code_execution_20250522", false),
        ("code_execution_20250825", false),
        ("code_execution_20260120", false),
        ("code_execution_20260521", false),
        ("web_fetch_20250910", false),
        ("web_fetch_20260209", false),
        ("web_fetch_20260309", false),
        ("web_fetch_20260318", false),
        ("computer_20241022", false),
        ("computer_20250124", false),
        ("computer_20251124", false),
        ("computer_toolset_20260801", false),
        ("browser_toolset_20260801", false),
        ("advisor_20260301", false),
        ("mcp_toolset", false),
        ("novelty", false),
    ] {
        let mut deferred = tool("Deferred");
        deferred["defer_loading"] = true.into();
        let tools = json!([deferred, { "type": kind, "name": "MARK", "input_schema": { "type": "object" } }]);
        let without = made(&with("tools", json!([deferred]))).unwrap();
        match made(&with("tools", tools)) {
            Ok(converted) => {
                assert!(is_converted, "{kind} became {converted:?}");
                assert_ne!(converted, without, "{kind} has no effect");
            }
            Err(why) => {
                assert!(!is_converted, "{kind}: {why}");
                assert!(why.starts_with("tools.1: ") && why.contains(kind), "{why}");
            }
        }
    }
}
