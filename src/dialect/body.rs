//! The client's request body: walked once, its few fields of interest found, patched in place.
//!
//! Nothing is parsed into values and nothing is written anew: what goes to the provider is what the
//! client sent, byte for byte, but for the model's name where the operator maps it. The walk checks the
//! structure: brackets, separators, strings and their escapes, numbers, literals, nothing after the end.
//! It is lenient where a provider will judge anyway: UTF-8, raw control characters in strings, unpaired
//! surrogates and the size of numbers are not checked, and nesting may go [`MOST_LEVELS`](walk::MOST_LEVELS) deep.
//!
//! Of a field named twice the last is meant, as most servers read it. Two of the fields that limits depend on,
//! or that the relay writes the account's own value into, are refused: ours and the provider's reading could
//! differ, and with it what holds.
//!
//! | module | what it has |
//! | --- | --- |
//! | `walk`, `quotes` | the walk itself: values, strings |
//! | [`coding`] | compressed bodies |
//! | `surrogates` | escapes of half a character |
//! | [`tools`] | tools that the provider may run |

pub mod coding;
mod quotes;
mod surrogates;
pub mod tools;
mod walk;

use std::borrow::Cow;

use bytes::Bytes;

pub use self::surrogates::mended;

use self::walk::Walk;

/// A top-level field of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Model,
    Stream,
    /// Anthropic's bound on the output.
    MaxTokens,
    /// OpenAI's.
    MaxOutputTokens,
    /// Anthropic's place for who asks, read by `messages::user_id::session_id`.
    Metadata,
    /// OpenAI's word for which calls share a cache: a session.
    PromptCacheKey,
    /// Google's Code Assist: the project the call is billed to.
    Project,
    /// There too: the call as Google's other API has it.
    Request,
    /// In that, and in bodies of simpler clients: which conversation it is.
    SessionId,
    /// In an answer of Code Assist: the answer as the other API has it.
    Response,
    /// In any answer of Google's: what went wrong.
    Error,
    /// Anthropic's system prompt.
    System,
    /// The conversation, as Anthropic's and OpenAI's older protocol have it.
    Messages,
    /// OpenAI's system prompt.
    Instructions,
    /// OpenAI's conversation.
    Input,
    /// Google's system prompt.
    SystemInstruction,
    /// Google's conversation.
    Contents,
    /// Of a message in it: who says it.
    Role,
    /// The bound on the output in OpenAI's older protocol.
    MaxCompletionTokens,
    /// Google's settings of a call.
    GenerationConfig,
    /// In these: the bound on the output.
    MaxOutput,
    /// The tools that the model may use: its client's, and the provider's own.
    Tools,
    /// OpenAI's older protocol: the model may search the web.
    WebSearchOptions,
    /// OpenAI's: the stored response that this one continues.
    PreviousResponseId,
    /// OpenAI's: the stored conversation that it belongs to.
    Conversation,
    /// OpenAI's: whether the answer is kept.
    Store,
    /// Google's: what was cached before.
    CachedContent,
    /// Anthropic's: where code runs.
    Container,
    /// Of an object that stands for something kept elsewhere.
    Id,
    /// Of an item of OpenAI's conversation.
    Type,
    /// There: what only the account that made it can read.
    EncryptedContent,
}

const FIELDS: [(&[u8], Field); 31] = [
    (b"model", Field::Model),
    (b"stream", Field::Stream),
    (b"max_tokens", Field::MaxTokens),
    (b"max_output_tokens", Field::MaxOutputTokens),
    (b"metadata", Field::Metadata),
    (b"prompt_cache_key", Field::PromptCacheKey),
    (b"project", Field::Project),
    (b"request", Field::Request),
    (b"session_id", Field::SessionId),
    (b"response", Field::Response),
    (b"error", Field::Error),
    (b"system", Field::System),
    (b"messages", Field::Messages),
    (b"instructions", Field::Instructions),
    (b"input", Field::Input),
    (b"systemInstruction", Field::SystemInstruction),
    (b"contents", Field::Contents),
    (b"role", Field::Role),
    (b"max_completion_tokens", Field::MaxCompletionTokens),
    (b"generationConfig", Field::GenerationConfig),
    (b"maxOutputTokens", Field::MaxOutput),
    (b"tools", Field::Tools),
    (b"web_search_options", Field::WebSearchOptions),
    (b"previous_response_id", Field::PreviousResponseId),
    (b"conversation", Field::Conversation),
    (b"store", Field::Store),
    (b"cachedContent", Field::CachedContent),
    (b"container", Field::Container),
    (b"id", Field::Id),
    (b"type", Field::Type),
    (b"encrypted_content", Field::EncryptedContent),
];

/// Where the fields' values lie in the body they were found in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    members: [Option<Member>; FIELDS.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// Where its name begins.
    start: usize,
    value: Span,
}

/// Bytes `start..end` of the body: a value, its quotes or brackets included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// Why a body cannot be relayed. The text is fit for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `at`: offset of the byte.
    #[error("body is not valid JSON: {what} at byte {at}")]
    Json { what: &'static str, at: usize },
    #[error("body must be a JSON object")]
    NoObject,
    #[error("body names `{name}` twice, at bytes {first} and {second}")]
    Twice {
        name: &'static str,
        first: usize,
        second: usize,
    },
    #[error("`model` must be a string")]
    ModelNoString,
}

/// Walks the body and finds its fields.
pub fn scan(body: &[u8]) -> Result<Fields, Malformed> {
    let mut walk = Walk::new(body);
    let mut fields = Fields::default();
    walk.space();
    match walk.peek() {
        Some(b'{') => walk.step(),
        // Then it does not matter whether it is JSON.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') => return Err(Malformed::NoObject),
        _ => return Err(walk.error("expected `{`")),
    }
    walk.space();
    if walk.peek() == Some(b'}') {
        walk.step();
    } else {
        loop {
            let key = walk.key()?;
            let start = walk.at();
            walk.value()?;
            let value = Span {
                start,
                end: walk.at(),
            };
            if let Some(field) = field_of(key.of(body)) {
                fields.put(
                    field,
                    Member {
                        start: key.start,
                        value,
                    },
                )?;
            }
            walk.space();
            match walk.peek() {
                Some(b',') => walk.step(),
                Some(b'}') => break walk.step(),
                _ => return Err(walk.error("expected `,` or `}`")),
            }
            walk.space();
        }
    }
    walk.space();
    match walk.peek() {
        None => Ok(fields),
        Some(_) => Err(walk.error("unexpected text after the object")),
    }
}

/// The start of an array, as it is written: its elements up to the first that is not `leading`, that one
/// too. `None`: it is not an array, or an empty one.
pub fn beginning(array: &[u8], leading: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    let mut walk = Walk::new(array);
    walk.space();
    if walk.peek() != Some(b'[') {
        return None;
    }
    walk.step();
    walk.space();
    let start = walk.at();
    loop {
        let element = walk.at();
        walk.value().ok()?;
        let end = walk.at();
        walk.space();
        if walk.peek() != Some(b',') || !leading(array.get(element..end)?) {
            return array.get(start..end);
        }
        walk.step();
        walk.space();
    }
}

/// Where the elements of an array lie in it. `None`: it is not an array.
pub fn elements(array: &[u8]) -> Option<Vec<Span>> {
    let mut walk = Walk::new(array);
    walk.space();
    if walk.peek() != Some(b'[') {
        return None;
    }
    walk.step();
    walk.space();
    let mut elements = Vec::new();
    while walk.peek() != Some(b']') {
        let start = walk.at();
        walk.value().ok()?;
        let end = walk.at();
        elements.push(Span { start, end });
        walk.space();
        if walk.peek() == Some(b',') {
            walk.step();
            walk.space();
        }
    }
    Some(elements)
}

/// One place of a body that is sent as other bytes than it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub with: String,
}

impl Edit {
    /// Another string in place of a value.
    pub fn text(span: Span, text: &str) -> Self {
        Self {
            span,
            with: serde_json::Value::from(text).to_string(),
        }
    }

    pub fn cut(span: Span) -> Self {
        Self {
            span,
            with: String::new(),
        }
    }
}

/// The body with these places changed, every other byte as it was. The places do not overlap.
pub fn patch(body: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|edit| edit.span.start);
    let grows: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut patched = Vec::with_capacity(body.len() + grows);
    let mut at = 0;
    for Edit { span, with } in &edits {
        patched.extend_from_slice(body.get(at..span.start).unwrap_or_default());
        patched.extend_from_slice(with.as_bytes());
        at = span.end;
    }
    patched.extend_from_slice(body.get(at..).unwrap_or_default());
    patched.into()
}

impl Fields {
    pub fn span(&self, field: Field) -> Option<Span> {
        self.member(field).map(|member| member.value)
    }

    /// The field with its name and one comma beside it: cut that out, and the object has it no more.
    pub fn whole_member(&self, field: Field, body: &[u8]) -> Option<Span> {
        let Member { start, value } = self.member(field)?;
        let blank = |byte: &u8| byte.is_ascii_whitespace();
        let after = body.get(value.end..)?;
        let spaces = after.iter().take_while(|byte| blank(byte)).count();
        if after.get(spaces) == Some(&b',') {
            let end = value.end + spaces + 1;
            return Some(Span { start, end });
        }
        let before = body.get(..start)?;
        let spaces = before.iter().rev().take_while(|byte| blank(byte)).count();
        let comma = before.len() - spaces;
        let start = if before.get(comma.wrapping_sub(1)) == Some(&b',') {
            comma - 1
        } else {
            start
        };
        Some(Span {
            start,
            end: value.end,
        })
    }

    fn member(&self, field: Field) -> Option<Member> {
        self.members.get(field as usize).copied().flatten()
    }

    /// The value as it is written.
    pub fn raw<'a>(&self, field: Field, body: &'a [u8]) -> Option<&'a [u8]> {
        self.span(field).map(|span| span.of(body))
    }

    /// The value, if it is a string.
    pub fn text<'a>(&self, field: Field, body: &'a [u8]) -> Option<Cow<'a, str>> {
        text(self.raw(field, body)?)
    }

    /// The model's name; `None`: the body names none.
    pub fn model<'a>(&self, body: &'a [u8]) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.raw(Field::Model, body)
            .map(|raw| text(raw).ok_or(Malformed::ModelNoString))
            .transpose()
    }

    /// Whether the value is `true`.
    pub fn is_true(&self, field: Field, body: &[u8]) -> bool {
        self.raw(field, body) == Some(b"true")
    }

    fn put(&mut self, field: Field, member: Member) -> Result<(), Malformed> {
        let Some(slot) = self.members.get_mut(field as usize) else {
            return Ok(());
        };
        let only_one = match field {
            Field::Model => Some("model"),
            Field::Project => Some("project"),
            Field::Request => Some("request"),
            _ => None,
        };
        match (*slot, only_one) {
            (Some(first), Some(name)) => Err(Malformed::Twice {
                name,
                first: first.value.start,
                second: member.value.start,
            }),
            _ => {
                *slot = Some(member);
                Ok(())
            }
        }
    }
}

impl Span {
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }

    /// The same place, seen from `by` bytes before.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        Self {
            start: self.start + by,
            end: self.end + by,
        }
    }
}

/// `key` with its quotes. It may be spelt with escapes, and would be understood by a provider.
fn field_of(key: &[u8]) -> Option<Field> {
    let plain = key.get(1..key.len().saturating_sub(1))?;
    let find = |name: &[u8]| {
        FIELDS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, field)| *field)
    };
    if plain.contains(&b'\\') {
        find(text(key)?.as_bytes())
    } else {
        find(plain)
    }
}

/// A JSON string's text, borrowed if it has no escapes.
fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let plain = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if plain.iter().any(|byte| *byte == b'\\' || *byte < b' ') {
        return serde_json::from_slice(&mended(raw)).ok().map(Cow::Owned);
    }
    std::str::from_utf8(plain).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests;
