//! Failures behind the conversion, as clients of Chat Completions see them, and their records.

use crs_support::client::Event;
use crs_support::eventually;
use crs_support::provider::Script;
use crs_support::relay::Host;
use serde_json::{Value, json};

use super::super::HOST;
use super::super::support::{SOON, slots_are_free};
use super::{ACCOUNT_KEY, BOTH, On, chat, told};

#[tokio::test]
async fn what_cannot_be_converted_is_refused_by_its_place() {
    for on in BOTH {
        let c = chat(on).await;
        let user = |part: Value| json!([{ "role": "user", "content": [part] }]);
        for (messages, why) in [
            (
                user(json!({ "type": "input_audio", "input_audio": { "data": "", "format": "wav" } })),
                "messages.0.content.0: the content type `input_audio` cannot be sent to this model",
            ),
            (
                json!([{ "role": "user", "content": "a" }, { "role": "tool", "tool_call_id": "x", "content": "b" }]),
                "messages.1: a `tool` message must follow a message whose `tool_calls` hold its id, once: `x`",
            ),
            (json!([]), "messages: there is nothing to answer in them"),
        ] {
            let answer = c.ask(&messages).stream().send().await.expect(400);
            let error = &answer.json()["error"];
            assert_eq!(
                (&error["message"], &error["type"], &error["reason"]),
                (
                    &json!(why),
                    &json!("invalid_request_error"),
                    &json!("invalid_body")
                )
            );
        }
        assert!(c.provider.requests_to(on.route()).is_empty());
        slots_are_free(&c.relay, &c.key).await;
    }
}

#[tokio::test]
async fn the_providers_refusals_are_told_in_openais_words() {
    for on in BOTH {
        let c = chat(on).await;
        for status in [400, 404] {
            let name = if status == 400 {
                "INVALID_ARGUMENT"
            } else {
                "NOT_FOUND"
            };
            c.next(match on {
                On::Claude => Script::error(status),
                On::Gemini => Script::google_error(status, name, &json!([])),
            });
            let answer = c.hi().stream().send().await.expect(status);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let kind = if status == 400 {
                ["invalid_request_error", "invalid_request_error"]
            } else {
                ["not_found_error", "model_not_found"]
            };
            assert_eq!(
                answer.json(),
                json!({ "error": {
                    "message": format!("the provider says {status}"), "type": kind[0], "param": null, "code": kind[1],
                } }),
                "{on:?}"
            );
        }
        // The operator sees the provider's own.
        let entry = c.newest(2).await;
        assert!(
            entry["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("the provider says 404")),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn another_account_serves_until_the_first_byte() {
    for on in BOTH {
        let broken = [
            Script::error(500),
            on.says("x").reset_after_head(),
            // No answer of the protocol, though it says it is a success.
            Script::json(json!({ "object": "something else" })),
        ];
        for script in broken {
            let c = chat(on).await;
            c.account(&json!({ "name": "second", "priority": 60 }), "sk-second")
                .await;
            let lane = c.provider.on(on.route()).for_credential(ACCOUNT_KEY);
            lane.next(script);
            c.answers(on.says("from the second"));
            let answer = c.hi().send().await.good();
            assert_eq!(told(&answer).0["message"]["content"], "from the second");
            let entry = c.newest(1).await;
            assert_eq!(
                (&entry["attempts"], &entry["accountName"]),
                (&json!(2), &json!("second")),
                "{on:?}: {entry}"
            );
        }
    }
}

#[tokio::test]
async fn a_provider_that_only_fails_is_told_so() {
    for on in BOTH {
        let c = chat(on).await;
        c.provider.on(on.route()).fails(500);
        let answer = c.hi().stream().send().await.expect(503);
        assert_eq!(answer.json()["error"]["code"], "server_is_overloaded");
        assert_eq!(answer.json()["error"]["reason"], "provider_failed");
        slots_are_free(&c.relay, &c.key).await;
    }
}

#[tokio::test]
async fn a_broken_stream_ends_with_one_error() {
    for on in BOTH {
        for broken in [
            on.says("some words that break off here").reset_after(on.frames()),
            on.says("some words that break off here").end_after(on.frames()),
        ] {
            let c = chat(on).await;
            c.next(broken);
            let answer = c.hi().stream().send().await.good();
            let mut events = answer.events();
            let last = events.pop().expect("an event");
            assert!(last.data["error"]["message"].is_string(), "{on:?}: {last:?}");
            assert!(
                events
                    .iter()
                    .all(|event| event.data.get("error").is_none() && event.data != "[DONE]"),
                "{events:?}"
            );
            let words = |event: &Event| {
                let words = event.data["choices"][0]["delta"]["content"].as_str();
                words.is_some_and(|words| !words.is_empty())
            };
            assert!(events.iter().any(words), "{events:?}");
            let entry = c.newest(1).await;
            assert_eq!(
                (&entry["quality"], &entry["status"]),
                (&json!("partial"), &json!(200))
            );
            assert!(entry["tokens"]["input"].as_u64() > Some(0), "{on:?}: {entry}");
            slots_are_free(&c.relay, &c.key).await;
        }
    }
}

#[tokio::test]
async fn an_error_in_the_stream_stays_one() {
    let c = chat(On::Claude).await;
    c.next(
        Script::message("some words that break off here").error_event_after(
            4,
            "overloaded_error",
            "Overloaded",
        ),
    );
    let answer = c.hi().stream().send().await.good();
    let events = answer.events();
    let errors: Vec<&Value> = events
        .iter()
        .filter_map(|event| event.data.get("error"))
        .collect();
    assert_eq!(
        errors,
        [
            &json!({ "message": "Overloaded", "type": "overloaded_error", "param": null, "code": "server_is_overloaded" })
        ]
    );
    assert_eq!(
        events.last().map(|last| last.data.get("error").is_some()),
        Some(true)
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_with_it() {
    for on in BOTH {
        let c = chat(on).await;
        c.next(on.says("words that were paid for").stall_after(on.frames()));
        let (_, mut raw) = c.hi().stream().open().await;
        raw.until("\"content\":\"w").await;
        let seen = c.asked();
        raw.reset();
        assert!(seen.closed_within(SOON).await.by_peer, "{on:?}");
        slots_are_free(&c.relay, &c.key).await;
        let entry = c.newest(1).await;
        assert_eq!(
            (&entry["quality"], &entry["error"]),
            (&json!("partial"), &json!("client_left"))
        );
        assert!(entry["tokens"]["input"].as_u64() > Some(0), "{on:?}: {entry}");

        // While the whole answer is awaited, too.
        c.next(on.says("").stall_before_head());
        let raw = c.hi().sent().await;
        let seen = eventually("the second call", async || {
            c.provider.requests_to(on.route()).get(1).cloned()
        })
        .await;
        if HOST == Host::Worker {
            raw.reset();
        } else {
            raw.leave();
        }
        assert!(seen.closed_within(SOON).await.by_peer, "{on:?}");
        slots_are_free(&c.relay, &c.key).await;
    }
}

#[tokio::test]
async fn the_providers_pings_and_its_silence_become_comments() {
    let provider = crs_support::provider::FakeProvider::start().await;
    let c = super::chat_with(On::Claude, provider, |setup| {
        setup.env("STREAM_PING_INTERVAL", 50)
    })
    .await;
    c.next(On::Claude.says("some words").stall_after(3));
    let (_, mut raw) = c.hi().stream().open().await;
    raw.until("chat.completion.chunk").await;
    for _ in 0..3 {
        raw.until(": ping\n\n").await;
    }
    raw.reset();
    slots_are_free(&c.relay, &c.key).await;
}

#[tokio::test]
async fn the_other_form_is_made_of_what_came() {
    for on in BOTH {
        let c = chat(on).await;
        // As the provider answers a call that is not streamed.
        let whole = match on {
            On::Claude => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
                "content": [{ "type": "text", "text": "whole" }], "stop_reason": "end_turn",
                "usage": { "input_tokens": 3, "output_tokens": 4 },
            }),
            On::Gemini => json!({
                "candidates": [{ "content": { "parts": [{ "text": "whole" }] }, "finishReason": "STOP" }],
                "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 4 },
            }),
        };
        c.next(Script::json(whole.clone()));
        let answer = c.hi().stream().send().await.good();
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(told(&answer).0["message"]["content"], "whole", "{on:?}");
        if on == On::Gemini {
            // As Google streams without `alt=sse`.
            c.next(Script::json(json!([whole])));
            let answer = c.hi().stream().send().await.good();
            assert_eq!(told(&answer).0["message"]["content"], "whole");
        }
        let entry = c.newest(1).await;
        assert_eq!(
            (&entry["quality"], &entry["tokens"]["output"]),
            (&json!("exact"), &json!(4))
        );
    }
}

#[tokio::test]
async fn what_the_provider_says_of_a_403_reaches_the_client() {
    for on in BOTH {
        let c = chat(on).await;
        let words = "The caller does not have permission to this file.";
        c.answers(Script::json(json!({ "error": { "code": 403, "message": words } })).status(403));
        let refused = c.hi().send().await.expect(403).json();
        assert_eq!(refused["error"]["message"], words, "{on:?}");
        assert_eq!(refused["error"]["type"], "permission_error", "{on:?}");
    }
}
