//! One assistant message as parts of the model's turn, each with the signature that Gemini gave it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::gemini::{Call, Part};
use super::pending::Pending;

use crate::convert::messages::blocks::Block;
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::carry::{self, Owner};
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::text::Text;

/// One assistant message.
#[derive(Default)]
pub(super) struct Said<'a> {
    blocks: Vec<Saying<'a>>,
    /// Signatures that blocks of ours carry for calls, which may come before or after. Each goes to one call:
    /// no answer has two of one number.
    signed_calls: HashMap<usize, String>,
    /// The same for texts, by the number of the block.
    signed_texts: HashMap<usize, Vec<Signed>>,
    /// The calls, and the ids they have.
    pub calls: Vec<Pending<'a>>,
    ids: HashSet<Text<'a>>,
}

/// A part of a text that Gemini had signed.
struct Signed {
    start: usize,
    len: usize,
    signature: String,
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

    /// A part of another kind.
    pub(super) fn part(&mut self, part: Part<'a>) {
        self.blocks.push(Saying::Other(part));
    }

    /// A thought goes back only with the signature over it: without, Gemini does not look at it.
    pub(super) fn carried(
        &mut self,
        block: &Block<'a>,
        vendor: &str,
        budget: &Budget,
    ) -> Result<(), Refused> {
        let Some(token) = block.get("signature").or_else(|| block.get("data")) else {
            return Ok(());
        };
        let mut thought = block.get("thinking").unwrap_or_default().0;
        for mark in carry::read(&token, vendor).unwrap_or_default() {
            budget.value(mark.signature.len())?;
            let signature = mark.signature;
            let signed = |text, thought| {
                Saying::Other(Part {
                    text: Some(text),
                    thought,
                    thought_signature: Some(signature.clone().into()),
                    ..Part::default()
                })
            };
            match mark.owner {
                Owner::Thought => self.blocks.push(signed(std::mem::take(&mut thought), true)),
                Owner::Empty => self.blocks.push(signed(Cow::Borrowed(""), false)),
                Owner::Call(number) => {
                    self.signed_calls.entry(number).or_insert(signature);
                }
                Owner::Text { block, start, len } => {
                    self.signed_texts.entry(block).or_default().push(Signed {
                        start,
                        len,
                        signature,
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn call(&mut self, (call, args): (Pending<'a>, &'a RawValue)) -> Result<(), Refused> {
        if !self.ids.insert(call.id.clone()) {
            return Err(call.twice());
        }
        let part = Part {
            function_call: Some(Box::new(Call {
                id: call.gemini_id.clone(),
                name: call.name.clone(),
                args,
            })),
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
                    split(text, self.signed_texts.remove(&texts), &mut parts);
                    texts += 1;
                }
                Saying::Call(mut part, number) => {
                    let signature = number.and_then(|number| self.signed_calls.remove(&number));
                    part.thought_signature = signature.map(Cow::Owned);
                    parts.push(part);
                }
                Saying::Other(part) => parts.push(part),
            }
        }
        parts
    }
}

/// Cuts a text block into the parts that Gemini had signed and what lay between. A client may have trimmed it:
/// what a mark says is held to what there is.
fn split<'a>(text: Cow<'a, str>, signed: Option<Vec<Signed>>, out: &mut Vec<Part<'a>>) {
    let mut at = 0;
    for Signed {
        start,
        len,
        signature,
    } in signed.into_iter().flatten()
    {
        let start = text.floor_char_boundary(start).max(at);
        let end = text.floor_char_boundary(start.saturating_add(len)).max(start);
        if start > at {
            out.push(Part::text(piece(&text, at, start)));
        }
        out.push(Part {
            text: Some(piece(&text, start, end)),
            thought_signature: Some(signature.into()),
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
