//! A store as a whole: everything in it, read in parts, to be copied into a file or into another store.

use async_trait::async_trait;
use bytes::Bytes;

use super::store::{Command, Store, StoreError};
use crs_durable::Millis;

/// Elements of a collection that one [`Part`] holds at most.
pub const PART_ELEMENTS: usize = 1_000;

/// Bytes after which a [`Part`] takes no further element.
pub const PART_BYTES: usize = 256 << 10;

/// A store that can be read as a whole.
#[async_trait]
pub trait Whole: Store {
    /// Everything in the store. `memory` and `embedded` give the state of the moment of this call. A Redis of any kind
    /// is read key by key: there, each key is of the moment when it is read, and what several keys must agree on is of
    /// one moment only while `store::hold` keeps writers waiting.
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError>;

    /// How many keys it holds, those of other programs included.
    async fn size(&self) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Parts: Send {
    /// The next parts, some hundred kilobytes at most; `None`: that was all. The parts of one key follow each other.
    async fn next(&mut self) -> Result<Option<Vec<Part>>, StoreError>;

    /// Keys and elements that no crs writes (another type, no UTF-8 name), and that were left out so far.
    fn left_out(&self) -> u64 {
        0
    }
}

/// A key and what it holds, or some of that.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub key: String,
    /// When the key ends.
    pub end: Option<Millis>,
    /// Whether it is the first part of its key.
    pub begins: bool,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(Bytes),
    Hash(Vec<(String, Bytes)>),
    Set(Vec<String>),
    Sorted(Vec<(f64, String)>),
}

impl Content {
    /// How many elements; a text is one.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) => 1,
            Self::Hash(entries) => entries.len(),
            Self::Set(members) => members.len(),
            Self::Sorted(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Hash(entries) => entries.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Self::Set(members) => members.iter().map(String::len).sum(),
            Self::Sorted(entries) => entries.iter().map(|(_, member)| member.len() + 8).sum(),
        }
    }
}

impl Part {
    /// The commands that write it; run twice, they come to the same.
    pub fn commands(self) -> Vec<Command> {
        let Self {
            key, end, content, ..
        } = self;
        let write = match content {
            Content::Text(value) => {
                return vec![Command::Set {
                    key,
                    value,
                    expire_at: end,
                }];
            }
            Content::Hash(entries) => Command::HSet {
                key: key.clone(),
                entries,
            },
            Content::Set(members) => Command::SAdd {
                key: key.clone(),
                members,
            },
            Content::Sorted(entries) => Command::ZAdd {
                key: key.clone(),
                entries,
            },
        };
        let mut commands = vec![write];
        commands.extend(end.map(|at| Command::PExpireAt { key, at }));
        commands
    }
}
