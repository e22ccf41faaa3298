//! What is asked of the generation.

use serde_json::{Value, json};

use super::{GEMINI, convert, convert_for, refused, with};
use crate::convert::chat_to_messages::{Target, request};

fn of(model: &str, settings: Value) -> Value {
    let mut body = with("model", json!(model));
    body.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    body
}

#[test]
fn a_length_is_always_there_for_claude() {
    let most = |model, settings| convert(&of(model, settings))["max_tokens"].clone();
    assert_eq!(most("claude-3-haiku-20240307", json!({})), 4_096);
    assert_eq!(most("claude-3-5-sonnet-latest", json!({})), 8_192);
    assert_eq!(most("claude-opus-5-5", json!({})), 32_000);
    assert_eq!(most("claude-opus-5-5", json!({ "max_tokens": 7 })), 7);
    assert_eq!(
        most(
            "claude-opus-5-5",
            json!({ "max_tokens": 7, "max_completion_tokens": 9 })
        ),
        9
    );
    let gemini = convert_for(&of("gemini-2.5-pro", json!({})), Target::Gemini);
    assert_eq!(gemini.get("max_tokens"), None);
}

#[test]
fn thinking_is_told_as_the_model_takes_it() {
    let think = |model, settings| {
        let sent = convert(&of(model, settings));
        (sent["thinking"].clone(), sent["output_config"].clone())
    };
    let high = || json!({ "reasoning_effort": "high" });
    assert_eq!(think("claude-3-5-sonnet-latest", high()).0, Value::Null);
    assert_eq!(
        think("claude-sonnet-4-5", high()).0,
        json!({ "type": "enabled", "budget_tokens": 24_000 })
    );
    assert_eq!(
        think(
            "claude-sonnet-4-5",
            json!({ "reasoning_effort": "low", "max_tokens": 2_000 })
        )
        .0,
        json!({ "type": "enabled", "budget_tokens": 1_500 })
    );
    assert_eq!(
        think(
            "claude-sonnet-4-5",
            json!({ "reasoning_effort": "low", "max_tokens": 1_300 })
        )
        .0,
        Value::Null
    );
    assert_eq!(
        think("claude-opus-5-5", high()),
        (json!({ "type": "adaptive" }), json!({ "effort": "high" }))
    );
    assert_eq!(
        think("claude-opus-4-6", json!({ "reasoning_effort": "xhigh" })).1,
        json!({ "effort": "high" })
    );
    assert_eq!(
        think("claude-opus-5-5", json!({ "reasoning_effort": "none" })),
        (Value::Null, Value::Null)
    );
    // Without its thoughts, the turn cannot go on with some.
    let mut body = of("claude-sonnet-4-5", high());
    body["messages"] = json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "tool_calls": [super::call("c", "A", "{}")] },
        { "role": "tool", "tool_call_id": "c", "content": "x" },
    ]);
    assert_eq!(convert(&body).get("thinking"), None);
    body["model"] = "claude-opus-5-5".into();
    assert_eq!(convert(&body)["thinking"], json!({ "type": "adaptive" }));
}

#[test]
fn gemini_thinks_as_it_does_by_itself() {
    let think = |settings| {
        let sent = convert_for(&of("gemini-3-pro", settings), Target::Gemini);
        (sent["thinking"].clone(), sent["output_config"].clone())
    };
    assert_eq!(think(json!({})), (json!({ "type": "adaptive" }), Value::Null));
    assert_eq!(think(json!({ "max_tokens": 100 })), (Value::Null, Value::Null));
    assert_eq!(
        think(json!({ "max_tokens": 100, "reasoning_effort": "minimal" })),
        (json!({ "type": "adaptive" }), json!({ "effort": "low" }))
    );
}

#[test]
fn chances_are_those_that_the_model_takes() {
    let both = || json!({ "temperature": 1.5, "top_p": 0.5 });
    let sent = |body: &Value| {
        let sent = convert(body);
        (sent["temperature"].clone(), sent["top_p"].clone())
    };
    assert_eq!(sent(&of("claude-sonnet-4-5", both())), (json!(1.0), Value::Null));
    assert_eq!(
        sent(&of("claude-sonnet-4-5", json!({ "top_p": 0.5 }))),
        (Value::Null, json!(0.5))
    );
    assert_eq!(sent(&of("claude-opus-5-5", both())), (Value::Null, Value::Null));
    let thinking = json!({ "temperature": 0.2, "reasoning_effort": "low" });
    assert_eq!(
        sent(&of("claude-sonnet-4-5", thinking)),
        (Value::Null, Value::Null)
    );
    let gemini = convert_for(&of("gemini-2.5-pro", both()), Target::Gemini);
    assert_eq!(
        (&gemini["temperature"], &gemini["top_p"]),
        (&json!(1.5), &json!(0.5))
    );
}

#[test]
fn stops_are_a_list() {
    let stops = |stop: Value| convert(&with("stop", stop)).get("stop_sequences").cloned();
    assert_eq!(stops(json!("END")), Some(json!(["END"])));
    assert_eq!(stops(json!(["a", "b"])), Some(json!(["a", "b"])));
    assert_eq!(stops(json!([])), None);
    assert_eq!(stops(Value::Null), None);
}

#[test]
fn a_schema_is_one_that_claude_can_hold() {
    let schema = json!({
        "type": "object",
        "properties": {
            "age": { "type": "integer", "minimum": 0, "maximum": 150, "description": "In years." },
            "tags": { "type": "array", "minItems": 1, "maxItems": 3, "items": { "type": "string", "minLength": 2 } },
            "who": { "oneOf": [{ "$ref": "#/$defs/person" }, { "type": "null" }] },
        },
        "$defs": { "person": { "type": "object", "properties": { "name": { "type": "string" } } } },
        "required": ["age"], "additionalProperties": true,
    });
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": schema } });
    let sent = convert(&with("response_format", format.clone()));
    assert_eq!(
        sent["output_config"]["format"],
        json!({ "type": "json_schema", "schema": {
            "type": "object",
            "properties": {
                "age": { "type": "integer", "description": "In years. (maximum: 150, minimum: 0)" },
                "tags": { "type": "array", "minItems": 1, "description": "(maxItems: 3)",
                    "items": { "type": "string", "description": "(minLength: 2)" } },
                "who": { "anyOf": [{ "$ref": "#/$defs/person" }, { "type": "null" }] },
            },
            "$defs": { "person": { "type": "object", "properties": { "name": { "type": "string" } }, "additionalProperties": false } },
            "required": ["age"], "additionalProperties": false,
        } })
    );
    let gemini = convert_for(&with("response_format", format.clone()), Target::Gemini);
    assert_eq!(gemini["output_config"]["format"]["schema"], schema);
    assert_eq!(
        refused(&of("claude-sonnet-4-0", json!({ "response_format": format }))),
        "response_format: this model does not support a schema"
    );
    let free = json!({ "type": "json_schema", "json_schema": { "schema": { "type": "object" } } });
    assert_eq!(
        refused(&with("response_format", free)),
        "response_format.json_schema.schema: an object must name its properties"
    );
}

#[test]
fn any_object_is_asked_for_as_it_can_be() {
    let body = with("response_format", json!({ "type": "json_object" }));
    let sent = convert(&body);
    assert_eq!(
        sent["system"],
        json!([{ "type": "text", "text": "Answer with one JSON object and nothing around it." }])
    );
    let gemini = convert_for(&body, Target::Gemini);
    assert_eq!(
        gemini["output_config"]["format"]["schema"],
        json!({ "type": "object" })
    );
    assert_eq!(gemini.get("system"), None);
}

#[test]
fn a_conversation_is_marked_for_the_cache() {
    let mut body = with(
        "messages",
        json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "a" }]),
    );
    let marked = |sent: &Value| sent.to_string().matches("cache_control").count();
    assert_eq!(marked(&convert(&body)), 0, "nobody comes back to it");
    body["tools"] = json!([super::tool("A")]);
    let sent = convert(&body);
    assert_eq!(marked(&sent), 2);
    assert_eq!(sent["system"][0]["cache_control"], json!({ "type": "ephemeral" }));
    assert_eq!(
        sent["messages"][0]["content"][0]["cache_control"],
        json!({ "type": "ephemeral" })
    );
    assert_eq!(marked(&convert_for(&body, Target::Gemini)), 0);
    // The client's own marks take their place.
    let mark = json!({ "type": "ephemeral", "ttl": "1h" });
    body["messages"][1]["content"] = json!([{ "type": "text", "text": "a", "cache_control": mark }]);
    let sent = convert(&body);
    assert_eq!(
        (marked(&sent), &sent["messages"][0]["content"][0]["cache_control"]),
        (1, &mark)
    );
}

#[test]
fn the_answer_is_turned_back_as_it_was_asked_for() {
    let body = of(
        "gemini-2.5-pro",
        json!({ "stream": true, "stream_options": { "include_usage": true } }),
    );
    let converted = request(body.to_string().as_bytes(), &GEMINI).unwrap();
    assert!(String::from_utf8_lossy(&converted.body).contains("\"stream\":true"));
    assert!(converted.context.include_usage);
    assert_eq!(converted.context.model, "gemini-2.5-pro");
}
