//! Who may call, and how many at once.

use std::time::Duration;

use crs_support::client::Client;
use crs_support::provider::Script;
use serde_json::json;

use super::support::{ready, ready_with, slots_are_free};

#[tokio::test]
async fn a_key_is_found_in_every_place_its_protocol_puts_it() {
    let r = ready().await;
    let plain = Client::new(&r.relay.api());
    for (name, value) in [
        ("x-api-key", r.key.secret.clone()),
        ("authorization", format!("Bearer {}", r.key.secret)),
        ("authorization", format!("bearer {}", r.key.secret)),
        ("x-goog-api-key", r.key.secret.clone()),
        ("api-key", r.key.secret.clone()),
    ] {
        plain.messages("hi").header(name, &value).send().await.good();
    }
    let body = plain.messages("hi").ask.body;
    plain
        .call("POST", &format!("/v1/messages?key={}", r.key.secret))
        .body(body)
        .send()
        .await
        .good();
    // The same key twice is one key.
    r.client
        .messages("hi")
        .header("authorization", &format!("Bearer {}", r.key.secret))
        .send()
        .await
        .good();
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_said_and_final() {
    let r = ready().await;
    let plain = Client::new(&r.relay.api());
    let other = r.relay.key("other").create().await;
    let refused = [
        (plain.messages("hi"), "No API key"),
        (
            plain.messages("hi").header("x-api-key", "sk-ant-something-else"),
            "not an API key of this relay",
        ),
        (
            plain
                .messages("hi")
                .header("x-api-key", &format!("cr_{}", "a".repeat(64))),
            "not an API key of this relay",
        ),
        (
            r.client
                .messages("hi")
                .header("authorization", &format!("Bearer {}", other.secret)),
            "Two different API keys",
        ),
    ];
    for (call, says) in refused {
        let answer = call.send().await.expect(401);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        let message = answer.json()["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned();
        assert!(message.contains(says), "{message}");
        assert_eq!(
            answer.json()["request_id"].as_str(),
            answer.header("x-request-id")
        );
    }
    assert_eq!(r.provider.calls(), 0);
}

#[tokio::test]
async fn a_disabled_key_is_refused_and_works_again_once_it_is_enabled() {
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    r.relay
        .admin()
        .patch(
            &format!("/admin/api-keys/{}", r.key.id),
            &json!({ "isActive": false }),
        )
        .await
        .good();
    let answer = r.client.messages("hi").send().await.expect(401);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("disabled"))
    );
    r.relay
        .admin()
        .patch(
            &format!("/admin/api-keys/{}", r.key.id),
            &json!({ "isActive": true }),
        )
        .await
        .good();
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn an_expired_key_and_a_deleted_one() {
    let r = ready().await;
    let path = format!("/admin/api-keys/{}", r.key.id);
    r.relay
        .admin()
        .patch(&path, &json!({ "expiresAt": "2020-01-01T00:00:00Z" }))
        .await
        .good();
    let answer = r.client.messages("hi").send().await.expect(401);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("expired on 2020-01-01")),
        "{}",
        answer.raw_text()
    );
    r.relay
        .admin()
        .patch(&path, &json!({ "expiresAt": null }))
        .await
        .good();
    r.client.messages("hi").send().await.good();
    r.relay.admin().delete(&path).await.good();
    r.client.messages("hi").send().await.expect(401);
    r.relay
        .admin()
        .post(&format!("{path}/restore"), &json!({}))
        .await
        .good();
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn exactly_the_limit_is_admitted_from_any_crowd() {
    let r = ready().await;
    let key = r.relay.key("narrow").set("concurrencyLimit", 7).create().await;
    let client = r.relay.client(&key.secret);
    r.provider
        .answer(Script::message("slow").deltas(6).stall_after(4));
    let calls = futures_util::future::join_all((0..200).map(|_| client.messages("hi").stream().open())).await;
    let admitted = calls.iter().filter(|(head, _)| head.status == 200).count();
    let refused = calls.iter().filter(|(head, _)| head.status == 429).count();
    assert_eq!((admitted, refused), (7, 193));
    let (head, _) = calls
        .iter()
        .find(|(head, _)| head.status == 429)
        .expect("a refusal");
    let wait: u64 = head
        .headers
        .get("retry-after")
        .expect("retry-after")
        .parse()
        .expect("seconds");
    assert!((1..=5).contains(&wait));
    assert_eq!(r.provider.calls(), 7);
    // Counting tokens takes no slot.
    client
        .call("POST", "/v1/messages/count_tokens")
        .body(client.messages("hi").ask.body)
        .send()
        .await
        .good();
    // A stalled stream's connection that is only closed looks to some servers like one that is half open.
    for (_, raw) in calls {
        raw.reset();
    }
    slots_are_free(&r.relay, &key).await;
    r.provider.answer(Script::message("free again"));
    client.messages("hi").send().await.good();
}

#[tokio::test]
async fn a_restricted_model_and_a_service_that_is_not_permitted() {
    let r = ready().await;
    let key = r
        .relay
        .key("restricted")
        .set("enableModelRestriction", true)
        .set("restrictedModels", json!(["claude-opus-4-1"]))
        .create()
        .await;
    let client = r.relay.client(&key.secret);
    let answer = client
        .messages("hi")
        .model("claude-opus-4-1")
        .send()
        .await
        .expect(403);
    assert_eq!(answer.json()["error"]["type"], "permission_error");
    client
        .messages("hi")
        .model("claude-sonnet-4-5")
        .send()
        .await
        .good();
    let key = r
        .relay
        .key("gemini only")
        .set("permissions", json!(["gemini"]))
        .create()
        .await;
    r.relay
        .client(&key.secret)
        .messages("hi")
        .send()
        .await
        .expect(403);
}

#[tokio::test]
async fn a_session_stays_on_its_account() {
    let r = ready().await;
    for number in 0..4 {
        r.relay
            .claude_account(&format!("more-{number}"), &format!("sk-ant-more-{number}"))
            .await;
    }
    for _ in 0..3 {
        for session in ["s1", "s2", "s3"] {
            r.client.messages("hi").session(session).send().await.good();
        }
    }
    for session in ["s1", "s2", "s3"] {
        let accounts: std::collections::BTreeSet<_> = r
            .provider
            .requests()
            .into_iter()
            .filter(|seen| format!("{:?} {}", seen.headers, seen.text()).contains(session))
            .filter_map(|seen| seen.credential().map(str::to_owned))
            .collect();
        assert_eq!(accounts.len(), 1, "{session}: {accounts:?}");
    }
    let all: std::collections::BTreeSet<_> = r
        .provider
        .requests()
        .into_iter()
        .filter_map(|seen| seen.credential().map(str::to_owned))
        .collect();
    assert_eq!(all.len(), 3, "new sessions go to the account used longest ago");
}

#[tokio::test]
async fn disabling_deleting_or_freeing_ends_a_running_stream() {
    // On the edge a stream hears of it when its lease is renewed, four times in the idle time-out.
    let r = ready_with(|setup| setup.env("STREAM_IDLE_TIMEOUT", 400)).await;
    for (count, way, code) in [
        (1, "disable", "key_disabled"),
        (2, "delete", "key_disabled"),
        (3, "free", "ended_by_operator"),
    ] {
        let key = r.relay.key(way).create().await;
        r.provider.next(
            Script::message("on and on ".repeat(200))
                .deltas(2_000)
                .every(Duration::from_millis(20)),
        );
        let call = r.relay.client(&key.secret).messages("hi").stream();
        let (head, mut raw) = call.open().await;
        raw.until("content_block_delta").await;
        let admin = r.relay.admin();
        let path = format!("/admin/api-keys/{}", key.id);
        match way {
            "disable" => admin.patch(&path, &json!({ "isActive": false })).await.good(),
            "delete" => admin.delete(&path).await.good(),
            _ => {
                let call = head.headers.get("x-request-id").expect("an id");
                admin
                    .delete(&format!("/admin/concurrency/{call}"))
                    .await
                    .expect(204)
            }
        };
        let rest = raw.until("event: error\n").await;
        assert!(rest.len() < 100_000, "{way}: it went on");
        assert_eq!(r.entries(count).await[0]["error"], code, "{way}");
        slots_are_free(&r.relay, &key).await;
    }
}

#[tokio::test]
async fn a_rotated_key_works_with_its_new_secret_only_and_a_purged_one_is_gone() {
    let r = ready().await;
    let path = format!("/admin/api-keys/{}", r.key.id);
    // The key's gate knows the old secret well.
    r.client.messages("hi").send().await.good();
    let rotated = r
        .relay
        .admin()
        .post(&format!("{path}/rotate"), &json!({}))
        .await
        .good()
        .json();
    assert_eq!(rotated["id"], json!(r.key.id));
    let answer = r.client.messages("hi").send().await.expect(401);
    assert!(
        answer.raw_text().contains("not known here"),
        "{}",
        answer.raw_text()
    );
    let client = r.relay.client(rotated["key"].as_str().expect("a key"));
    client.messages("hi").send().await.good();
    // Both secrets' calls are the same key's.
    for entry in r.entries(2).await {
        assert_eq!(entry["keyId"], json!(r.key.id));
    }
    let purge = format!("{path}/permanent");
    assert_eq!(r.relay.admin().delete(&purge).await.status, 409);
    r.relay.admin().delete(&path).await.good();
    assert_eq!(r.relay.admin().delete(&purge).await.status, 204);
    assert_eq!(r.relay.admin().get(&path).await.status, 404);
    client.messages("hi").send().await.expect(401);
}

#[tokio::test]
async fn a_hundred_keys_are_made_at_once_and_disabled_at_once() {
    let r = ready().await;
    let admin = r.relay.admin();
    let many = json!({"count": 100, "key": {"name": "class", "concurrencyLimit": 2, "tags": ["2026"]}});
    let answer = admin.post("/admin/api-keys/create-many", &many).await;
    assert_eq!(answer.status, 201);
    let made = answer.json();
    let made = made["items"].as_array().expect("keys");
    assert_eq!(made.len(), 100);
    let [first, last] = [&made[0], &made[99]].map(|key| {
        let secret = key["key"].as_str().expect("a key");
        r.relay.client(secret)
    });
    first.messages("hi").send().await.good();
    last.messages("hi").send().await.good();
    let ids: Vec<_> = made.iter().map(|key| &key["id"]).collect();
    let batch = |action: &str| json!({"ids": ids, "action": action});
    let done = admin
        .post("/admin/api-keys/batch", &batch("disable"))
        .await
        .good()
        .json();
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(100), &json!(0)));
    first.messages("hi").send().await.expect(401);
    last.messages("hi").send().await.expect(401);
    let done = admin
        .post("/admin/api-keys/batch", &batch("delete"))
        .await
        .good()
        .json();
    assert_eq!(done["succeeded"], json!(100));
    let left = admin.get("/admin/api-keys?tags=2026").await.good().json();
    assert_eq!(left["total"], json!(0));
}
