//! Converts answers of Chat Completions into Anthropic messages, whole or streamed. Both use the same state machine,
//! so they cannot differ: a whole completion is read as one chunk.
//!
//! Blocks are forwarded piece by piece. Hosts send calls one after the other; a piece of an earlier call after a later
//! one ends the answer with an error.

use bytes::Bytes;

use crate::convert::messages::error::error_body;
use crate::convert::messages_to_responses::Context;
use crate::convert::messages_to_responses::{Events, Figures, UnusableAnswer};
use crate::dialect::answer::is_object;
use crate::dialect::body::mended;
use crate::dialect::wire::events::Lines;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks::{self, CHAT, REASONING};
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The most reasoning that is held back, bytes.
const MOST_HIDDEN: usize = 16 << 20;

/// Converts a stream of chunks into a stream of Anthropic's events. The input may be split at any byte. The output is
/// always a valid stream: a whole message, or one that ends with an `error` event.
#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    state: State,
}

#[derive(Debug)]
struct State {
    id: String,
    /// The model named by the host, or the requested one.
    model: String,
    context: Context,
    events: Events,
    open: Open,
    /// The field of the reasoning.
    field: &'static str,
    /// Reasoning held back from a client that did not ask for thinking. It is sent only before a call, because the
    /// conversation needs it to continue.
    hidden: String,
    calls: usize,
    refused: bool,
    /// The finish reason, once it is known.
    reason: Option<String>,
    figures: Figures,
    started: bool,
    closed: bool,
    failure: Option<UnusableAnswer>,
}

/// The open block.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    No,
    Thinking,
    Text,
    Call {
        /// The host's index.
        number: u64,
        /// The host's id.
        id: String,
        /// Some of its arguments were sent.
        has_arguments: bool,
    },
}

impl Stream {
    /// `id` identifies this answer and must be unique; only its letters and digits are used.
    pub fn new(context: &Context, id: &str) -> Self {
        Self {
            lines: Lines::default(),
            state: State::new(context, id),
        }
    }

    /// Adds the next bytes of the host's stream. Returns the bytes of Anthropic's stream, often none.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(UnusableAnswer::Unreadable);
        }
        self.state.events.take().into()
    }

    /// Called when the host's stream has ended or broken off. Returns the end of Anthropic's stream.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            // Not every host sends `[DONE]`, but all send a finish reason.
            if self.state.reason.is_some() {
                self.state.end();
            } else {
                self.state.fail(UnusableAnswer::Unfinished);
            }
        }
        self.state.events.take().into()
    }

    /// The message is complete or has failed; no more events follow.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// The failure, if the stream ended with an error event.
    pub fn failure(&self) -> Option<&UnusableAnswer> {
        self.state.failure.as_ref()
    }
}

/// Converts a whole answer, which may also be an unrequested stream, into events. `id`: see [`Stream::new`].
pub fn events(body: &[u8], context: &Context, id: &str) -> Result<Vec<u8>, UnusableAnswer> {
    if !is_object(body) {
        let mut stream = Stream::new(context, id);
        let mut events = stream.feed(body).to_vec();
        events.extend_from_slice(&stream.finish());
        return match stream.failure() {
            Some(failure) => Err(failure.clone()),
            None => Ok(events),
        };
    }
    let body = mended(body);
    let completion = Object::parse(&body).map_err(|_| UnusableAnswer::Unreadable)?;
    if completion.raw("error").is_none() && completion.raw("choices").is_none() {
        return Err(UnusableAnswer::Unreadable);
    }
    let mut state = State::new(context, id);
    state.chunk(&completion);
    if !state.closed {
        state.end();
    }
    match state.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(state.events.take()),
    }
}

impl State {
    fn new(context: &Context, id: &str) -> Self {
        let seed: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        Self {
            id: format!("msg_{seed}"),
            model: context.model.clone(),
            context: context.clone(),
            events: Events::default(),
            open: Open::No,
            field: "reasoning_content",
            hidden: String::new(),
            calls: 0,
            refused: false,
            reason: None,
            figures: Figures::default(),
            started: false,
            closed: false,
            failure: None,
        }
    }

    fn event(&mut self, data: &[u8]) {
        if self.closed {
            return;
        }
        if data == b"[DONE]" {
            self.end();
            return;
        }
        let data = mended(data);
        match Object::parse(&data) {
            Ok(chunk) => self.chunk(&chunk),
            Err(_) => self.fail(UnusableAnswer::Unreadable),
        }
    }

    fn chunk(&mut self, chunk: &Object<'_>) {
        if chunk.raw("error").is_some() {
            self.fail(UnusableAnswer::read(chunk));
            return;
        }
        let model: Option<Text<'_>> = chunk.get("model");
        if let Some(model) = model.filter(|model| !self.started && !model.is_empty()) {
            self.model = model.0.into_owned();
        }
        let choices: List<'_> = chunk.get("choices").unwrap_or_default();
        let choice = choices
            .into_iter()
            .next()
            .and_then(|choice| Object::of(choice.get()));
        let usage = chunk.get("usage");
        // Kimi sends it within the choice.
        let usage: Option<Object<'_>> = usage.or_else(|| choice.as_ref()?.get("usage"));
        if let Some(usage) = usage {
            self.figures = Figures::of_chat(&usage);
        }
        let Some(choice) = choice else { return };
        let message: Option<Object<'_>> = choice.get("delta").or_else(|| choice.get("message"));
        if let Some(message) = message {
            self.message(&message);
        }
        let reason: Option<Text<'_>> = choice.get("finish_reason");
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.reason = Some(reason.0.into_owned());
        }
    }

    /// Adds a piece of the message, or the whole message.
    fn message(&mut self, message: &Object<'_>) {
        self.start();
        // Some hosts send the same text in both fields.
        let thought = REASONING.into_iter().find_map(|field| {
            let text: Text<'_> = message.get(field)?;
            (!text.is_empty()).then_some((field, text))
        });
        if let Some((field, text)) = thought {
            self.thought(field, &text);
        }
        if let Some(content) = message.raw("content") {
            self.content(content.get());
        }
        let refusal: Text<'_> = message.get("refusal").unwrap_or_default();
        self.refused |= !refusal.is_empty();
        self.text(&refusal);
        let calls: List<'_> = message.get("tool_calls").unwrap_or_default();
        for (place, call) in calls.into_iter().enumerate() {
            if let Some(call) = Object::of(call.get()) {
                self.call(place as u64, &call);
            }
        }
    }

    fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.events.message_start(&self.id, &self.model);
        }
    }

    fn thought(&mut self, field: &'static str, text: &str) {
        self.field = field;
        if !self.context.thinking {
            if self.hidden.len() + text.len() > MOST_HIDDEN {
                self.fail(UnusableAnswer::TooLarge);
                return;
            }
            self.hidden.push_str(text);
            return;
        }
        if self.open != Open::Thinking {
            self.close();
            self.events.block_start(Json::map([
                ("type", Json::text("thinking")),
                ("thinking", Json::text("")),
                ("signature", Json::text("")),
            ]));
            self.open = Open::Thinking;
        }
        self.events.delta("thinking_delta", "thinking", text);
    }

    /// Adds a text, or the texts among parts.
    fn content(&mut self, content: &str) {
        if content.starts_with('[') {
            let parts: List<'_> = serde_json::from_str(content).unwrap_or_default();
            for part in parts.into_iter().filter_map(|part| Object::of(part.get())) {
                let text: Text<'_> = part.get("text").unwrap_or_default();
                self.text(&text);
            }
        } else if let Ok(text) = serde_json::from_str::<Text<'_>>(content) {
            self.text(&text);
        }
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open != Open::Text {
            self.close();
            let block = Json::map([("type", Json::text("text")), ("text", Json::text(""))]);
            self.events.block_start(block);
            self.open = Open::Text;
        }
        self.events.delta("text_delta", "text", text);
    }

    /// Adds a piece of a call. `place` is its index in the list, for hosts that send no `index`.
    fn call(&mut self, place: u64, call: &Object<'_>) {
        let number = call.get("index").unwrap_or(place);
        let id: Text<'_> = call.get("id").unwrap_or_default();
        let function: Option<Object<'_>> = call.get("function");
        let name: Text<'_> = function
            .as_ref()
            .and_then(|function| function.get("name"))
            .unwrap_or_default();
        // Some hosts send index 0 for every call, with different ids.
        let continues = matches!(&self.open, Open::Call { number: open, id: known, .. }
            if *open == number && (id.is_empty() || *known == *id));
        if !continues {
            if name.is_empty() {
                self.fail(UnusableAnswer::Unreadable);
                return;
            }
            self.begin_call(number, &id, &name);
        }
        let Some(arguments) = function.as_ref().and_then(|function| function.raw("arguments")) else {
            return;
        };
        // Some hosts send an object instead of a text.
        let text: Text<'_> = match serde_json::from_str(arguments.get()) {
            Ok(text) => text,
            Err(_) => arguments.get().into(),
        };
        if text.is_empty() {
            return;
        }
        if let Open::Call { has_arguments, .. } = &mut self.open {
            *has_arguments = true;
        }
        self.events.delta("input_json_delta", "partial_json", &text);
    }

    fn begin_call(&mut self, number: u64, id: &str, name: &str) {
        self.close();
        if !self.hidden.is_empty() {
            let data = format!("{CHAT}{}:{}", self.field, self.hidden);
            self.hidden.clear();
            self.events.block_start(Json::map([
                ("type", Json::text("redacted_thinking")),
                ("data", Json::text(&data)),
            ]));
            self.events.block_stop();
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let own_id = if id.is_empty() {
            marks::shortened(&format!("{}:{}", self.id, self.calls))
        } else if id.len() <= 64 && id.bytes().all(plain) {
            id.to_owned()
        } else {
            marks::shortened(id)
        };
        self.calls += 1;
        self.events.block_start(Json::map([
            ("type", Json::text("tool_use")),
            ("id", Json::text(&own_id)),
            ("name", Json::text(self.context.names.restore(name))),
            ("input", Json::Map(Vec::new())),
        ]));
        self.open = Open::Call {
            number,
            id: id.to_owned(),
            has_arguments: false,
        };
    }

    /// Ends the open block.
    fn close(&mut self) {
        match std::mem::replace(&mut self.open, Open::No) {
            Open::No => return,
            Open::Thinking => {
                let signature = format!("{CHAT}{}", self.field);
                self.events.delta("signature_delta", "signature", &signature);
            }
            // Clients parse the arguments even if there are none.
            Open::Call {
                has_arguments: false, ..
            } => {
                self.events.delta("input_json_delta", "partial_json", "{}");
            }
            Open::Text | Open::Call { .. } => {}
        }
        self.events.block_stop();
    }

    /// Ends the answer.
    fn end(&mut self) {
        if self.closed {
            return;
        }
        let reason = self.reason.take().unwrap_or_default();
        match &*reason {
            // Failures of DeepSeek and GLM (their API references).
            "insufficient_system_resource" => {
                self.fail(UnusableAnswer::Error(
                    "server_is_overloaded".to_owned(),
                    String::new(),
                ));
                return;
            }
            "network_error" | "model_context_window_exceeded" | "error" => {
                self.fail(UnusableAnswer::Error(reason, String::new()));
                return;
            }
            _ => {}
        }
        self.start();
        self.close();
        let stop_reason = match &*reason {
            "length" => "max_tokens",
            "content_filter" | "sensitive" => "refusal",
            _ if self.calls > 0 => "tool_use",
            _ if self.refused => "refusal",
            _ => "end_turn",
        };
        self.events.message_end(stop_reason, self.figures);
        self.closed = true;
    }

    fn fail(&mut self, failure: UnusableAnswer) {
        if !self.closed {
            self.closed = true;
            let (kind, message) = failure.type_and_message();
            self.events.error(&error_body(kind, &message));
            self.failure = Some(failure);
        }
    }
}
