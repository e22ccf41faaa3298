//! Anthropic's Messages on OpenAI's accounts, under `/api`.

use crs_support::client::text;
use crs_support::eventually;
use crs_support::provider::{Route, Script, called, reasoning, said};
use serde_json::{Value, json};

use super::{ACCOUNT_KEY, Across, empty, message};

/// Whose accounts answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Key,
    Login,
}

const BOTH: [Behind; 2] = [Behind::Key, Behind::Login];

async fn across(behind: Behind) -> Across {
    let a = empty().await;
    match behind {
        Behind::Key => a.account("openai", "first", ACCOUNT_KEY).await,
        Behind::Login => a.login().await,
    }
    a
}

fn saying(messages: &Value) -> Value {
    json!({ "model": "gpt-5.4", "max_tokens": 1000, "messages": messages })
}

fn hi() -> Value {
    saying(&json!([{ "role": "user", "content": "hi" }]))
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

#[tokio::test]
async fn text_comes_whole_and_streamed_and_is_charged_to_the_token() {
    for behind in BOTH {
        let a = across(behind).await;
        a.provider
            .on(Route::Responses)
            .answer(Script::openai("hello 你好 🌍"));
        for (count, body) in [(1, hi()), (2, streamed(hi()))] {
            let answer = a.ask(&body).send().await.good();
            assert_eq!(text(&answer.body), "hello 你好 🌍", "{behind:?}");
            let message = message(&answer);
            assert_eq!(message["stop_reason"], "end_turn");
            assert_eq!(message["model"], "gpt-5.4");
            let usage = &message["usage"];
            assert_eq!(
                json!([
                    usage["input_tokens"],
                    usage["cache_read_input_tokens"],
                    usage["output_tokens"],
                    usage["output_tokens_details"]["thinking_tokens"],
                ]),
                json!([400, 600, 70, 50])
            );
            let entry = a.newest(count).await;
            assert_eq!(
                json!([
                    entry["endpoint"],
                    entry["platform"],
                    entry["quality"],
                    entry["status"],
                    entry["model"]
                ]),
                json!(["messages", "openai", "exact", 200, "gpt-5.4"]),
                "{entry}"
            );
            assert_eq!(
                entry["tokens"],
                json!({ "input": 400, "output": 70, "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheRead": 600 })
            );
            // 400 at 2.5, 600 at 0.25 and 70 at 15 USD a million.
            assert_eq!(super::super::support::micro_usd(&entry["cost"]), 2_200, "{entry}");
            let asked = a.asked(Route::Responses);
            let is_login = behind == Behind::Login;
            assert_eq!(asked.wants_stream(), is_login || count == 2);
            assert_eq!(asked.json().get("max_output_tokens").is_none(), is_login);
            assert_eq!(asked.json()["store"], false);
            assert_eq!(
                asked.header("user-agent"),
                Some("claude-cli/2.1.330 (external, cli)")
            );
            for hidden in ["anthropic-version", "anthropic-beta", "x-api-key", "originator"] {
                assert_eq!(asked.header(hidden), None, "{hidden}");
            }
        }
    }
}

/// Two calls after a thought, whose reasoning comes back with their results; the second turn is another relay's.
#[tokio::test]
async fn a_conversation_with_reasoning_and_calls_goes_on_elsewhere() {
    for behind in BOTH {
        for stream in [false, true] {
            let a = across(behind).await;
            a.provider.on(Route::Responses).answer(Script::openai_items(&[
                reasoning("I need both.", "gAAA-sealed"),
                said("Let me look."),
                called("call_1", "weather", &json!({ "city": "北京" })),
                called("call_2", "weather", &json!({ "city": "Paris" })),
            ]));
            let question = json!({ "role": "user", "content": "How is the weather in Beijing and Paris?" });
            let mut body = saying(&json!([question]));
            body["tools"] = json!([{ "name": "weather", "description": "Tells it.",
                "input_schema": { "type": "object", "properties": { "city": { "type": "string" } } } }]);
            body["thinking"] = json!({ "type": "adaptive" });
            if stream {
                body = streamed(body);
            }
            let told = message(&a.ask(&body).send().await.good());
            assert_eq!(told["stop_reason"], "tool_use");
            let content = told["content"].as_array().expect("content").clone();
            let kinds: Vec<&Value> = content.iter().map(|block| &block["type"]).collect();
            assert_eq!(kinds, ["thinking", "text", "tool_use", "tool_use"]);
            assert_eq!(
                (&content[0]["thinking"], &content[2]["input"]["city"]),
                (&json!("I need both."), &json!("北京"))
            );
            let png = json!({ "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" });
            body["messages"] = json!([
                question,
                { "role": "assistant", "content": content },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "call_1", "content": [{ "type": "image", "source": png }] },
                    { "type": "tool_result", "tool_use_id": "call_2", "content": "rain" } ] },
            ]);
            let b = across(behind).await;
            b.provider
                .on(Route::Responses)
                .answer(Script::openai("Sunny and rainy."));
            message(&b.ask(&body).send().await.good());
            let input = b.asked(Route::Responses).json()["input"].clone();
            assert_eq!(
                input[1],
                json!({ "type": "reasoning", "encrypted_content": "gAAA-sealed",
                    "summary": [{ "type": "summary_text", "text": "I need both." }] })
            );
            let kinds: Vec<&Value> = input
                .as_array()
                .expect("items")
                .iter()
                .map(|item| &item["type"])
                .collect();
            assert_eq!(
                kinds,
                [
                    "message",
                    "reasoning",
                    "message",
                    "function_call",
                    "function_call",
                    "function_call_output",
                    "function_call_output"
                ]
            );
            assert_eq!(
                input[5]["output"][0]["image_url"],
                "data:image/png;base64,iVBORw0KGgo="
            );
        }
    }
}

/// What one account made goes to it again; another one gets the conversation without it.
#[tokio::test]
async fn reasoning_goes_to_the_account_that_made_it_or_is_left_out() {
    let a = across(Behind::Key).await;
    a.account("openai", "second", "sk-the-second").await;
    a.provider.on(Route::Responses).answer(Script::decide(|request| {
        let own = if request.bearer() == Some(ACCOUNT_KEY) {
            "gAAA-one"
        } else {
            "gAAA-two"
        };
        let body = request.json();
        let mut sealed = body["input"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["encrypted_content"].as_str());
        if sealed.any(|sealed| sealed != own) {
            let error = json!({ "error": { "code": "invalid_encrypted_content", "message": "no" } });
            return Script::json(error).status(400);
        }
        Script::openai_items(&[reasoning("Hm.", own), said("Yes.")])
    }));
    let mut body = hi();
    body["thinking"] = json!({ "type": "adaptive" });
    let content = message(&a.ask(&body).send().await.good())["content"].clone();
    let home = a.asked(Route::Responses).bearer().expect("a key").to_owned();
    assert_eq!(
        content[0]["signature"],
        json!(if home == ACCOUNT_KEY {
            "gts1.openai.gAAA-one"
        } else {
            "gts1.openai.gAAA-two"
        })
    );
    body["messages"] = json!([{ "role": "user", "content": "hi" }, { "role": "assistant", "content": content },
        { "role": "user", "content": "go on" }]);
    settled(&a).await;
    for _ in 0..3 {
        let before = a.provider.requests_to(Route::Responses).len();
        message(&a.ask(&body).send().await.good());
        settled(&a).await;
        let asked = a.provider.requests_to(Route::Responses);
        assert_eq!((asked.len(), asked[before].bearer()), (before + 1, Some(&*home)));
    }
    // Its maker is not among the accounts of this relay.
    body["messages"][1]["content"][0]["signature"] = "gts1.openai.elsewhere".into();
    let answer = a.ask(&streamed(body)).send().await.good();
    assert_eq!(text(&answer.body), "Yes.");
    let asked = a.provider.requests_to(Route::Responses);
    let [.., refused, taken] = asked.as_slice() else {
        panic!("two calls")
    };
    let mut expected = refused.json();
    expected["input"].as_array_mut().expect("items").remove(1);
    assert_eq!(taken.json(), expected, "exactly the reasoning is gone");
}

/// The pool knows how all calls ended.
async fn settled(a: &Across) {
    eventually("the calls are reported", async || {
        let accounts = a.relay.admin().get("/admin/accounts").await.good().json();
        let accounts = accounts["items"].as_array().expect("items").clone();
        accounts
            .iter()
            .all(|account| account["leases"].as_array().is_some_and(Vec::is_empty))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_by_its_place() {
    let a = across(Behind::Key).await;
    let mut stops = hi();
    stops["stop_sequences"] = json!(["###"]);
    let mut search = hi();
    search["tools"] = json!([{ "type": "web_search_20250305", "name": "web_search" }]);
    let file = saying(
        &json!([{ "role": "user", "content": [{ "type": "image", "source": { "type": "file", "file_id": "f" } }] }]),
    );
    for (body, place) in [
        (stops, "stop_sequences: "),
        (search, "tools.0: "),
        (file, "messages.0.content.0.source: "),
    ] {
        for body in [body.clone(), streamed(body)] {
            let answer = a.ask(&body).send().await.expect(400).json();
            assert_eq!(
                (&answer["type"], &answer["error"]["type"]),
                (&json!("error"), &json!("invalid_request_error"))
            );
            let said = answer["error"]["message"].as_str().expect("words");
            assert!(said.starts_with(place), "{said}");
        }
    }
    assert!(a.provider.requests_to(Route::Responses).is_empty());
}

#[tokio::test]
async fn errors_are_told_in_anthropics_shape() {
    let a = across(Behind::Key).await;
    let error = json!({ "error": { "message": "Your input exceeds the context window of this model.", "type": "invalid_request_error",
        "param": "input", "code": "context_length_exceeded" } });
    a.provider
        .on(Route::Responses)
        .next(Script::json(error).status(400));
    let answer = a.ask(&hi()).send().await.expect(400).json();
    let told = answer["error"]["message"].as_str().expect("words");
    assert!(told.starts_with("prompt is too long: "), "{told}");

    // A stream that breaks off, and one that ends without its last event.
    for script in [
        Script::openai("hello").reset_after(7),
        Script::openai("hello").close_after_frames(7),
    ] {
        a.provider.on(Route::Responses).next(script);
        let answer = a.ask(&streamed(hi())).send().await.good();
        let events = answer.events();
        let last = events.last().expect("an event");
        assert_eq!(
            (last.name.as_str(), &last.data["type"]),
            ("error", &json!("error")),
            "{events:?}"
        );
    }
    let failed = json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "server_error", "message": "org-1" } } });
    let created = json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress", "model": "gpt-5.4" } });
    let delta = json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel" });
    let frames = [created, delta, failed];
    let frames =
        frames.map(|event| crs_support::provider::frame(event["type"].as_str().expect("a type"), &event));
    a.provider.on(Route::Responses).next(Script::frames(frames));
    let answer = a.ask(&streamed(hi())).send().await.good();
    let last = answer.events().pop().expect("an event");
    assert_eq!(
        last.data["error"],
        json!({ "type": "api_error", "message": "the model's provider reported server_error" })
    );
}

/// The model's name says whose accounts answer, if the key may use them.
#[tokio::test]
async fn the_model_and_the_keys_rights_say_who_answers() {
    let a = across(Behind::Key).await;
    a.account("claude", "claude", "sk-ant-first").await;
    let with = |model: &str| {
        let mut body = hi();
        body["model"] = model.into();
        body
    };
    for (permissions, model, route) in [
        (json!([]), "gpt-5.4", Route::Responses),
        (json!([]), "openai/o3", Route::Responses),
        (json!([]), "codex-mini-latest", Route::Responses),
        (json!([]), "claude-sonnet-4-5", Route::Messages),
        (json!([]), "glm-5", Route::Messages),
        (json!(["openai"]), "gpt-5.4", Route::Responses),
        (json!(["claude"]), "gpt-5.4", Route::Messages),
    ] {
        let key = a
            .relay
            .key("narrow")
            .set("permissions", permissions.clone())
            .create()
            .await;
        let before = a.provider.requests_to(route).len();
        let client = a.relay.client(&key.secret);
        client
            .call("POST", "/v1/messages")
            .json(&with(model))
            .send()
            .await
            .good();
        assert_eq!(
            a.provider.requests_to(route).len(),
            before + 1,
            "{permissions} {model}"
        );
    }
    let key = a
        .relay
        .key("narrow")
        .set("permissions", json!(["openai"]))
        .create()
        .await;
    let client = a.relay.client(&key.secret);
    let refused = client
        .call("POST", "/v1/messages")
        .json(&with("claude-sonnet-4-5"))
        .send()
        .await
        .expect(403);
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .expect("words")
            .contains("may not use"),
        "{}",
        refused.json()
    );
}

#[tokio::test]
async fn tokens_are_counted_by_who_would_answer() {
    let a = across(Behind::Key).await;
    let count = async |a: &Across| {
        a.claude
            .call("POST", "/v1/messages/count_tokens")
            .json(&hi())
            .send()
            .await
    };
    let answer = count(&a).await.good();
    let asked = a.asked(Route::CountInput);
    assert_eq!(answer.json(), json!({ "input_tokens": asked.body.len() / 4 }));
    assert_eq!(
        asked.json(),
        json!({ "model": "gpt-5.4", "input": [{ "type": "message", "role": "user",
        "content": [{ "type": "input_text", "text": "hi" }] }] })
    );
    // ChatGPT does not count.
    let b = across(Behind::Login).await;
    assert!(count(&b).await.status >= 400);
    assert!(b.provider.requests().is_empty());
}
