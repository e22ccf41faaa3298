//! A WebSocket of a client.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{PATIENCE, within};

/// An open WebSocket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    Frame(Value),
    /// It was closed, with this code if any.
    Closed(Option<u16>),
    Pong,
}

impl Socket {
    /// Opens `ws` at an `http` address with these headers; the status and body of a refusal.
    pub async fn try_open(url: &str, headers: &[(&str, &str)]) -> Result<Self, (u16, Value)> {
        let mut request = url
            .replacen("http", "ws", 1)
            .into_client_request()
            .expect("an address");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        match within(PATIENCE, "a WebSocket", connect_async(request)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(refusal)) => {
                let body = refusal.body().clone().unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                Err((refusal.status().as_u16(), body))
            }
            Err(error) => panic!("no WebSocket at {url}: {error}"),
        }
    }

    /// Opens one with a key.
    pub async fn open(url: &str, key: &str) -> Self {
        let bearer = format!("Bearer {key}");
        let opened = Self::try_open(url, &[("authorization", &bearer)]).await;
        opened.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.say(Message::text(text)).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.say(Message::binary(bytes.to_vec())).await;
    }

    pub async fn ping(&mut self) {
        self.say(Message::Ping(vec![1].into())).await;
    }

    async fn say(&mut self, message: Message) {
        within(PATIENCE, "the server to read", self.0.send(message))
            .await
            .expect("an open WebSocket");
    }

    /// The next thing that comes; pings are answered and passed over.
    pub async fn next(&mut self) -> Came {
        loop {
            return match within(PATIENCE, "a frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => {
                    Came::Frame(serde_json::from_str(&text).expect("JSON in a frame"))
                }
                Some(Ok(Message::Close(frame))) => Came::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(Message::Pong(_))) => Came::Pong,
                Some(Ok(Message::Ping(_))) => continue,
                Some(Ok(other)) => panic!("not a text frame: {other:?}"),
                Some(Err(_)) | None => Came::Closed(None),
            };
        }
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        match self.next().await {
            Came::Frame(frame) => frame,
            other => panic!("no frame: {other:?}"),
        }
    }

    /// The code with which the server closes.
    pub async fn closed(&mut self) -> Option<u16> {
        match self.next().await {
            Came::Closed(code) => code,
            other => panic!("not closed: {other:?}"),
        }
    }

    /// All frames of a turn.
    pub async fn turn(&mut self, message: &Value) -> Vec<Value> {
        self.send(message).await;
        self.rest().await
    }

    /// The frames up to the end of a turn.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut frames = vec![self.frame().await];
        while !frames.last().is_some_and(is_last) {
            frames.push(self.frame().await);
        }
        frames
    }

    /// Nothing comes for this time.
    pub async fn is_silent_for(&mut self, time: Duration) {
        let came = tokio::time::timeout(time, self.0.next()).await;
        assert!(came.is_err(), "{came:?}");
    }
}

/// A message for a turn with this input, as Codex writes it.
pub fn create(input: &Value) -> Value {
    json!({ "type": "response.create", "model": "gpt-5", "input": input, "store": false, "tools": [] })
}

fn is_last(frame: &Value) -> bool {
    let kind = frame["type"].as_str().unwrap_or_default();
    matches!(
        kind,
        "response.completed" | "response.failed" | "response.incomplete" | "error"
    )
}
