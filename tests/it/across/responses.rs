//! OpenAI's Responses on Claude's accounts, under `/openai`.

use crs_support::client::{Answer, Call, Client};
use crs_support::provider::{Block, Message, Route, Script};
use serde_json::{Value, json};

use super::{Across, empty};

const ACCOUNT_KEY: &str = "sk-ant-behind-responses";

async fn across() -> Across {
    let a = empty().await;
    a.account("claude", "first", ACCOUNT_KEY).await;
    a
}

fn ask(a: &Across, body: &Value) -> Call {
    Client::new(&format!("{}/openai", a.relay.url()))
        .with_bearer(&a.key.secret)
        .call("POST", "/responses")
        .header("user-agent", "codex_exec/0.169.0 (Debian 12.0.0; x86_64)")
        .header("originator", "codex_exec")
        .header("session-id", "01a2")
        .json(body)
}

fn saying(input: &Value) -> Value {
    json!({ "model": "claude-sonnet-4-5", "store": false, "include": ["reasoning.encrypted_content"], "input": input })
}

fn user(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] })
}

/// The response of a whole answer, or of a stream.
#[track_caller]
fn response(answer: &Answer) -> Value {
    let is_stream = answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !is_stream {
        return answer.json();
    }
    let events = answer.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.data["sequence_number"], json!(number));
    }
    let last = events.last().expect("an event");
    assert!(
        last.name == "response.completed" || last.name == "response.incomplete",
        "{last:?}"
    );
    last.data["response"].clone()
}

#[tokio::test]
async fn text_comes_whole_and_streamed_and_is_charged_to_the_token() {
    let a = across().await;
    a.provider.answer(Script::message("hello 你好 🌍"));
    for stream in [false, true] {
        let mut body = saying(&json!([user("hi")]));
        body["stream"] = stream.into();
        let told = response(&ask(&a, &body).send().await.good());
        assert_eq!(told["output"][0]["content"][0]["text"], "hello 你好 🌍");
        assert_eq!(
            (&told["status"], &told["model"]),
            (&json!("completed"), &json!("claude-sonnet-4-5"))
        );
        let usage = &told["usage"];
        assert_eq!(
            json!([
                usage["input_tokens"],
                usage["input_tokens_details"]["cached_tokens"],
                usage["output_tokens"]
            ]),
            json!([5312, 5000, 34])
        );
        let entry = a.newest(1 + usize::from(stream)).await;
        assert_eq!(
            json!([
                entry["endpoint"],
                entry["platform"],
                entry["quality"],
                entry["status"]
            ]),
            json!(["responses", "claude", "exact", 200]),
            "{entry}"
        );
        assert_eq!(
            entry["tokens"],
            json!({ "input": 12, "output": 34, "cacheWrite5m": 200, "cacheWrite1h": 100, "cacheRead": 5000 })
        );
        assert!(entry["cost"].as_f64() > Some(0.0));
        let asked = a.asked(Route::Messages);
        assert_eq!(asked.header("x-api-key"), Some(ACCOUNT_KEY));
        assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(
            asked.header("user-agent"),
            Some("codex_exec/0.169.0 (Debian 12.0.0; x86_64)")
        );
        for hidden in ["authorization", "originator", "session-id"] {
            assert_eq!(asked.header(hidden), None, "{hidden}");
        }
    }
}

/// A thought and two calls, which come back with their results; the second turn is another relay's.
#[tokio::test]
async fn a_conversation_with_thinking_and_calls_goes_on_elsewhere() {
    for stream in [false, true] {
        let a = across().await;
        let call = |id: &str, name: &str, input: Value| Block::ToolUse {
            id: id.to_owned(),
            name: name.to_owned(),
            input,
        };
        a.provider.answer(Script::of_message(Message {
            blocks: vec![
                Block::Thinking {
                    text: "I need both.".to_owned(),
                    signature: "EqQB==".to_owned(),
                },
                Block::Text("Let me look.".to_owned()),
                call("toolu_1", "exec_command", json!({ "cmd": "ls 北京" })),
                call("toolu_2", "apply_patch", json!({ "input": "*** Begin Patch\n" })),
            ],
            ..Message::tool_use("", "", json!({}))
        }));
        let mut body = saying(&json!([user("go")]));
        body["stream"] = stream.into();
        body["reasoning"] = json!({ "effort": "high", "summary": "auto" });
        body["tools"] = json!([
            { "type": "function", "name": "exec_command", "parameters": { "type": "object", "properties": {} } },
            { "type": "custom", "name": "apply_patch", "description": "Patches.", "format": { "type": "grammar", "syntax": "lark", "definition": "start: x" } },
        ]);
        let told = response(&ask(&a, &body).send().await.good());
        let output = told["output"].as_array().expect("items").clone();
        let kinds: Vec<&Value> = output.iter().map(|item| &item["type"]).collect();
        assert_eq!(
            kinds,
            ["reasoning", "message", "function_call", "custom_tool_call"]
        );
        assert_eq!(output[0]["summary"][0]["text"], "I need both.");
        assert_eq!(output[3]["input"], "*** Begin Patch\n");
        let mut input = vec![user("go")];
        input.extend(output);
        let png = "data:image/png;base64,iVBORw0KGgo=";
        input.push(json!({ "type": "function_call_output", "call_id": "toolu_1", "output": [{ "type": "input_image", "image_url": png }] }));
        input.push(json!({ "type": "custom_tool_call_output", "call_id": "toolu_2", "output": "Success." }));
        body["input"] = input.into();
        let b = across().await;
        b.provider.answer(Script::message("Done."));
        response(&ask(&b, &body).send().await.good());
        let sent = b.asked(Route::Messages).json();
        let said = &sent["messages"][1]["content"];
        assert_eq!(
            said[0],
            json!({ "type": "thinking", "thinking": "I need both.", "signature": "EqQB==" })
        );
        assert_eq!(
            (&said[2]["input"], &said[3]["input"]),
            (
                &json!({ "cmd": "ls 北京" }),
                &json!({ "input": "*** Begin Patch\n" })
            )
        );
        let results = &sent["messages"][2]["content"];
        assert_eq!(results[0]["content"][0]["source"]["data"], "iVBORw0KGgo=");
        assert_eq!(sent["thinking"]["type"], "enabled");
    }
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_by_its_place() {
    let a = across().await;
    let mut previous = saying(&json!([user("hi")]));
    previous["previous_response_id"] = "resp_1".into();
    let mut hosted = saying(&json!([user("hi")]));
    hosted["tools"] = json!([{ "type": "code_interpreter", "container": { "type": "auto" } }]);
    let item = saying(&json!([{ "type": "compaction", "encrypted_content": "x" }, user("hi")]));
    for (body, place) in [
        (previous, "previous_response_id: "),
        (hosted, "tools.0: "),
        (item, "input.0: "),
    ] {
        let answer = ask(&a, &body).send().await.expect(400).json();
        let said = answer["error"]["message"].as_str().expect("words");
        assert!(said.starts_with(place), "{said}");
    }
    assert!(a.provider.requests_to(Route::Messages).is_empty());
}

#[tokio::test]
async fn errors_are_told_in_openais_shape() {
    let a = across().await;
    a.provider.next(Script::error(400));
    let answer = ask(&a, &saying(&json!([user("hi")])))
        .send()
        .await
        .expect(400)
        .json();
    assert_eq!(
        (&answer["error"]["message"], &answer["error"]["type"]),
        (&json!("the provider says 400"), &json!("invalid_request_error"))
    );
    let mut body = saying(&json!([user("hi")]));
    body["stream"] = true.into();
    a.provider
        .next(Script::message("hello").error_event_after(5, "overloaded_error", "Overloaded"));
    let last = ask(&a, &body)
        .send()
        .await
        .good()
        .events()
        .pop()
        .expect("an event");
    assert_eq!(
        (last.name.as_str(), &last.data["response"]["error"]["code"]),
        ("response.failed", &json!("server_is_overloaded"))
    );
    a.provider.next(Script::message("hello").reset_after(5));
    let answer = ask(&a, &body).send().await.good();
    let last = answer.events().pop().expect("an event");
    assert!(
        matches!(last.name.as_str(), "error" | "response.failed"),
        "{last:?}"
    );
}

/// The model's name says whose accounts answer, if the key may use them.
#[tokio::test]
async fn the_model_and_the_keys_rights_say_who_answers() {
    let a = across().await;
    a.account("openai", "openai", "sk-openai").await;
    for (permissions, model, route) in [
        (json!([]), "claude-sonnet-4-5", Route::Messages),
        (json!([]), "gpt-5.4", Route::Responses),
        (json!(["claude"]), "claude-sonnet-4-5", Route::Messages),
        (json!(["openai"]), "claude-sonnet-4-5", Route::Responses),
    ] {
        let key = a
            .relay
            .key("narrow")
            .set("permissions", permissions.clone())
            .create()
            .await;
        let before = a.provider.requests_to(route).len();
        let mut body = saying(&json!([user("hi")]));
        body["model"] = model.into();
        let client = Client::new(&format!("{}/openai", a.relay.url())).with_bearer(&key.secret);
        client
            .call("POST", "/v1/responses")
            .json(&body)
            .send()
            .await
            .good();
        assert_eq!(
            a.provider.requests_to(route).len(),
            before + 1,
            "{permissions} {model}"
        );
    }
}
