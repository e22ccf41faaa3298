//! References to objects that a provider stores for one account: those in a call, and those created by an answer.
//!
//! | protocol | in the request | in the answer |
//! | --- | --- | --- |
//! | Responses | `previous_response_id`, `conversation`, `file_id`s, the newest `encrypted_content` | `id`, unless `store` is false; the last `encrypted_content` |
//! | Chat Completions | `file_id`s | |
//! | Anthropic | `container`, `file_id`s, the newest reasoning that OpenAI encrypted | the last `encrypted_content`, of OpenAI's accounts |
//! | Google | `cachedContent`, `fileUri`s of the Files API | |
//!
//! The pool learns an object's account when an answer creates it there, or when a call that refers to it succeeds
//! there (`crs_durable::pool::Origin`). The hash includes the client key, so other keys' ids reveal nothing.
//! Thinking signatures are not tracked: a provider accepts them on all its accounts.
//!
//! Sources: OpenAI's API reference (Responses, "Conversation state", "Reasoning: encrypted reasoning items"),
//! Anthropic's (Files, code execution's containers), Google's (Files, context caching).

use std::borrow::Cow;

use crs_durable::pool::Origin;
use sha2::{Digest as _, Sha256};

use super::body::{Field, Fields, scan};
use super::endpoint::Endpoint;
use super::wire::marks::OPENAI;
use crate::port::gates::KeyHash;

/// Maximum number of references per call.
const MOST: usize = 16;

/// Maximum length of an id, bytes; longer texts are ignored. Encrypted reasoning is not an id and may be longer.
const LONGEST_ID: usize = 512;

/// An object that a provider stores for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    pub kind: Kind,
    /// Hash of its id.
    id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Response,
    /// The mark of a response made in the background whose usage is not charged yet. Nothing refers to it.
    Unpaid,
    Conversation,
    Container,
    Cache,
    File,
    /// Unlike the others it can be removed, so that another account may serve the call.
    Reasoning,
}

impl Kind {
    /// The kind in a message for the client.
    pub fn description(self) -> &'static str {
        match self {
            Self::Response | Self::Unpaid => "a stored response (`previous_response_id`)",
            Self::Conversation => "a stored conversation (`conversation`)",
            Self::Container => "a code execution container (`container`)",
            Self::Cache => "cached content (`cachedContent`)",
            Self::File => "an uploaded file",
            Self::Reasoning => "encrypted reasoning",
        }
    }

    /// The kind in the call's trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Unpaid => "unpaid",
            Self::Conversation => "conversation",
            Self::Container => "container",
            Self::Cache => "cache",
            Self::File => "file",
            Self::Reasoning => "reasoning",
        }
    }
}

impl Reference {
    pub fn new(kind: Kind, id: &[u8]) -> Self {
        let id = fingerprint(id);
        Self { kind, id }
    }

    /// Its hash for the pool.
    pub fn origin(self, key: &KeyHash) -> Origin {
        let mut hasher = Sha256::new();
        hasher.update(b"origin");
        hasher.update(key.0);
        hasher.update(self.kind.name());
        hasher.update(self.id.to_be_bytes());
        Origin {
            id: short(&hasher.finalize()),
            loose: self.kind == Kind::Reasoning,
        }
    }
}

/// Hash of an id or of encrypted reasoning; the same in every build.
pub fn fingerprint(id: &[u8]) -> u64 {
    short(&Sha256::digest(id))
}

/// The pool's hash for this encrypted reasoning.
pub(crate) fn of_reasoning(sealed: &[u8], key: &KeyHash) -> u64 {
    Reference::new(Kind::Reasoning, sealed).origin(key).id
}

/// For each item of a conversation, oldest first, whether an account made it. The pool remembers only the newest
/// item of each part, so earlier items up to it have the same maker.
pub(crate) fn made_by_account(made: &[Option<bool>]) -> Vec<bool> {
    let mut maker = None;
    let mut readable: Vec<bool> = made
        .iter()
        .rev()
        .map(|made| {
            maker = made.or(maker);
            maker == Some(true)
        })
        .collect();
    readable.reverse();
    readable
}

/// The first bytes of a digest as a number.
pub(crate) fn short(digest: &[u8]) -> u64 {
    let first = digest.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

/// The references of a call, the most restrictive first.
pub fn referred_to(endpoint: Endpoint, fields: &Fields, body: &[u8]) -> Vec<Reference> {
    let mut found = References(Vec::new());
    match endpoint {
        Endpoint::Responses | Endpoint::CompactResponses => {
            found.field(Kind::Response, Field::PreviousResponseId, fields, body);
            found.field(Kind::Conversation, Field::Conversation, fields, body);
            found.all(Kind::File, b"\"file_id\"", body);
            let input = fields.raw(Field::Input, body).unwrap_or_default();
            if let Some(newest) = last_string(input, b"\"encrypted_content\"") {
                found.push(Reference::new(Kind::Reasoning, newest));
            }
        }
        Endpoint::ChatCompletions | Endpoint::CountInput | Endpoint::Images(_) => {
            found.all(Kind::File, b"\"file_id\"", body);
        }
        Endpoint::Messages | Endpoint::CountTokens => {
            found.field(Kind::Container, Field::Container, fields, body);
            found.all(Kind::File, b"\"file_id\"", body);
            if let Some(newest) = last_sealed(body) {
                found.push(Reference::new(Kind::Reasoning, newest));
            }
        }
        Endpoint::Generate(_) | Endpoint::CountContent(_) => {
            let request = fields.raw(Field::Request, body);
            let request = request.and_then(|request| Some((scan(request).ok()?, request)));
            let (fields, body) = match &request {
                Some((fields, request)) => (fields, *request),
                None => (fields, body),
            };
            found.field(Kind::Cache, Field::CachedContent, fields, body);
            found.all(Kind::File, b"\"fileUri\"", body);
            found.all(Kind::File, b"\"file_uri\"", body);
        }
        // These have no body: see `Reference::of_object`.
        Endpoint::Assist(_) | Endpoint::Stored(_) => {}
    }
    found.0
}

/// Whether the provider stores the answer, so that later calls can refer to it.
pub fn is_stored(fields: &Fields, body: &[u8]) -> bool {
    fields.raw(Field::Store, body) != Some(b"false")
}

/// Whether the answer is made in the background.
pub fn is_background(fields: &Fields, body: &[u8]) -> bool {
    fields.raw(Field::Background, body) == Some(b"true")
}

/// The objects created by an answer: its id, if the provider stores it, and the fingerprint of its last encrypted
/// reasoning. `unpaid`: its usage is not known yet.
pub fn made(
    endpoint: Endpoint,
    stored: bool,
    unpaid: bool,
    answer: Option<&str>,
    reasoning: Option<u64>,
) -> Vec<Reference> {
    if !matches!(endpoint, Endpoint::Responses) {
        return Vec::new();
    }
    let of = |kind| answer.map(|id| Reference::new(kind, id.as_bytes()));
    let response = of(Kind::Response).filter(|_| stored);
    let unpaid = of(Kind::Unpaid).filter(|_| stored && unpaid);
    let kind = Kind::Reasoning;
    let reasoning = reasoning.map(|id| Reference { kind, id });
    response.into_iter().chain(unpaid).chain(reasoning).collect()
}

struct References(Vec<Reference>);

impl References {
    fn push(&mut self, reference: Reference) {
        if self.0.len() < MOST && !self.0.contains(&reference) {
            self.0.push(reference);
        }
    }

    fn id(&mut self, kind: Kind, id: &str) {
        if !id.is_empty() && id.len() <= LONGEST_ID {
            self.push(Reference::new(kind, id.as_bytes()));
        }
    }

    /// The id is the field's text, or the `id` of its object.
    fn field(&mut self, kind: Kind, field: Field, fields: &Fields, body: &[u8]) {
        let Some(raw) = fields.raw(field, body) else {
            return;
        };
        if let Some(id) = fields.text(field, body) {
            self.id(kind, &id);
        } else if raw.first() == Some(&b'{')
            && let Ok(inner) = scan(raw)
            && let Some(id) = inner.text(Field::Id, raw)
        {
            self.id(kind, &id);
        }
    }

    /// All string members of this name at any depth. Inside of a string the name's quotes would be escaped, so it
    /// is never found there.
    fn all(&mut self, kind: Kind, name: &[u8], body: &[u8]) {
        for at in memchr::memmem::find_iter(body, name) {
            let id = string(body.get(at + name.len()..).unwrap_or_default());
            let Some(id) = id.and_then(|id| std::str::from_utf8(id).ok()) else {
                continue;
            };
            // JSON may escape slashes.
            let id = if id.contains("\\/") {
                Cow::Owned(id.replace("\\/", "/"))
            } else {
                Cow::Borrowed(id)
            };
            // Google's field accepts any address, and most are not stored files.
            if name == b"\"file_id\"" || id.contains("/files/") || id.starts_with("files/") {
                self.id(kind, &id);
            }
            if self.0.len() >= MOST {
                return;
            }
        }
    }
}

/// The last position of the name. Most bodies do not contain it, which a forward search finds out six times as
/// fast as a backward one.
fn rfind(text: &[u8], name: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, name)?;
    memchr::memmem::rfind(text, name)
}

/// The string value of the last member of this name.
fn last_string<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut end = text.len();
    loop {
        let at = rfind(text.get(..end)?, name)?;
        if let Some(found) = string(text.get(at + name.len()..)?) {
            return Some(found);
        }
        end = at;
    }
}

/// The last reasoning encrypted by OpenAI that a client of another protocol carries.
fn last_sealed(body: &[u8]) -> Option<&[u8]> {
    let at = rfind(body, OPENAI.as_bytes())?;
    // It is a string of its own.
    let before = at.checked_sub(1).and_then(|before| body.get(before));
    let sealed = body.get(at + OPENAI.len()..).filter(|_| before == Some(&b'"'))?;
    let end = memchr::memchr(b'"', sealed)?;
    sealed.get(..end).filter(|sealed| !sealed.is_empty())
}

/// The raw string after a colon: the providers' values have no escapes except for slashes.
fn string(text: &[u8]) -> Option<&[u8]> {
    let value = text.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', value)?;
    value.get(..end).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::endpoint::Surface;

    fn of(endpoint: Endpoint, body: &Value) -> Vec<Reference> {
        let body = body.to_string();
        referred_to(endpoint, &scan(body.as_bytes()).unwrap(), body.as_bytes())
    }

    fn is(kind: Kind, id: &str) -> Reference {
        Reference::new(kind, id.as_bytes())
    }

    #[test]
    fn each_protocol_names_what_it_refers_to() {
        let body = json!({
            "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}, "store": true,
            "input": [
                {"type": "message", "content": [{"type": "input_file", "file_id": "file-1"}]},
                {"type": "reasoning", "encrypted_content": "old", "summary": []},
                {"type": "reasoning", "encrypted_content": "new", "summary": []},
                {"type": "reasoning", "encrypted_content": null, "summary": []},
                {"type": "message", "content": "the text \"encrypted_content\": \"x\""},
            ],
        });
        assert_eq!(
            of(Endpoint::Responses, &body),
            [
                is(Kind::Response, "resp_1"),
                is(Kind::Conversation, "conv_1"),
                is(Kind::File, "file-1"),
                is(Kind::Reasoning, "new"),
            ]
        );
        let body = json!({
            "container": "container_1",
            "messages": [{"content": [{"source": {"type": "file", "file_id": "file_1"}}, {"file_id": "file_1"}]}],
        });
        assert_eq!(
            of(Endpoint::Messages, &body),
            [is(Kind::Container, "container_1"), is(Kind::File, "file_1")]
        );
        let inner = json!({
            "cachedContent": "cachedContents/1",
            "contents": [{"parts": [
                {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
                {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            ]}],
        });
        let expected = [
            is(Kind::Cache, "cachedContents/1"),
            is(
                Kind::File,
                "https://generativelanguage.googleapis.com/v1beta/files/1",
            ),
        ];
        assert_eq!(of(Endpoint::Generate(Surface::V1Beta), &inner), expected);
        let outer = json!({"model": "m", "request": inner});
        assert_eq!(of(Endpoint::Generate(Surface::Internal), &outer), expected);
        assert_eq!(of(Endpoint::Responses, &json!({"input": "hi"})), []);
    }

    #[test]
    fn the_newest_item_of_a_part_speaks_for_those_before_it() {
        let (its, others) = (Some(true), Some(false));
        assert_eq!(
            made_by_account(&[None, others, None, None, its, None]),
            [false, false, true, true, true, false]
        );
        assert_eq!(made_by_account(&[None, None]), [false, false]);
        assert!(made_by_account(&[]).is_empty());
    }

    #[test]
    fn references_are_bounded() {
        let files: Vec<Value> = (0..1_000)
            .map(|n| json!({"file_id": format!("file-{n}")}))
            .collect();
        let long = json!({"previous_response_id": "r".repeat(600), "input": files});
        let found = of(Endpoint::Responses, &long);
        assert_eq!(found.len(), MOST);
        assert!(found.iter().all(|reference| reference.kind == Kind::File));
    }

    #[test]
    fn names_are_of_one_key_and_the_same_in_every_build() {
        let one = is(Kind::Response, "resp_1").origin(&KeyHash([1; 32]));
        assert_ne!(one, is(Kind::Response, "resp_1").origin(&KeyHash([2; 32])));
        assert_ne!(one.id, is(Kind::File, "resp_1").origin(&KeyHash([1; 32])).id);
        assert!(!one.loose && is(Kind::Reasoning, "x").origin(&KeyHash([1; 32])).loose);
        // Written in the store: another number would forget what is bound.
        assert_eq!(fingerprint(b"abc"), 0xba78_16bf_8f01_cfea);
    }
}
