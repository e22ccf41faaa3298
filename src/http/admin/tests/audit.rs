//! The audit log: an entry for each change, and never a secret.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::bench::{Bench, LOCAL, NOW, PASSWORD};
use crate::http::extract::FromThisMachine;
use crate::port::store::Command;

/// Routes that change nothing of their own, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("post /web/auth/refresh", "another token of the same session"),
    ("post /admin/usage/verify", "reads and compares"),
    (
        "post /admin/accounts/oauth/start",
        "nothing changes until it is finished",
    ),
    (
        "post /admin/accounts/oauth/finish",
        "needs a provider: `sign_in::a_sign_in_writes_one_entry` counts its entries",
    ),
    (
        "delete /web/auth/sessions/{id}",
        "needs a session that is not one's own: `sessions::one_session_is_ended_and_the_others_go_on` counts its entries",
    ),
    (
        "delete /admin/concurrency/{id}",
        "needs leases: `a_slot_is_freed_by_hand` counts its entries",
    ),
    (
        "post /admin/accounts/{id}/test",
        "its answer is a stream: `a_test_call_is_logged_before_it_is_made`",
    ),
];

struct Audit {
    bench: Bench,
    seen: BTreeSet<String>,
    tested: BTreeSet<String>,
}

impl Audit {
    async fn entries(&self) -> Vec<Value> {
        let list = self.bench.get("/admin/audit?limit=200").await.is(200).json;
        assert_eq!(list["nextCursor"], Value::Null);
        list["items"].as_array().unwrap().clone()
    }

    /// The one entry that came since the last call.
    async fn one(&mut self, action: &str, subject: &str) -> Value {
        let mut fresh = Vec::new();
        for entry in self.entries().await {
            if self.seen.insert(entry["id"].as_str().unwrap().to_owned()) {
                fresh.push(entry);
            }
        }
        assert_eq!(fresh.len(), 1, "{action}: {fresh:?}");
        let entry = fresh.remove(0);
        assert_eq!(
            (&entry["action"], &entry["subject"]),
            (&json!(action), &json!(subject))
        );
        entry
    }

    /// Calls a route, and expects one entry. `{id}` in `route` is replaced.
    async fn route(
        &mut self,
        route: &str,
        id: &str,
        body: Value,
        action: &str,
        subject: &str,
    ) -> (Value, Value) {
        let (method, path) = route.split_once(' ').unwrap();
        let answer = self
            .bench
            .call(&method.to_uppercase(), &path.replace("{id}", id), &body)
            .await;
        assert!((200..300).contains(&answer.status), "{route}: {:?}", answer.json);
        self.tested.insert(route.to_owned());
        let subject = if subject.ends_with(':') {
            let id = if id.is_empty() {
                answer.json["id"].as_str().unwrap()
            } else {
                id
            };
            format!("{subject}{id}")
        } else {
            subject.to_owned()
        };
        (answer.json, self.one(action, &subject).await)
    }
}

#[tokio::test]
async fn every_route_that_changes_something_writes_one_entry_without_secrets() {
    let bench = Bench::new().await;
    let mut audit = Audit {
        bench,
        seen: BTreeSet::new(),
        tested: BTreeSet::new(),
    };
    for entry in audit.entries().await {
        assert_eq!(
            (&entry["actor"], &entry["action"]),
            (&json!("system"), &json!("admin.create"))
        );
        audit.seen.insert(entry["id"].as_str().unwrap().to_owned());
    }

    let keys = "/admin/api-keys";
    let limit = json!({"name": "bob", "dailyCostLimit": 10});
    let (key, entry) = audit
        .route(&format!("post {keys}"), "", limit, "key.create", "key:")
        .await;
    assert_eq!(
        (&entry["actor"], &entry["name"]),
        (&json!("local"), &json!("bob"))
    );
    let plain = key["key"].as_str().unwrap().to_owned();
    let id = key["id"].as_str().unwrap().to_owned();
    let one = format!("{keys}/{{id}}");
    let change = json!({"dailyCostLimit": 5});
    let (_, entry) = audit
        .route(&format!("patch {one}"), &id, change, "key.update", "key:")
        .await;
    assert_eq!(
        entry["changes"],
        json!([{"field": "dailyCostLimit", "from": 10.0, "to": 5.0, "secret": false}])
    );
    for (route, body, action) in [
        (
            format!("post {one}/reset-limits"),
            json!({"which": "all"}),
            "key.reset_limits",
        ),
        (format!("post {one}/rotate"), json!({}), "key.rotate"),
        (format!("delete {one}"), Value::Null, "key.delete"),
        (format!("post {one}/restore"), Value::Null, "key.restore"),
    ] {
        audit.route(&route, &id, body, action, "key:").await;
    }
    audit.bench.delete(&format!("{keys}/{id}")).await.is(200);
    audit.one("key.delete", &format!("key:{id}")).await;
    audit
        .route(
            &format!("delete {one}/permanent"),
            &id,
            Value::Null,
            "key.purge",
            "key:",
        )
        .await;
    let many = json!({"count": 1, "key": {"name": "class"}});
    let made = audit
        .bench
        .post(&format!("{keys}/create-many"), many)
        .await
        .is(201)
        .json;
    audit.tested.insert(format!("post {keys}/create-many"));
    let made = made["items"][0].clone();
    let subject = format!("key:{}", made["id"].as_str().unwrap());
    audit.one("key.create", &subject).await;
    let batch = json!({"ids": [made["id"]], "change": {"dailyCostLimit": 3}, "addTags": ["x"]});
    let route = format!("post {keys}/batch");
    audit.route(&route, "", batch, "key.update", &subject).await;
    let plain_of_many = made["key"].as_str().unwrap().to_owned();

    let group = json!({"name": "team", "platform": "claude"});
    let (group, _) = audit
        .route("post /admin/account-groups", "", group, "group.create", "group:")
        .await;
    let group = group["id"].as_str().unwrap().to_owned();
    let one = "/admin/account-groups/{id}";
    let name = json!({"name": "crew"});
    audit
        .route(&format!("patch {one}"), &group, name, "group.update", "group:")
        .await;
    audit
        .route(
            &format!("delete {one}"),
            &group,
            Value::Null,
            "group.delete",
            "group:",
        )
        .await;

    let account = json!({
        "name": "main", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret"},
    });
    let (account, _) = audit
        .route("post /admin/accounts", "", account, "account.create", "account:")
        .await;
    let account = account["id"].as_str().unwrap().to_owned();
    let one = "/admin/accounts/{id}";
    let secret = json!({"credentials": {"type": "apiKey", "apiKey": "sk-ant-other-s3cret"}});
    let (_, entry) = audit
        .route(
            &format!("patch {one}"),
            &account,
            secret,
            "account.update",
            "account:",
        )
        .await;
    assert_eq!(
        entry["changes"],
        json!([{"field": "credentials", "from": null, "to": null, "secret": true}])
    );
    for (route, action) in [
        ("reset", "account.reset"),
        ("flush-sessions", "account.flush_sessions"),
    ] {
        audit
            .route(
                &format!("post {one}/{route}"),
                &account,
                Value::Null,
                action,
                "account:",
            )
            .await;
    }
    let route = "post /admin/accounts/batch";
    let batch = json!({"ids": [&account], "change": {"priority": 7}});
    let subject = format!("account:{account}");
    audit.route(route, "", batch, "account.update", &subject).await;
    let claude = json!({"platform": "claude"});
    let route = "post /admin/sessions/flush";
    audit
        .route(route, "", claude, "account.flush_sessions", "platform:claude")
        .await;
    audit
        .route(
            &format!("delete {one}"),
            &account,
            Value::Null,
            "account.delete",
            "account:",
        )
        .await;

    let routes = json!({"routes": [{"models": "claude-*", "to": [{"platform": "openai"}]}]});
    audit
        .route("put /admin/routes", "", routes, "routes.update", "routes")
        .await;
    let prices = json!({"overrides": {"claude-opus-4-8": {"input": 7.0, "output": 30.0}}});
    audit
        .route("put /admin/prices", "", prices, "prices.update", "prices")
        .await;
    let site = json!({"siteName": "Mine"});
    audit
        .route("put /admin/oem-settings", "", site, "site.update", "site")
        .await;

    let route = "post /web/auth/login-tickets";
    let (made, _) = audit
        .route(route, "", Value::Null, "admin.make_ticket", "admin")
        .await;
    let ticket = made["ticket"].as_str().unwrap().to_owned();
    let link = json!({"ticket": &ticket});
    let (_, entry) = audit
        .route(
            "post /web/auth/login-link",
            "",
            link.clone(),
            "admin.login",
            "admin",
        )
        .await;
    assert_eq!(entry["actor"], "root");
    // A link that was used is no login.
    audit.bench.post("/web/auth/login-link", link).await.is(401);
    assert!(
        audit
            .entries()
            .await
            .iter()
            .all(|entry| entry["action"] != "admin.login_refused")
    );
    let login = json!({"username": "root", "password": PASSWORD});
    let (session, _) = audit
        .route("post /web/auth/login", "", login, "admin.login", "admin")
        .await;
    let token = session["token"].as_str().unwrap().to_owned();
    audit
        .bench
        .raw("POST", "/web/auth/logout", Some(&token), "{}")
        .await
        .is(200);
    audit.tested.insert("post /web/auth/logout".to_owned());
    let fresh = audit
        .entries()
        .await
        .into_iter()
        .find(|e| e["action"] == "admin.logout")
        .unwrap();
    assert_eq!(fresh["actor"], "root");
    audit
        .one("admin.logout", fresh["subject"].as_str().unwrap())
        .await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "another s3cret battery"});
    let route = "post /web/auth/change-password";
    audit
        .route(route, "", change, "admin.change_password", "admin")
        .await;
    let reset = json!({"password": "third s3cret battery"});
    let route = "post /web/auth/reset-password";
    audit
        .route(route, "", reset, "admin.change_password", "admin")
        .await;

    let backups = "/admin/backups";
    audit
        .route(
            &format!("post {backups}"),
            "",
            json!({}),
            "backup.create",
            "backup:folder",
        )
        .await;
    let export = json!({"passphrase": "sealed s3cret battery"});
    audit
        .route(
            &format!("post {backups}/export"),
            "",
            export,
            "backup.export",
            "backup:export",
        )
        .await;
    let schedule = json!({"enabled": true, "everyHours": 6, "keep": 3});
    audit
        .route(
            &format!("put {backups}/schedule"),
            "",
            schedule,
            "backup.schedule",
            "backup:schedule",
        )
        .await;
    let route = format!("delete {backups}/files/{{name}}");
    let file = format!("{backups}/files/one.backup");
    audit.bench.call("DELETE", &file, &json!(null)).await.is(204);
    audit.one("backup.delete", "backup:one.backup").await;
    audit.tested.insert(route);

    let text = serde_json::to_string(&audit.entries().await).unwrap();
    for secret in [
        "s3cret",
        PASSWORD,
        "$argon2",
        LOCAL,
        &token,
        &ticket,
        &plain,
        &plain_of_many,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }

    let described: Value = serde_json::from_str(super::super::description::OPENAPI).unwrap();
    for (path, methods) in described["paths"].as_object().unwrap() {
        // The public statistics ask by POST, so that keys stand in no address, and change nothing.
        if path.starts_with("/apiStats/") {
            continue;
        }
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|method| *method != "get")
        {
            let route = format!("{method} {path}");
            let reason = WITHOUT.iter().any(|(without, _)| *without == route);
            assert!(reason != audit.tested.contains(&route), "{route}");
        }
    }
}

#[tokio::test]
async fn a_test_call_is_logged_before_it_is_made() {
    let bench = Bench::new().await;
    let account =
        json!({"name": "main", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}});
    let id = bench.post("/admin/accounts", account).await.is(201).text("id");
    let request = Request::post(format!("/admin/accounts/{id}/test"))
        .header("authorization", format!("Bearer {LOCAL}"))
        .extension(FromThisMachine::in_process())
        .body(Body::from("{}"))
        .unwrap();
    // The stream is not read, so nothing was asked yet.
    let answer = bench.router.clone().oneshot(request).await.unwrap();
    let log = bench.get("/admin/audit?action=account.test").await.is(200).json;
    assert_eq!(log["items"][0]["subject"], format!("account:{id}"), "{log}");
    drop(answer);
}

#[tokio::test]
async fn where_the_store_takes_no_entry_nothing_changes() {
    let bench = Bench::new().await;
    // The log's key holds another type, so the whole batch fails.
    let month = crate::model::calendar::Calendar::default().month(NOW);
    let key = crate::store::keys::audit(month);
    let taken = bench.app.ports.store.run(vec![
        Command::Del { key: key.clone() },
        Command::Set {
            key,
            value: "x".into(),
            expire_at: None,
        },
    ]);
    taken.await.unwrap();
    assert!(bench.post("/admin/api-keys", json!({"name": "bob"})).await.status >= 500);
    assert_eq!(bench.get("/admin/api-keys").await.is(200).json["total"], 0);
}

#[tokio::test]
async fn refused_logins_cost_few_writes_and_name_the_network() {
    let bench = Bench::new().await;
    let from = Some("203.0.113.7".parse().unwrap());
    for _ in 0..4 {
        bench.login("root", "not-the-s3cret", from).await.is(401);
    }
    let log = bench.get("/admin/audit?actor=stranger").await.is(200).json;
    let items = log["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{log}");
    assert_eq!(
        (&items[0]["count"], &items[0]["address"], &items[0]["action"]),
        (&json!(4), &json!("203.0.113.0"), &json!("admin.login_refused"))
    );
    assert!(!log.to_string().contains("s3cret"));
}

#[tokio::test]
async fn pages_and_filters() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.clock.advance(Duration::from_secs(1));
        bench.post("/admin/api-keys", json!({"name": name})).await.is(201);
    }
    let first = bench.get("/admin/audit?limit=2").await.is(200).json;
    let names = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["c", "b"]);
    let path = format!(
        "/admin/audit?limit=2&cursor={}",
        first["nextCursor"].as_str().unwrap()
    );
    assert_eq!(names(&bench.get(&path).await.is(200).json), ["a", "root"]);
    let at = first["items"][1]["at"].as_str().unwrap();
    let from = bench.get(&format!("/admin/audit?from={at}")).await.is(200).json;
    assert_eq!(names(&from), ["c", "b"]);
    let to = bench
        .get(&format!("/admin/audit?to={at}&action=key.create"))
        .await
        .is(200)
        .json;
    assert_eq!(names(&to), ["a"]);
    // What is older than it is kept is not shown, though the month is still there.
    bench
        .clock
        .advance(Duration::from_hours(365 * 24) - Duration::from_millis(1500));
    assert_eq!(names(&bench.get("/admin/audit").await.is(200).json), ["c", "b"]);
    bench
        .get("/admin/audit?limit=0")
        .await
        .refuses(422, "invalid_field", "limit");
    bench
        .get("/admin/audit?cursor=x")
        .await
        .refuses(422, "invalid_field", "cursor");
    bench
        .get("/admin/audit?from=x")
        .await
        .refuses(422, "invalid_field", "from");
}
