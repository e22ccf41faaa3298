//! The list of sessions, and the end of one.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, PASSWORD};
use crate::port::store::Command;
use crate::store::keys::listed_session;

async fn begin(bench: &Bench, from: &str) -> String {
    let answer = bench.login("root", PASSWORD, from.parse().ok()).await.is(200);
    answer.text("token")
}

async fn list(bench: &Bench, token: &str) -> Vec<Value> {
    let answer = bench
        .raw("GET", "/web/auth/sessions", Some(token), "")
        .await
        .is(200);
    assert_eq!(answer.json["more"], false);
    answer.json["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_session_is_ended_and_the_others_go_on() {
    let bench = Bench::new().await;
    let laptop = begin(&bench, "203.0.113.7").await;
    bench.clock.advance(Duration::from_mins(10));
    let phone = begin(&bench, "2001:db8::1").await;
    let items = list(&bench, &laptop).await;
    assert_eq!(items.len(), 2);
    // Asking was being seen.
    let (own, other) = (&items[0], &items[1]);
    assert_eq!(
        (&own["current"], &other["current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&own["address"], &other["address"]),
        (&json!("203.0.113.7"), &json!("2001:db8::1"))
    );
    assert_eq!(own["begunAt"], "2025-11-24T16:00:00.000Z");
    assert_eq!(own["lastSeenAt"], "2025-11-24T16:10:00.000Z");
    assert_eq!(own["endsAt"], "2025-12-01T16:00:00.000Z");

    // Another token of the phone's session ends with it.
    let more = bench
        .raw("POST", "/web/auth/refresh", Some(&phone), "")
        .await
        .is(200);
    assert_eq!(list(&bench, &laptop).await.len(), 2);
    let path = format!("/web/auth/sessions/{}", other["id"].as_str().unwrap());
    bench.raw("DELETE", &path, Some(&laptop), "").await.is(204);
    for token in [&phone, &more.text("token")] {
        let refused = bench.raw("GET", "/admin/api-keys", Some(token), "").await.is(401);
        assert_eq!(refused.json["error"], "session_expired");
    }
    bench.raw("DELETE", &path, Some(&laptop), "").await.is(404);
    assert_eq!(list(&bench, &laptop).await.len(), 1);

    let log = bench
        .get("/admin/audit?action=admin.end_session")
        .await
        .is(200)
        .json;
    assert_eq!(log["items"].as_array().unwrap().len(), 1);
    assert_eq!(log["items"][0]["actor"], "root");
    assert_eq!(
        log["items"][0]["subject"],
        format!("session:{}", other["id"].as_str().unwrap())
    );

    // One's own.
    let path = format!("/web/auth/sessions/{}", own["id"].as_str().unwrap());
    bench.raw("DELETE", &path, Some(&laptop), "").await.is(204);
    bench
        .raw("GET", "/web/auth/user", Some(&laptop), "")
        .await
        .is(401);
    let log = bench.get("/admin/audit?action=admin.logout").await.is(200).json;
    assert_eq!(log["items"].as_array().unwrap().len(), 1);
    assert!(list(&bench, LOCAL).await.is_empty());
}

#[tokio::test]
async fn no_answer_holds_a_token() {
    let bench = Bench::new().await;
    let token = begin(&bench, "203.0.113.7").await;
    let text = format!("{:?}", list(&bench, &token).await);
    for part in token.split('.') {
        assert!(!text.contains(part));
    }
    assert!(!bench.store.ever_done().contains(&token));
}

#[tokio::test]
async fn a_new_password_leaves_one_session() {
    let bench = Bench::new().await;
    let mine = begin(&bench, "203.0.113.7").await;
    let other = begin(&bench, "203.0.113.8").await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "another s3cret battery"});
    let changed = bench
        .raw(
            "POST",
            "/web/auth/change-password",
            Some(&mine),
            change.to_string(),
        )
        .await
        .is(200);
    for token in [&mine, &other] {
        bench
            .raw("GET", "/web/auth/sessions", Some(token), "")
            .await
            .is(401);
    }
    let items = list(&bench, &changed.text("token")).await;
    assert_eq!((items.len(), &items[0]["current"]), (1, &json!(true)));
}

#[tokio::test]
async fn a_session_of_before_is_listed_when_it_is_refreshed() {
    let bench = Bench::new().await;
    let token = begin(&bench, "203.0.113.7").await;
    let id = list(&bench, &token).await[0]["id"].as_str().unwrap().to_owned();
    // As an earlier version left it.
    let gone = Command::Del {
        key: listed_session(&id),
    };
    bench.app.ports.store.run(vec![gone]).await.unwrap();
    assert!(list(&bench, &token).await.is_empty());
    bench
        .raw("POST", "/web/auth/refresh", Some(&token), "")
        .await
        .is(200);
    assert_eq!(list(&bench, &token).await[0]["id"], id);
}
