//! Clients on the accounts of another provider, where the model's name says so: Claude Code and Anthropic's SDKs on
//! OpenAI's accounts, Codex and OpenAI's SDKs on Claude's.

mod chat_hosts;
mod messages;
mod responses;
mod routes;

use crs_support::client::{Answer, Call, Client, Event};
use crs_support::provider::{FakeProvider, Request, Route};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::{Key, entries, relay};

const ACCOUNT_KEY: &str = "sk-openai-behind-messages";

struct Across {
    provider: FakeProvider,
    relay: Relay,
    key: Key,
    /// Shows the key, under `/api`.
    claude: Client,
}

/// A relay without accounts.
async fn empty() -> Across {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("OPENAI_OAUTH_CLIENT_ID", "client-of-the-operator")
        .start()
        .await;
    let key = relay.key("k").create().await;
    Across {
        claude: relay.client(&key.secret),
        provider,
        relay,
        key,
    }
}

impl Across {
    async fn account(&self, platform: &str, name: &str, key: &str) {
        let account = json!({
            "name": name, "platform": platform, "credentials": { "type": "apiKey", "apiKey": key },
        });
        self.relay.add_account(&account).await;
    }

    /// A login of ChatGPT.
    async fn login(&self) {
        let tokens = self.provider.oauth().issue();
        let account = json!({
            "name": "chatgpt", "platform": "openai",
            "credentials": {
                "type": "oauth", "accessToken": tokens.access, "refreshToken": tokens.refresh,
                "expiresAt": 4_000_000_000_000_u64, "tenant": "11111111-2222-4333-8444-555555555555",
            },
        });
        self.relay.add_account(&account).await;
    }

    fn ask(&self, body: &Value) -> Call {
        self.claude
            .call("POST", "/v1/messages?beta=true")
            .header("anthropic-version", "2023-06-01")
            .header("anthropic-beta", "claude-code-20250219")
            .header("user-agent", "claude-cli/2.1.330 (external, cli)")
            .json(body)
    }

    fn asked(&self, route: Route) -> Request {
        self.provider
            .requests_to(route)
            .pop()
            .expect("a call of the provider")
    }

    async fn newest(&self, count: usize) -> Value {
        entries(&self.relay, count).await.remove(0)
    }
}

/// The message of a whole answer, or of a stream.
#[track_caller]
fn message(answer: &Answer) -> Value {
    let is_stream = answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if is_stream {
        assembled(&answer.events())
    } else {
        answer.json()
    }
}

/// Puts a stream together, as a client does.
#[track_caller]
fn assembled(events: &[Event]) -> Value {
    let mut message = Value::Null;
    let mut input = String::new();
    for Event { name, data } in events {
        assert_eq!(*name, data["type"]);
        let at = data["index"].as_u64().unwrap_or_default() as usize;
        match name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                input.clear();
                let blocks = message["content"].as_array_mut().expect("content");
                assert_eq!(blocks.len(), at);
                blocks.push(data["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][at];
                for (member, value) in data["delta"].as_object().expect("a delta") {
                    match member.as_str() {
                        "type" => {}
                        "partial_json" => input.push_str(value.as_str().expect("text")),
                        _ => {
                            let text = [&block[member], value].map(|text| text.as_str().expect("text"));
                            block[member] = text.concat().into();
                        }
                    }
                }
            }
            "content_block_stop" => {
                if message["content"][at]["type"] == "tool_use" {
                    message["content"][at]["input"] = serde_json::from_str(&input).expect("JSON");
                }
            }
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" | "ping" => {}
            other => panic!("{other}: {data}"),
        }
    }
    assert_eq!(
        events.last().map(|event| event.name.as_str()),
        Some("message_stop")
    );
    message
}
