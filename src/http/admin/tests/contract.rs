//! Rules for all routes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, PASSWORD, ok};

/// Routes that need no session.
const PUBLIC: [(&str, &str); 12] = [
    ("get", "/admin/oem-settings"),
    ("post", "/web/auth/login"),
    ("post", "/web/auth/login-link"),
    ("get", "/health"),
    ("get", "/metrics"),
    ("post", "/apiStats/api/get-key-id"),
    ("post", "/apiStats/api/user-stats"),
    ("post", "/apiStats/api/user-model-stats"),
    ("post", "/apiStats/api/user-trend"),
    ("post", "/apiStats/api/batch-stats"),
    ("post", "/apiStats/api/batch-model-stats"),
    ("post", "/apiStats/api-key/test"),
];

const ROUTES: &[(&str, &str)] = &[
    ("post", "/web/auth/login"),
    ("post", "/web/auth/logout"),
    ("post", "/web/auth/refresh"),
    ("get", "/web/auth/user"),
    ("get", "/web/auth/sessions"),
    ("delete", "/web/auth/sessions/{id}"),
    ("post", "/web/auth/login-link"),
    ("post", "/web/auth/login-tickets"),
    ("post", "/web/auth/change-password"),
    ("post", "/web/auth/reset-password"),
    ("get", "/admin/api-keys"),
    ("post", "/admin/api-keys"),
    ("get", "/admin/api-keys/{id}"),
    ("patch", "/admin/api-keys/{id}"),
    ("delete", "/admin/api-keys/{id}"),
    ("post", "/admin/api-keys/batch"),
    ("post", "/admin/api-keys/create-many"),
    ("get", "/admin/api-keys/tags"),
    ("post", "/admin/api-keys/{id}/rotate"),
    ("delete", "/admin/api-keys/{id}/permanent"),
    ("post", "/admin/api-keys/{id}/restore"),
    ("post", "/admin/api-keys/{id}/reset-limits"),
    ("get", "/admin/account-groups"),
    ("post", "/admin/account-groups"),
    ("get", "/admin/account-groups/{id}"),
    ("patch", "/admin/account-groups/{id}"),
    ("delete", "/admin/account-groups/{id}"),
    ("get", "/admin/account-groups/{id}/members"),
    ("get", "/admin/concurrency"),
    ("delete", "/admin/concurrency/{id}"),
    ("get", "/admin/accounts"),
    ("post", "/admin/accounts"),
    ("post", "/admin/accounts/batch"),
    ("post", "/admin/accounts/oauth/start"),
    ("post", "/admin/accounts/oauth/finish"),
    ("get", "/admin/accounts/{id}"),
    ("patch", "/admin/accounts/{id}"),
    ("delete", "/admin/accounts/{id}"),
    ("post", "/admin/accounts/{id}/reset"),
    ("post", "/admin/accounts/{id}/flush-sessions"),
    ("post", "/admin/sessions/flush"),
    ("post", "/admin/accounts/{id}/test"),
    ("get", "/admin/oem-settings"),
    ("put", "/admin/oem-settings"),
    ("get", "/admin/audit"),
    ("get", "/admin/usage/summary"),
    ("get", "/admin/usage/trend"),
    ("get", "/admin/usage/ranking"),
    ("get", "/admin/usage/latency"),
    ("get", "/admin/usage/failures"),
    ("post", "/admin/usage/verify"),
    ("get", "/admin/refusals"),
    ("get", "/admin/requests"),
    ("get", "/admin/requests.csv"),
    ("get", "/admin/requests/{id}"),
    ("get", "/admin/overview"),
    ("get", "/admin/models"),
    ("get", "/admin/settings"),
    ("get", "/admin/prices"),
    ("put", "/admin/prices"),
    ("get", "/admin/routes"),
    ("put", "/admin/routes"),
    ("get", "/admin/backups"),
    ("post", "/admin/backups"),
    ("post", "/admin/backups/export"),
    ("put", "/admin/backups/schedule"),
    ("get", "/admin/backups/files/{name}"),
    ("delete", "/admin/backups/files/{name}"),
    ("post", "/apiStats/api/get-key-id"),
    ("post", "/apiStats/api/user-stats"),
    ("post", "/apiStats/api/user-model-stats"),
    ("post", "/apiStats/api/user-trend"),
    ("post", "/apiStats/api/batch-stats"),
    ("post", "/apiStats/api/batch-model-stats"),
    ("post", "/apiStats/api-key/test"),
    ("get", "/health"),
    ("get", "/metrics"),
];

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &String, item: &Value| {
        let path = path.clone();
        let methods: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| (method, path.clone()))
    };
    paths
        .iter()
        .flat_map(|(path, item)| methods(path, item))
        .collect()
}

#[tokio::test]
async fn every_route_is_described() {
    let bench = Bench::new().await;
    let document = bench.raw("GET", "/openapi.json", None, "").await.is(200).json;
    let expected = ROUTES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    let expected: BTreeSet<(String, String)> = expected.collect();
    assert_eq!(described(&document), expected);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    // Generators of clients name functions by these.
    let mut names = BTreeSet::new();
    for (method, path) in ROUTES {
        let name = document["paths"][path][method]["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#/").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(&format!("/{pointer}")).is_some(), "{pointer}");
    }
    let new = &document["components"]["schemas"];
    assert_eq!(new["NewKeyInput"]["required"], json!(["name"]));
    assert_eq!(new["NewAccountInput"]["required"], json!(["name"]));
    assert_eq!(new["KeyInput"]["required"], Value::Null);
}

#[tokio::test]
async fn every_route_but_the_public_ones_needs_a_session() {
    let bench = Bench::new().await;
    for &(method, path) in ROUTES {
        let path_with_id = path.replace("{id}", "x");
        if path == "/metrics" {
            // Text, not JSON; its own token is tested with it.
            continue;
        }
        let answer = bench.raw(&method.to_uppercase(), &path_with_id, None, "{}").await;
        if PUBLIC.contains(&(method, path)) {
            assert_ne!(answer.status, 401, "{method} {path}");
        } else {
            assert_eq!(answer.status, 401, "{method} {path}");
        }
        let marked =
            bench.raw("GET", "/openapi.json", None, "").await.json["paths"][path][method]["security"]
                .is_array();
        assert_eq!(marked, !PUBLIC.contains(&(method, path)), "{method} {path}");
    }
}

#[tokio::test]
async fn wrong_methods_and_addresses_are_told_in_the_same_shape() {
    let bench = Bench::new().await;
    for path in [
        "/web/auth/login",
        "/admin/api-keys",
        "/admin/api-keys/x",
        "/admin/accounts/x/reset",
        "/admin/oem-settings",
    ] {
        let answer = bench.raw("TRACE", path, Some(LOCAL), "").await.is(405);
        assert_eq!(answer.json["error"], "method_not_allowed", "{path}");
        assert!(!answer.headers["allow"].is_empty(), "{path}");
    }
    for path in [
        "/admin/nope",
        "/admin/api-keys/x/y/z",
        "/web/auth/nope",
        "/admin/api-keys/x/test",
    ] {
        let answer = bench.raw("GET", path, Some(LOCAL), "").await.is(404);
        assert_eq!(answer.json["error"], "not_found", "{path}");
        assert_eq!(answer.json["requestId"], answer.headers["x-request-id"]);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_body_is_read_whatever_its_content_type_says() {
    let bench = Bench::new().await;
    let request = axum::http::Request::post("/admin/api-keys")
        .header("authorization", format!("Bearer {LOCAL}"))
        .header("content-type", "text/plain")
        .body(axum::body::Body::from(r#"{"name": "x"}"#));
    bench.send(request.unwrap()).await.is(201);
}

#[tokio::test]
async fn no_answer_holds_a_secret() {
    let bench = Bench::new().await;
    let token = bench.login("root", PASSWORD, None).await.text("token");
    let key = bench.post("/admin/api-keys", json!({"name": "k"})).await.is(201);
    let plain = key.text("key");
    let key_path = format!("/admin/api-keys/{}", key.text("id"));
    let proxy =
        json!({"type": "http", "host": "h", "port": 1, "username": "s3cret-user", "password": "s3cret-pass"});
    let with_key = bench
        .post(
            "/admin/accounts",
            json!({"name": "a", "platform": "claude", "proxy": proxy, "credentials": {"type": "apiKey", "apiKey": "s3cret-key"}}),
        )
        .await
        .is(201);
    let with_oauth = bench
        .post(
            "/admin/accounts",
            json!({"name": "b", "platform": "claude",
                "credentials": {"type": "oauth", "accessToken": "s3cret-access", "refreshToken": "s3cret-refresh"}}),
        )
        .await
        .is(201);
    let before = bench.answers().len();
    // Everything again, rightly and wrongly, with the secrets in places where they do not belong.
    for account in [&with_key, &with_oauth] {
        let path = format!("/admin/accounts/{}", account.text("id"));
        bench.get(&path).await.is(200);
        bench.patch(&path, json!({"name": "c"})).await.is(200);
        bench.post(&format!("{path}/reset"), Value::Null).await.is(200);
        for wrong in [
            json!({"credentials": "s3cret-key"}),
            json!({"credentials": {"type": "s3cret-key"}}),
            json!({"credentials": {"type": "apiKey", "apiKey": ["s3cret-key"]}}),
            json!({"credentials": {"type": "apiKey", "apiKey": "s3cret key"}}),
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "baseUrl": "https://s3cret-key@x"}}),
            json!({"proxy": "http://s3cret-user:s3cret-pass@h"}),
            json!({"proxy": {"type": "http", "host": "h", "port": "s3cret-pass"}}),
            json!({"priority": "s3cret-key"}),
            json!({"platform": "s3cret-key"}),
        ] {
            bench.patch(&path, wrong).await.is(422);
        }
    }
    for path in [
        "/admin/accounts?search=s3cret",
        "/admin/accounts?platform=s3cret-key",
        "/admin/api-keys",
        "/openapi.json",
    ] {
        bench.get(path).await;
    }
    bench.get(&key_path).await.is(200);
    bench.patch(&key_path, json!({"name": "k2"})).await.is(200);
    bench.delete(&key_path).await.is(200);
    bench.get("/admin/api-keys?deleted=true").await.is(200);
    bench
        .post(&format!("{key_path}/restore"), Value::Null)
        .await
        .is(200);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
    bench.login("root", "s3cret-guess", None).await.is(401);
    bench
        .raw("GET", "/admin/api-keys", Some("s3cret-token-s3cret-token"), "")
        .await
        .is(401);
    bench
        .raw("POST", "/web/auth/login", None, r#"{"password": {"s3cret": 1}}"#)
        .await
        .is(422);

    let record = bench.app.keys.get(&key.text("id")).await.unwrap().unwrap();
    let account = bench
        .app
        .accounts
        .get(&with_key.text("id"))
        .await
        .unwrap()
        .unwrap();
    let sealed = account.proxy.unwrap();
    let phc = bench.app.admins.get().await.unwrap().unwrap().password;
    let answers = bench.answers();
    assert!(answers.len() > before + 30);
    for answer in &answers[before..] {
        for secret in [
            "s3cret",
            plain.as_str(),
            record.hash.as_str(),
            sealed.as_str(),
            phc.as_str(),
            PASSWORD,
            LOCAL,
            token.as_str(),
            "argon2",
            "v1:",
            "v2:",
        ] {
            assert!(!answer.contains(secret), "{secret} in {answer}");
        }
    }
}

#[tokio::test]
async fn changes_are_whole_or_not_at_all_when_the_answer_is_lost() {
    let bench = Bench::new().await;
    let key = bench.post("/admin/api-keys", json!({"name": "k"})).await.is(201);
    let path = format!("/admin/api-keys/{}", key.text("id"));
    bench
        .store
        .lose_answer
        .store(true, std::sync::atomic::Ordering::SeqCst);
    bench.patch(&path, json!({"isActive": false})).await.is(503);
    // It was done; repeating it does no harm.
    assert_eq!(bench.get(&path).await.json["isActive"], false);
    assert!(ok(bench.patch(&path, json!({"isActive": false})).await.status));
}

#[tokio::test]
async fn no_text_that_is_shown_hides_or_reorders_itself() {
    let bench = Bench::new().await;
    let key = bench.post("/admin/api-keys", json!({"name": "k"})).await.is(201);
    let key = format!("/admin/api-keys/{}", key.text("id"));
    let account =
        json!({"name": "a", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "x"}});
    let account = bench.post("/admin/accounts", account).await.is(201);
    let account = format!("/admin/accounts/{}", account.text("id"));
    let group = bench
        .post(
            "/admin/account-groups",
            json!({"name": "g", "platform": "claude"}),
        )
        .await
        .is(201);
    let group = format!("/admin/account-groups/{}", group.text("id"));
    for hidden in [
        '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{85}', '\u{2028}', '\0',
    ] {
        let text = format!("gpj{hidden}.exe");
        for (method, path, field, body) in [
            ("PATCH", &key, "name", json!({ "name": text })),
            ("PATCH", &key, "description", json!({ "description": text })),
            ("PATCH", &key, "tags", json!({ "tags": [text] })),
            ("PATCH", &account, "name", json!({ "name": text })),
            ("PATCH", &account, "description", json!({ "description": text })),
            ("PATCH", &group, "name", json!({ "name": text })),
            ("PATCH", &group, "description", json!({ "description": text })),
            (
                "PUT",
                &"/admin/oem-settings".to_owned(),
                "siteName",
                json!({ "siteName": text }),
            ),
        ] {
            let answer = bench.call(method, path, &body).await.is(422);
            let at = answer.text("field");
            assert!(at.starts_with(field), "{hidden:?} {path} {at}");
        }
    }
    bench
        .patch(
            &key,
            json!({"name": "名前 ❤\u{fe0f}", "description": "two\nlines"}),
        )
        .await
        .is(200);
}

#[tokio::test]
async fn a_proxy_is_at_a_host() {
    let bench = Bench::new().await;
    let account = |host: &str| {
        json!({"name": "a", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "x"},
            "proxy": {"type": "http", "host": host, "port": 8080}})
    };
    for bad in [
        "::::",
        "%00",
        "a%00.example",
        "fe80::1%eth0",
        "a..b",
        "2130706433",
        "0x7f.1",
    ] {
        bench
            .post("/admin/accounts", account(bad))
            .await
            .refuses(422, "invalid_field", "proxy.host");
    }
    for good in ["proxy.example", "10.0.0.1", "[::1]", "squid_1"] {
        bench.post("/admin/accounts", account(good)).await.is(201);
    }
}

#[tokio::test]
async fn the_figures_are_for_this_machine_or_for_the_token() {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    let asked = async |vars: &[(&str, &str)], local: bool, token: Option<&str>| {
        let bench = Bench::with(vars).await;
        let mut request = Request::get("/metrics");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if local {
            request = request.extension(crate::http::extract::FromThisMachine::in_process());
        }
        let request = request.body(Body::empty()).unwrap();
        let router = crate::http::router(bench.app.clone());
        router.oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(asked(&[], true, None).await, 200);
    assert_eq!(asked(&[], false, None).await, 403);
    assert_eq!(asked(&[], false, Some("guess")).await, 403);
    let set = [("METRICS_TOKEN", "t0ken-of-prometheus")];
    assert_eq!(asked(&set, true, None).await, 401);
    assert_eq!(asked(&set, false, Some("wrong")).await, 401);
    assert_eq!(asked(&set, false, Some("t0ken-of-prometheus")).await, 200);
}
