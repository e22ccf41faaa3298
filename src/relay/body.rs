//! The client's request body: walked once, its few fields of interest found, patched in place.
//!
//! Nothing is parsed into values and nothing is written anew: what goes to the provider is what the
//! client sent, byte for byte, but for the model's name where the operator maps it. The walk checks the
//! structure: brackets, separators, strings and their escapes, numbers, literals, nothing after the end.
//! It is lenient where a provider will judge anyway: UTF-8, raw control characters in strings, unpaired
//! surrogates and the size of numbers are not checked, and nesting may go [`MOST_LEVELS`] deep.
//!
//! Of a field named twice the last is meant, as most servers read it. Two `model`s are refused: ours and
//! the provider's reading could differ, and with it the limits that hold.

mod quotes;
mod session;
mod walk;

use std::borrow::Cow;

use bytes::Bytes;

pub use self::session::session_id;
pub use self::walk::MOST_LEVELS;

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
    /// Anthropic's place for who asks, see [`session_id`].
    Metadata,
    /// OpenAI's word for which calls share a cache: a session.
    PromptCacheKey,
    /// Google's Code Assist: the project the call is billed to.
    Project,
    /// Anthropic's system prompt.
    System,
    /// Anthropic's conversation.
    Messages,
}

const FIELDS: [(&[u8], Field); 9] = [
    (b"model", Field::Model),
    (b"stream", Field::Stream),
    (b"max_tokens", Field::MaxTokens),
    (b"max_output_tokens", Field::MaxOutputTokens),
    (b"metadata", Field::Metadata),
    (b"prompt_cache_key", Field::PromptCacheKey),
    (b"project", Field::Project),
    (b"system", Field::System),
    (b"messages", Field::Messages),
];

/// Where the fields' values lie in the body they were found in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    spans: [Option<Span>; FIELDS.len()],
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
    #[error("body names `model` twice, at bytes {first} and {second}")]
    TwoModels { first: usize, second: usize },
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
        // Whether it is at least JSON is no matter then.
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
            let span = Span {
                start,
                end: walk.at(),
            };
            if let Some(field) = field_of(key.of(body)) {
                fields.put(field, span)?;
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

/// The first element of an array, as it is written; `None`: it is no array, or an empty one.
pub fn first_element(array: &[u8]) -> Option<&[u8]> {
    let mut walk = Walk::new(array);
    walk.space();
    if walk.peek() != Some(b'[') {
        return None;
    }
    walk.step();
    walk.space();
    let start = walk.at();
    walk.value().ok()?;
    array.get(start..walk.at())
}

/// The body with another model's name, every other byte as it was. A body that names no model stays.
pub fn patch_model(body: &Bytes, fields: &Fields, model: &str) -> Bytes {
    let Some(span) = fields.span(Field::Model) else {
        return body.clone();
    };
    let (Some(before), Some(after)) = (body.get(..span.start), body.get(span.end..)) else {
        return body.clone();
    };
    let name = serde_json::Value::from(model).to_string();
    let mut patched = Vec::with_capacity(before.len() + name.len() + after.len());
    patched.extend_from_slice(before);
    patched.extend_from_slice(name.as_bytes());
    patched.extend_from_slice(after);
    patched.into()
}

impl Fields {
    pub fn span(&self, field: Field) -> Option<Span> {
        self.spans.get(field as usize).copied().flatten()
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

    /// The value, if it is a whole number from 0.
    pub fn number(&self, field: Field, body: &[u8]) -> Option<u64> {
        serde_json::from_slice(self.raw(field, body)?).ok()
    }

    fn put(&mut self, field: Field, span: Span) -> Result<(), Malformed> {
        let Some(slot) = self.spans.get_mut(field as usize) else {
            return Ok(());
        };
        match *slot {
            Some(first) if field == Field::Model => Err(Malformed::TwoModels {
                first: first.start,
                second: span.start,
            }),
            _ => {
                *slot = Some(span);
                Ok(())
            }
        }
    }
}

impl Span {
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start..self.end).unwrap_or_default()
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
        return serde_json::from_slice(raw).ok().map(Cow::Owned);
    }
    std::str::from_utf8(plain).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests;
