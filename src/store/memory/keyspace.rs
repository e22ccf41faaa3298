//! Keys, values and expiries, and an undo log to roll back an atomic batch.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::value::{Sorted, Value, read, swap};
use crate::port::clock::Millis;
use crate::port::store::{Command, Guard, Reply, StoreError};
use crate::store::vocabulary::{add, whole_number};

/// Number of expired keys removed per call; more than one call can add, so that they do not pile up.
const FORGOTTEN_PER_CALL: usize = 20;

#[derive(Default)]
pub(super) struct Keyspace {
    pub(super) entries: HashMap<String, Entry>,
    /// Every expiring key, soonest first.
    ends: BTreeSet<(Millis, String)>,
    /// The undo log of the running atomic batch, newest last; `None` outside of one.
    undo: Option<Vec<Undo>>,
}

pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) expire_at: Option<Millis>,
}

enum Undo {
    Entry {
        key: String,
        was: Option<Entry>,
    },
    End {
        key: String,
        was: Option<Millis>,
    },
    Field {
        key: String,
        field: String,
        was: Option<Bytes>,
    },
    Member {
        key: String,
        member: String,
        was: bool,
    },
    Score {
        key: String,
        member: String,
        was: Option<f64>,
    },
}

impl Keyspace {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn forget_expired(&mut self, now: Millis) {
        for _ in 0..FORGOTTEN_PER_CALL {
            match self.ends.first() {
                Some((end, _)) if *end <= now => {}
                _ => return,
            }
            if let Some((_, key)) = self.ends.pop_first() {
                self.entries.remove(&key);
            }
        }
    }

    pub(super) fn holds(&mut self, now: Millis, guard: &Guard) -> Result<bool, StoreError> {
        self.expire(guard.key(), now);
        let value = self.entries.get(guard.key()).map(|entry| &entry.value);
        match (guard, value) {
            (Guard::Value { is: None, .. }, value) => Ok(value.is_none()),
            (Guard::Value { is: Some(_), .. } | Guard::Field { is: Some(_), .. }, None) => Ok(false),
            (Guard::Field { is: None, .. }, None) => Ok(true),
            (Guard::Value { is: Some(is), .. }, Some(Value::Text(text))) => Ok(text == is),
            (Guard::Field { field, is, .. }, Some(Value::Hash(fields))) => {
                Ok(fields.get(field) == is.as_ref())
            }
            _ => Err(guard.wrong_type()),
        }
    }

    /// Runs the whole batch, or changes nothing.
    pub(super) fn all_or_nothing(&mut self, now: Millis, batch: &[Command]) -> Result<(), StoreError> {
        self.undo = Some(Vec::new());
        let result = batch
            .iter()
            .try_for_each(|command| self.apply(now, command).map(drop));
        let undo = self.undo.take().unwrap_or_default();
        if result.is_err() {
            undo.into_iter().rev().for_each(|step| self.take_back(step));
        }
        result
    }

    pub(super) fn apply(&mut self, now: Millis, command: &Command) -> Result<Reply, StoreError> {
        command.check()?;
        if command.is_idle() {
            return Ok(match command {
                Command::HMGet { .. } => Reply::Values(Vec::new()),
                _ => Reply::Int(0),
            });
        }
        let key = command.key();
        self.expire(key, now);
        let entry = self.entries.get_mut(key);
        if let (Some(kind), Some(entry)) = (command.kind(), &entry)
            && kind != entry.value.kind()
        {
            return Err(command.wrong_type());
        }
        if command.writes() {
            return self.write(now, command);
        }
        Ok(read(command, entry.map(|entry| &entry.value)))
    }

    fn write(&mut self, now: Millis, command: &Command) -> Result<Reply, StoreError> {
        let key = command.key();
        let mut count = 0;
        match command {
            Command::Set { value, expire_at, .. } => {
                let lives = expire_at.is_none_or(|end| end > now);
                let entry = Entry {
                    value: Value::Text(value.clone()),
                    expire_at: *expire_at,
                };
                self.put(key, lives.then_some(entry));
                return Ok(Reply::Ok);
            }
            Command::Del { .. } => {
                count = i64::from(self.entries.contains_key(key));
                self.put(key, None);
            }
            Command::PExpireAt { at, .. } => {
                if *at <= now {
                    self.put(key, None);
                } else if let Some(was) = self.end(key, Some(*at)) {
                    self.note(|| Undo::End {
                        key: key.to_owned(),
                        was,
                    });
                }
                return Ok(Reply::Ok);
            }
            Command::IncrBy { by, .. } => {
                let entry = self.entries.get(key);
                let held = match entry.map(|entry| &entry.value) {
                    Some(Value::Text(text)) => whole_number(text),
                    _ => Some(0),
                };
                count = add(key, held, *by)?;
                let expire_at = entry.and_then(|entry| entry.expire_at);
                self.put(
                    key,
                    Some(Entry {
                        value: Value::Text(count.to_string().into()),
                        expire_at,
                    }),
                );
            }
            Command::HSet { entries, .. } => {
                for (field, value) in entries {
                    count += i64::from(self.field(key, field, Some(value.clone())).is_none());
                }
            }
            Command::HDel { fields, .. } => {
                for field in fields {
                    count += i64::from(self.field(key, field, None).is_some());
                }
            }
            Command::HIncrBy { field, by, .. } => {
                let held = match self.entries.get(key).map(|entry| &entry.value) {
                    Some(Value::Hash(fields)) => fields.get(field).map_or(Some(0), |text| whole_number(text)),
                    _ => Some(0),
                };
                count = add(key, held, *by)?;
                self.field(key, field, Some(count.to_string().into()));
            }
            Command::SAdd { members, .. } => {
                for member in members {
                    count += i64::from(!self.member(key, member, true));
                }
            }
            Command::SRem { members, .. } => {
                for member in members {
                    count += i64::from(self.member(key, member, false));
                }
            }
            Command::ZAdd { entries, .. } => {
                for (score, member) in entries {
                    count += i64::from(self.score(key, member, Some(*score)).is_none());
                }
            }
            Command::ZIncrBy { by, member, .. } => {
                let held = match self.entries.get(key).map(|entry| &entry.value) {
                    Some(Value::Sorted(sorted)) => sorted.scores.get(member).copied().unwrap_or(0.0),
                    _ => 0.0,
                };
                let score = held + by + 0.0;
                self.score(key, member, Some(score));
                return Ok(Reply::Score(Some(score)));
            }
            Command::ZRem { members, .. } => {
                for member in members {
                    count += i64::from(self.score(key, member, None).is_some());
                }
            }
            Command::ZRemRangeByScore { min, max, .. } => {
                let members: Vec<String> = match self.entries.get(key).map(|entry| &entry.value) {
                    Some(Value::Sorted(sorted)) => sorted
                        .between(*min, *max)
                        .map(|(_, member)| member.clone())
                        .collect(),
                    _ => Vec::new(),
                };
                for member in members {
                    count += i64::from(self.score(key, &member, None).is_some());
                }
            }
            _ => {}
        }
        Ok(Reply::Int(count))
    }

    fn expire(&mut self, key: &str, now: Millis) {
        let ended = |entry: &Entry| entry.expire_at.is_some_and(|end| end <= now);
        if self.entries.get(key).is_some_and(ended) {
            // Not logged: a rollback need not restore expired keys.
            self.take(key);
        }
    }

    fn note(&mut self, step: impl FnOnce() -> Undo) {
        if let Some(undo) = &mut self.undo {
            undo.push(step());
        }
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        if let Some(end) = entry.expire_at {
            self.ends.remove(&(end, key.to_owned()));
        }
        Some(entry)
    }

    /// Inserts a value at a free key, without logging.
    fn keep(&mut self, key: &str, entry: Entry) {
        if let Some(end) = entry.expire_at {
            self.ends.insert((end, key.to_owned()));
        }
        self.entries.insert(key.to_owned(), entry);
    }

    fn put(&mut self, key: &str, entry: Option<Entry>) {
        let was = self.take(key);
        if let Some(entry) = entry {
            self.keep(key, entry);
        }
        self.note(|| Undo::Entry {
            key: key.to_owned(),
            was,
        });
    }

    /// Sets the key's expiry if the key exists; returns the old one.
    #[expect(
        clippy::option_option,
        reason = "the outer: is there such a key; the inner: had it an end"
    )]
    fn end(&mut self, key: &str, end: Option<Millis>) -> Option<Option<Millis>> {
        let entry = self.entries.get_mut(key)?;
        let was = std::mem::replace(&mut entry.expire_at, end);
        if let Some(was) = was {
            self.ends.remove(&(was, key.to_owned()));
        }
        if let Some(end) = end {
            self.ends.insert((end, key.to_owned()));
        }
        Some(was)
    }

    /// The value at the key, created by `empty` if there is none.
    fn open(&mut self, key: &str, empty: fn() -> Value) -> Option<&mut Value> {
        if !self.entries.contains_key(key) {
            self.put(
                key,
                Some(Entry {
                    value: empty(),
                    expire_at: None,
                }),
            );
        }
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Removes a key whose last field or member was removed.
    fn close(&mut self, key: &str) {
        if self.entries.get(key).is_some_and(|entry| entry.value.is_empty()) {
            self.put(key, None);
        }
    }

    fn field(&mut self, key: &str, field: &str, value: Option<Bytes>) -> Option<Bytes> {
        let Some(Value::Hash(fields)) = self.open(key, || Value::Hash(HashMap::new())) else {
            return None;
        };
        let was = swap(fields, field, value);
        self.note(|| Undo::Field {
            key: key.to_owned(),
            field: field.to_owned(),
            was: was.clone(),
        });
        self.close(key);
        was
    }

    fn member(&mut self, key: &str, member: &str, is: bool) -> bool {
        let Some(Value::Set(members)) = self.open(key, || Value::Set(HashSet::new())) else {
            return false;
        };
        let was = if is {
            !members.insert(member.to_owned())
        } else {
            members.remove(member)
        };
        self.note(|| Undo::Member {
            key: key.to_owned(),
            member: member.to_owned(),
            was,
        });
        self.close(key);
        was
    }

    fn score(&mut self, key: &str, member: &str, score: Option<f64>) -> Option<f64> {
        let Some(Value::Sorted(sorted)) = self.open(key, || Value::Sorted(Sorted::default())) else {
            return None;
        };
        let was = sorted.swap(member, score);
        self.note(|| Undo::Score {
            key: key.to_owned(),
            member: member.to_owned(),
            was,
        });
        self.close(key);
        was
    }

    fn take_back(&mut self, step: Undo) {
        match step {
            Undo::Entry { key, was } => {
                self.take(&key);
                if let Some(entry) = was {
                    self.keep(&key, entry);
                }
            }
            Undo::End { key, was } => {
                self.end(&key, was);
            }
            Undo::Field { key, field, was } => {
                if let Some(Entry {
                    value: Value::Hash(fields),
                    ..
                }) = self.entries.get_mut(&key)
                {
                    swap(fields, &field, was);
                }
            }
            Undo::Member { key, member, was } => {
                if let Some(Entry {
                    value: Value::Set(members),
                    ..
                }) = self.entries.get_mut(&key)
                {
                    if was {
                        members.insert(member);
                    } else {
                        members.remove(&member);
                    }
                }
            }
            Undo::Score { key, member, was } => {
                if let Some(Entry {
                    value: Value::Sorted(sorted),
                    ..
                }) = self.entries.get_mut(&key)
                {
                    sorted.swap(&member, was);
                }
            }
        }
    }
}
