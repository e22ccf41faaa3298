//! What to answer, at what pace, and how to fail. A script is a value: build it once, play it often.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::{self, Block, Message, Usage};
use super::request::Request;

/// One answer of the provider. The order of the verbs does not matter.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) status: u16,
    /// Replace the header of that name, or add it; `None` takes it away.
    pub(super) headers: Vec<(String, Option<String>)>,
    pub(super) body: Body,
    pub(super) pace: Pace,
    pub(super) fault: Option<Fault>,
    pub(super) gzip: bool,
    pub(super) close_after: bool,
}

#[derive(Clone)]
pub(super) enum Body {
    /// A stream or a whole answer, as the request asks for.
    Message(Message),
    Error {
        kind: String,
        message: String,
    },
    Json(Value),
    /// An event stream of these frames.
    Frames(Vec<Bytes>),
    /// These bytes, with this content type.
    Bytes(String, Bytes),
    /// Every byte of the response, head included; nothing is added.
    Wire(Bytes),
    /// An event stream of text deltas without end, or of so many bytes.
    Flood {
        frame: usize,
        total: u64,
    },
    /// A WebSocket.
    Upgrade,
    /// Decided by the request.
    Decide(Arc<dyn Fn(&Request) -> Script + Send + Sync>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message",
            Self::Error { .. } => "Error",
            Self::Json(_) => "Json",
            Self::Frames(_) => "Frames",
            Self::Bytes(..) => "Bytes",
            Self::Wire(_) => "Wire",
            Self::Flood { .. } => "Flood",
            Self::Upgrade => "Upgrade",
            Self::Decide(_) => "Decide",
        })
    }
}

/// When what is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) before_head: Duration,
    pub(super) before_body: Duration,
    pub(super) between: Duration,
    pub(super) chunks: Option<Chunks>,
}

/// Into what pieces a body is cut; each is one write, and one HTTP chunk if the body is chunked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    Whole,
    /// One piece for each event of a stream.
    Frames,
    /// Pieces of so many bytes, whatever they cut.
    Bytes(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) how: How,
}

/// Where an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The request was read, and no byte of an answer is written.
    BeforeHead,
    /// The head was written, and no byte of the body.
    AfterHead,
    /// After so many events of a stream.
    AfterFrames(usize),
    /// After so many bytes of the body.
    AfterBytes(usize),
}

/// The kind of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The connection is reset.
    Reset,
    /// The connection is closed politely, in the middle of the body.
    Close,
    /// The body ends properly as far as HTTP can tell, but too early.
    End,
    /// Nothing comes any more, until the peer leaves.
    Stall,
    /// The API's error event, then a proper end.
    ErrorEvent { kind: String, message: String },
}

impl Script {
    fn of(status: u16, body: Body) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            pace: Pace::default(),
            fault: None,
            gzip: false,
            close_after: false,
        }
    }

    /// Answers with this text: as an event stream if the request asks for one, else in one piece.
    pub fn message(text: impl Into<String>) -> Self {
        Self::of(200, Body::Message(Message::text(text)))
    }

    /// Answers with this message.
    pub fn of_message(message: Message) -> Self {
        Self::of(200, Body::Message(message))
    }

    /// Asks the client to run a tool.
    pub fn tool_use(name: &str, input: Value) -> Self {
        Self::of_message(Message::tool_use("toolu_01FakeToolUse", name, input))
    }

    /// A whole tool turn: asks for the tool, and once its result is there answers with `last`, in which
    /// `{result}` stands for what the tool said.
    pub fn tool_turn(name: &str, input: Value, last: &str) -> Self {
        let (name, last) = (name.to_owned(), last.to_owned());
        Self::decide(move |request| match request.tool_results().last() {
            Some(result) => Self::message(last.replace("{result}", result)),
            None => Self::tool_use(&name, input.clone()),
        })
    }

    /// An error of the API, in its form and with its name for that status.
    pub fn error(status: u16) -> Self {
        let message = match status {
            // The API's own: other words of a 401 say nothing about the credentials.
            401 => "invalid x-api-key".to_owned(),
            _ => format!("the provider says {status}"),
        };
        Self::error_saying(status, claude::error_type(status), &message)
    }

    pub fn error_saying(status: u16, kind: &str, message: &str) -> Self {
        Self::of(
            status,
            Body::Error {
                kind: kind.into(),
                message: message.into(),
            },
        )
    }

    /// This JSON, in serde's compact spelling. For exact bytes use [`Script::bytes`].
    pub fn json(value: Value) -> Self {
        Self::of(200, Body::Json(value))
    }

    /// These bytes as the body, with a `content-length`.
    pub fn bytes(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::of(200, Body::Bytes(content_type.into(), body.into()))
    }

    /// An event stream of these events.
    pub fn events(events: &[(&str, Value)]) -> Self {
        Self::frames(events.iter().map(|(name, data)| claude::frame(name, data)))
    }

    /// An event stream of exactly these frames.
    pub fn frames<F: Into<Bytes>>(frames: impl IntoIterator<Item = F>) -> Self {
        Self::of(200, Body::Frames(frames.into_iter().map(Into::into).collect()))
    }

    /// A file of `tests/fixtures` as it is, such as `anthropic/web_search.sse`.
    pub fn captured(file: &str) -> Self {
        let bytes = crate::fixtures::bytes(file);
        if std::path::Path::new(file)
            .extension()
            .is_some_and(|end| end == "sse")
        {
            Self::raw_stream(bytes)
        } else {
            Self::bytes("application/json", bytes)
        }
    }

    /// An event stream of exactly these bytes; a frame ends after an empty line.
    pub fn raw_stream(bytes: impl Into<Bytes>) -> Self {
        Self::frames(split_frames(&bytes.into()))
    }

    /// Every byte of the response, head included; afterwards the connection is closed.
    pub fn wire(bytes: impl Into<Bytes>) -> Self {
        Self::of(0, Body::Wire(bytes.into()))
    }

    /// Text deltas of about `frame` bytes each, as fast as the peer takes them, `total` bytes in all and
    /// then a proper end. Ask [`Request::sent`] how much the socket took.
    pub fn flood(frame: usize, total: u64) -> Self {
        Self::of(200, Body::Flood { frame, total })
    }

    /// [`Script::flood`] without an end.
    pub fn endless(frame: usize) -> Self {
        Self::flood(frame, u64::MAX)
    }

    /// Accepts an upgrade to a WebSocket.
    pub(super) fn upgrade() -> Self {
        Self::of(101, Body::Upgrade)
    }

    /// Lets the request decide.
    pub fn decide(f: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        Self::of(200, Body::Decide(Arc::new(f)))
    }

    // --- content

    fn edit(mut self, change: impl FnOnce(&mut Message)) -> Self {
        match &mut self.body {
            Body::Message(message) => change(message),
            other => panic!("a script with a body of {other:?} has no message to change"),
        }
        self
    }

    pub fn usage(self, usage: Usage) -> Self {
        self.edit(|m| m.usage = Some(usage))
    }

    /// The answer says nothing of tokens, as some aggregators do.
    pub fn without_usage(self) -> Self {
        self.edit(|m| m.usage = None)
    }

    /// The answer names this model, whatever was asked for.
    pub fn model(self, model: &str) -> Self {
        self.edit(|m| m.model = Some(model.into()))
    }

    pub fn id(self, id: &str) -> Self {
        self.edit(|m| m.id = Some(id.into()))
    }

    pub fn stop_reason(self, reason: &str) -> Self {
        self.edit(|m| m.stop_reason = reason.into())
    }

    /// Puts a thinking block before the others.
    pub fn thinking(self, text: &str, signature: &str) -> Self {
        let block = Block::Thinking {
            text: text.into(),
            signature: signature.into(),
        };
        self.edit(|m| m.blocks.insert(0, block))
    }

    /// Cuts each block into so many deltas.
    pub fn deltas(self, count: usize) -> Self {
        self.edit(|m| m.deltas = count)
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sets a header, in place of the provider's own of that name.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// Compresses the body if the request's `accept-encoding` allows it. A relay that looks into the
    /// answer must not have asked for that.
    pub fn gzip_if_accepted(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Closes the connection after the answer, and says so.
    pub fn close_after(mut self) -> Self {
        self.close_after = true;
        self
    }

    // --- pace

    /// Waits before the head.
    pub fn delay_head(mut self, delay: Duration) -> Self {
        self.pace.before_head = delay;
        self
    }

    /// Waits between the head and the first byte of the body.
    pub fn delay_body(mut self, delay: Duration) -> Self {
        self.pace.before_body = delay;
        self
    }

    /// Waits between two pieces of the body.
    pub fn every(mut self, delay: Duration) -> Self {
        self.pace.between = delay;
        self
    }

    /// How the body is cut. Streams go out by frames and other bodies whole, if nothing is said.
    pub fn chunks(mut self, chunks: Chunks) -> Self {
        self.pace.chunks = Some(chunks);
        self
    }

    /// One byte at a time.
    pub fn byte_by_byte(self) -> Self {
        self.chunks(Chunks::Bytes(1))
    }

    // --- faults

    /// Goes wrong there, in that way.
    pub fn fails(mut self, at: At, how: How) -> Self {
        self.fault = Some(Fault { at, how });
        self
    }

    /// Reads the request, then resets the connection.
    pub fn reset_before_head(self) -> Self {
        self.fails(At::BeforeHead, How::Reset)
    }

    /// Reads the request, then closes the connection without a word.
    pub fn close_before_head(self) -> Self {
        self.fails(At::BeforeHead, How::Close)
    }

    pub fn stall_before_head(self) -> Self {
        self.fails(At::BeforeHead, How::Stall)
    }

    pub fn reset_after_head(self) -> Self {
        self.fails(At::AfterHead, How::Reset)
    }

    pub fn stall_after_head(self) -> Self {
        self.fails(At::AfterHead, How::Stall)
    }

    pub fn reset_after(self, frames: usize) -> Self {
        self.fails(At::AfterFrames(frames), How::Reset)
    }

    pub fn close_after_frames(self, frames: usize) -> Self {
        self.fails(At::AfterFrames(frames), How::Close)
    }

    pub fn stall_after(self, frames: usize) -> Self {
        self.fails(At::AfterFrames(frames), How::Stall)
    }

    /// Ends properly after so many frames: HTTP sees nothing wrong, the API's protocol does.
    pub fn end_after(self, frames: usize) -> Self {
        self.fails(At::AfterFrames(frames), How::End)
    }

    /// The stream lacks its last event, and ends properly all the same.
    pub fn without_stop(self) -> Self {
        self.end_after(usize::MAX)
    }

    /// An `error` event after so many frames.
    pub fn error_event_after(self, frames: usize, kind: &str, message: &str) -> Self {
        let how = How::ErrorEvent {
            kind: kind.into(),
            message: message.into(),
        };
        self.fails(At::AfterFrames(frames), how)
    }

    /// The script as it stands for this request: nothing left to decide.
    pub(super) fn decided(&self, request: &Request) -> Self {
        let mut script = self.clone();
        let mut depth = 0;
        while let Body::Decide(f) = &script.body {
            let inner = f(request);
            script = inner.beneath(&script);
            depth += 1;
            assert!(depth < 8, "scripts that decide for scripts that decide ...");
        }
        script
    }

    /// Takes over what the deciding script was told besides deciding.
    fn beneath(mut self, outer: &Self) -> Self {
        let mut headers = outer.headers.clone();
        headers.append(&mut self.headers);
        self.headers = headers;
        self.gzip |= outer.gzip;
        self.close_after |= outer.close_after;
        self.fault = self.fault.or_else(|| outer.fault.clone());
        let pace = &mut self.pace;
        pace.before_head = pace.before_head.max(outer.pace.before_head);
        pace.before_body = pace.before_body.max(outer.pace.before_body);
        pace.between = pace.between.max(outer.pace.between);
        pace.chunks = pace.chunks.or(outer.pace.chunks);
        self
    }
}

/// The error event of a stream.
pub(super) fn error_frame(kind: &str, message: &str, request_id: &str) -> Bytes {
    claude::frame(
        "error",
        &json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}),
    )
}

/// Cuts a stream after each empty line; the rest, if any, is the last frame.
fn split_frames(bytes: &Bytes) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut from = 0;
    let ends: [&[u8]; 2] = [b"\n\n", b"\r\n\r\n"];
    for at in 0..bytes.len() {
        let Some(end) = ends.iter().find(|end| at >= from && bytes[at..].starts_with(end)) else {
            continue;
        };
        frames.push(bytes.slice(from..at + end.len()));
        from = at + end.len();
    }
    if from < bytes.len() {
        frames.push(bytes.slice(from..));
    }
    frames
}
