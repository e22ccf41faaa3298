//! Stored responses of OpenAI: read, cancelled and deleted at the account that made them.

use crs_support::client::Client;
use crs_support::eventually;
use crs_support::provider::{OpenAiAnswer, Route, Script};
use serde_json::{Value, json};

use super::super::support::{entries, micro_usd};
use super::bound::{stored, two_accounts};
use super::{OpenAi, with_a_key};

/// The tokens of `OpenAiAnswer` at the prices of gpt-5, micro-USD.
const COST: u64 = 500 + 700 + 75;

impl OpenAi {
    async fn made(&self) -> String {
        let answer = stored(&self.client, None).send().await.good();
        self.settled().await;
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    fn with(&self, secret: &str) -> Client {
        Client::new(&format!("{}/openai", self.relay.url())).with_bearer(secret)
    }
}

#[tokio::test]
async fn a_stored_response_is_asked_of_its_account() {
    let o = two_accounts().await;
    let id = o.made().await;
    let home = o.served();
    let other = if home == super::ACCOUNT_KEY {
        super::bound::SECOND
    } else {
        super::ACCOUNT_KEY
    };
    o.prefer(other).await;
    let root = Client::new(o.relay.url()).with_bearer(&o.key.secret);
    for client in [&o.client, &root] {
        for prefix in ["", "/v1"] {
            for (method, below, expected) in [
                ("GET", "", json!({ "id": id, "status": "completed" })),
                ("GET", "/input_items", json!({ "object": "list" })),
                ("POST", "/cancel", json!({ "id": id })),
                ("DELETE", "", json!({ "id": id, "deleted": true })),
            ] {
                let path = format!("{prefix}/responses/{id}{below}");
                let answer = client.call(method, &path).send().await.good().json();
                for (name, value) in expected.as_object().expect("members") {
                    assert_eq!(&answer[name], value, "{method} {path}");
                }
                let seen = o.asked(Route::StoredResponse);
                assert_eq!(
                    (seen.method.as_str(), seen.target.as_str(), seen.bearer()),
                    (
                        method,
                        format!("/v1/responses/{id}{below}").as_str(),
                        Some(home.as_str())
                    ),
                );
                assert!(
                    seen.body.is_empty() && seen.header("content-type").is_none(),
                    "{seen:?}"
                );
            }
        }
    }
    let path =
        format!("/responses/{id}/input_items?limit=2&include%5B%5D=a&include%5B%5D=b&other=x&order=asc");
    o.client.get(&path).await.good();
    let seen = o.asked(Route::StoredResponse);
    let query = seen.target.split_once('?').map(|(_, query)| query);
    assert_eq!(query, Some("limit=2&include[]=a&include[]=b&order=asc"));
}

#[tokio::test]
async fn a_stored_response_is_known_to_its_own_key_alone() {
    let o = two_accounts().await;
    let id = o.made().await;
    let other = o.with(&o.relay.key("other").create().await.secret);
    let before = o.provider.calls();
    for (client, id) in [
        (&other, id.as_str()),
        (&o.client, "resp_of_nobody"),
        (&o.client, "..%2F..%2Fmodels"),
    ] {
        for (method, below) in [
            ("GET", ""),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ] {
            let path = format!("/responses/{id}{below}");
            let error = client.call(method, &path).send().await.expect(404).json();
            assert_eq!(error["error"]["type"], "invalid_request_error", "{error}");
        }
    }
    let stranger = o.with("cr_of_nobody").get(&format!("/responses/{id}")).await;
    assert_eq!(stranger.status, 401);
    assert_eq!(o.provider.calls(), before, "nobody is asked");
}

#[tokio::test]
async fn a_stored_response_that_is_streamed_passes_as_it_comes() {
    let o = with_a_key().await;
    let id = o.made().await;
    let path = format!("/responses/{id}?stream=true&starting_after=3");
    let answer = o.client.get(&path).await.good();
    assert!(
        o.asked(Route::StoredResponse)
            .target
            .ends_with("?stream=true&starting_after=3")
    );
    let events = answer.events();
    assert_eq!(events.last().expect("an event").name, "response.completed");
    assert_eq!(events[0].data["response"]["id"], id.as_str());
    // It was charged when it was made.
    let entries = entries(&o.relay, 2).await;
    let costs: Vec<_> = entries.iter().map(|entry| micro_usd(&entry["cost"])).collect();
    assert_eq!(costs.iter().filter(|cost| **cost > 0).count(), 1, "{entries:?}");
}

/// Answers with the response `resp_background` in this state.
fn background(status: &'static str) -> Script {
    Script::decide(move |request| {
        let mut whole = OpenAiAnswer::text("made").response(request);
        whole["id"] = "resp_background".into();
        whole["model"] = "gpt-5".into();
        whole["status"] = status.into();
        whole["background"] = true.into();
        if status != "completed" {
            (whole["usage"], whole["output"]) = (Value::Null, json!([]));
        }
        Script::json(whole)
    })
}

#[tokio::test]
async fn a_background_response_holds_its_estimate_until_it_is_there() {
    let o = with_a_key().await;
    // Half more than the estimate: 4,096 tokens at 10 USD a million.
    let key = o.relay.key("bounded").set("totalCostLimit", 0.06).create().await;
    let client = o.with(&key.secret);
    let call = json!({ "model": "gpt-5", "background": true, "input": "think" });
    let create = async || {
        o.provider.on(Route::Responses).answer(background("queued"));
        client.call("POST", "/responses").json(&call).send().await
    };
    let reserves = async |expected: bool| {
        eventually("the reservation", async || {
            let shown = o.relay.admin().get(&format!("/admin/api-keys/{}", key.id)).await;
            let reserved = micro_usd(&shown.good().json()["spend"]["total"]["reserved"]);
            ((reserved > 40_000) == expected).then_some(())
        })
        .await;
    };
    for end in ["completed", "failed"] {
        create().await.good();
        o.settled().await;
        reserves(true).await;
        create().await.expect(429);
        o.provider.on(Route::StoredResponse).answer(background(end));
        client.get("/responses/resp_background").await.good();
        reserves(false).await;
    }
    create().await.good();
}

#[tokio::test]
async fn a_background_response_is_charged_once_when_it_is_there() {
    let o = with_a_key().await;
    o.provider.on(Route::Responses).answer(background("queued"));
    let call = json!({ "model": "gpt-5", "background": true, "input": "think" });
    o.client
        .call("POST", "/responses")
        .json(&call)
        .send()
        .await
        .good();
    o.settled().await;
    let retrieved = async |status| {
        o.provider.on(Route::StoredResponse).answer(background(status));
        let answer = o.client.get("/responses/resp_background").await.good().json();
        assert_eq!(answer["status"], status);
        o.settled().await;
    };
    retrieved("in_progress").await;
    retrieved("completed").await;
    retrieved("completed").await;
    let entries = entries(&o.relay, 4).await;
    let paid: Vec<_> = entries
        .iter()
        .filter(|entry| micro_usd(&entry["cost"]) > 0)
        .collect();
    assert_eq!(paid.len(), 1, "{entries:?}");
    assert_eq!(
        (
            &paid[0]["endpoint"],
            micro_usd(&paid[0]["cost"]),
            &paid[0]["quality"]
        ),
        (&json!("responses_retrieve"), COST, &json!("exact"))
    );
    // It counts for the key's limits.
    let limit = json!({ "totalCostLimit": 0.001 });
    let path = format!("/admin/api-keys/{}", o.key.id);
    o.relay.admin().patch(&path, &limit).await.good();
    o.responses().send().await.expect(429);
    // What was made can still be read.
    retrieved("completed").await;
}
