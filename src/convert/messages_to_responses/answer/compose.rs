//! Turns the items of a response into content blocks.
//!
//! The pieces of an item are forwarded as they come. OpenAI sends one item after the other; if another host
//! interleaves items, the second waits until the first is done. An item without pieces is forwarded as a whole
//! when it is done.

use std::collections::HashSet;

use super::events::Events;

use crate::convert::messages::names::Names;
use crate::convert::messages_to_responses::error::UnusableAnswer;
use crate::convert::messages_to_responses::request::Context;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks::{self, OPENAI};
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// Limit for held output, bytes.
const ROOM: usize = 16 << 20;

/// Limit for items, above what an answer can have; each takes memory.
const MOST_ITEMS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Composer {
    names: Names,
    /// The client asked for thinking.
    thinking: bool,
    open: Option<Open>,
    /// Items that were forwarded at least in part, or that wait.
    met: HashSet<u64>,
    late: HashSet<u64>,
    /// Finished items that wait for the open one.
    waiting: Vec<String>,
    /// Reasoning that waits for a call. A client that did not ask for thinking gets it only if the conversation
    /// needs it to continue.
    sealed: Vec<String>,
    calls: usize,
    refused: bool,
    items: usize,
    room: usize,
    failure: Option<UnusableAnswer>,
}

/// The open block.
#[derive(Debug, PartialEq, Eq)]
struct Open {
    /// The item's number.
    item: u64,
    kind: Kind,
    /// A piece of it was forwarded.
    is_forwarded: bool,
    /// The next words begin a new part of the summary.
    gap: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A message's part with this index.
    Text(u64),
    Thinking,
    Call,
}

impl Composer {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            names: context.names.clone(),
            thinking: context.thinking,
            open: None,
            met: HashSet::new(),
            late: HashSet::new(),
            waiting: Vec::new(),
            sealed: Vec::new(),
            calls: 0,
            refused: false,
            items: 0,
            room: ROOM,
            failure: None,
        }
    }

    /// The reason why the answer cannot be converted.
    pub(super) fn failure(&mut self) -> Option<UnusableAnswer> {
        self.failure.take()
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }

    /// At least one item is done.
    pub(super) fn has_items(&self) -> bool {
        self.items > 0
    }

    /// An item begins.
    pub(super) fn begin(&mut self, number: u64, item: &Object<'_>, out: &mut Events) {
        let kind: Text<'_> = item.get("type").unwrap_or_default();
        if &*kind == "function_call" && self.enters(number, Kind::Call, out) {
            self.start_call(item, out);
        }
    }

    /// Adds to a message's part.
    pub(super) fn text(&mut self, number: u64, part: u64, text: &str, out: &mut Events) {
        if text.is_empty() {
            return;
        }
        let is_next_part = self.open.as_ref().is_some_and(|open| {
            open.item == number && matches!(open.kind, Kind::Text(before) if before != part)
        });
        if is_next_part {
            self.close(out);
        }
        let begins = self.open.is_none();
        if self.enters(number, Kind::Text(part), out) {
            if begins {
                out.block_start(text_block());
            }
            self.mark_forwarded();
            out.delta("text_delta", "text", text);
        }
    }

    pub(super) fn refusal(&mut self, number: u64, part: u64, text: &str, out: &mut Events) {
        self.refused |= !text.is_empty();
        self.text(number, part, text, out);
    }

    /// Adds to a thought.
    pub(super) fn thought(&mut self, number: u64, text: &str, out: &mut Events) {
        if text.is_empty() || !self.thinking {
            return;
        }
        let begins = self.open.is_none();
        if self.enters(number, Kind::Thinking, out) {
            if begins {
                out.block_start(thinking_block());
            }
            if self.mark_forwarded() {
                out.delta("thinking_delta", "thinking", "\n\n");
            }
            out.delta("thinking_delta", "thinking", text);
        }
    }

    /// The next words begin a new part of the summary.
    pub(super) fn next_thought(&mut self, number: u64) {
        if let Some(open) = &mut self.open
            && open.item == number
            && open.kind == Kind::Thinking
        {
            open.gap = open.is_forwarded;
        }
    }

    /// Adds to a call's arguments.
    pub(super) fn arguments(&mut self, number: u64, text: &str, out: &mut Events) {
        let is_open = self
            .open
            .as_ref()
            .is_some_and(|open| open.item == number && open.kind == Kind::Call);
        if is_open && !text.is_empty() {
            self.mark_forwarded();
            out.delta("input_json_delta", "partial_json", text);
        }
    }

    /// An item is done. `json`: the item.
    pub(super) fn done(&mut self, number: u64, json: &str, out: &mut Events) {
        self.items += 1;
        let Some(item) = Object::of(json) else {
            self.failure.get_or_insert(UnusableAnswer::Unreadable);
            return;
        };
        match &self.open {
            Some(open) if open.item == number => {
                self.finish(&item, out);
                self.catch_up(out);
            }
            _ if self.met.contains(&number) && !self.late.contains(&number) => {}
            Some(_) => {
                if self.takes(json.len()) {
                    self.waiting.push(json.to_owned());
                }
            }
            None => self.whole(&item, out),
        }
    }

    /// Closes the last block.
    pub(super) fn end(&mut self, out: &mut Events) {
        self.close(out);
        self.catch_up(out);
    }

    /// Forwards the items that finished while another was open.
    fn catch_up(&mut self, out: &mut Events) {
        for json in std::mem::take(&mut self.waiting) {
            if let Some(item) = Object::of(&json) {
                self.whole(&item, out);
            }
        }
    }

    /// Whether a piece of this item can be forwarded now. If so, the item becomes the open one.
    fn enters(&mut self, number: u64, kind: Kind, out: &mut Events) -> bool {
        match &self.open {
            Some(open) => {
                let is_it = open.item == number && open.kind == kind && !self.late.contains(&number);
                if !is_it && open.item != number {
                    self.meet(number);
                    self.late.insert(number);
                }
                is_it
            }
            None if self.late.contains(&number) => false,
            None => {
                self.meet(number);
                if kind == Kind::Call {
                    self.release(out);
                }
                self.open = Some(Open {
                    item: number,
                    kind,
                    is_forwarded: false,
                    gap: false,
                });
                true
            }
        }
    }

    fn meet(&mut self, number: u64) {
        self.met.insert(number);
        if self.met.len() > MOST_ITEMS {
            self.failure.get_or_insert(UnusableAnswer::TooLarge);
        }
    }

    /// Marks the open item as forwarded. Returns true if the words begin a new part.
    fn mark_forwarded(&mut self) -> bool {
        self.open.as_mut().is_some_and(|open| {
            open.is_forwarded = true;
            std::mem::take(&mut open.gap)
        })
    }

    /// Reserves this many bytes; false if the limit is exceeded, which makes the answer unusable.
    fn takes(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                true
            }
            None => {
                self.failure.get_or_insert(UnusableAnswer::TooLarge);
                false
            }
        }
    }

    /// Finishes the open item.
    fn finish(&mut self, item: &Object<'_>, out: &mut Events) {
        let Some(open) = self.open.take() else { return };
        match open.kind {
            Kind::Text(_) => {}
            Kind::Thinking => {
                let token = token(item).unwrap_or_else(|| OPENAI.to_owned());
                out.delta("signature_delta", "signature", &token);
            }
            Kind::Call if open.is_forwarded => {}
            Kind::Call => send_arguments(item, out),
        }
        out.block_stop();
    }

    /// Closes the open block without its item.
    fn close(&mut self, out: &mut Events) {
        if let Some(open) = self.open.take() {
            if open.kind == Kind::Thinking {
                out.delta("signature_delta", "signature", OPENAI);
            }
            out.block_stop();
        }
    }

    /// Forwards a whole item.
    fn whole(&mut self, item: &Object<'_>, out: &mut Events) {
        let kind: Text<'_> = item.get("type").unwrap_or_default();
        match &*kind {
            "message" => {
                let parts: List<'_> = item.get("content").unwrap_or_default();
                for part in parts.into_iter().filter_map(|part| Object::of(part.get())) {
                    self.part(&part, out);
                }
            }
            "reasoning" => self.reasoning(item, out),
            "function_call" => {
                self.release(out);
                self.start_call(item, out);
                send_arguments(item, out);
                out.block_stop();
            }
            // The request asks for no other kinds.
            _ => {}
        }
    }

    fn part(&mut self, part: &Object<'_>, out: &mut Events) {
        let refusal: Option<Text<'_>> = part.get("refusal");
        self.refused |= refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
        let text = refusal.or_else(|| part.get("text")).unwrap_or_default();
        if !text.is_empty() {
            out.block_start(text_block());
            out.delta("text_delta", "text", &text);
            out.block_stop();
        }
    }

    fn reasoning(&mut self, item: &Object<'_>, out: &mut Events) {
        let token = token(item);
        if !self.thinking {
            if let Some(token) = token
                && self.takes(token.len())
            {
                self.sealed.push(token);
            }
            return;
        }
        let thought = thought(item);
        match token {
            Some(token) if thought.is_empty() => redacted(&token, out),
            None if thought.is_empty() => {}
            token => {
                out.block_start(thinking_block());
                out.delta("thinking_delta", "thinking", &thought);
                let token = token.unwrap_or_else(|| OPENAI.to_owned());
                out.delta("signature_delta", "signature", &token);
                out.block_stop();
            }
        }
    }

    /// Forwards the reasoning that led to a call.
    fn release(&mut self, out: &mut Events) {
        for token in self.sealed.drain(..) {
            redacted(&token, out);
        }
    }

    fn start_call(&mut self, item: &Object<'_>, out: &mut Events) {
        self.calls += 1;
        let id: Text<'_> = item.get("call_id").unwrap_or_default();
        let name: Text<'_> = item.get("name").unwrap_or_default();
        out.block_start(Json::map([
            ("type", Json::text("tool_use")),
            ("id", call_id(id)),
            ("name", Json::text(self.names.restore(&name))),
            ("input", Json::Map(Vec::new())),
        ]));
    }
}

fn text_block() -> Json<'static> {
    Json::map([("type", Json::text("text")), ("text", Json::text(""))])
}

fn thinking_block() -> Json<'static> {
    Json::map([
        ("type", Json::text("thinking")),
        ("thinking", Json::text("")),
        ("signature", Json::text("")),
    ])
}

fn redacted(token: &str, out: &mut Events) {
    out.block_start(Json::map([
        ("type", Json::text("redacted_thinking")),
        ("data", Json::text(token)),
    ]));
    out.block_stop();
}

/// Forwards all arguments of a call. Clients expect JSON even if there are none.
fn send_arguments(item: &Object<'_>, out: &mut Events) {
    let arguments: Text<'_> = item.get("arguments").unwrap_or_default();
    let arguments = if arguments.is_empty() { "{}" } else { &arguments };
    out.delta("input_json_delta", "partial_json", arguments);
}

/// The encrypted content of an item, as a token that the client returns.
fn token(item: &Object<'_>) -> Option<String> {
    let sealed: Text<'_> = item.get("encrypted_content")?;
    (!sealed.is_empty()).then(|| format!("{OPENAI}{}", &*sealed))
}

/// The parts of the summary, or the thought itself if there is no summary.
fn thought(item: &Object<'_>) -> String {
    for name in ["summary", "content"] {
        let parts: List<'_> = item.get(name).unwrap_or_default();
        let parts = parts.into_iter().filter_map(|part| Object::of(part.get()));
        let texts: Vec<Text<'_>> = parts.filter_map(|part| part.get("text")).collect();
        let texts: Vec<&str> = texts
            .iter()
            .map(|text| &**text)
            .filter(|text| !text.is_empty())
            .collect();
        if !texts.is_empty() {
            return texts.join("\n\n");
        }
    }
    String::new()
}

/// An id that Anthropic's clients accept. OpenAI's ids are valid; other hosts' may not be.
fn call_id(id: Text<'_>) -> Json<'_> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(plain) {
        id.into()
    } else {
        Json::Text(marks::shortened(&id).into())
    }
}
