//! A stream of OpenAI's events as a stream of Anthropic's.
//!
//! Bytes in, bytes out, the same whatever the cuts. What comes out is always a valid stream: a whole message, or one
//! `error` event at its end.

use bytes::Bytes;

use super::compose::Composer;
use super::events::Events;
use super::stop_reason;
use super::usage::Figures;

use crate::convert::messages::error::written;
use crate::convert::messages_to_responses::error::Unusable;
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
    /// As the provider says; else the one asked for.
    model: String,
    composer: Composer,
    events: Events,
    started: bool,
    closed: bool,
    failure: Option<Unusable>,
}

impl Stream {
    /// `id`: of this answer, unlike any other's; only its letters and digits are used.
    pub fn new(context: &Context, id: &str) -> Self {
        Self {
            lines: Lines::default(),
            state: State::new(context, id),
        }
    }

    /// The next bytes of OpenAI's stream; returns what they make of Anthropic's, often nothing.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed && self.lines.feed(chunk, |data| self.state.event(data)).is_err() {
            self.state.fail(Unusable::Unreadable);
        }
        self.state.events.take().into()
    }

    /// OpenAI's stream is over, or broken off; returns the end of Anthropic's.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.event(data));
            self.state.fail(Unusable::Unfinished);
        }
        self.state.events.take().into()
    }

    /// The message is over, or an error has ended it: nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// Why the stream ended with an error event.
    pub fn failure(&self) -> Option<&Unusable> {
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

    pub(super) fn failed(&mut self) -> Option<Unusable> {
        self.failure.take()
    }

    fn event(&mut self, data: &[u8]) {
        // The mark that ends streams of OpenAI's other protocol, which some hosts send here, too.
        if self.closed || data == b"[DONE]" {
            return;
        }
        let data = mended(data);
        let Ok(event) = Object::parse(&data) else {
            self.fail(Unusable::Unreadable);
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
                None => self.fail(Unusable::Unreadable),
            },
            "response.failed" | "response.cancelled" => {
                let response: Option<Object<'_>> = event.get("response");
                self.fail(Unusable::read(response.as_ref().unwrap_or(&event)));
            }
            "error" => self.fail(Unusable::read(&event)),
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
            // An error without a type, as gateways have it.
            "" if event.raw("error").is_some() => self.fail(Unusable::read(&event)),
            // What repeats others, or is yet to come.
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

    /// The response is whole.
    pub(super) fn end(&mut self, response: &Object<'_>) {
        let status: Text<'_> = response.get("status").unwrap_or_default();
        if matches!(&*status, "failed" | "cancelled") {
            self.fail(Unusable::read(response));
            return;
        }
        self.start(response);
        self.composer.end(&mut self.events);
        // Some hosts tell the items here only.
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

    fn fail(&mut self, failure: Unusable) {
        if !self.closed {
            self.closed = true;
            let (kind, message) = failure.told();
            self.events.error(&written(kind, &message));
            self.failure = Some(failure);
        }
    }
}
