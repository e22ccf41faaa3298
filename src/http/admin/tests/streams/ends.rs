//! Ends: by the protocol's word, and by the operator's.

use super::*;

#[tokio::test]
async fn a_converted_stream_ends_with_the_answer_and_not_with_the_connection() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&way.piece());
        let mut client = r.call();
        client.hears().await;
        said.frame(&way.last());
        let (at_once, over) = client.hears().await;
        assert!(!over);
        // The connection stays open.
        r.pass(0.5);
        let (then, over) = client.hears().await;
        let heard = at_once + &then;
        assert!(over && heard.contains(way.end()), "{way:?}: {heard}");
        assert!(!said.is_read());
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)), "{way:?}");
    }
}

#[tokio::test]
async fn what_follows_the_reason_to_stop_is_not_lost() {
    let r = ready(Way::Bridge).await;
    let (head, said) = r.next();
    head.comes(200);
    said.frame(&google(&json!({
        "candidates": [{"content": {"parts": [{"text": "one"}]}, "finishReason": "STOP"}],
    })));
    let mut client = r.call();
    assert!(client.hears().await.0.contains("one"));
    r.pass(0.4);
    said.frame(&Way::Bridge.last());
    drop(said);
    let (heard, over) = client.hears().await;
    assert!(over && heard.contains(r#""text":".""#), "{heard}");
    assert!(heard.contains(r#""output_tokens":5"#), "{heard}");
    assert_eq!(heard.matches("event: message_stop").count(), 1);
}

/// The reason to stop, and no usage with it.
fn unmetered(way: Way) -> String {
    match way.platform() {
        "claude" => [
            claude("content_block_stop", &json!({"index": 0})),
            claude("message_delta", &json!({"delta": {"stop_reason": "end_turn"}})),
        ]
        .concat(),
        _ => google(&json!({
            "candidates": [{"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}],
        })),
    }
}

/// The usage alone.
fn usage(way: Way) -> String {
    match way.platform() {
        "claude" => claude(
            "message_delta",
            &json!({"delta": {}, "usage": {"output_tokens": 5}}),
        ),
        _ => google(&json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5}})),
    }
}

#[tokio::test]
async fn usage_that_comes_after_the_reason_to_stop_is_waited_for() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&(way.piece() + &unmetered(way)));
        let mut client = r.call();
        assert!(!client.hears().await.1);
        r.pass(4.0);
        assert!(!client.hears().await.1, "{way:?}");
        said.frame(&usage(way));
        assert!(!client.hears().await.1, "{way:?}");
        // With the usage nothing more is waited for than before.
        r.pass(0.5);
        let (heard, over) = client.hears().await;
        assert!(over && heard.contains(way.end()), "{way:?}: {heard}");
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)), "{way:?}");
        let listed = r.bench.get("/admin/requests").await.is(200).json;
        let tokens = &listed["items"][0]["tokens"];
        assert_eq!(
            (&tokens["input"], &tokens["output"]),
            (&json!(9), &json!(5)),
            "{way:?}: {listed}"
        );
    }
}

#[tokio::test]
async fn usage_that_never_comes_does_not_keep_a_stream_open() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&(way.piece() + &unmetered(way)));
        let mut client = r.call();
        client.hears().await;
        r.pass(4.9);
        assert!(!client.hears().await.1, "{way:?}");
        r.pass(0.1);
        let (heard, over) = client.hears().await;
        assert!(over && heard.contains(way.end()), "{way:?}: {heard}");
        assert!(!said.is_read());
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)), "{way:?}");
    }
}

#[tokio::test]
async fn a_stream_that_passes_as_it_is_ends_soon_after_its_last_event() {
    let r = ready(Way::Messages).await;
    let (head, said) = r.next();
    head.comes(200);
    let all = Way::Messages.piece() + &Way::Messages.last();
    said.frame(&all);
    let mut client = r.call();
    assert_eq!(client.hears().await, (all, false));
    r.pass(4.0);
    // What comes late still passes.
    said.frame("\n");
    assert_eq!(client.hears().await, ("\n".to_owned(), false));
    r.pass(4.0);
    assert_eq!(client.hears().await, (String::new(), false));
    r.pass(1.0);
    assert_eq!(client.hears().await, (String::new(), true));
    assert_eq!(r.settled(client).await, (Value::Null, json!(200)));
}

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Disables,
    Deletes,
    Releases,
}

impl Ends {
    async fn done(self, r: &Ready, request: &str) {
        let key = format!("/admin/api-keys/{}", r.id);
        match self {
            Self::Disables => r.bench.patch(&key, json!({"isActive": false})).await.is(200),
            Self::Deletes => r.bench.delete(&key).await.is(200),
            Self::Releases => {
                let call = format!("/admin/concurrency/{request}?keyId={}", r.id);
                r.bench.call("DELETE", &call, &Value::Null).await.is(204)
            }
        };
    }

    fn error(self) -> &'static str {
        match self {
            Self::Disables | Self::Deletes => "key_disabled",
            Self::Releases => "ended_by_operator",
        }
    }
}

const ALL: [Ends; 3] = [Ends::Disables, Ends::Deletes, Ends::Releases];

#[tokio::test]
async fn the_operator_ends_a_running_stream() {
    for way in [Way::Messages, Way::Bridge, Way::ChatOnClaude] {
        for ends in ALL {
            let r = ready(way).await;
            let (head, said) = r.next();
            head.comes(200);
            said.frame(&way.piece());
            let mut client = r.call();
            assert!(!client.hears().await.1);
            let id = client.header("x-request-id").to_owned();
            ends.done(&r, &id).await;
            let (heard, over) = client.hears().await;
            let told = match ends {
                Ends::Releases => "The operator of this relay ended this call.",
                _ => "This API key was disabled or deleted",
            };
            assert!(over && heard.contains(told), "{way:?} {ends:?}: {heard}");
            assert_eq!(heard.contains("event: error\n"), way != Way::ChatOnClaude);
            assert!(!said.is_read());
            assert_eq!(r.settled(client).await.0, ends.error());
        }
    }
}

#[tokio::test]
async fn the_operator_ends_a_stream_that_has_not_begun() {
    for way in [Way::Messages, Way::ChatOnGemini] {
        let r = ready(way).await;
        let (head, _said) = r.next();
        let mut client = r.call();
        assert_eq!(client.head().await, None);
        Ends::Disables.done(&r, "").await;
        assert_eq!(client.head().await, Some(401), "{way:?}");
        assert!(!head.is_awaited());
        assert_eq!(r.settled(client).await.0, "key_disabled");
    }
    // With its head out already.
    let r = ready(Way::ChatOnGemini).await;
    let (head, _said) = r.next();
    let mut client = r.call();
    assert_eq!(client.head().await, None);
    r.pass(10.0);
    client.hears().await;
    Ends::Deletes.done(&r, "").await;
    let (heard, over) = client.hears().await;
    assert!(over && heard.contains("disabled or deleted"), "{heard}");
    assert!(!head.is_awaited());
    assert_eq!(r.settled(client).await.0, "key_disabled");
}

#[tokio::test]
async fn other_keys_streams_go_on() {
    let r = ready(Way::Messages).await;
    let other = r
        .bench
        .post("/admin/api-keys", json!({"name": "other"}))
        .await
        .is(201);
    let (head, said) = r.next();
    head.comes(200);
    said.frame(&Way::Messages.piece());
    let mut client = r.call();
    client.hears().await;
    r.bench
        .delete(&format!("/admin/api-keys/{}", other.text("id")))
        .await
        .is(200);
    assert_eq!(client.hears().await, (String::new(), false));
    said.frame(&Way::Messages.last());
    drop(said);
    assert_eq!(client.hears().await, (Way::Messages.last(), true));
}

#[tokio::test]
async fn where_nobody_can_reach_a_stream_the_renewal_of_its_lease_ends_it() {
    for ends in ALL {
        let r = ready(Way::Messages).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&Way::Messages.piece());
        let mut client = r.call();
        client.hears().await;
        // Another isolate's registry has no such stream: only the gate hears of it.
        let hash = r.bench.app.keyring.recognise(&r.key).unwrap();
        let call = crate::dialect::call::call_of(client.header("x-request-id")).unwrap();
        let mut record = r.bench.app.keys.get(&r.id).await.unwrap().unwrap();
        record.is_active = false;
        record.version += 1;
        let command = match ends {
            Ends::Disables => crs_durable::gate::Command::Learn {
                policy: Some(record.policy(0).into()),
            },
            Ends::Deletes => crs_durable::gate::Command::Learn { policy: None },
            Ends::Releases => crs_durable::gate::Command::Release { call },
        };
        r.bench.app.ports.gates.gate(&hash, command).await.unwrap();
        assert_eq!(client.hears().await, (String::new(), false));
        // Leases are renewed by frames, once a minute.
        r.pass(61.0);
        said.frame("\n");
        let (heard, over) = client.hears().await;
        assert!(over && heard.contains("event: error\n"), "{ends:?}: {heard}");
        assert_eq!(r.settled(client).await.0, ends.error());
    }
}
