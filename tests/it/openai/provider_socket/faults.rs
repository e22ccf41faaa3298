//! A provider's WebSocket that is refused, closed or in error.

use crs_support::client::{Socket, create};
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::super::super::support::{SOON, entries};
use super::super::{ACCOUNT_KEY, OpenAi, empty};
use super::{connected, finished, follow_up, items, turns, upgrades, user, with_sockets};

/// The account that serves from now on, of those with WebSockets that are known to fail and others.
async fn preferred(o: &OpenAi, at: u32) {
    let name = format!("account-{at}");
    o.api_key(&name, &format!("sk-openai-{name}"), 40 - at).await;
    o.provider.forget();
}

/// Nothing is held against any account.
async fn accounts_are_well(o: &OpenAi) {
    let accounts = o.relay.admin().get("/admin/accounts").await.good().json();
    for account in accounts["items"].as_array().expect("items") {
        assert_eq!(account["status"], "active", "{account}");
    }
}

/// How many attempts each call took, of so many.
async fn attempts(o: &OpenAi, calls: usize) -> Vec<u64> {
    let count = |entry: &Value| entry["attempts"].as_u64().expect("a number");
    entries(&o.relay, calls).await.iter().map(count).collect()
}

#[tokio::test]
async fn a_provider_without_web_sockets_is_asked_by_http() {
    let o = with_sockets().await;
    let refusals = [
        Script::error(400),
        Script::error_saying(401, "invalid_request_error", "Incorrect API key provided"),
        Script::error_saying(402, "insufficient_quota", "no money"),
        Script::error(403),
        Script::error(404),
        Script::error(405),
        Script::error(426),
        Script::error(429).with_header("retry-after", "60"),
        Script::error(500),
        Script::openai("no upgrade"),
        Script::wire("nonsense\r\n\r\n"),
        Script::error(503).close_after(),
    ];
    let mut calls = 0;
    for (at, refusal) in (0..).zip(refusals) {
        preferred(&o, at).await;
        o.provider.on(Route::Upgrade).answer(refusal.clone());
        // For other clients of the account, too; each process for itself.
        let processes = o.relay.urls();
        for url in processes.iter().chain(&processes) {
            let mut socket = Socket::open(&format!("{url}/openai/responses"), &o.key.secret).await;
            let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
            finished(&socket.turn(&follow_up(&id, "more")).await);
            calls += 2;
        }
        let turns = turns(&o);
        let key = format!("sk-openai-account-{at}");
        assert!(
            turns
                .iter()
                .all(|(seen, over)| !over && seen.bearer() == Some(&key))
        );
        let second = turns[1].0.json();
        assert_eq!(
            (items(&turns[1].0), second.get("previous_response_id")),
            (4, None)
        );
        assert_eq!(upgrades(&o), processes.len(), "{refusal:?}: it is remembered");
    }
    accounts_are_well(&o).await;
    // A page has a hundred.
    let attempts = attempts(&o, calls.min(100)).await;
    assert!(attempts.iter().all(|count| *count == 1), "{attempts:?}");
}

#[tokio::test]
async fn an_error_before_anything_else_has_another_account_try() {
    let o = with_sockets().await;
    o.api_key("second", "sk-openai-second", 60).await;
    let mut socket = connected(&o).await;
    let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
    o.provider
        .on(Route::Responses)
        .for_credential(ACCOUNT_KEY)
        .next(Script::error_saying(429, "tokens", "slow").with_header("retry-after", "60"));
    let second = finished(&socket.turn(&follow_up(&id, "more")).await);
    let seen = turns(&o);
    let keys: Vec<_> = seen
        .iter()
        .map(|(request, _)| request.bearer().expect("a key"))
        .collect();
    assert_eq!(keys, [ACCOUNT_KEY, ACCOUNT_KEY, "sk-openai-second"]);
    // The other one does not know the conversation.
    assert_eq!((items(&seen[1].0), items(&seen[2].0)), (1, 4));
    assert_eq!(seen[2].0.json().get("previous_response_id"), None);
    finished(&socket.turn(&follow_up(&second, "and then")).await);
    let last = turns(&o).pop().expect("a turn").0;
    assert_eq!((last.bearer(), items(&last)), (Some("sk-openai-second"), 1));
    assert_eq!(attempts(&o, 3).await.iter().sum::<u64>(), 4);
}

#[tokio::test]
async fn only_http_s_answer_is_judged() {
    let o = with_sockets().await;
    o.api_key("second", "sk-openai-second", 60).await;
    let limited = || Script::error(429).with_header("retry-after", "60");
    for route in [Route::Upgrade, Route::Responses] {
        o.provider.on(route).for_credential(ACCOUNT_KEY).next(limited());
    }
    let mut socket = connected(&o).await;
    finished(&socket.turn(&create(&json!("hi"))).await);
    let seen = turns(&o);
    let asked: Vec<_> = seen
        .iter()
        .map(|(request, over)| (request.bearer(), *over))
        .collect();
    assert_eq!(
        asked,
        [(Some(ACCOUNT_KEY), false), (Some("sk-openai-second"), true)]
    );
    assert_eq!(attempts(&o, 1).await, [2]);
}

#[tokio::test]
async fn an_error_about_the_request_reaches_the_client() {
    let o = with_sockets().await;
    o.provider.on(Route::Responses).next(Script::error_saying(
        400,
        "invalid_request_error",
        "the input is wrong",
    ));
    let mut socket = connected(&o).await;
    let refused = socket.turn(&create(&json!("hi"))).await.remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["message"]),
        (&json!(400), &json!("the input is wrong"))
    );
    finished(&socket.turn(&create(&json!("hi"))).await);
    let seen = turns(&o);
    assert_eq!((seen.len(), upgrades(&o)), (2, 1));
}

#[tokio::test]
async fn a_provider_that_forgot_gets_the_whole_conversation() {
    let o = with_sockets().await;
    let mut socket = connected(&o).await;
    let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
    let code = "previous_response_not_found";
    let forgot = json!({ "error": { "type": "invalid_request_error", "code": code, "message": "m" } });
    o.provider
        .on(Route::Responses)
        .next(Script::json(forgot).status(400));
    let id = finished(&socket.turn(&follow_up(&id, "more")).await);
    let limit = json!({ "error": { "code": "websocket_connection_limit_reached", "message": "m" } });
    o.provider
        .on(Route::Responses)
        .next(Script::json(limit).status(400));
    finished(&socket.turn(&follow_up(&id, "and then")).await);
    let counts: Vec<_> = turns(&o).iter().map(|(request, _)| items(request)).collect();
    assert_eq!(counts, [1, 1, 4, 1, 7]);
    assert_eq!(upgrades(&o), 2, "a connection at its limit is left");
    assert_eq!(entries(&o.relay, 3).await.len(), 3, "the client notices nothing");
}

#[tokio::test]
async fn a_web_socket_that_was_closed_meanwhile_is_opened_again() {
    let o = with_sockets().await;
    let mut socket = connected(&o).await;
    let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
    let first = turns(&o).remove(0).0;
    // Read, and closed without a word.
    o.provider
        .on(Route::Responses)
        .next(Script::openai("never").close_before_head());
    finished(&socket.turn(&follow_up(&id, "more")).await);
    let seen = turns(&o);
    assert_eq!(seen.len(), 3);
    assert_eq!((items(&seen[1].0), items(&seen[2].0)), (1, 4));
    assert!(seen[2].1 && seen[2].0.connection != first.connection);
    assert_eq!(entries(&o.relay, 2).await.len(), 2);
}

#[tokio::test]
async fn a_new_web_socket_that_takes_no_turn_is_not_tried_again() {
    let o = with_sockets().await;
    let limit = json!({ "error": { "code": "websocket_connection_limit_reached", "message": "m" } });
    for (at, script) in (0..).zip([
        Script::openai("never").close_before_head(),
        Script::openai("never").reset_before_head(),
        Script::json(limit).status(400),
    ]) {
        preferred(&o, at).await;
        o.provider.on(Route::Responses).next(script);
        let mut socket = connected(&o).await;
        let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
        finished(&socket.turn(&follow_up(&id, "more")).await);
        let over: Vec<_> = turns(&o).iter().map(|(_, over)| *over).collect();
        assert_eq!(over, [true, false, false]);
    }
    accounts_are_well(&o).await;
    assert_eq!(attempts(&o, 6).await, [1; 6]);
}

#[tokio::test]
async fn a_provider_that_accepts_and_is_silent_is_asked_by_http_after_that() {
    let o = empty(|setup| {
        setup
            .env("OPENAI_WEBSOCKET_UPSTREAM", "true")
            .env("REQUEST_TIMEOUT", 300)
            .env("CONNECT_TIMEOUT", 1_000)
    })
    .await;
    o.api_key("first", ACCOUNT_KEY, 50).await;
    o.provider.takes_sockets();
    let silent = Script::openai("never").stall_before_head();
    o.provider.on(Route::Responses).next(silent);
    let mut socket = connected(&o).await;
    let refused = socket.turn(&create(&json!("hi"))).await.remove(0);
    assert_eq!(refused["type"], "error", "{refused}");
    let seen = turns(&o);
    assert!(seen[0].1 && seen[0].0.closed_within(SOON).await.by_peer);
}

#[tokio::test]
async fn a_provider_that_closes_in_the_middle_fails_the_turn() {
    let o = with_sockets().await;
    let mut socket = connected(&o).await;
    for (at, script) in [
        Script::openai("cut in the middle").close_after_frames(5),
        Script::openai("cut in the middle").reset_after(5),
    ]
    .into_iter()
    .enumerate()
    {
        o.provider.on(Route::Responses).next(script);
        let frames = socket.turn(&create(&json!("hi"))).await;
        let last = frames.last().expect("a frame");
        assert_eq!(last["type"], "response.failed", "{frames:?}");
        let entry = entries(&o.relay, 2 * at + 1).await.remove(0);
        assert_eq!(entry["quality"], "partial", "{entry}");
        finished(&socket.turn(&create(&json!("hi"))).await);
        entries(&o.relay, 2 * at + 2).await;
    }
}

#[tokio::test]
async fn an_error_in_the_middle_fails_the_turn() {
    let o = with_sockets().await;
    let created = json!({ "type": "response.created", "response": { "id": "resp_x", "object": "response" } });
    let broken = json!({ "type": "server_error", "code": "server_error", "message": "m" });
    // One with a status is what Codex reads, the other one would leave it waiting.
    for (at, (error, heard)) in [
        (
            json!({ "type": "error", "status": 500, "error": broken }),
            "error",
        ),
        (
            json!({ "type": "error", "code": "server_error", "message": "m", "param": null }),
            "response.failed",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = connected(&o).await;
        // OpenAI has one more event, which belongs to no other turn.
        let failed = json!({ "type": "response.failed", "response": { "id": "resp_x", "status": "failed" } });
        let events = [
            ("response.created", created.clone()),
            ("error", error),
            ("response.failed", failed),
        ];
        o.provider.on(Route::Responses).next(Script::events(&events));
        let frames = socket.turn(&create(&json!("hi"))).await;
        let kinds: Vec<_> = frames.iter().map(|frame| frame["type"].clone()).collect();
        assert_eq!(kinds, ["response.created", heard], "{frames:?}");
        let entry = entries(&o.relay, 2 * at + 1).await.remove(0);
        assert_eq!(entry["error"], "server_error", "{entry}");
        finished(&socket.turn(&create(&json!("hi"))).await);
        entries(&o.relay, 2 * at + 2).await;
    }
    assert_eq!(upgrades(&o), 4, "nobody knows what else such a connection says");
}
