//! A provider that follows a script: what each of its accounts answers, and when.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;

use crate::port::clock::Clock as _;
use crate::port::clock::movable::Movable;
use crate::port::upstream::{Body, BodyError, Route, Upstream, UpstreamError, UpstreamErrorKind};

/// One answer of the script.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// From the request to the head.
    pub(crate) head_after: Duration,
    pub(crate) head: Head,
    /// Each after a pause.
    pub(crate) frames: Vec<(Duration, String)>,
    pub(crate) end: End,
}

#[derive(Clone, Debug)]
pub(crate) enum Head {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
    },
    Error(UpstreamErrorKind),
    /// None, however long one waits.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Broken,
    /// The body stays open, and nothing comes.
    Silent,
}

pub(crate) const MS: fn(u64) -> Duration = Duration::from_millis;

impl Reply {
    pub(crate) fn whole(status: u16, body: &str) -> Self {
        Self {
            head_after: MS(20),
            head: Head::Answer {
                status,
                headers: vec![("content-type", "application/json".to_owned())],
            },
            frames: vec![(MS(5), body.to_owned())],
            end: End::Closed,
        }
    }

    /// A page of something that is no provider.
    pub(crate) fn page(status: u16) -> Self {
        let page = "<html><body>Please log in</body></html>";
        let mut reply = Self::whole(status, page);
        if let Head::Answer { headers, .. } = &mut reply.head {
            *headers = vec![("content-type", "text/html".to_owned())];
        }
        reply
    }

    /// A message with 10 tokens of input and 5 of output.
    pub(crate) fn message() -> Self {
        let body = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "words"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        });
        Self::whole(200, &body.to_string())
    }

    /// An answer to Chat Completions, with the same tokens.
    pub(crate) fn completion() -> Self {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_764_000_000, "model": "gpt-5",
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": "words"}, "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        });
        Self::whole(200, &body.to_string())
    }

    /// A message as a stream of four frames, 100 ms apart.
    pub(crate) fn stream() -> Self {
        let event = |name: &str, data: serde_json::Value| {
            let mut data = data;
            data["type"] = name.into();
            format!("event: {name}\ndata: {data}\n\n")
        };
        let frames = [
            event(
                "message_start",
                json!({"message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
                    "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}}),
            ),
            event(
                "content_block_start",
                json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
            ) + &event(
                "content_block_delta",
                json!({"index": 0, "delta": {"type": "text_delta", "text": "words"}}),
            ),
            event("content_block_stop", json!({"index": 0}))
                + &event(
                    "message_delta",
                    json!({"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
                ),
            event("message_stop", json!({})),
        ];
        Self {
            head_after: MS(20),
            head: Head::Answer {
                status: 200,
                headers: vec![("content-type", "text/event-stream".to_owned())],
            },
            frames: frames.into_iter().map(|frame| (MS(100), frame)).collect(),
            end: End::Closed,
        }
    }

    /// An error in the provider's shape.
    pub(crate) fn error(status: u16, kind: &str) -> Self {
        let body =
            json!({"type": "error", "error": {"type": kind, "message": format!("a {kind} of the script")}});
        Self::whole(status, &body.to_string())
    }

    pub(crate) fn unreachable(kind: UpstreamErrorKind) -> Self {
        Self {
            head: Head::Error(kind),
            ..Self::whole(200, "")
        }
    }

    pub(crate) fn hangs() -> Self {
        Self {
            head: Head::Never,
            ..Self::whole(200, "")
        }
    }

    pub(crate) fn tokens(access: &str, refresh: &str) -> Self {
        let body = json!({"access_token": access, "refresh_token": refresh, "expires_in": 3600});
        Self::whole(200, &body.to_string())
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.head_after = wait;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Head::Answer { headers, .. } = &mut self.head {
            headers.push((name, value.to_owned()));
        }
        self
    }

    /// Only the first frames, and then this end.
    pub(crate) fn cut(mut self, frames: usize, end: End) -> Self {
        self.frames.truncate(frames);
        self.end = end;
        self
    }
}

/// The name under which the script has the token endpoint.
pub(crate) const TOKENS: &str = "the token endpoint";

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The credential, or [`TOKENS`].
    pub(crate) by: String,
    pub(crate) at: u64,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct State {
    /// By the credential that a request carries.
    script: HashMap<String, VecDeque<Reply>>,
    asked: Vec<Asked>,
}

pub(crate) struct Provider {
    clock: Movable,
    state: Mutex<State>,
    open: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) fn new(clock: Movable) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            open: Arc::default(),
        }
    }

    /// The replies to requests with this credential, in order; the last one repeats.
    pub(crate) fn script(&self, credential: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.state
            .lock()
            .unwrap()
            .script
            .insert(credential.to_owned(), replies);
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The credentials of the model calls so far, in order.
    pub(crate) fn called(&self) -> Vec<String> {
        let asked = self.asked().into_iter().filter(|asked| asked.by != TOKENS);
        asked.map(|asked| asked.by).collect()
    }

    pub(crate) fn renewals(&self) -> usize {
        self.asked().iter().filter(|asked| asked.by == TOKENS).count()
    }

    /// Connections whose requests or bodies are still in use.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn next(&self, request: &Request<Bytes>) -> Reply {
        let header = |name| request.headers().get(name)?.to_str().ok();
        let by = if request.uri().path().ends_with("/token") {
            TOKENS
        } else {
            let bearer = header("authorization").map(|value| value.trim_start_matches("Bearer "));
            header("x-api-key").or(bearer).unwrap_or("nobody")
        };
        let mut state = self.state.lock().unwrap();
        state.asked.push(Asked {
            by: by.to_owned(),
            at: self.clock.now(),
            body: request.body().clone(),
        });
        let script = state.script.get_mut(by);
        let script = script.unwrap_or_else(|| panic!("the script has nothing for {by:?}"));
        if script.len() > 1 {
            script.pop_front().unwrap()
        } else {
            script.front().expect("a reply").clone()
        }
    }
}

/// A connection, as long as it is open.
struct Connection(Arc<AtomicUsize>);

impl Connection {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Upstream for Provider {
    async fn send(&self, request: Request<Bytes>, route: &Route) -> Result<Response<Body>, UpstreamError> {
        let connection = Connection::new(&self.open);
        let reply = self.next(&request);
        let timed_out = || UpstreamError {
            kind: UpstreamErrorKind::Timeout,
            detail: "no head in time".to_owned(),
            source: None,
        };
        if matches!(reply.head, Head::Never) || reply.head_after >= route.head_timeout {
            self.clock.sleep(route.head_timeout).await;
            return Err(timed_out());
        }
        self.clock.sleep(reply.head_after).await;
        let (status, headers) = match reply.head {
            Head::Answer { status, headers } => (status, headers),
            Head::Error(kind) => {
                return Err(UpstreamError {
                    kind,
                    detail: "so the script says".to_owned(),
                    source: Some("the script's own error".into()),
                });
            }
            Head::Never => return Err(timed_out()),
        };
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(name, value);
        }
        let (clock, end) = (self.clock.clone(), reply.end);
        let frames = stream::unfold(
            (reply.frames.into_iter(), connection, false),
            move |(mut frames, connection, is_over)| {
                let clock = clock.clone();
                async move {
                    if let Some((pause, frame)) = frames.next() {
                        clock.sleep(pause).await;
                        let frame = Frame::data(Bytes::from(frame));
                        return Some((Ok(frame), (frames, connection, false)));
                    }
                    match end {
                        End::Broken if !is_over => {
                            let broken = Err(BodyError("so the script says".to_owned()));
                            Some((broken, (frames, connection, true)))
                        }
                        End::Silent => std::future::pending().await,
                        End::Closed | End::Broken => None,
                    }
                }
            },
        );
        Ok(answer.body(StreamBody::new(frames).boxed_unsync()).unwrap())
    }
}
