//! Objects that OpenAI keeps for one account: stored responses and encrypted reasoning.

use crs_support::client::{Call, Client};
use crs_support::eventually;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{ACCOUNT_KEY, OpenAi, with_a_key};

pub(super) const SECOND: &str = "sk-openai-second-account";

/// Two accounts alike: what nothing ties to one goes to the one used longest ago.
pub(super) async fn two_accounts() -> OpenAi {
    let o = with_a_key().await;
    o.api_key("second", SECOND, 50).await;
    o
}

/// Short: nothing else ties it to a conversation.
pub(super) fn stored(client: &Client, previous: Option<&str>) -> Call {
    let mut body = json!({ "model": "gpt-5.4", "store": true, "input": "question" });
    if let Some(id) = previous {
        body["previous_response_id"] = id.into();
    }
    client.call("POST", "/responses").json(&body)
}

impl OpenAi {
    /// The account that was asked last.
    pub(super) fn served(&self) -> String {
        self.asked(Route::Responses).bearer().expect("a key").to_owned()
    }

    async fn accounts(&self) -> Vec<Value> {
        let accounts = self.relay.admin().get("/admin/accounts").await.good().json();
        accounts["items"].as_array().expect("items").clone()
    }

    /// The pool knows how all calls ended.
    pub(super) async fn settled(&self) {
        eventually("the calls are reported", async || {
            let accounts = self.accounts().await;
            accounts
                .iter()
                .all(|account| account["leases"].as_array().is_some_and(Vec::is_empty))
                .then_some(())
        })
        .await;
    }

    /// Calls that nothing ties to an account go to this one.
    pub(super) async fn prefer(&self, key: &str) {
        for other in [ACCOUNT_KEY, SECOND] {
            let priority = if other == key { 1 } else { 50 };
            self.change(other, &json!({ "priority": priority })).await;
        }
    }

    async fn change(&self, key: &str, change: &Value) {
        let name = if key == SECOND { "second" } else { "first" };
        let accounts = self.accounts().await;
        let account = accounts.iter().find(|account| account["name"] == name);
        let id = account.and_then(|account| account["id"].as_str()).expect("an id");
        let path = format!("/admin/accounts/{id}");
        self.relay.admin().patch(&path, change).await.good();
    }
}

#[tokio::test]
async fn a_stored_response_is_continued_where_it_is() {
    let o = two_accounts().await;
    let mut made = Vec::new();
    for key in [ACCOUNT_KEY, SECOND] {
        o.prefer(key).await;
        for streamed in [false, true] {
            let call = stored(&o.client, None);
            let answer = if streamed { call.stream() } else { call };
            let answer = answer.send().await.good();
            o.settled().await;
            assert_eq!(o.served(), key);
            let id = if streamed {
                answer.events()[0].data["response"]["id"].clone()
            } else {
                answer.json()["id"].clone()
            };
            made.push((id.as_str().expect("an id").to_owned(), key));
        }
    }
    for preferred in [ACCOUNT_KEY, SECOND] {
        o.prefer(preferred).await;
        for (id, key) in &made {
            stored(&o.client, Some(id)).send().await.good();
            assert_eq!(&o.served(), key);
        }
    }
    // What is not stored cannot be continued, so it ties nothing.
    let answer = o.responses().send().await.good();
    o.settled().await;
    o.prefer(ACCOUNT_KEY).await;
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    stored(&o.client, Some(&id)).send().await.good();
    assert_eq!(o.served(), ACCOUNT_KEY);
}

#[tokio::test]
async fn a_stored_response_whose_account_is_away_is_said_to_be() {
    let o = two_accounts().await;
    let answer = stored(&o.client, None).send().await.good();
    o.settled().await;
    let (id, home) = (
        answer.json()["id"].as_str().expect("an id").to_owned(),
        o.served(),
    );
    o.change(&home, &json!({ "schedulable": false })).await;
    let before = o.provider.calls();
    let refused = stored(&o.client, Some(&id)).send().await.expect(400);
    let message = refused.json()["error"]["message"]
        .as_str()
        .expect("words")
        .to_owned();
    assert!(
        message.contains("previous_response_id") && message.contains("new conversation"),
        "{message}"
    );
    assert_eq!(o.provider.calls(), before, "nobody else is asked");
    // Everything else goes on, and another key finds out nothing with the id.
    stored(&o.client, None).send().await.good();
    let key = o.relay.key("other").create().await;
    let other = Client::new(&format!("{}/openai", o.relay.url())).with_bearer(&key.secret);
    stored(&other, Some(&id)).send().await.good();
    assert_ne!(o.served(), home);
}

/// A conversation that sends its encrypted reasoning back.
fn goes_on(client: &Client, session: &str, reasoning: &str) -> Call {
    client.call("POST", "/responses").json(&json!({
        "model": "gpt-5.4", "stream": true, "store": false,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": session,
        "input": [
            { "role": "user", "content": "hi" },
            { "type": "reasoning", "id": "rs_1", "encrypted_content": reasoning, "summary": [] },
            { "role": "user", "content": "go on" },
        ],
    }))
}

#[tokio::test]
async fn encrypted_reasoning_goes_to_the_account_that_made_it() {
    let o = two_accounts().await;
    // What every answer of this provider has.
    let reasoning = "gAAAA==";
    for streamed in [true, false] {
        // A key of its own: what one key's calls made is of no other's concern.
        let key = o.relay.key("conversation").create().await;
        let client = Client::new(&format!("{}/openai", o.relay.url())).with_bearer(&key.secret);
        for account in [ACCOUNT_KEY, SECOND] {
            o.change(account, &json!({ "priority": 50 })).await;
        }
        let first = stored(&client, None);
        let first = if streamed { first.stream() } else { first };
        first.send().await.good();
        o.settled().await;
        let home = o.served();
        let other = if home == SECOND { ACCOUNT_KEY } else { SECOND };
        o.prefer(other).await;
        for session in ["s-1", "s-2", "s-3"] {
            let session = format!("{session}-{streamed}");
            goes_on(&client, &session, reasoning).send().await.good();
            o.settled().await;
            assert_eq!(o.served(), home, "streamed: {streamed}");
        }
        let session = format!("s-4-{streamed}");
        goes_on(&client, &session, "of nobody").send().await.good();
        o.settled().await;
        assert_eq!(o.served(), other);
    }
}

#[tokio::test]
async fn reasoning_that_an_account_cannot_read_is_left_out() {
    let o = two_accounts().await;
    o.provider.on(Route::Responses).answer(Script::decide(|request| {
        if request.text().contains("\"of another account\"") {
            let error = json!({"error": {
                "code": "invalid_encrypted_content", "type": "invalid_request_error", "param": null,
                "message": "The encrypted content of ... could not be verified.",
            }});
            return Script::json(error).status(400);
        }
        Script::openai("went on")
    }));
    let answer = goes_on(&o.client, "s-1", "of another account")
        .send()
        .await
        .good();
    let asked = o.provider.requests_to(Route::Responses);
    assert_eq!(asked.len(), 2, "once more, and on the same account");
    assert_eq!(asked[0].bearer(), asked[1].bearer());
    let mut expected = asked[0].json();
    expected["input"].as_array_mut().expect("items").remove(1);
    assert_eq!(asked[1].json(), expected, "exactly the reasoning is gone");
    let id = answer.header("x-request-id").expect("an id");
    let path = format!("/admin/requests/{id}");
    let told = eventually("the call is in the log", async || {
        let answer = o.relay.admin().get(&path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(told["trace"]["attempts"][0]["reasoningLeftOut"], 1, "{told}");

    // Without anything that could be left out the error is the client's.
    o.provider
        .on(Route::Responses)
        .answer(Script::json(json!({"error": {"code": "invalid_encrypted_content"}})).status(400));
    let refused = o.responses().send().await.expect(400);
    assert_eq!(refused.json()["error"]["code"], "invalid_encrypted_content");
}

#[tokio::test]
async fn a_deleted_account_is_said_to_be_gone() {
    let o = two_accounts().await;
    let answer = stored(&o.client, None).send().await.good();
    o.settled().await;
    let (id, home) = (
        answer.json()["id"].as_str().expect("an id").to_owned(),
        o.served(),
    );
    let name = if home == SECOND { "second" } else { "first" };
    let accounts = o.accounts().await;
    let account = accounts.iter().find(|account| account["name"] == name);
    let path = account.and_then(|account| account["id"].as_str()).expect("an id");
    o.relay
        .admin()
        .delete(&format!("/admin/accounts/{path}"))
        .await
        .good();
    let before = o.provider.calls();
    let refused = stored(&o.client, Some(&id)).send().await.expect(400);
    let message = refused.json()["error"]["message"].to_string();
    assert!(
        message.contains("previous_response_id") && message.contains("gone"),
        "{message}"
    );
    assert_eq!(o.provider.calls(), before, "nobody else is asked");
    stored(&o.client, None).send().await.good();
}

/// Two accounts took part in a conversation: the one that made its newest reasoning gets all that it made.
#[tokio::test]
async fn of_two_makers_reasoning_that_of_the_newest_is_kept() {
    let o = two_accounts().await;
    let said = |marks: &[&str]| {
        let mut input = vec![json!({ "role": "user", "content": "hi" })];
        for mark in marks {
            input
                .push(json!({ "type": "reasoning", "id": "rs_1", "encrypted_content": mark, "summary": [] }));
            input.push(json!({ "role": "user", "content": "go on" }));
        }
        json!({ "model": "gpt-5.4", "store": false, "prompt_cache_key": "s-1", "input": input })
    };
    // Each account reads what it made itself, and makes something new with each answer.
    o.provider.on(Route::Responses).answer(Script::decide(|request| {
        let own = if request.bearer() == Some(SECOND) { "two" } else { "one" };
        let body = request.json();
        let items = body["input"].as_array().expect("items");
        let sealed = items.iter().filter_map(|item| item["encrypted_content"].as_str());
        let mut count = 0;
        for mark in sealed {
            if !mark.starts_with(own) {
                let error = json!({ "error": { "code": "invalid_encrypted_content", "message": "no" } });
                return Script::json(error).status(400);
            }
            count += 1;
        }
        Script::json(json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5.4",
            "output": [{ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": format!("{own}-{count}-{}", items.len()) }],
            "usage": { "input_tokens": 1, "output_tokens": 1, "total_tokens": 2 },
        }))
    }));
    let mut marks: Vec<String> = Vec::new();
    let go_on = async |marks: &mut Vec<String>| {
        let carried: Vec<&str> = marks.iter().map(String::as_str).collect();
        let call = o.client.call("POST", "/responses").json(&said(&carried));
        let answer = call.send().await.good();
        o.settled().await;
        let made = answer.json()["output"][0]["encrypted_content"].clone();
        marks.push(made.as_str().expect("reasoning").to_owned());
        answer
    };
    o.prefer(ACCOUNT_KEY).await;
    go_on(&mut marks).await;
    go_on(&mut marks).await;
    // The other account takes over, and cannot read these.
    o.change(ACCOUNT_KEY, &json!({ "schedulable": false })).await;
    go_on(&mut marks).await;
    go_on(&mut marks).await;
    o.change(ACCOUNT_KEY, &json!({ "schedulable": true })).await;
    o.prefer(ACCOUNT_KEY).await;
    let before = o.provider.requests_to(Route::Responses).len();
    let answer = go_on(&mut marks).await;
    let asked = o.provider.requests_to(Route::Responses).split_off(before);
    assert_eq!(asked.len(), 2);
    assert!(
        asked.iter().all(|request| request.bearer() == Some(SECOND)),
        "{marks:?}"
    );
    let kept = asked[1].json()["input"].to_string();
    let (theirs, own) = marks[..4].split_at(2);
    assert!(theirs.iter().all(|mark| !kept.contains(mark)), "{kept}");
    assert!(own.iter().all(|mark| kept.contains(mark)), "{kept}");
    let id = answer.header("x-request-id").expect("an id");
    let path = format!("/admin/requests/{id}");
    let told = eventually("the call is in the log", async || {
        let answer = o.relay.admin().get(&path).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(told["trace"]["attempts"][0]["reasoningLeftOut"], 2, "{told}");
}

#[tokio::test]
async fn call_ids_that_are_too_long_are_shortened_alike() {
    let o = with_a_key().await;
    for id in [
        "toolu_gts1_01a2210a113c7606acb2719c56bf3111_0_q7Xk2aPz",
        &"x".repeat(80),
    ] {
        let body = json!({ "model": "gpt-5.4", "input": [
            { "type": "function_call", "id": id, "call_id": id, "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": id, "output": "r" },
        ] });
        o.client
            .call("POST", "/responses")
            .json(&body)
            .send()
            .await
            .good();
        let sent = o.asked(Route::Responses).json();
        let call = sent["input"][0]["call_id"].as_str().expect("an id").to_owned();
        assert!(call.len() <= 40, "{call}");
        assert_eq!(sent["input"][1]["call_id"], *call);
        let item = sent["input"][0]["id"].as_str().expect("an id");
        assert!(item.starts_with("fc_") && item.len() <= 64, "{item}");
    }
}
