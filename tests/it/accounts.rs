//! The operator's actions on accounts, and the limits of what clients can do to them.

use crs_support::client::events;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::support::{ACCOUNT_KEY, Ready, ready, relay};

async fn test_of(r: &Ready, id: &str, body: &Value) -> Vec<Value> {
    let answer = r
        .relay
        .admin()
        .post(&format!("/admin/accounts/{id}/test"), body)
        .await
        .good();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    events(&answer.body).into_iter().map(|event| event.data).collect()
}

async fn first_id(r: &Ready) -> String {
    let list = r.relay.admin().get("/admin/accounts").await.good().json();
    list["items"][0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_test_is_a_real_call_of_one_token() {
    let r = ready().await;
    let id = first_id(&r).await;
    r.provider.next(Script::message("H"));
    let told = test_of(&r, &id, &json!({ "model": "claude-sonnet-4-5" })).await;
    let kinds: Vec<_> = told.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["test_start", "content", "message_stop", "test_complete"]);
    assert_eq!(
        (&told[1]["text"], &told[3]["success"]),
        (&json!("H"), &json!(true))
    );
    let asked = r.provider.last_call();
    assert_eq!(
        (&asked.json()["max_tokens"], &asked.json()["model"]),
        (&json!(1), &json!("claude-sonnet-4-5"))
    );
    assert!(
        asked
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("crs-edge/"))
    );
    let entry = r.entry().await;
    assert_eq!(entry["keyId"], "account-test");
    assert!(entry["cost"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn a_test_tells_the_providers_words_and_works_on_a_marked_account() {
    let r = ready().await;
    let id = first_id(&r).await;
    r.provider.next(Script::error_saying(
        401,
        "authentication_error",
        "invalid x-api-key",
    ));
    r.client.messages("hi").send().await.expect(503);
    r.provider.next(Script::error_saying(
        401,
        "authentication_error",
        "invalid x-api-key",
    ));
    let told = test_of(&r, &id, &json!({})).await;
    let last = told.last().expect("an event");
    assert_eq!(last["success"], false);
    assert!(
        last["error"]
            .as_str()
            .is_some_and(|error| error.contains("invalid x-api-key")),
        "{last}"
    );
    // The key was mended at the provider; a test that goes well ends the mark.
    assert_eq!(
        test_of(&r, &id, &json!({})).await.last().expect("an event")["success"],
        true
    );
    r.relay
        .admin()
        .post("/admin/accounts/none/test", &json!({}))
        .await
        .expect(404);
    r.relay
        .admin()
        .post(&format!("/admin/accounts/{id}/test"), &json!({ "modell": "x" }))
        .await
        .expect(422);
}

#[tokio::test]
async fn a_full_account_is_busy_and_still_counts_tokens() {
    let r = ready().await;
    let id = first_id(&r).await;
    r.relay
        .admin()
        .patch(&format!("/admin/accounts/{id}"), &json!({ "maxConcurrency": 1 }))
        .await
        .good();
    r.provider.next(Script::message("slow").deltas(4).stall_after(5));
    let (_, mut raw) = r.client.messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    let busy = r.client.messages("hi").send().await.expect(429);
    assert_eq!(busy.header("retry-after"), Some("2"));
    let body = r.client.messages("hi").ask.body;
    r.client
        .call("POST", "/v1/messages/count_tokens")
        .body(body.clone())
        .send()
        .await
        .good();
    // A limit on counting says nothing about the account's messages.
    r.provider
        .on(Route::CountTokens)
        .next(Script::error(429).with_header("retry-after", "500"));
    r.client
        .call("POST", "/v1/messages/count_tokens")
        .body(body)
        .send()
        .await
        .expect(429);
    raw.reset();
    crs_support::eventually("the account is free", async || {
        (r.client.messages("hi").send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_a_client_sends_marks_an_account() {
    let provider = crs_support::provider::FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let tokens = provider.oauth().issue();
    relay
        .claude_oauth_account("oauth", &tokens, 4_000_000_000_000)
        .await;
    relay.claude_account("key", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    let client = relay.client(&key.secret);
    let long = format!("/v1/messages?x={}", "a".repeat(60_000));
    let body = client.messages("hi").ask.body;
    client.call("POST", &long).body(body).send().await.expect(400);
    client
        .messages("hi")
        .model(&"m".repeat(10_000))
        .send()
        .await
        .expect(400);
    for _ in 0..4 {
        client
            .messages("hi")
            .header("anthropic-beta", "caf\u{e9}")
            .send()
            .await
            .good();
    }
    provider.next(Script::error_saying(
        400,
        "invalid_request_error",
        "max_tokens: `credit balance is too low` is not a number",
    ));
    client.messages("hi").send().await.expect(400);
    let list = relay.admin().get("/admin/accounts").await.good().json();
    for account in list["items"].as_array().expect("accounts") {
        assert_eq!(account["status"], "active", "{account}");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_in_passing_marks_nobody() {
    let provider = crs_support::provider::FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let tokens = provider.oauth().issue_expired();
    relay
        .claude_oauth_account("oauth", &tokens, 4_000_000_000_000)
        .await;
    let key = relay.key("k").create().await;
    provider.on(Route::Token).next(Script::error(503));
    // Refused by the provider, and not renewed: bad luck for this call, and for no other.
    relay.client(&key.secret).messages("hi").send().await.expect(502);
    relay.client(&key.secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn a_key_and_a_name_are_shown_as_the_operator_says() {
    let provider = crs_support::provider::FakeProvider::start().await;
    let relay = super::support::relay(&provider).start().await;
    let key = relay.key("k").create().await;
    let client = relay.client(&key.secret);
    let add = async |fields: Value| {
        let mut account = json!({ "name": "host", "platform": "claude" });
        account
            .as_object_mut()
            .expect("an object")
            .extend(fields.as_object().expect("an object").clone());
        let made = relay
            .admin()
            .call("POST", "/admin/accounts")
            .json(&account)
            .send()
            .await;
        made.expect(201).json()
    };
    let asked = async |fields: Value| {
        let account = add(fields).await;
        client
            .messages("hi")
            .header("user-agent", "claude-cli/2.1.330 (external, cli)")
            .send()
            .await
            .good();
        let id = account["id"].as_str().expect("an id");
        let gone = relay.admin().call("DELETE", &format!("/admin/accounts/{id}"));
        assert!(gone.send().await.status < 300);
        (account, provider.requests().pop().expect("a call"))
    };
    let url = provider.url();
    let credentials = |key: &str, base: &str| json!({ "type": "apiKey", "apiKey": key, "baseUrl": base });

    // Guessed: as Anthropic's keys begin, and otherwise.
    let (account, call) = asked(json!({ "credentials": credentials("sk-ant-1", &url) })).await;
    assert_eq!(account["keyHeader"], Value::Null);
    assert_eq!(call.header("x-api-key"), Some("sk-ant-1"));
    let (account, call) = asked(json!({ "credentials": credentials("0123.abc", &url) })).await;
    assert_eq!(account["keyHeader"], "authorization");
    assert_eq!(call.header("authorization"), Some("Bearer 0123.abc"));
    assert_eq!(call.header("x-api-key"), None);

    // Said, with a path and a name of the host's and the operator's own.
    let own = json!({
        "credentials": credentials("0123.abc", &format!("{url}/own/path/messages")),
        "keyHeader": "x-api-key", "userAgent": "our-gateway/1.0",
    });
    provider
        .on(crs_support::provider::Route::Other)
        .answer(Script::message("hello"));
    let (_, call) = asked(own).await;
    assert_eq!(call.path(), "/own/path/messages");
    assert_eq!(call.header("x-api-key"), Some("0123.abc"));
    assert_eq!(call.header("user-agent"), Some("our-gateway/1.0"));

    let disguised = json!({
        "name": "n", "platform": "claude", "credentials": credentials("k", &url),
        "userAgent": "claude-cli/2.1.330 (external, cli)",
    });
    let refused = relay
        .admin()
        .call("POST", "/admin/accounts")
        .json(&disguised)
        .send()
        .await
        .expect(422)
        .json();
    assert_eq!(refused["field"], "userAgent", "{refused}");
}
