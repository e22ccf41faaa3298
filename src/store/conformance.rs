//! The behaviour required of every backend. A backend's tests call [`run`], and [`differential`] to compare it
//! with the memory backend over random histories.

mod atomic;
mod batches;
mod crowds;
pub(crate) mod differential;
mod expiry;
mod hashes;
mod sets;
mod sorted;
mod texts;

use std::sync::Arc;

use bytes::Bytes;

use crate::port::clock::Millis;
use crate::port::clock::movable::Movable;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

/// Start time of a movable clock, between [`PAST`] and [`FUTURE`].
pub(crate) const START: Millis = 1_700_000_000_000;
pub(crate) const PAST: Millis = 1_000_000_000_000;
pub(crate) const FUTURE: Millis = 4_000_000_000_000;

pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    /// The store's clock, if it can be moved.
    pub(crate) clock: Option<Movable>,
}

/// Runs every case against an empty store.
pub(crate) async fn run(subject: &Subject) {
    subject.store.ping().await.expect("the store is there");
    texts::run(subject).await;
    hashes::run(subject).await;
    sets::run(subject).await;
    sorted::run(subject).await;
    expiry::run(subject).await;
    atomic::run(subject).await;
    batches::run(subject).await;
    crowds::run(subject).await;
}

/// Prints the name of each case before it runs, so that a failure shows it.
macro_rules! cases {
    ($subject:expr, $($case:ident),+ $(,)?) => {$(
        println!("{}: {}", $subject.store.kind(), stringify!($case));
        $case($subject).await;
    )+};
}
use cases;

impl Subject {
    async fn run(&self, batch: Vec<Command>) -> Vec<Reply> {
        let asked = batch.len();
        let replies = self.store.run(batch).await.expect("the batch runs");
        assert_eq!(replies.len(), asked, "one reply per command");
        replies
    }

    async fn one(&self, command: Command) -> Reply {
        self.run(vec![command]).await.remove(0)
    }

    async fn fails(&self, command: Command) -> StoreError {
        let shown = format!("{command:?}");
        match self.store.run(vec![command]).await {
            Ok(reply) => panic!("{shown} was answered with {reply:?}"),
            Err(error) => error,
        }
    }

    /// Asserts that the command is refused because of the type at its key, and that the error names the key.
    async fn is_of_another_type(&self, command: Command) {
        let (key, name) = (command.key().to_owned(), command.name());
        match self.fails(command).await {
            StoreError::WrongType { key: named, command } => {
                assert_eq!((named, command), (key.clone(), name));
            }
            other => panic!("{name} {key}: {other:?}"),
        }
    }

    /// Asserts that the command is refused because of the value at its key or its argument, and that the error
    /// names the key.
    async fn is_unreadable(&self, command: Command) {
        let (key, name) = (command.key().to_owned(), command.name());
        match self.fails(command).await {
            StoreError::Unreadable { key: named, .. } => assert_eq!(named, key),
            other => panic!("{name} {key}: {other:?}"),
        }
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Applied {
        self.store
            .atomically(guards, batch)
            .await
            .expect("the batch is decided")
    }
}

// Commands as one would say them.

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn some(text: &str) -> Reply {
    Reply::Value(Some(bytes(text)))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn get(key: &str) -> Command {
    Command::Get { key: key.into() }
}

fn set(key: &str, value: &str) -> Command {
    Command::Set {
        key: key.into(),
        value: bytes(value),
        expire_at: None,
    }
}

fn set_until(key: &str, value: &str, expire_at: Millis) -> Command {
    Command::Set {
        key: key.into(),
        value: bytes(value),
        expire_at: Some(expire_at),
    }
}

fn del(key: &str) -> Command {
    Command::Del { key: key.into() }
}

fn exists(key: &str) -> Command {
    Command::Exists { key: key.into() }
}

fn incr_by(key: &str, by: i64) -> Command {
    Command::IncrBy { key: key.into(), by }
}

fn expire_at(key: &str, at: Millis) -> Command {
    Command::PExpireAt { key: key.into(), at }
}

fn hget(key: &str, field: &str) -> Command {
    Command::HGet {
        key: key.into(),
        field: field.into(),
    }
}

fn hmget(key: &str, fields: &[&str]) -> Command {
    Command::HMGet {
        key: key.into(),
        fields: names(fields),
    }
}

fn hgetall(key: &str) -> Command {
    Command::HGetAll { key: key.into() }
}

fn hset(key: &str, entries: &[(&str, &str)]) -> Command {
    let entries = entries
        .iter()
        .map(|(field, value)| ((*field).to_owned(), bytes(value)))
        .collect();
    Command::HSet {
        key: key.into(),
        entries,
    }
}

fn hdel(key: &str, fields: &[&str]) -> Command {
    Command::HDel {
        key: key.into(),
        fields: names(fields),
    }
}

fn hincr_by(key: &str, field: &str, by: i64) -> Command {
    Command::HIncrBy {
        key: key.into(),
        field: field.into(),
        by,
    }
}

fn hlen(key: &str) -> Command {
    Command::HLen { key: key.into() }
}

fn sadd(key: &str, members: &[&str]) -> Command {
    Command::SAdd {
        key: key.into(),
        members: names(members),
    }
}

fn srem(key: &str, members: &[&str]) -> Command {
    Command::SRem {
        key: key.into(),
        members: names(members),
    }
}

fn smembers(key: &str) -> Command {
    Command::SMembers { key: key.into() }
}

fn zadd(key: &str, entries: &[(f64, &str)]) -> Command {
    let entries = entries
        .iter()
        .map(|(score, member)| (*score, (*member).to_owned()))
        .collect();
    Command::ZAdd {
        key: key.into(),
        entries,
    }
}

fn zincr_by(key: &str, by: f64, member: &str) -> Command {
    Command::ZIncrBy {
        key: key.into(),
        by,
        member: member.into(),
    }
}

fn zrem(key: &str, members: &[&str]) -> Command {
    Command::ZRem {
        key: key.into(),
        members: names(members),
    }
}

fn zscore(key: &str, member: &str) -> Command {
    Command::ZScore {
        key: key.into(),
        member: member.into(),
    }
}

fn zcard(key: &str) -> Command {
    Command::ZCard { key: key.into() }
}

fn zrange(key: &str, min: f64, max: f64) -> Command {
    zpage(key, min, max, false, 0, u64::MAX)
}

fn zpage(key: &str, min: f64, max: f64, rev: bool, offset: u64, limit: u64) -> Command {
    Command::ZRangeByScore {
        key: key.into(),
        min,
        max,
        rev,
        offset,
        limit,
    }
}

fn zcut(key: &str, min: f64, max: f64) -> Command {
    Command::ZRemRangeByScore {
        key: key.into(),
        min,
        max,
    }
}

/// The members of a page without their scores.
fn members(reply: Reply) -> Vec<String> {
    match reply {
        Reply::Scored(entries) => entries.into_iter().map(|(member, _)| member).collect(),
        other => panic!("{other:?} is no page"),
    }
}

/// Sorts entries and members, whose order is undefined, to compare them.
fn sorted(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Entries(entries) => entries.sort(),
        Reply::Members(members) => members.sort(),
        _ => {}
    }
    reply
}

fn entries(entries: &[(&str, &str)]) -> Reply {
    sorted(Reply::Entries(
        entries
            .iter()
            .map(|(field, value)| ((*field).to_owned(), bytes(value)))
            .collect(),
    ))
}
