//! Streams in time: signs of life, ends, and ends by the operator, with a clock that is moved by hand and a
//! provider whose frames are sent by hand.

mod ends;
mod forms;
mod life;

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::bench::Bench;
use crate::port::upstream::{BodyError, UpstreamError, UpstreamErrorKind};
use crate::relay::ledger_writer;

/// What a client of the Messages protocol is told while nothing happens.
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const COMMENT: &str = ": ping\n\n";

/// Whose protocol is spoken to whose accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Passes as it is.
    Messages,
    Bridge,
    ChatOnClaude,
    ChatOnGemini,
    /// These pass as they are, too.
    Chat,
    Responses,
}

const CONVERTED: [Way; 3] = [Way::Bridge, Way::ChatOnClaude, Way::ChatOnGemini];

impl Way {
    fn platform(self) -> &'static str {
        match self {
            Self::Messages | Self::ChatOnClaude => "claude",
            Self::Bridge | Self::ChatOnGemini => "gemini",
            Self::Chat | Self::Responses => "openai",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Messages => "/api/v1/messages",
            Self::Bridge => "/gemini-cli/api/v1/messages",
            Self::ChatOnClaude => "/openai/claude/v1/chat/completions",
            Self::ChatOnGemini => "/openai/gemini/v1/chat/completions",
            Self::Chat => "/openai/v1/chat/completions",
            Self::Responses => "/openai/v1/responses",
        }
    }

    /// A first piece of the provider's answer, with words.
    fn piece(self) -> String {
        match self.platform() {
            "claude" => [
                claude("message_start", &json!({"message": {"type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}})),
                claude("content_block_start", &json!({"index": 0, "content_block": {"type": "text", "text": ""}})),
                claude("content_block_delta", &json!({"index": 0, "delta": {"type": "text_delta", "text": "words"}})),
            ]
            .concat(),
            _ => google(&json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "words"}]}}]})),
        }
    }

    /// Its end, by its own word.
    fn last(self) -> String {
        match self.platform() {
            "claude" => [
                claude("content_block_stop", &json!({"index": 0})),
                claude(
                    "message_delta",
                    &json!({"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
                ),
                claude("message_stop", &json!({})),
            ]
            .concat(),
            _ => google(&json!({
                "candidates": [{"content": {"role": "model", "parts": [{"text": "."}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5},
            })),
        }
    }

    /// A model of its accounts.
    fn model(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "gpt-5",
            _ => "claude-sonnet-4-5",
        }
    }

    /// What the client is told last.
    fn end(self) -> &'static str {
        match self {
            Self::Messages | Self::Bridge => "message_stop",
            Self::ChatOnClaude | Self::ChatOnGemini | Self::Chat => "data: [DONE]\n\n",
            Self::Responses => "response.completed",
        }
    }
}

fn claude(name: &str, data: &Value) -> String {
    let mut data = data.clone();
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n")
}

fn google(data: &Value) -> String {
    format!("data: {data}\r\n\r\n")
}

/// The provider's side of one answer.
struct Said(mpsc::UnboundedSender<Result<Bytes, BodyError>>);

impl Said {
    fn frame(&self, text: &str) {
        self.0.unbounded_send(Ok(text.to_owned().into())).unwrap();
    }

    /// Whether somebody still reads it.
    fn is_read(&self) -> bool {
        !self.0.is_closed()
    }
}

/// When the provider's head is to come.
struct Head(oneshot::Sender<u16>);

impl Head {
    fn comes(self, status: u16) {
        let _ = self.0.send(status);
    }

    fn is_awaited(&self) -> bool {
        !self.0.is_canceled()
    }
}

struct Ready {
    bench: Bench,
    way: Way,
    id: String,
    key: String,
}

async fn ready(way: Way) -> Ready {
    let bench = Bench::new().await;
    let created = bench
        .post("/admin/api-keys", json!({"name": "k", "concurrencyLimit": 1}))
        .await
        .is(201);
    let ready = Ready {
        way,
        id: created.text("id"),
        key: created.text("key"),
        bench,
    };
    ready.account("main").await;
    ready
}

impl Ready {
    async fn account(&self, name: &str) {
        let body = json!({
            "name": name, "platform": self.way.platform(),
            "credentials": {"type": "apiKey", "apiKey": format!("key-of-{name}")},
        });
        self.bench.post("/admin/accounts", body).await.is(201);
    }

    /// The next call is answered by a stream, whose head comes when it is told to.
    fn next(&self) -> (Head, Said) {
        self.next_of("text/event-stream")
    }

    fn next_of(&self, kind: &'static str) -> (Head, Said) {
        let (told, head) = oneshot::channel();
        let (said, frames) = mpsc::unbounded();
        self.bench.provider.will(async move {
            let Ok(status) = head.await else {
                return Err(UpstreamError {
                    kind: UpstreamErrorKind::Broken,
                    detail: "the test dropped it".to_owned(),
                    source: None,
                });
            };
            let frames = frames.map(|frame: Result<Bytes, BodyError>| frame.map(http_body::Frame::data));
            let answer = http::Response::builder()
                .status(status)
                .header("content-type", kind);
            Ok(answer.body(StreamBody::new(frames).boxed_unsync()).unwrap())
        });
        (Head(told), Said(said))
    }

    /// A streamed call as its client sees it.
    fn call(&self) -> Client {
        self.asks(true)
    }

    fn asks(&self, stream: bool) -> Client {
        let body = json!({
            "model": self.way.model(), "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
        });
        let request = Request::post(self.way.path())
            .header("authorization", format!("Bearer {}", self.key))
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        Client::Waits(Box::pin(self.bench.router.clone().oneshot(request)))
    }

    /// Time passes.
    fn pass(&self, seconds: f64) {
        self.bench
            .clock
            .advance(std::time::Duration::from_secs_f64(seconds));
    }

    /// The client has read the end or has left: nothing is held any more, and the record has exactly one call.
    /// Its error and status.
    async fn settled(&self, client: Client) -> (Value, Value) {
        drop(client);
        ledger_writer::flush(&self.bench.app).await;
        let key = self
            .bench
            .get(&format!("/admin/api-keys/{}", self.id))
            .await
            .is(200);
        assert_eq!(
            key.json["live"]["running"].as_u64().unwrap_or(0),
            0,
            "{:?}",
            key.json
        );
        let held = self.bench.get("/admin/concurrency").await.is(200).json;
        assert_eq!(held["accounts"], json!([]), "{held}");
        let listed = self.bench.get("/admin/requests").await.is(200).json;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        let entry = listed["items"][0].clone();
        (entry["error"].clone(), entry["status"].clone())
    }
}

type Response = axum::http::Response<axum::body::Body>;
type Answering = futures_util::future::BoxFuture<'static, Result<Response, std::convert::Infallible>>;

enum Client {
    Waits(Answering),
    Reads(u16, HeaderMap, axum::body::Body),
}

impl Client {
    /// The status, if the head has come by now.
    async fn head(&mut self) -> Option<u16> {
        if let Self::Waits(answering) = self {
            let (head, body) = by_now(answering).await?.unwrap().into_parts();
            *self = Self::Reads(head.status.as_u16(), head.headers, body);
        }
        match self {
            Self::Reads(status, ..) => Some(*status),
            Self::Waits(_) => None,
        }
    }

    fn header(&self, name: &str) -> &str {
        match self {
            Self::Reads(_, headers, _) => headers.get(name).map_or("", |value| value.to_str().unwrap()),
            Self::Waits(_) => "",
        }
    }

    /// What has come by now, and whether that is the end.
    async fn hears(&mut self) -> (String, bool) {
        self.head().await.expect("a head");
        let Self::Reads(_, _, body) = self else {
            panic!("the head was read");
        };
        let mut heard = String::new();
        loop {
            match by_now(&mut body.frame()).await {
                None => return (heard, false),
                Some(None) => return (heard, true),
                Some(Some(frame)) => {
                    let data = frame.unwrap().into_data().unwrap();
                    heard.push_str(std::str::from_utf8(&data).unwrap());
                }
            }
        }
    }
}

/// The future's value, if it needs no time to pass.
async fn by_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    for _ in 0..100 {
        if let Some(value) = future.now_or_never() {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}
