//! Responses over a WebSocket: each turn is a call like any other.

use std::time::Duration;

use crs_support::client::{Came, Socket, create};
use crs_support::provider::{Route, Script};
use crs_support::relay::{Host, Key};
use serde_json::{Value, json};

use super::super::HOST;
use super::super::support::{SOON, entries, slots_are_free};
use super::{OpenAi, empty, with_a_key};

fn url(o: &OpenAi) -> String {
    format!("{}/openai/responses", o.relay.url())
}

pub(super) async fn connected(o: &OpenAi) -> Socket {
    Socket::open(&url(o), &o.key.secret).await
}

pub(super) fn user(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] })
}

/// The id of the response that a turn ended with.
pub(super) fn finished(frames: &[Value]) -> String {
    let last = frames.last().expect("a frame");
    assert_eq!(last["type"], "response.completed", "{last}");
    last["response"]["id"].as_str().expect("an id").to_owned()
}

fn text(frames: &[Value]) -> String {
    frames
        .iter()
        .filter_map(|frame| frame["delta"].as_str())
        .collect()
}

#[tokio::test]
async fn a_turn_is_a_call() {
    let o = with_a_key().await;
    o.provider
        .on(Route::Responses)
        .answer(Script::openai("over the socket — 你好"));
    for path in [
        "/openai/responses",
        "/openai/v1/responses",
        "/responses",
        "/v1/responses",
    ] {
        let mut socket = Socket::open(&format!("{}{path}", o.relay.url()), &o.key.secret).await;
        let frames = socket.turn(&create(&json!([user("hi")]))).await;
        assert_eq!(frames[0]["type"], "response.created", "{path}");
        assert_eq!(text(&frames), "over the socket — 你好");
        finished(&frames);
    }
    let seen = o.asked(Route::Responses);
    assert_eq!(
        seen.json(),
        json!({ "model": "gpt-5", "store": false, "tools": [], "stream": true, "input": [user("hi")] })
    );
    for name in [
        "openai-beta",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let entry = entries(&o.relay, 4).await.remove(0);
    assert_eq!(
        (&entry["endpoint"], &entry["status"], &entry["quality"]),
        (&json!("responses"), &json!(200), &json!("exact"))
    );
    assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
}

#[tokio::test]
async fn a_follow_up_sends_what_is_new_and_the_provider_gets_everything() {
    let o = with_a_key().await;
    let mut socket = connected(&o).await;
    let mut warm_up = create(&json!([user("the rules")]));
    warm_up["generate"] = json!(false);
    let warmed = finished(&socket.turn(&warm_up).await);
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 0);
    o.provider
        .on(Route::Responses)
        .answer(Script::openai_tool_turn("look", &json!({ "at": "it" }), "seen"));
    let mut message = create(&json!([user("look")]));
    message["previous_response_id"] = json!(warmed);
    let frames = socket.turn(&message).await;
    let asked = o.asked(Route::Responses).json();
    assert_eq!(asked["input"], json!([user("the rules"), user("look")]));
    assert_eq!(asked.get("previous_response_id"), None);
    let done = frames
        .iter()
        .filter(|frame| frame["type"] == "response.output_item.done");
    let items: Vec<Value> = done.map(|frame| frame["item"].clone()).collect();
    let call = items
        .iter()
        .find(|item| item["type"] == "function_call")
        .expect("a call");
    let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "marzipan" });
    message["input"] = json!([result]);
    message["previous_response_id"] = json!(finished(&frames));
    let frames = socket.turn(&message).await;
    assert!(text(&frames).contains("seen"), "{frames:?}");
    let asked = o.asked(Route::Responses).json();
    let input = asked["input"].as_array().expect("items");
    assert_eq!((input.len(), input.last()), (3 + items.len(), Some(&result)));
    for (sent, made) in input[2..].iter().zip(&items) {
        assert_eq!((&sent["type"], sent.get("id")), (&made["type"], None));
    }
    // An older one is not kept, and what is wrong ends nothing.
    message["previous_response_id"] = json!(warmed);
    let refused = socket.turn(&message).await.remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!(400), &json!("previous_response_not_found"))
    );
    socket
        .send(&json!({ "type": "response.processed", "response_id": "x" }))
        .await;
    finished(&socket.turn(&create(&json!("hi"))).await);
    assert_eq!(entries(&o.relay, 3).await.len(), 3, "a warm-up is no call");
}

#[tokio::test]
async fn what_is_stored_is_continued_by_the_provider() {
    let o = with_a_key().await;
    let mut socket = connected(&o).await;
    let mut message = create(&json!("hi"));
    message["store"] = json!(true);
    let id = finished(&socket.turn(&message).await);
    message["input"] = json!([user("and then")]);
    message["previous_response_id"] = json!(id);
    finished(&socket.turn(&message).await);
    let asked = o.asked(Route::Responses).json();
    assert_eq!(
        (&asked["previous_response_id"], &asked["input"]),
        (&json!(id), &json!([user("and then")]))
    );
}

#[tokio::test]
async fn the_turns_of_a_connection_stay_on_one_account() {
    let o = with_a_key().await;
    for name in ["second", "third", "fourth"] {
        o.api_key(name, &format!("sk-openai-{name}"), 50).await;
    }
    let mut socket = connected(&o).await;
    let mut message = create(&json!("hi"));
    for turn in 0..4 {
        let id = finished(&socket.turn(&message).await);
        message["previous_response_id"] = json!(id);
        message["input"] = json!([user(&format!("turn {turn}"))]);
    }
    let keys: std::collections::BTreeSet<_> = o
        .provider
        .requests_to(Route::Responses)
        .iter()
        .map(|request| request.bearer().map(str::to_owned))
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn claude_serves_a_conversation_too() {
    let o = empty(|setup| setup).await;
    o.relay.claude_account("claude", "sk-ant-socket").await;
    o.provider
        .on(Route::Messages)
        .answer(Script::message("from the other side"));
    let mut socket = connected(&o).await;
    let mut message = create(&json!("hi"));
    message["model"] = json!("claude-sonnet-4-5");
    let frames = socket.turn(&message).await;
    assert_eq!(text(&frames), "from the other side");
    message["previous_response_id"] = json!(finished(&frames));
    message["input"] = json!([user("and then")]);
    finished(&socket.turn(&message).await);
    let asked = o.asked(Route::Messages).json();
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["role"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"], "{asked}");
}

/// Another key of this relay.
async fn limited(o: &OpenAi, field: &str, value: Value) -> Key {
    o.relay.key("limited").set(field, value).create().await
}

#[tokio::test]
async fn a_limit_is_an_event_and_the_connection_stays() {
    let o = with_a_key().await;
    let key = limited(&o, "dailyCostLimit", json!(0.000_001)).await;
    let mut socket = Socket::open(&url(&o), &key.secret).await;
    finished(&socket.turn(&create(&json!("hi"))).await);
    entries(&o.relay, 1).await;
    for _ in 0..2 {
        let refused = socket.turn(&create(&json!("hi"))).await.remove(0);
        assert_eq!(
            (&refused["type"], &refused["status"], &refused["error"]["code"]),
            (&json!("error"), &json!(429), &json!("usage_limit_reached"))
        );
        assert!(refused["headers"]["x-request-id"].is_string(), "{refused}");
    }
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 1);
    let change = json!({ "dailyCostLimit": 0 });
    let path = format!("/admin/api-keys/{}", key.id);
    o.relay.admin().patch(&path, &change).await.good();
    finished(&socket.turn(&create(&json!("hi"))).await);
}

#[tokio::test]
async fn a_key_that_is_disabled_in_between_gets_no_other_turn() {
    let o = with_a_key().await;
    let mut socket = connected(&o).await;
    finished(&socket.turn(&create(&json!("hi"))).await);
    let path = format!("/admin/api-keys/{}", o.key.id);
    o.relay
        .admin()
        .patch(&path, &json!({ "isActive": false }))
        .await
        .good();
    let refused = socket.turn(&create(&json!("hi"))).await.remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["reason"]),
        (&json!(401), &json!("key_disabled"))
    );
    let (status, body) = Socket::try_open(
        &url(&o),
        &[("authorization", &format!("Bearer {}", o.key.secret))],
    )
    .await
    .err()
    .expect("a refusal");
    assert_refusal((status, body), 401, "key_disabled");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_turn() {
    let o = with_a_key().await;
    let key = limited(&o, "concurrencyLimit", json!(1)).await;
    let mut socket = Socket::open(&url(&o), &key.secret).await;
    o.provider
        .on(Route::Responses)
        .next(Script::openai("words that were paid for").stall_after(5));
    socket.send(&create(&json!("hi"))).await;
    for _ in 0..4 {
        socket.frame().await;
    }
    let seen = o.asked(Route::Responses);
    drop(socket);
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&o.relay, &key).await;
    let entry = o.entry().await;
    assert_eq!(entry["quality"], "partial", "{entry}");
    let mut socket = Socket::open(&url(&o), &key.secret).await;
    finished(&socket.turn(&create(&json!("hi"))).await);
}

#[tokio::test]
async fn a_turn_that_breaks_ends_with_an_event_and_the_next_one_works() {
    let o = with_a_key().await;
    let mut socket = connected(&o).await;
    for script in [
        Script::openai("cut").reset_after(4),
        Script::openai("cut").end_after(4),
        Script::raw_stream(
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_x\"}}\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\"}\n\n",
        ),
    ] {
        o.provider.on(Route::Responses).next(script);
        let frames = socket.turn(&create(&json!("hi"))).await;
        let last = frames.last().expect("a frame");
        assert_eq!(last["type"], "response.failed", "{frames:?}");
        assert!(last["response"]["error"]["message"].is_string() && last["response"]["id"].is_string());
        finished(&socket.turn(&create(&json!("hi"))).await);
    }
    o.provider.on(Route::Responses).fails(500);
    let refused = socket.turn(&create(&json!("hi"))).await.remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!(503), &json!("server_is_overloaded"))
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_ends_nothing() {
    let o = with_a_key().await;
    let mut socket = connected(&o).await;
    for wrong in [
        "{",
        "[]",
        "{\"type\":\"session.update\"}",
        "{\"type\":\"response.create\"}",
    ] {
        socket.send_text(wrong).await;
        let refused = socket.rest().await.remove(0);
        assert_eq!(
            (&refused["type"], &refused["status"], &refused["error"]["type"]),
            (&json!("error"), &json!(400), &json!("invalid_request_error")),
            "{wrong}"
        );
    }
    socket.send_binary(b"\x00").await;
    assert_eq!(socket.rest().await[0]["status"], 400);
    socket.ping().await;
    assert_eq!(socket.next().await, Came::Pong);
    finished(&socket.turn(&create(&json!("hi"))).await);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_the_connection_ends() {
    let o = empty(|setup| setup.env("REQUEST_MAX_SIZE_MB", 1)).await;
    o.api_key("first", super::ACCOUNT_KEY, 50).await;
    let mut socket = connected(&o).await;
    finished(&socket.turn(&create(&json!("x".repeat(900 << 10)))).await);
    let refused = socket
        .turn(&create(&json!("x".repeat(1200 << 10))))
        .await
        .remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!(413), &json!("body_too_large"))
    );
    assert_eq!(socket.closed().await, Some(1009));
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 1);
}

#[tokio::test]
async fn turns_that_are_sent_at_once_run_one_after_the_other() {
    let o = with_a_key().await;
    let key = limited(&o, "concurrencyLimit", json!(1)).await;
    let mut socket = Socket::open(&url(&o), &key.secret).await;
    let paced = Script::openai("slowly").every(Duration::from_millis(20));
    o.provider.on(Route::Responses).answer(paced);
    for _ in 0..3 {
        socket.send(&create(&json!("hi"))).await;
    }
    for _ in 0..3 {
        finished(&socket.rest().await);
    }
    slots_are_free(&o.relay, &key).await;
}

#[tokio::test]
async fn a_message_too_many_is_refused_after_those_that_wait() {
    let o = with_a_key().await;
    let key = o
        .relay
        .key("queued")
        .set("concurrencyLimit", 1)
        .set("concurrencyQueueSize", 5)
        .set("concurrencyQueueTimeout", 60_000)
        .create()
        .await;
    // Holds the key's only slot until it leaves.
    let mut holder = Socket::open(&url(&o), &key.secret).await;
    let stalled = Script::openai("never").stall_after(2);
    o.provider.on(Route::Responses).next(stalled);
    holder.send(&create(&json!("hi"))).await;
    holder.frame().await;
    let mut socket = Socket::open(&url(&o), &key.secret).await;
    for _ in 0..7 {
        socket.send(&create(&json!("hi"))).await;
    }
    socket.ping().await;
    assert_eq!(socket.next().await, Came::Pong);
    drop(holder);
    for _ in 0..5 {
        finished(&socket.rest().await);
    }
    let refused = socket.rest().await.remove(0);
    assert_eq!(
        (&refused["type"], &refused["status"]),
        (&json!("error"), &json!(400)),
        "{refused}"
    );
    assert_eq!(socket.closed().await, Some(1008));
    slots_are_free(&o.relay, &key).await;
}

/// Checks the answer to an upgrade. The client reads no body of an unknown length, which the Worker's have.
fn assert_refusal((status, body): (u16, Value), expected: u16, reason: &str) {
    assert_eq!(status, expected);
    if HOST != Host::Worker {
        assert_eq!(body["error"]["reason"], reason);
    }
}

#[tokio::test]
async fn who_may_not_call_gets_no_socket() {
    let o = with_a_key().await;
    for (headers, code) in [
        (vec![], "missing_key"),
        (vec![("authorization", "Bearer cr_nothing")], "unknown_key"),
    ] {
        let refused = Socket::try_open(&url(&o), &headers).await.err();
        let (status, body) = refused.expect("a refusal");
        assert_refusal((status, body), 401, code);
    }
    o.client.get("/responses").await.expect(405);
}

#[tokio::test]
async fn a_web_socket_that_is_switched_off_is_refused_at_once() {
    let o = empty(|setup| setup.env("CODEX_WEBSOCKET", "false")).await;
    let bearer = format!("Bearer {}", o.key.secret);
    let refused = Socket::try_open(&url(&o), &[("authorization", &bearer)]).await;
    let (status, body) = refused.err().expect("a refusal");
    assert_refusal((status, body), 426, "method_not_allowed");
    o.client.get("/responses").await.expect(405);
}
