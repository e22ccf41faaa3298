//! Converts a stream of Anthropic's events into a stream of OpenAI's.
//!
//! The output does not depend on how the input is cut. It is always a valid stream that ends with
//! `response.completed`, `response.incomplete` or `response.failed`.

use bytes::Bytes;

use super::compose::Composer;
use super::events::Events;
use super::status;
use super::usage::Figures;

use crate::convert::responses_to_messages::error::UnusableAnswer;
use crate::convert::responses_to_messages::request::Context;
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
    composer: Composer,
    events: Events,
    figures: Figures,
    started: bool,
    stopped: Option<String>,
    /// The usage came with or after the stop reason.
    metered: bool,
    failure: Option<UnusableAnswer>,
    /// The response, once it is complete.
    response: Option<Json<'static>>,
    closed: bool,
}

impl Stream {
    /// `id`: unique per answer, only its letters and digits are used; `created`: Unix seconds.
    pub fn new(context: &Context, id: &str, created: u64) -> Self {
        let seed: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        Self {
            lines: Lines::default(),
            state: State {
                id: format!("resp_{seed}"),
                created,
                model: context.model.clone(),
                composer: Composer::new(context, &seed),
                events: Events::default(),
                figures: Figures::default(),
                started: false,
                stopped: None,
                metered: false,
                failure: None,
                response: None,
                closed: false,
            },
        }
    }

    /// Takes the next bytes of Anthropic's stream and returns the bytes to send, often none.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(UnusableAnswer::Unreadable);
        }
        self.state.events.take().into()
    }

    /// Ends the stream after Anthropic's has ended or broken off, and returns the last bytes.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            self.state.end();
        }
        self.state.events.take().into()
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

    /// The response, once it is complete.
    pub fn response(&mut self) -> Option<Vec<u8>> {
        self.state.response.take().map(|response| response.to_bytes())
    }
}

impl State {
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
            "content_block_start" => {
                self.open();
                if let Some(block) = event.get("content_block") {
                    self.composer.start(&block, &mut self.events);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.get("delta") {
                    self.delta(&delta);
                }
            }
            "content_block_stop" => self.composer.stop(&mut self.events),
            "message_delta" => {
                let delta: Option<Object<'_>> = event.get("delta");
                let reason: Option<Text<'_>> = delta.and_then(|delta| delta.get("stop_reason"));
                if let Some(reason) = reason {
                    self.stopped = Some(reason.0.into_owned());
                }
                if let Some(usage) = event.get("usage") {
                    self.figures.take(&usage);
                    self.metered |= self.stopped.is_some();
                }
            }
            "message_stop" => self.end(),
            "error" => self.fail(UnusableAnswer::read(&event)),
            // Pings, which OpenAI does not have, and types newer than this code.
            _ => {}
        }
        if let Some(failure) = self.composer.failure() {
            self.fail(failure);
        }
    }

    fn start(&mut self, event: &Object<'_>) {
        let message: Option<Object<'_>> = event.get("message");
        if let Some(message) = &message {
            if let Some(usage) = message.get("usage") {
                self.figures.take(&usage);
            }
            let model: Option<Text<'_>> = message.get("model");
            if let Some(model) = model.filter(|model| !model.is_empty()) {
                self.model = model.0.into_owned();
            }
        }
        self.open();
    }

    fn open(&mut self) {
        if !self.started {
            self.started = true;
            let begun = self.response_json("in_progress", Vec::new(), Json::Null);
            self.events
                .write("response.created", [("response", begun.clone())]);
            self.events.write("response.in_progress", [("response", begun)]);
        }
    }

    fn delta(&mut self, delta: &Object<'_>) {
        let text = |key| delta.get::<Text<'_>>(key).unwrap_or_default();
        match &*text("type") {
            "text_delta" => self.composer.append_text(&text("text"), &mut self.events),
            "thinking_delta" => self.composer.append_text(&text("thinking"), &mut self.events),
            "signature_delta" => self.composer.sign(&text("signature")),
            "input_json_delta" => self.composer.input(&text("partial_json"), &mut self.events),
            "citations_delta" => {
                if let Some(citation) = delta.get("citation") {
                    self.composer.cite(&citation);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        if self.closed {
            return;
        }
        let Some(reason) = self.stopped.clone() else {
            self.fail(UnusableAnswer::Unfinished);
            return;
        };
        self.open();
        self.composer.stop(&mut self.events);
        if let Some(failure) = self.composer.failure() {
            self.fail(failure);
            return;
        }
        let (status, missing) = status(&reason);
        let items = std::mem::take(&mut self.composer.items);
        let mut response = self.response_json(status, items, self.figures.to_json());
        if let (Some(missing), Json::Map(members)) = (missing, &mut response)
            && let Some((_, details)) = members
                .iter_mut()
                .find(|(name, _)| &**name == "incomplete_details")
        {
            *details = Json::map([("reason", Json::text(missing))]);
        }
        let name = if missing.is_some() {
            "response.incomplete"
        } else {
            "response.completed"
        };
        self.events.write(name, [("response", response.clone())]);
        self.response = Some(response);
        self.closed = true;
    }

    fn fail(&mut self, failure: UnusableAnswer) {
        if !self.closed {
            self.closed = true;
            let (code, message) = failure.type_and_message();
            let mut response = self.response_json("failed", Vec::new(), Json::Null);
            if let Json::Map(members) = &mut response
                && let Some((_, error)) = members.iter_mut().find(|(name, _)| &**name == "error")
            {
                *error = Json::map([
                    ("code", Json::Text(code.to_owned().into())),
                    ("message", Json::Text(message.to_owned().into())),
                ]);
            }
            self.events.write("response.failed", [("response", response)]);
            self.failure = Some(failure);
        }
    }

    fn response_json(
        &self,
        status: &'static str,
        items: Vec<Json<'static>>,
        usage: Json<'static>,
    ) -> Json<'static> {
        Json::map([
            ("id", Json::Text(self.id.clone().into())),
            ("object", Json::text("response")),
            ("created_at", Json::Number(self.created.into())),
            ("status", Json::text(status)),
            ("error", Json::Null),
            ("incomplete_details", Json::Null),
            ("model", Json::Text(self.model.clone().into())),
            ("output", Json::List(items)),
            ("parallel_tool_calls", Json::Bool(true)),
            ("tool_choice", Json::text("auto")),
            ("tools", Json::List(Vec::new())),
            ("store", Json::Bool(false)),
            ("usage", usage),
        ])
    }
}
