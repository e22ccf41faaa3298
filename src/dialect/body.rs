//! The client's request body: scanned once for the fields of interest, and patched in place.
//!
//! Values are neither parsed nor reserialised: the provider receives the client's bytes, except for the model's
//! name if the operator maps it. The scan checks the structure: brackets, separators, strings and escapes,
//! numbers, literals, nothing after the end. It leaves other checks to the provider: UTF-8, raw control
//! characters in strings, unpaired surrogates and the size of numbers; nesting may be
//! [`MOST_LEVELS`](walk::MOST_LEVELS) deep.
//!
//! For duplicate fields the last one counts, as for most servers. Duplicates are refused for fields that limits
//! depend on, or that receive the account's value: the relay and the provider could read different ones.
//!
//! | module | content |
//! | --- | --- |
//! | `walk`, `quotes` | the scan: values, strings |
//! | [`coding`] | compressed bodies |
//! | `edit` | edits in place |
//! | [`form`] | forms with files |
//! | `images` | images among the strings |
//! | `surrogates` | escapes of unpaired surrogates |
//! | [`tools`] | tools that the provider may run |

pub mod coding;
mod edit;
pub mod form;
mod images;
mod quotes;
mod surrogates;
pub mod tools;
mod walk;

use std::borrow::Cow;

pub use self::edit::{Edit, patch};
pub use self::images::Images;
pub use self::surrogates::mended;

use self::walk::Walk;

/// A top-level field of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Model,
    Stream,
    /// Anthropic's output limit.
    MaxTokens,
    /// OpenAI's output limit.
    MaxOutputTokens,
    /// Anthropic's member with the user's id, parsed by `messages::user_id::session_id`.
    Metadata,
    /// OpenAI's session: calls with the same value share a cache.
    PromptCacheKey,
    /// Google's Code Assist: the billed project.
    Project,
    /// Google's Code Assist: the request in the form of the Gemini API.
    Request,
    /// The conversation's id, in that request and in bodies of simpler clients.
    SessionId,
    /// In an answer of Code Assist: the answer in the form of the Gemini API.
    Response,
    /// In an answer of Google: the error.
    Error,
    /// Anthropic's system prompt.
    System,
    /// The conversation, in Anthropic's protocol and OpenAI's Chat Completions.
    Messages,
    /// OpenAI's system prompt.
    Instructions,
    /// OpenAI's conversation.
    Input,
    /// Google's system prompt.
    SystemInstruction,
    /// Google's conversation.
    Contents,
    /// The role of a message.
    Role,
    /// The output limit in OpenAI's Chat Completions.
    MaxCompletionTokens,
    /// Google's generation settings.
    GenerationConfig,
    /// In these: the output limit.
    MaxOutput,
    /// The tools of the client and of the provider.
    Tools,
    /// OpenAI's Chat Completions: the model may search the web.
    WebSearchOptions,
    /// OpenAI's: the stored response that this one continues.
    PreviousResponseId,
    /// OpenAI's: the stored conversation that it belongs to.
    Conversation,
    /// OpenAI's: whether the answer is stored.
    Store,
    /// OpenAI's: whether the answer is made in the background.
    Background,
    /// OpenAI's: the number of images to make.
    Count,
    /// Google's: cached content.
    CachedContent,
    /// Anthropic's: the code execution container.
    Container,
    /// Anthropic's: the version, at hosts that want it in the body.
    AnthropicVersion,
    /// The id of a reference to a stored object.
    Id,
    /// Of an item of OpenAI's conversation.
    Type,
    /// In such an item: content that only its account can read.
    EncryptedContent,
}

const FIELDS: [(&[u8], Field); 34] = [
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
    (b"background", Field::Background),
    (b"n", Field::Count),
    (b"cachedContent", Field::CachedContent),
    (b"container", Field::Container),
    (b"anthropic_version", Field::AnthropicVersion),
    (b"id", Field::Id),
    (b"type", Field::Type),
    (b"encrypted_content", Field::EncryptedContent),
];

/// The positions of the fields' values in the scanned body.
///
/// It travels with its call, so it is small: 32-bit offsets, because no body is longer than the 1024 MiB that
/// `REQUEST_MAX_SIZE_MB` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    members: [Place; FIELDS.len()],
    images: Images,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            members: [Place::default(); FIELDS.len()],
            images: Images::default(),
        }
    }
}

/// The position of a member; all 0 for a missing member, because offset 0 is the object's own bracket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The offset of its name.
    name: u32,
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// Start of its name.
    start: usize,
    value: Span,
}

impl Place {
    /// `None` if an offset does not fit, which no accepted body reaches.
    fn of(member: Member) -> Option<Self> {
        Some(Self {
            name: u32::try_from(member.start).ok()?,
            start: u32::try_from(member.value.start).ok()?,
            end: u32::try_from(member.value.end).ok()?,
        })
    }

    fn member(self) -> Option<Member> {
        (self.end > 0).then_some(Member {
            start: self.name as usize,
            value: Span {
                start: self.start as usize,
                end: self.end as usize,
            },
        })
    }
}

/// Bytes `start..end` of the body: a value including its quotes or brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// Why a body cannot be relayed; the text is sent to the client.
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
    #[error("body is not a form that this relay can read: {0}")]
    Form(&'static str),
    #[error("`model` must be a string")]
    ModelNoString,
}

/// Scans the body and finds its fields.
pub fn scan(body: &[u8]) -> Result<Fields, Malformed> {
    let mut walk = Walk::new(body);
    let mut fields = Fields::default();
    walk.space();
    match walk.peek() {
        Some(b'{') => walk.step(),
        // A JSON value other than an object.
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
    fields.images = walk.images;
    match walk.peek() {
        None => Ok(fields),
        Some(_) => Err(walk.error("unexpected text after the object")),
    }
}

/// The JSON text of an array's first elements, up to and including the first one that is not `leading`. `None` if
/// it is empty or not an array.
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

/// The positions of an array's elements. `None` if it is not an array.
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

impl Fields {
    /// The images in the body.
    pub fn images(&self) -> Images {
        self.images
    }

    pub fn span(&self, field: Field) -> Option<Span> {
        self.member(field).map(|member| member.value)
    }

    /// The field with its name and one comma: the range to remove it from the object.
    pub fn whole_member(&self, field: Field, body: &[u8]) -> Option<Span> {
        self.whole_members(&[field], body).pop()
    }

    /// The ranges to remove several fields from the object. They do not overlap: neighbours are one range.
    pub fn whole_members(&self, fields: &[Field], body: &[u8]) -> Vec<Span> {
        let mut members: Vec<Span> = fields
            .iter()
            .filter_map(|field| self.member_span(*field))
            .collect();
        members.sort_by_key(|member| member.start);
        let mut runs: Vec<Span> = Vec::with_capacity(members.len());
        let separates = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        for member in members {
            match runs.last_mut() {
                Some(run)
                    if body
                        .get(run.end..member.start)
                        .is_some_and(|between| between.iter().all(separates)) =>
                {
                    run.end = member.end;
                }
                _ => runs.push(member),
            }
        }
        runs.into_iter().map(|run| with_comma(run, body)).collect()
    }

    /// The field with its name, without a comma: the range to replace it by another member.
    pub fn member_span(&self, field: Field) -> Option<Span> {
        let Member { start, value } = self.member(field)?;
        Some(Span {
            start,
            end: value.end,
        })
    }

    fn member(&self, field: Field) -> Option<Member> {
        self.members.get(field as usize)?.member()
    }

    /// The value's JSON text.
    pub fn raw<'a>(&self, field: Field, body: &'a [u8]) -> Option<&'a [u8]> {
        self.span(field).map(|span| span.of(body))
    }

    /// The value if it is a string.
    pub fn text<'a>(&self, field: Field, body: &'a [u8]) -> Option<Cow<'a, str>> {
        text(self.raw(field, body)?)
    }

    /// The model's name; `None` if the body has none.
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
        match (slot.member(), only_one) {
            (Some(first), Some(name)) => Err(Malformed::Twice {
                name,
                first: first.value.start,
                second: member.value.start,
            }),
            _ => {
                *slot = Place::of(member).ok_or(Malformed::Json {
                    what: "a value that is too far behind",
                    at: member.value.start,
                })?;
                Ok(())
            }
        }
    }
}

impl Span {
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }

    /// The same range, relative to `by` bytes earlier.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        Self {
            start: self.start + by,
            end: self.end + by,
        }
    }
}

/// A run of members with the comma behind it, or else the one before it.
fn with_comma(run: Span, body: &[u8]) -> Span {
    let blank = |byte: &&u8| byte.is_ascii_whitespace();
    let after = body.get(run.end..).unwrap_or_default();
    let spaces = after.iter().take_while(blank).count();
    if after.get(spaces) == Some(&b',') {
        let end = run.end + spaces + 1;
        return Span { end, ..run };
    }
    let before = body.get(..run.start).unwrap_or_default();
    let comma = before.len() - before.iter().rev().take_while(blank).count();
    match comma.checked_sub(1) {
        Some(start) if before.get(start) == Some(&b',') => Span { start, ..run },
        _ => run,
    }
}

/// `key` with its quotes. It may contain escapes, which a provider would decode.
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
