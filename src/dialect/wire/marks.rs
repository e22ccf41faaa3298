//! Marks that a conversion of ours leaves in a conversation, and how a request to a provider that knows nothing of
//! them is rid of them.
//!
//! A client keeps what an answer had and sends it with every later request, to whatever account it goes. Signatures
//! of Gemini's and searches that it made mean nothing to Anthropic, which refuses a signature it has not made; ids
//! that earlier versions made are longer than OpenAI takes ([`ids`]). A body without [`MARK`] is not looked into. In
//! one with it exactly these places are changed, and every other byte stays.

pub(crate) mod ids;

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::object::{List, Object};
use super::text::Text;
use crate::dialect::body::{Edit, Span, mended};

/// In everything of ours.
const MARK: &[u8] = b"gts1";

/// Begins every token of signatures. No base64, so no signature of another kind begins so.
pub(crate) const PREFIX: &str = "gts1.";

/// Begins a token of reasoning that OpenAI has encrypted; the rest of it is that reasoning as it came.
pub(crate) const OPENAI: &str = "gts1.openai.";

/// Begins reasoning that is Claude's, in the protocol of OpenAI.
pub(crate) const CLAUDE: &str = "gts1.claude.";

/// Begins the id of a call.
pub(crate) const ID_PREFIX: &str = "gts1_";

/// Began it in earlier versions; the ids of real Claude begin with `toolu_01`.
pub(crate) const OLD_ID_PREFIX: &str = "toolu_gts1_";

/// Begins the id of a search that Gemini made; Anthropic's own ids of searches begin with `srvtoolu_`.
pub(crate) const SEARCH_PREFIX: &str = "srvtoolu_gts1_";

/// The longest id of a call that all providers take, bytes.
pub(crate) const LONGEST_ID: usize = 40;

/// Whether a body may have something of ours in it.
pub(crate) fn are_in(body: &[u8]) -> bool {
    memchr::memmem::find(body, MARK).is_some()
}

/// The id to send in place of this one; `None`: it can be sent as it is. It follows from the id alone, so a call
/// and its result keep the same, in every later request.
pub(crate) fn fitted_id(id: &str) -> Option<String> {
    if id.len() <= LONGEST_ID || !id.starts_with(OLD_ID_PREFIX) {
        return None;
    }
    Some(shortened(id))
}

/// OpenAI's encrypted content inside a token that carries it; `None` for any other token.
pub(crate) fn sealed_by_openai(token: &str) -> Option<&str> {
    token.strip_prefix(OPENAI).filter(|sealed| !sealed.is_empty())
}

/// An id of its own for each text, within what all providers take.
pub(crate) fn shortened(id: &str) -> String {
    format!("call_{:032x}", hash(id.as_bytes()))
}

/// FNV-1a of 128 bits: the same on every host and in every release.
fn hash(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

/// The edits that a request of the Messages API needs before it goes to Anthropic: they remove signatures and
/// searches of Gemini's go, with the message if nothing else is in it; long ids are shortened.
pub(crate) fn of_messages(body: &[u8]) -> Vec<Edit> {
    edits(body, |patch, message| {
        let Some(content) = message.raw("content").filter(|content| marked(content)) else {
            return true;
        };
        let Some(blocks) = list(content) else {
            return true;
        };
        patch.sweep(blocks, messages_block)
    })
}

/// Whether a block stays.
fn messages_block<'b>(patch: &mut Patch<'b>, block: &Object<'b>) -> bool {
    let kind: Text<'_> = block.get("type").unwrap_or_default();
    let begins = |key, prefix| {
        let text: Option<Text<'_>> = block.get(key);
        text.is_some_and(|text| text.starts_with(prefix))
    };
    match &*kind {
        "thinking" => return !begins("signature", PREFIX),
        "redacted_thinking" => return !begins("data", PREFIX),
        "server_tool_use" => return !begins("id", SEARCH_PREFIX),
        "web_search_tool_result" => return !begins("tool_use_id", SEARCH_PREFIX),
        "tool_use" => patch.id(block, "id"),
        "tool_result" => patch.id(block, "tool_use_id"),
        "text" => {
            let citations = block.raw("citations").filter(|citations| marked(citations));
            if let Some(raw) = citations
                && let Some(cited) = list(raw)
            {
                let some = patch.sweep(cited, |_, citation| {
                    let index: Option<Text<'_>> = citation.get("encrypted_index");
                    !index.is_some_and(|index| index.starts_with(PREFIX))
                });
                if !some {
                    // As a text has it that rests on nothing.
                    let span = patch.span(raw);
                    patch.edits.push(Edit {
                        span,
                        with: "null".to_owned(),
                    });
                }
            }
        }
        _ => {}
    }
    true
}

/// The edits that a request of the Messages API needs when an account cannot read these pieces of reasoning, and how
/// many blocks that are.
pub(crate) fn without_sealed(body: &[u8], unreadable: &[Bytes]) -> (Vec<Edit>, u32) {
    let unreadable: HashSet<&[u8]> = unreadable.iter().map(|sealed| &**sealed).collect();
    let mut count = 0;
    let edits = edits(body, |patch, message| {
        let content = message.raw("content").filter(|content| marked(content));
        let Some(blocks) = content.and_then(list) else {
            return true;
        };
        patch.sweep(blocks, |_, block| {
            let token: Option<Text<'_>> = block.get("signature").or_else(|| block.get("data"));
            let sealed = token.as_deref().and_then(sealed_by_openai);
            let goes = sealed.is_some_and(|sealed| unreadable.contains(sealed.as_bytes()));
            count += u32::from(goes);
            !goes
        })
    });
    (edits, count)
}

/// The changes to a body, found message by message; `each` says whether a message stays.
fn edits(body: &[u8], mut each: impl for<'b> FnMut(&mut Patch<'b>, &Object<'b>) -> bool) -> Vec<Edit> {
    if !are_in(body) {
        return Vec::new();
    }
    // As long as the body, so that places in it are places in the body.
    let readable = mended(body);
    let mut patch = Patch {
        body: &readable,
        edits: Vec::new(),
    };
    let messages = Object::parse(&readable)
        .ok()
        .and_then(|body| body.raw("messages"));
    if let Some(messages) = messages.and_then(list) {
        patch.sweep(messages, &mut each);
    }
    patch.edits
}

fn list(json: &RawValue) -> Option<List<'_>> {
    serde_json::from_slice(json.get().as_bytes()).ok()
}

fn marked(json: &RawValue) -> bool {
    are_in(json.get().as_bytes())
}

struct Patch<'b> {
    body: &'b [u8],
    edits: Vec<Edit>,
}

impl<'b> Patch<'b> {
    /// Where a value lies, which was read out of the body.
    fn span(&self, value: &RawValue) -> Span {
        let start = value
            .get()
            .as_ptr()
            .addr()
            .saturating_sub(self.body.as_ptr().addr());
        Span {
            start,
            end: start + value.get().len(),
        }
    }

    /// Shortens the id in this member.
    fn id(&mut self, object: &Object<'_>, key: &str) {
        self.fit(object, key, fitted_id);
    }

    /// Puts another id in this member, if `fitted` has one for it.
    fn fit(&mut self, object: &Object<'_>, key: &str, fitted: impl Fn(&str) -> Option<String>) {
        if let Some(raw) = object.raw(key)
            && let Some(id) = object.get::<Text<'_>>(key)
            && let Some(fitted) = fitted(&id)
        {
            let span = self.span(raw);
            self.edits.push(Edit::text(span, &fitted));
        }
    }

    /// Cuts out the items that do not stay, each with one comma. False: nothing stayed, and nothing was cut, so
    /// that whoever holds the list can go as a whole.
    fn sweep(&mut self, items: List<'b>, mut stays: impl FnMut(&mut Self, &Object<'b>) -> bool) -> bool {
        let before = self.edits.len();
        let mut cuts: Vec<Span> = Vec::new();
        let mut kept: Option<Span> = None;
        let mut count = 0;
        // Where the items begin that go before any was kept.
        let mut opening = None;
        for item in items {
            count += 1;
            let span = self.span(item);
            let object = marked(item).then(|| Object::of(item.get())).flatten();
            if object.is_none_or(|object| stays(self, &object)) {
                if let (None, Some(start)) = (kept, opening) {
                    cuts.push(Span {
                        start,
                        end: span.start,
                    });
                }
                kept = Some(span);
                continue;
            }
            match (kept, cuts.last_mut()) {
                (None, _) => {
                    opening.get_or_insert(span.start);
                }
                // The run that goes on.
                (Some(kept), Some(cut)) if cut.start == kept.end => cut.end = span.end,
                (Some(kept), _) => cuts.push(Span {
                    start: kept.end,
                    end: span.end,
                }),
            }
        }
        if count > 0 && kept.is_none() {
            self.edits.truncate(before);
            return false;
        }
        self.edits.extend(cuts.into_iter().map(Edit::cut));
        true
    }
}

#[cfg(test)]
mod tests;
