//! Failures behind the bridge, as clients of Anthropic's protocol see them, and their records.

use crs_support::client::events;
use crs_support::provider::{At, How, Route, Script};
use crs_support::relay::Host;
use serde_json::{Value, json};

use super::super::HOST;
use super::super::support::{SOON, entries, slots_are_free};
use super::{ALL, Behind, bridged, client, empty_with, hi, message, saying, streamed};

fn words(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({ "text": format!("word {n} ") }))
        .collect()
}

/// Type and message of an error in Anthropic's form.
fn error(body: &Value) -> (&str, &str) {
    assert_eq!(body["type"], "error", "{body}");
    let text = |name: &str| body["error"][name].as_str().expect("text");
    (text("type"), text("message"))
}

#[tokio::test]
async fn the_providers_refusals_are_told_in_anthropics_words() {
    for behind in ALL {
        let b = bridged(behind).await;
        let long = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
        for (status, script, kind, said) in [
            (
                400,
                Script::google_error(400, "INVALID_ARGUMENT", &json!([])),
                "invalid_request_error",
                "the provider says 400",
            ),
            (
                404,
                Script::google_error(404, "NOT_FOUND", &json!([])),
                "not_found_error",
                "the provider says 404",
            ),
            // Claude Code compacts the conversation when it reads this.
            (
                400,
                Script::json(
                    json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": long } }),
                )
                .status(400),
                "invalid_request_error",
                "prompt is too long: 1200000 tokens > 1048576 maximum",
            ),
            (
                404,
                Script::bytes("text/html", "<html>no such page</html>").status(404),
                "not_found_error",
                "The provider answered 404, not in its protocol: no such page",
            ),
        ] {
            b.next(script);
            let answer = b.ask(&streamed(hi())).send().await.expect(status);
            assert_eq!(error(&answer.json()), (kind, said));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        // The operator sees the provider's own.
        let newest = b.newest(4).await;
        assert!(
            newest["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("<html>")),
            "{newest}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_converted_is_refused_by_its_place() {
    let b = bridged(Behind::Antigravity).await;
    for (messages, said) in [
        (
            json!([{ "role": "user", "content": [{ "type": "hologram" }] }]),
            "messages.0.content.0",
        ),
        (
            json!([{ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "x" }] }]),
            "toolu_1",
        ),
    ] {
        let refused = b.ask(&saying(&messages)).send().await.expect(400).json();
        let (kind, message) = error(&refused);
        assert_eq!(kind, "invalid_request_error");
        assert!(message.contains(said), "{message}");
    }
    assert!(b.provider.requests_to(Route::Gemini).is_empty());
}

#[tokio::test]
async fn limits_of_the_provider_are_told_with_their_end() {
    let b = bridged(Behind::Antigravity).await;
    b.next(Script::resource_exhausted("500.5s"));
    let answer = b.ask(&hi()).send().await.expect(429);
    assert_eq!(error(&answer.json()).0, "rate_limit_error");
    let wait: u64 = answer
        .header("retry-after")
        .expect("a wait")
        .parse()
        .expect("seconds");
    assert!((495..=501).contains(&wait), "{wait}");
    // The model cools down, others serve.
    b.ask(&hi()).send().await.expect(429);
    let mut other = hi();
    other["model"] = "gemini-2.5-flash".into();
    b.ask(&other).send().await.good();
    assert_eq!(b.provider.requests_to(Route::Gemini).len(), 2);
}

#[tokio::test]
async fn limits_and_rights_of_the_key_hold() {
    let b = bridged(Behind::Antigravity).await;
    let of_key = |secret: &str| client(&b.relay, b.behind, secret);
    let claude_only = b
        .relay
        .key("c")
        .set("permissions", json!(["claude"]))
        .create()
        .await;
    let refused = of_key(&claude_only.secret)
        .post("/v1/messages", &hi())
        .await
        .expect(403);
    assert_eq!(error(&refused.json()).0, "permission_error");
    let no_model = b
        .relay
        .key("m")
        .set("enableModelRestriction", true)
        .set("restrictedModels", json!(["gemini-3.1-pro-preview"]))
        .create()
        .await;
    of_key(&no_model.secret)
        .post("/v1/messages", &hi())
        .await
        .expect(403);
    let garbage = of_key("cr_garbage").post("/v1/messages", &hi()).await.expect(401);
    assert_eq!(error(&garbage.json()).0, "authentication_error");
    assert!(b.provider.requests_to(Route::Gemini).is_empty());

    // One call at a time.
    let one = b.relay.key("one").set("concurrencyLimit", 1).create().await;
    b.next(Script::parts(&words(6)).stall_after(2));
    let call = of_key(&one.secret)
        .call("POST", "/v1/messages")
        .json(&streamed(hi()));
    let (_, mut open) = call.open().await;
    open.until("content_block_delta").await;
    let refused = of_key(&one.secret).post("/v1/messages", &hi()).await.expect(429);
    assert_eq!(error(&refused.json()).0, "rate_limit_error");
    assert!(refused.header("retry-after").is_some());
    // Tokens may be counted meanwhile.
    of_key(&one.secret)
        .post("/v1/messages/count_tokens", &hi())
        .await
        .good();
    open.reset();
    slots_are_free(&b.relay, &one).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_with_it() {
    let b = bridged(Behind::Antigravity).await;
    b.next(Script::parts(&words(6)).stall_after(3));
    let (_, mut raw) = b.ask(&streamed(hi())).open().await;
    raw.until("word 2").await;
    let seen = b.asked(Route::Gemini);
    raw.reset();
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&b.relay, &b.key).await;
    let entry = b.newest(1).await;
    assert_eq!(
        (&entry["quality"], &entry["error"]),
        (&json!("partial"), &json!("client_left"))
    );
    // The provider's own figures so far: thoughts are in them, of which the client saw nothing.
    assert_eq!(
        (
            &entry["tokens"]["input"],
            &entry["tokens"]["output"],
            &entry["tokens"]["cacheRead"]
        ),
        (&json!(400), &json!(530), &json!(600))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error() {
    for behind in ALL {
        let b = bridged(behind).await;
        for (count, script, quality) in [
            (1, Script::parts(&words(6)).close_after_frames(2), "partial"),
            (2, Script::parts(&words(6)).end_after(2), "partial"),
            // The provider named all that it bills.
            (
                3,
                Script::parts_until(&words(3), "MALFORMED_FUNCTION_CALL"),
                "exact",
            ),
        ] {
            b.next(script);
            let answer = b.ask(&streamed(hi())).send().await.good();
            let events = answer.events();
            let errors = events.iter().filter(|event| event.name == "error").count();
            assert_eq!(errors, 1, "{}", answer.raw_text());
            let last = events.last().expect("an event");
            assert_eq!((last.name.as_str(), error(&last.data).0), ("error", "api_error"));
            let entry = b.newest(count).await;
            assert_eq!(entry["quality"], quality, "{entry}");
            assert!(entry["error"].is_string(), "{entry}");
            assert!(entry["tokens"]["output"].as_u64() >= Some(520), "{entry}");
        }
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_told_and_ends_it() {
    let b = bridged(Behind::Login).await;
    let piece = json!({ "response": { "candidates": [{ "content": { "role": "model", "parts": [{ "text": "so far" }] } }] } });
    let broke = json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "of project p-1" } });
    b.next(Script::raw_stream(format!(
        "data: {piece}\r\n\r\ndata: {broke}\r\n\r\n"
    )));
    let answer = b.ask(&streamed(hi())).send().await.good();
    let told = events(&answer.body);
    let last = told.last().expect("an event");
    assert_eq!(error(&last.data).0, "overloaded_error");
    assert!(
        !answer.raw_text().contains("p-1"),
        "names of projects are the operator's"
    );
    assert_eq!(b.newest(1).await["error"], "overloaded_error");
}

#[tokio::test]
async fn what_was_said_before_the_connection_broke_is_whole() {
    let b = bridged(Behind::Antigravity).await;
    // The last event is there, the end of the body is not.
    b.next(Script::parts(&words(3)).fails(At::AfterBytes(usize::MAX), How::Close));
    let told = message(&b.ask(&streamed(hi())).send().await.good());
    assert_eq!(told["content"][0]["text"], "word 0 word 1 word 2 ");
    assert_eq!(told["stop_reason"], "end_turn");
    let entry = b.newest(1).await;
    assert_eq!(
        (&entry["quality"], &entry["tokens"]["output"]),
        (&json!("exact"), &json!(530))
    );
}

#[tokio::test]
async fn an_answer_of_which_no_message_can_be_made_is_asked_for_again() {
    for script in [
        Script::parts_until(&words(2), "MALFORMED_FUNCTION_CALL"),
        Script::bytes("application/json", "{\"candidates\": "),
        Script::bytes("text/html", "<html>a captive portal</html>"),
        Script::resource_exhausted("60s"),
    ] {
        let b = bridged(Behind::Antigravity).await;
        let tokens = b.provider.oauth().issue();
        b.account("second", &tokens, 60).await;
        b.next(script.clone());
        b.ask(&hi()).send().await.good();
        assert_eq!(b.newest(1).await["accountName"], "second");
        // Nobody else is there: never a false 200.
        let alone = bridged(Behind::Login).await;
        alone.answers(script);
        let failed = alone.ask(&hi()).send().await;
        assert!(failed.status >= 429, "{}", failed.status);
        error(&failed.json());
    }
}

#[tokio::test]
async fn pieces_pass_as_they_come() {
    let b = bridged(Behind::Antigravity).await;
    b.next(Script::parts(&words(4)).stall_after(1));
    let (_, mut raw) = b.ask(&streamed(hi())).open().await;
    // The provider has said no more than this, and stalls.
    raw.until("word 0").await;
    if HOST == Host::Worker {
        raw.reset();
    } else {
        raw.leave();
    }
    slots_are_free(&b.relay, &b.key).await;
    // However the network cuts them.
    b.next(Script::parts(&words(3)).byte_by_byte());
    let told = message(&b.ask(&streamed(hi())).send().await.good());
    assert_eq!(told["content"][0]["text"], "word 0 word 1 word 2 ");
}

#[tokio::test]
async fn an_account_without_a_project_says_what_to_do() {
    let b = empty_with(Behind::Antigravity, |setup| setup).await;
    b.account("a", &b.tokens, 50).await;
    b.provider
        .on(Route::Assist)
        .answer(Script::json(json!({ "allowedTiers": [] })));
    let told = b.ask(&hi()).send().await.expect(503).json();
    error(&told);
    let list = b.relay.admin().get("/admin/accounts").await.good().json();
    let why = list["items"][0]["statusReason"].as_str().unwrap_or_default();
    assert!(why.contains("Antigravity"), "{why}");
    assert!(b.provider.requests_to(Route::Gemini).is_empty());
    assert!(entries(&b.relay, 1).await[0]["error"].is_string());
}

#[tokio::test]
async fn a_silent_provider_is_not_silence_for_its_client() {
    let b = super::bridged_with(Behind::Antigravity, |setup| setup.env("STREAM_PING_INTERVAL", 50)).await;
    // Nothing comes, not even a head.
    b.next(Script::parts(&words(2)).stall_before_head());
    let (head, mut raw) = b.ask(&streamed(hi())).open().await;
    assert_eq!(
        (head.status, head.headers.get("content-type")),
        (200, Some("text/event-stream"))
    );
    for _ in 0..3 {
        assert_eq!(raw.until("\n\n").await, ": ping\n\n");
    }
    let seen = b.asked(Route::Gemini);
    raw.reset();
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&b.relay, &b.key).await;
    // In the middle of an answer.
    b.next(Script::parts(&words(3)).stall_after(1));
    let (_, mut raw) = b.ask(&streamed(hi())).open().await;
    raw.until("word 0").await;
    for _ in 0..3 {
        raw.until("event: ping\ndata: {\"type\": \"ping\"}\n\n").await;
    }
    raw.reset();
    slots_are_free(&b.relay, &b.key).await;
}

#[tokio::test]
async fn another_account_serves_behind_a_head_that_is_out() {
    let b = super::bridged_with(Behind::Antigravity, |setup| {
        setup
            .env("STREAM_PING_INTERVAL", 50)
            .env("REQUEST_TIMEOUT", 400)
            // On the edge, where nobody can tell connecting from waiting, both together are waited for.
            .env("CONNECT_TIMEOUT", 1_000)
    })
    .await;
    let tokens = b.provider.oauth().issue();
    b.account("second", &tokens, 60).await;
    b.next(Script::parts(&words(2)).stall_before_head());
    let answer = b.ask(&streamed(hi())).send().await.good();
    assert!(
        answer.raw_text().starts_with(": ping\n\n"),
        "{}",
        answer.raw_text()
    );
    assert_eq!(message(&answer)["stop_reason"], "end_turn");
    assert_eq!(b.newest(1).await["accountName"], "second");
}

#[tokio::test]
async fn the_end_does_not_wait_for_the_providers_connection() {
    let b = bridged(Behind::Antigravity).await;
    b.next(Script::parts(&words(3)).fails(At::AfterBytes(usize::MAX), How::Stall));
    let told = message(&b.ask(&streamed(hi())).send().await.good());
    assert_eq!(told["stop_reason"], "end_turn");
    assert_eq!(b.newest(1).await["quality"], "exact");
    slots_are_free(&b.relay, &b.key).await;
}

#[tokio::test]
async fn what_google_says_of_a_403_reaches_the_client() {
    for behind in ALL {
        let b = bridged(behind).await;
        let words = "The caller does not have permission to this file.";
        b.answers(Script::json(json!({ "error": { "code": 403, "message": words } })).status(403));
        let refused = b.ask(&hi()).send().await.expect(403);
        assert_eq!(error(&refused.json()), ("permission_error", words), "{behind:?}");
    }
}
