//! Reads JSON records in a hash field or a string, and changes them by compare-and-set on the exact stored text,
//! so that no concurrent change is lost.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

/// Maximum number of tries while others change the same record. One caller succeeds in each round, so only this
/// many concurrent callers can exhaust it.
const ROUNDS: usize = 1000;

/// The location of a record.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Field { key: &'static str, field: String },
    Text { key: &'static str },
}

impl Place {
    fn get(&self) -> Command {
        match self {
            Self::Field { key, field } => Command::HGet {
                key: (*key).to_owned(),
                field: field.clone(),
            },
            Self::Text { key } => Command::Get {
                key: (*key).to_owned(),
            },
        }
    }

    pub(crate) fn set(&self, value: Bytes) -> Command {
        match self {
            Self::Field { key, field } => Command::HSet {
                key: (*key).to_owned(),
                entries: vec![(field.clone(), value)],
            },
            Self::Text { key } => Command::Set {
                key: (*key).to_owned(),
                value,
                expire_at: None,
            },
        }
    }

    fn remove(&self) -> Command {
        match self {
            Self::Field { key, field } => Command::HDel {
                key: (*key).to_owned(),
                fields: vec![field.clone()],
            },
            Self::Text { key } => Command::Del {
                key: (*key).to_owned(),
            },
        }
    }

    pub(crate) fn guard(&self, is: Option<Bytes>) -> Guard {
        match self {
            Self::Field { key, field } => Guard::Field {
                key: (*key).to_owned(),
                field: field.clone(),
                is,
            },
            Self::Text { key } => Guard::Value {
                key: (*key).to_owned(),
                is,
            },
        }
    }

    fn unreadable(&self, reason: impl std::fmt::Display) -> StoreError {
        let key = match self {
            Self::Field { key, field } => format!("{key}[{field}]"),
            Self::Text { key } => (*key).to_owned(),
        };
        StoreError::Unreadable {
            key,
            reason: reason.to_string(),
        }
    }
}

/// The result of a change.
pub(crate) enum Change<T, R> {
    /// Changes nothing.
    Leave(R),
    Write(Write<T, R>),
    /// Deletes the record.
    Remove(R),
}

/// A record to write, atomically with further commands.
pub(crate) struct Write<T, R> {
    pub(crate) record: T,
    pub(crate) and: Vec<Command>,
    /// An additional condition, and the answer if it does not hold.
    pub(crate) only_if: Option<(Guard, R)>,
    pub(crate) then: R,
}

impl<T, R> Change<T, R> {
    pub(crate) fn write(record: T, then: R) -> Self {
        Self::Write(Write {
            record,
            and: Vec::new(),
            only_if: None,
            then,
        })
    }
}

pub(crate) async fn raw(store: &dyn Store, place: &Place) -> Result<Option<Bytes>, StoreError> {
    match one(store, place.get()).await? {
        Reply::Value(value) => Ok(value),
        other => Err(place.unreadable(wrong_reply(&other))),
    }
}

pub(crate) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    place: &Place,
) -> Result<Option<T>, StoreError> {
    raw(store, place)
        .await?
        .map(|text| parse(place, &text))
        .transpose()
}

/// Every field of the hash `key`.
pub(crate) async fn entries(
    store: &dyn Store,
    key: &'static str,
) -> Result<Vec<(String, Bytes)>, StoreError> {
    let command = Command::HGetAll { key: key.to_owned() };
    match one(store, command).await? {
        Reply::Entries(entries) => Ok(entries),
        other => Err(Place::Text { key }.unreadable(wrong_reply(&other))),
    }
}

/// Reads the record, calls `decide` with it (`None` if it does not exist), and applies the decision if the record
/// has not changed; otherwise repeats with the new record.
pub(crate) async fn change<T, R>(
    store: &dyn Store,
    place: &Place,
    mut decide: impl FnMut(Option<T>) -> Change<T, R> + Send,
) -> Result<R, StoreError>
where
    T: Serialize + DeserializeOwned + Send,
    R: Send,
{
    for _ in 0..ROUNDS {
        let stored = raw(store, place).await?;
        let record = stored.as_ref().map(|text| parse(place, text)).transpose()?;
        let write = match decide(record) {
            Change::Leave(answer) => return Ok(answer),
            Change::Write(write) => write,
            Change::Remove(answer) => {
                let guards = vec![place.guard(stored)];
                match store.atomically(guards, vec![place.remove()]).await? {
                    Applied::Yes => return Ok(answer),
                    Applied::No { .. } => continue,
                }
            }
        };
        let mut guards = vec![place.guard(stored.clone())];
        let mut otherwise = None;
        if let Some((guard, answer)) = write.only_if {
            guards.push(guard);
            otherwise = Some(answer);
        }
        let mut batch = vec![place.set(text(place, &write.record)?)];
        batch.extend(write.and);
        match (store.atomically(guards, batch).await?, otherwise) {
            (Applied::Yes, _) => return Ok(write.then),
            // If the record changed as well, the request may already be fulfilled: decide again.
            (Applied::No { guard: 1.. }, Some(answer)) if raw(store, place).await? == stored => {
                return Ok(answer);
            }
            (Applied::No { .. }, _) => {}
        }
    }
    Err(place.unreadable("too many others change it at the same time"))
}

pub(crate) fn text<T: Serialize>(place: &Place, record: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|e| place.unreadable(e))
}

/// Errors contain the place and the JSON error but never the text, which may be secret.
pub(crate) fn parse<T: DeserializeOwned>(place: &Place, text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text)
        .map_err(|e| place.unreadable(format!("{:?} at column {}", e.classify(), e.column())))
}

async fn one(store: &dyn Store, command: Command) -> Result<Reply, StoreError> {
    let mut replies = store.run(vec![command]).await?;
    Ok(replies.pop().unwrap_or(Reply::Ok))
}

fn wrong_reply(reply: &Reply) -> &'static str {
    match reply {
        Reply::Ok => "the store answered OK where a value was asked for",
        Reply::Value(_) => "the store answered with a single value",
        Reply::Values(_) => "the store answered with a list of values",
        Reply::Int(_) => "the store answered with a number",
        Reply::Entries(_) => "the store answered with fields",
        Reply::Members(_) => "the store answered with members",
        Reply::Score(_) | Reply::Scored(_) => "the store answered with scores",
    }
}
