//! Values of every type, and commands that read them.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use crate::port::store::{Command, Reply};
use crate::store::vocabulary::{Kind, rank, score};

pub(super) enum Value {
    Text(Bytes),
    Hash(HashMap<String, Bytes>),
    Set(HashSet<String>),
    Sorted(Sorted),
}

#[derive(Default)]
pub(super) struct Sorted {
    pub(super) scores: HashMap<String, f64>,
    /// The same entries, lowest score first, ties by member.
    ranks: BTreeSet<(u64, String)>,
}

/// Answers a read command from a value of its type.
pub(super) fn read(command: &Command, value: Option<&Value>) -> Reply {
    match (command, value) {
        (Command::Exists { .. }, value) => Reply::Int(i64::from(value.is_some())),
        (Command::Get { .. }, Some(Value::Text(text))) => Reply::Value(Some(text.clone())),
        (Command::HGet { field, .. }, Some(Value::Hash(fields))) => Reply::Value(fields.get(field).cloned()),
        (Command::Get { .. } | Command::HGet { .. }, _) => Reply::Value(None),
        (Command::HMGet { fields, .. }, Some(Value::Hash(held))) => {
            Reply::Values(fields.iter().map(|field| held.get(field).cloned()).collect())
        }
        (Command::HMGet { fields, .. }, _) => Reply::Values(vec![None; fields.len()]),
        (Command::HGetAll { .. }, Some(Value::Hash(fields))) => Reply::Entries(
            fields
                .iter()
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect(),
        ),
        (Command::HGetAll { .. }, _) => Reply::Entries(Vec::new()),
        (Command::SMembers { .. }, Some(Value::Set(members))) => {
            Reply::Members(members.iter().cloned().collect())
        }
        (Command::SMembers { .. }, _) => Reply::Members(Vec::new()),
        (Command::ZScore { member, .. }, Some(Value::Sorted(sorted))) => {
            Reply::Score(sorted.scores.get(member).copied())
        }
        (Command::ZScore { .. }, _) => Reply::Score(None),
        (
            Command::ZRangeByScore {
                min,
                max,
                rev,
                offset,
                limit,
                ..
            },
            Some(Value::Sorted(sorted)),
        ) => Reply::Scored(sorted.page(*min, *max, *rev, *offset, *limit)),
        (Command::ZRangeByScore { .. }, _) => Reply::Scored(Vec::new()),
        (_, value) => Reply::Int(value.map_or(0, |value| i64::try_from(value.len()).unwrap_or(i64::MAX))),
    }
}

impl Value {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Value::Text(_) => Kind::Text,
            Value::Hash(_) => Kind::Hash,
            Value::Set(_) => Kind::Set,
            Value::Sorted(_) => Kind::Sorted,
        }
    }

    fn len(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Hash(fields) => fields.len(),
            Value::Set(members) => members.len(),
            Value::Sorted(sorted) => sorted.scores.len(),
        }
    }

    /// Whether the key must be removed. A text may be empty and still exist.
    pub(super) fn is_empty(&self) -> bool {
        !matches!(self, Value::Text(_)) && self.len() == 0
    }
}

impl Sorted {
    pub(super) fn swap(&mut self, member: &str, score: Option<f64>) -> Option<f64> {
        let was = swap(&mut self.scores, member, score.map(|score| score + 0.0));
        if let Some(was) = was {
            self.ranks.remove(&(rank(was), member.to_owned()));
        }
        if let Some(score) = score {
            self.ranks.insert((rank(score), member.to_owned()));
        }
        was
    }

    pub(super) fn between(&self, min: f64, max: f64) -> impl DoubleEndedIterator<Item = &(u64, String)> {
        // An inverted range would panic.
        let (low, high) = (rank(min), rank(max).max(rank(min)));
        let empty = min > max;
        self.ranks
            .range((low, String::new())..(high.saturating_add(1), String::new()))
            .filter(move |_| !empty)
    }

    fn page(&self, min: f64, max: f64, rev: bool, offset: u64, limit: u64) -> Vec<(String, f64)> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let between = self.between(min, max);
        let entry = |(rank, member): &(u64, String)| (member.clone(), score(*rank));
        if rev {
            between.rev().skip(offset).take(limit).map(entry).collect()
        } else {
            between.skip(offset).take(limit).map(entry).collect()
        }
    }
}

pub(super) fn swap<V>(map: &mut HashMap<String, V>, name: &str, value: Option<V>) -> Option<V> {
    match (map.entry(name.to_owned()), value) {
        (Slot::Occupied(mut slot), Some(value)) => Some(slot.insert(value)),
        (Slot::Occupied(slot), None) => Some(slot.remove()),
        (Slot::Vacant(slot), Some(value)) => {
            slot.insert(value);
            None
        }
        (Slot::Vacant(_), None) => None,
    }
}
