//! The choice of accounts in each protocol: sessions, bindings, and the provider's quota.

use crs_support::client::{Answer, Call};
use crs_support::eventually;
use serde_json::{Value, json};

use super::super::support::slots_are_free;
use super::{
    ALL, Assist, Bench, Chat, ChatOnClaude, ChatOnGemini, Gemini, Messages, Protocol, Responses, bench,
    credential,
};

/// A session, and how its calls show it.
type Signal = (&'static str, fn(Call) -> Call);

fn signals(protocol: Protocol) -> Vec<Signal> {
    const ID: &str = "0190f1a2-0000-4000-8000-000000000000";
    match protocol {
        Messages => vec![
            ("header", |call| call.header("x-claude-code-session-id", ID)),
            ("metadata", |call| {
                call.edit(|body| {
                    body["metadata"] = json!({ "user_id": format!("user_a_account__session_{ID}") });
                })
            }),
            ("prefix", |call| {
                call.edit(|body| body["system"] = "s".repeat(5_000).into())
            }),
        ],
        Responses => vec![
            ("header", |call| call.header("session-id", ID)),
            ("cacheKey", |call| {
                call.edit(|body| body["prompt_cache_key"] = ID.into())
            }),
            ("prefix", |call| {
                call.edit(|body| body["instructions"] = "s".repeat(5_000).into())
            }),
        ],
        Chat | ChatOnClaude | ChatOnGemini => vec![
            ("header", |call| call.header("x-session-id", ID)),
            ("cacheKey", |call| {
                call.edit(|body| body["prompt_cache_key"] = ID.into())
            }),
            ("prefix", |call| {
                call.edit(|body| {
                    let said = body["messages"][0].clone();
                    body["messages"] = json!([{ "role": "system", "content": "s".repeat(5_000) }, said]);
                })
            }),
        ],
        Gemini => vec![
            ("sessionId", |call| {
                call.edit(|body| body["session_id"] = ID.into())
            }),
            ("prefix", |call| {
                call.edit(|body| {
                    body["systemInstruction"] = json!({ "parts": [{ "text": "s".repeat(5_000) }] });
                })
            }),
        ],
        Assist => vec![
            ("sessionId", |call| {
                call.edit(|body| body["request"]["session_id"] = ID.into())
            }),
            ("prefix", |call| {
                call.edit(|body| {
                    body["request"]["systemInstruction"] =
                        json!({ "parts": [{ "text": "s".repeat(5_000) }] });
                })
            }),
        ],
    }
}

async fn trace(b: &Bench, answer: &Answer) -> Value {
    let path = format!(
        "/admin/requests/{}",
        answer.header("x-request-id").expect("an id")
    );
    eventually("the log has the call", async || {
        let shown = b.relay.admin().get(&path).await;
        (shown.status == 200).then(|| shown.json()["trace"].clone())
    })
    .await
}

#[tokio::test]
async fn a_conversation_stays_on_its_account_by_whatever_signal() {
    for protocol in ALL {
        let b = bench(protocol).await;
        let second = b.account(protocol, "second", 70).await;
        for (signal, shown) in signals(protocol) {
            let key = b.relay.key(signal).create().await;
            let call = || protocol.call(&b.relay, &key.secret, "hi");
            let path = format!("/admin/accounts/{second}");
            let second_is = async |priority: u32| {
                let change = json!({ "priority": priority });
                b.relay.admin().patch(&path, &change).await.good();
            };
            // The conversation begins on the second account, and then the first is the better one.
            second_is(1).await;
            shown(call()).send().await.good();
            assert_eq!(b.last_credential(protocol), credential("second"));
            second_is(70).await;
            call().send().await.good();
            assert_eq!(
                b.last_credential(protocol),
                credential("first"),
                "{protocol:?} {signal}"
            );
            let answer = shown(call()).send().await.good();
            assert_eq!(
                b.last_credential(protocol),
                credential("second"),
                "{protocol:?} {signal}"
            );
            let trace = trace(&b, &answer).await;
            assert_eq!(
                (&trace["session"], &trace["sticky"]),
                (&json!(signal), &json!(true)),
                "{protocol:?}"
            );
            assert!(trace["cacheReadShare"].is_number(), "{protocol:?}: {trace}");
        }
    }
}

#[tokio::test]
async fn a_key_is_bound_on_each_platform() {
    let b = bench(Messages).await;
    let mut bindings = json!({});
    for protocol in [Messages, Responses, Gemini] {
        let name = format!("{}-bound", protocol.platform());
        let id = b.account(protocol, &name, 60).await;
        b.account(protocol, &format!("{}-common", protocol.platform()), 1)
            .await;
        bindings[protocol.platform()] = id.into();
    }
    let bound = b.relay.key("bound").set("bindings", bindings).create().await;
    let free = b.relay.key("free").create().await;
    for protocol in ALL {
        let platform = protocol.platform();
        protocol.call(&b.relay, &bound.secret, "hi").send().await.good();
        assert_eq!(
            b.last_credential(protocol),
            credential(&format!("{platform}-bound"))
        );
        protocol.call(&b.relay, &free.secret, "hi").send().await.good();
        assert_eq!(
            b.last_credential(protocol),
            credential(&format!("{platform}-common"))
        );
    }
}

#[tokio::test]
async fn what_an_answer_tells_of_the_quota_is_kept_and_a_reserve_is_left() {
    // Without a session, so that the pool is free to choose.
    let soon = "3600";
    let moment = "4000000000";
    let cases = [
        (
            Messages,
            vec![
                ("anthropic-ratelimit-unified-5h-utilization", "0.95"),
                ("anthropic-ratelimit-unified-5h-reset", moment),
            ],
            "unified-5h",
            95.0,
        ),
        (
            Responses,
            vec![
                ("x-codex-primary-used-percent", "96"),
                ("x-codex-primary-reset-after-seconds", soon),
            ],
            "codex-primary",
            96.0,
        ),
        (
            Chat,
            vec![
                ("x-ratelimit-limit-requests", "100"),
                ("x-ratelimit-remaining-requests", "3"),
                ("x-ratelimit-reset-requests", "1h0m0s"),
            ],
            "requests",
            97.0,
        ),
    ];
    for (protocol, headers, name, used) in cases {
        let b = bench(protocol).await;
        b.answers(protocol, |script| {
            headers
                .iter()
                .fold(script, |script, (name, value)| script.with_header(name, value))
        });
        let key = b.relay.key("k").create().await;
        protocol.call(&b.relay, &key.secret, "hi").send().await.good();
        slots_are_free(&b.relay, &key).await;
        let list = b.relay.admin().get("/admin/accounts").await.good().json();
        let id = list["items"][0]["id"].as_str().expect("an id").to_owned();
        let path = format!("/admin/accounts/{id}");
        let window = eventually("the window is known", async || {
            let account = b.relay.admin().get(&path).await.good().json();
            account["quota"].as_array()?.first().cloned()
        })
        .await;
        assert_eq!(
            (&window["name"], &window["usedPercent"]),
            (&json!(name), &json!(used)),
            "{window}"
        );
        // With less left than its reserve, another of its priority goes first, however often.
        b.relay
            .admin()
            .patch(&path, &json!({ "reservePercent": 10 }))
            .await
            .good();
        b.account(protocol, "second", 50).await;
        b.answers(protocol, |script| script);
        for _ in 0..3 {
            protocol.call(&b.relay, &key.secret, "hi").send().await.good();
            assert_eq!(b.last_credential(protocol), credential("second"), "{protocol:?}");
            slots_are_free(&b.relay, &key).await;
        }
    }
}
