//! Azure OpenAI by an application of Microsoft Entra: the relay requests its access tokens, and renews them.

use std::time::Duration;

use crs_support::client::Answer;
use crs_support::provider::{Request, Route};
use serde_json::{Value, json};

use super::{Azure, KEY, OLD, TOKEN, VERSION, empty, plain};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const CLIENT: &str = "00001111-aaaa-2222-bbbb-3333cccc4444";
const SECRET: &str = "qWgdYAmab0YSkuL~qKv5bPX.s3cret";
/// Of every token that the fake gives to applications.
const FAKE: &str = "eyJ0eXAiOiJKV1QifQ.fake-";

async fn entra(version: Option<&str>) -> (Azure, Value) {
    let a = empty().await;
    a.provider.takes_entra_app(TENANT, CLIENT, SECRET);
    let account = a.relay.add_account(&a.app(SECRET, version)).await;
    (a, account)
}

impl Azure {
    fn app(&self, secret: &str, version: Option<&str>) -> Value {
        json!({
            "name": "azure", "platform": "openai", "apiVersion": version, "modelMapping": { "gpt-5": "my-gpt" },
            "credentials": {
                "type": "entraApp", "tenantId": TENANT, "clientId": CLIENT, "clientSecret": secret,
                "baseUrl": format!("{}/openai", self.provider.url()),
            },
        })
    }

    fn tokens_asked(&self) -> Vec<Request> {
        self.provider.requests_to(Route::Token)
    }

    async fn reset(&self, account: &Value) {
        let path = format!("/admin/accounts/{}/reset", account["id"].as_str().expect("an id"));
        self.relay.admin().post(&path, &json!({})).await.good();
    }
}

/// Neither the secret nor a token.
fn tells_nothing(text: &str) -> bool {
    !text.contains("s3cret") && !text.contains(FAKE)
}

#[tokio::test]
async fn the_first_call_requests_a_token_for_many() {
    let (a, account) = entra(None).await;
    assert_eq!(
        account["credentials"],
        json!({
            "type": "entraApp", "tenantId": TENANT, "clientId": CLIENT,
            "baseUrl": format!("{}/openai", a.provider.url()),
        })
    );
    assert_eq!(a.provider.entra_tokens(), 0);
    a.chat("/v1/chat/completions").send().await.good();
    let asked = a.asked();
    assert_eq!(asked.target, "/openai/v1/chat/completions");
    assert_eq!(asked.bearer(), Some(format!("{FAKE}00000001").as_str()));
    assert_eq!(asked.header("api-key"), None);
    assert_eq!(asked.json()["model"], "my-gpt");
    let answer = plain(&a.responses(true).send().await.good());
    assert!(answer.contains("response.completed"), "{answer}");
    assert_eq!(a.asked().target, "/openai/v1/responses");

    let token = a.tokens_asked();
    assert_eq!((token.len(), a.provider.entra_tokens()), (1, 1));
    assert_eq!(token[0].target, format!("/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(token[0].header("authorization"), None);
    for request in a.provider.requests() {
        let whole = format!("{} {}", request.target, String::from_utf8_lossy(&request.body));
        assert_eq!(
            whole.contains("s3cret"),
            request.target.ends_with("/token"),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn the_dated_api_takes_its_tokens() {
    let (a, account) = entra(Some(VERSION)).await;
    assert_eq!(account["chatOnly"], false);
    a.chat("/v1/chat/completions").send().await.good();
    let chat = format!("/openai/deployments/my-gpt/chat/completions?api-version={VERSION}");
    assert_eq!(a.asked().target, chat);
    a.responses(false).send().await.good();
    let asked = a.asked();
    assert_eq!(asked.target, format!("/openai/responses?api-version={VERSION}"));
    assert!(asked.bearer().is_some_and(|token| token.starts_with(FAKE)));

    // The operator's test asks for a deployment, too.
    let path = format!("/admin/accounts/{}/test", account["id"].as_str().expect("an id"));
    let tested = plain(&a.relay.admin().post(&path, &json!({})).await.good());
    assert!(tested.contains("\"success\":true"), "{tested}");
    assert_eq!(a.provider.entra_tokens(), 1);

    let change = json!({ "apiVersion": OLD, "chatOnly": true });
    let changed = a.change(&account, &change).await.good().json();
    assert_eq!(changed["chatOnly"], true);
    a.chat("/v1/chat/completions").send().await.good();
    let target = a.asked().target;
    assert!(target.ends_with(&format!("api-version={OLD}")), "{target}");
}

#[tokio::test]
async fn two_hundred_calls_with_an_ended_token_request_one() {
    let (a, _) = entra(Some(VERSION)).await;
    a.provider.entra_tokens_last(0);
    a.chat("/v1/chat/completions").send().await.good();
    a.provider.entra_tokens_last(3599);
    a.provider.delays_entra_tokens(Duration::from_millis(150));
    let calls = (0..200).map(|_| a.chat("/v1/chat/completions").send());
    for answer in futures_util::future::join_all(calls).await {
        answer.good();
    }
    assert_eq!(a.provider.entra_tokens(), 2);
    let calls = a.provider.requests_to(Route::ChatCompletions);
    let first = calls
        .iter()
        .filter(|call| call.bearer() == Some("eyJ0eXAiOiJKV1QifQ.fake-00000001"));
    assert_eq!(
        (calls.len(), first.count()),
        (201, 1),
        "nobody was sent up with the old token"
    );
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_repeated_once() {
    let (a, account) = entra(Some(VERSION)).await;
    a.chat("/v1/chat/completions").send().await.good();
    // Good by its own date; Azure knows better. A token that is so new is not renewed for a refusal alone.
    a.provider.end_entra_tokens();
    let refused = a.chat("/v1/chat/completions").send().await;
    assert!(refused.status >= 400, "{}", plain(&refused));
    assert_eq!(a.provider.entra_tokens(), 1);
    assert!(a.read(&account).await["statusUntil"].is_string());

    a.reset(&account).await;
    a.chat("/v1/chat/completions").send().await.good();
    assert_eq!(a.provider.entra_tokens(), 2);
    let asked = a.provider.requests_to(Route::ChatCompletions);
    let tokens: Vec<_> = asked.iter().map(|request| request.bearer()).collect();
    assert_eq!(tokens.len(), 4, "the second refused call was repeated once");
    assert!(tokens[0] == tokens[2] && tokens[2] != tokens[3], "{tokens:?}");
    assert_eq!(a.read(&account).await["status"], "active");
}

#[tokio::test]
async fn a_wrong_secret_marks_the_account_until_it_has_the_right_one() {
    let a = empty().await;
    a.provider.takes_entra_app(TENANT, CLIENT, SECRET);
    let wrong = a.app("wrong-s3cret", Some(VERSION));
    let account = a.relay.add_account(&wrong).await;
    let refused: Answer = a.chat("/v1/chat/completions").send().await;
    assert!(refused.status >= 400, "{}", plain(&refused));
    let shown = a.read(&account).await;
    assert_eq!(shown["status"], "unauthorized", "{shown}");
    assert_eq!(shown["statusUntil"], Value::Null, "{shown}");
    let why = shown["statusReason"].as_str().expect("a reason");
    assert!(
        why.contains("the client secret is wrong") && why.contains("AADSTS7000215"),
        "{why}"
    );
    for text in [plain(&refused), shown.to_string(), a.relay.log()] {
        assert!(tells_nothing(&text), "{text}");
    }
    a.chat("/v1/chat/completions").send().await;
    assert_eq!(a.tokens_asked().len(), 1, "it is asked once");
    assert!(a.provider.requests_to(Route::ChatCompletions).is_empty());

    let right = json!({ "credentials": { "type": "entraApp", "clientSecret": SECRET } });
    a.change(&account, &right).await.good();
    a.chat("/v1/chat/completions").send().await.good();
    let shown = a.read(&account).await;
    assert_eq!(shown["status"], "active", "{shown}");
    for text in [shown.to_string(), a.relay.log()] {
        assert!(tells_nothing(&text), "{text}");
    }
}

#[tokio::test]
async fn an_unknown_application_or_tenant_is_told_from_a_wrong_secret() {
    let a = empty().await;
    a.provider.takes_entra_app(TENANT, CLIENT, SECRET);
    for (field, value, words) in [
        ("clientId", CLIENT.replace('0', "9"), "AADSTS700016"),
        ("tenantId", "contoso.onmicrosoft.com".to_owned(), "AADSTS90002"),
    ] {
        let mut app = a.app(SECRET, None);
        app["credentials"][field] = value.into();
        let account = a.relay.add_account(&app).await;
        a.chat("/v1/chat/completions").send().await;
        let shown = a.read(&account).await;
        let why = shown["statusReason"].as_str().unwrap_or_default();
        assert!(why.contains(words), "{shown}");
        a.change(&account, &json!({ "isActive": false })).await.good();
    }
}

#[tokio::test]
async fn a_token_belongs_to_one_application_and_the_secret_to_one_resource() {
    let (a, account) = entra(Some(VERSION)).await;
    a.chat("/v1/chat/completions").send().await.good();
    let change = |fields: Value| {
        let mut credentials = fields;
        credentials["type"] = "entraApp".into();
        json!({ "credentials": credentials })
    };
    let moved = change(json!({ "baseUrl": "http://127.0.0.2:9/openai" }));
    let refused = a.change(&account, &moved).await;
    assert_eq!(refused.status, 422, "{}", plain(&refused));
    assert!(
        plain(&refused).contains("credentials.clientSecret"),
        "{}",
        plain(&refused)
    );
    // The same application by the tenant's other name.
    a.provider
        .takes_entra_app("contoso.onmicrosoft.com", CLIENT, SECRET);
    let renamed = change(json!({ "tenantId": " Contoso.onmicrosoft.com " }));
    let renamed = a.change(&account, &renamed).await.good().json();
    assert_eq!(renamed["credentials"]["tenantId"], "contoso.onmicrosoft.com");
    a.chat("/v1/chat/completions").send().await.good();
    assert_eq!(a.provider.entra_tokens(), 2);
    let target = a.tokens_asked().pop().expect("a request").target;
    assert_eq!(target, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    // What changes nothing keeps the token.
    let same = change(json!({ "clientId": CLIENT }));
    a.change(&account, &same).await.good();
    a.chat("/v1/chat/completions").send().await.good();
    assert_eq!(a.provider.entra_tokens(), 2);
}

#[tokio::test]
async fn an_account_with_a_key_can_become_an_application() {
    let a = empty().await;
    a.provider.takes_entra_app(TENANT, CLIENT, SECRET);
    let more = json!({ "apiVersion": VERSION, "modelMapping": { "gpt-5": "my-gpt" } });
    let account = a.account("azure", KEY, "/openai", more).await;
    let credentials = a.app(SECRET, None)["credentials"].clone();
    a.change(&account, &json!({ "credentials": credentials }))
        .await
        .good();
    a.responses(false).send().await.good();
    let asked = a.asked();
    assert_eq!(asked.header("api-key"), None);
    assert!(
        asked
            .bearer()
            .is_some_and(|token| token != TOKEN && token.starts_with(FAKE))
    );
}

#[tokio::test]
async fn applications_are_validated() {
    let a = empty().await;
    for (platform, change, field) in [
        ("claude", json!({}), "credentials.type"),
        ("gemini", json!({}), "credentials.type"),
        ("antigravity", json!({}), "credentials.type"),
        (
            "openai",
            json!({ "tenantId": "../common" }),
            "credentials.tenantId",
        ),
        (
            "openai",
            json!({ "tenantId": "evil.example/x?y=" }),
            "credentials.tenantId",
        ),
        ("openai", json!({ "tenantId": ".." }), "credentials.tenantId"),
        ("openai", json!({ "tenantId": "common" }), "credentials.tenantId"),
        (
            "openai",
            json!({ "clientId": "contoso.example" }),
            "credentials.clientId",
        ),
        (
            "openai",
            json!({ "clientSecret": "two words" }),
            "credentials.clientSecret",
        ),
        ("openai", json!({ "baseUrl": null }), "credentials.baseUrl"),
        (
            "openai",
            json!({ "baseUrl": "login.example" }),
            "credentials.baseUrl",
        ),
        ("openai", json!({ "apiKey": "k" }), "credentials.apiKey"),
        ("openai", json!({ "region": "global" }), "credentials.region"),
    ] {
        let mut app = a.app(SECRET, None);
        app["platform"] = platform.into();
        app.as_object_mut().expect("fields").remove("apiVersion");
        for (name, value) in change.as_object().expect("fields") {
            app["credentials"][name] = value.clone();
        }
        let refused = a.relay.admin().call("POST", "/admin/accounts").json(&app);
        let refused = refused.send().await.expect(422);
        assert_eq!(refused.json()["field"], field, "{change} {}", plain(&refused));
        assert!(tells_nothing(&plain(&refused)), "{}", plain(&refused));
    }
    for missing in ["tenantId", "clientId", "clientSecret", "baseUrl"] {
        let mut app = a.app(SECRET, None);
        app["credentials"]
            .as_object_mut()
            .expect("fields")
            .remove(missing);
        let refused = a.relay.admin().call("POST", "/admin/accounts").json(&app);
        let refused = refused.send().await.expect(422).json();
        assert_eq!(refused["field"], format!("credentials.{missing}"), "{refused}");
    }
}
