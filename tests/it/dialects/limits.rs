//! Each limit of a key, refused in each protocol: its status, its name there, and what makes its clients wait or stop.
//!
//! Claude Code obeys `x-should-retry` and `retry-after`; Codex stops at `usage_limit_reached` and waits for a
//! `retry-after`; Gemini CLI waits for a `RetryInfo`, and stops if that is longer than five minutes.

use crs_support::client::Answer;
use crs_support::eventually;
use serde_json::{Value, json};

use super::super::support::{Key, slots_are_free};
use super::{Assist, Bench, Chat, ChatOnClaude, ChatOnGemini, Gemini, Messages, Protocol, Responses, bench};
use crs_support::provider::Script;

/// When a refusal is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Within a minute, by itself.
    Soon,
    /// In so many seconds, about.
    In(u64),
    /// When the operator does something.
    Never,
}

fn header(answer: &Answer, name: &str) -> Option<u64> {
    answer.header(name).map(|value| value.parse().expect("seconds"))
}

/// A refusal of a limit, as the clients of the protocol need it.
#[track_caller]
fn limited(protocol: Protocol, answer: &Answer, over: Over, named: &str) {
    assert_eq!(answer.status, 429, "{protocol:?} {named}: {}", answer.raw_text());
    let told = protocol.error(&answer.json());
    assert!(told.message.contains(named), "{protocol:?}: {told:?}");
    let wait = header(answer, "retry-after");
    match over {
        Over::Soon => assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{wait:?}"),
        Over::In(seconds) => assert!(
            wait.is_some_and(|wait| (1..=seconds).contains(&wait)),
            "{wait:?} of {seconds}"
        ),
        Over::Never => assert_eq!(wait, None),
    }
    let stops = answer.header("x-should-retry") == Some("false");
    assert_eq!(stops, over != Over::Soon, "{protocol:?} {named}");
    match protocol {
        Messages => assert_eq!(told.kind, "rate_limit_error"),
        Responses | Chat | ChatOnClaude | ChatOnGemini if over == Over::Soon => {
            assert_eq!(told.kind, "rate_limit_exceeded");
        }
        Responses | Chat | ChatOnClaude | ChatOnGemini => {
            assert_eq!(told.kind, "usage_limit_reached");
            assert_eq!(told.wait, wait.map(|wait| wait.to_string()));
        }
        Gemini | Assist => {
            assert_eq!(told.kind, "RESOURCE_EXHAUSTED");
            let seconds = wait.unwrap_or(86_400);
            assert_eq!(told.wait, Some(format!("{seconds}s")));
        }
    }
}

#[track_caller]
fn refused(protocol: Protocol, answer: &Answer, status: u16, named: &str) {
    assert_eq!(
        answer.status,
        status,
        "{protocol:?} {named}: {}",
        answer.raw_text()
    );
    let told = protocol.error(&answer.json());
    assert!(told.message.contains(named), "{protocol:?}: {told:?}");
    assert_eq!(
        answer.header("x-should-retry"),
        Some("false"),
        "{protocol:?} {named}"
    );
    let kind = match (protocol, status) {
        (Messages, 401) => "authentication_error",
        (Messages, _) => "permission_error",
        (Responses | Chat | ChatOnClaude | ChatOnGemini, 401) => "invalid_api_key",
        (Responses | Chat | ChatOnClaude | ChatOnGemini, _) => match named {
            "may not use the model" => "model_restricted",
            "droid_cli" => "client_not_allowed",
            _ => "service_not_permitted",
        },
        (Gemini | Assist, 401) => "UNAUTHENTICATED",
        (Gemini | Assist, _) => "PERMISSION_DENIED",
    };
    assert_eq!(told.kind, kind);
}

async fn key(bench: &Bench, fields: &Value) -> Key {
    let mut body = json!({ "name": "k" });
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    bench.relay.create_key(&body).await
}

/// The call after the one that uses the limit up.
async fn second(bench: &Bench, protocol: Protocol, fields: &Value) -> Answer {
    let key = key(bench, fields).await;
    let call = || protocol.call(&bench.relay, &key.secret, "hi").send();
    call().await.good();
    slots_are_free(&bench.relay, &key).await;
    call().await
}

async fn every_limit(protocol: Protocol) {
    let b = bench(protocol).await;
    let asked = || b.asked(protocol).len();

    // What a key may not do at all reaches no provider.
    let elsewhere = if protocol.platform() == "claude" {
        "gemini"
    } else {
        "claude"
    };
    for (fields, status, named) in [
        (json!({ "permissions": [elsewhere] }), 403, "may not use"),
        (
            json!({ "enableModelRestriction": true, "restrictedModels": [protocol.model()] }),
            403,
            "may not use the model",
        ),
        (
            json!({ "enableModelRestriction": true, "modelRestrictionMode": "allow", "restrictedModels": ["another"] }),
            403,
            "may not use the model",
        ),
        (
            json!({ "enableClientRestriction": true, "allowedClients": ["droid_cli"] }),
            403,
            "droid_cli",
        ),
    ] {
        let key = key(&b, &fields).await;
        let answer = protocol.call(&b.relay, &key.secret, "hi").send().await;
        refused(protocol, &answer, status, named);
    }
    for (change, named) in [
        (json!({ "isActive": false }), "disabled"),
        (json!({ "expiresAt": "2020-01-01T00:00:00Z" }), "expired"),
    ] {
        let key = key(&b, &json!({})).await;
        let path = format!("/admin/api-keys/{}", key.id);
        b.relay.admin().patch(&path, &change).await.good();
        let answer = protocol.call(&b.relay, &key.secret, "hi").send().await;
        refused(protocol, &answer, 401, named);
    }
    assert_eq!(asked(), 0);

    // What is used up.
    let hour = Over::In(3_600);
    for (fields, over, named) in [
        (
            json!({ "rateLimitWindow": 60, "rateLimitRequests": 1 }),
            hour,
            "requests per window",
        ),
        (
            json!({ "rateLimitWindow": 60, "tokenLimit": 1 }),
            hour,
            "tokens per window",
        ),
        (
            json!({ "rateLimitWindow": 60, "rateLimitCost": 0.000_001 }),
            hour,
            "cost per window",
        ),
        (
            json!({ "dailyCostLimit": 0.000_001 }),
            Over::In(86_400),
            "cost per day",
        ),
        (
            json!({ "weeklyCostLimit": 0.000_001 }),
            Over::In(7 * 86_400),
            "cost per week",
        ),
        (
            json!({ "monthlyCostLimit": 0.000_001 }),
            Over::In(31 * 86_400),
            "cost per month",
        ),
        (json!({ "totalCostLimit": 0.000_001 }), Over::Never, "total cost"),
    ] {
        let answer = second(&b, protocol, &fields).await;
        limited(protocol, &answer, over, named);
    }
    // Only models of the Opus class are stopped by their own limit.
    second(&b, protocol, &json!({ "weeklyOpusCostLimit": 0.000_001 }))
        .await
        .good();

    // What is busy.
    let key = key(&b, &json!({ "concurrencyLimit": 1 })).await;
    b.answers(protocol, Script::stall_before_head);
    let before = asked();
    let holder = protocol.call(&b.relay, &key.secret, "hi").sent().await;
    eventually("it runs", async || (asked() > before).then_some(())).await;
    let answer = protocol.call(&b.relay, &key.secret, "hi").send().await;
    limited(protocol, &answer, Over::Soon, "requests running");
    holder.reset();
    slots_are_free(&b.relay, &key).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_messages() {
    every_limit(Messages).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_responses() {
    every_limit(Responses).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_chat_completions() {
    every_limit(Chat).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_chat_completions_on_claude() {
    every_limit(ChatOnClaude).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_chat_completions_on_gemini() {
    every_limit(ChatOnGemini).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_the_gemini_api() {
    every_limit(Gemini).await;
}

#[tokio::test]
async fn every_limit_is_refused_in_code_assist() {
    every_limit(Assist).await;
}

#[tokio::test]
async fn what_a_key_may_not_use_is_not_listed() {
    let b = bench(Messages).await;
    let base = b.relay.url();
    // The names that go when one is denied: its own, and that of an alias which may mean it.
    let of_gemini = ["gemini-2.5-pro", "gemini-pro-latest"];
    for (path, field, protocol, gone) in [
        ("/api/v1/models", "data", Messages, &["claude-sonnet-4-5"][..]),
        ("/openai/v1/models", "data", Responses, &["gpt-5"]),
        (
            "/openai/claude/v1/models",
            "data",
            ChatOnClaude,
            &["claude-sonnet-4-5"],
        ),
        ("/openai/gemini/v1/models", "data", ChatOnGemini, &of_gemini),
        ("/gemini/v1beta/models", "models", Gemini, &of_gemini),
    ] {
        let one = gone[0];
        let listed = async |fields: Value| {
            let key = key(&b, &fields).await;
            let client = crs_support::client::Client::new(base).with_key(&key.secret);
            client.get(path).await
        };
        let names = |answer: &Answer| {
            let items = answer.json()[field].as_array().expect("a list").clone();
            items
                .iter()
                .map(|item| {
                    item["id"]
                        .as_str()
                        .or(item["name"].as_str())
                        .expect("a name")
                        .to_owned()
                })
                .map(|name| name.trim_start_matches("models/").to_owned())
                .collect::<Vec<_>>()
        };
        let all = names(&listed(json!({})).await.good());
        assert!(all.len() > 1 && all.iter().any(|name| name == one), "{all:?}");
        let only = json!({ "enableModelRestriction": true, "modelRestrictionMode": "allow", "restrictedModels": [one] });
        assert_eq!(names(&listed(only).await.good()), [one]);
        let but = json!({ "enableModelRestriction": true, "restrictedModels": [one] });
        let rest = names(&listed(but).await.good());
        let expected = all.iter().filter(|name| !gone.contains(&name.as_str()));
        assert!(rest.iter().eq(expected), "{rest:?}");
        let elsewhere = if protocol.platform() == "claude" {
            "gemini"
        } else {
            "claude"
        };
        let answer = listed(json!({ "permissions": [elsewhere] })).await;
        refused(protocol, &answer, 403, "may not use");
    }
}
