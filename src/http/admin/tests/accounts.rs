//! `/admin/accounts`.

use crs_durable::CallId;
use crs_durable::pool::{self, Outcome};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::bench::{Bench, NOW};
use crate::model::account::Platform;
use crate::model::account::live::Credentials;
use crate::port::gates::Gates as _;

async fn made(bench: &Bench, more: Value) -> Value {
    let mut body = json!({"name": "main", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    bench.post("/admin/accounts", body).await.is(201).json
}

fn path(account: &Value) -> String {
    format!("/admin/accounts/{}", account["id"].as_str().unwrap())
}

async fn credentials(bench: &Bench, account: &Value) -> Credentials {
    let live = bench
        .app
        .accounts
        .live(account["id"].as_str().unwrap(), 0, 0)
        .await
        .unwrap()
        .unwrap();
    live.credentials.clone()
}

#[tokio::test]
async fn a_new_account_shows_what_it_is_and_no_secret() {
    let bench = Bench::new().await;
    let account = made(
        &bench,
        json!({
            "description": "ours", "priority": 10, "maxConcurrency": 4,
            "credentials": {"type": "apiKey", "apiKey": " sk-ant-s3cret ", "baseUrl": "https://proxy.example/anthropic/v1/messages"},
            "proxy": {"type": "socks5h", "host": "[::1]", "port": 1080, "username": "joe-s3cret", "password": "s3cret"},
            "modelMapping": {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929"},
        }),
    )
    .await;
    assert_eq!(
        account["credentials"],
        json!({"type": "apiKey", "baseUrl": "https://proxy.example/anthropic"})
    );
    assert_eq!(
        account["proxy"],
        json!({"type": "socks5", "host": "::1", "port": 1080, "hasLogin": true})
    );
    assert_eq!(
        (
            &account["status"],
            &account["priority"],
            &account["maxConcurrency"]
        ),
        (&json!("active"), &json!(10), &json!(4))
    );
    assert_eq!(
        account["modelMapping"]["claude-sonnet-4-5"],
        "claude-sonnet-4-5-20250929"
    );
    assert_eq!(bench.get(&path(&account)).await.is(200).json, account);
    assert!(!bench.store.ever_done().contains("s3cret"));
    let live = bench
        .app
        .accounts
        .live(account["id"].as_str().unwrap(), 0, 0)
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(&live.credentials, Credentials::ApiKey { api_key, .. } if api_key.reveal() == "sk-ant-s3cret")
    );
    assert_eq!(live.proxy.as_ref().unwrap().password.as_deref(), Some("s3cret"));
}

#[tokio::test]
async fn defaults_are_crs_defaults() {
    let bench = Bench::new().await;
    let account = made(&bench, json!({})).await;
    assert_eq!(
        (&account["priority"], &account["maxConcurrency"]),
        (&json!(50), &json!(0))
    );
    assert_eq!(
        (&account["isActive"], &account["schedulable"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&account["proxy"], &account["credentials"]["baseUrl"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let bench = Bench::new().await;
    let oauth = |more: Value| {
        let mut credentials = json!({"type": "oauth", "accessToken": "at"});
        for (name, value) in more.as_object().unwrap() {
            credentials[name] = value.clone();
        }
        json!({ "credentials": credentials })
    };
    let key = |more: Value| json!({"credentials": {"type": "apiKey", "apiKey": more}});
    for (body, code, field) in [
        (json!({"name": null}), "invalid_field", "name"),
        (
            json!({"platform": "antigravity"}),
            "invalid_field",
            "credentials.type",
        ),
        (json!({"platform": "bedrock"}), "invalid_field", "platform"),
        (json!({"priority": 0}), "invalid_field", "priority"),
        (json!({"priority": 101}), "invalid_field", "priority"),
        (json!({"maxConcurrency": -1}), "invalid_field", "maxConcurrency"),
        (json!({"credentials": null}), "invalid_field", "credentials"),
        (
            json!({"credentials": "sk-ant-s3cret"}),
            "invalid_field",
            "credentials",
        ),
        (
            json!({"credentials": {"apiKey": "x"}}),
            "missing_field",
            "credentials.type",
        ),
        (
            json!({"credentials": {"type": "cookie"}}),
            "invalid_field",
            "credentials.type",
        ),
        (
            json!({"credentials": {"type": "apiKey"}}),
            "missing_field",
            "credentials.apiKey",
        ),
        (
            json!({"credentials": {"type": "oauth", "refreshToken": "x"}}),
            "missing_field",
            "credentials.accessToken",
        ),
        (
            json!({"credentials": {"type": "oauth", "accessToken": "x", "apiKey": "y"}}),
            "invalid_field",
            "credentials.apiKey",
        ),
        (
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "accessToken": "y"}}),
            "invalid_field",
            "credentials.accessToken",
        ),
        (
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "secret": "y"}}),
            "unknown_field",
            "credentials.secret",
        ),
        (key(json!("")), "invalid_field", "credentials.apiKey"),
        (key(json!("two words")), "invalid_field", "credentials.apiKey"),
        (key(json!("line\nbreak")), "invalid_field", "credentials.apiKey"),
        (key(json!(null)), "invalid_field", "credentials.apiKey"),
        (
            oauth(json!({"expiresAt": "soon"})),
            "invalid_field",
            "credentials.expiresAt",
        ),
        (
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "baseUrl": "ftp://x"}}),
            "invalid_field",
            "credentials.baseUrl",
        ),
        (
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "baseUrl": "/relative"}}),
            "invalid_field",
            "credentials.baseUrl",
        ),
        (
            json!({"credentials": {"type": "apiKey", "apiKey": "x", "baseUrl": "https://u:s3cret@x"}}),
            "invalid_field",
            "credentials.baseUrl",
        ),
        (
            json!({"proxy": {"type": "socks4", "host": "h", "port": 1}}),
            "invalid_field",
            "proxy.type",
        ),
        (
            json!({"proxy": {"type": "http", "host": "h"}}),
            "missing_field",
            "proxy.port",
        ),
        (
            json!({"proxy": {"type": "http", "host": "h", "port": 0}}),
            "invalid_field",
            "proxy.port",
        ),
        (
            json!({"proxy": {"type": "http", "host": "http://h", "port": 1}}),
            "invalid_field",
            "proxy.host",
        ),
        (
            json!({"proxy": {"type": "http", "host": "s3cret@h", "port": 1}}),
            "invalid_field",
            "proxy.host",
        ),
        (
            json!({"proxy": {"type": "http", "host": "h", "port": 1, "user": "x"}}),
            "unknown_field",
            "proxy.user",
        ),
        (
            json!({"proxy": "http://joe:s3cret@h:1"}),
            "invalid_field",
            "proxy",
        ),
        (
            json!({"modelMapping": {"a": ""}}),
            "invalid_field",
            "modelMapping.a",
        ),
        (json!({"modelMapping": ["a"]}), "invalid_field", "modelMapping"),
        (json!({"groupId": "g"}), "unknown_field", "groupId"),
        (
            json!({"credentialVersion": 7}),
            "unknown_field",
            "credentialVersion",
        ),
    ] {
        let mut whole =
            json!({"name": "x", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}});
        for (name, value) in body.as_object().unwrap() {
            whole[name] = value.clone();
        }
        bench
            .post("/admin/accounts", whole)
            .await
            .refuses(422, code, field);
    }
    for field in ["name", "platform", "credentials"] {
        let mut whole =
            json!({"name": "x", "platform": "claude", "credentials": {"type": "apiKey", "apiKey": "k"}});
        whole.as_object_mut().unwrap().remove(field);
        bench
            .post("/admin/accounts", whole)
            .await
            .refuses(422, "missing_field", field);
    }
    assert_eq!(bench.get("/admin/accounts").await.json["total"], 0);
    assert!(!bench.answers().concat().contains("s3cret"));
}

#[tokio::test]
async fn a_patch_keeps_the_secrets_it_does_not_name() {
    let bench = Bench::new().await;
    let account = made(
        &bench,
        json!({"proxy": {"type": "http", "host": "h", "port": 8080}}),
    )
    .await;
    let patch = |body: Value| {
        let (bench, path) = (bench.clone(), path(&account));
        async move { bench.patch(&path, body).await }
    };
    // Another address wants the key again.
    patch(json!({"credentials": {"type": "apiKey", "baseUrl": "https://other.example/"}}))
        .await
        .refuses(422, "secret_needed", "credentials.apiKey");
    patch(json!({"credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret", "baseUrl": "https://other.example/"}}))
        .await
        .is(200);
    // Another path of the same host does not.
    patch(json!({"credentials": {"type": "apiKey", "baseUrl": "https://other.example/v2/"}}))
        .await
        .is(200);
    let Credentials::ApiKey { api_key, base_url } = credentials(&bench, &account).await else {
        panic!()
    };
    assert_eq!(
        (api_key.reveal(), base_url.as_deref()),
        ("sk-ant-s3cret", Some("https://other.example/v2"))
    );
    patch(json!({"credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret", "baseUrl": null}}))
        .await
        .is(200);
    // Another type needs its own.
    patch(json!({"credentials": {"type": "oauth"}, "name": "y"}))
        .await
        .refuses(422, "missing_field", "credentials.accessToken");
    assert_eq!(bench.get(&path(&account)).await.json["name"], "main");
    let answer = patch(json!({"credentials": {"type": "oauth", "accessToken": "at-1", "refreshToken": "rt-1", "expiresAt": "2026-01-01T00:00:00Z"}})).await.is(200);
    assert_eq!(
        answer.json["credentials"],
        json!({"type": "oauth", "hasRefreshToken": true, "expiresAt": "2026-01-01T00:00:00.000Z", "tenant": null})
    );
    let answer = patch(json!({"credentials": {"type": "oauth", "accessToken": "at-2"}}))
        .await
        .is(200);
    assert_eq!(
        answer.json["credentials"],
        json!({"type": "oauth", "hasRefreshToken": true, "expiresAt": null, "tenant": null})
    );
    let answer = patch(json!({"credentials": {"type": "oauth", "refreshToken": null}}))
        .await
        .is(200);
    assert_eq!(answer.json["credentials"]["hasRefreshToken"], false);
    let Credentials::OAuth { access_token, .. } = credentials(&bench, &account).await else {
        panic!()
    };
    assert_eq!(access_token.reveal(), "at-2");

    assert_eq!(bench.get(&path(&account)).await.json["proxy"]["host"], "h");
    assert_eq!(
        patch(json!({"proxy": null})).await.is(200).json["proxy"],
        Value::Null
    );
    patch(json!({"platform": "openai"}))
        .await
        .refuses(422, "invalid_field", "platform");
    patch(json!({"platform": "claude", "schedulable": false}))
        .await
        .is(200);
    let stored = bench
        .app
        .accounts
        .get(account["id"].as_str().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.credential_version, 7);
}

#[tokio::test]
async fn patches_and_a_refresh_at_once_all_stay() {
    let bench = Bench::new().await;
    let account = made(
        &bench,
        json!({"credentials": {"type": "oauth", "accessToken": "at-1", "refreshToken": "rt-1"}}),
    )
    .await;
    let patches = [
        json!({"name": "renamed"}),
        json!({"priority": 3}),
        json!({"description": "d"}),
        json!({"modelMapping": {"a": "b"}}),
    ];
    let all = patches.iter().map(|body| {
        let (bench, path) = (bench.clone(), path(&account));
        async move { bench.patch(&path, body.clone()).await.is(200) }
    });
    let tokens = crate::model::account::live::NewTokens {
        access_token: crate::model::secret::Secret::new("at-2"),
        refresh_token: None,
        expires_at: Some(NOW + 1),
        tenant: None,
    };
    let (_, replaced) = tokio::join!(
        join_all(all),
        bench
            .app
            .accounts
            .replace_tokens(account["id"].as_str().unwrap(), 1, tokens)
    );
    replaced.unwrap();
    let shown = bench.get(&path(&account)).await.json;
    assert_eq!(
        (&shown["name"], &shown["priority"], &shown["description"]),
        (&json!("renamed"), &json!(3), &json!("d"))
    );
    assert_eq!(shown["modelMapping"], json!({"a": "b"}));
    let Credentials::OAuth {
        access_token,
        refresh_token,
        ..
    } = credentials(&bench, &account).await
    else {
        panic!()
    };
    assert_eq!(
        (access_token.reveal(), refresh_token.unwrap().reveal()),
        ("at-2", "rt-1")
    );
}

#[tokio::test]
async fn deletion_is_for_good() {
    let bench = Bench::new().await;
    let account = made(&bench, json!({})).await;
    credentials(&bench, &account).await;
    let answer = bench.delete(&path(&account)).await.is(204);
    assert_eq!(answer.json, Value::Null);
    for (method, path) in [
        ("GET", path(&account)),
        ("PATCH", path(&account)),
        ("DELETE", path(&account)),
        ("POST", format!("{}/reset", path(&account))),
    ] {
        bench.call(method, &path, &Value::Null).await.is(404);
    }
    assert!(
        bench
            .app
            .accounts
            .live(account["id"].as_str().unwrap(), 0, 0)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        bench.store.field("accounts", account["id"].as_str().unwrap()),
        None
    );
}

async fn pick(bench: &Bench, call: u128) -> pool::Reply {
    let command = pool::Command::Pick(pool::Pick {
        family: "sonnet".to_owned(),
        learned_since: 1,
        ..pool::Pick::of(CallId(call), 60_000)
    });
    bench.gates.pool(Platform::Claude, command).await.unwrap()
}

async fn report(bench: &Bench, call: u128, account: &Value, outcome: Outcome) {
    let id = account["id"].as_str().unwrap().to_owned();
    let command = pool::Command::Report(pool::Report::of(CallId(call), id, outcome));
    bench.gates.pool(Platform::Claude, command).await.unwrap();
}

#[tokio::test]
async fn shows_how_an_account_is_doing() {
    let bench = Bench::new().await;
    let account = made(&bench, json!({"maxConcurrency": 1})).await;
    let shown = || async { bench.get(&path(&account)).await.is(200).json };
    assert_eq!(shown().await["status"], "active");
    bench.learn_roster().await;

    assert!(matches!(pick(&bench, 1).await, pool::Reply::Picked { .. }));
    let busy = shown().await;
    assert_eq!(
        (&busy["status"], &busy["currentConcurrency"]),
        (&json!("busy"), &json!(1))
    );
    report(
        &bench,
        1,
        &account,
        Outcome::Throttled {
            until: Some(NOW + 60_000),
            family: None,
            why: "429".to_owned(),
        },
    )
    .await;
    let limited = shown().await;
    assert_eq!(limited["status"], "rateLimited");
    assert_eq!(limited["statusUntil"], "2025-11-24T16:01:00.000Z");
    assert_eq!(
        limited["cooldowns"],
        json!([{
            "family": null, "kind": "measured", "code": "provider_limit", "reason": "429",
            "until": "2025-11-24T16:01:00.000Z",
            "probing": false, "onlyKeyId": null,
        }])
    );
    assert_eq!(bench.get("/admin/accounts").await.json["items"][0], limited);

    let reset = bench
        .post(&format!("{}/reset", path(&account)), Value::Null)
        .await
        .is(200)
        .json;
    assert_eq!(
        (&reset["status"], &reset["cooldowns"]),
        (&json!("active"), &json!([]))
    );

    assert!(matches!(pick(&bench, 2).await, pool::Reply::Picked { .. }));
    report(
        &bench,
        2,
        &account,
        Outcome::Denied {
            why: "401 from the provider".to_owned(),
            until: None,
        },
    )
    .await;
    let denied = shown().await;
    assert_eq!(
        (&denied["status"], &denied["statusReason"]),
        (&json!("unauthorized"), &json!("401 from the provider"))
    );
    // New credentials end the mark.
    bench
        .patch(
            &path(&account),
            json!({"credentials": {"type": "apiKey", "apiKey": "new"}}),
        )
        .await
        .is(200);
    assert_eq!(shown().await["status"], "active");

    bench
        .patch(&path(&account), json!({"schedulable": false}))
        .await
        .is(200);
    assert_eq!(shown().await["status"], "paused");
    assert_eq!(pick(&bench, 3).await, pool::Reply::NeedRoster);
    bench
        .patch(&path(&account), json!({"isActive": false}))
        .await
        .is(200);
    assert_eq!(shown().await["status"], "inactive");
}

#[tokio::test]
async fn a_pool_that_is_away_hides_only_how_they_are_doing() {
    let bench = Bench::new().await;
    let account = made(&bench, json!({})).await;
    bench.gates.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let shown = bench.get(&path(&account)).await.is(200).json;
    assert_eq!(shown["currentConcurrency"], Value::Null);
    bench
        .post(&format!("{}/reset", path(&account)), Value::Null)
        .await
        .is(503);
    bench.patch(&path(&account), json!({"name": "z"})).await.is(200);
}

#[tokio::test]
async fn lists_are_filtered_and_sorted() {
    let bench = Bench::new().await;
    for (n, (name, priority)) in [("b", 30), ("C", 10), ("a", 20)].into_iter().enumerate() {
        bench.clock.jump(NOW + n as u64);
        made(
            &bench,
            json!({"name": name, "priority": priority, "isActive": n != 0, "description": format!("no. {n}")}),
        )
        .await;
    }
    let names = |query: &'static str| {
        let bench = bench.clone();
        async move {
            let list = bench.get(&format!("/admin/accounts?{query}")).await.is(200).json;
            let names: Vec<String> = list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| a["name"].as_str().unwrap().to_owned())
                .collect();
            names.concat()
        }
    };
    assert_eq!(names("").await, "aCb");
    assert_eq!(names("sortBy=priority&sortOrder=asc").await, "Cab");
    assert_eq!(names("sortBy=name&sortOrder=asc").await, "abC");
    assert_eq!(names("platform=claude&isActive=true").await, "aC");
    assert_eq!(names("platform=gemini").await, "");
    assert_eq!(names("search=NO.%201").await, "C");
    bench
        .get("/admin/accounts?platform=nope")
        .await
        .refuses(422, "invalid_field", "platform");
    bench
        .get("/admin/accounts?sort=name")
        .await
        .refuses(422, "unknown_field", "sort");
}
