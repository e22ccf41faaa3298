//! Charges beside text tokens: searches, drawings, sounds; in the record, in the sums and against limits.

pub(super) mod cut;

use crs_support::client::{Call, Client};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::{Key, Relay};
use serde_json::{Value, json};

use super::support::{entries, micro_usd, relay, slots_are_free};

struct Costs {
    provider: FakeProvider,
    relay: Relay,
    key: Key,
}

/// A relay with an account of each protocol, and a key without limits.
async fn ready() -> Costs {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay.claude_account("claude", "sk-ant-test").await;
    for platform in ["openai", "gemini"] {
        let account = json!({
            "name": platform, "platform": platform, "credentials": { "type": "apiKey", "apiKey": "a-key-of-the-provider" },
        });
        relay.add_account(&account).await;
    }
    let key = relay.key("k").create().await;
    Costs { provider, relay, key }
}

impl Costs {
    fn responses(&self, secret: &str, tools: &Value) -> Call {
        Client::new(&format!("{}/openai", self.relay.url()))
            .with_bearer(secret)
            .call("POST", "/responses")
            .json(&json!({ "model": "gpt-5.4", "input": "hi", "tools": tools }))
    }

    fn gemini(&self, model: &str) -> Call {
        self.gemini_at(&format!("/v1beta/models/{model}:generateContent"))
    }

    fn gemini_stream(&self, model: &str) -> Call {
        self.gemini_at(&format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"))
    }

    fn gemini_at(&self, path: &str) -> Call {
        let contents = json!([{ "role": "user", "parts": [{ "text": "hi" }] }]);
        Client::new(&format!("{}/gemini", self.relay.url()))
            .with_header("x-goog-api-key", &self.key.secret)
            .call("POST", path)
            .json(&json!({ "contents": contents, "tools": [{ "googleSearch": {} }] }))
    }

    async fn newest(&self, count: usize) -> Value {
        entries(&self.relay, count).await.remove(0)
    }
}

/// Ten searches, 1,000 tokens in and 100 out.
fn ten_searches() -> Value {
    let calls = (0..10).map(|at| {
        json!({ "type": "web_search_call", "id": format!("ws_{at}"), "status": "completed",
            "action": { "type": "search", "query": format!("q{at}") } })
    });
    let message = json!({ "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "hi", "annotations": [] }] });
    let output: Vec<Value> = calls.chain([message]).collect();
    json!({ "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5.4",
        "service_tier": "default", "output": output, "tools": [{ "type": "web_search" }],
        "usage": { "input_tokens": 1000, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 100,
            "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 1100 },
        "tool_usage": { "web_search": { "num_requests": 10 } } })
}

/// The same as a stream that names what was done item by item alone.
fn as_stream(answer: &Value) -> Script {
    let mut end = answer.clone();
    end["output"] = json!([]);
    end.as_object_mut().expect("an object").remove("tool_usage");
    let mut events = vec![(
        "response.created",
        json!({ "type": "response.created", "response": {
        "id": "resp_1", "status": "in_progress", "output": [] } }),
    )];
    for item in answer["output"].as_array().expect("a list") {
        for kind in ["response.output_item.added", "response.output_item.done"] {
            events.push((kind, json!({ "type": kind, "item": item })));
        }
    }
    events.push((
        "response.completed",
        json!({ "type": "response.completed", "response": end }),
    ));
    Script::events(&events)
}

/// USD per million: 2.50 and 15; a search is a cent.
const TEN_SEARCHES: u64 = 2_500 + 1_500 + 100_000;

#[tokio::test]
async fn searches_of_a_whole_answer_and_of_a_stream_are_charged_and_shown() {
    let c = ready().await;
    let tools = json!([{ "type": "web_search" }]);
    c.provider.on(Route::Responses).next(Script::json(ten_searches()));
    c.responses(&c.key.secret, &tools).send().await.good();
    entries(&c.relay, 1).await;
    c.provider.on(Route::Responses).next(as_stream(&ten_searches()));
    c.responses(&c.key.secret, &tools).stream().send().await.good();
    for entry in entries(&c.relay, 2).await {
        assert_eq!(
            (micro_usd(&entry["cost"]), &entry["quality"]),
            (TEN_SEARCHES, &json!("exact")),
            "{entry}"
        );
        let charge = json!([{ "item": "webSearch", "count": 10, "cost": 0.1, "guessed": false }]);
        assert_eq!(entry["charges"], charge);
    }
    // The record of one call, with how it was served.
    let id = c.newest(2).await["requestId"].as_str().expect("an id").to_owned();
    let one = c
        .relay
        .admin()
        .get(&format!("/admin/requests/{id}"))
        .await
        .good()
        .json();
    assert_eq!(one["charges"][0]["count"], 10);
    assert!(one["trace"].is_object());
    // And the sums.
    let summary = c.relay.admin().get("/admin/usage/summary").await.good().json();
    assert_eq!(
        micro_usd(&summary["totals"]["cost"]),
        2 * TEN_SEARCHES,
        "{summary}"
    );
    assert_eq!(micro_usd(&summary["keys"][0]["totals"]["cost"]), 2 * TEN_SEARCHES);
}

#[tokio::test]
async fn searches_reach_a_daily_limit() {
    let c = ready().await;
    c.provider
        .on(Route::Responses)
        .answer(Script::json(ten_searches()));
    let key = c.relay.key("daily").set("dailyCostLimit", 0.05).create().await;
    let tools = json!([{ "type": "web_search" }]);
    // At once: what one may search is reserved while it runs.
    let calls = (0..8).map(|_| c.responses(&key.secret, &tools).send());
    let answers = futures_util::future::join_all(calls).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((good, answers.len()), (1, 8));
    // And one after the other, what was searched is spent.
    slots_are_free(&c.relay, &key).await;
    for _ in 0..2 {
        c.responses(&key.secret, &tools).send().await.expect(429);
    }
    assert_eq!(c.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_drawing_is_charged_at_the_price_of_what_drew_it() {
    let c = ready().await;
    let answer = json!({ "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5.4",
        "output": [{ "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo=" }],
        "usage": { "input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100 },
        "tool_usage": { "image_gen": { "input_tokens": 50, "output_tokens": 7024,
            "output_tokens_details": { "image_tokens": 7024 }, "total_tokens": 7074 } } });
    // USD per million, of GPT Image 2: text 5, drawn 30. Of one that nobody named, the dearest: 40.
    for (at, (tool, drawn, quality)) in [
        (
            json!([{ "type": "image_generation", "model": "gpt-image-2" }]),
            210_720,
            "exact",
        ),
        (json!([{ "type": "image_generation" }]), 280_960, "estimated"),
    ]
    .into_iter()
    .enumerate()
    {
        c.provider.on(Route::Responses).next(Script::json(answer.clone()));
        c.responses(&c.key.secret, &tool).send().await.good();
        let entry = c.newest(at + 1).await;
        assert_eq!(
            (micro_usd(&entry["cost"]), &entry["quality"]),
            (2_500 + 1_500 + 250 + drawn, &json!(quality)),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn googles_searches_are_charged_as_the_model_has_it() {
    let c = ready().await;
    for (at, (model, cost)) in [("gemini-3.5-flash", 2 * 14_000), ("gemini-2.5-flash", 35_000)]
        .into_iter()
        .enumerate()
    {
        let answer = json!({ "modelVersion": model, "responseId": "r", "candidates": [{ "finishReason": "STOP",
            "content": { "role": "model", "parts": [{ "text": "hi" }] },
            "groundingMetadata": { "webSearchQueries": ["one", "two", ""] } }],
            "usageMetadata": { "promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0 } });
        c.provider.on(Route::Gemini).next(Script::json(answer));
        c.gemini(model).send().await.good();
        let entry = c.newest(at + 1).await;
        assert_eq!(
            (micro_usd(&entry["cost"]), &entry["quality"]),
            (cost, &json!("exact")),
            "{entry}"
        );
        assert_eq!(entry["charges"][0]["count"], 2);
    }
}

#[tokio::test]
async fn claudes_searches_are_charged_and_code_is_an_estimate() {
    let c = ready().await;
    let answer = |tools: Value| {
        Script::json(
            json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
            "content": [{ "type": "text", "text": "hi" }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 1000, "output_tokens": 100, "server_tool_use": tools } }),
        )
    };
    for (at, (tools, cost, quality)) in [
        (json!({ "web_search_requests": 3 }), 30_000, "exact"),
        (json!({ "code_execution_requests": 2 }), 4_167, "estimated"),
    ]
    .into_iter()
    .enumerate()
    {
        c.provider.next(answer(tools));
        let client = c.relay.client(&c.key.secret);
        client
            .messages("hi")
            .model("claude-haiku-4-5")
            .send()
            .await
            .good();
        let entry = c.newest(at + 1).await;
        // USD per million: 1 and 5.
        assert_eq!(
            (micro_usd(&entry["cost"]), &entry["quality"]),
            (1_000 + 500 + cost, &json!(quality)),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn what_no_reader_knows_makes_an_estimate_in_every_protocol() {
    let c = ready().await;
    let claude = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [{ "type": "text", "text": "hi" }], "stop_reason": "end_turn",
        "usage": { "input_tokens": 1000, "output_tokens": 100, "server_tool_use": { "browser_requests": 2 } } });
    c.provider.next(Script::json(claude));
    let client = c.relay.client(&c.key.secret);
    client.messages("hi").send().await.good();
    assert_eq!(c.newest(1).await["quality"], "estimated");

    let mut openai = ten_searches();
    openai["usage"]["video_tokens"] = 5.into();
    c.provider.on(Route::Responses).next(Script::json(openai));
    c.responses(&c.key.secret, &json!([{ "type": "web_search" }]))
        .send()
        .await
        .good();
    assert_eq!(c.newest(2).await["quality"], "estimated");

    // The model makes images, and no kinds of its output are named.
    let gemini = json!({ "modelVersion": "gemini-2.5-flash-image", "responseId": "r", "candidates": [{
        "finishReason": "STOP", "content": { "role": "model", "parts": [{ "text": "hi" }] } }],
        "usageMetadata": { "promptTokenCount": 0, "candidatesTokenCount": 1000, "totalTokenCount": 1000 } });
    c.provider.on(Route::Gemini).next(Script::json(gemini));
    c.gemini("gemini-2.5-flash-image").send().await.good();
    let entry = c.newest(3).await;
    assert_eq!(
        (micro_usd(&entry["cost"]), &entry["quality"]),
        (30_000, &json!("estimated")),
        "{entry}"
    );
}
