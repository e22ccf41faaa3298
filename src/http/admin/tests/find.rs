//! Filters and sorts of keys and accounts, and tags.

use crs_durable::pool;
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use super::usage::{account, event, used};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::port::gates::Gates as _;

async fn names(bench: &Bench, path: &str) -> Vec<String> {
    let page = bench.get(path).await.is(200).json;
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn keys_are_found_by_status_tags_and_binding() {
    let bench = Bench::new().await;
    let bound = account(&bench, "first").await;
    let bindings = json!({"claude": bound["id"]});
    for key in [
        json!({"name": "a", "tags": ["x", "y"]}),
        json!({"name": "b", "tags": ["x"], "isActive": false}),
        json!({"name": "c", "expiresAt": "2020-01-01T00:00:00Z"}),
        json!({"name": "d", "tags": ["z"], "bindings": bindings}),
    ] {
        bench.post("/admin/api-keys", key).await.is(201);
    }
    let gone = bench
        .post("/admin/api-keys", json!({"name": "e", "tags": ["x"]}))
        .await;
    let gone = format!("/admin/api-keys/{}", gone.is(201).text("id"));
    bench.delete(&gone).await.is(200);
    let id = bound["id"].as_str().unwrap();
    for (query, found) in [
        ("status=active", "a d"),
        ("status=disabled", "b"),
        ("status=expired", "c"),
        ("status=deleted", "e"),
        ("status=deleted&deleted=false", ""),
        ("tags=x", "a b"),
        ("tags=x,%20y", "a"),
        ("tags=", "a b c d"),
        (&format!("boundTo={id}"), "d"),
        ("boundTo=group:none", ""),
    ] {
        let path = format!("/admin/api-keys?sortBy=name&sortOrder=asc&{query}");
        assert_eq!(names(&bench, &path).await.join(" "), found, "{query}");
    }
    bench
        .get("/admin/api-keys?status=odd")
        .await
        .refuses(422, "invalid_field", "status");
    let tags = bench.get("/admin/api-keys/tags").await.is(200).json;
    assert_eq!(
        tags["items"],
        json!([{"tag": "x", "count": 2}, {"tag": "y", "count": 1}, {"tag": "z", "count": 1}])
    );
}

#[tokio::test]
async fn keys_are_found_by_a_group_and_accounts_by_theirs() {
    let bench = Bench::new().await;
    let group = bench
        .post(
            "/admin/account-groups",
            json!({"name": "team", "platform": "claude"}),
        )
        .await
        .is(201)
        .text("id");
    let inside = account(&bench, "inside").await["id"].clone();
    account(&bench, "outside").await;
    let path = format!("/admin/accounts/{}", inside.as_str().unwrap());
    bench.patch(&path, json!({"groups": [group]})).await.is(200);
    for (name, target) in [
        ("to the group", json!(format!("group:{group}"))),
        ("to the account", inside),
    ] {
        let key = json!({"name": name, "bindings": {"claude": target}});
        bench.post("/admin/api-keys", key).await.is(201);
    }
    let keys = format!("/admin/api-keys?boundTo=group:{group}");
    assert_eq!(names(&bench, &keys).await, ["to the group"]);
    let accounts = format!("/admin/accounts?group={group}");
    assert_eq!(names(&bench, &accounts).await, ["inside"]);
}

#[tokio::test]
async fn keys_are_sorted_by_their_last_use_and_what_they_cost() {
    let (bench, first, second, account) = used().await;
    // Yesterday `first` was dear: over all time it cost more than `second`, today less.
    let mut dear = event(NOW - 2, 4, &first, &account);
    dear.cost = MicroUsd(5_000);
    let now = bench.app.ports.clock.now();
    bench.app.ledger.append("b2", &[dear], now).await.unwrap();
    bench
        .post("/admin/api-keys", json!({"name": "never"}))
        .await
        .is(201);
    let shown = bench.get("/admin/api-keys").await.is(200).json;
    let of = |id: &Value, field: &str| -> Value {
        let items = shown["items"].as_array().unwrap();
        items.iter().find(|item| item["id"] == *id).unwrap()[field].clone()
    };
    for (field, up) in [
        ("lastUsedAt", ["never", "first", "second"]),
        ("costToday", ["never", "first", "second"]),
        ("costTotal", ["never", "second", "first"]),
    ] {
        let down: Vec<&str> = up.iter().rev().copied().collect();
        for (order, expected) in [("asc", up.to_vec()), ("desc", down)] {
            let path = format!("/admin/api-keys?sortBy={field}&sortOrder={order}");
            assert_eq!(names(&bench, &path).await, expected, "{field} {order}");
        }
    }
    assert_eq!(of(&first["id"], "costToday"), 0.0001);
    assert_eq!(of(&first["id"], "costTotal"), 0.0052);
    assert_eq!(of(&second["id"], "lastUsedAt"), "2025-11-24T18:00:00.000Z");
}

#[tokio::test]
async fn accounts_are_found_by_how_they_are_doing_and_say_why_as_data() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for name in ["well", "refused", "limited", "paused"] {
        ids.push(account(&bench, name).await["id"].as_str().unwrap().to_owned());
    }
    bench
        .patch(
            &format!("/admin/accounts/{}", ids[3]),
            json!({"schedulable": false}),
        )
        .await
        .is(200);
    bench.learn_roster().await;
    let now = super::bench::NOW;
    for (n, outcome) in [
        (
            1,
            pool::Outcome::Denied {
                why: "401: no".to_owned(),
                until: None,
            },
        ),
        (
            2,
            pool::Outcome::Throttled {
                until: Some(now + 60_000),
                family: None,
                why: "429".to_owned(),
            },
        ),
    ] {
        let report = pool::Report::of(crs_durable::CallId(n as u128), ids[n].clone(), outcome);
        bench
            .gates
            .pool(Platform::Claude, pool::Command::Report(report))
            .await
            .unwrap();
    }
    for (query, found) in [
        ("status=unauthorized", "refused"),
        ("status=unauthorized,rateLimited", "limited refused"),
        ("status=active", "well"),
        ("status=busy", ""),
        ("group=none", ""),
    ] {
        let path = format!("/admin/accounts?sortBy=name&sortOrder=asc&{query}");
        assert_eq!(names(&bench, &path).await.join(" "), found, "{query}");
    }
    let page = bench
        .get("/admin/accounts?sortBy=status&sortOrder=asc")
        .await
        .is(200)
        .json;
    let told: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["statusCode"])
        .collect();
    assert_eq!(
        json!(told),
        json!(["credentials_refused", "provider_limit", null, "paused"])
    );
    assert_eq!(page["items"][1]["cooldowns"][0]["code"], "provider_limit");
    bench
        .get("/admin/accounts?status=odd")
        .await
        .refuses(422, "invalid_field", "status");
}
