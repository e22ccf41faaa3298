//! Several keys at once: changed, or made.

use crs_durable::gate::{Refusal, Reply};
use serde_json::{Value, json};

use super::bench::Bench;

const BATCH: &str = "/admin/api-keys/batch";
const MANY: &str = "/admin/api-keys/create-many";

async fn made(bench: &Bench, body: Value) -> Value {
    bench.post("/admin/api-keys", body).await.is(201).json
}

async fn shown(bench: &Bench, key: &Value) -> Value {
    let path = format!("/admin/api-keys/{}", key["id"].as_str().unwrap());
    bench.get(&path).await.is(200).json
}

/// How each id fared: `ok`, or the code of its error.
fn fared(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap().iter();
    results
        .map(|one| {
            if one["ok"] == true {
                "ok"
            } else {
                one["error"]["error"].as_str().unwrap()
            }
        })
        .collect()
}

#[tokio::test]
async fn each_key_changes_by_itself_and_tells_from_and_to() {
    let bench = Bench::new().await;
    let one = made(
        &bench,
        json!({"name": "one", "dailyCostLimit": 10, "tags": ["old", "x"]}),
    )
    .await;
    let two = made(&bench, json!({"name": "two", "dailyCostLimit": 5})).await;
    let gone = made(&bench, json!({"name": "gone"})).await;
    let path = format!("/admin/api-keys/{}", gone["id"].as_str().unwrap());
    bench.delete(&path).await.is(200);
    let mut body = json!({
        "ids": [one["id"], two["id"], gone["id"], "nobody"],
        "change": {"dailyCostLimit": 5}, "addTags": ["x"], "removeTags": ["old"], "dryRun": true,
    });
    let planned = bench.post(BATCH, body.clone()).await.is(200).json;
    assert_eq!(
        shown(&bench, &one).await["dailyCostLimit"],
        10.0,
        "a dry run changed it"
    );
    body["dryRun"] = json!(false);
    let done = bench.post(BATCH, body.clone()).await.is(200).json;
    assert_eq!(planned["results"], done["results"]);
    assert_eq!(
        (
            &planned["dryRun"],
            &done["dryRun"],
            &done["succeeded"],
            &done["failed"]
        ),
        (&json!(true), &json!(false), &json!(2), &json!(2))
    );
    assert_eq!(fared(&done), ["ok", "ok", "wrong_state", "not_found"]);
    assert_eq!(
        done["results"][0]["changes"],
        json!([
            {"field": "dailyCostLimit", "from": 10.0, "to": 5.0},
            {"field": "tags", "from": ["old", "x"], "to": ["x"]},
        ])
    );
    assert_eq!(
        done["results"][1]["changes"],
        json!([{"field": "tags", "from": [], "to": ["x"]}])
    );
    let names: Vec<&Value> = (0..4).map(|n| &done["results"][n]["name"]).collect();
    assert_eq!(json!(names), json!(["one", "two", "gone", null]));
    let after = shown(&bench, &one).await;
    assert_eq!(
        (&after["dailyCostLimit"], &after["tags"]),
        (&json!(5.0), &json!(["x"]))
    );
    // The same again changes nothing, and writes nothing.
    let again = bench.post(BATCH, body).await.is(200).json;
    assert_eq!(
        (&again["succeeded"], &again["results"][0]["changes"]),
        (&json!(2), &json!([]))
    );
    assert_eq!(shown(&bench, &one).await["updatedAt"], after["updatedAt"]);
}

#[tokio::test]
async fn a_key_that_is_disabled_or_deleted_with_others_stops_at_once() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k"})).await;
    let plain = key["key"].as_str().unwrap();
    let act = async |action: &str, dry_run: bool| {
        let body = json!({"ids": [key["id"]], "action": action, "dryRun": dry_run});
        bench.post(BATCH, body).await.is(200).json
    };
    let mut call = 0;
    let mut admitted = async || {
        call += 1;
        bench.admit(plain, call).await
    };
    assert!(matches!(admitted().await, Reply::Granted { .. }));
    let disabled = act("disable", false).await;
    assert_eq!(
        disabled["results"][0]["changes"],
        json!([{"field": "isActive", "from": true, "to": false}])
    );
    assert_eq!(admitted().await, Reply::Refused(Refusal::Disabled));
    act("enable", false).await;
    assert!(matches!(admitted().await, Reply::Granted { .. }));
    for (action, dry_run, fares) in [
        ("restore", true, "wrong_state"),
        ("restore", false, "wrong_state"),
        ("purge", true, "wrong_state"),
        ("purge", false, "wrong_state"),
        ("delete", true, "ok"),
        ("delete", false, "ok"),
        ("delete", true, "wrong_state"),
        ("delete", false, "wrong_state"),
        ("enable", false, "wrong_state"),
        ("restore", false, "ok"),
        ("delete", false, "ok"),
        ("purge", true, "ok"),
        ("purge", false, "ok"),
        ("purge", false, "not_found"),
    ] {
        let answer = act(action, dry_run).await;
        assert_eq!(fared(&answer), [fares], "{action} {dry_run}");
        if (action, dry_run, fares) == ("delete", false, "ok") {
            assert_eq!(admitted().await, Reply::Refused(Refusal::UnknownKey));
        }
    }
}

#[tokio::test]
async fn what_is_wrong_for_all_keys_changes_none() {
    let bench = Bench::new().await;
    let key = made(&bench, json!({"name": "k"})).await;
    let ids = json!([key["id"]]);
    for (rest, code, field) in [
        (json!({}), "missing_field", "change"),
        (
            json!({"action": "delete", "change": {}}),
            "invalid_field",
            "action",
        ),
        (
            json!({"action": "delete", "addTags": ["x"]}),
            "invalid_field",
            "action",
        ),
        (json!({"action": "explode"}), "invalid_field", "action"),
        (
            json!({"change": {"dailyLimit": 1}}),
            "unknown_field",
            "change.dailyLimit",
        ),
        (
            json!({"change": {"dailyCostLimit": -1}}),
            "invalid_field",
            "change.dailyCostLimit",
        ),
        (
            json!({"change": {"bindings": {"claude": "nobody"}}}),
            "invalid_field",
            "change.bindings.claude",
        ),
        (
            json!({"change": {"tags": ["a"]}, "addTags": ["b"]}),
            "invalid_field",
            "addTags",
        ),
        (
            json!({"addTags": ["a"], "removeTags": ["a"]}),
            "invalid_field",
            "removeTags",
        ),
        (json!({"addTags": [""]}), "invalid_field", "addTags[0]"),
    ] {
        let mut body = rest.clone();
        body["ids"] = ids.clone();
        bench.post(BATCH, body).await.refuses(422, code, field);
    }
    // What is wrong for this key only is told as its own.
    let body = json!({"ids": ids, "change": {"rateLimitRequests": 5}});
    let answer = bench.post(BATCH, body).await.is(200).json;
    assert_eq!(answer["results"][0]["error"]["field"], "rateLimitRequests");
    let tags: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let body = json!({"ids": ids, "addTags": tags});
    assert_eq!(bench.post(BATCH, body).await.is(200).json["succeeded"], 1);
    let body = json!({"ids": ids, "addTags": ["one more"]});
    let answer = bench.post(BATCH, body).await.is(200).json;
    assert_eq!(answer["results"][0]["error"]["field"], "addTags");
    let after = shown(&bench, &key).await;
    assert_eq!(
        (
            &after["rateLimitRequests"],
            after["tags"].as_array().unwrap().len()
        ),
        (&json!(0), 50)
    );
}

#[tokio::test]
async fn many_keys_are_made_at_once_and_each_works() {
    let bench = Bench::new().await;
    let body = json!({"count": 3, "key": {"name": "class", "concurrencyLimit": 2, "tags": ["t"]}});
    let items = bench.post(MANY, body).await.is(201).json["items"].clone();
    let items = items.as_array().unwrap();
    let names: Vec<&Value> = items.iter().map(|key| &key["name"]).collect();
    assert_eq!(json!(names), json!(["class 1", "class 2", "class 3"]));
    for (call, key) in items.iter().enumerate() {
        let plain = key["key"].as_str().unwrap();
        let admitted = bench.admit(plain, call as u128 + 1).await;
        assert!(matches!(admitted, Reply::Granted { .. }), "{admitted:?}");
        assert_eq!(shown(&bench, key).await["concurrencyLimit"], 2);
        assert!(!bench.store.ever_done().contains(plain), "a secret is stored");
    }
    let list = bench.get("/admin/api-keys").await.is(200).json;
    assert_eq!(list["total"], 3);
    for (body, code, field) in [
        (
            json!({"count": 0, "key": {"name": "x"}}),
            "invalid_field",
            "count",
        ),
        (
            json!({"count": 101, "key": {"name": "x"}}),
            "invalid_field",
            "count",
        ),
        (json!({"key": {"name": "x"}}), "missing_field", "count"),
        (json!({"count": 2}), "missing_field", "key"),
        (json!({"count": 2, "key": {}}), "missing_field", "key.name"),
        (
            json!({"count": 2, "key": {"name": "x".repeat(99)}}),
            "invalid_field",
            "key.name",
        ),
        (
            json!({"count": 2, "key": {"name": "x", "tokenLimit": 5}}),
            "invalid_field",
            "key.tokenLimit",
        ),
        (
            json!({"count": 2, "key": {"name": "x", "bindings": {"claude": "nobody"}}}),
            "invalid_field",
            "key.bindings.claude",
        ),
    ] {
        bench.post(MANY, body).await.refuses(422, code, field);
    }
    assert_eq!(bench.get("/admin/api-keys").await.is(200).json["total"], 3);
}
