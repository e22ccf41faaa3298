//! Encodes requests to a Redis and decodes its answers, without any I/O.
//!
//! A transport sends [`Pipeline::requests`] in one round trip and passes the answers to [`Pipeline::replies`]. An
//! atomic batch is one command, [`atomically`], whose answer [`applied`] decodes. Requires Redis 6.2 or later
//! (`SET .. PXAT`), not a cluster.

mod answer;

use std::collections::HashMap;

use bytes::Bytes;

use crate::port::store::{Command, Guard, StoreError};
use crate::store::vocabulary::Kind;
pub use answer::{Pipeline, Value, applied, no_longer_master, refusal};

/// A command with its arguments, as they go over the wire.
pub type Args = Vec<Bytes>;

/// Checks guards, then runs all commands or none.
const ATOMICALLY: &str = include_str!("redis/atomically.lua");

/// Maximum number of arguments per call in Lua, whose stack limits them (8,000 in Redis). Longer commands are
/// split; no other client sees the state between the parts of a script.
const ARGUMENTS: usize = 2_000;

/// Encodes the command. It must have at least one field or member if it takes any.
pub fn request(command: &Command) -> Args {
    let name = match command {
        Command::ZRangeByScore { rev: true, .. } => "ZREVRANGEBYSCORE",
        command => command.name(),
    };
    let mut args = vec![Bytes::from_static(name.as_bytes()), text(command.key())];
    args.extend(arguments(command));
    args
}

/// Encodes the batch as one `EVAL`. Fails if a command is invalid on every backend.
pub fn atomically(guards: &[Guard], batch: &[Command]) -> Result<Args, StoreError> {
    batch.iter().try_for_each(Command::check)?;
    let mut keys = Keys::default();
    let mut args = vec![number(guards.len())];
    for guard in guards {
        let (kind, field, is) = match guard {
            Guard::Value { is, .. } => ("value", Bytes::new(), is),
            Guard::Field { field, is, .. } => ("field", text(field), is),
        };
        let present = if is.is_some() { "1" } else { "0" };
        args.extend([
            Bytes::from_static(kind.as_bytes()),
            keys.index(guard.key()),
            field,
        ]);
        args.extend([
            Bytes::from_static(present.as_bytes()),
            is.clone().unwrap_or_default(),
        ]);
    }
    for (index, command) in batch.iter().enumerate().filter(|(_, command)| !command.is_idle()) {
        let needs = match command.kind() {
            None => "*",
            Some(Kind::Text) => "string",
            Some(Kind::Hash) => "hash",
            Some(Kind::Set) => "set",
            Some(Kind::Sorted) => "zset",
        };
        let (name, arguments) = if command.writes() {
            (command.name(), arguments(command))
        } else {
            ("", Vec::new())
        };
        let mut head = [
            number(index),
            Bytes::from_static(needs.as_bytes()),
            keys.index(command.key()),
            Bytes::from_static(name.as_bytes()),
            Bytes::new(),
        ];
        let mut parts = arguments.chunks(ARGUMENTS);
        // A command without arguments is one part, too.
        let mut part = parts.next().unwrap_or_default();
        loop {
            if let Some(count) = head.last_mut() {
                *count = number(part.len());
            }
            args.extend(head.iter().cloned());
            args.extend(part.iter().cloned());
            match parts.next() {
                Some(next) => part = next,
                None => break,
            }
        }
    }
    let mut eval = vec![
        Bytes::from_static(b"EVAL"),
        Bytes::from_static(ATOMICALLY.as_bytes()),
    ];
    eval.push(number(keys.names.len()));
    eval.extend(keys.names);
    eval.append(&mut args);
    Ok(eval)
}

/// The arguments after the key.
fn arguments(command: &Command) -> Vec<Bytes> {
    match command {
        Command::Get { .. }
        | Command::Del { .. }
        | Command::Exists { .. }
        | Command::HGetAll { .. }
        | Command::HLen { .. }
        | Command::SMembers { .. }
        | Command::ZCard { .. } => Vec::new(),
        Command::Set {
            value,
            expire_at: None,
            ..
        } => vec![value.clone()],
        Command::Set {
            value,
            expire_at: Some(at),
            ..
        } => {
            // Redis accepts no times below 1.
            vec![value.clone(), Bytes::from_static(b"PXAT"), moment((*at).max(1))]
        }
        Command::IncrBy { by, .. } => vec![number(by)],
        Command::PExpireAt { at, .. } => vec![moment(*at)],
        Command::HGet { field, .. } => vec![text(field)],
        Command::HMGet { fields: names, .. }
        | Command::HDel { fields: names, .. }
        | Command::SAdd { members: names, .. }
        | Command::SRem { members: names, .. }
        | Command::ZRem { members: names, .. } => names.iter().map(|name| text(name)).collect(),
        Command::HSet { entries, .. } => entries
            .iter()
            .flat_map(|(field, value)| [text(field), value.clone()])
            .collect(),
        Command::HIncrBy { field, by, .. } => vec![text(field), number(by)],
        Command::ZAdd { entries, .. } => entries
            .iter()
            .flat_map(|(score, member)| [float(*score), text(member)])
            .collect(),
        Command::ZIncrBy { by, member, .. } => vec![float(*by), text(member)],
        Command::ZScore { member, .. } => vec![text(member)],
        Command::ZRangeByScore {
            min,
            max,
            rev,
            offset,
            limit,
            ..
        } => {
            let (first, last) = if *rev { (max, min) } else { (min, max) };
            vec![
                float(*first),
                float(*last),
                Bytes::from_static(b"WITHSCORES"),
                Bytes::from_static(b"LIMIT"),
                moment(*offset),
                moment(*limit),
            ]
        }
        Command::ZRemRangeByScore { min, max, .. } => vec![float(*min), float(*max)],
    }
}

/// The keys of a script without duplicates.
#[derive(Default)]
struct Keys<'a> {
    names: Vec<Bytes>,
    indices: HashMap<&'a str, usize>,
}

impl<'a> Keys<'a> {
    /// 1-based, as in Lua.
    fn index(&mut self, key: &'a str) -> Bytes {
        let names = &mut self.names;
        let index = *self.indices.entry(key).or_insert_with(|| {
            names.push(text(key));
            names.len()
        });
        number(index)
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn number(number: impl ToString) -> Bytes {
    Bytes::from(number.to_string())
}

/// Redis counts with signed 64-bit numbers.
fn moment(moment: u64) -> Bytes {
    number(moment.min(i64::MAX.unsigned_abs()))
}

/// The shortest text that parses to the same number; infinities as `inf` and `-inf`.
fn float(float: f64) -> Bytes {
    Bytes::from(format!("{float:?}"))
}

#[cfg(test)]
mod tests;
