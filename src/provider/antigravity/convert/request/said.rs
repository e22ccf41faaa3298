//! One assistant message as parts of the model's turn, each with the signature that Gemini gave it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::blocks::Block;
use super::gemini::{Call, Part};
use super::turns::Pending;

use crate::provider::antigravity::convert::carry::{self, Mark, Owner};
use crate::provider::antigravity::convert::error::Refused;

/// One assistant message.
#[derive(Default)]
pub(super) struct Said<'a> {
    blocks: Vec<Saying<'a>>,
    /// What blocks of ours carry, for parts that may come before or after.
    marks: Vec<Mark>,
    pub calls: Vec<Pending<'a>>,
}

enum Saying<'a> {
    Text(Cow<'a, str>),
    /// Of this number in the answer, if it was one of Gemini's.
    Call(Part<'a>, Option<usize>),
    Other(Part<'a>),
}

impl<'a> Said<'a> {
    pub(super) fn text(&mut self, text: Cow<'a, str>) {
        self.blocks.push(Saying::Text(text));
    }

    /// A thought goes back only with the signature over it: without, Gemini does not look at it.
    pub(super) fn carried(&mut self, block: &Block<'a>, vendor: &str) {
        let Some(token) = block.get("signature").or_else(|| block.get("data")) else {
            return;
        };
        let mut thought = block.get("thinking").unwrap_or_default().0;
        for mark in carry::read(&token, vendor).unwrap_or_default() {
            let signed = |text, thought| {
                Saying::Other(Part {
                    text: Some(text),
                    thought,
                    thought_signature: Some(mark.signature.clone().into()),
                    ..Part::default()
                })
            };
            match mark.owner {
                Owner::Thought => self.blocks.push(signed(std::mem::take(&mut thought), true)),
                Owner::Empty => self.blocks.push(signed(Cow::Borrowed(""), false)),
                Owner::Call(_) | Owner::Text { .. } => self.marks.push(mark),
            }
        }
    }

    pub(super) fn call(&mut self, (call, args): (Pending<'a>, &'a RawValue)) -> Result<(), Refused> {
        if self.calls.iter().any(|before| before.id == call.id) {
            return Err(call.twice());
        }
        let part = Part {
            function_call: Some(Call {
                id: call.gemini_id.clone(),
                name: call.name.clone(),
                args,
            }),
            ..Part::default()
        };
        let number = carry::read_id(&call.id).map(|(number, _)| number);
        self.blocks.push(Saying::Call(part, number));
        self.calls.push(call);
        Ok(())
    }

    /// The parts, with their signatures.
    pub(super) fn parts(&mut self) -> Vec<Part<'a>> {
        let mut parts = Vec::with_capacity(self.blocks.len());
        let mut texts = 0;
        for saying in self.blocks.drain(..) {
            match saying {
                Saying::Text(text) => {
                    split(text, texts, &self.marks, &mut parts);
                    texts += 1;
                }
                Saying::Call(mut part, number) => {
                    let mut marks = self.marks.iter();
                    let mark =
                        marks.find(|mark| number.is_some_and(|number| mark.owner == Owner::Call(number)));
                    part.thought_signature = mark.map(|mark| mark.signature.clone().into());
                    parts.push(part);
                }
                Saying::Other(part) => parts.push(part),
            }
        }
        parts
    }
}

/// Cuts the text block of this number into the parts that Gemini had signed and what lay between. A
/// client may have trimmed it: what a mark says is held to what there is.
fn split<'a>(text: Cow<'a, str>, number: usize, marks: &[Mark], out: &mut Vec<Part<'a>>) {
    let mut at = 0;
    for mark in marks {
        let (start, len) = match mark.owner {
            Owner::Text { block, start, len } if block == number => (start, len),
            _ => continue,
        };
        let start = text.floor_char_boundary(start).max(at);
        let end = text.floor_char_boundary(start.saturating_add(len)).max(start);
        if start > at {
            out.push(Part::text(piece(&text, at, start)));
        }
        out.push(Part {
            text: Some(piece(&text, start, end)),
            thought_signature: Some(mark.signature.clone().into()),
            ..Part::default()
        });
        at = end;
    }
    if at < text.len() {
        out.push(Part::text(piece(&text, at, text.len())));
    }
}

fn piece<'a>(text: &Cow<'a, str>, start: usize, end: usize) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..end).unwrap_or_default().to_owned()),
    }
}
