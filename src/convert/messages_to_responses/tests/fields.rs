//! Every top-level field that the Messages API has: it has its effect, or is refused by its place.

use serde_json::{Value, json};

use super::{refused, tool, try_convert, with, with_messages};
use crate::convert::messages_to_responses::request::fields::FIELDS;
use crate::dialect::wire::fields::Fate;

/// A value of the field that differs from what is assumed without it. Panics for a field without one.
#[allow(clippy::match_same_arms, reason = "in the order of the table")]
fn sample(field: &str) -> Value {
    match field {
        "model" => json!("gpt-5-mini"),
        "messages" => json!([{ "role": "user", "content": "MARK" }]),
        "max_tokens" => json!(77),
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
        "system"
        | "container"
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
        "stop_sequences" | "fallbacks" | "betas" | "anthropic_beta" | "safeguards" => json!(["MARK"]),
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
        let mut plain = with_messages(json!([{ "role": "user", "content": "hi" }]));
        let mut body = with(field, sample(field));
        if matches!(*field, "temperature" | "top_p") {
            // Of a model that takes it.
            plain["model"] = "gpt-4.1".into();
            body["model"] = "gpt-4.1".into();
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
