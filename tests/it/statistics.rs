//! Statistics of real calls, for the holder of a key and for the operator.

use crs_support::client::Client;
use serde_json::{Value, json};

use super::support::{ready, slots_are_free};

#[tokio::test]
async fn a_call_shows_to_its_holder_in_its_session_and_in_the_table() {
    let r = ready().await;
    r.client
        .messages("hi")
        .session("conversation-1")
        .send()
        .await
        .good();
    r.client.messages("hi").send().await.good();
    let entries = r.entries(2).await;
    slots_are_free(&r.relay, &r.key).await;
    let session = entries[1]["session"].as_str().expect("the first call's session");
    assert!(!session.contains("conversation"), "{session}");

    // Nobody logs in: the key in the body is enough.
    let stranger = Client::new(r.relay.url());
    let whose = json!({ "apiKey": r.key.secret });
    let stats = stranger
        .post("/apiStats/api/user-stats", &whose)
        .await
        .good()
        .json();
    assert_eq!(stats["data"]["id"], r.key.id.as_str());
    assert_eq!(stats["data"]["usage"]["total"]["requests"], 2, "{stats}");
    assert_eq!(stats["data"]["now"]["running"], 0, "{stats}");
    assert!(!stats.to_string().contains("first"), "no account: {stats}");
    let wrong = json!({ "apiKey": "cr_not-a-key-of-this-relay" });
    stranger
        .post("/apiStats/api/user-stats", &wrong)
        .await
        .expect(401);

    let admin = r.relay.admin();
    let found = admin
        .get(&format!("/admin/requests?session={session}"))
        .await
        .good()
        .json();
    assert_eq!(found["items"].as_array().expect("a list").len(), 1, "{found}");
    let table = admin
        .get(&format!("/admin/requests.csv?session={session}"))
        .await
        .good();
    let rows: Vec<String> = table.raw_text().lines().map(str::to_owned).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows[1].starts_with("req_") && rows[1].contains(session),
        "{rows:?}"
    );
    let ranking = format!("/admin/usage/ranking?kind=accountsOf&key={}", r.key.id);
    let ranking = admin.get(&ranking).await.good().json();
    assert_eq!(ranking["items"][0]["totals"]["requests"], 2, "{ranking}");
    assert_eq!(ranking["complete"], true);
}

#[tokio::test]
async fn a_holder_tests_the_key_by_a_real_call_and_sees_it_by_model() {
    let r = ready().await;
    let stranger = Client::new(r.relay.url());
    let test = json!({ "apiKey": r.key.secret, "model": "claude-sonnet-4-5", "prompt": "hi" });
    let events = stranger.post("/apiStats/api-key/test", &test).await.good();
    let events: Vec<Value> = events
        .raw_text()
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.trim_start_matches("data: ")).expect("an event of JSON"))
        .collect();
    let last = events.last().expect("events");
    assert_eq!(events[0]["type"], "test_start", "{events:?}");
    assert!(
        events.iter().any(|event| event["type"] == "content"),
        "{events:?}"
    );
    assert_eq!(last["success"], true, "{events:?}");
    assert!(!format!("{events:?}").contains("first"), "no account: {events:?}");
    // It is a call like others: charged to the key, and found by the id that was told.
    let entry = r.entry().await;
    assert_eq!(entry["requestId"], last["requestId"], "{entry}");
    assert_eq!(entry["keyId"], r.key.id.as_str());
    slots_are_free(&r.relay, &r.key).await;
    let wrong = json!({ "apiKey": "cr_not-a-key-of-this-relay" });
    stranger.post("/apiStats/api-key/test", &wrong).await.expect(401);

    let models = json!({ "apiIds": [r.key.id, "*"], "period": "monthly" });
    let models = stranger
        .post("/apiStats/api/batch-model-stats", &models)
        .await
        .good()
        .json();
    assert_eq!(models["data"].as_array().expect("a list").len(), 1, "{models}");
    assert_eq!(models["data"][0]["requests"], 1, "{models}");
}
