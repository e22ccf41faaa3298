//! The audit log: an entry for each change, and never a secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, PASSWORD};

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
        "stores an account by the same functions as its creation and update",
    ),
    (
        "delete /admin/concurrency/{id}",
        "tested with the leases it releases",
    ),
    (
        "post /web/auth/login-link",
        "a second login by link, tested below",
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
    let plain = key["apiKey"]
        .as_str()
        .or(key["key"].as_str())
        .unwrap_or("cr_")
        .to_owned();
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
    let claude = json!({"platform": "claude"});
    let route = "post /admin/sessions/flush";
    audit
        .route(route, "", claude, "account.flush_sessions", "platform:claude")
        .await;
    audit
        .route(
            &format!("post {one}/test"),
            &account,
            json!({}),
            "account.test",
            "account:",
        )
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

    let prices = json!({"overrides": {"claude-opus-4-8": {"input": 7.0, "output": 30.0}}});
    audit
        .route("put /admin/prices", "", prices, "prices.update", "prices")
        .await;
    let site = json!({"siteName": "Mine"});
    audit
        .route("put /admin/oem-settings", "", site, "site.update", "site")
        .await;

    let route = "post /web/auth/login-tickets";
    audit
        .route(route, "", Value::Null, "admin.make_ticket", "admin")
        .await;
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

    let text = serde_json::to_string(&audit.entries().await).unwrap();
    for secret in ["s3cret", PASSWORD, "$argon2", LOCAL, token.as_str()] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(plain.len() < 10 || !text.contains(&plain));

    let described: Value = serde_json::from_str(super::super::OPENAPI).unwrap();
    for (path, methods) in described["paths"].as_object().unwrap() {
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
