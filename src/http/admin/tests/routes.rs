//! `/admin/routes`, and the routes of a key.

use serde_json::{Value, json};

use super::bench::Bench;

fn route(models: &str, to: &Value) -> Value {
    json!({ "models": models, "to": to })
}

#[tokio::test]
async fn they_are_set_shown_and_logged() {
    let bench = Bench::new().await;
    let path = "/admin/routes";
    let none = bench.get(path).await.is(200).json;
    assert_eq!(none, json!({ "routes": [], "updatedAt": null }));
    let routes = json!([
        { "models": "claude-sonnet-*", "client": "messages",
            "to": [{ "platform": "openai", "model": "gpt-5" }, { "platform": "claude" }] },
    ]);
    let set = bench
        .call("PUT", path, &json!({ "routes": routes }))
        .await
        .is(200)
        .json;
    assert_eq!(set["routes"], routes);
    assert_eq!(bench.get(path).await.is(200).json, set);
    assert_eq!(bench.app.routes().len(), 1);
    let log = bench.get("/admin/audit").await.is(200).json;
    assert_eq!(log["items"][0]["action"], "routes.update", "{log}");
    bench.call("PUT", path, &json!({ "routes": [] })).await.is(200);
    assert!(bench.app.routes().is_empty());
}

#[tokio::test]
async fn what_could_not_work_is_refused_by_its_place() {
    let bench = Bench::new().await;
    let claude = json!({ "platform": "claude" });
    let group = bench
        .post(
            "/admin/account-groups",
            json!({ "name": "g", "platform": "openai" }),
        )
        .await
        .is(201)
        .text("id");
    let steps = vec![claude.clone(); 5];
    for (route, field) in [
        (route("claude sonnet", &json!([claude])), "routes[0].models"),
        (route("claude-*", &json!([])), "routes[0].to"),
        (route("claude-*", &json!(steps)), "routes[0].to"),
        (
            route("claude-*", &json!([{ "platform": "mars" }])),
            "routes[0].to[0].platform",
        ),
        (
            route("claude-*", &json!([{ "platform": "claude", "model": "a b" }])),
            "routes[0].to[0].model",
        ),
        (
            route("claude-*", &json!([{ "platform": "claude", "group": group }])),
            "routes[0].to[0].group",
        ),
        (
            route(
                "claude-*",
                &json!([claude, { "platform": "openai", "group": "nobody" }]),
            ),
            "routes[0].to[1].group",
        ),
    ] {
        let body = json!({ "routes": [route] });
        let refused = bench.call("PUT", "/admin/routes", &body).await.is(422).json;
        assert_eq!(refused["field"], field, "{refused}");
        let body = json!({ "name": "k", "routes": [route] });
        let refused = bench.post("/admin/api-keys", body).await.is(422).json;
        assert_eq!(refused["field"], field, "{refused}");
    }
    let good = route("claude-*", &json!([{ "platform": "openai", "group": group }]));
    let key = bench
        .post("/admin/api-keys", json!({ "name": "k", "routes": [good] }))
        .await
        .is(201);
    assert_eq!(key.json["routes"], json!([good]));
    let path = format!("/admin/api-keys/{}", key.text("id"));
    let kept = bench
        .call("PATCH", &path, &json!({ "name": "l" }))
        .await
        .is(200)
        .json;
    assert_eq!(kept["routes"], json!([good]));
    let none = bench
        .call("PATCH", &path, &json!({ "routes": null }))
        .await
        .is(200)
        .json;
    assert_eq!(none["routes"], json!([]));
}
