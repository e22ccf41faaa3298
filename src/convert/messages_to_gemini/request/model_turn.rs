//! Converts one assistant message into the parts of a model's turn, and restores Gemini's signatures.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::gemini::{Call, Part};
use super::pending::PendingCall;

use crate::convert::messages::blocks::Block;
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::carry::{self, Owner};
use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::text::Text;

/// One assistant message.
#[derive(Default)]
pub(super) struct ModelTurn<'a> {
    blocks: Vec<TurnBlock<'a>>,
    /// Signatures for calls, by the number of the call. The blocks that carry them may come before or after the
    /// call. Each is used once.
    signed_calls: HashMap<usize, String>,
    /// Signatures for texts, by the number of the block.
    signed_texts: HashMap<usize, Vec<SignedSection>>,
    /// The calls with their ids.
    pub calls: Vec<PendingCall<'a>>,
    ids: HashSet<Text<'a>>,
}

/// A signed section of a text.
struct SignedSection {
    start: usize,
    len: usize,
    signature: String,
}

enum TurnBlock<'a> {
    Text(Cow<'a, str>),
    /// A call and its number in Gemini's answer, if Gemini made it.
    Call(Part<'a>, Option<usize>),
    Other(Part<'a>),
}

impl<'a> ModelTurn<'a> {
    pub(super) fn text(&mut self, text: Cow<'a, str>) {
        self.blocks.push(TurnBlock::Text(text));
    }

    /// Adds a part of another kind.
    pub(super) fn part(&mut self, part: Part<'a>) {
        self.blocks.push(TurnBlock::Other(part));
    }

    /// Adds a thought only if it is signed: Gemini ignores unsigned thoughts.
    pub(super) fn carried(
        &mut self,
        block: &Block<'a>,
        vendor: &str,
        budget: &Budget,
    ) -> Result<(), FieldRefusal> {
        let Some(token) = block.get("signature").or_else(|| block.get("data")) else {
            return Ok(());
        };
        let mut thought = block.get("thinking").unwrap_or_default().0;
        for mark in carry::read(&token, vendor).unwrap_or_default() {
            budget.value(mark.signature.len())?;
            let signature = mark.signature;
            let signed = |text, thought| {
                TurnBlock::Other(Part {
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
                    self.signed_texts.entry(block).or_default().push(SignedSection {
                        start,
                        len,
                        signature,
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn call(&mut self, (call, args): (PendingCall<'a>, &'a RawValue)) -> Result<(), FieldRefusal> {
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
        self.blocks.push(TurnBlock::Call(part, number));
        self.calls.push(call);
        Ok(())
    }

    /// Returns the parts with their signatures.
    pub(super) fn parts(&mut self) -> Vec<Part<'a>> {
        let mut parts = Vec::with_capacity(self.blocks.len());
        let mut texts = 0;
        for saying in self.blocks.drain(..) {
            match saying {
                TurnBlock::Text(text) => {
                    split(text, self.signed_texts.remove(&texts), &mut parts);
                    texts += 1;
                }
                TurnBlock::Call(mut part, number) => {
                    let signature = number.and_then(|number| self.signed_calls.remove(&number));
                    part.thought_signature = signature.map(Cow::Owned);
                    parts.push(part);
                }
                TurnBlock::Other(part) => parts.push(part),
            }
        }
        parts
    }
}

/// Cuts a text block into the sections that Gemini had signed and those between. The client may have trimmed the
/// text, so the ranges are checked.
fn split<'a>(text: Cow<'a, str>, signed: Option<Vec<SignedSection>>, out: &mut Vec<Part<'a>>) {
    let mut at = 0;
    for SignedSection {
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
