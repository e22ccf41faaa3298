//! Shortens call ids that are too long for OpenAI, whether made by an earlier version of this relay or by another
//! provider.
//!
//! | protocol | members | maximum, bytes |
//! | --- | --- | --- |
//! | Chat Completions | `tool_calls[].id`, `tool_call_id` | 40 |
//! | Responses | `call_id` and `id` of `input` items | 64 |
//!
//! Source: OpenAI's own refusals ("string too long. Expected a string with maximum length 64"). A new id depends
//! only on the old one, so a call and its output keep the same id in every later request. A body without a long
//! id is not parsed.

use super::{CLAUDE, LONGEST_ID, OLD_ID_PREFIX, Patch, hash, list, shortened};
use crate::dialect::body::{Edit, mended};
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Maximum length of an item's id in Responses, bytes.
const LONGEST_ITEM_ID: usize = 64;

/// OpenAI's id prefixes by item type; it refuses others.
const ITEM_PREFIXES: [(&str, &str); 9] = [
    ("message", "msg"),
    ("reasoning", "rs"),
    ("function_call", "fc"),
    ("function_call_output", "fc"),
    ("custom_tool_call", "ctc"),
    ("custom_tool_call_output", "ctc"),
    ("local_shell_call", "lsh"),
    ("web_search_call", "ws"),
    ("file_search_call", "fs"),
];

/// Whether a chat completion request may have an id that is too long.
pub(crate) fn long_in_chat(body: &[u8]) -> bool {
    any_longer(body, LONGEST_ID)
}

/// The same for a request of Responses.
pub(crate) fn long_in_responses(body: &[u8]) -> bool {
    any_longer(body, LONGEST_ITEM_ID) || super::are_in(body)
}

/// The edits that remove this relay's marks from a chat completion request.
pub(crate) fn of_chat(body: &[u8]) -> Vec<Edit> {
    if !long_in_chat(body) {
        return Vec::new();
    }
    each(body, "messages", |patch, message| {
        patch.fit(message, "tool_call_id", chat_id);
        for call in message.raw("tool_calls").and_then(list).into_iter().flatten() {
            if let Some(call) = Object::of(call.get()) {
                patch.fit(&call, "id", chat_id);
            }
        }
    })
}

/// The edits that prepare a Responses request for OpenAI: they shorten long ids and remove Claude's reasoning.
pub(crate) fn of_responses(body: &[u8]) -> Vec<Edit> {
    if !long_in_responses(body) {
        return Vec::new();
    }
    let mut edits = each(body, "input", |patch, item| {
        if is_claudes(item) {
            return;
        }
        patch.fit(item, "call_id", call_id);
        let kind: Text<'_> = item.get("type").unwrap_or_else(|| "message".into());
        // A reference to a stored item cannot change its id.
        if &*kind != "item_reference" {
            patch.fit(item, "id", |id| item_id(&kind, id));
        }
    });
    if memchr::memmem::find(body, CLAUDE.as_bytes()).is_some() {
        let readable = mended(body);
        let mut patch = Patch {
            body: &readable,
            edits: Vec::new(),
        };
        let items = Object::parse(&readable).ok().and_then(|body| body.raw("input"));
        if let Some(items) = items.and_then(list) {
            patch.sweep(items, |_, item| !is_claudes(item));
        }
        edits.append(&mut patch.edits);
    }
    edits
}

/// Whether an item is reasoning converted from Claude's thinking.
fn is_claudes(item: &Object<'_>) -> bool {
    let sealed: Option<Text<'_>> = item.get("encrypted_content");
    sealed.is_some_and(|sealed| sealed.starts_with(CLAUDE))
}

fn chat_id(id: &str) -> Option<String> {
    (id.len() > LONGEST_ID).then(|| shortened(id))
}

fn call_id(id: &str) -> Option<String> {
    // Old ids of converted calls are shortened alike in all protocols, because a conversation may move between
    // them.
    let most = if id.starts_with(OLD_ID_PREFIX) {
        LONGEST_ID
    } else {
        LONGEST_ITEM_ID
    };
    (id.len() > most).then(|| shortened(id))
}

fn item_id(kind: &str, id: &str) -> Option<String> {
    let is_ours = id.starts_with(OLD_ID_PREFIX);
    if id.len() <= LONGEST_ITEM_ID && !is_ours {
        return None;
    }
    let known = ITEM_PREFIXES.iter().find(|(of, _)| *of == kind);
    let prefix = known.map_or("item", |(_, prefix)| prefix);
    Some(format!("{prefix}_{:032x}", hash(id.as_bytes())))
}

/// Calls `look` for each object of a list in the body.
fn each(body: &[u8], name: &str, mut look: impl FnMut(&mut Patch<'_>, &Object<'_>)) -> Vec<Edit> {
    // Has the body's length, so offsets are valid in both.
    let readable = mended(body);
    let mut patch = Patch {
        body: &readable,
        edits: Vec::new(),
    };
    let items = Object::parse(&readable).ok().and_then(|body| body.raw(name));
    for item in items.and_then(list).into_iter().flatten() {
        if let Some(item) = Object::of(item.get()) {
            look(&mut patch, &item);
        }
    }
    patch.edits
}

/// Whether a string member whose name ends with `id` is longer than this. Inside of a string the name's quotes
/// would be escaped.
fn any_longer(body: &[u8], most: usize) -> bool {
    const NAME: &[u8] = b"id\"";
    memchr::memmem::find_iter(body, NAME).any(|at| {
        let value = body.get(at + NAME.len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        let Some(text) = value.and_then(|value| value.strip_prefix(b"\"")) else {
            return false;
        };
        // An escaped quote would end the search early, but ids have none.
        memchr::memchr(b'"', text.get(..=most).unwrap_or(text)).is_none() && text.len() > most
    })
}
