//! Reads a whole store in parts, to copy it into a file or another store.

use async_trait::async_trait;
use bytes::Bytes;

use super::store::{Command, Store, StoreError};
use crs_durable::Millis;

/// Maximum number of elements of a collection in one [`Part`].
pub const PART_ELEMENTS: usize = 1_000;

/// Size from which a [`Part`] takes no further element, bytes.
pub const PART_BYTES: usize = 256 << 10;

/// A store that can be read as a whole.
#[async_trait]
pub trait Whole: Store {
    /// Reads the whole store. `memory` and `embedded` return the state at the moment of this call. A Redis is
    /// read key by key, each at its own moment; related keys are consistent only while `store::hold` pauses
    /// writers.
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError>;

    /// The number of keys, including those of other programs.
    async fn size(&self) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Parts: Send {
    /// The next parts, a few hundred kilobytes at most; `None` at the end. The parts of a key are adjacent.
    async fn next(&mut self) -> Result<Option<Vec<Part>>, StoreError>;

    /// Number of keys and elements skipped so far, because crs never writes them (another type, a name that is
    /// not UTF-8).
    fn left_out(&self) -> u64 {
        0
    }
}

/// A key with all or some of its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub key: String,
    /// When the key expires.
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
    /// Number of elements; a text counts as one.
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
    /// The commands that write it; they are idempotent.
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
