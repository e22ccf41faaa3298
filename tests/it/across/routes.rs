//! Who serves a model: its name, and the operator's routes before that.

use crs_support::client::{Call, Client};
use crs_support::eventually;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{Across, empty};

const CLAUDE: &str = "sk-ant-behind-routes";
const OPENAI: &str = "sk-openai-behind-routes";
const GEMINI: &str = "AIza-behind-routes";

/// A relay with accounts of these platforms, which answer everything.
async fn across(platforms: &[&str]) -> Across {
    let a = empty().await;
    for platform in platforms {
        let key = match *platform {
            "claude" => CLAUDE,
            "openai" => OPENAI,
            _ => GEMINI,
        };
        a.account(platform, platform, key).await;
    }
    a.provider
        .on(Route::Messages)
        .answer(Script::message("of Claude"));
    a.provider
        .on(Route::Responses)
        .answer(Script::openai("of OpenAI"));
    a.provider
        .on(Route::ChatCompletions)
        .answer(Script::openai("of OpenAI"));
    a.provider.on(Route::Gemini).answer(Script::gemini("of Gemini"));
    a
}

fn call(a: &Across, path: &str, model: &str) -> Call {
    let turns = json!([{ "role": "user", "content": "hi" }]);
    let turns_name = if path.ends_with("/responses") {
        "input"
    } else {
        "messages"
    };
    let mut body = json!({ "model": model, turns_name: turns });
    if path.ends_with("/messages") {
        body["max_tokens"] = 1000.into();
    }
    Client::new(a.relay.url())
        .with_bearer(&a.key.secret)
        .call("POST", path)
        .json(&body)
}

/// What is asked for, and of whom: the newest request.
fn newest(a: &Across) -> (Route, String) {
    let request = a.provider.requests().pop().expect("a call of the provider");
    let path = request.path();
    let route = if path.ends_with("/messages") {
        Route::Messages
    } else if path.ends_with("/responses") {
        Route::Responses
    } else if path.ends_with("/chat/completions") {
        Route::ChatCompletions
    } else {
        Route::Gemini
    };
    let model = request.json()["model"].as_str().unwrap_or_default().to_owned();
    (route, model)
}

/// With a route more that has a name of its own: `/v1/models` lists it, so every process is seen to know them.
async fn set_for_all(a: &Across, routes: &Value) {
    let alias = format!("claude-known-{}", a.provider.calls());
    let mut routes = routes.as_array().expect("routes").clone();
    // In front: behind a pattern that fits its name it would not be listed.
    routes.insert(0, json!({ "models": alias, "to": [{ "platform": "claude" }] }));
    let body = json!({ "routes": routes });
    a.relay
        .admin()
        .call("PUT", "/admin/routes")
        .json(&body)
        .send()
        .await
        .expect(200);
    let client = Client::new(a.relay.url()).with_bearer(&a.key.secret);
    eventually("every process knows the routes", async || {
        for _ in 0..3 {
            let listed = client.call("GET", "/api/v1/models").send().await.expect(200);
            if !listed.json().to_string().contains(&alias) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

async fn set_for_key(a: &Across, fields: &Value) {
    let path = format!("/admin/api-keys/{}", a.key.id);
    a.relay
        .admin()
        .call("PATCH", &path)
        .json(fields)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn every_protocol_goes_by_the_models_name() {
    let a = across(&["claude", "openai", "gemini"]).await;
    for (path, model, route) in [
        (
            "/openai/v1/chat/completions",
            "claude-sonnet-4-5",
            Route::Messages,
        ),
        ("/api/v1/chat/completions", "claude-sonnet-4-5", Route::Messages),
        ("/openai/v1/chat/completions", "gpt-5.4", Route::ChatCompletions),
        ("/openai/v1/chat/completions", "gemini-2.5-pro", Route::Gemini),
        ("/openai/responses", "claude-sonnet-4-5", Route::Messages),
        ("/openai/responses", "gemini-2.5-pro", Route::Gemini),
        ("/openai/responses", "gpt-5.4", Route::Responses),
        ("/api/v1/messages", "gpt-5.4", Route::Responses),
        ("/api/v1/messages", "gemini-2.5-pro", Route::Messages),
        ("/api/v1/messages", "claude-sonnet-4-5", Route::Messages),
        (
            "/openai/claude/v1/chat/completions",
            "claude-sonnet-4-5",
            Route::Messages,
        ),
    ] {
        let answer = call(&a, path, model).send().await.good();
        assert_eq!(newest(&a).0, route, "{path} {model}");
        assert_eq!(answer.header("x-relay-route"), None);
    }
}

#[tokio::test]
async fn where_its_name_leads_to_nobody_the_paths_own_accounts_serve() {
    let a = across(&["openai"]).await;
    call(&a, "/openai/v1/chat/completions", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert_eq!(
        newest(&a),
        (Route::ChatCompletions, "claude-sonnet-4-5".to_owned())
    );
    // One that may not use it is no different.
    a.account("claude", "later", CLAUDE).await;
    set_for_key(&a, &json!({ "permissions": ["openai"] })).await;
    call(&a, "/openai/v1/chat/completions", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert_eq!(newest(&a).0, Route::ChatCompletions);
}

#[tokio::test]
async fn a_route_of_a_key_comes_before_those_for_all_and_changes_the_model() {
    let a = across(&["claude", "openai"]).await;
    set_for_all(
        &a,
        &json!([{ "models": "claude-*", "to": [{ "platform": "openai", "model": "gpt-5-mini" }] }]),
    )
    .await;
    let ask = || call(&a, "/api/v1/messages", "claude-sonnet-4-5");
    ask().send().await.good();
    assert_eq!(newest(&a), (Route::Responses, "gpt-5-mini".to_owned()));
    set_for_key(
        &a,
        &json!({ "allowTrace": true, "routes": [
            { "models": "claude-sonnet-*", "client": "messages", "to": [{ "platform": "openai", "model": "gpt-5.4" }] },
        ] }),
    )
    .await;
    let answer = ask().header("x-relay-trace", "1").send().await.good();
    assert_eq!(newest(&a), (Route::Responses, "gpt-5.4".to_owned()));
    assert_eq!(answer.header("x-relay-route"), Some("openai/gpt-5.4"));
    let entry = a.newest(2).await;
    assert_eq!(
        (&entry["platform"], &entry["model"]),
        (&json!("openai"), &json!("gpt-5.4"))
    );
    let path = format!("/admin/requests/{}", entry["requestId"].as_str().unwrap());
    let shown = a.relay.admin().call("GET", &path).send().await.expect(200).json();
    let route = &shown["trace"]["route"];
    assert_eq!(
        *route,
        json!({ "models": "claude-sonnet-*", "ofKey": true, "asked": "claude-sonnet-4-5",
            "steps": [{ "platform": "openai", "model": "gpt-5.4" }] }),
        "{shown}"
    );
    // The other protocols of the key go by the routes for all.
    call(&a, "/openai/v1/chat/completions", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert_eq!(newest(&a), (Route::ChatCompletions, "gpt-5-mini".to_owned()));
}

#[tokio::test]
async fn a_chain_goes_on_where_nobody_can_serve_and_says_so() {
    let a = across(&["claude"]).await;
    set_for_key(
        &a,
        &json!({ "routes": [
            { "models": "claude-*", "to": [{ "platform": "openai", "model": "gpt-5.4" }, { "platform": "claude" }] },
        ] }),
    )
    .await;
    let answer = call(&a, "/api/v1/messages", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert_eq!(newest(&a), (Route::Messages, "claude-sonnet-4-5".to_owned()));
    assert_eq!(
        answer.header("x-relay-route"),
        Some("openai/gpt-5.4=no_account, claude/claude-sonnet-4-5")
    );
    // With an account that is limited it is the same, once it is known.
    a.account("openai", "limited", OPENAI).await;
    a.provider.on(Route::Responses).fails(429);
    let answer = call(&a, "/api/v1/messages", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert!(
        answer.header("x-relay-route").is_some_and(
            |steps| steps.ends_with(", claude/claude-sonnet-4-5") && steps.starts_with("openai/gpt-5.4=")
        ),
        "{answer:?}"
    );
    // Steps that the key may not use are left out.
    set_for_key(&a, &json!({ "permissions": ["claude"] })).await;
    let answer = call(&a, "/api/v1/messages", "claude-sonnet-4-5")
        .send()
        .await
        .good();
    assert_eq!(answer.header("x-relay-route"), None);
}

/// A stored response is kept by one account of OpenAI's: the chain goes on to it, and never past it.
#[tokio::test]
async fn a_conversation_stays_with_the_account_that_keeps_it() {
    let a = across(&["openai"]).await;
    let chain = |first: &str, then: &str| json!({ "routes": [{ "models": "*", "to": [{ "platform": first }, { "platform": then }] }] });
    set_for_key(&a, &chain("claude", "openai")).await;
    let ask = |previous: Option<&str>| {
        let mut body = json!({ "model": "gpt-5.4", "store": true, "input": "hi" });
        if let Some(id) = previous {
            body["previous_response_id"] = id.into();
        }
        Client::new(a.relay.url())
            .with_bearer(&a.key.secret)
            .call("POST", "/openai/responses")
            .json(&body)
    };
    let first = ask(None).send().await.good().json();
    let id = first["id"].as_str().expect("an id");
    a.newest(1).await;
    let second = ask(Some(id)).send().await.good();
    assert_eq!(
        second.header("x-relay-route"),
        Some("claude/gpt-5.4=no_account, openai/gpt-5.4")
    );
    a.account("claude", "claude", CLAUDE).await;
    set_for_key(&a, &chain("openai", "claude")).await;
    let accounts = a.relay.admin().get("/admin/accounts").await.good().json();
    let openai = accounts["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|account| account["platform"] == "openai")
        .and_then(|account| account["id"].as_str())
        .expect("an id");
    let path = format!("/admin/accounts/{openai}");
    let away = json!({ "schedulable": false });
    a.relay.admin().patch(&path, &away).await.good();
    let refused = ask(Some(id)).send().await.expect(400).json();
    let message = refused["error"]["message"].as_str().expect("words");
    assert!(message.contains("previous_response_id"), "{message}");
    assert!(a.provider.requests_to(Route::Messages).is_empty());
    // Another conversation goes on to the next step.
    ask(None).send().await.good();
    assert_eq!(newest(&a).0, Route::Messages);
}

#[tokio::test]
async fn without_a_chain_nobody_else_is_asked() {
    let a = across(&["claude"]).await;
    set_for_all(&a, &json!([{ "models": "*", "to": [{ "platform": "openai" }] }])).await;
    call(&a, "/api/v1/messages", "claude-sonnet-4-5")
        .send()
        .await
        .expect(503);
    assert_eq!(a.provider.calls(), 0);
    set_for_key(&a, &json!({ "permissions": ["claude"] })).await;
    let refused = call(&a, "/api/v1/messages", "claude-sonnet-4-5")
        .send()
        .await
        .expect(403);
    let message = refused.json()["error"]["message"].clone();
    assert!(
        message.as_str().is_some_and(|message| message.contains("OpenAI")),
        "{message}"
    );
}

#[tokio::test]
async fn an_alias_is_listed_and_serves() {
    let a = across(&["openai"]).await;
    let alias =
        json!([{ "models": "claude-by-openai", "to": [{ "platform": "openai", "model": "gpt-5.4" }] }]);
    set_for_key(&a, &json!({ "permissions": ["openai"], "routes": alias })).await;
    let listed = Client::new(a.relay.url())
        .with_bearer(&a.key.secret)
        .call("GET", "/api/v1/models")
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(listed["data"][0]["id"], "claude-by-openai", "{listed}");
    call(&a, "/api/v1/messages", "claude-by-openai")
        .send()
        .await
        .good();
    assert_eq!(newest(&a), (Route::Responses, "gpt-5.4".to_owned()));
}

/// Responses on Gemini's accounts, by way of Messages: text and a call of a tool, whole and streamed, and its result in
/// the next turn.
#[tokio::test]
async fn codex_is_served_by_gemini() {
    let a = across(&["gemini"]).await;
    let arguments = json!({ "cmd": "ls" });
    for stream in [false, true] {
        a.provider.on(Route::Gemini).answer(Script::gemini_tool_turn(
            "exec_command",
            &arguments,
            "two files",
        ));
        let mut input = vec![
            json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "ls" }] }),
        ];
        let ask = async |input: &Vec<Value>| {
            let body = json!({
                "model": "gemini-2.5-pro", "stream": stream, "store": false, "include": ["reasoning.encrypted_content"],
                "input": input, "tools": [{
                    "type": "function", "name": "exec_command", "strict": false, "description": "Runs a command.",
                    "parameters": { "type": "object", "properties": { "cmd": { "type": "string" } }, "required": ["cmd"] },
                }],
            });
            let answer = Client::new(a.relay.url())
                .with_bearer(&a.key.secret)
                .call("POST", "/openai/responses")
                .json(&body)
                .send()
                .await
                .good();
            if stream {
                let last = answer.events().pop().expect("an event");
                assert_eq!(last.name, "response.completed");
                last.data["response"].clone()
            } else {
                answer.json()
            }
        };
        let first = ask(&input).await;
        let items = first["output"].as_array().expect("items").clone();
        let call = items
            .iter()
            .find(|item| item["type"] == "function_call")
            .expect("a call");
        assert_eq!(call["name"], "exec_command");
        let sent: Value = serde_json::from_str(call["arguments"].as_str().expect("text")).expect("JSON");
        assert_eq!(sent, arguments);
        let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "a b" });
        input.extend(items.iter().cloned());
        input.push(result);
        let second = ask(&input).await;
        let told = second["output"]
            .as_array()
            .expect("items")
            .last()
            .expect("an item");
        assert_eq!(told["content"][0]["text"], "two files", "{second}");
        assert!(second["usage"]["input_tokens"].as_u64().expect("a count") > 0);
        let turns = a.asked(Route::Gemini).json()["contents"].clone();
        let text = turns.to_string();
        assert!(
            text.contains("functionResponse") && text.contains("a b"),
            "{text}"
        );
    }
}
