//! Converts a stream of Anthropic's events into a stream of OpenAI's chunks.
//!
//! The output does not depend on how the input is cut. It is always a valid stream: chunks with a finish reason
//! and then `[DONE]`, or one error as the last event.

use bytes::Bytes;

use super::usage::Figures;
use super::{choice, finish, head, image};

use crate::convert::chat_to_messages::error::{self, UnusableAnswer};
use crate::convert::chat_to_messages::request::Context;
use crate::dialect::body::mended;
use crate::dialect::wire::events::Lines;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    state: State,
}

#[derive(Debug)]
struct State {
    id: String,
    created: u64,
    /// The provider's name for the model, or else the requested one.
    model: String,
    include_usage: bool,
    out: Vec<u8>,
    figures: Figures,
    started: bool,
    /// Number of calls so far.
    calls: u64,
    /// Number of images sent so far.
    images: u64,
    /// Set while a call's block is open: the part of its input that is not sent yet.
    call: Option<Input>,
    stopped: Option<&'static str>,
    /// The usage came with or after the stop reason. The usage at the start covers the prompt only.
    metered: bool,
    failure: Option<UnusableAnswer>,
    closed: bool,
}

/// The input of a call.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    /// No delta came yet; this input was in the block's opening.
    Opening(String),
    Came,
}

impl Stream {
    /// `id`: unique per answer, only its letters and digits are used; `created`: Unix seconds.
    pub fn new(context: &Context, id: &str, created: u64) -> Self {
        Self {
            lines: Lines::default(),
            state: State {
                id: id.to_owned(),
                created,
                model: context.model.clone(),
                include_usage: context.include_usage,
                out: Vec::new(),
                figures: Figures::default(),
                started: false,
                calls: 0,
                images: 0,
                call: None,
                stopped: None,
                metered: false,
                failure: None,
                closed: false,
            },
        }
    }

    /// Takes the next bytes of Anthropic's stream and returns the bytes to send, often none.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(UnusableAnswer::Unreadable);
        }
        self.state.take()
    }

    /// Ends the stream after Anthropic's has ended or broken off, and returns the last bytes.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            self.state.end();
        }
        self.state.take()
    }

    /// The last event was written; nothing follows.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// The stop reason is known, so [`Self::finish`] will not write an error.
    pub fn is_whole(&self) -> bool {
        self.state.closed || self.state.stopped.is_some()
    }

    /// The usage came with or after the stop reason, so it covers the whole answer.
    pub fn is_metered(&self) -> bool {
        self.state.metered
    }

    /// The error that ended the stream.
    pub fn failure(&self) -> Option<&UnusableAnswer> {
        self.state.failure.as_ref()
    }
}

impl State {
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }

    fn event(&mut self, data: &[u8]) {
        if self.closed {
            return;
        }
        let data = mended(data);
        let Ok(event) = Object::parse(&data) else {
            self.fail(UnusableAnswer::Unreadable);
            return;
        };
        let kind: Text<'_> = event.get("type").unwrap_or_default();
        match &*kind {
            "message_start" => self.start(&event),
            "content_block_start" => self.block(&event),
            "content_block_delta" => self.delta(&event),
            "content_block_stop" => self.end_call(),
            "message_delta" => {
                let delta: Option<Object<'_>> = event.get("delta");
                let reason: Option<Text<'_>> = delta.and_then(|delta| delta.get("stop_reason"));
                if let Some(reason) = reason {
                    self.stopped = Some(finish(&reason));
                }
                if let Some(usage) = event.get("usage") {
                    self.figures.take(&usage);
                    self.metered |= self.stopped.is_some();
                }
            }
            "message_stop" => self.end(),
            "error" => self.fail(UnusableAnswer::read(&event).unwrap_or(UnusableAnswer::Unreadable)),
            // A comment, which all clients skip: the protocol has no ping.
            "ping" => self.out.extend_from_slice(b": ping\n\n"),
            // Event types newer than this code.
            _ => {}
        }
    }

    fn start(&mut self, event: &Object<'_>) {
        let message: Option<Object<'_>> = event.get("message");
        if let Some(message) = &message {
            if let Some(usage) = message.get("usage") {
                self.figures.take(&usage);
            }
            if let Some(model) = message.get::<Text<'_>>("model") {
                self.model = model.0.into_owned();
            }
        }
        self.open();
    }

    /// Sends the chunk with the role.
    fn open(&mut self) {
        if !self.started {
            self.started = true;
            let delta = Json::map([
                ("role", Json::text("assistant")),
                ("content", Json::text("")),
                ("refusal", Json::Null),
            ]);
            self.chunk(delta, None);
        }
    }

    fn block(&mut self, event: &Object<'_>) {
        self.end_call();
        let block: Option<Object<'_>> = event.get("content_block");
        let Some(block) = block else { return };
        let text = |key| block.get::<Text<'_>>(key).unwrap_or_default();
        match &*text("type") {
            "text" => self.push_delta("content", &text("text")),
            "thinking" => self.push_delta("reasoning_content", &text("thinking")),
            "tool_use" => {
                self.open();
                let function = Json::map([("name", text("name").into()), ("arguments", Json::text(""))]);
                let call = Json::map([
                    ("index", Json::Number(self.calls.into())),
                    ("id", text("id").into()),
                    ("type", Json::text("function")),
                    ("function", function),
                ]);
                self.calls += 1;
                let input = block.raw("input").map_or("{}", |input| input.get());
                self.call = Some(Input::Opening(input.to_owned()));
                self.chunk(Json::map([("tool_calls", Json::List(vec![call]))]), None);
            }
            "image" => {
                if let Some(image) = image(&block, self.images) {
                    self.open();
                    self.images += 1;
                    self.chunk(Json::map([("images", Json::List(vec![image]))]), None);
                }
            }
            _ => {}
        }
    }

    fn delta(&mut self, event: &Object<'_>) {
        let delta: Option<Object<'_>> = event.get("delta");
        let Some(delta) = delta else { return };
        let text = |key| delta.get::<Text<'_>>(key).unwrap_or_default();
        match &*text("type") {
            "text_delta" => self.push_delta("content", &text("text")),
            "thinking_delta" => self.push_delta("reasoning_content", &text("thinking")),
            "input_json_delta" => {
                let part = text("partial_json");
                if !part.is_empty() && self.call.is_some() {
                    self.call = Some(Input::Came);
                    self.arguments(&part);
                }
            }
            _ => {}
        }
    }

    fn push_delta(&mut self, member: &'static str, words: &str) {
        if !words.is_empty() {
            self.open();
            self.chunk(Json::map([(member, Json::text(words))]), None);
        }
    }

    /// A call without arguments has no deltas, but clients expect JSON.
    fn end_call(&mut self) {
        if let Some(Input::Opening(input)) = self.call.take() {
            self.arguments(&input);
        }
    }

    fn arguments(&mut self, part: &str) {
        let function = Json::map([("arguments", Json::text(part))]);
        let call = Json::map([
            ("index", Json::Number(self.calls.saturating_sub(1).into())),
            ("function", function),
        ]);
        self.chunk(Json::map([("tool_calls", Json::List(vec![call]))]), None);
    }

    fn end(&mut self) {
        if self.closed {
            return;
        }
        let Some(reason) = self.stopped else {
            self.fail(UnusableAnswer::Unfinished);
            return;
        };
        self.end_call();
        self.open();
        self.chunk(Json::Map(Vec::new()), Some(reason));
        if self.include_usage {
            let mut last = head("chat.completion.chunk", &self.id, self.created, &self.model);
            last.put("choices", Json::List(Vec::new()));
            last.put("usage", self.figures.to_json());
            let last = last.to_bytes();
            self.write(&last);
        }
        self.write(b"[DONE]");
        self.closed = true;
    }

    fn chunk(&mut self, delta: Json<'_>, finish: Option<&'static str>) {
        let mut chunk = head("chat.completion.chunk", &self.id, self.created, &self.model);
        chunk.put("choices", choice("delta", delta, finish));
        if self.include_usage {
            chunk.put("usage", Json::Null);
        }
        let chunk = chunk.to_bytes();
        self.write(&chunk);
    }

    fn fail(&mut self, failure: UnusableAnswer) {
        if !self.closed {
            self.closed = true;
            let (kind, message) = failure.type_and_message();
            let error = error::error_json(kind, message);
            self.write(&error);
            self.failure = Some(failure);
        }
    }

    fn write(&mut self, data: &[u8]) {
        for piece in [b"data: ", data, b"\n\n"] {
            self.out.extend_from_slice(piece);
        }
    }
}
