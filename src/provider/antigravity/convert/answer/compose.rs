//! The parts of an answer as content blocks, one after the other, whatever way they come.
//!
//! Parts of one kind in a row are one block: a stream cuts them anywhere. Where Gemini had put its
//! signatures is written down by the terms of [`carry`], so that the request that gives the blocks back
//! gives back the same parts.

use serde_json::value::RawValue;

use super::{Call, Part};

use crate::provider::antigravity::convert::carry::{self, Mark, Owner};
use crate::provider::antigravity::convert::names::Names;
use crate::provider::antigravity::convert::request::Context;
use crate::provider::antigravity::convert::vendor::Model;

/// What happens to the message.
pub(super) enum Event<'e> {
    Start(Block<'e>),
    Text(&'e str),
    Thinking(&'e str),
    Signature(&'e str),
    Input(&'e str),
    Stop,
}

pub(super) enum Block<'e> {
    Text,
    Thinking,
    Redacted { data: &'e str },
    Call { id: &'e str, name: &'e str },
}

pub(super) trait Sink {
    fn event(&mut self, event: Event<'_>);
}

#[derive(Debug)]
pub(super) struct Composer {
    vendor: String,
    names: Names,
    seed: String,
    open: Open,
    /// Signatures on their way to the next place for some.
    pending: Vec<Mark>,
    /// Something was said or called.
    content: bool,
    texts: usize,
    calls: usize,
}

/// The block under way.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    None,
    Thinking,
    /// With so many bytes.
    Text(usize),
}

impl Composer {
    /// `seed`: letters and digits that no other answer has.
    pub(super) fn new(context: &Context, seed: String) -> Self {
        Self {
            vendor: Model::of(&context.model).vendor().to_owned(),
            names: context.names.clone(),
            seed,
            open: Open::None,
            pending: Vec::new(),
            content: false,
            texts: 0,
            calls: 0,
        }
    }

    pub(super) fn has_content(&self) -> bool {
        self.content
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    pub(super) fn part(&mut self, part: Part<'_>, sink: &mut impl Sink) {
        let signature = part.signature.map(|signature| signature.0.into_owned());
        if let Some(call) = part.call {
            self.call(&call, signature, sink);
        } else if part.thought {
            self.thought(&part.text.unwrap_or_default(), signature, sink);
        } else if let Some(kind) = part.media {
            // The protocol has no such block in an answer.
            self.text(&format!("[{}]", &*kind), signature, sink);
        } else {
            self.text(&part.text.unwrap_or_default(), signature, sink);
        }
    }

    /// Ends the block under way, the last.
    pub(super) fn end(&mut self, sink: &mut impl Sink) {
        self.close(sink);
    }

    fn thought(&mut self, text: &str, signature: Option<String>, sink: &mut impl Sink) {
        if self.open != Open::Thinking {
            if text.is_empty() && signature.is_none() {
                return;
            }
            self.close(sink);
            sink.event(Event::Start(Block::Thinking));
            self.open = Open::Thinking;
        }
        if !text.is_empty() {
            sink.event(Event::Thinking(text));
        }
        if signature.is_some() {
            self.mark(Owner::Thought, signature);
            self.close(sink);
        }
    }

    fn text(&mut self, text: &str, signature: Option<String>, sink: &mut impl Sink) {
        let start = match self.open {
            Open::Text(len) => len,
            Open::Thinking if text.is_empty() => {
                if signature.is_some() {
                    self.mark(Owner::Empty, signature);
                    self.close(sink);
                }
                return;
            }
            Open::None if text.is_empty() => return,
            Open::Thinking | Open::None => {
                self.texts += 1;
                0
            }
        };
        let owner = Owner::Text {
            block: self.texts - 1,
            start,
            len: text.len(),
        };
        // Before a thinking block closes, which takes it along.
        self.mark(owner, signature);
        if start == 0 && !matches!(self.open, Open::Text(_)) {
            self.close(sink);
            sink.event(Event::Start(Block::Text));
        }
        self.open = Open::Text(start + text.len());
        if !text.is_empty() {
            self.content = true;
            sink.event(Event::Text(text));
        }
    }

    fn call(&mut self, call: &Call<'_>, signature: Option<String>, sink: &mut impl Sink) {
        self.mark(Owner::Call(self.calls), signature);
        self.close(sink);
        if !self.pending.is_empty() {
            let data = &self.token();
            sink.event(Event::Start(Block::Redacted { data }));
            sink.event(Event::Stop);
        }
        let id = carry::call_id(&self.seed, self.calls, call.id.as_deref());
        self.calls += 1;
        self.content = true;
        sink.event(Event::Start(Block::Call {
            id: &id,
            name: self.names.restore(&call.name),
        }));
        let args = call.args.map_or("{}", RawValue::get);
        // `null` for a call without arguments.
        sink.event(Event::Input(if args.starts_with('{') { args } else { "{}" }));
        sink.event(Event::Stop);
    }

    fn mark(&mut self, owner: Owner, signature: Option<String>) {
        self.pending
            .extend(signature.map(|signature| Mark { owner, signature }));
    }

    fn token(&mut self) -> String {
        carry::token(&self.vendor, &std::mem::take(&mut self.pending))
    }

    /// Ends the block under way.
    fn close(&mut self, sink: &mut impl Sink) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::Thinking => {
                sink.event(Event::Signature(&self.token()));
                sink.event(Event::Stop);
            }
            Open::Text(_) => sink.event(Event::Stop),
            Open::None => {}
        }
    }
}
