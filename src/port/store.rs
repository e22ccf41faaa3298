//! The data, in Redis's vocabulary for every backend.
//!
//! All backends share one data model and pass `store::conformance`.

use async_trait::async_trait;
use bytes::Bytes;

use crs_durable::Millis;

#[async_trait]
pub trait Store: Send + Sync {
    /// Runs the commands in order, in one round trip. Each command is atomic, the batch is not. Returns one reply
    /// per command. A command on a key of another type fails the call; the error names the key. Acknowledged
    /// writes are as durable as the backend promises (embedded: on disk).
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError>;

    /// Runs all commands if every guard holds, otherwise none; no other client sees a state in between. The
    /// commands' replies are dropped.
    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError>;

    /// One cheap round trip.
    async fn ping(&self) -> Result<(), StoreError>;

    /// `memory`, `embedded`, `redis`, `upstash`: for health and messages.
    fn kind(&self) -> &'static str;

    /// Whether other processes may write the same data, so that cached records need a maximum age.
    fn shared(&self) -> bool;
}

/// A Redis command with its Redis semantics. Times are absolute, so a repeated command does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Get {
        key: String,
    },
    /// Replaces any value of any type; drops the key's expiry unless `expire_at` is given.
    Set {
        key: String,
        value: Bytes,
        expire_at: Option<Millis>,
    },
    Del {
        key: String,
    },
    Exists {
        key: String,
    },
    #[allow(dead_code, reason = "part of what every store takes, sent by nobody now")]
    IncrBy {
        key: String,
        by: i64,
    },
    PExpireAt {
        key: String,
        at: Millis,
    },
    HGet {
        key: String,
        field: String,
    },
    HMGet {
        key: String,
        fields: Vec<String>,
    },
    HGetAll {
        key: String,
    },
    HSet {
        key: String,
        entries: Vec<(String, Bytes)>,
    },
    HDel {
        key: String,
        fields: Vec<String>,
    },
    HIncrBy {
        key: String,
        field: String,
        by: i64,
    },
    #[allow(dead_code, reason = "part of what every store takes, sent by nobody now")]
    HLen {
        key: String,
    },
    #[allow(dead_code, reason = "part of what every store takes, sent by nobody now")]
    SAdd {
        key: String,
        members: Vec<String>,
    },
    #[allow(dead_code, reason = "part of what every store takes, sent by nobody now")]
    SRem {
        key: String,
        members: Vec<String>,
    },
    #[allow(dead_code, reason = "part of what every store takes, sent by nobody now")]
    SMembers {
        key: String,
    },
    ZAdd {
        key: String,
        entries: Vec<(f64, String)>,
    },
    ZIncrBy {
        key: String,
        by: f64,
        member: String,
    },
    ZRem {
        key: String,
        members: Vec<String>,
    },
    ZScore {
        key: String,
        member: String,
    },
    ZCard {
        key: String,
    },
    /// Members with `min <= score <= max`, lowest first (`rev`: highest first; ties by member, reversed
    /// too), skipping `offset`, at most `limit`. Reply: `Scored`.
    ZRangeByScore {
        key: String,
        min: f64,
        max: f64,
        rev: bool,
        offset: u64,
        limit: u64,
    },
    ZRemRangeByScore {
        key: String,
        min: f64,
        max: f64,
    },
}

/// A condition of an atomic batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// The string at `key` is exactly this; `None`: the key does not exist.
    Value { key: String, is: Option<Bytes> },
    /// The hash field is exactly this; `None`: the field (or the key) does not exist.
    Field {
        key: String,
        field: String,
        is: Option<Bytes>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Yes,
    /// The guard of this index did not hold; nothing was changed.
    No {
        guard: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `Set`, `PExpireAt` and other commands without a useful reply.
    Ok,
    /// `Get`, `HGet`.
    Value(Option<Bytes>),
    /// `HMGet`: one per requested field.
    Values(Vec<Option<Bytes>>),
    /// Counts and new values: `Del`, `Exists`, `IncrBy`, `HSet` (fields added), `HDel`, `HIncrBy`,
    /// `HLen`, `SAdd`, `SRem`, `ZAdd` (members added), `ZRem`, `ZCard`, `ZRemRangeByScore`.
    Int(i64),
    /// `HGetAll`, unordered.
    Entries(Vec<(String, Bytes)>),
    /// `SMembers`, unordered.
    Members(Vec<String>),
    /// `ZScore`, `ZIncrBy`.
    Score(Option<f64>),
    /// `ZRangeByScore`.
    Scored(Vec<(String, f64)>),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unreachable or timed out. The commands may or may not have run.
    #[error("the {kind} store cannot be reached: {reason}")]
    Away { kind: &'static str, reason: String },
    /// The key holds another type than the command needs.
    #[error("the key {key} holds another type than {command} needs")]
    WrongType { key: String, command: &'static str },
    /// A value has the wrong form (an increment of text, an unexpected reply).
    #[error("the key {key} holds what cannot be read: {reason}")]
    Unreadable { key: String, reason: String },
    /// The store answered with its own error.
    #[error("the {kind} store failed: {reason}")]
    Failed { kind: &'static str, reason: String },
}
