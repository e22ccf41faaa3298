//! Ids of calls that are longer than OpenAI takes, whoever made them: an earlier version of a bridge, or another
//! provider that the conversation began with.
//!
//! | protocol | where | at most, bytes |
//! | --- | --- | --- |
//! | Chat Completions | `tool_calls[].id`, `tool_call_id` | 40 |
//! | Responses | `call_id` and `id` of `input` items | 64 |
//!
//! Source: OpenAI's own refusals ("string too long. Expected a string with maximum length 64"). A new id follows
//! from the old one alone, so a call and its output keep the same, in every later request. In a body without a long
//! id nothing is parsed.

use super::{CLAUDE, LONGEST_ID, OLD_ID_PREFIX, Patch, hash, list, shortened};
use crate::dialect::body::{Edit, mended};
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// The longest id of an item of Responses, bytes.
const LONGEST_ITEM_ID: usize = 64;

/// How OpenAI begins the ids of items, by their type: it refuses others.
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

/// Whether a chat completion request may have an id that must be another.
pub(crate) fn long_in_chat(body: &[u8]) -> bool {
    any_longer(body, LONGEST_ID)
}

/// The same of a request of Responses.
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

/// The edits that a request of Responses needs before OpenAI gets it: without long ids, and without Claude's reasoning.
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
        // A reference to something stored has no other name.
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

/// Whether an item is reasoning that was made of Claude's thinking.
fn is_claudes(item: &Object<'_>) -> bool {
    let sealed: Option<Text<'_>> = item.get("encrypted_content");
    sealed.is_some_and(|sealed| sealed.starts_with(CLAUDE))
}

fn chat_id(id: &str) -> Option<String> {
    (id.len() > LONGEST_ID).then(|| shortened(id))
}

fn call_id(id: &str) -> Option<String> {
    // A bridge's old ids are shortened alike in all protocols: the conversation may move between them.
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

/// Looks at the objects of a list in the body.
fn each(body: &[u8], name: &str, mut look: impl FnMut(&mut Patch<'_>, &Object<'_>)) -> Vec<Edit> {
    // As long as the body, so that places in it are places in the body.
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

/// Whether a string behind a name that ends with `id` is longer than this. Within a string the quotes of such a
/// name would be escaped.
fn any_longer(body: &[u8], most: usize) -> bool {
    const NAME: &[u8] = b"id\"";
    memchr::memmem::find_iter(body, NAME).any(|at| {
        let value = body.get(at + NAME.len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        let Some(text) = value.and_then(|value| value.strip_prefix(b"\"")) else {
            return false;
        };
        // An escaped quote makes it look shorter: ids have none.
        memchr::memchr(b'"', text.get(..=most).unwrap_or(text)).is_none() && text.len() > most
    })
}
