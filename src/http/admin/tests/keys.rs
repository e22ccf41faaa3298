//! `/admin/api-keys`.

use crs_durable::gate::{Refusal, Reply};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::bench::Bench;

async fn made(bench: &Bench, body: Value) -> Value {
    bench.post("/admin/api-keys", body).await.is(201).json
}

fn id(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

fn path(key: &Value) -> String {
    format!("/admin/api-keys/{}", id(key))
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_works() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "  laptop "})).await;
    let plain = key["key"].as_str().unwrap().to_owned();
    assert!(plain.starts_with("cr_") && plain.len() == 67);
    assert_eq!(key["name"], "laptop");
    assert_eq!(key["status"], "active");
    assert_eq!(key["permissions"], json!([]));
    assert_eq!(key["expiresAt"], Value::Null);
    assert_eq!(key["createdAt"], "2025-11-24T16:00:00.000Z");
    assert!(plain.starts_with(key["keyPreview"].as_str().unwrap()));
    let shown = bench.get(&path(&key)).await.is(200).json;
    assert_eq!(shown["key"], Value::Null);
    assert!(!shown.to_string().contains(&plain));
    assert!(matches!(bench.admit(&plain, 1).await, Reply::Granted { .. }));
    let live = bench.get(&path(&key)).await.is(200).json;
    assert_eq!(live["currentConcurrency"], 1);
    assert!(!bench.store.ever_done().contains(&plain));
}

#[tokio::test]
async fn takes_crs_fields_in_crs_forms() {
    let bench = Bench::new().await;
    let key = made(
        &bench,
        json!({
            "name": "team", "description": "for the team\nof two", "concurrencyLimit": 3,
            "permissions": "claude", "enableModelRestriction": true, "restrictedModels": ["claude-opus-4-1", "claude-opus-4-1"],
            "tags": ["a", " b ", "a"], "expiresAt": "2026-01-31T09:30:00+08:00", "isActive": true,
            "tokenLimit": 0, "rateLimitWindow": null, "rateLimitRequests": 0, "rateLimitCost": 0.0,
            "dailyCostLimit": 0, "totalCostLimit": null, "weeklyOpusCostLimit": 0, "expirationMode": "fixed",
            "activationDays": 0, "activationUnit": "days", "enableClientRestriction": false, "allowedClients": [],
        }),
    )
    .await;
    assert_eq!(key["permissions"], json!(["claude"]));
    assert_eq!(key["tags"], json!(["a", "b"]));
    assert_eq!(key["restrictedModels"], json!(["claude-opus-4-1"]));
    assert_eq!(key["expiresAt"], "2026-01-31T01:30:00.000Z");
    assert_eq!(key["concurrencyLimit"], 3);
    for (sent, kept) in [
        (json!("all"), json!([])),
        (json!([]), json!([])),
        (json!(null), json!([])),
        (json!(["openai", "claude", "claude"]), json!(["claude", "openai"])),
        (json!(["claude", "all"]), json!([])),
        (json!("gemini"), json!(["gemini"])),
    ] {
        let changed = bench
            .patch(&path(&key), json!({ "permissions": sent }))
            .await
            .is(200);
        assert_eq!(changed.json["permissions"], kept);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let bench = Bench::new().await;
    for (body, code, field) in [
        (json!({}), "missing_field", "name"),
        (json!({"name": ""}), "invalid_field", "name"),
        (json!({"name": "x".repeat(101)}), "invalid_field", "name"),
        (json!({"name": "a\nb"}), "invalid_field", "name"),
        (json!({"name": null}), "invalid_field", "name"),
        (json!({"name": 5}), "invalid_field", "name"),
        (
            json!({"name": "x", "concurrencyLimit": -1}),
            "invalid_field",
            "concurrencyLimit",
        ),
        (
            json!({"name": "x", "concurrencyLimit": 1.5}),
            "invalid_field",
            "concurrencyLimit",
        ),
        (
            json!({"name": "x", "concurrencyLimit": "3"}),
            "invalid_field",
            "concurrencyLimit",
        ),
        (
            json!({"name": "x", "concurrencyLimit": null}),
            "invalid_field",
            "concurrencyLimit",
        ),
        (
            json!({"name": "x", "isActive": "yes"}),
            "invalid_field",
            "isActive",
        ),
        (
            json!({"name": "x", "expiresAt": "tomorrow"}),
            "invalid_field",
            "expiresAt",
        ),
        (
            json!({"name": "x", "expiresAt": 1_764_000_000}),
            "invalid_field",
            "expiresAt",
        ),
        (
            json!({"name": "x", "permissions": ["claude", "droid"]}),
            "invalid_field",
            "permissions",
        ),
        (
            json!({"name": "x", "permissions": {}}),
            "invalid_field",
            "permissions",
        ),
        (
            json!({"name": "x", "tags": ["a", ""]}),
            "invalid_field",
            "tags[1]",
        ),
        (json!({"name": "x", "tags": "a"}), "invalid_field", "tags"),
        (
            json!({"name": "x", "restrictedModels": [1]}),
            "invalid_field",
            "restrictedModels[0]",
        ),
        (
            json!({"name": "x", "description": "x".repeat(501)}),
            "invalid_field",
            "description",
        ),
        (
            json!({"name": "x", "droidAccountId": "a"}),
            "unknown_field",
            "droidAccountId",
        ),
        (json!(["a name"]), "invalid_field", "body"),
    ] {
        if body.is_array() {
            bench.post("/admin/api-keys", body).await.is(422);
        } else {
            bench
                .post("/admin/api-keys", body)
                .await
                .refuses(422, code, field);
        }
    }
    bench
        .raw(
            "POST",
            "/admin/api-keys",
            Some(super::bench::LOCAL),
            "{\"name\": ",
        )
        .await
        .is(400);
    bench
        .raw(
            "POST",
            "/admin/api-keys",
            Some(super::bench::LOCAL),
            vec![b' '; 2 << 20],
        )
        .await
        .is(413);
    assert_eq!(bench.get("/admin/api-keys").await.json["total"], 0);
}

#[tokio::test]
async fn nobody_assigns_what_is_not_his_to_assign() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x"})).await;
    let before = bench.get(&path(&key)).await.json;
    for field in [
        "id",
        "hash",
        "version",
        "shown",
        "key",
        "keyPreview",
        "createdAt",
        "updatedAt",
        "deletedAt",
        "isDeleted",
        "status",
        "extra",
        "__proto__",
    ] {
        for answer in [
            bench.patch(&path(&key), json!({field: "x", "name": "y"})).await,
            bench
                .post("/admin/api-keys", json!({field: "x", "name": "y"}))
                .await,
        ] {
            answer.refuses(422, "unknown_field", field);
        }
    }
    assert_eq!(bench.get(&path(&key)).await.json, before);
}

#[tokio::test]
async fn a_patch_changes_what_is_sent_and_nothing_else() {
    let bench = Bench::new().await;
    let key = made(
        &bench,
        json!({"name": "x", "description": "d", "concurrencyLimit": 2, "expiresAt": "2026-01-01", "tags": ["t"]}),
    )
    .await;
    bench.clock.jump(super::bench::NOW + 5000);
    let mut expected = bench.get(&path(&key)).await.json;
    expected["updatedAt"] = json!("2025-11-24T16:00:05.000Z");
    assert_eq!(bench.patch(&path(&key), json!({})).await.is(200).json, expected);
    expected["concurrencyLimit"] = json!(5);
    assert_eq!(
        bench
            .patch(&path(&key), json!({"concurrencyLimit": 5}))
            .await
            .is(200)
            .json,
        expected
    );
    expected["expiresAt"] = Value::Null;
    expected["description"] = json!("");
    expected["tags"] = json!([]);
    let cleared = bench
        .patch(
            &path(&key),
            json!({"expiresAt": null, "description": null, "tags": null}),
        )
        .await;
    assert_eq!(cleared.is(200).json, expected);
    assert_eq!(bench.get(&path(&key)).await.json, expected);
}

#[tokio::test]
async fn a_change_holds_from_the_next_call_on() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x"})).await;
    let plain = key["key"].as_str().unwrap();
    assert!(matches!(bench.admit(plain, 1).await, Reply::Granted { .. }));
    bench.patch(&path(&key), json!({"isActive": false})).await.is(200);
    assert_eq!(bench.admit(plain, 2).await, Reply::Refused(Refusal::Disabled));
    bench
        .patch(&path(&key), json!({"isActive": true, "concurrencyLimit": 1}))
        .await
        .is(200);
    assert!(matches!(
        bench.admit(plain, 3).await,
        Reply::Refused(Refusal::ConcurrencyFull { limit: 1, .. })
    ));
    bench
        .patch(
            &path(&key),
            json!({"concurrencyLimit": 0, "expiresAt": "2025-11-24T15:59:59Z"}),
        )
        .await
        .is(200);
    assert!(matches!(
        bench.admit(plain, 4).await,
        Reply::Refused(Refusal::Expired { .. })
    ));
    assert_eq!(bench.get(&path(&key)).await.json["status"], "expired");
    bench
        .patch(&path(&key), json!({"expiresAt": "", "permissions": ["gemini"]}))
        .await
        .is(200);
    assert!(matches!(
        bench.admit(plain, 5).await,
        Reply::Refused(Refusal::NotPermitted { .. })
    ));
    bench.delete(&path(&key)).await.is(200);
    assert_eq!(bench.admit(plain, 6).await, Reply::Refused(Refusal::UnknownKey));
    bench
        .post(&format!("{}/restore", path(&key)), Value::Null)
        .await
        .is(200);
    bench
        .patch(&path(&key), json!({"permissions": "all"}))
        .await
        .is(200);
    assert!(matches!(bench.admit(plain, 7).await, Reply::Granted { .. }));
}

#[tokio::test]
async fn deletion_is_soft_and_can_be_undone() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x"})).await;
    let restore = format!("{}/restore", path(&key));
    bench.post(&restore, Value::Null).await.is(409);
    let deleted = bench.delete(&path(&key)).await.is(200).json;
    assert_eq!(
        (&deleted["status"], &deleted["isDeleted"]),
        (&json!("deleted"), &json!(true))
    );
    bench.delete(&path(&key)).await.is(409);
    bench.patch(&path(&key), json!({"name": "y"})).await.is(409);
    assert_eq!(bench.get("/admin/api-keys").await.json["total"], 0);
    assert_eq!(
        bench.get("/admin/api-keys?deleted=true").await.json["items"][0]["id"],
        id(&key)
    );
    let restored = bench.post(&restore, Value::Null).await.is(200).json;
    assert_eq!(
        (&restored["status"], &restored["deletedAt"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(bench.get("/admin/api-keys").await.json["total"], 1);
    for (method, path) in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore")] {
        bench
            .call(method, &format!("/admin/api-keys/nope{path}"), &Value::Null)
            .await
            .is(404);
    }
}

#[tokio::test]
async fn patches_at_once_all_stay() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "x"})).await;
    let patches = [
        json!({"name": "renamed"}),
        json!({"description": "described"}),
        json!({"concurrencyLimit": 9}),
        json!({"tags": ["t"]}),
        json!({"isActive": false}),
        json!({"permissions": ["openai"]}),
        json!({"restrictedModels": ["m"]}),
        json!({"expiresAt": "2027-01-01"}),
    ];
    let all = patches.iter().map(|body| {
        let (bench, path) = (bench.clone(), path(&key));
        async move { bench.patch(&path, body.clone()).await.is(200) }
    });
    join_all(all).await;
    let key = bench.get(&path(&key)).await.json;
    assert_eq!(key["name"], "renamed");
    assert_eq!(key["description"], "described");
    assert_eq!(key["concurrencyLimit"], 9);
    assert_eq!(key["tags"], json!(["t"]));
    assert_eq!(key["isActive"], false);
    assert_eq!(key["permissions"], json!(["openai"]));
    assert_eq!(key["restrictedModels"], json!(["m"]));
    assert_eq!(key["expiresAt"], "2027-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn lists_are_searched_sorted_and_paged() {
    let bench = Bench::new().await;
    for (n, name) in ["Delta", "alpha", "charlie", "Bravo", "echo"]
        .into_iter()
        .enumerate()
    {
        bench.clock.jump(super::bench::NOW + n as u64 * 1000);
        let tags: &[&str] = if n % 2 == 0 { &["even"] } else { &[] };
        let expires = (n == 1).then_some("2026-01-01");
        made(
            &bench,
            json!({"name": name, "description": format!("number {n}"), "tags": tags, "expiresAt": expires}),
        )
        .await;
    }
    let names = |query: &'static str| {
        let bench = bench.clone();
        async move {
            let list = bench.get(&format!("/admin/api-keys?{query}")).await.is(200).json;
            let names: Vec<String> = list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key["name"].as_str().unwrap().to_owned())
                .collect();
            names.join(" ")
        }
    };
    assert_eq!(names("").await, "echo Bravo charlie alpha Delta");
    assert_eq!(
        names("sortBy=name&sortOrder=asc").await,
        "alpha Bravo charlie Delta echo"
    );
    assert_eq!(names("sortBy=expiresAt&sortOrder=asc&pageSize=1").await, "alpha");
    assert_eq!(names("pageSize=2&page=2").await, "charlie alpha");
    assert_eq!(names("pageSize=2&page=3").await, "Delta");
    assert_eq!(names("pageSize=2&page=4").await, "");
    assert_eq!(names("search=NUMBER%203").await, "Bravo");
    assert_eq!(names("search=%20alph%20").await, "alpha");
    assert_eq!(names("tag=even&sortOrder=asc").await, "Delta charlie echo");
    assert_eq!(names("isActive=false").await, "");
    let list = bench.get("/admin/api-keys?pageSize=2&page=2").await.json;
    assert_eq!(
        (
            &list["page"],
            &list["pageSize"],
            &list["total"],
            &list["totalPages"]
        ),
        (&json!(2), &json!(2), &json!(5), &json!(3))
    );
    for (query, code, field) in [
        ("page=0", "invalid_field", "page"),
        ("page=-1", "invalid_field", "page"),
        ("page=x", "invalid_field", "page"),
        ("page=", "invalid_field", "page"),
        ("page=99999999999", "invalid_field", "page"),
        ("pageSize=101", "invalid_field", "pageSize"),
        ("sortBy=hash", "invalid_field", "sortBy"),
        ("sortOrder=up", "invalid_field", "sortOrder"),
        ("isActive=maybe", "invalid_field", "isActive"),
        ("pagesize=5", "unknown_field", "pagesize"),
        ("page=1&page=2", "invalid_field", "page"),
    ] {
        bench
            .get(&format!("/admin/api-keys?{query}"))
            .await
            .refuses(422, code, field);
    }
}

#[tokio::test]
async fn a_gate_that_is_away_hides_nothing_but_the_live_count() {
    let bench = Bench::new().await;
    bench.gates.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let key = made(&bench, json!({"name": "x"})).await;
    let shown = bench.get(&path(&key)).await.is(200).json;
    assert_eq!(shown["currentConcurrency"], Value::Null);
    assert_eq!(bench.get("/admin/api-keys").await.is(200).json["items"][0], shown);
}
