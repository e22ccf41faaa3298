//! Steering the provider from another process, over HTTP on its own port: for tests that are not written in Rust.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST /control/script` | [`Order`] | 204 |
//! | `POST /control/tokens` | `{"expired": bool?}` | `{"access", "refresh"}`, a pair that the provider knows |
//! | `POST /control/allow` | `{"address": where a person signs in}` | `{"code", "state", "callback", "denied"}` |
//! | `GET /control/requests` | | `[{"number", "method", "target", "credential", "body"}]`, without these |
//! | `POST /control/access-keys` | `{"id", "secret"}`, access keys of Amazon's | 204, and signed requests are checked with them |
//! | `POST /control/entra-app` | `{"tenant", "client", "secret"}`, an application of Microsoft Entra | 204, and it gets tokens from now on |
//! | `POST /control/service-account` | `{"email"}`, a service account of Google's | its key file, which the provider accepts from now on |
//! | `POST /control/forget` | | 204, and the requests are forgotten |
//!
//! What it does not understand gets 400 and says why.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::google::{SERVICE_ACCOUNT_PEM, key_file};
use super::{FakeProvider, Request, Route, Script, Usage};

const PREFIX: &str = "/control/";

/// What to answer, to whom.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    /// `messages`, `responses`, `chatCompletions`, `gemini` or `token`.
    #[serde(default = "messages")]
    route: String,
    /// Only for calls with this key or token.
    credential: Option<String>,
    /// For the next call only; otherwise from now on.
    #[serde(default)]
    once: bool,
    answer: Answer,
}

fn messages() -> String {
    "messages".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    /// A message with this text.
    text: Option<String>,
    /// Or an error with this status, and these words.
    status: Option<u16>,
    kind: Option<String>,
    message: Option<String>,
    /// Of a message of Anthropic's.
    model: Option<String>,
    usage: Option<Tokens>,
    #[serde(default)]
    headers: HashMap<String, String>,
    /// Milliseconds before the head.
    #[serde(default)]
    delay: u64,
    /// Milliseconds between two events of a stream.
    #[serde(default)]
    every: u64,
    /// The stream is cut after so many events.
    cut_after: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Tokens {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        let usage = Usage::default();
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write_5m,
        }
    }
}

/// Lets other processes steer this provider.
pub fn steered(provider: FakeProvider) -> Arc<FakeProvider> {
    let provider = Arc::new(provider);
    // Weak: the provider ends when its owner drops it.
    let steered = Arc::downgrade(&provider);
    provider.on(Route::Other).answer(Script::decide(move |request| {
        let Some(provider) = steered.upgrade() else {
            return Script::error(503);
        };
        match control(&provider, request) {
            Ok(Value::Null) => Script::bytes("text/plain", "").status(204),
            Ok(answer) => Script::json(answer),
            Err(why) => Script::bytes("text/plain", why).status(400),
        }
    }));
    provider
}

fn control(provider: &FakeProvider, request: &Request) -> Result<Value, String> {
    let Some(verb) = request.path().strip_prefix(PREFIX) else {
        return Err("the provider has no such path".to_owned());
    };
    match verb {
        "script" => {
            let order: Order = read(request)?;
            let route = route(&order.route)?;
            let mut lane = provider.on(route);
            if let Some(credential) = &order.credential {
                lane = lane.for_credential(credential);
            }
            let script = script(route, order.answer)?;
            if order.once {
                lane.next(script);
            } else {
                lane.answer(script);
            }
            Ok(Value::Null)
        }
        "tokens" => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Asked {
                #[serde(default)]
                expired: bool,
            }
            let asked: Asked = read(request)?;
            let oauth = provider.oauth();
            let tokens = if asked.expired {
                oauth.issue_expired()
            } else {
                oauth.issue()
            };
            Ok(json!({ "access": tokens.access, "refresh": tokens.refresh }))
        }
        "allow" => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Asked {
                address: String,
            }
            let asked: Asked = read(request)?;
            let allowed = provider.oauth().allow(&asked.address);
            Ok(json!({
                "code": allowed.code, "state": allowed.state,
                "callback": allowed.callback(), "denied": allowed.denied(),
            }))
        }
        "access-keys" => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Asked {
                id: String,
                secret: String,
            }
            let asked: Asked = read(request)?;
            provider.takes_access_keys(&asked.id, &asked.secret, None);
            Ok(Value::Null)
        }
        "entra-app" => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Asked {
                tenant: String,
                client: String,
                secret: String,
            }
            let asked: Asked = read(request)?;
            provider.takes_entra_app(&asked.tenant, &asked.client, &asked.secret);
            Ok(Value::Null)
        }
        "service-account" => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Asked {
                email: String,
            }
            let asked: Asked = read(request)?;
            provider.takes_service_account(&asked.email, SERVICE_ACCOUNT_PEM);
            Ok(key_file(&asked.email, SERVICE_ACCOUNT_PEM))
        }
        "requests" => {
            let requests = provider.requests().into_iter();
            let calls = requests.filter(|request| !request.path().starts_with(PREFIX));
            Ok(calls
                .map(|request| {
                    json!({
                        "number": request.number, "method": request.method, "target": request.target,
                        "credential": request.credential(), "body": String::from_utf8_lossy(&request.body),
                    })
                })
                .collect())
        }
        "forget" => {
            provider.forget();
            Ok(Value::Null)
        }
        other => Err(format!("no such verb: {other}")),
    }
}

fn read<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, String> {
    serde_json::from_slice(&request.body).map_err(|error| error.to_string())
}

fn route(name: &str) -> Result<Route, String> {
    Ok(match name {
        "messages" => Route::Messages,
        "responses" => Route::Responses,
        "chatCompletions" => Route::ChatCompletions,
        "gemini" => Route::Gemini,
        "token" => Route::Token,
        other => return Err(format!("no such route: {other}")),
    })
}

fn script(route: Route, answer: Answer) -> Result<Script, String> {
    let mut script = match (answer.text, answer.status) {
        (Some(text), None) => match route {
            Route::Messages => Script::message(text),
            Route::Gemini => Script::gemini(text),
            Route::Token => return Err("tokens are no text".to_owned()),
            _ => Script::openai(text),
        },
        (None, Some(status)) => match (answer.kind, answer.message) {
            (kind, Some(message)) => {
                Script::error_saying(status, kind.as_deref().unwrap_or("api_error"), &message)
            }
            (_, None) => Script::error(status),
        },
        _ => return Err("an answer has either a text or a status".to_owned()),
    };
    if let Some(model) = answer.model {
        script = script.model(&model);
    }
    if let Some(tokens) = answer.usage {
        script = script.usage(Usage {
            input: tokens.input,
            output: tokens.output,
            cache_read: tokens.cache_read,
            cache_write_5m: tokens.cache_write,
            cache_write_1h: 0,
        });
    }
    for (name, value) in &answer.headers {
        script = script.with_header(name, value);
    }
    if let Some(frames) = answer.cut_after {
        script = script.reset_after(frames);
    }
    Ok(script
        .delay_head(Duration::from_millis(answer.delay))
        .every(Duration::from_millis(answer.every)))
}
