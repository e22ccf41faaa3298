//! Claude Code and Anthropic's SDKs on Google's accounts: Gemini's under `/gemini-cli/api`, Antigravity's
//! under `/antigravity/api`.

mod bounds;
mod costs;
mod elsewhere;
mod faults;
mod searches;
mod talk;

use crs_support::client::{Answer, Call, Client, Event, text};
use crs_support::provider::{FakeProvider, PROJECT, Request, Route, Script, Tokens};
use crs_support::relay::{Relay, Setup};
use serde_json::{Value, json};

use super::support::{Key, entries, micro_usd, relay};

const GEMINI_KEY: &str = "AIza-behind-the-bridge";

/// Whose accounts are behind the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Antigravity,
    /// A login for Code Assist.
    Login,
    /// A key of the Gemini API.
    ApiKey,
}

const ALL: [Behind; 3] = [Behind::Antigravity, Behind::Login, Behind::ApiKey];

impl Behind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Antigravity => "/antigravity/api",
            Self::Login | Self::ApiKey => "/gemini-cli/api",
        }
    }

    fn platform(self) -> &'static str {
        match self {
            Self::Antigravity => "antigravity",
            Self::Login | Self::ApiKey => "gemini",
        }
    }
}

struct Bridged {
    behind: Behind,
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    client: Client,
    tokens: Tokens,
}

async fn bridged(behind: Behind) -> Bridged {
    bridged_with(behind, |setup| setup).await
}

async fn bridged_with(behind: Behind, settings: impl FnOnce(Setup) -> Setup) -> Bridged {
    let b = empty_with(behind, settings).await;
    let tokens = b.tokens.clone();
    b.account("first", &tokens, 50).await;
    b
}

/// Without an account.
async fn empty_with(behind: Behind, settings: impl FnOnce(Setup) -> Setup) -> Bridged {
    let provider = FakeProvider::start().await;
    let setup = relay(&provider)
        .env("ANTIGRAVITY_OAUTH_CLIENT_ID", "client-of-the-operator")
        .env("ANTIGRAVITY_OAUTH_CLIENT_SECRET", "secret-of-the-operator");
    let relay = settings(setup).start().await;
    let key = relay.key("k").create().await;
    let client = client(&relay, behind, &key.secret);
    let tokens = provider.oauth().issue();
    Bridged {
        behind,
        provider,
        relay,
        key,
        client,
        tokens,
    }
}

fn client(relay: &Relay, behind: Behind, secret: &str) -> Client {
    Client::new(&format!("{}{}", relay.url(), behind.prefix())).with_bearer(secret)
}

impl Bridged {
    async fn account(&self, name: &str, tokens: &Tokens, priority: u32) -> Value {
        let credentials = match self.behind {
            Behind::ApiKey => json!({ "type": "apiKey", "apiKey": GEMINI_KEY }),
            Behind::Antigravity | Behind::Login => json!({
                "type": "oauth", "accessToken": tokens.access, "refreshToken": tokens.refresh,
                "expiresAt": 4_000_000_000_000_u64,
            }),
        };
        let account = json!({
            "name": name, "platform": self.behind.platform(), "priority": priority, "credentials": credentials,
        });
        self.relay.add_account(&account).await
    }

    /// What the next calls that generate are answered.
    fn answers(&self, script: Script) {
        self.provider.on(Route::Gemini).answer(script);
    }

    fn next(&self, script: Script) {
        self.provider.on(Route::Gemini).next(script);
    }

    fn ask(&self, body: &Value) -> Call {
        self.client
            .call("POST", "/v1/messages?beta=true")
            .header("anthropic-version", "2023-06-01")
            .header("anthropic-beta", "claude-code-20250219")
            .header("user-agent", "claude-cli/2.1.330 (external, cli)")
            .json(body)
    }

    /// The last call that reached the provider.
    fn asked(&self, route: Route) -> Request {
        self.provider
            .requests_to(route)
            .pop()
            .expect("a call of the provider")
    }

    /// The Gemini request that it made of the last call, out of its envelope.
    fn sent(&self) -> Value {
        let mut body = self.asked(Route::Gemini).json();
        match self.behind {
            Behind::ApiKey => body,
            Behind::Antigravity | Behind::Login => body["request"].take(),
        }
    }

    async fn newest(&self, count: usize) -> Value {
        entries(&self.relay, count).await.remove(0)
    }
}

/// A request with these messages.
fn saying(messages: &Value) -> Value {
    json!({ "model": "gemini-3.1-pro-preview", "max_tokens": 1000, "messages": messages })
}

fn hi() -> Value {
    saying(&json!([{ "role": "user", "content": "hi" }]))
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

/// The message of a whole answer, or of a stream that keeps to the protocol.
#[track_caller]
fn message(answer: &Answer) -> Value {
    if answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"))
    {
        assembled(&answer.events())
    } else {
        answer.json()
    }
}

/// Puts a stream together; fails if it is none of Anthropic's, as far as clients depend on it.
#[track_caller]
fn assembled(events: &[Event]) -> Value {
    let mut message = Value::Null;
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    let mut open = false;
    let mut done = false;
    for Event { name, data } in events {
        assert_eq!(*name, data["type"]);
        assert!(!done, "{name} after the end");
        let index = data["index"].as_u64().map(|index| index as usize);
        match name.as_str() {
            "message_start" => {
                assert!(message.is_null());
                message = data["message"].clone();
            }
            "content_block_start" => {
                assert!(!open && index == Some(blocks.len()), "{data}");
                blocks.push(data["content_block"].clone());
                open = true;
                input.clear();
            }
            "content_block_delta" => {
                assert!(open && index == Some(blocks.len() - 1), "{data}");
                let (block, delta) = (blocks.last_mut().expect("a block"), &data["delta"]);
                let field = match delta["type"].as_str().expect("a type") {
                    "text_delta" => "text",
                    "thinking_delta" => "thinking",
                    "signature_delta" => "signature",
                    "citations_delta" => {
                        let citation = delta["citation"].clone();
                        match block["citations"].as_array_mut() {
                            Some(citations) => citations.push(citation),
                            None => block["citations"] = json!([citation]),
                        }
                        continue;
                    }
                    "input_json_delta" => {
                        input.push_str(delta["partial_json"].as_str().expect("text"));
                        continue;
                    }
                    other => panic!("{other}"),
                };
                let text = [&block[field], &delta[field]].map(|text| text.as_str().expect("text"));
                block[field] = text.concat().into();
            }
            "content_block_stop" => {
                assert!(open && index == Some(blocks.len() - 1), "{data}");
                open = false;
                let block = blocks.last_mut().expect("a block");
                if block["type"] == "tool_use" || block["type"] == "server_tool_use" {
                    block["input"] = serde_json::from_str(&input).expect("JSON");
                }
            }
            "message_delta" => {
                assert!(!open);
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => done = true,
            other => panic!("{other}: {data}"),
        }
    }
    assert!(done, "no end");
    message["content"] = blocks.into();
    message
}

#[tokio::test]
async fn text_comes_whole_and_streamed_and_is_charged_to_the_token() {
    for behind in ALL {
        let b = bridged(behind).await;
        b.answers(Script::gemini("hello 你好 🌍"));
        for (count, body) in [(1, hi()), (2, streamed(hi()))] {
            let answer = b.ask(&body).send().await.good();
            assert_eq!(text(&answer.body), "hello 你好 🌍", "{behind:?}");
            let message = message(&answer);
            assert_eq!(message["stop_reason"], "end_turn");
            assert_eq!(message["model"], "gemini-3.1-pro-preview");
            assert_eq!(
                [
                    &message["usage"]["input_tokens"],
                    &message["usage"]["cache_read_input_tokens"],
                    &message["usage"]["output_tokens"]
                ],
                [400, 600, 70]
            );
            assert_eq!(answer.header("server"), None);
            let entry = b.newest(count).await;
            assert_eq!(
                (&entry["endpoint"], &entry["platform"], &entry["quality"]),
                (&json!("messages"), &json!(behind.platform()), &json!("exact")),
                "{entry}"
            );
            assert_eq!(
                entry["tokens"],
                json!({ "input": 400, "output": 70, "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheRead": 600 })
            );
            assert!(entry["cost"].as_f64() > Some(0.0));
            assert_eq!(answer.header("x-request-id"), entry["requestId"].as_str());
        }
    }
}

#[tokio::test]
async fn each_account_is_asked_as_its_host_wants_it() {
    for behind in ALL {
        let b = bridged(behind).await;
        b.ask(&streamed(hi())).send().await.good();
        let seen = b.asked(Route::Gemini);
        let target = match behind {
            Behind::ApiKey => "/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse",
            Behind::Antigravity | Behind::Login => "/v1internal:streamGenerateContent?alt=sse",
        };
        assert_eq!(seen.target, target);
        // Nothing of Anthropic's protocol, and none of the client's credentials.
        for name in ["anthropic-version", "anthropic-beta", "x-api-key", "x-app"] {
            assert_eq!(seen.header(name), None, "{behind:?} {name}");
        }
        assert_eq!(
            b.sent()["contents"],
            json!([{ "role": "user", "parts": [{ "text": "hi" }] }])
        );
        let body = seen.json();
        match behind {
            Behind::ApiKey => assert_eq!(seen.header("x-goog-api-key"), Some(GEMINI_KEY)),
            Behind::Login => {
                assert_eq!(seen.bearer(), Some(b.tokens.access.as_str()));
                assert_eq!(
                    (&body["project"], &body["model"]),
                    (&json!(PROJECT), &json!("gemini-3.1-pro-preview"))
                );
                assert_eq!(
                    seen.header("user-agent"),
                    Some("claude-cli/2.1.330 (external, cli)")
                );
            }
            Behind::Antigravity => {
                assert_eq!(seen.bearer(), Some(b.tokens.access.as_str()));
                assert_eq!(
                    (&body["project"], &body["model"]),
                    (&json!(PROJECT), &json!("gemini-3.1-pro-preview"))
                );
                // The relay calls in its own name.
                assert!(
                    seen.header("user-agent")
                        .is_some_and(|agent| agent.starts_with("crs-edge/"))
                );
                assert_eq!(body["userAgent"], "crs-edge");
                assert!(
                    body["requestId"]
                        .as_str()
                        .is_some_and(|id| id.starts_with("req_"))
                );
                assert_eq!(b.asked(Route::Assist).target, "/v1internal:loadCodeAssist");
            }
        }
    }
}

#[tokio::test]
async fn antigravity_is_told_who_the_operator_says_calls() {
    let b = bridged_with(Behind::Antigravity, |setup| {
        setup.env("ANTIGRAVITY_USER_AGENT", "workbench/7.1 linux/amd64")
    })
    .await;
    let said = |session: &str| {
        let mut body = hi();
        body["metadata"] = json!({ "user_id": json!({ "session_id": session }).to_string() });
        body
    };
    let mut sessions = Vec::new();
    for session in ["one", "one", "two"] {
        b.ask(&said(session)).send().await.good();
        let seen = b.asked(Route::Gemini);
        assert_eq!(seen.header("user-agent"), Some("workbench/7.1 linux/amd64"));
        assert_eq!(seen.json()["userAgent"], "workbench");
        sessions.push(b.sent()["sessionId"].as_str().expect("a session").to_owned());
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[0], sessions[2]);
}

#[tokio::test]
async fn tokens_are_counted() {
    for behind in ALL {
        let b = bridged(behind).await;
        let mut body = hi();
        body["system"] = "Be brief.".into();
        let counted = b.client.post("/v1/messages/count_tokens", &body).await.good();
        assert_eq!(counted.json(), json!({ "input_tokens": 31 }));
        let seen = b.asked(Route::Assist);
        let target = match behind {
            Behind::ApiKey => "/v1beta/models/gemini-3.1-pro-preview:countTokens",
            Behind::Antigravity | Behind::Login => "/v1internal:countTokens",
        };
        assert_eq!(seen.target, target);
        assert!(seen.text().contains("Be brief."), "{}", seen.text());
        assert!(
            seen.text().contains("models/gemini-3.1-pro-preview"),
            "{}",
            seen.text()
        );
        let entry = b.newest(1).await;
        assert_eq!(
            (&entry["endpoint"], micro_usd(&entry["cost"])),
            (&json!("count_tokens"), 0)
        );
    }
}

#[tokio::test]
async fn models_are_listed_that_the_key_may_use() {
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().expect("data").iter();
        data.map(|model| model["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    for behind in [Behind::Antigravity, Behind::Login] {
        let b = bridged(behind).await;
        b.provider.on(Route::Assist).answer(Script::json(json!({
            "models": { "claude-sonnet-4-5-thinking": {}, "gemini-2.5-pro": {}, "gemini-3-pro-high": {} },
        })));
        let all = b.client.get("/v1/models?limit=1000").await.good().json();
        assert!(ids(&all).contains(&"gemini-2.5-pro".to_owned()), "{all}");
        assert_eq!(all["data"][0]["type"], "model");
        if behind == Behind::Antigravity {
            assert_eq!(
                ids(&all),
                [
                    "claude-sonnet-4-5-thinking",
                    "gemini-2.5-pro",
                    "gemini-3-pro-high"
                ]
            );
            assert_eq!(b.asked(Route::Assist).target, "/v1internal:fetchAvailableModels");
        }
        let key = b
            .relay
            .key("few")
            .set("enableModelRestriction", true)
            .set("restrictedModels", json!(["gemini-2.5-pro"]))
            .create()
            .await;
        let few = client(&b.relay, behind, &key.secret)
            .get("/v1/models")
            .await
            .good();
        assert!(!ids(&few.json()).contains(&"gemini-2.5-pro".to_owned()));
        client(&b.relay, behind, "cr_garbage")
            .get("/v1/models")
            .await
            .expect(401);
    }
}

#[tokio::test]
async fn what_claude_code_asks_beside_is_answered() {
    let b = bridged(Behind::Antigravity).await;
    let keyless = Client::new(&format!("{}/antigravity/api", b.relay.url()));
    keyless.call("HEAD", "/").send().await.good();
    keyless.get("/api/hello").await.good();
    assert_eq!(b.client.get("/v1/me").await.good().json()["type"], "user");
    b.client.get("/v1/key-info").await.good();
    let missing = b.client.get("/v2/messages").await.expect(404).json();
    assert_eq!(missing["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn an_account_of_antigravity_can_be_tested() {
    let b = empty_with(Behind::Antigravity, |setup| setup).await;
    let account = b.account("a", &b.tokens, 50).await;
    b.answers(Script::gemini("Hello"));
    let path = format!("/admin/accounts/{}/test", account["id"].as_str().expect("an id"));
    let told = b.relay.admin().post(&path, &json!({})).await.good().events();
    assert_eq!(told[1].data["text"], "Hello", "{told:?}");
    assert_eq!(told.last().expect("an event").data["success"], true);
}

#[tokio::test]
async fn an_ended_token_is_renewed_with_antigravitys_client() {
    let b = empty_with(Behind::Antigravity, |setup| setup).await;
    let tokens = b.provider.oauth().issue_expired();
    b.account("a", &tokens, 50).await;
    b.ask(&hi()).send().await.good();
    let form = b.asked(Route::Token).text();
    for part in [
        "client_id=client-of-the-operator",
        "client_secret=secret-of-the-operator",
    ] {
        assert!(form.split('&').any(|pair| pair == part), "{form}");
    }
    assert_eq!(b.provider.oauth().refreshes(), 1);
}

#[tokio::test]
async fn a_session_stays_on_its_account_and_another_account_helps_out() {
    let b = bridged(Behind::Antigravity).await;
    for number in 0..3 {
        let tokens = b.provider.oauth().issue();
        b.account(&format!("more-{number}"), &tokens, 50).await;
    }
    let mut body = hi();
    body["metadata"] = json!({ "user_id": json!({ "session_id": "s-1" }).to_string() });
    let bearer = |b: &Bridged| b.asked(Route::Gemini).bearer().expect("a token").to_owned();
    b.ask(&body).send().await.good();
    let first = bearer(&b);
    for _ in 0..3 {
        b.ask(&hi()).send().await.good();
        b.ask(&streamed(body.clone())).send().await.good();
        assert_eq!(bearer(&b), first);
    }
    b.next(Script::google_error(503, "UNAVAILABLE", &json!([])));
    b.ask(&streamed(body)).send().await.good();
    assert_ne!(bearer(&b), first);
    assert_eq!(b.newest(8).await["attempts"], 2);
}
