//! A stream of Anthropic's events as a stream of OpenAI's chunks.
//!
//! Bytes in, bytes out, the same whatever the cuts. What comes out is always a valid stream: chunks that end
//! with a reason and `[DONE]`, or with one error, after which nothing comes.

use bytes::Bytes;

use super::usage::Figures;
use super::{choice, finish, head, image};

use crate::convert::chat_to_messages::error::{self, Unusable};
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
    /// As the provider says; else the one asked for.
    model: String,
    include_usage: bool,
    out: Vec<u8>,
    figures: Figures,
    started: bool,
    /// Calls begun.
    calls: u64,
    /// Images told.
    images: u64,
    /// The block under way is a call, of which this much of the input is still to be told.
    call: Option<Input>,
    stopped: Option<&'static str>,
    /// Usage was named with the reason to stop or after it. What the start named is of the prompt alone.
    metered: bool,
    failure: Option<Unusable>,
    closed: bool,
}

/// The input of a call.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    /// Nothing of it came; the block's opening had this.
    Opening(String),
    Came,
}

impl Stream {
    /// `id`: of this answer, unlike any other's, of which only letters and digits are used; `created`: seconds.
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

    /// The next bytes of Anthropic's stream; returns what they make of OpenAI's, often nothing.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(Unusable::Unreadable);
        }
        self.state.take()
    }

    /// Anthropic's stream is over, or broken off; returns the end of OpenAI's.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            self.state.end();
        }
        self.state.take()
    }

    /// The last event was written: nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// Why the answer ended is known, so that [`Self::finish`] will make no error.
    pub fn is_whole(&self) -> bool {
        self.state.closed || self.state.stopped.is_some()
    }

    /// Usage was named with the reason to stop or after it, so it is of the whole answer.
    pub fn is_metered(&self) -> bool {
        self.state.metered
    }

    /// Why the stream ended with an error.
    pub fn failure(&self) -> Option<&Unusable> {
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
            self.fail(Unusable::Unreadable);
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
            "error" => self.fail(Unusable::read(&event).unwrap_or(Unusable::Unreadable)),
            // A comment, which all clients skip: the protocol has no ping.
            "ping" => self.out.extend_from_slice(b": ping\n\n"),
            // What is yet to come.
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

    /// The chunk that says who speaks.
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
            "text" => self.say("content", &text("text")),
            "thinking" => self.say("reasoning_content", &text("thinking")),
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
            "text_delta" => self.say("content", &text("text")),
            "thinking_delta" => self.say("reasoning_content", &text("thinking")),
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

    fn say(&mut self, member: &'static str, words: &str) {
        if !words.is_empty() {
            self.open();
            self.chunk(Json::map([(member, Json::text(words))]), None);
        }
    }

    /// A call without arguments has no deltas, but its clients read JSON.
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
            self.fail(Unusable::Unfinished);
            return;
        };
        self.end_call();
        self.open();
        self.chunk(Json::Map(Vec::new()), Some(reason));
        if self.include_usage {
            let mut last = head("chat.completion.chunk", &self.id, self.created, &self.model);
            last.put("choices", Json::List(Vec::new()));
            last.put("usage", self.figures.told());
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

    fn fail(&mut self, failure: Unusable) {
        if !self.closed {
            self.closed = true;
            let (kind, message) = failure.told();
            let error = error::written(kind, message);
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
