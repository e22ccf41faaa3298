//! Accounts for which a person signs in at the provider, and accounts out of the files where clients keep
//! their logins.

use std::process::Stdio;

use crs_support::client::{Answer, Client};
use crs_support::provider::{Allowed, CHATGPT_ACCOUNT, EMAIL, FakeProvider, Route, Script};
use crs_support::proxy::FakeProxy;
use crs_support::relay::{Relay, Setup};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::support::{relay, setup};

const START: &str = "/admin/accounts/oauth/start";
const FINISH: &str = "/admin/accounts/oauth/finish";

const CLIENTS: [(&str, &str); 6] = [
    ("CLAUDE_OAUTH_CLIENT_ID", "claude-client-of-the-operator"),
    ("OPENAI_OAUTH_CLIENT_ID", "openai-client-of-the-operator"),
    ("GEMINI_OAUTH_CLIENT_ID", "gemini-client-of-the-operator"),
    ("GEMINI_OAUTH_CLIENT_SECRET", "s3cret-of-the-operator"),
    (
        "ANTIGRAVITY_OAUTH_CLIENT_ID",
        "antigravity-client-of-the-operator",
    ),
    ("ANTIGRAVITY_OAUTH_CLIENT_SECRET", "s3cret-too"),
];

fn with_clients(setup: Setup) -> Setup {
    CLIENTS
        .iter()
        .fold(setup, |setup, (name, value)| setup.env(name, value))
}

struct Ready {
    provider: FakeProvider,
    relay: Relay,
}

async fn ready() -> Ready {
    let provider = FakeProvider::start().await;
    let relay = with_clients(relay(&provider)).start().await;
    Ready { provider, relay }
}

/// A sign-in that a person has allowed at the provider's page.
struct Begun {
    session: Value,
    address: String,
    allowed: Allowed,
}

impl Ready {
    async fn begin(&self, body: Value) -> Begun {
        let begun = self.relay.admin().post(START, &body).await.good().json();
        let address = begun["authUrl"].as_str().unwrap().to_owned();
        Begun {
            session: begun["sessionId"].clone(),
            allowed: self.provider.oauth().allow(&address),
            address,
        }
    }

    async fn finish(&self, begun: &Begun, text: &str) -> Answer {
        let body = json!({ "sessionId": begun.session, "codeOrCallbackUrl": text });
        self.relay.admin().post(FINISH, &body).await
    }

    async fn accounts(&self) -> Vec<Value> {
        let page = self.relay.admin().get("/admin/accounts").await.good().json();
        page["items"].as_array().unwrap().clone()
    }

    async fn serves_claude(&self) {
        let key = self.relay.key("k").create().await;
        let client = self.relay.client(&key.secret);
        client.messages("hi").send().await.good();
    }
}

#[tokio::test]
async fn a_login_of_claude_serves_and_is_refreshed() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "claude", "priority": 7})).await;
    assert!(begun.address.starts_with("https://claude.ai/oauth/authorize?"));
    let shown = format!("{}#{}", begun.allowed.code, begun.allowed.state);
    let account = r.finish(&begun, &shown).await.expect(201).json();
    assert_eq!(
        (
            &account["name"],
            &account["priority"],
            &account["credentials"]["type"]
        ),
        (&json!(EMAIL), &json!(7), &json!("oauth"))
    );
    assert_eq!(r.accounts().await.len(), 1);
    r.serves_claude().await;
    let token = r.provider.last_call().bearer().unwrap().to_owned();
    // These tokens are the account's own from now on.
    r.provider.oauth().expire(&token);
    r.serves_claude().await;
    assert_eq!(r.provider.oauth().refreshes(), 1);
    let told = [account.to_string(), r.relay.log()].concat();
    for hidden in [&token, &begun.allowed.code, &begun.allowed.state] {
        assert!(!told.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn a_setup_token_serves_and_is_not_refreshed() {
    let r = ready().await;
    let begun = r
        .begin(json!({"platform": "claude", "grant": "setupToken", "name": "a year"}))
        .await;
    let account = r.finish(&begun, &begun.allowed.code).await.expect(201).json();
    assert_eq!(
        (&account["name"], &account["credentials"]["hasRefreshToken"]),
        (&json!("a year"), &json!(false))
    );
    let asked = r.provider.requests_to(Route::Token).remove(0).json();
    assert_eq!(asked["expires_in"], 31_536_000);
    r.serves_claude().await;
}

#[tokio::test]
async fn a_login_of_chatgpt_serves_codex() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "openai"})).await;
    let account = r
        .finish(&begun, &begun.allowed.callback())
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&account["name"], &account["credentials"]["tenant"]),
        (&json!(EMAIL), &json!(CHATGPT_ACCOUNT))
    );
    let key = r.relay.key("k").create().await;
    let client = Client::new(&format!("{}/openai", r.relay.url())).with_bearer(&key.secret);
    let body = json!({"model": "gpt-5-codex", "input": "hi", "stream": false});
    client.post("/responses", &body).await.good();
    let seen = r.provider.requests_to(Route::Responses).remove(0);
    assert_eq!(seen.header("chatgpt-account-id"), Some(CHATGPT_ACCOUNT));
}

#[tokio::test]
async fn a_login_of_google_serves_gemini() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "gemini"})).await;
    let account = r.finish(&begun, &begun.allowed.code).await.expect(201).json();
    assert_eq!(account["name"], EMAIL);
    let asked = r.provider.requests_to(Route::Token).remove(0).text();
    assert!(asked.contains("client_secret=s3cret-of-the-operator"), "{asked}");
    let key = r.relay.key("k").create().await;
    let client = Client::new(&format!("{}/gemini", r.relay.url())).with_header("x-goog-api-key", &key.secret);
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let path = "/v1beta/models/gemini-2.5-pro:generateContent";
    client.post(path, &body).await.good();
}

#[tokio::test]
async fn a_login_of_antigravity_serves_claude_code() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "antigravity"})).await;
    let account = r
        .finish(&begun, &begun.allowed.callback())
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&account["platform"], &account["name"]),
        (&json!("antigravity"), &json!(EMAIL))
    );
    let key = r.relay.key("k").create().await;
    let client = Client::new(&format!("{}/antigravity/api", r.relay.url())).with_key(&key.secret);
    client.messages("hi").send().await.good();
}

#[tokio::test]
async fn it_is_finished_once() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "claude"})).await;
    let code = begun.allowed.code.clone();
    let answers = join_all((0..4).map(|_| r.finish(&begun, &code))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404, 404, 404]);
    r.finish(&begun, &code).await.expect(404);
    assert_eq!(r.provider.requests_to(Route::Token).len(), 1);
    assert_eq!(r.accounts().await.len(), 1);
}

#[tokio::test]
async fn what_is_of_another_sign_in_or_was_denied_is_told_and_can_be_put_right() {
    let r = ready().await;
    let begun = r.begin(json!({"platform": "openai"})).await;
    let other = r.begin(json!({"platform": "openai"})).await;
    let refused = r
        .finish(&begun, &other.allowed.callback())
        .await
        .expect(422)
        .json();
    assert_eq!(
        (&refused["error"], &refused["field"]),
        (&json!("wrong_state"), &json!("codeOrCallbackUrl"))
    );
    let denied = r.finish(&begun, &begun.allowed.denied()).await.expect(422).json();
    assert_eq!(denied["error"], "sign_in_refused");
    assert!(denied["message"].as_str().unwrap().contains("access_denied"));
    assert_eq!(r.provider.requests_to(Route::Token).len(), 0);
    r.finish(&begun, &begun.allowed.callback()).await.expect(201);
    // A code that is not of this sign-in's page, without its state.
    let refused = r.finish(&other, "fake-code-9999").await.expect(422).json();
    assert_eq!(refused["error"], "code_refused");
}

#[tokio::test]
async fn a_token_endpoint_out_of_reach_is_told() {
    let gone = FakeProvider::start().await;
    let url = gone.oauth_url();
    drop(gone);
    let provider = FakeProvider::start().await;
    let relay = with_clients(relay(&provider))
        .env("CLAUDE_OAUTH_URL", url)
        .start()
        .await;
    let r = Ready { provider, relay };
    let begun = r.begin(json!({"platform": "claude"})).await;
    let refused = r.finish(&begun, &begun.allowed.code).await.expect(502).json();
    assert_eq!(refused["error"], "provider_unreachable");
    assert_eq!(r.accounts().await.len(), 0);
}

#[tokio::test]
async fn an_endpoint_in_trouble_is_told() {
    let r = ready().await;
    r.provider.on(Route::Token).fails(500);
    let begun = r.begin(json!({"platform": "gemini"})).await;
    let refused = r.finish(&begun, &begun.allowed.code).await.expect(502).json();
    assert_eq!(refused["error"], "provider_failed");
}

#[tokio::test]
async fn a_client_that_is_not_set_is_named() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    for (platform, variable) in [
        ("claude", "CLAUDE_OAUTH_CLIENT_ID"),
        ("openai", "OPENAI_OAUTH_CLIENT_ID"),
        ("gemini", "GEMINI_OAUTH_CLIENT_ID"),
        ("antigravity", "ANTIGRAVITY_OAUTH_CLIENT_ID"),
    ] {
        let body = json!({ "platform": platform });
        let refused = relay.admin().post(START, &body).await.expect(422).json();
        assert_eq!(refused["error"], "client_unset");
        assert!(
            refused["message"].as_str().unwrap().contains(variable),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_sign_in_survives_a_restart() {
    applies_here!();
    let mut r = ready().await;
    let begun = r.begin(json!({"platform": "claude", "name": "kept"})).await;
    r.relay.kill9().await;
    r.relay.start_again().await;
    let account = r.finish(&begun, &begun.allowed.code).await.expect(201).json();
    assert_eq!(account["name"], "kept");
}

#[tokio::test]
async fn the_tokens_are_fetched_through_the_accounts_proxy() {
    applies_here!();
    let r = ready().await;
    let proxy = FakeProxy::socks5().await.with_login("user", "s3cret");
    let settings = json!({
        "type": "socks5", "host": "127.0.0.1", "port": proxy.port(), "username": "user", "password": "s3cret",
    });
    let begun = r.begin(json!({"platform": "claude", "proxy": settings})).await;
    let account = r.finish(&begun, &begun.allowed.code).await.expect(201).json();
    assert_eq!(proxy.targets(), [r.provider.address().to_string()]);
    assert!(!account.to_string().contains("s3cret"), "{account}");
    r.serves_claude().await;
    assert_eq!(proxy.refused(), 0);

    // Through it or not at all.
    let begun = r.begin(json!({"platform": "claude", "proxy": settings})).await;
    drop(proxy);
    r.provider.forget();
    r.finish(&begun, &begun.allowed.code).await.expect(502);
    assert_eq!(r.provider.requests_to(Route::Token).len(), 0);
}

#[tokio::test]
async fn where_no_proxy_can_be_used_none_is_taken() {
    applies_here!();
    let r = ready().await;
    let proxy = json!({"type": "http", "host": "127.0.0.1", "port": 9});
    let body = json!({"platform": "claude", "proxy": proxy});
    let refused = r.relay.admin().post(START, &body).await.expect(422).json();
    assert_eq!(refused["field"], "proxy");
}

#[tokio::test]
async fn a_clients_login_file_becomes_an_account() {
    let r = ready().await;
    let tokens = r.provider.oauth().issue();
    let of_claude = json!({"claudeAiOauth": {
        "accessToken": tokens.access, "refreshToken": tokens.refresh, "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference"], "subscriptionType": "max",
    }});
    // As text, as a script reads a file, and as the object that it is.
    let texts = json!({"name": "text", "credentialsFile": of_claude.to_string()});
    r.relay.add_account(&texts).await;
    r.serves_claude().await;
    let of_google = json!({"access_token": tokens.access, "refresh_token": tokens.refresh, "expiry_date": 4_102_444_800_000_u64});
    let account = r
        .relay
        .add_account(&json!({"name": "object", "credentialsFile": of_google}))
        .await;
    assert_eq!(account["platform"], "gemini");
    let path = format!("/admin/accounts/{}", account["id"].as_str().unwrap());
    let admin = r.relay.admin();
    admin
        .patch(&path, &json!({ "credentialsFile": of_google }))
        .await
        .good();
    for (wrong, field) in [
        (json!({"credentialsFile": of_claude}), "platform"),
        (json!({"credentialsFile": {"s3cret": 1}}), "credentialsFile"),
        (json!({"credentialsFile": "s3cret"}), "credentialsFile"),
    ] {
        let refused = admin.patch(&path, &wrong).await.expect(422).json();
        assert_eq!(refused["field"], field, "{refused}");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
}

#[tokio::test]
async fn the_command_line_does_both_steps() {
    applies_here!();
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    // Without a server the store is open for each step alone: a server may start in between.
    let mut relay = with_clients(setup().provider(&provider)).prepare();
    let mut child = tokio::process::Command::from(relay.process().command())
        .args(["account", "login", "--platform", "claude", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = crs_support::within(crs_support::PATIENCE, "the address of the page", async {
        loop {
            let line = told.next_line().await.unwrap().expect("a page");
            if line.starts_with("https://claude.ai/") {
                return line;
            }
        }
    })
    .await;
    let allowed = provider.oauth().allow(&address);
    relay.start_again().await;
    let mut input = child.stdin.take().unwrap();
    let pasted = format!("{}\n", allowed.callback());
    input.write_all(pasted.as_bytes()).await.unwrap();
    drop(input);
    let output = crs_support::within(crs_support::PATIENCE, "the account", child.wait_with_output())
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(account["name"], EMAIL);
    let r = Ready { provider, relay };
    assert_eq!(r.accounts().await.len(), 1);
    r.serves_claude().await;
}
