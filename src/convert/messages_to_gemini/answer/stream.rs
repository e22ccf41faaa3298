//! A stream of Gemini's events as a stream of Anthropic's.
//!
//! Bytes in, bytes out, the same whatever the cuts. What comes out is always a valid stream: whole
//! messages, or one `error` event at its end. The end of the message waits for the end of the bytes,
//! because some hosts name a `finishReason` more than once, and the usage after it.

use bytes::Bytes;

use super::Chunk;
use super::compose::Composer;
use super::finish::{Finish, finish};
use super::message::{Events, Message};
use super::usage::{Figures, Usage, UsageReport};

use crate::convert::messages::error::written;
use crate::convert::messages_to_gemini::error::{ProviderError, Unusable};
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
    /// As the provider says; else the one asked for.
    model: String,
    composer: Composer,
    events: Events,
    figures: Figures,
    started: bool,
    finish: Option<Finish>,
    /// Usage was named with the reason to stop or after it. Figures named earlier are of a part of the answer.
    metered: bool,
    failure: Option<Unusable>,
    closed: bool,
}

impl Stream {
    /// `id`: of this answer, unlike any other's; only its letters and digits are used.
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

    /// The next bytes of Gemini's stream; returns what they make of Anthropic's, often nothing.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        if !self.state.closed {
            let fed = self.lines.feed(chunk, |data| self.state.chunk(data));
            if fed.is_err() {
                self.state.fail(Unusable::Unreadable);
            }
        }
        self.state.events.take().into()
    }

    /// Gemini's stream is over, or broken off; returns the end of Anthropic's.
    pub fn finish(&mut self) -> Bytes {
        if !self.state.closed {
            self.lines.finish(|data| self.state.chunk(data));
            self.state.end();
        }
        self.state.events.take().into()
    }

    /// Ends Anthropic's stream with this error, for a reason of the caller's.
    pub fn abort(&mut self, kind: &str, message: &str) -> Bytes {
        self.state.close_with(&written(kind, message));
        self.state.events.take().into()
    }

    /// Gemini has said why the answer ended, so it is whole: [`Self::finish`] will not make an error.
    pub fn ended(&self) -> bool {
        matches!(self.state.finish, Some(Finish::Stop(_))) && self.state.failure.is_none()
    }

    /// Usage was named with the reason to stop or after it, so it is of the whole answer.
    pub fn is_metered(&self) -> bool {
        self.state.metered
    }

    /// The message is over, or an error has ended it: nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// What was used, as far as it has been named.
    pub fn usage(&self) -> Option<Usage> {
        self.state.figures.usage()
    }

    /// The model that answers.
    pub fn model(&self) -> &str {
        &self.state.model
    }

    /// Why the stream ended with an error event.
    pub fn failure(&self) -> Option<&Unusable> {
        self.state.failure.as_ref()
    }

    /// What the provider said of it.
    pub fn error(&self) -> Option<&ProviderError> {
        match &self.state.failure {
            Some(Unusable::Error(error)) => Some(error),
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
            // Errors also come in a list.
            let failure = ProviderError::read(data).map_or(Unusable::Unreadable, Unusable::Error);
            self.fail(failure);
            return;
        };
        if let Some(error) = chunk.error() {
            self.fail(Unusable::Error(error));
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
                // Parts may have come after the reason.
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
            Some(Finish::Failed(reason)) => self.fail(Unusable::Failed(reason)),
            None => self.fail(Unusable::Unfinished),
        }
    }

    fn fail(&mut self, failure: Unusable) {
        let (kind, message) = failure.told();
        if self.started && !self.closed {
            // What was said so far is the client's, searched for or not.
            self.composer.release(&mut self.events);
        }
        self.failure.get_or_insert(failure);
        self.close_with(&written(kind, &message));
    }

    fn close_with(&mut self, error: &[u8]) {
        if !self.closed {
            self.closed = true;
            self.events.error(error);
        }
    }
}
