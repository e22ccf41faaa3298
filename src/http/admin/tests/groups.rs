//! `/admin/account-groups`, and the accounts that are in them.

use serde_json::{Value, json};

use super::bench::Bench;
use crate::model::account::Platform;
use crate::port::gates::Gates as _;

async fn group(bench: &Bench, name: &str, platform: &str) -> String {
    let body = json!({"name": name, "platform": platform, "description": "ours"});
    bench.post("/admin/account-groups", body).await.is(201).text("id")
}

async fn account(bench: &Bench, name: &str, groups: &[&str]) -> String {
    let body = json!({
        "name": name, "platform": "claude", "groups": groups,
        "credentials": {"type": "apiKey", "apiKey": "k"},
    });
    bench.post("/admin/accounts", body).await.is(201).text("id")
}

fn at(id: &str) -> String {
    format!("/admin/account-groups/{id}")
}

#[tokio::test]
async fn groups_are_made_changed_and_listed() {
    let bench = Bench::new().await;
    let team = group(&bench, "team", "claude").await;
    let other = group(&bench, "Alpha", "gemini").await;
    account(&bench, "b", &[&team]).await;
    account(&bench, "A", &[&team, &team]).await;
    account(&bench, "c", &[]).await;
    let list = bench.get("/admin/account-groups").await.is(200).json;
    let shown: Vec<(&str, u64)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            (
                group["name"].as_str().unwrap(),
                group["memberCount"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [("Alpha", 0), ("team", 2)]);
    let claude = bench
        .get("/admin/account-groups?platform=claude&search=TEA")
        .await
        .json;
    assert_eq!(
        (&claude["total"], &claude["items"][0]["id"]),
        (&json!(1), &json!(team))
    );
    let members = bench.get(&format!("{}/members", at(&team))).await.is(200).json;
    assert_eq!(
        (&members["total"], &members["items"][0]["name"]),
        (&json!(2), &json!("A"))
    );
    assert_eq!(members["items"][0]["groups"], json!([team]));

    let changed = bench
        .patch(
            &at(&other),
            json!({"name": "beta", "description": null, "platform": "gemini"}),
        )
        .await
        .is(200)
        .json;
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("beta"), &json!(""))
    );
    assert_eq!(bench.get(&at(&other)).await.is(200).json, changed);
    bench
        .patch(&at(&other), json!({"platform": "claude"}))
        .await
        .refuses(422, "invalid_field", "platform");
    for (body, code, field) in [
        (json!({"platform": "claude"}), "missing_field", "name"),
        (json!({"name": "x"}), "missing_field", "platform"),
        (
            json!({"name": "x", "platform": "droid"}),
            "invalid_field",
            "platform",
        ),
        (json!({"name": "", "platform": "claude"}), "invalid_field", "name"),
        (
            json!({"name": "x", "platform": "claude", "id": "y"}),
            "unknown_field",
            "id",
        ),
    ] {
        bench
            .post("/admin/account-groups", body)
            .await
            .refuses(422, code, field);
    }
    for (method, more) in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/members")] {
        let address = format!("/admin/account-groups/nope{more}");
        bench.call(method, &address, &Value::Null).await.is(404);
    }
}

#[tokio::test]
async fn an_account_is_in_groups_that_are_there() {
    let bench = Bench::new().await;
    let (team, theirs) = (
        group(&bench, "t", "claude").await,
        group(&bench, "g", "gemini").await,
    );
    let id = account(&bench, "a", &[&team]).await;
    let path = format!("/admin/accounts/{id}");
    for (groups, field, says) in [
        (
            json!([team, "nope"]),
            "groups[1]",
            "names a group that does not exist",
        ),
        (json!([theirs]), "groups[0]", "a group of the platform gemini"),
    ] {
        let answer = bench.patch(&path, json!({ "groups": groups })).await;
        let answer = answer.refuses(422, "invalid_field", field);
        assert!(answer.text("message").contains(says), "{:?}", answer.json);
    }
    bench
        .post(
            "/admin/accounts",
            json!({"name": "b", "platform": "claude", "groups": ["nope"], "credentials": {"type": "apiKey", "apiKey": "k"}}),
        )
        .await
        .refuses(422, "invalid_field", "groups[0]");
    // The pool reads its accounts again when one joins or leaves.
    bench.learn_roster().await;
    let left = bench.patch(&path, json!({"groups": null})).await.is(200).json;
    assert_eq!(left["groups"], json!([]));
    let pick = crs_durable::pool::Pick {
        learned_since: 1,
        ..crs_durable::pool::Pick::of(crs_durable::CallId(1), 60_000)
    };
    let asked = bench
        .gates
        .pool(Platform::Claude, crs_durable::pool::Command::Pick(pick))
        .await;
    assert_eq!(asked.unwrap(), crs_durable::pool::Reply::NeedRoster);
}

#[tokio::test]
async fn a_group_in_use_goes_only_by_force() {
    let bench = Bench::new().await;
    let team = group(&bench, "team", "claude").await;
    let member = account(&bench, "main", &[&team]).await;
    let bound = json!({"name": "laptop", "claudeAccountId": format!("group:{team}")});
    bench.post("/admin/api-keys", bound).await.is(201);
    let refused = bench.delete(&at(&team)).await.is(409);
    assert_eq!(refused.json["error"], "group_in_use");
    let said = refused.text("message");
    assert!(said.contains("Accounts in it: main."), "{said}");
    assert!(said.contains("Keys bound to it: laptop."), "{said}");
    assert!(said.contains("?force=true"), "{said}");
    bench
        .delete(&format!("{}?force=maybe", at(&team)))
        .await
        .refuses(422, "invalid_field", "force");
    bench.delete(&format!("{}?force=true", at(&team))).await.is(204);
    bench.get(&at(&team)).await.is(404);
    let member = bench.get(&format!("/admin/accounts/{member}")).await.json;
    assert_eq!(member["groups"], json!([]));
    let empty = group(&bench, "empty", "claude").await;
    bench.delete(&at(&empty)).await.is(204);
}
