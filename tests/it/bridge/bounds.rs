//! Bounds on the cost of one request: memory, and the time of others.

use crs_support::provider::Route;
use serde_json::{Value, json};

use super::{ALL, Behind, bridged, hi, message, saying};

#[tokio::test]
async fn a_schema_that_repeats_a_long_text_is_refused_and_says_why() {
    let properties: serde_json::Map<String, Value> = (0..3_900)
        .map(|number| (format!("p{number}"), json!({ "$ref": "#/$defs/d" })))
        .collect();
    let schema = json!({
        "type": "object", "properties": properties,
        "$defs": { "d": { "type": "string", "description": "x".repeat(50_000) } },
    });
    let mut body = hi();
    body["tools"] = json!([{ "name": "t", "input_schema": schema }]);
    for behind in ALL {
        let b = bridged(behind).await;
        let refusal = b.ask(&body).send().await.expect(400).json();
        assert_eq!(refusal["error"]["type"], "invalid_request_error");
        let says = refusal["error"]["message"].as_str().expect("words");
        assert!(
            says.starts_with("tools.0.input_schema: converted for this model it would be longer than"),
            "{says}"
        );
        assert!(b.provider.requests_to(Route::Gemini).is_empty());
        // The account is none the worse.
        b.ask(&hi()).send().await.good();
    }
}

/// It took ten seconds on an event loop; now it is converted beside them, and all of it arrives.
#[tokio::test]
async fn a_turn_of_many_calls_is_converted_whole() {
    let b = bridged(Behind::ApiKey).await;
    let count = 20_000;
    let calls: Vec<Value> = (0..count)
        .map(|number| json!({ "type": "tool_use", "id": format!("t{number}"), "name": "A", "input": {} }))
        .collect();
    let results: Vec<Value> = (0..count)
        .rev()
        .map(|number| json!({ "type": "tool_result", "tool_use_id": format!("t{number}"), "content": "r" }))
        .collect();
    let body = saying(&json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": calls },
        { "role": "user", "content": results },
    ]));
    message(&b.ask(&body).send().await.good());
    let parts = b.sent()["contents"][2]["parts"].as_array().expect("parts").len();
    assert_eq!(parts, count);
}
