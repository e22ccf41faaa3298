//! Marks that our conversions leave in a conversation, and their removal for providers that do not know them.
//!
//! A client sends parts of earlier answers with every later request, to whatever account serves it. Anthropic
//! refuses Gemini's signatures and searches; OpenAI refuses the long ids of earlier versions ([`ids`]). A body
//! without [`MARK`] is not examined. In others exactly these places are changed, and every other byte stays.

pub(crate) mod ids;

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::object::{List, Object};
use super::text::Text;
use crate::dialect::body::{Edit, Span, mended};

/// Contained in every mark.
const MARK: &[u8] = b"gts1";

/// Prefix of signature tokens. It is not valid base64, so no other signature begins with it.
pub(crate) const PREFIX: &str = "gts1.";

/// Prefix of reasoning encrypted by OpenAI; the unchanged reasoning follows.
pub(crate) const OPENAI: &str = "gts1.openai.";

/// Prefix of Claude's reasoning in OpenAI's protocol.
pub(crate) const CLAUDE: &str = "gts1.claude.";

/// Prefix of a token for plain reasoning of a Chat Completions host. The field name follows, then a colon and the
/// reasoning if it was hidden from the client.
pub(crate) const CHAT: &str = "gts1.chat.";

/// The reasoning fields of Chat Completions hosts. DeepSeek, Kimi, GLM, Qwen and older vLLM use the first ("Thinking
/// Mode" of DeepSeek's documentation, "Deep thinking" of Alibaba's); Ollama and newer vLLM use the second ("Reasoning
/// Outputs" of vLLM's documentation).
pub(crate) const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

/// Prefix of call ids.
pub(crate) const ID_PREFIX: &str = "gts1_";

/// The same in earlier versions; ids of real Claude begin with `toolu_01`.
pub(crate) const OLD_ID_PREFIX: &str = "toolu_gts1_";

/// Prefix of ids of Gemini's searches; Anthropic's own begin with `srvtoolu_`.
pub(crate) const SEARCH_PREFIX: &str = "srvtoolu_gts1_";

/// Maximum length of a call id that all providers accept, bytes.
pub(crate) const LONGEST_ID: usize = 40;

/// Whether a body may contain one of our marks.
pub(crate) fn are_in(body: &[u8]) -> bool {
    memchr::memmem::find(body, MARK).is_some()
}

/// The id to send in place of this one; `None` if it can stay. It depends only on the id, so a call and its
/// result keep the same id in every later request.
pub(crate) fn fitted_id(id: &str) -> Option<String> {
    if id.len() <= LONGEST_ID || !id.starts_with(OLD_ID_PREFIX) {
        return None;
    }
    Some(shortened(id))
}

/// OpenAI's encrypted content in a token; `None` for other tokens.
pub(crate) fn sealed_by_openai(token: &str) -> Option<&str> {
    token.strip_prefix(OPENAI).filter(|sealed| !sealed.is_empty())
}

/// The field and the hidden reasoning of a token with the prefix [`CHAT`]; `None` for other tokens.
pub(crate) fn plain_reasoning(token: &str) -> Option<(&'static str, &str)> {
    let rest = token.strip_prefix(CHAT)?;
    let (field, hidden) = rest.split_once(':').unwrap_or((rest, ""));
    let field = REASONING.into_iter().find(|known| *known == field)?;
    Some((field, hidden))
}

/// A short id derived from the text, accepted by all providers.
pub(crate) fn shortened(id: &str) -> String {
    format!("call_{:032x}", hash(id.as_bytes()))
}

/// 128-bit FNV-1a, which is the same on every host and in every release.
fn hash(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

/// The edits that prepare a Messages request for Anthropic: they remove Gemini's signatures and searches (and
/// messages that become empty), and shorten long ids.
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

/// Returns whether a block stays.
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
                    // The value for a text without citations.
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

/// The edits that remove these pieces of reasoning from a Messages request, and the number of removed blocks.
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

/// Collects edits message by message; `each` returns whether a message stays.
fn edits(body: &[u8], mut each: impl for<'b> FnMut(&mut Patch<'b>, &Object<'b>) -> bool) -> Vec<Edit> {
    if !are_in(body) {
        return Vec::new();
    }
    // Has the body's length, so offsets are valid in both.
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
    /// The position of a value that was parsed from the body.
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

    /// Replaces the id in this member, if `fitted` returns one.
    fn fit(&mut self, object: &Object<'_>, key: &str, fitted: impl Fn(&str) -> Option<String>) {
        if let Some(raw) = object.raw(key)
            && let Some(id) = object.get::<Text<'_>>(key)
            && let Some(fitted) = fitted(&id)
        {
            let span = self.span(raw);
            self.edits.push(Edit::text(span, &fitted));
        }
    }

    /// Removes the items that do not stay, each with one comma. Returns false if none stays, without any edits,
    /// so that the caller can remove the whole list.
    fn sweep(&mut self, items: List<'b>, mut stays: impl FnMut(&mut Self, &Object<'b>) -> bool) -> bool {
        let before = self.edits.len();
        let mut cuts: Vec<Span> = Vec::new();
        let mut kept: Option<Span> = None;
        let mut count = 0;
        // Start of the removed items at the beginning of the list.
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
                // Extends the last run of removed items.
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
