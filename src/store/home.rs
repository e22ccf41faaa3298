//! The rows of shared machines in any kind of Redis: one script per step (`home/step.lua`).
//!
//! Each machine has two keys with one hash tag, so that they are on one node of a cluster. Unneeded rows (of a
//! deleted key) expire after a day; versions expire after an hour without a step: then an older copy reads all rows
//! again.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};

use crs_durable::Millis;
use crs_durable::rows::Row;
use crs_durable::shared::{Answer, Request, Version};

use super::keys;
use super::redis::{Args, Value, refusal};
use crate::port::home::{Home, Message, Step};
use crate::port::store::StoreError;

const SCRIPT: &str = include_str!("home/step.lua");

/// The channel of the messages between processes.
const CHANNEL: &str = "crs:machines";

/// Number of versions in the log.
const VERSIONS: &str = "1024";

/// Lifetime of the log, milliseconds.
const VERSIONS_MS: &str = "3600000";

/// Lifetime of unneeded rows, milliseconds.
const OVER_MS: &str = "86400000";

/// A server that runs scripts.
#[async_trait]
pub trait Server: Send + Sync {
    fn name(&self) -> &'static str;

    /// Sends a request once: a request without a reply may have run.
    async fn send(&self, request: Args) -> Result<Value, StoreError>;

    /// The messages of a channel, until the connection ends; `None`: the server has no channels.
    async fn listen(&self, channel: &str) -> Result<Option<BoxStream<'static, Bytes>>, StoreError>;
}

pub struct RedisHome<S> {
    server: S,
    /// The script's SHA-1 at the server.
    script: Mutex<Option<Bytes>>,
}

impl<S: Server> RedisHome<S> {
    pub fn new(server: S) -> Self {
        Self {
            server,
            script: Mutex::default(),
        }
    }

    fn script(&self) -> Option<Bytes> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the script into the server.
    async fn load(&self) -> Result<Bytes, StoreError> {
        let load = ["SCRIPT", "LOAD", SCRIPT].map(|word| Bytes::from_static(word.as_bytes()));
        let name = match self.server.send(load.to_vec()).await? {
            Value::Text(name) => name,
            Value::Error { code, message } => return Err(refusal(self.server.name(), &code, &message)),
            _ => return Err(self.other_shape()),
        };
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.clone());
        Ok(name)
    }

    fn other_shape(&self) -> StoreError {
        StoreError::Failed {
            kind: self.server.name(),
            reason: "the script of a machine was answered in another shape".into(),
        }
    }
}

#[async_trait]
impl<S: Server> Home for RedisHome<S> {
    async fn step(&self, machine: &str, request: &Request) -> Result<Step, StoreError> {
        let mut name = match self.script() {
            Some(name) => name,
            None => self.load().await?,
        };
        let mut loaded = false;
        loop {
            let value = self.server.send(script_args(&name, machine, request)).await?;
            match value {
                // The server has restarted; the script did not run.
                Value::Error { code, .. } if code == "NOSCRIPT" && !loaded => {
                    name = self.load().await?;
                    loaded = true;
                }
                Value::Error { code, message } => return Err(refusal(self.server.name(), &code, &message)),
                value => return parse_reply(value).ok_or_else(|| self.other_shape()),
            }
        }
    }

    async fn messages(&self) -> Result<Option<BoxStream<'static, Message>>, StoreError> {
        let Some(messages) = self.server.listen(CHANNEL).await? else {
            return Ok(None);
        };
        let parse = |message: Bytes| async move { Message::parse(std::str::from_utf8(&message).ok()?) };
        Ok(Some(messages.filter_map(parse).boxed()))
    }

    fn kind(&self) -> &'static str {
        self.server.name()
    }
}

/// The arguments of the script's call.
fn script_args(script: &Bytes, machine: &str, request: &Request) -> Args {
    let text = |text: String| Bytes::from(text);
    let (gone, there): (Vec<_>, Vec<_>) = request.rows.iter().partition(|(_, text)| text.is_none());
    let names: Vec<String> = request.rows.iter().map(|(row, _)| row.to_string()).collect();
    let message = if request.wake.is_empty() && !request.news {
        String::new()
    } else {
        Message {
            machine: machine.to_owned(),
            wake: request.wake.clone(),
            news: request.news,
        }
        .text()
    };
    let before: Vec<String> = request.before.iter().map(Version::to_string).collect();
    let version = |version: Option<Version>| version.unwrap_or_default().to_string();
    let mut args = vec![
        Bytes::from_static(b"EVALSHA"),
        script.clone(),
        Bytes::from_static(b"2"),
        text(keys::machine(machine)),
        text(keys::machine_versions(machine)),
        text(request.base.to_string()),
        text(version(request.next)),
        text(before.join(" ")),
        Bytes::from_static(VERSIONS.as_bytes()),
        Bytes::from_static(VERSIONS_MS.as_bytes()),
        Bytes::from_static(CHANNEL.as_bytes()),
        text(message),
        Bytes::from_static(if request.over { OVER_MS } else { "0" }.as_bytes()),
        text(names.join(" ")),
        text(gone.len().to_string()),
    ];
    args.extend(gone.into_iter().map(|(row, _)| text(row.to_string())));
    for (row, value) in there {
        args.push(text(row.to_string()));
        args.push(text(value.clone().unwrap_or_default()));
    }
    args
}

/// Parses the script's reply.
fn parse_reply(value: Value) -> Option<Step> {
    let Value::List(items) = value else { return None };
    let mut items = items.into_iter();
    let mut text = || match items.next()? {
        Value::Text(text) => String::from_utf8(text.to_vec()).ok(),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    };
    let result: u8 = text()?.parse().ok()?;
    let (seconds, micros): (u64, u64) = (text()?.parse().ok()?, text()?.parse().ok()?);
    let now: Millis = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    let version: Version = text()?.parse().ok()?;
    let count: usize = text()?.parse().ok()?;
    let (mut log, mut before): (Vec<Version>, Vec<Version>) = Default::default();
    for _ in 0..count {
        let version = text()?;
        match version.strip_prefix('-') {
            Some(version) => before.push(version.parse().ok()?),
            None => log.push(version.parse().ok()?),
        }
    }
    let mut rows: Vec<(Row, Option<String>)> = Vec::new();
    while let Some(name) = items.next() {
        let value = items.next()?;
        let Value::Text(name) = name else { return None };
        // The version is not a row, and rows of a later version of the program are ignored.
        let Some(row) = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        rows.push(match value {
            Value::Text(text) => (row, Some(String::from_utf8(text.to_vec()).ok()?)),
            Value::Nil => (row, None),
            _ => return None,
        });
    }
    let answer = match result {
        0 => Answer::Yes,
        1 => Answer::Changed { version, rows, log },
        2 => Answer::Whole {
            version,
            rows: rows
                .into_iter()
                .filter_map(|(row, text)| Some((row, text?)))
                .collect(),
            log,
            before,
        },
        _ => return None,
    };
    Some(Step { answer, now })
}

#[cfg(test)]
mod tests;
