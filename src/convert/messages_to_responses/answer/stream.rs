//! Converts a stream of OpenAI's events into a stream of Anthropic's.
//!
//! The output does not depend on how the input is cut. It is always a valid stream: a whole message, or one
//! `error` event as the last.

use bytes::Bytes;

use super::compose::Composer;
use super::events::Events;
use super::stop_reason;
use super::usage::Figures;

use crate::convert::messages::error::error_body;
use crate::convert::messages_to_responses::error::UnusableAnswer;
use crate::convert::messages_to_responses::request::Context;
use crate::dialect::body::mended;
use crate::dialect::wire::events::Lines;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) struct State {
    id: String,
    /// The provider's name for the model, or else the requested one.
    model: String,
    composer: Composer,
    events: Events,
    started: bool,
    closed: bool,
    failure: Option<UnusableAnswer>,
}

impl Stream {
    /// `id`: unique per answer; only its letters and digits are used.
    pub fn new(context: &Context, id: &str) -> Self {
        Self {
            lines: Lines::default(),
            state: State::new(context, id),
        }
    }

    /// Takes the next bytes of OpenAI's stream and returns the bytes to send, often none.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(UnusableAnswer::Unreadable);
        }
        self.state.events.take().into()
    }

    /// Ends the stream after OpenAI's has ended or broken off, and returns the last bytes.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            self.state.fail(UnusableAnswer::Unfinished);
        }
        self.state.events.take().into()
    }

    /// The message or an error ended the stream; nothing follows.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// The reason why the stream ended with an error event.
    pub fn failure(&self) -> Option<&UnusableAnswer> {
        self.state.failure.as_ref()
    }
}

impl State {
    pub(super) fn new(context: &Context, id: &str) -> Self {
        let seed: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        Self {
            id: format!("msg_{seed}"),
            model: context.model.clone(),
            composer: Composer::new(context),
            events: Events::default(),
            started: false,
            closed: false,
            failure: None,
        }
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.events.take()
    }

    pub(super) fn failed(&mut self) -> Option<UnusableAnswer> {
        self.failure.take()
    }

    fn event(&mut self, data: &[u8]) {
        // `[DONE]` belongs to Chat Completions, but some hosts send it here, too.
        if self.closed || data == b"[DONE]" {
            return;
        }
        let data = mended(data);
        let Ok(event) = Object::parse(&data) else {
            self.fail(UnusableAnswer::Unreadable);
            return;
        };
        let kind: Text<'_> = event.get("type").unwrap_or_default();
        let number = |name: &str| event.get::<u64>(name).unwrap_or_default();
        let item = number("output_index");
        let delta = || event.get::<Text<'_>>("delta").unwrap_or_default();
        let out = &mut self.events;
        match &*kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(response) = event.get("response") {
                    self.start(&response);
                }
            }
            "response.completed" | "response.incomplete" => match event.get("response") {
                Some(response) => self.end(&response),
                None => self.fail(UnusableAnswer::Unreadable),
            },
            "response.failed" | "response.cancelled" => {
                let response: Option<Object<'_>> = event.get("response");
                self.fail(UnusableAnswer::read(response.as_ref().unwrap_or(&event)));
            }
            "error" => self.fail(UnusableAnswer::read(&event)),
            "response.output_item.added" => {
                if let Some(begun) = event.get("item") {
                    self.open();
                    self.composer.begin(item, &begun, &mut self.events);
                }
            }
            "response.output_item.done" => {
                if let Some(done) = event.raw("item") {
                    self.open();
                    self.composer.done(item, done.get(), &mut self.events);
                }
            }
            "response.output_text.delta" => {
                self.open();
                self.composer
                    .text(item, number("content_index"), &delta(), &mut self.events);
            }
            "response.refusal.delta" => {
                self.open();
                self.composer
                    .refusal(item, number("content_index"), &delta(), &mut self.events);
            }
            "response.reasoning_summary_part.added" => self.composer.next_thought(item),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.open();
                self.composer.thought(item, &delta(), &mut self.events);
            }
            "response.function_call_arguments.delta" => {
                self.composer.arguments(item, &delta(), out);
            }
            // Gateways send errors without a type.
            "" if event.raw("error").is_some() => self.fail(UnusableAnswer::read(&event)),
            // Events that repeat others, and types newer than this code.
            _ => {}
        }
        if let Some(failure) = self.composer.failure() {
            self.fail(failure);
        }
    }

    pub(super) fn start(&mut self, response: &Object<'_>) {
        if !self.started {
            let model: Option<Text<'_>> = response.get("model");
            if let Some(model) = model.filter(|model| !model.is_empty()) {
                self.model = model.0.into_owned();
            }
            self.open();
        }
    }

    fn open(&mut self) {
        if !self.started {
            self.started = true;
            self.events.message_start(&self.id, &self.model);
        }
    }

    /// Ends the response.
    pub(super) fn end(&mut self, response: &Object<'_>) {
        let status: Text<'_> = response.get("status").unwrap_or_default();
        if matches!(&*status, "failed" | "cancelled") {
            self.fail(UnusableAnswer::read(response));
            return;
        }
        self.start(response);
        self.composer.end(&mut self.events);
        // Some hosts send the items only here.
        if !self.composer.has_items() {
            let items: List<'_> = response.get("output").unwrap_or_default();
            for (number, item) in items.into_iter().enumerate() {
                self.composer.done(number as u64, item.get(), &mut self.events);
            }
        }
        if let Some(failure) = self.composer.failure() {
            self.fail(failure);
            return;
        }
        let usage: Option<Object<'_>> = response.get("usage");
        let figures = usage.map(|usage| Figures::of(&usage)).unwrap_or_default();
        let reason = stop_reason(response, self.composer.has_calls(), self.composer.has_refused());
        self.events.message_end(reason, figures);
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
