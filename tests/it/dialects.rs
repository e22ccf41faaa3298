//! What holds for every protocol alike: limits and how their refusal is told, what ties calls to an account, and what
//! an account's answers tell of its quota.

mod limits;
mod pools;

use crs_support::client::{Call, Client};
use crs_support::provider::{FakeProvider, Request, Route, Script};
use crs_support::relay::Relay;
use serde_json::{Value, json};

use super::support::relay;

/// Each protocol in which clients call models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Messages,
    Responses,
    Chat,
    Gemini,
    /// Gemini CLI's.
    Assist,
    /// Converted, on Claude's accounts and on Gemini's.
    ChatOnClaude,
    ChatOnGemini,
}

use Protocol::{Assist, Chat, ChatOnClaude, ChatOnGemini, Gemini, Messages, Responses};

const ALL: [Protocol; 7] = [
    Messages,
    Responses,
    Chat,
    Gemini,
    Assist,
    ChatOnClaude,
    ChatOnGemini,
];

impl Protocol {
    fn platform(self) -> &'static str {
        match self {
            Messages | ChatOnClaude => "claude",
            Responses | Chat => "openai",
            Gemini | Assist | ChatOnGemini => "gemini",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Messages | ChatOnClaude => "claude-sonnet-4-5",
            Responses | Chat => "gpt-5",
            Gemini | Assist | ChatOnGemini => "gemini-2.5-pro",
        }
    }

    fn route(self) -> Route {
        match self {
            Messages | ChatOnClaude => Route::Messages,
            Responses => Route::Responses,
            Chat => Route::ChatCompletions,
            Gemini | Assist | ChatOnGemini => Route::Gemini,
        }
    }

    /// A call as its clients make it, that says this.
    fn call(self, relay: &Relay, secret: &str, text: &str) -> Call {
        let client = |under: &str| Client::new(&format!("{}{under}", relay.url()));
        let contents = json!([{ "role": "user", "parts": [{ "text": text }] }]);
        let said = json!([{ "role": "user", "content": text }]);
        match self {
            Messages => relay.client(secret).messages(text),
            Responses => client("/openai")
                .with_bearer(secret)
                .call("POST", "/responses")
                .json(&json!({ "model": self.model(), "input": said })),
            Chat | ChatOnClaude | ChatOnGemini => client(match self {
                ChatOnClaude => "/openai/claude",
                ChatOnGemini => "/openai/gemini",
                _ => "/openai",
            })
            .with_bearer(secret)
            .call("POST", "/v1/chat/completions")
            .json(&json!({ "model": self.model(), "messages": said })),
            Gemini => client("/gemini")
                .with_header("x-goog-api-key", secret)
                .call("POST", "/v1beta/models/gemini-2.5-pro:generateContent")
                .json(&json!({ "contents": contents })),
            Assist => client("/gemini")
                .with_bearer(secret)
                .call("POST", "/v1internal:generateContent")
                .json(&json!({ "model": self.model(), "request": { "contents": contents } })),
        }
    }

    /// What the protocol's error says, from anywhere in it.
    fn error(self, body: &Value) -> Told {
        let error = &body["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let detail = |name: &str| {
            let details = error["details"].as_array().cloned().unwrap_or_default();
            details
                .iter()
                .map(|detail| text(&detail[name]))
                .find(|text| !text.is_empty())
        };
        let (kind, wait) = match self {
            Messages => (text(&error["type"]), None),
            Responses | Chat | ChatOnClaude | ChatOnGemini => (
                text(&error["code"]),
                error["resets_in_seconds"]
                    .as_u64()
                    .map(|seconds| seconds.to_string()),
            ),
            Gemini | Assist => (text(&error["status"]), detail("retryDelay")),
        };
        Told {
            message: text(&error["message"]),
            kind,
            wait,
        }
    }
}

/// An error as a client reads it.
#[derive(Debug)]
struct Told {
    message: String,
    /// Its name in the protocol.
    kind: String,
    /// How long to wait, where the protocol has it in the body.
    wait: Option<String>,
}

struct Bench {
    provider: FakeProvider,
    relay: Relay,
}

/// A relay with one account of the protocol's platform.
async fn bench(protocol: Protocol) -> Bench {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let bench = Bench { provider, relay };
    bench.account(protocol, "first", 50).await;
    bench
}

/// The key of an account at its provider.
fn credential(name: &str) -> String {
    format!("sk-of-{name}")
}

impl Bench {
    /// Its id.
    async fn account(&self, protocol: Protocol, name: &str, priority: u32) -> String {
        let account = json!({
            "name": name, "platform": protocol.platform(), "priority": priority,
            "credentials": { "type": "apiKey", "apiKey": credential(name) },
        });
        let added = self.relay.add_account(&account).await;
        added["id"].as_str().expect("an id").to_owned()
    }

    fn answers(&self, protocol: Protocol, with: impl Fn(Script) -> Script) {
        let script = match protocol {
            Messages | ChatOnClaude => Script::message("hi"),
            Responses | Chat => Script::openai("hi"),
            Gemini | Assist | ChatOnGemini => Script::gemini("hi"),
        };
        self.provider.on(protocol.route()).answer(with(script));
    }

    fn asked(&self, protocol: Protocol) -> Vec<Request> {
        self.provider.requests_to(protocol.route())
    }

    /// Whose account the last call was made on.
    fn last_credential(&self, protocol: Protocol) -> String {
        let last = self.asked(protocol).pop().expect("a call of the provider");
        last.credential().expect("a credential").to_owned()
    }
}
