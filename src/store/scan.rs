//! Reads all of a Redis key by key, with `SCAN` in small steps so that others are not slowed down.
//!
//! `SCAN` returns every key and element that exists the whole time at least once; repeated ones are recognised by
//! their hash. Requires `PEXPIRETIME`: Redis 7, or Upstash.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::redis::{Args, Value, refusal};
use super::vocabulary::{Kind, unreadable};
use crate::port::clock::Millis;
use crate::port::store::StoreError;
use crate::port::whole::{Content, Part, Parts};

/// Number of keys per step; for each the type, expiry and content is read.
const KEYS: &str = "100";
/// Number of elements of a collection in its first step and in later ones.
const FIRST: &str = "100";
const MORE: &str = "1000";

/// Maximum number of tries while the store is unavailable.
const TRIES: u32 = 7;
const WAIT: Duration = Duration::from_millis(100);

/// Sends commands.
#[async_trait]
pub(super) trait Raw: Send + Sync {
    fn backend(&self) -> &'static str;

    /// Returns one answer per request. All requests only read.
    async fn ask(&self, requests: &[Args]) -> Result<Vec<Value>, StoreError>;

    async fn pause(&self, time: Duration);
}

/// The number of keys.
pub(super) async fn size(raw: &dyn Raw) -> Result<u64, StoreError> {
    match patiently(raw, vec![args(&["DBSIZE"])]).await?.pop() {
        Some(Value::Int(count)) => Ok(count.unsigned_abs()),
        _ => Err(other_shape(raw, "DBSIZE")),
    }
}

pub(super) struct Scan<'a> {
    raw: &'a dyn Raw,
    /// `None` after the last key.
    cursor: Option<Bytes>,
    seen: SeenNames,
    /// Collections with more elements to read.
    long: VecDeque<Long>,
    left_out: u64,
}

/// A key with the metadata needed to read it.
struct KeyInfo {
    key: String,
    kind: Kind,
    end: Option<Millis>,
}

struct Long {
    found: KeyInfo,
    cursor: Bytes,
    seen: SeenNames,
    begins: bool,
}

/// Names already seen, by half of their hash.
#[derive(Default)]
struct SeenNames(HashSet<[u8; 16]>);

impl SeenNames {
    fn is_new(&mut self, name: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(name).into();
        let [half, _] = hash.as_chunks::<16>().0 else {
            return true;
        };
        self.0.insert(*half)
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(raw: &'a dyn Raw) -> Self {
        Self {
            raw,
            cursor: Some(Bytes::from_static(b"0")),
            seen: SeenNames::default(),
            long: VecDeque::new(),
            left_out: 0,
        }
    }

    /// The next keys with their metadata.
    async fn keys(&mut self, cursor: Bytes) -> Result<Vec<KeyInfo>, StoreError> {
        let mut request = args(&["SCAN", "", "COUNT", KEYS]);
        if let Some(place) = request.get_mut(1) {
            *place = cursor;
        }
        let answer = patiently(self.raw, vec![request]).await?.pop();
        let (next, names) = page(answer).ok_or_else(|| other_shape(self.raw, "SCAN"))?;
        self.cursor = Some(next).filter(|next| next.as_ref() != b"0");
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            if !self.seen.is_new(&name) {
                continue;
            }
            match String::from_utf8(name.into()) {
                Ok(key) => keys.push(key),
                Err(_) => self.left_out += 1,
            }
        }
        let requests = keys
            .iter()
            .flat_map(|key| [args(&["TYPE", key]), args(&["PEXPIRETIME", key])])
            .collect();
        let mut answers = patiently(self.raw, requests).await?.into_iter();
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let (Some(Value::Text(kind)), Some(end)) = (answers.next(), answers.next()) else {
                return Err(other_shape(self.raw, "TYPE"));
            };
            let end = match end {
                // It has expired meanwhile.
                Value::Int(-2) => continue,
                Value::Int(end) => u64::try_from(end).ok(),
                Value::Error { code, message } => {
                    let reason = format!("{message}: a backup needs Redis 7 or later");
                    return Err(refusal(self.raw.backend(), &code, &reason));
                }
                _ => return Err(other_shape(self.raw, "PEXPIRETIME")),
            };
            let kind = match kind.as_ref() {
                b"string" => Kind::Text,
                b"hash" => Kind::Hash,
                b"set" => Kind::Set,
                b"zset" => Kind::Sorted,
                b"none" => continue,
                _ => {
                    self.left_out += 1;
                    continue;
                }
            };
            found.push(KeyInfo { key, kind, end });
        }
        Ok(found)
    }

    /// The content of these keys, or its first part.
    async fn contents(&mut self, found: Vec<KeyInfo>) -> Result<Vec<Part>, StoreError> {
        let requests = found.iter().map(|found| content(found, b"0", FIRST)).collect();
        let answers = patiently(self.raw, requests).await?;
        let mut parts = Vec::with_capacity(found.len());
        for (found, answer) in found.into_iter().zip(answers) {
            if found.kind == Kind::Text {
                match answer {
                    Value::Text(text) => parts.push(Part {
                        key: found.key,
                        end: found.end,
                        begins: true,
                        content: Content::Text(text),
                    }),
                    // The key is gone.
                    Value::Nil => {}
                    _ => return Err(other_shape(self.raw, &found.key)),
                }
                continue;
            }
            let mut long = Long {
                found,
                cursor: Bytes::from_static(b"0"),
                seen: SeenNames::default(),
                begins: true,
            };
            let part = self.take(&mut long, answer)?;
            if long.cursor.as_ref() == b"0" {
                parts.extend(part);
            } else {
                // Parts of a key must be adjacent, so it is read again from the start with the others.
                long.cursor = Bytes::from_static(b"0");
                long.seen = SeenNames::default();
                long.begins = true;
                self.long.push_back(long);
            }
        }
        Ok(parts)
    }

    /// Decodes one step of a collection and advances its cursor.
    fn take(&mut self, long: &mut Long, answer: Value) -> Result<Option<Part>, StoreError> {
        let shape = || unreadable(&long.found.key, "its elements were answered in another shape");
        let (cursor, items) = page(Some(answer)).ok_or_else(shape)?;
        let mut content = match long.found.kind {
            Kind::Hash => Content::Hash(Vec::new()),
            Kind::Sorted => Content::Sorted(Vec::new()),
            Kind::Set | Kind::Text => Content::Set(Vec::new()),
        };
        let mut items = items.into_iter();
        while let Some(name) = items.next() {
            let value = match long.found.kind {
                Kind::Hash | Kind::Sorted => items.next().ok_or_else(shape)?,
                Kind::Set | Kind::Text => Bytes::new(),
            };
            if !long.seen.is_new(&name) {
                continue;
            }
            let Ok(name) = String::from_utf8(name.into()) else {
                self.left_out += 1;
                continue;
            };
            match &mut content {
                Content::Hash(entries) => entries.push((name, value)),
                Content::Sorted(entries) => {
                    let score = std::str::from_utf8(&value)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    entries.push((score.ok_or_else(shape)?, name));
                }
                Content::Set(members) => members.push(name),
                Content::Text(_) => {}
            }
        }
        long.cursor = cursor;
        if content.is_empty() {
            return Ok(None);
        }
        Ok(Some(Part {
            key: long.found.key.clone(),
            end: long.found.end,
            begins: std::mem::take(&mut long.begins),
            content,
        }))
    }
}

#[async_trait]
impl Parts for Scan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Part>>, StoreError> {
        loop {
            let parts = if let Some(mut long) = self.long.pop_front() {
                let request = content(&long.found, &long.cursor, MORE);
                let answer = patiently(self.raw, vec![request]).await?.pop();
                let part = self.take(&mut long, answer.unwrap_or(Value::Nil))?;
                if long.cursor.as_ref() != b"0" {
                    self.long.push_front(long);
                }
                part.into_iter().collect()
            } else if let Some(cursor) = self.cursor.take() {
                let found = self.keys(cursor).await?;
                self.contents(found).await?
            } else {
                return Ok(None);
            };
            if !parts.is_empty() {
                return Ok(Some(parts));
            }
        }
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn content(found: &KeyInfo, cursor: &[u8], count: &str) -> Args {
    let name = match found.kind {
        Kind::Text => return args(&["GET", &found.key]),
        Kind::Hash => "HSCAN",
        Kind::Set => "SSCAN",
        Kind::Sorted => "ZSCAN",
    };
    let mut request = args(&[name, &found.key]);
    request.push(Bytes::copy_from_slice(cursor));
    request.extend(args(&["COUNT", count]));
    request
}

/// Retries for some seconds until there is an answer. An error of a single command is an answer.
async fn patiently(raw: &dyn Raw, requests: Vec<Args>) -> Result<Vec<Value>, StoreError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut wait = WAIT;
    for _ in 1..TRIES {
        match raw.ask(&requests).await {
            Err(StoreError::Away { .. }) => {}
            answer => return answer,
        }
        raw.pause(wait).await;
        wait *= 2;
    }
    raw.ask(&requests).await
}

/// A cursor and its page.
fn page(answer: Option<Value>) -> Option<(Bytes, Vec<Bytes>)> {
    let Some(Value::List(answer)) = answer else {
        return None;
    };
    let [cursor, items] = <[Value; 2]>::try_from(answer).ok()?;
    let cursor = match cursor {
        Value::Text(cursor) => cursor,
        Value::Int(cursor) => Bytes::from(cursor.to_string()),
        _ => return None,
    };
    let Value::List(items) = items else { return None };
    let items = items.into_iter().map(|item| match item {
        Value::Text(text) => Some(text),
        Value::Int(number) => Some(Bytes::from(number.to_string())),
        Value::Double(number) => Some(Bytes::from(format!("{number:?}"))),
        _ => None,
    });
    Some((cursor, items.collect::<Option<_>>()?))
}

fn args(words: &[&str]) -> Args {
    words
        .iter()
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect()
}

fn other_shape(raw: &dyn Raw, what: &str) -> StoreError {
    StoreError::Failed {
        kind: raw.backend(),
        reason: format!("{what} was answered in another shape"),
    }
}
