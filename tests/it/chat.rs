//! Chat Completions on accounts of other providers: Claude's under `/openai/claude`, Gemini's under
//! `/openai/gemini`.

mod faults;

use crs_support::client::{Answer, Call, Client};
use crs_support::provider::{Block, FakeProvider, Message, Request, Route, Script};
use crs_support::relay::{Relay, Setup};
use serde_json::{Value, json};

use super::support::{Key, entries, relay};

const ACCOUNT_KEY: &str = "sk-of-the-first-account";

/// Whose accounts answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Claude,
    Gemini,
}

const BOTH: [On; 2] = [On::Claude, On::Gemini];

impl On {
    fn platform(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Gemini => "gemini",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Claude => "claude-sonnet-4-5",
            Self::Gemini => "gemini-3.1-pro-preview",
        }
    }

    fn route(self) -> Route {
        match self {
            Self::Claude => Route::Messages,
            Self::Gemini => Route::Gemini,
        }
    }

    fn says(self, text: &str) -> Script {
        match self {
            Self::Claude => Script::message(text),
            Self::Gemini => Script::gemini(text),
        }
    }

    /// Frames of a stream up to some of its words, but not all.
    fn frames(self) -> usize {
        match self {
            Self::Claude => 5,
            Self::Gemini => 2,
        }
    }

    /// Calls of tools, side by side.
    fn calls(self, calls: &[(&str, Value)]) -> Script {
        match self {
            Self::Claude => {
                let calls = calls.iter().enumerate();
                let blocks = calls.map(|(at, (name, input))| Block::ToolUse {
                    id: format!("toolu_{at}"),
                    name: (*name).to_owned(),
                    input: input.clone(),
                });
                Script::of_message(Message {
                    blocks: blocks.collect(),
                    ..Message::tool_use("", "", json!({}))
                })
            }
            Self::Gemini => {
                let parts = calls
                    .iter()
                    .map(|(name, args)| json!({ "functionCall": { "name": name, "args": args } }));
                Script::parts(&parts.collect::<Vec<_>>())
            }
        }
    }
}

struct Chat {
    on: On,
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    client: Client,
}

async fn chat(on: On) -> Chat {
    chat_with(on, FakeProvider::start().await, |setup| setup).await
}

async fn chat_with(on: On, provider: FakeProvider, settings: impl FnOnce(Setup) -> Setup) -> Chat {
    let relay = settings(relay(&provider)).start().await;
    let key = relay.key("k").create().await;
    let base = format!("{}/openai/{}", relay.url(), on.platform());
    let chat = Chat {
        on,
        provider,
        relay,
        client: Client::new(&base).with_bearer(&key.secret),
        key,
    };
    chat.account(&json!({ "name": "first" }), ACCOUNT_KEY).await;
    chat
}

impl Chat {
    async fn account(&self, settings: &Value, key: &str) {
        let mut account = settings.clone();
        account["platform"] = self.on.platform().into();
        account["credentials"] = json!({ "type": "apiKey", "apiKey": key });
        self.relay.add_account(&account).await;
    }

    /// What the next calls are answered.
    fn answers(&self, script: Script) {
        self.provider.on(self.on.route()).answer(script);
    }

    fn next(&self, script: Script) {
        self.provider.on(self.on.route()).next(script);
    }

    fn ask(&self, messages: &Value) -> Call {
        self.client
            .call("POST", "/v1/chat/completions")
            .header("user-agent", "OpenAI/Python 3.54.0")
            .header("x-stainless-lang", "python")
            .header("openai-organization", "org-of-the-client")
            .json(&json!({ "model": self.on.model(), "messages": messages }))
    }

    fn hi(&self) -> Call {
        self.ask(&json!([{ "role": "user", "content": "hi" }]))
    }

    fn asked(&self) -> Request {
        let mut requests = self.provider.requests_to(self.on.route());
        requests.pop().expect("a call of the provider")
    }

    async fn newest(&self, count: usize) -> Value {
        entries(&self.relay, count).await.remove(0)
    }
}

fn with_usage(call: Call) -> Call {
    call.stream()
        .edit(|body| body["stream_options"] = json!({ "include_usage": true }))
}

/// The choice of a whole answer, or of a stream that keeps to the protocol, and its usage.
#[track_caller]
fn told(answer: &Answer) -> (Value, Value) {
    if answer.header("content-type") == Some("application/json") {
        let completion = answer.json();
        assert_eq!(completion["object"], "chat.completion");
        return (completion["choices"][0].clone(), completion["usage"].clone());
    }
    let mut events = answer.events();
    assert_eq!(events.pop().expect("an end").data, "[DONE]");
    let mut message = json!({ "content": "" });
    let mut calls: Vec<Value> = Vec::new();
    let (mut finish, mut usage) = (Value::Null, Value::Null);
    for event in &events {
        assert_eq!(event.data["object"], "chat.completion.chunk");
        let Some(choice) = event.data["choices"].get(0) else {
            usage = event.data["usage"].clone();
            continue;
        };
        assert!(finish.is_null(), "{} after the end", event.data);
        let delta = &choice["delta"];
        if let Some(more) = delta["content"].as_str() {
            message["content"] = format!("{}{more}", message["content"].as_str().expect("text")).into();
        }
        for part in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = part["index"].as_u64().expect("an index") as usize;
            if index == calls.len() {
                let mut call = part.clone();
                call.as_object_mut().expect("an object").remove("index");
                calls.push(call);
            } else {
                let arguments = &mut calls[index]["function"]["arguments"];
                let more = part["function"]["arguments"].as_str().expect("text");
                *arguments = format!("{}{more}", arguments.as_str().expect("text")).into();
            }
        }
        finish = choice["finish_reason"].clone();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    (json!({ "message": message, "finish_reason": finish }), usage)
}

#[tokio::test]
async fn text_comes_whole_and_streamed_and_is_charged_to_the_token() {
    for on in BOTH {
        let c = chat(on).await;
        c.answers(on.says("hello 你好 🌍"));
        let ways = [c.hi(), c.hi().stream(), with_usage(c.hi())];
        for (count, call) in ways.into_iter().enumerate() {
            let answer = call.send().await.good();
            let (choice, usage) = told(&answer);
            assert_eq!(choice["message"]["content"], "hello 你好 🌍", "{on:?}");
            assert_eq!(choice["finish_reason"], "stop");
            let (figures, recorded) = match on {
                On::Claude => (
                    json!([5312, 34, 5000, 300, 0]),
                    json!({ "input": 12, "output": 34, "cacheWrite5m": 200, "cacheWrite1h": 100, "cacheRead": 5000 }),
                ),
                On::Gemini => (
                    json!([1000, 70, 600, 0, 50]),
                    json!({ "input": 400, "output": 70, "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheRead": 600 }),
                ),
            };
            // Nobody gets a chunk of figures who did not ask for it.
            assert_eq!(usage.is_null(), count == 1);
            if !usage.is_null() {
                assert_eq!(
                    json!([
                        usage["prompt_tokens"],
                        usage["completion_tokens"],
                        usage["prompt_tokens_details"]["cached_tokens"],
                        usage["prompt_tokens_details"]["cache_write_tokens"],
                        usage["completion_tokens_details"]["reasoning_tokens"],
                    ]),
                    figures
                );
            }
            let entry = c.newest(count + 1).await;
            assert_eq!(
                json!([
                    entry["endpoint"],
                    entry["platform"],
                    entry["quality"],
                    entry["status"]
                ]),
                json!(["chat_completions", on.platform(), "exact", 200]),
                "{entry}"
            );
            assert_eq!(entry["tokens"], recorded, "{on:?}");
            assert!(entry["cost"].as_f64() > Some(0.0));
            assert_eq!(answer.header("x-request-id"), entry["requestId"].as_str());
        }
    }
}

#[tokio::test]
async fn the_provider_is_asked_in_its_protocol() {
    for on in BOTH {
        let c = chat(on).await;
        let messages = json!([
            { "role": "system", "content": "Be kind." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is it?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
            ] },
        ]);
        let call = c.ask(&messages).edit(|body| {
            body["max_tokens"] = 50.into();
            body["stop"] = "END".into();
            body["temperature"] = 0.5.into();
        });
        call.stream().send().await.good();
        let seen = c.asked();
        let sent = seen.json();
        // The client stays itself; what it says to OpenAI stays here.
        assert_eq!(seen.header("user-agent"), Some("OpenAI/Python 3.54.0"));
        assert_eq!(seen.credential(), Some(ACCOUNT_KEY));
        for name in ["authorization", "openai-organization"] {
            assert_eq!(seen.header(name), None, "{on:?} {name}");
        }
        match on {
            On::Claude => {
                assert_eq!(seen.target, "/v1/messages");
                assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
                assert_eq!(
                    sent,
                    json!({
                        "model": "claude-sonnet-4-5", "max_tokens": 50, "temperature": 0.5, "stop_sequences": ["END"],
                        "system": [{ "type": "text", "text": "Be kind." }], "stream": true,
                        "messages": [{ "role": "user", "content": [
                            { "type": "text", "text": "What is it?" },
                            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
                            { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
                        ] }],
                    })
                );
            }
            On::Gemini => {
                assert_eq!(
                    seen.target,
                    "/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse"
                );
                assert_eq!(
                    sent["systemInstruction"]["parts"],
                    json!([{ "text": "Be kind." }])
                );
                assert_eq!(
                    sent["contents"][0]["parts"],
                    json!([
                        { "text": "What is it?" },
                        { "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } },
                        { "fileData": { "mimeType": "image/png", "fileUri": "https://example.com/a.png" } },
                    ])
                );
                let config = &sent["generationConfig"];
                assert_eq!(
                    json!([
                        config["maxOutputTokens"],
                        config["stopSequences"],
                        config["temperature"]
                    ]),
                    json!([50, ["END"], 0.5])
                );
            }
        }
    }
}

#[tokio::test]
async fn tools_are_called_side_by_side_and_their_results_go_back() {
    for on in BOTH {
        for streamed in [false, true] {
            let c = chat(on).await;
            let send = async |messages: &Value| {
                let call = c.ask(messages).edit(|body| {
                    let tool = |name: &str| {
                        json!({ "type": "function", "function": { "name": name, "parameters": {
                            "type": "object", "properties": { "city": { "type": "string" } } } } })
                    };
                    body["tools"] = json!([tool("weather"), tool("time")]);
                    body["tool_choice"] = "required".into();
                });
                let call = if streamed { call.stream() } else { call };
                told(&call.send().await.good()).0
            };
            let city = json!({ "city": "Zürich" });
            c.next(on.calls(&[("weather", city.clone()), ("time", json!({}))]));
            let mut messages = json!([{ "role": "user", "content": "Weather and time?" }]);
            let choice = send(&messages).await;
            assert_eq!(choice["finish_reason"], "tool_calls", "{on:?}");
            let calls = choice["message"]["tool_calls"].as_array().expect("calls");
            let arguments = |at: usize| -> Value {
                let arguments = calls[at]["function"]["arguments"].as_str().expect("text");
                serde_json::from_str(arguments).expect("JSON")
            };
            assert_eq!((calls.len(), arguments(0), arguments(1)), (2, city, json!({})));
            // The second result comes first.
            let said = messages.as_array_mut().expect("a list");
            let mut message = choice["message"].clone();
            message["role"] = "assistant".into();
            said.push(message);
            for (at, result) in [(1, "noon"), (0, "rain")] {
                said.push(json!({ "role": "tool", "tool_call_id": calls[at]["id"], "content": result }));
            }
            c.next(on.says("Rain at noon."));
            let choice = send(&messages).await;
            assert_eq!(choice["message"]["content"], "Rain at noon.");
            let sent = c.asked().json();
            match on {
                On::Claude => {
                    assert_eq!(sent["tool_choice"], json!({ "type": "any" }));
                    assert_eq!(sent["messages"][1]["content"][0]["id"], calls[0]["id"]);
                    assert_eq!(sent["messages"][2]["content"][0]["content"], "noon");
                }
                On::Gemini => {
                    assert_eq!(sent["toolConfig"]["functionCallingConfig"]["mode"], "ANY");
                    let results = &sent["contents"][2]["parts"];
                    assert_eq!(results[0]["functionResponse"]["name"], "weather");
                    assert_eq!(
                        results[0]["functionResponse"]["response"],
                        json!({ "output": "rain" })
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_mapped_model_is_asked_for_as_it_wants() {
    let c = chat(On::Claude).await;
    c.account(
        &json!({ "name": "mapping", "priority": 1, "modelMapping": { "gpt-5": "claude-opus-5-5" } }),
        "sk-mapping",
    )
    .await;
    let call = c.hi().model("gpt-5").edit(|body| {
        body["reasoning_effort"] = "high".into();
        body["temperature"] = 0.2.into();
    });
    call.send().await.good();
    let sent = c.asked().json();
    assert_eq!(sent["model"], "claude-opus-5-5");
    // As the newest models have it, not as one that nobody knows.
    assert_eq!(sent["thinking"], json!({ "type": "adaptive" }));
    assert_eq!(sent["output_config"], json!({ "effort": "high" }));
    assert_eq!(sent.get("temperature"), None);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_openais_words() {
    for on in BOTH {
        let c = chat(on).await;
        let missing = c.client.post("/v1/responses", &json!({})).await.expect(404);
        assert!(missing.json()["error"]["message"].as_str().is_some());
        let wrong = c.client.get("/v1/chat/completions").await.expect(405);
        assert_eq!(wrong.json()["error"]["code"], "method_not_allowed");
        assert_eq!(c.provider.calls(), 0);
    }
}

#[tokio::test]
async fn an_image_that_gemini_makes_is_delivered() {
    let c = chat(On::Gemini).await;
    c.answers(Script::parts(&[
        json!({ "text": "Here it is" }),
        json!({ "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } }),
    ]));
    let image = json!([{ "type": "image_url", "index": 0, "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } }]);
    let ask = || {
        c.hi().edit(|body| {
            body["model"] = "gemini-2.5-flash-image".into();
            body["modalities"] = json!(["image", "text"]);
        })
    };
    let (choice, _) = told(&ask().send().await.good());
    assert_eq!(
        (&choice["message"]["content"], &choice["message"]["images"]),
        (&json!("Here it is"), &image)
    );
    assert_eq!(
        c.asked().json()["generationConfig"]["responseModalities"],
        json!(["IMAGE", "TEXT"])
    );
    let streamed = ask().stream().send().await.good();
    let images: Vec<Value> = streamed
        .events()
        .iter()
        .filter_map(|event| event.data["choices"][0]["delta"].get("images").cloned())
        .collect();
    assert_eq!(images, [image]);
}
