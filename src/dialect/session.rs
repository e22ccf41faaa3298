//! Sessions: the signals that identify a call's conversation, and their priority.
//!
//! A provider's cache belongs to an account, so the calls of a conversation go to the same account.
//!
//! Source: measured with Claude Code 2.1.330, Codex 0.169.0 and Gemini CLI 0.61.0; older names as sent by older
//! versions of these clients.
//!
//! | protocol | `header` | in the body | `prefix` |
//! | --- | --- | --- | --- |
//! | Anthropic | `x-claude-code-session-id` (Claude Code) | `metadata`: the session in `metadata.user_id`, as a JSON text or behind `_session_` (older versions) | `system`, `messages` |
//! | OpenAI | `session-id` (Codex), `session_id` (older versions), `x-session-id` | `cacheKey`: `prompt_cache_key` | `instructions`, `input` or `messages` |
//! | Google | | `sessionId`: `session_id` (Gemini CLI) | `systemInstruction`, `contents` |
//!
//! The prefix is a hash of the raw system prompt and of the conversation up to the first message that is not an
//! instruction. The provider caches these first, and every call of a conversation repeats them. It is computed
//! only for bodies longer than [`WORTH_IT`], because short ones are not cached. Cache marks (`cache_control`) are
//! excluded, since clients move them to the newest message. Calls with the same beginning share an account, which
//! also suits their cache.
//!
//! The hash of a session includes the key, so ids of different keys never collide. It is the same in every build,
//! because the pool's bindings outlive a deployment.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::body::{Field, Fields, beginning, scan};
use super::origin;
use crate::model::trace::Signal;
use crate::port::gates::KeyHash;

/// Minimum body length for a prefix, bytes.
const WORTH_IT: usize = 4 << 10;

/// Bytes read from each part of the prefix; a first message may contain megabytes of images.
const READ: usize = 16 << 10;

const CACHE_MARK: &[u8] = b"\"cache_control\"";

/// Maximum length of a session id, bytes; longer texts are something else.
const LONGEST_ID: usize = 256;

/// The places of a protocol's signals.
pub struct Signals {
    pub(in crate::dialect) headers: &'static [&'static str],
    pub(in crate::dialect) body: BodySignal,
    pub(in crate::dialect) system: Field,
    /// The first of these that exists.
    pub(in crate::dialect) conversation: &'static [Field],
}

impl Signals {
    /// Whether a header names the session.
    pub fn name_session(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().any(|name| headers.contains_key(*name))
    }
}

/// A session id in the body.
#[derive(Clone, Copy)]
pub(in crate::dialect) struct BodySignal {
    pub(in crate::dialect) signal: Signal,
    pub(in crate::dialect) read: fn(&Fields, &[u8]) -> Option<String>,
}

/// A conversation, as identified by its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub signal: Signal,
    id: Id,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Id {
    Said(String),
    Prefix(u64),
}

impl Session {
    /// The session of a call, by its most reliable signal.
    pub fn of(signals: &Signals, headers: &HeaderMap, fields: &Fields, body: &[u8]) -> Option<Self> {
        let header = signals
            .headers
            .iter()
            .find_map(|name| named(headers.get(*name)?.to_str().ok()?));
        if let Some(id) = header {
            let id = Id::Said(id);
            return Some(Self {
                signal: Signal::Header,
                id,
            });
        }
        let BodySignal { signal, read } = signals.body;
        if let Some(id) = read(fields, body).and_then(|id| named(&id)) {
            let id = Id::Said(id);
            return Some(Self { signal, id });
        }
        let id = Id::Prefix(prefix(signals, fields, body)?);
        Some(Self {
            signal: Signal::Prefix,
            id,
        })
    }

    /// The session's hash for the pool.
    pub fn hash(&self, key: &KeyHash) -> u64 {
        let mut hasher = Sha256::new();
        hasher.update(b"session");
        hasher.update(key.0);
        match &self.id {
            Id::Said(id) => {
                hasher.update(b"said");
                hasher.update(id);
            }
            Id::Prefix(hash) => {
                hasher.update(b"prefix");
                hasher.update(hash.to_be_bytes());
            }
        }
        origin::short(&hasher.finalize())
    }
}

fn named(id: &str) -> Option<String> {
    (!id.is_empty() && id.len() <= LONGEST_ID).then(|| id.to_owned())
}

fn prefix(signals: &Signals, fields: &Fields, body: &[u8]) -> Option<u64> {
    if body.len() <= WORTH_IT {
        return None;
    }
    let conversation = signals
        .conversation
        .iter()
        .find_map(|field| fields.raw(*field, body))?;
    let first = beginning(conversation, is_instruction)?;
    let system = fields.raw(signals.system, body).unwrap_or_default();
    let mut hasher = Sha256::new();
    for part in [system, first] {
        unmarked(part.get(..READ).unwrap_or(part), &mut hasher);
        // Separates the two parts.
        hasher.update([0xff]);
    }
    Some(origin::short(&hasher.finalize()))
}

/// Whether a message is the application's and not the user's, so that many conversations begin with it.
fn is_instruction(message: &[u8]) -> bool {
    let role = scan(message).ok().and_then(|fields| {
        let role = fields.text(Field::Role, message)?;
        Some(role == "system" || role == "developer")
    });
    role.unwrap_or(false)
}

/// Hashes JSON text without its cache marks, each `"cache_control":{...}` with the commas around it. Inside of a
/// string the quotes would be escaped, so a mark is never found there.
fn unmarked(mut text: &[u8], hasher: &mut Sha256) {
    let is_between = |byte: &u8| *byte == b',' || byte.is_ascii_whitespace();
    while let Some(at) = memchr::memmem::find(text, CACHE_MARK) {
        let (before, mark) = text.split_at(at);
        let end = before
            .iter()
            .rposition(|byte| !is_between(byte))
            .map_or(0, |last| last + 1);
        hasher.update(before.get(..end).unwrap_or_default());
        // The value is a flat object or `null`.
        let value = mark.get(CACHE_MARK.len()..).unwrap_or_default();
        let begins = value
            .iter()
            .find(|byte| **byte != b':' && !byte.is_ascii_whitespace());
        let rest = if begins == Some(&b'{') {
            let brace = memchr::memchr(b'}', value).unwrap_or(value.len());
            value.get(brace + 1..)
        } else {
            value.get(memchr::memchr2(b'}', b',', value).unwrap_or(value.len())..)
        };
        let rest = rest.unwrap_or_default();
        let begin = rest
            .iter()
            .position(|byte| !is_between(byte))
            .unwrap_or(rest.len());
        text = rest.get(begin..).unwrap_or_default();
        let opens = end == 0 || before.get(end - 1) == Some(&b'{');
        if !opens && !matches!(text.first(), None | Some(b'}')) {
            hasher.update(b",");
        }
    }
    hasher.update(text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::body::scan;
    use crate::dialect::gemini::SESSION as GEMINI;
    use crate::dialect::messages::SESSION as CLAUDE;
    use crate::dialect::openai::SESSION as OPENAI;

    fn session(header: Option<&str>, body: &Value) -> Option<Session> {
        let mut headers = HeaderMap::new();
        if let Some(id) = header {
            headers.insert("x-claude-code-session-id", id.parse().unwrap());
        }
        let body = body.to_string();
        Session::of(
            &CLAUDE,
            &headers,
            &scan(body.as_bytes()).unwrap(),
            body.as_bytes(),
        )
    }

    /// A call of a conversation that begins with this text.
    fn long(first: &str, marked: usize, turns: usize) -> Value {
        let message = |turn: usize| {
            let mut block = json!({"type": "text", "text": if turn == 0 { first } else { "and then?" }});
            if turn == marked {
                block["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
            }
            json!({"role": "user", "content": [block]})
        };
        let messages: Vec<Value> = (0..turns).map(message).collect();
        json!({"model": "m", "system": "s".repeat(5_000), "messages": messages})
    }

    #[test]
    fn the_surest_signal_is_taken() {
        let id = "0c8f2a4e-1111-4222-8333-444455556666";
        let old = json!({"user_id": format!("user_ab_account__session_{id}")});
        let new =
            json!({"user_id": json!({"device_id": "d", "account_uuid": "", "session_id": id}).to_string()});
        let mut body = long("hello", 9, 1);
        assert_eq!(session(None, &body).unwrap().signal, Signal::Prefix);
        for metadata in [old, new] {
            body["metadata"] = metadata;
            let said = session(None, &body).unwrap();
            assert_eq!(
                (said.signal, said.id.clone()),
                (Signal::Metadata, Id::Said(id.to_owned()))
            );
            let header = session(Some("other"), &body).unwrap();
            assert_eq!(header.signal, Signal::Header);
            // One conversation, whichever signal names it.
            assert_eq!(
                session(Some(id), &body).unwrap().hash(&KeyHash([1; 32])),
                said.hash(&KeyHash([1; 32]))
            );
            assert_eq!(session(Some(""), &body).unwrap().signal, Signal::Metadata);
        }
    }

    #[test]
    fn a_conversation_keeps_its_prefix_while_its_marks_move() {
        let first = session(None, &long("hello", 0, 1)).unwrap();
        for turns in 2..5 {
            assert_eq!(
                session(None, &long("hello", turns - 1, turns)),
                Some(first.clone())
            );
        }
        assert_ne!(session(None, &long("hallo", 0, 1)), Some(first));
        assert_eq!(
            session(
                None,
                &json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
            ),
            None
        );
        assert_eq!(
            session(None, &json!({"model": "m", "system": "s".repeat(5_000)})),
            None
        );
        assert_eq!(
            session(
                None,
                &json!({"model": "m", "system": "s".repeat(5_000), "messages": []})
            ),
            None
        );
    }

    #[test]
    fn each_protocol_has_its_own_signals() {
        let of = |signals: &Signals, header: &'static str, body: &Value| {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(header, "s".parse().unwrap());
            }
            let body = body.to_string();
            Session::of(
                signals,
                &headers,
                &scan(body.as_bytes()).unwrap(),
                body.as_bytes(),
            )
        };
        let signal = |signals, header, body: &Value| of(signals, header, body).map(|session| session.signal);
        let cached = json!({"prompt_cache_key": "k"});
        assert_eq!(signal(&OPENAI, "session-id", &cached), Some(Signal::Header));
        assert_eq!(signal(&OPENAI, "session_id", &cached), Some(Signal::Header));
        assert_eq!(signal(&OPENAI, "", &cached), Some(Signal::CacheKey));
        assert_eq!(
            signal(&OPENAI, "", &json!({"prompt_cache_key": "k".repeat(300)})),
            None
        );
        assert_eq!(
            signal(&GEMINI, "", &json!({"session_id": "g"})),
            Some(Signal::SessionId)
        );
        assert_eq!(signal(&GEMINI, "session-id", &json!({})), None);

        // What the application says first is not the conversation's own.
        let item = |role: &str, text: &str| json!({"role": role, "content": text});
        let said = |first: &str, more: &[&str]| {
            let mut input = vec![
                item("developer", &"d".repeat(5_000)),
                item("system", "s"),
                item("user", first),
            ];
            input.extend(more.iter().map(|text| item("assistant", text)));
            of(&OPENAI, "", &json!({"model": "m", "input": input}))
        };
        let one = said("hello", &[]).unwrap();
        assert_eq!(one.signal, Signal::Prefix);
        assert_eq!(said("hello", &["and", "then"]), Some(one.clone()));
        assert_ne!(said("hallo", &[]), Some(one));
        // A string does not start a conversation, and nothing follows an unfinished array.
        assert_eq!(of(&OPENAI, "", &json!({"input": "x".repeat(5_000)})), None);
        let contents = json!({"contents": [{"role": "user", "parts": [{"text": "x".repeat(5_000)}]}]});
        assert_eq!(signal(&GEMINI, "", &contents), Some(Signal::Prefix));
    }

    #[test]
    fn marks_are_left_out_wherever_they_stand() {
        let hash = |text: &str| {
            let mut hasher = Sha256::new();
            unmarked(text.as_bytes(), &mut hasher);
            origin::short(&hasher.finalize())
        };
        let plain = hash(r#"{"a":1,"b":2}"#);
        assert_ne!(plain, hash(r#"{"a":1,"b":3}"#));
        let end = hash(r#"{"a":1}"#);
        assert_eq!(
            hash(r#"{"a":1, "cache_control":{"type":"ephemeral"} ,"b":2}"#),
            plain
        );
        for marked in [
            r#"{"a":1,"cache_control":{"type":"ephemeral"}}"#,
            r#"{"a":1, "cache_control" : {"type":"ephemeral","ttl":"5m"}}"#,
            r#"{"a":1,"cache_control":null}"#,
            r#"{"cache_control":{"type":"ephemeral"},"a":1}"#,
        ] {
            assert_eq!(hash(marked), end, "{marked}");
        }
        // Cut off in the middle, and in the words of a user.
        hash(r#"{"a":1,"cache_control":{"type":"#);
        hash(r#"{"a":1,"cache_control""#);
        assert_ne!(hash(r#"{"a":"\"cache_control\":{}"}"#), hash(r#"{"a":""}"#));
    }

    #[test]
    fn sessions_of_different_keys_never_meet() {
        let one = session(Some("s"), &json!({"model": "m"})).unwrap();
        assert_ne!(one.hash(&KeyHash([1; 32])), one.hash(&KeyHash([2; 32])));
    }

    /// Written in the store: with other numbers every deployment would forget all sessions.
    #[test]
    fn hashes_are_the_same_in_every_build() {
        let said = session(Some("s"), &json!({"model": "m"})).unwrap();
        let prefix = session(None, &long("hello", 9, 1)).unwrap();
        let key = KeyHash([1; 32]);
        assert_eq!(
            (said.hash(&key), prefix.hash(&key)),
            (0xe723_2f50_61fe_d730, 0x4bd0_ef52_992a_8f72)
        );
    }
}
