//! Converts a stream of Gemini's events into a stream of Anthropic's.
//!
//! The output does not depend on how the input is cut. It is always a valid stream: a whole message, or one
//! `error` event as the last. The message ends only when the input ends, because some hosts send `finishReason`
//! more than once, and the usage after it.

use bytes::Bytes;

use super::Chunk;
use super::compose::Composer;
use super::finish::{Finish, finish};
use super::message::{Events, Message};
use super::usage::{Figures, Usage, UsageReport};

use crate::convert::messages::error::error_body;
use crate::convert::messages_to_gemini::error::{ProviderError, UnusableAnswer};
use crate::convert::messages_to_gemini::request::Context;
use crate::dialect::body::mended;
use crate::dialect::wire::events::Lines;

#[derive(Debug)]
pub struct Stream {
    lines: Lines,
    state: State,
}

#[derive(Debug)]
struct State {
    id: String,
    /// The provider's name for the model, or else the requested one.
    model: String,
    composer: Composer,
    events: Events,
    figures: Figures,
    started: bool,
    finish: Option<Finish>,
    /// The usage came with or after the finish reason. Earlier figures cover only a part of the answer.
    metered: bool,
    failure: Option<UnusableAnswer>,
    closed: bool,
}

impl Stream {
    /// `id`: unique per answer; only its letters and digits are used.
    pub fn new(context: &Context, id: &str) -> Self {
        let seed = super::whole::seed(id);
        Self {
            lines: Lines::default(),
            state: State {
                id: super::whole::message_id(&seed),
                model: context.model.clone(),
                composer: Composer::new(context, seed),
                events: Events::default(),
                figures: Figures::default(),
                started: false,
                finish: None,
                metered: false,
                failure: None,
                closed: false,
            },
        }
    }

    /// Takes the next bytes of Gemini's stream and returns the bytes to send, often none.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed {
            let fed = self.lines.feed(chunk, |data| self.state.chunk(data));
            if fed.is_err() {
                self.state.fail(UnusableAnswer::Unreadable);
            }
        }
        self.state.events.take().into()
    }

    /// Ends the stream after Gemini's has ended or broken off, and returns the last bytes.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.chunk(data));
            self.state.end();
        }
        self.state.events.take().into()
    }

    /// Ends the stream with this error, for a reason outside of the stream.
    pub fn abort(&mut self, kind: &str, message: &str) -> Bytes {
        self.state.close_with(&error_body(kind, message));
        self.state.events.take().into()
    }

    /// Gemini sent a finish reason: [`Self::finish`] will not write an error.
    pub fn ended(&self) -> bool {
        matches!(self.state.finish, Some(Finish::Stop(_))) && self.state.failure.is_none()
    }

    /// The usage came with or after the finish reason, so it covers the whole answer.
    pub fn is_metered(&self) -> bool {
        self.state.metered
    }

    /// The message or an error ended the stream; nothing follows.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// The usage known so far.
    pub fn usage(&self) -> Option<Usage> {
        self.state.figures.usage()
    }

    /// The answering model.
    pub fn model(&self) -> &str {
        &self.state.model
    }

    /// The reason why the stream ended with an error event.
    pub fn failure(&self) -> Option<&UnusableAnswer> {
        self.state.failure.as_ref()
    }

    /// The provider's error, if it sent one.
    pub fn error(&self) -> Option<&ProviderError> {
        match &self.state.failure {
            Some(UnusableAnswer::Error(error)) => Some(error),
            _ => None,
        }
    }
}

impl State {
    fn chunk(&mut self, data: &[u8]) {
        if self.closed || data == b"[DONE]" {
            return;
        }
        let data = mended(data);
        let data = std::str::from_utf8(&data).unwrap_or_default();
        let Some(chunk) = Chunk::read(data) else {
            // Some endpoints wrap errors in a list.
            let failure = ProviderError::read(data).map_or(UnusableAnswer::Unreadable, UnusableAnswer::Error);
            self.fail(failure);
            return;
        };
        if let Some(error) = chunk.error() {
            self.fail(UnusableAnswer::Error(error));
            return;
        }
        let figures = chunk.figures();
        self.figures.take(figures);
        let measured = figures.usage().is_some();
        if !chunk.is_answer() {
            self.metered |= measured && self.finish.is_some();
            return;
        }
        if !self.started {
            self.started = true;
            if let Some(model) = chunk.model() {
                self.model = model;
            }
            let usage = self.figures.usage().unwrap_or_default().into();
            self.events
                .message_start(Message::new(&self.id, &self.model, usage));
        }
        for part in chunk.parts() {
            self.composer.part(part, &mut self.events);
        }
        if let Some(grounding) = chunk.grounding() {
            self.composer.grounded(grounding);
        }
        if let Some(failure) = self.composer.failure() {
            self.fail(failure);
            return;
        }
        if let Some(reason) = chunk.finish_reason() {
            let content = self.composer.has_content();
            self.finish = Some(finish(&reason, content, self.composer.has_calls()));
        } else if chunk.block_reason().is_some() {
            self.finish = Some(Finish::Stop("refusal"));
        }
        self.metered |= measured && self.finish.is_some();
    }

    fn end(&mut self) {
        if self.closed {
            return;
        }
        match self.finish.take() {
            Some(Finish::Stop(reason)) => {
                self.composer.end(&mut self.events);
                if let Some(failure) = self.composer.failure() {
                    self.fail(failure);
                    return;
                }
                // Parts may follow the finish reason.
                let reason = match reason {
                    "end_turn" if self.composer.has_calls() => "tool_use",
                    reason => reason,
                };
                let usage = UsageReport::from(self.figures.usage().unwrap_or_default());
                let usage = usage.searched(self.composer.searches());
                self.events.message_end(reason, usage);
                self.finish = Some(Finish::Stop(reason));
                self.closed = true;
            }
            Some(Finish::Failed(reason)) => self.fail(UnusableAnswer::Failed(reason)),
            None => self.fail(UnusableAnswer::Unfinished),
        }
    }

    fn fail(&mut self, failure: UnusableAnswer) {
        let (kind, message) = failure.type_and_message();
        if self.started && !self.closed {
            // The client gets the held text also if the answer fails.
            self.composer.release(&mut self.events);
        }
        self.failure.get_or_insert(failure);
        self.close_with(&error_body(kind, &message));
    }

    fn close_with(&mut self, error: &[u8]) {
        if !self.closed {
            self.closed = true;
            self.events.error(error);
        }
    }
}
