//! A client that knows where the server is and what to show it.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

use super::raw::{Ask, Raw};
use super::{Event, events, text};
use crate::wire::{Headers, ResponseHead};

/// Whose turn it is, of several servers.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Asks one server, each time over a connection of its own; or several in turn.
#[derive(Clone, Debug)]
pub struct Client {
    bases: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Client {
    /// `base` may have a path, such as `http://127.0.0.1:3000/api`.
    pub fn new(base: &str) -> Self {
        Self::of_all([base])
    }

    /// Asks these in turn, as a load balancer would.
    pub fn of_all<'a>(bases: impl IntoIterator<Item = &'a str>) -> Self {
        let bases = bases.into_iter().map(|base| base.trim_end_matches('/').into());
        Self {
            bases: bases.collect(),
            headers: Vec::new(),
        }
    }

    /// Shows this as `x-api-key`.
    pub fn with_key(self, key: &str) -> Self {
        self.with_header("x-api-key", key)
    }

    /// Shows this as `authorization: Bearer`.
    pub fn with_bearer(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path).json(body).send().await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path).json(body).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    /// A call of `/v1/messages` that says this, as a small client of the Anthropic API would.
    pub fn messages(&self, text: &str) -> Call {
        self.call("POST", "/v1/messages")
            .header("anthropic-version", "2023-06-01")
            .json(&json!({
                "model": "claude-sonnet-4-5",
                "max_tokens": 1024,
                "messages": [{"role": "user", "content": text}],
            }))
    }

    /// Any call; `path` is put after the base.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % self.bases.len();
        let base = &self.bases[turn];
        let rest = base.strip_prefix("http://").unwrap_or(base);
        let prefix = rest.find('/').map_or("", |at| &rest[at..]);
        let mut ask = Ask::new(method, &format!("{prefix}{path}"));
        ask.headers
            .push(("host".into(), rest.split('/').next().unwrap_or_default().into()));
        ask.headers.extend(self.headers.iter().cloned());
        Call {
            base: base.clone(),
            ask,
        }
    }
}

/// A call that was not sent yet.
#[derive(Clone, Debug)]
pub struct Call {
    base: String,
    pub ask: Ask,
}

impl Call {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.ask = self.ask.header(name, value);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
            .header("content-type", "application/json")
    }

    /// Exactly these bytes.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.ask.body = body.into();
        self
    }

    /// Changes the body, which is JSON so far.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut body = serde_json::from_slice(&self.ask.body).expect("a body of JSON");
        change(&mut body);
        self.ask.body = body.to_string().into();
        self
    }

    pub fn model(self, model: &str) -> Self {
        self.edit(|body| body["model"] = model.into())
    }

    /// Asks for an event stream.
    pub fn stream(self) -> Self {
        self.edit(|body| body["stream"] = true.into())
    }

    /// Marks the call as part of a session, as Claude Code does.
    pub fn session(self, id: &str) -> Self {
        let user = json!({"device_id": "0".repeat(64), "account_uuid": "", "session_id": id}).to_string();
        self.edit(|body| body["metadata"] = json!({"user_id": user}))
            .header("x-claude-code-session-id", id)
    }

    /// Sends the call and reads the whole answer.
    ///
    /// # Panics
    /// When no proper answer comes; see [`Call::try_send`].
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.ask.method, self.ask.target);
        self.try_send()
            .await
            .unwrap_or_else(|e| panic!("no answer to {what}: {e}"))
    }

    /// [`Call::send`], for a server that may be down or leave.
    pub async fn try_send(self) -> std::io::Result<Answer> {
        let mut raw = Raw::try_connect(&self.base).await?;
        let ask = self.ask.header("connection", "close");
        raw.set_method(&ask.method);
        // A server that refuses early answers before it has read all.
        let sent = raw.try_send(ask.to_bytes()).await;
        let Some(head) = raw.try_head().await? else {
            sent?;
            let why = "the server closed the connection without an answer";
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, why));
        };
        let (body, whole) = raw.try_body().await;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            broke_off: whole.err().map(|e| e.to_string()),
        })
    }

    /// Sends the call and reads the answer's head; the rest is up to the caller.
    pub async fn open(self) -> (ResponseHead, Raw) {
        let mut raw = Raw::connect(&self.base).await;
        let head = raw.head_of(&self.ask).await;
        (head, raw)
    }

    /// Sends the call and reads nothing.
    pub async fn sent(self) -> Raw {
        let mut raw = Raw::connect(&self.base).await;
        raw.ask(&self.ask).await;
        raw
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
    /// Why the body ended too early, if it did.
    pub broke_off: Option<String>,
}

impl Answer {
    /// Checks the status, and shows the answer if it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}: {}", self.headers, self.raw_text());
        self
    }

    /// Checks for 200 to 299.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(
            self.status / 100,
            2,
            "{}: {:?}: {}",
            self.status,
            self.headers,
            self.raw_text()
        );
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("no JSON ({e}) under status {}: {}", self.status, self.raw_text()),
        }
    }

    /// The body as it came.
    pub fn raw_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the model said, streamed or whole.
    pub fn text(&self) -> String {
        text(&self.body)
    }

    /// The events of a stream.
    pub fn events(&self) -> Vec<Event> {
        events(&self.body)
    }
}
