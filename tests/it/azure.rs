//! Azure OpenAI's dated API: a deployment in the path, a version in the query. The fake refuses everything else.

use crs_support::client::{Answer, Call, Client};
use crs_support::provider::{FakeProvider, Request, Route, Script, azure};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{entries, relay};

mod entra;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.e30.c2lnbmVk";
const VERSION: &str = "2025-04-01-preview";
/// The last version without Responses that is no preview.
const OLD: &str = "2024-10-21";

struct Azure {
    provider: FakeProvider,
    relay: Relay,
    /// Shows the key, under `/openai`.
    client: Client,
    /// Shows the key, under `/api`.
    claude: Client,
}

async fn empty() -> Azure {
    let provider = FakeProvider::start().await;
    provider.is_azure(KEY, TOKEN, &["my-gpt"]);
    let relay = relay(&provider).start().await;
    let key = relay.key("k").create().await;
    Azure {
        client: Client::new(&format!("{}/openai", relay.url())).with_bearer(&key.secret),
        claude: relay.client(&key.secret),
        provider,
        relay,
    }
}

/// With an account whose address is given as Azure's portal shows it.
async fn azure_of(version: &str) -> (Azure, Value) {
    let a = empty().await;
    let pasted = format!("/openai/deployments/my-gpt/chat/completions?api-version={version}");
    let account = a.account("azure", KEY, &pasted, json!({})).await;
    (a, account)
}

impl Azure {
    fn record(&self, name: &str, key: &str, address: &str, more: Value) -> Value {
        let mut account = json!({
            "name": name, "platform": "openai",
            "credentials": { "type": "apiKey", "apiKey": key, "baseUrl": format!("{}{address}", self.provider.url()) },
        });
        for (name, value) in more.as_object().expect("fields") {
            account[name] = value.clone();
        }
        account
    }

    async fn account(&self, name: &str, key: &str, address: &str, more: Value) -> Value {
        self.relay
            .add_account(&self.record(name, key, address, more))
            .await
    }

    fn chat(&self, path: &str) -> Call {
        self.client.call("POST", path).json(&json!({
            "model": "gpt-5", "messages": [{ "role": "user", "content": "Grüße, 你好" }],
        }))
    }

    fn responses(&self, stream: bool) -> Call {
        self.client.call("POST", "/responses").json(&json!({
            "model": "gpt-5", "input": [{ "role": "user", "content": "Grüße, 你好" }], "store": false, "stream": stream,
        }))
    }

    fn asked(&self) -> Request {
        self.provider.requests().pop().expect("a call of the provider")
    }

    async fn read(&self, account: &Value) -> Value {
        let path = format!("/admin/accounts/{}", account["id"].as_str().expect("an id"));
        self.relay.admin().get(&path).await.good().json()
    }

    async fn change(&self, account: &Value, change: &Value) -> Answer {
        let path = format!("/admin/accounts/{}", account["id"].as_str().expect("an id"));
        self.relay.admin().call("PATCH", &path).json(change).send().await
    }
}

fn plain(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn both_protocols_name_deployment_and_version() {
    let (a, account) = azure_of(VERSION).await;
    assert_eq!(account["apiVersion"], VERSION);
    assert_eq!(account["keyHeader"], "api-key");
    assert_eq!(account["chatOnly"], false);

    // The client's version is not the account's.
    let answer = a.chat("/v1/chat/completions?api-version=2023-05-15").send();
    answer.await.good();
    let asked = a.asked();
    let chat = format!("/openai/deployments/my-gpt/chat/completions?api-version={VERSION}");
    assert_eq!(asked.target, chat);
    assert_eq!(asked.header("api-key"), Some(KEY));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.json()["messages"][0]["content"], "Grüße, 你好");

    for stream in [false, true] {
        let answer = plain(&a.responses(stream).send().await.good());
        assert_eq!(answer.contains("response.completed"), stream, "{answer}");
        let asked = a.asked();
        assert_eq!(asked.target, format!("/openai/responses?api-version={VERSION}"));
        assert_eq!(asked.json()["model"], "my-gpt");
    }
    for entry in entries(&a.relay, 3).await {
        assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
    }
}

#[tokio::test]
async fn a_model_is_mapped_to_its_deployment() {
    let a = empty().await;
    let more = json!({ "apiVersion": OLD, "modelMapping": { "gpt-5": "my-gpt" } });
    let account = a.account("azure", KEY, "/openai", more).await;
    a.chat("/v1/chat/completions").send().await.good();
    let target = format!("/openai/deployments/my-gpt/chat/completions?api-version={OLD}");
    assert_eq!(a.asked().target, target);

    // The operator's test asks for a deployment, too.
    let path = format!("/admin/accounts/{}/test", account["id"].as_str().expect("an id"));
    let tested = plain(&a.relay.admin().post(&path, &json!({})).await.good());
    assert!(tested.contains("\"success\":true"), "{tested}");
    assert_eq!(a.asked().target, target);
}

#[tokio::test]
async fn an_entra_token_is_a_bearer_token() {
    let a = empty().await;
    let more = json!({ "apiVersion": VERSION, "modelMapping": { "gpt-5": "my-gpt" } });
    let account = a.account("azure", TOKEN, "/openai", more).await;
    assert_eq!(account["keyHeader"], "authorization");
    a.responses(false).send().await.good();
    assert_eq!(a.asked().bearer(), Some(TOKEN));
    assert_eq!(a.asked().header("api-key"), None);

    // Azure's gateway says in its own form that it has ended.
    a.provider.is_azure(KEY, "another", &["my-gpt"]);
    a.responses(false).send().await.expect(400);
    let account = a.read(&account).await;
    assert_eq!(account["status"], "unauthorized", "{account}");
    let why = account["statusReason"].as_str().expect("a reason");
    assert!(why.contains("Access token is missing, invalid"), "{why}");
}

#[tokio::test]
async fn a_version_without_responses_serves_all_clients_by_chat() {
    let (a, account) = azure_of(OLD).await;
    assert_eq!(account["chatOnly"], true);
    a.provider
        .on(Route::ChatCompletions)
        .answer(Script::chat_host("", "Hi.", None));
    let message = json!({
        "model": "gpt-5", "max_tokens": 100, "stream": true, "messages": [{ "role": "user", "content": "hi" }],
    });
    let answer = a.claude.call("POST", "/v1/messages").json(&message).send();
    let answer = plain(&answer.await.good());
    assert!(
        answer.contains("Hi.") && answer.contains("message_stop"),
        "{answer}"
    );
    let answer = plain(&a.responses(true).send().await.good());
    assert!(answer.contains("response.completed"), "{answer}");
    assert!(a.provider.requests_to(Route::Responses).is_empty());
    let target = a.asked().target;
    assert!(
        target.ends_with(&format!("/my-gpt/chat/completions?api-version={OLD}")),
        "{target}"
    );
}

#[tokio::test]
async fn what_a_resource_does_not_have_is_asked_of_another() {
    let a = empty().await;
    let first = json!({ "apiVersion": VERSION, "priority": 1 });
    let account = a.account("no such deployment", KEY, "/openai", first).await;
    let refused = a.chat("/v1/chat/completions").send().await.expect(404).json();
    assert_eq!(refused["error"]["code"], "DeploymentNotFound", "{refused}");
    assert_eq!(a.read(&account).await["status"], "active");

    let second = json!({ "apiVersion": VERSION, "modelMapping": { "gpt-5": "my-gpt" } });
    a.account("has it", KEY, "/openai", second).await;
    a.chat("/v1/chat/completions").send().await.good();
    assert_eq!(a.read(&account).await["status"], "active");
}

#[tokio::test]
async fn a_deployments_quota_holds_back_its_model_until_azure_says() {
    let (a, account) = azure_of(VERSION).await;
    a.provider.on(Route::ChatCompletions).next(azure::limited(30));
    let refused = a.chat("/v1/chat/completions").send().await;
    assert_eq!(refused.status, 429, "{}", plain(&refused));
    let wait: u64 = refused
        .header("retry-after")
        .expect("a wait")
        .parse()
        .expect("seconds");
    assert!((25..=31).contains(&wait), "{wait}");
    let cooldowns = a.read(&account).await["cooldowns"].clone();
    assert_eq!(cooldowns[0]["family"], "gpt-5", "{cooldowns}");
    assert_eq!(cooldowns.as_array().map(Vec::len), Some(1), "{cooldowns}");
}

/// Azure says to wait a day for what never fits into a minute.
#[tokio::test]
async fn a_request_beyond_the_quota_does_not_hold_back_smaller_ones() {
    let (a, _) = azure_of(VERSION).await;
    a.provider.on(Route::ChatCompletions).next(azure::limited(86_400));
    let refused = a.chat("/v1/chat/completions").send().await;
    assert_eq!(refused.status, 429, "{}", plain(&refused));
    a.chat("/v1/chat/completions").send().await.good();
}

#[tokio::test]
async fn filtered_content_is_the_clients_matter_and_a_wrong_key_the_accounts() {
    let (a, account) = azure_of(VERSION).await;
    let filtered =
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.";
    a.provider
        .on(Route::ChatCompletions)
        .next(azure::error(400, "content_filter", filtered));
    let refused = a.chat("/v1/chat/completions").send().await.expect(400).json();
    assert_eq!(refused["error"]["message"], filtered);
    assert_eq!(a.read(&account).await["status"], "active");

    a.provider.is_azure("another key", TOKEN, &["my-gpt"]);
    a.chat("/v1/chat/completions").send().await.expect(400);
    assert_eq!(a.read(&account).await["status"], "unauthorized");
    let new = json!({ "credentials": { "type": "apiKey", "apiKey": "another key" } });
    assert_eq!(a.change(&account, &new).await.status, 422, "no blanks in a key");
    a.provider.is_azure("another-key", TOKEN, &["my-gpt"]);
    let new = json!({ "credentials": { "type": "apiKey", "apiKey": "another-key" } });
    a.change(&account, &new).await.good();
    a.chat("/v1/chat/completions").send().await.good();
    let account = a.read(&account).await;
    assert_eq!(
        (&account["status"], &account["apiVersion"]),
        (&json!("active"), &json!(VERSION))
    );
}

#[tokio::test]
async fn versions_are_validated() {
    let (a, account) = azure_of(VERSION).await;
    for (record, field) in [
        (
            a.record("n", KEY, "/openai", json!({ "apiVersion": "2025&x=y" })),
            "apiVersion",
        ),
        (
            a.record("n", KEY, "/openai", json!({ "apiVersion": "" })),
            "apiVersion",
        ),
        (
            a.record(
                "n",
                KEY,
                "/openai",
                json!({ "apiVersion": VERSION, "platform": "claude" }),
            ),
            "apiVersion",
        ),
        (
            a.record("n", KEY, "/openai?key=secret", json!({})),
            "credentials.baseUrl",
        ),
    ] {
        let refused = a.relay.admin().call("POST", "/admin/accounts").json(&record);
        let refused = refused.send().await.expect(422).json();
        assert_eq!(refused["field"], field, "{record} {refused}");
    }
    // What is said has priority over what was pasted; and it can be taken away.
    let said = a
        .account(
            "said",
            KEY,
            "/openai?api-version=2025-01-01-preview",
            json!({ "apiVersion": OLD }),
        )
        .await;
    assert_eq!(said["apiVersion"], OLD);
    let changed = a
        .change(&account, &json!({ "apiVersion": null }))
        .await
        .good()
        .json();
    assert_eq!(changed["apiVersion"], Value::Null, "{changed}");
}
