//! `/admin/accounts/batch`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::Bench;

const PATH: &str = "/admin/accounts/batch";

async fn account(bench: &Bench, name: &str, platform: &str) -> String {
    let body = json!({"name": name, "platform": platform, "credentials": {"type": "apiKey", "apiKey": "k"}});
    bench.post("/admin/accounts", body).await.is(201).text("id")
}

/// The entries of the audit log that were not seen before. The clock stands still, so they have no order.
#[derive(Default)]
struct Log(BTreeSet<String>);

impl Log {
    async fn fresh(&mut self, bench: &Bench) -> Vec<Value> {
        let list = bench.get("/admin/audit?limit=200").await.is(200).json;
        let items = list["items"].as_array().unwrap().clone();
        let mut new = |entry: &Value| self.0.insert(entry["id"].as_str().unwrap().to_owned());
        items.into_iter().filter(|entry| new(entry)).collect()
    }
}

#[tokio::test]
async fn each_account_is_changed_on_its_own_and_audited() {
    let bench = Bench::new().await;
    let (a, b) = (
        account(&bench, "a", "claude").await,
        account(&bench, "b", "openai").await,
    );
    bench
        .patch(&format!("/admin/accounts/{b}"), json!({"priority": 10}))
        .await
        .is(200);
    let mut log = Log::default();
    log.fresh(&bench).await;
    let change = json!({"priority": 10, "dailyQuota": 2.5});
    let ask = json!({"ids": [&a, "nobody", &b], "change": change});

    // A dry run tells the same, and changes nothing.
    let mut dry_ask = ask.clone();
    dry_ask["dryRun"] = json!(true);
    let mut dry = bench.post(PATH, dry_ask).await.is(200).json;
    assert!(log.fresh(&bench).await.is_empty());
    assert_eq!(
        bench.get(&format!("/admin/accounts/{a}")).await.json["priority"],
        50
    );

    let done = bench.post(PATH, ask.clone()).await.is(200).json;
    assert_eq!(
        done,
        json!({"dryRun": false, "succeeded": 2, "failed": 1, "results": [
            {"id": &a, "name": "a", "ok": true, "error": null, "changes": [
                {"field": "dailyQuota", "from": 0.0, "to": 2.5}, {"field": "priority", "from": 50, "to": 10}]},
            {"id": "nobody", "name": null, "ok": false, "changes": [],
                "error": {"error": "not_found", "message": "There is no such account.", "field": null}},
            {"id": &b, "name": "b", "ok": true, "error": null, "changes": [
                {"field": "dailyQuota", "from": 0.0, "to": 2.5}]},
        ]})
    );
    dry["dryRun"] = json!(false);
    assert_eq!(dry, done);
    for id in [&a, &b] {
        let now = bench.get(&format!("/admin/accounts/{id}")).await.json;
        assert_eq!((&now["priority"], &now["dailyQuota"]), (&json!(10), &json!(2.5)));
    }
    let told = log.fresh(&bench).await;
    let subjects: BTreeSet<&str> = told.iter().map(|e| e["subject"].as_str().unwrap()).collect();
    let wanted = [&a, &b].map(|id| format!("account:{id}"));
    assert_eq!(
        (told.len(), subjects),
        (2, wanted.iter().map(String::as_str).collect())
    );
    assert_eq!(told[0]["action"], "account.update");
    assert_eq!(told[0]["requestId"], told[1]["requestId"]);

    // What is like that already is not written again.
    let again = bench.post(PATH, ask).await.is(200).json;
    assert_eq!(
        (&again["succeeded"], &again["results"][0]["changes"]),
        (&json!(2), &json!([]))
    );
    assert!(log.fresh(&bench).await.is_empty());
}

#[tokio::test]
async fn actions_do_what_the_single_routes_do() {
    let bench = Bench::new().await;
    let (a, b) = (
        account(&bench, "a", "claude").await,
        account(&bench, "b", "gemini").await,
    );
    let mut log = Log::default();
    log.fresh(&bench).await;
    let act = async |action: &str| {
        let done = bench
            .post(PATH, json!({"ids": [&a, &b], "action": action}))
            .await
            .is(200)
            .json;
        assert_eq!(
            (&done["succeeded"], &done["failed"]),
            (&json!(2), &json!(0)),
            "{action}"
        );
        done
    };
    for (action, field, value) in [
        ("pause", "schedulable", false),
        ("resume", "schedulable", true),
        ("disable", "isActive", false),
        ("enable", "isActive", true),
    ] {
        let done = act(action).await;
        assert_eq!(log.fresh(&bench).await.len(), 2);
        assert_eq!(
            done["results"][1]["changes"],
            json!([{"field": field, "from": !value, "to": value}])
        );
        assert_eq!(
            bench.get(&format!("/admin/accounts/{b}")).await.json[field],
            value
        );
    }
    for (action, told) in [
        ("reset", "account.reset"),
        ("flushSessions", "account.flush_sessions"),
    ] {
        act(action).await;
        let entries = log.fresh(&bench).await;
        assert!(entries.iter().all(|entry| entry["action"] == told), "{entries:?}");
        assert_eq!(entries.len(), 2);
    }
    bench
        .post(PATH, json!({"ids": [&a], "action": "delete", "dryRun": true}))
        .await
        .is(200);
    assert_eq!(bench.get("/admin/accounts").await.json["total"], 2);
    act("delete").await;
    assert_eq!(bench.get("/admin/accounts").await.json["total"], 0);
}

#[tokio::test]
async fn what_is_wrong_for_all_is_refused_as_a_whole() {
    let bench = Bench::new().await;
    let id = account(&bench, "a", "claude").await;
    let mut log = Log::default();
    log.fresh(&bench).await;
    for (body, code, field) in [
        (json!({"ids": [&id]}), "missing_field", "change"),
        (
            json!({"ids": [&id], "change": {}, "action": "pause"}),
            "invalid_field",
            "action",
        ),
        (json!({"change": {}}), "missing_field", "ids"),
        (json!({"ids": [], "change": {}}), "invalid_field", "ids"),
        (json!({"ids": [&id, &id], "change": {}}), "invalid_field", "ids"),
        (
            json!({"ids": [&id], "action": "explode"}),
            "invalid_field",
            "action",
        ),
        (
            json!({"ids": [&id], "change": {"nope": 1}}),
            "unknown_field",
            "change.nope",
        ),
        (
            json!({"ids": [&id], "change": {"priority": 0}}),
            "invalid_field",
            "change.priority",
        ),
        (
            json!({"ids": [&id], "change": {"name": "x"}}),
            "invalid_field",
            "change.name",
        ),
        (
            json!({"ids": [&id], "change": {"proxy": null}}),
            "invalid_field",
            "change.proxy",
        ),
        (
            json!({"ids": [&id], "change": {"credentials": {"type": "apiKey", "apiKey": "x"}}}),
            "invalid_field",
            "change.credentials",
        ),
        (
            json!({"ids": [&id], "change": {"supportedModels": []}}),
            "invalid_field",
            "change.supportedModels",
        ),
        (
            json!({"ids": [&id], "change": {"groups": ["nobody"]}}),
            "invalid_field",
            "change.groups[0]",
        ),
    ] {
        let answer = bench.post(PATH, body.clone()).await.refuses(422, code, field);
        let message = answer.text("message");
        assert!(message.contains(field) || field == "change", "{body}: {message}");
    }
    assert!(log.fresh(&bench).await.is_empty());
}

#[tokio::test]
async fn a_group_of_one_platform_fails_the_accounts_of_others_only() {
    let bench = Bench::new().await;
    let (a, b) = (
        account(&bench, "a", "claude").await,
        account(&bench, "b", "openai").await,
    );
    let group = json!({"name": "g", "platform": "claude"});
    let group = bench
        .post("/admin/account-groups", group)
        .await
        .is(201)
        .text("id");
    let ask = json!({"ids": [&a, &b], "change": {"groups": [&group]}});
    let done = bench.post(PATH, ask).await.is(200).json;
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(1), &json!(1)));
    assert_eq!(done["results"][1]["name"], "b");
    assert_eq!(done["results"][1]["error"]["field"], "change.groups[0]");
    assert_eq!(
        bench.get(&format!("/admin/accounts/{a}")).await.json["groups"],
        json!([group])
    );
    assert_eq!(
        bench.get(&format!("/admin/accounts/{b}")).await.json["groups"],
        json!([])
    );
}

#[tokio::test]
async fn an_account_that_the_store_loses_fails_alone() {
    let bench = Bench::new().await;
    let (a, b) = (
        account(&bench, "a", "claude").await,
        account(&bench, "b", "claude").await,
    );
    bench
        .store
        .lose_answer
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let ask = json!({"ids": [&a, &b], "change": {"priority": 3}});
    let done = bench.post(PATH, ask).await.is(200).json;
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(1), &json!(1)));
    let failed = &done["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["ok"] == false)
        .unwrap();
    assert_eq!(failed["error"]["error"], "store_unavailable");
    assert!(!failed["name"].is_null());
}
