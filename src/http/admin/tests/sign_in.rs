//! `/admin/accounts/oauth`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::bench::{Answer, Bench, NOW};
use crate::model::account::live::Credentials;
use crate::secrets::pkce;

const CLIENTS: [(&str, &str); 6] = [
    ("CLAUDE_OAUTH_CLIENT_ID", "our-claude"),
    ("OPENAI_OAUTH_CLIENT_ID", "our-openai"),
    ("GEMINI_OAUTH_CLIENT_ID", "our-gemini"),
    ("GEMINI_OAUTH_CLIENT_SECRET", "s3cret-client"),
    ("ANTIGRAVITY_OAUTH_CLIENT_ID", "our-antigravity"),
    ("ANTIGRAVITY_OAUTH_CLIENT_SECRET", "s3cret-other"),
];

/// A sign-in that was begun.
struct UnfinishedSignIn {
    session: String,
    page: String,
    query: HashMap<String, String>,
}

async fn start(bench: &Bench, body: Value) -> UnfinishedSignIn {
    let begun = bench.post("/admin/accounts/oauth/start", body).await.is(200);
    let (page, query) = begun.json["authUrl"].as_str().unwrap().split_once('?').unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    UnfinishedSignIn {
        session: begun.text("sessionId"),
        page: page.to_owned(),
        query: pairs
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    value.replace("%20", " ").replace("%3A", ":").replace("%2F", "/"),
                )
            })
            .collect(),
    }
}

async fn finish(bench: &Bench, session: &str, text: &str) -> Answer {
    let body = json!({"sessionId": session, "codeOrCallbackUrl": text});
    bench.post("/admin/accounts/oauth/finish", body).await
}

fn gives_tokens(bench: &Bench, more: &Value) {
    let mut answer =
        json!({"access_token": "s3cret-access", "refresh_token": "s3cret-refresh", "expires_in": 3600});
    for (name, value) in more.as_object().unwrap() {
        answer[name] = value.clone();
    }
    bench.provider.answers(200, &[], &answer);
}

fn token(claims: &Value) -> String {
    format!("e30.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

async fn credentials(bench: &Bench, account: &Value) -> Credentials {
    let live = bench
        .app
        .accounts
        .live(account["id"].as_str().unwrap(), 0, 0)
        .await;
    live.unwrap().unwrap().credentials.clone()
}

/// What the token endpoint was asked last, and through which proxy.
fn asked(bench: &Bench) -> (String, String, Option<String>) {
    let asked = bench.provider.asked.lock().unwrap();
    let (request, proxy) = asked.last().unwrap();
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    (request.uri().to_string(), body, proxy.clone())
}

#[tokio::test]
async fn a_sign_in_writes_one_entry() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    gives_tokens(&bench, &json!({"account": {"email_address": "me@example.com"}}));
    let code = format!("the-code#{}", begun.query["state"]);
    let account = finish(&bench, &begun.session, &code).await.is(201).json;
    let log = bench.get("/admin/audit?actor=local").await.is(200).json;
    let items = log["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{log}");
    assert_eq!(
        (&items[0]["action"], &items[0]["subject"]),
        (
            &json!("account.create"),
            &json!(format!("account:{}", account["id"].as_str().unwrap()))
        )
    );
    assert!(!log.to_string().contains("s3cret"));
}

#[tokio::test]
async fn claude() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    assert_eq!(begun.page, "https://claude.ai/oauth/authorize");
    let of = |name: &str| begun.query[name].as_str();
    assert_eq!(
        (
            of("client_id"),
            of("response_type"),
            of("code"),
            of("code_challenge_method")
        ),
        ("our-claude", "code", "true", "S256")
    );
    assert_eq!(of("scope"), "org:create_api_key user:profile user:inference");
    assert_eq!(
        of("redirect_uri"),
        "https://platform.claude.com/oauth/code/callback"
    );

    gives_tokens(&bench, &json!({"account": {"email_address": "me@example.com"}}));
    let account = finish(&bench, &begun.session, &format!("the-code#{}", of("state")))
        .await
        .is(201)
        .json;
    assert_eq!(account["name"], "me@example.com");
    assert_eq!(
        account["credentials"],
        json!({"type": "oauth", "hasRefreshToken": true, "expiresAt": "2025-11-24T17:00:00.000Z", "tenant": null})
    );
    let (_, body, proxy) = asked(&bench);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(proxy, None);
    assert_eq!(
        (
            &body["grant_type"],
            &body["code"],
            &body["client_id"],
            &body["state"],
            &body["redirect_uri"]
        ),
        (
            &json!("authorization_code"),
            &json!("the-code"),
            &json!("our-claude"),
            &json!(of("state")),
            &json!(of("redirect_uri"))
        )
    );
    assert_eq!(
        pkce::challenge(body["code_verifier"].as_str().unwrap()),
        of("code_challenge")
    );
    assert_eq!(body["expires_in"], Value::Null);
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
        ("s3cret-access", "s3cret-refresh")
    );
    assert_eq!(bench.get("/admin/accounts").await.json["items"][0], account);
    let verifier = body["code_verifier"].as_str().unwrap();
    for hidden in ["s3cret", "the-code", verifier] {
        assert!(!bench.store.ever_done().contains(hidden), "{hidden}");
        assert!(
            bench.answers().iter().all(|answer| !answer.contains(hidden)),
            "{hidden}"
        );
    }
}

#[tokio::test]
async fn a_setup_token_is_for_claude_only() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(
        &bench,
        json!({"platform": "claude", "grant": "setupToken", "name": "year"}),
    )
    .await;
    assert_eq!(begun.query["scope"], "user:inference");
    let answer = json!({"access_token": "s3cret", "expires_in": 31_536_000});
    bench.provider.answers(200, &[], &answer);
    let account = finish(&bench, &begun.session, "the-code").await.is(201).json;
    assert_eq!(
        (
            &account["name"],
            &account["credentials"]["hasRefreshToken"],
            &account["credentials"]["expiresAt"]
        ),
        (&json!("year"), &json!(false), &json!("2026-11-24T16:00:00.000Z"))
    );
    assert!(asked(&bench).1.contains(r#""expires_in":31536000"#));
    for platform in ["openai", "gemini", "antigravity"] {
        bench
            .post(
                "/admin/accounts/oauth/start",
                json!({"platform": platform, "grant": "setupToken"}),
            )
            .await
            .refuses(422, "invalid_field", "grant");
    }
}

#[tokio::test]
async fn openai() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "openai"})).await;
    assert_eq!(begun.page, "https://auth.openai.com/oauth/authorize");
    assert_eq!(begun.query["redirect_uri"], "http://localhost:1455/auth/callback");
    assert_eq!(begun.query["scope"], "openid profile email offline_access");
    let claims =
        json!({"email": "me@example.com", "https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}});
    gives_tokens(&bench, &json!({"id_token": token(&claims)}));
    let address = format!(
        "{}?code=the%2Dcode&scope=x&state={}",
        begun.query["redirect_uri"], begun.query["state"]
    );
    let account = finish(&bench, &begun.session, &address).await.is(201).json;
    assert_eq!(
        (
            &account["platform"],
            &account["name"],
            &account["credentials"]["tenant"]
        ),
        (&json!("openai"), &json!("me@example.com"), &json!("acc-1"))
    );
    let (url, body, _) = asked(&bench);
    assert_eq!(url, "https://auth.openai.com/oauth/token");
    assert!(
        body.starts_with("grant_type=authorization_code&code=the-code&"),
        "{body}"
    );
    assert!(body.contains("client_id=our-openai"), "{body}");
}

#[tokio::test]
async fn gemini_through_a_proxy() {
    let bench = Bench::with(&CLIENTS).await;
    let proxy = json!({"type": "socks5", "host": "proxy.example", "port": 1080, "username": "u", "password": "s3cret"});
    let more = json!({"platform": "gemini", "proxy": proxy, "priority": 7, "description": "ours", "maxConcurrency": 3});
    let begun = start(&bench, more).await;
    assert_eq!(begun.page, "https://accounts.google.com/o/oauth2/v2/auth");
    assert_eq!(
        (
            begun.query["access_type"].as_str(),
            begun.query["prompt"].as_str()
        ),
        ("offline", "consent")
    );
    gives_tokens(
        &bench,
        &json!({"id_token": token(&json!({"email": "me@example.com"}))}),
    );
    let account = finish(&bench, &begun.session, "4/0code").await.is(201).json;
    assert_eq!(
        (
            &account["name"],
            &account["priority"],
            &account["description"],
            &account["maxConcurrency"]
        ),
        (&json!("me@example.com"), &json!(7), &json!("ours"), &json!(3))
    );
    assert_eq!(account["proxy"]["host"], "proxy.example");
    let (url, body, through) = asked(&bench);
    assert_eq!(url, "https://oauth2.googleapis.com/token");
    assert_eq!(through.as_deref(), Some("socks5://proxy.example:1080"));
    assert!(body.contains("client_secret=s3cret-client"), "{body}");
    assert!(!bench.store.ever_done().contains("s3cret"));
    assert!(bench.answers().iter().all(|answer| !answer.contains("s3cret")));
}

#[tokio::test]
async fn antigravity() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "antigravity"})).await;
    assert_eq!(begun.page, "https://accounts.google.com/o/oauth2/v2/auth");
    assert_eq!(begun.query["redirect_uri"], "http://localhost:45462");
    assert!(begun.query["scope"].ends_with("/auth/experimentsandconfigs"));
    gives_tokens(
        &bench,
        &json!({"id_token": token(&json!({"email": "me@example.com"}))}),
    );
    let account = finish(&bench, &begun.session, "4/0code").await.is(201).json;
    assert_eq!(
        (&account["platform"], &account["name"]),
        (&json!("antigravity"), &json!("me@example.com"))
    );
    let body = asked(&bench).1;
    assert!(
        body.contains("client_id=our-antigravity") && body.contains("client_secret=s3cret-other"),
        "{body}"
    );
}

#[tokio::test]
async fn an_unnamed_account_has_a_name_even_if_the_provider_tells_none() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "gemini"})).await;
    gives_tokens(&bench, &json!({}));
    let account = finish(&bench, &begun.session, "code").await.is(201).json;
    assert_eq!(account["name"], "gemini 2025-11-24");
}

#[tokio::test]
async fn a_client_that_is_not_set_is_named() {
    let bench = Bench::with(&[("GEMINI_OAUTH_CLIENT_ID", "x")]).await;
    for (platform, variable) in [
        ("claude", "CLAUDE_OAUTH_CLIENT_ID"),
        ("openai", "OPENAI_OAUTH_CLIENT_ID"),
        ("gemini", "GEMINI_OAUTH_CLIENT_SECRET"),
        ("antigravity", "ANTIGRAVITY_OAUTH_CLIENT_ID"),
    ] {
        let answer = bench
            .post("/admin/accounts/oauth/start", json!({ "platform": platform }))
            .await
            .refuses(422, "client_unset", "platform");
        assert!(answer.text("message").contains(variable), "{platform}");
    }
    bench
        .post("/admin/accounts/oauth/start", json!({"platform": "bedrock"}))
        .await
        .refuses(422, "invalid_field", "platform");
    bench
        .post("/admin/accounts/oauth/start", json!({}))
        .await
        .refuses(422, "missing_field", "platform");
}

#[tokio::test]
async fn it_is_finished_once_also_of_many_at_once() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    for _ in 0..10 {
        gives_tokens(&bench, &json!({}));
    }
    let answers = join_all((0..10).map(|_| finish(&bench, &begun.session, "code"))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let over = answers.iter().filter(|answer| answer.status == 404).count();
    assert_eq!((made, over), (1, 9));
    assert_eq!(bench.provider.asked.lock().unwrap().len(), 1);
    assert_eq!(bench.get("/admin/accounts").await.json["total"], 1);
    let again = finish(&bench, &begun.session, "code").await.is(404);
    assert_eq!(again.json["error"], "not_found");
}

#[tokio::test]
async fn it_ends_after_ten_minutes() {
    let bench = Bench::with(&CLIENTS).await;
    let answer = bench
        .post("/admin/accounts/oauth/start", json!({"platform": "claude"}))
        .await
        .is(200);
    assert_eq!(answer.text("expiresAt"), "2025-11-24T16:10:00.000Z");
    assert_eq!(NOW, 1_764_000_000_000);
    bench.clock.advance(Duration::from_mins(10));
    finish(&bench, &answer.text("sessionId"), "code").await.is(404);
    finish(&bench, "../accounts", "code").await.is(404);
    assert_eq!(bench.provider.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_was_pasted_wrongly_can_be_pasted_again() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    let other = start(&bench, json!({"platform": "claude"})).await;
    let (session, state) = (&begun.session, &begun.query["state"]);
    let at = "codeOrCallbackUrl";
    let foreign = format!("https://h/cb?code=s3cret&state={}", other.query["state"]);
    finish(&bench, session, &foreign)
        .await
        .refuses(422, "wrong_state", at);
    let denied = format!("https://h/cb?error=access_denied&state={state}");
    let told = finish(&bench, session, &denied)
        .await
        .refuses(422, "sign_in_refused", at);
    assert!(told.text("message").contains("access_denied"));
    finish(&bench, session, "https://h/cb")
        .await
        .refuses(422, "invalid_field", at);
    assert_eq!(bench.provider.asked.lock().unwrap().len(), 0);
    gives_tokens(&bench, &json!({}));
    finish(&bench, session, &format!("https://h/cb?code=c&state={state}"))
        .await
        .is(201);
    assert!(bench.answers().iter().all(|answer| !answer.contains("s3cret")));
}

#[tokio::test]
async fn the_token_endpoints_refusals_are_told_apart() {
    for (status, answer, code, told) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "s3cret"}),
            (422, "code_refused"),
            "too old",
        ),
        (
            401,
            json!({"error": "invalid_client"}),
            (422, "client_refused"),
            "CLAUDE_OAUTH_CLIENT_ID",
        ),
        (
            400,
            json!({"error": {"type": "invalid_request_error", "message": "s3cret"}}),
            (502, "provider_failed"),
            "invalid_request_error",
        ),
        (
            500,
            json!({"error": "invalid_grant"}),
            (502, "provider_failed"),
            "500",
        ),
        (
            200,
            json!({"token_type": "s3cret"}),
            (502, "provider_failed"),
            "no tokens",
        ),
    ] {
        let bench = Bench::with(&CLIENTS).await;
        let begun = start(&bench, json!({"platform": "claude"})).await;
        bench.provider.answers(status, &[], &answer);
        let refused = finish(&bench, &begun.session, "s3cret-code").await.is(code.0);
        assert_eq!(refused.json["error"], code.1);
        assert!(refused.text("message").contains(told), "{:?}", refused.json);
        assert!(bench.answers().iter().all(|answer| !answer.contains("s3cret")));
        // The code is spent.
        finish(&bench, &begun.session, "s3cret-code").await.is(404);
        assert_eq!(bench.get("/admin/accounts").await.json["total"], 0);
    }
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_told() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    let away = finish(&bench, &begun.session, "code").await.is(502);
    assert_eq!(away.json["error"], "provider_unreachable");
}

#[tokio::test]
async fn where_there_are_no_proxies_nothing_goes_past_one() {
    let bench = Bench::with(&CLIENTS).await;
    let proxy = json!({"type": "http", "host": "proxy.example", "port": 1});
    let begun = start(&bench, json!({"platform": "claude", "proxy": proxy})).await;
    bench.provider.direct_only.store(true, Ordering::SeqCst);
    bench
        .post(
            "/admin/accounts/oauth/start",
            json!({"platform": "claude", "proxy": proxy}),
        )
        .await
        .refuses(422, "invalid_field", "proxy");
    // Begun on a host that has them.
    finish(&bench, &begun.session, "code")
        .await
        .refuses(422, "invalid_field", "proxy");
    assert_eq!(bench.provider.asked.lock().unwrap().len(), 0);
    bench.provider.direct_only.store(false, Ordering::SeqCst);
    gives_tokens(&bench, &json!({}));
    finish(&bench, &begun.session, "code").await.is(201);
}

#[tokio::test]
async fn a_group_is_checked_when_it_begins_and_left_out_when_it_is_gone() {
    let bench = Bench::with(&CLIENTS).await;
    let group = bench
        .post(
            "/admin/account-groups",
            json!({"name": "g", "platform": "claude"}),
        )
        .await
        .is(201);
    let begun = start(
        &bench,
        json!({"platform": "claude", "groups": [group.text("id")]}),
    )
    .await;
    bench
        .post(
            "/admin/accounts/oauth/start",
            json!({"platform": "openai", "groups": [group.text("id")]}),
        )
        .await
        .refuses(422, "invalid_field", "groups[0]");
    bench
        .delete(&format!("/admin/account-groups/{}", group.text("id")))
        .await;
    gives_tokens(&bench, &json!({}));
    let account = finish(&bench, &begun.session, "code").await.is(201).json;
    assert_eq!(account["groups"], json!([]));
}

#[tokio::test]
async fn a_store_that_is_away_spends_no_code() {
    let bench = Bench::with(&CLIENTS).await;
    let begun = start(&bench, json!({"platform": "claude"})).await;
    bench.store.away.store(true, Ordering::SeqCst);
    finish(&bench, &begun.session, "code").await.is(503);
    bench.store.away.store(false, Ordering::SeqCst);
    gives_tokens(&bench, &json!({}));
    finish(&bench, &begun.session, "code").await.is(201);
}

#[tokio::test]
async fn an_account_that_is_there_gets_new_tokens_and_keeps_the_rest() {
    let bench = Bench::with(&CLIENTS).await;
    let first = json!({"platform": "openai", "name": "mine", "priority": 7,
        "proxy": {"type": "http", "host": "proxy.example", "port": 8080}});
    let begun = start(&bench, first).await;
    let of = |tenant: &str| {
        let claims = json!({"https://api.openai.com/auth": {"chatgpt_account_id": tenant}});
        json!({"id_token": token(&claims), "access_token": token(&claims)})
    };
    gives_tokens(&bench, &of("org-1"));
    let code = format!("c&state={}", begun.query["state"]);
    let account = finish(&bench, &begun.session, &code).await.is(201).json;
    let id = account["id"].clone();

    let anew = json!({"platform": "openai", "accountId": id});
    let begun = start(&bench, anew.clone()).await;
    gives_tokens(&bench, &of("org-1"));
    let code = format!("c&state={}", begun.query["state"]);
    let renewed = finish(&bench, &begun.session, &code).await.is(200).json;
    for kept in ["id", "name", "priority", "proxy", "createdAt"] {
        assert_eq!(renewed[kept], account[kept], "{kept}");
    }
    assert!(asked(&bench).2.is_some(), "through the account's proxy");
    let stored = bench
        .app
        .accounts
        .get(id.as_str().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.credential_version, 2);
    assert_eq!(bench.get("/admin/accounts").await.is(200).json["total"], 1);

    // Another login's tokens are not put in the place of these.
    let begun = start(&bench, anew.clone()).await;
    gives_tokens(&bench, &of("org-2"));
    let code = format!("c&state={}", begun.query["state"]);
    let refused = finish(&bench, &begun.session, &code).await.is(409);
    assert_eq!(refused.json["error"], "other_account");

    let path = "/admin/accounts/oauth/start";
    let mut more = anew.clone();
    more["name"] = json!("x");
    bench.post(path, more).await.refuses(422, "invalid_field", "name");
    let mut other = anew.clone();
    other["platform"] = json!("gemini");
    bench
        .post(path, other)
        .await
        .refuses(422, "invalid_field", "platform");
    bench
        .post(path, json!({"platform": "openai", "accountId": "none"}))
        .await
        .is(404);

    // Deleted while its person was at the provider's page.
    let begun = start(&bench, anew).await;
    bench
        .delete(&format!("/admin/accounts/{}", id.as_str().unwrap()))
        .await
        .is(204);
    let code = format!("c&state={}", begun.query["state"]);
    finish(&bench, &begun.session, &code).await.is(404);
}
