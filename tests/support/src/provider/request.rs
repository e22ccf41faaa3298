//! Requests that the provider received, and the fate of their connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::wire::Headers;
use crate::{PATIENCE, within};

/// One request, exactly as received. Cheap to clone.
#[derive(Clone)]
pub struct Request {
    /// Counts from 1, over the life of the provider.
    pub number: usize,
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// In the order and spelling received.
    pub headers: Headers,
    pub body: Bytes,
    /// When the head was read.
    pub at: Instant,
    /// Which connection it came over; counts from 1.
    pub connection: usize,
    pub(super) sent: Arc<AtomicU64>,
    pub(super) outcome: watch::Receiver<Outcome>,
    pub(super) closed: watch::Receiver<Option<Closed>>,
}

/// How far the answer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Being answered.
    Open,
    /// The script was played to its end.
    Answered,
    /// The peer left before that.
    PeerLeft,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub at: Instant,
    /// The peer closed first; otherwise the provider did, as told.
    pub by_peer: bool,
    /// With a reset, not politely.
    pub reset: bool,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The target's query, without the question mark; empty if there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The key or token presented: `x-api-key`, `x-goog-api-key`, `api-key`, the `Bearer` token, or the access key id of a signed
    /// request.
    pub fn credential(&self) -> Option<&str> {
        self.header("x-api-key")
            .or_else(|| self.header("x-goog-api-key"))
            .or_else(|| self.header("api-key"))
            .or_else(|| self.bearer())
            .or_else(|| super::amazon::key_of(self.header("authorization")?))
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the body of {self:?} is no JSON: {e}: {:?}", self.text()))
    }

    pub(super) fn try_json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It is a turn on a WebSocket; its headers are those of the upgrade.
    pub fn over_a_socket(&self) -> bool {
        self.headers.has("upgrade")
    }

    /// The request asks for an event stream.
    pub fn wants_stream(&self) -> bool {
        if self.over_a_socket() {
            return true;
        }
        self.try_json()
            .is_some_and(|body| body["stream"] == Value::Bool(true))
    }

    /// What tools said, in the last message of the user.
    pub fn tool_results(&self) -> Vec<String> {
        let body = self.try_json().unwrap_or_default();
        let last_user = body["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .rev()
            .find(|message| message["role"] == "user")
            .map(|message| message["content"].clone())
            .unwrap_or_default();
        last_user
            .as_array()
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "tool_result")
            .map(|block| match &block["content"] {
                Value::String(text) => text.clone(),
                Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
                other => other.to_string(),
            })
            .collect()
    }

    /// Bytes of the answer the socket has taken so far, head and framing included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn outcome(&self) -> Outcome {
        *self.outcome.borrow()
    }

    /// Waits until the answer was given or given up.
    pub async fn done(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        within(PATIENCE, &format!("the answer to {self:?}"), async move {
            match outcome.wait_for(|o| *o != Outcome::Open).await {
                Ok(outcome) => *outcome,
                Err(_) => Outcome::PeerLeft,
            }
        })
        .await
    }

    /// Waits until the connection this request came over is closed. After a polite answer that is when
    /// the peer's pool lets go of it; during an answer it is when the peer gives up.
    pub async fn closed(&self) -> Closed {
        self.closed_within(PATIENCE).await
    }

    /// [`Request::closed`], with a bound of one's own.
    ///
    /// # Panics
    /// When the bound passes and the connection is still open.
    pub async fn closed_within(&self, limit: Duration) -> Closed {
        let mut closed = self.closed.clone();
        within(
            limit,
            &format!("the end of the connection of {self:?}"),
            async move {
                match closed.wait_for(Option::is_some).await {
                    Ok(closed) => closed.expect("waited for"),
                    // The provider itself has ended.
                    Err(_) => Closed {
                        at: Instant::now(),
                        by_peer: false,
                        reset: false,
                    },
                }
            },
        )
        .await
    }

    /// The connection is still open.
    pub fn is_connected(&self) -> bool {
        self.closed.borrow().is_none()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "request {} ({} {}, {} bytes)",
            self.number,
            self.method,
            self.target,
            self.body.len()
        )
    }
}
