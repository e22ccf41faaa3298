//! Turns over a client's WebSocket that go to the provider over another one.

mod faults;

use std::time::Duration;

use crs_support::client::{Call, Socket, create};
use crs_support::provider::{Request, Route, Script};
use serde_json::{Value, json};

use super::super::support::{SOON, entries, slots_are_free};
use super::socket::{connected, finished, user};
use super::{ACCOUNT_KEY, OpenAi, empty};

const CODEX: &str = "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb (codex_exec; 0.169.0)";

/// A relay with one API key, whose provider takes WebSockets at this machine's address.
async fn with_sockets() -> OpenAi {
    let o = empty(|setup| setup.env("OPENAI_WEBSOCKET_UPSTREAM", "true")).await;
    o.api_key("first", ACCOUNT_KEY, 50).await;
    o.provider.takes_sockets();
    o
}

fn follow_up(previous: &str, text: &str) -> Value {
    let mut message = create(&json!([user(text)]));
    message["previous_response_id"] = json!(previous);
    message
}

/// The turns that reached the provider, and whether each came over a WebSocket.
fn turns(o: &OpenAi) -> Vec<(Request, bool)> {
    let turns = o.provider.requests_to(Route::Responses).into_iter();
    turns
        .map(|request| {
            let over = request.over_a_socket();
            (request, over)
        })
        .collect()
}

fn upgrades(o: &OpenAi) -> usize {
    o.provider.requests_to(Route::Upgrade).len()
}

fn items(request: &Request) -> usize {
    request.json()["input"].as_array().expect("an input").len()
}

#[tokio::test]
async fn a_turn_goes_on_as_it_came() {
    let o = with_sockets().await;
    o.provider
        .on(Route::Responses)
        .answer(Script::openai("through both — 你好"));
    let url = format!("{}/openai/responses", o.relay.url());
    let bearer = format!("Bearer {}", o.key.secret);
    let headers = [
        ("authorization", bearer.as_str()),
        ("openai-beta", "responses_websockets=2027-01-01"),
        ("user-agent", CODEX),
        ("originator", "codex_exec"),
        ("cookie", "session=secret"),
        ("openai-organization", "org-of-the-client"),
    ];
    let mut socket = Socket::try_open(&url, &headers).await.expect("a WebSocket");
    let frames = socket.turn(&create(&json!([user("hi")]))).await;
    assert_eq!(frames[0]["type"], "response.created");
    let said: String = frames
        .iter()
        .filter_map(|frame| frame["delta"].as_str())
        .collect();
    assert_eq!(said, "through both — 你好");
    finished(&frames);
    let (seen, over) = turns(&o).remove(0);
    assert!(over);
    assert_eq!(seen.json(), create(&json!([user("hi")])));
    assert_eq!((seen.path(), seen.bearer()), ("/v1/responses", Some(ACCOUNT_KEY)));
    for (name, value) in [
        ("openai-beta", "responses_websockets=2027-01-01"),
        ("user-agent", CODEX),
        ("originator", "codex_exec"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for name in [
        "cookie",
        "openai-organization",
        "content-type",
        "accept",
        "content-length",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(!format!("{:?}", seen.headers).contains(&o.key.secret));
    let entry = o.entry().await;
    assert_eq!(
        (&entry["endpoint"], &entry["status"], &entry["quality"]),
        (&json!("responses"), &json!(200), &json!("exact"))
    );
    assert_eq!(entry["tokens"]["cacheRead"], 600, "{entry}");
    assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
    assert_eq!(entry["attempts"], 1, "{entry}");
}

#[tokio::test]
async fn the_frames_are_those_that_http_gives() {
    let mut heard = Vec::new();
    for setting in ["false", "true"] {
        let o = empty(|setup| setup.env("OPENAI_WEBSOCKET_UPSTREAM", setting)).await;
        o.api_key("first", ACCOUNT_KEY, 50).await;
        o.provider.takes_sockets();
        o.provider
            .on(Route::Responses)
            .answer(Script::openai_reasoning_turn(
                "look",
                &json!({ "at": "it\n" }),
                "seen — 看到了",
            ));
        let mut socket = connected(&o).await;
        let mut frames = socket.turn(&create(&json!([user("look")]))).await;
        let mut result = create(&json!([
            { "type": "function_call_output", "call_id": "call_of_the_fake", "output": "marzipan" },
        ]));
        let first = finished(&frames);
        result["previous_response_id"] = json!(first);
        frames.extend(socket.turn(&result).await);
        let second = finished(&frames);
        let over: Vec<_> = turns(&o).iter().map(|(_, over)| *over).collect();
        assert_eq!(over, [setting == "true"; 2]);
        let text = Value::from(frames).to_string();
        heard.push(text.replace(&first, "resp_1").replace(&second, "resp_2"));
    }
    assert_eq!(heard[0], heard[1]);
}

#[tokio::test]
async fn a_follow_up_has_what_is_new_on_the_same_web_socket() {
    let o = with_sockets().await;
    let mut socket = connected(&o).await;
    let mut warm_up = create(&json!([user("the rules")]));
    warm_up["generate"] = json!(false);
    let mut id = finished(&socket.turn(&warm_up).await);
    assert_eq!(turns(&o).len(), 0);
    for text in ["first", "second", "third"] {
        id = finished(&socket.turn(&follow_up(&id, text)).await);
    }
    let turns = turns(&o);
    assert!(turns.iter().all(|(_, over)| *over));
    let first = turns[0].0.json();
    // What the relay answered itself, the provider does not know.
    assert_eq!(first["input"], json!([user("the rules"), user("first")]));
    assert_eq!(first.get("previous_response_id"), None);
    for (at, text) in [(1, "second"), (2, "third")] {
        let before = format!("resp_fake{:016}", turns[at - 1].0.number);
        assert_eq!(turns[at].0.json(), follow_up(&before, text));
        assert_eq!(turns[at].0.connection, turns[0].0.connection);
    }
    assert_eq!(upgrades(&o), 1);
    // Other connections have their own, and what ends is closed.
    let mut other = connected(&o).await;
    finished(&other.turn(&create(&json!("hi"))).await);
    assert_eq!(upgrades(&o), 2);
    drop(socket);
    assert!(turns[0].0.closed_within(SOON).await.by_peer);
    finished(&other.turn(&create(&json!("hi"))).await);
    assert_eq!(upgrades(&o), 2);
    assert_eq!(entries(&o.relay, 5).await.len(), 5);
}

#[tokio::test]
async fn a_mapped_model_is_mapped_in_what_is_new_too() {
    let o = empty(|setup| setup.env("OPENAI_WEBSOCKET_UPSTREAM", "true")).await;
    let account = json!({
        "name": "mapped", "platform": "openai", "modelMapping": { "gpt-5": "gpt-of-the-host" },
        "credentials": { "type": "apiKey", "apiKey": ACCOUNT_KEY },
    });
    o.relay.add_account(&account).await;
    o.provider.takes_sockets();
    let mut socket = connected(&o).await;
    let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
    finished(&socket.turn(&follow_up(&id, "more")).await);
    let second = turns(&o).remove(1).0.json();
    let mut expected = follow_up(&id, "more");
    expected["model"] = json!("gpt-of-the-host");
    assert_eq!(second, expected);
}

#[tokio::test]
async fn only_known_hosts_are_asked_over_web_sockets_by_themselves() {
    for setting in ["auto", "false"] {
        let o = empty(|setup| setup.env("OPENAI_WEBSOCKET_UPSTREAM", setting)).await;
        o.api_key("first", ACCOUNT_KEY, 50).await;
        o.provider.takes_sockets();
        let mut socket = connected(&o).await;
        finished(&socket.turn(&create(&json!("hi"))).await);
        assert_eq!((turns(&o)[0].1, upgrades(&o)), (false, 0), "{setting}");
    }
}

#[tokio::test]
async fn a_call_by_post_stays_one() {
    let o = with_sockets().await;
    let stream = |call: Call| call.stream();
    stream(o.responses()).send().await.good();
    assert_eq!((turns(&o)[0].1, upgrades(&o)), (false, 0));
}

#[tokio::test]
async fn each_turn_has_its_own_limits_and_the_connection_stays() {
    let o = with_sockets().await;
    let limited = o.relay.key("limited").set("dailyCostLimit", json!(0.000_001));
    let key = limited.create().await;
    let mut socket = Socket::open(&format!("{}/openai/responses", o.relay.url()), &key.secret).await;
    let id = finished(&socket.turn(&create(&json!([user("hi")]))).await);
    entries(&o.relay, 1).await;
    let refused = socket.turn(&follow_up(&id, "more")).await.remove(0);
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!(429), &json!("usage_limit_reached"))
    );
    assert_eq!(turns(&o).len(), 1);
    let path = format!("/admin/api-keys/{}", key.id);
    let change = json!({ "dailyCostLimit": 0 });
    o.relay.admin().patch(&path, &change).await.good();
    finished(&socket.turn(&follow_up(&id, "more")).await);
    let seen = turns(&o);
    assert_eq!((seen.len(), items(&seen[1].0), upgrades(&o)), (2, 1, 1));
    let costs = entries(&o.relay, 2).await;
    assert!(
        costs.iter().all(|entry| entry["cost"].as_f64() > Some(0.0)),
        "{costs:?}"
    );
}

#[tokio::test]
async fn what_one_key_asks_stays_on_its_own_web_socket() {
    let o = with_sockets().await;
    let other = o.relay.key("other").create().await;
    let mut mine = connected(&o).await;
    let mut theirs = Socket::open(&format!("{}/openai/responses", o.relay.url()), &other.secret).await;
    let id = finished(&mine.turn(&create(&json!([user("a secret")]))).await);
    // Two turns at once, and each hears its own.
    let slow = Script::openai("for the first key").every(Duration::from_millis(20));
    o.provider.on(Route::Responses).next(slow);
    mine.send(&follow_up(&id, "mine")).await;
    assert_eq!(mine.frame().await["type"], "response.created");
    o.provider
        .on(Route::Responses)
        .next(Script::openai("for the second key"));
    let said = |frames: &[Value]| -> String {
        frames
            .iter()
            .filter_map(|frame| frame["delta"].as_str())
            .collect()
    };
    let frames = theirs.turn(&create(&json!([user("theirs")]))).await;
    assert_eq!(said(&frames), "for the second key");
    assert_eq!(said(&mine.rest().await), "for the first key");
    // What a key does not have, its connection does not continue.
    let refused = theirs.turn(&follow_up(&id, "and the secret?")).await.remove(0);
    assert_eq!(refused["error"]["code"], "previous_response_not_found");
    let seen = turns(&o);
    let connections: Vec<_> = seen.iter().map(|(request, _)| request.connection).collect();
    assert_eq!(seen.len(), 3, "the other key's was not sent");
    assert_eq!(connections[0], connections[1]);
    assert_ne!(connections[0], connections[2]);
    assert!(!seen[2].0.text().contains("secret"));
    // Its connection is not lent after its end either.
    drop(mine);
    assert!(seen[0].0.closed_within(SOON).await.by_peer);
    finished(&theirs.turn(&create(&json!([user("again")]))).await);
    assert_eq!(turns(&o)[3].0.connection, connections[2]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_providers_work() {
    let o = with_sockets().await;
    let key = o
        .relay
        .key("one")
        .set("concurrencyLimit", json!(1))
        .create()
        .await;
    let url = format!("{}/openai/responses", o.relay.url());
    let mut socket = Socket::open(&url, &key.secret).await;
    o.provider
        .on(Route::Responses)
        .next(Script::openai("words that were paid for").stall_after(5));
    socket.send(&create(&json!("hi"))).await;
    for _ in 0..4 {
        socket.frame().await;
    }
    let seen = o.asked(Route::Responses);
    assert!(seen.over_a_socket());
    drop(socket);
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&o.relay, &key).await;
    assert_eq!(o.entry().await["quality"], "partial");
    let mut socket = Socket::open(&url, &key.secret).await;
    finished(&socket.turn(&create(&json!("hi"))).await);
}

#[tokio::test]
async fn chatgpt_tells_its_limits_in_an_event() {
    let o = empty(|setup| {
        setup
            .env("OPENAI_WEBSOCKET_UPSTREAM", "true")
            .env("OPENAI_OAUTH_CLIENT_ID", "client-of-the-operator")
    })
    .await;
    let tokens = o.provider.oauth().issue();
    let account = o.chatgpt(&tokens, 4_000_000_000_000).await;
    o.provider.takes_sockets();
    let window = json!({ "used_percent": 37.5, "window_minutes": 300, "reset_at": 4_000_000_000_u64 });
    let limits = json!({ "type": "codex.rate_limits", "plan_type": "plus",
        "rate_limits": { "allowed": true, "limit_reached": false, "primary": window, "secondary": null } });
    let whole = json!({ "id": "resp_x", "object": "response", "status": "completed", "output": [],
        "usage": { "input_tokens": 10, "output_tokens": 5, "total_tokens": 15 } });
    o.provider.on(Route::Responses).next(Script::events(&[
        ("codex.rate_limits", limits),
        (
            "response.created",
            json!({ "type": "response.created", "response": whole }),
        ),
        (
            "response.completed",
            json!({ "type": "response.completed", "response": whole }),
        ),
    ]));
    let mut socket = connected(&o).await;
    let frames = socket.turn(&create(&json!("hi"))).await;
    finished(&frames);
    assert_eq!(frames[0]["type"], "codex.rate_limits");
    assert_eq!(frames[0]["rate_limits"]["primary"], window);
    let seen = turns(&o).remove(0).0;
    assert_eq!(seen.path(), "/responses");
    assert_eq!(
        seen.header("openai-beta"),
        Some("responses_websockets=2026-02-06"),
        "for a client that names no version"
    );
    assert_eq!(seen.bearer(), Some(tokens.access.as_str()));
    let id = account["id"].as_str().expect("an id");
    crs_support::eventually("the account's window", async || {
        let shown = o.relay.admin().get(&format!("/admin/accounts/{id}")).await.good();
        shown.json().to_string().contains("codex-primary").then_some(())
    })
    .await;
}
