//! Reads the whole store at the moment of the call.

use std::collections::VecDeque;

use async_trait::async_trait;

use super::Memory;
use super::keyspace::Entry;
use super::value::Value;
use crate::port::store::StoreError;
use crate::port::whole::{Content, PART_ELEMENTS, Part, Parts, Whole};

struct MemoryParts(VecDeque<Part>);

#[async_trait]
impl Whole for Memory {
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError> {
        let now = self.clock.now();
        let parts = self.with_keys(|keys| {
            let living = keys
                .entries
                .iter()
                .filter(|(_, entry)| entry.expire_at.is_none_or(|end| end > now));
            living.flat_map(|(key, entry)| parts(key, entry)).collect()
        });
        Ok(Box::new(MemoryParts(parts)))
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        Ok(self.with_keys(|keys| {
            let living = |entry: &&Entry| entry.expire_at.is_none_or(|end| end > now);
            keys.entries.values().filter(living).count() as u64
        }))
    }
}

#[async_trait]
impl Parts for MemoryParts {
    async fn next(&mut self) -> Result<Option<Vec<Part>>, StoreError> {
        Ok(self.0.pop_front().map(|part| vec![part]))
    }
}

fn parts(key: &str, entry: &Entry) -> Vec<Part> {
    let contents: Vec<Content> = match &entry.value {
        Value::Text(text) => vec![Content::Text(text.clone())],
        Value::Hash(fields) => {
            let entries: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            entries
                .chunks(PART_ELEMENTS)
                .map(|some| Content::Hash(some.to_vec()))
                .collect()
        }
        Value::Set(members) => {
            let members: Vec<_> = members.iter().cloned().collect();
            members
                .chunks(PART_ELEMENTS)
                .map(|some| Content::Set(some.to_vec()))
                .collect()
        }
        Value::Sorted(sorted) => {
            let entries: Vec<_> = sorted
                .scores
                .iter()
                .map(|(member, score)| (*score, member.clone()))
                .collect();
            entries
                .chunks(PART_ELEMENTS)
                .map(|some| Content::Sorted(some.to_vec()))
                .collect()
        }
    };
    let part = |(at, content)| Part {
        key: key.to_owned(),
        end: entry.expire_at,
        begins: at == 0,
        content,
    };
    contents.into_iter().enumerate().map(part).collect()
}
