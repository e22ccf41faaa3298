//! Imports records from another relay. An import can be interrupted and repeated.
//!
//! Two digests are stored for each record: of its source and of the written text. A second run uses them to find
//! changes at the source, and to leave records alone that were changed here.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::keys::{ACCOUNT_GROUPS, ACCOUNTS, API_KEYS, API_KEYS_BY_HASH, IMPORTED_RECORDS, ledger_last_used};
use super::record::{self, Place};
use crate::model::account::Account;
use crate::model::group::Group;
use crate::model::key::Key;
use crate::port::clock::Millis;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

/// Maximum number of tries for a batch whose records change concurrently.
const ROUNDS: usize = 20;

/// Number of records per atomic step, and of concurrent steps.
const AT_ONCE: usize = 50;
const STEPS: usize = 8;

/// A record of an importable kind.
#[derive(Clone, Debug)]
pub enum Record {
    Key(Box<Key>),
    Account(Box<Account>),
    Group(Group),
}

/// A record to be imported.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub record: Record,
    /// Digest of everything that the record was made from, including secrets.
    pub source: String,
}

/// The result for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Created,
    Updated,
    /// It equals the source.
    Unchanged,
    /// It was changed here after its import, or was not imported: left unchanged.
    Kept,
    /// It was deleted here after its import: stays deleted.
    Deleted,
    /// Another key has the same secret: not written.
    Taken,
    /// Comparison only: it is missing here or differs from the source.
    Differs,
}

#[derive(Clone)]
pub struct Imports {
    store: Arc<dyn Store>,
}

/// The stored state of an incoming record.
struct StoredState {
    record: Option<Bytes>,
    /// Digests of the source and of the written text.
    shadow: Option<Bytes>,
    /// The id found by the key's hash.
    by_hash: Option<Bytes>,
}

impl Imports {
    /// `store`: one that does not write an audit entry for each record.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Writes the records, each completely or not at all. Returns the results in the same order.
    pub async fn put(&self, incoming: &[Incoming], now: Millis) -> Result<Vec<Outcome>, StoreError> {
        let steps = incoming.chunks(AT_ONCE).map(|some| self.put_step(some, now));
        stream::iter(steps).buffered(STEPS).try_concat().await
    }

    async fn put_step(&self, incoming: &[Incoming], now: Millis) -> Result<Vec<Outcome>, StoreError> {
        for _ in 0..ROUNDS {
            let stored = self.stored(incoming).await?;
            let mut outcomes = Vec::with_capacity(incoming.len());
            let (mut guards, mut batch) = (Vec::new(), Vec::new());
            for (incoming, stored) in incoming.iter().zip(&stored) {
                let outcome = decide(incoming, stored);
                if matches!(outcome, Outcome::Created | Outcome::Updated) {
                    incoming.write(stored, now, &mut guards, &mut batch)?;
                }
                outcomes.push(outcome);
            }
            if batch.is_empty() || self.store.atomically(guards, batch).await? == Applied::Yes {
                return Ok(outcomes);
            }
        }
        Err(StoreError::Unreadable {
            key: IMPORTED_RECORDS.to_owned(),
            reason: "too many others change these records at the same time".to_owned(),
        })
    }

    /// Returns the results that [`put`](Self::put) would have, without writing.
    pub async fn compare(&self, incoming: &[Incoming]) -> Result<Vec<Outcome>, StoreError> {
        let stored = self.stored(incoming).await?;
        let compared =
            incoming
                .iter()
                .zip(&stored)
                .map(|(incoming, stored)| match decide(incoming, stored) {
                    Outcome::Created | Outcome::Updated => Outcome::Differs,
                    Outcome::Unchanged if stored.is_edited() => Outcome::Kept,
                    other => other,
                });
        Ok(compared.collect())
    }

    /// Records the last use of these keys, unless the store has a later one.
    pub async fn last_used(&self, keys: &[(&str, Millis)]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let key = ledger_last_used("keys");
        let asks = keys.iter().map(|(id, _)| Command::ZScore {
            key: key.clone(),
            member: (*id).to_owned(),
        });
        let known = self.store.run(asks.collect()).await?;
        let newer = keys
            .iter()
            .zip(known)
            .filter(|((_, at), known)| !matches!(known, Reply::Score(Some(known)) if *known >= *at as f64));
        let entries: Vec<(f64, String)> = newer
            .map(|((id, at), _)| (*at as f64, (*id).to_owned()))
            .collect();
        if !entries.is_empty() {
            self.store.run(vec![Command::ZAdd { key, entries }]).await?;
        }
        Ok(())
    }

    async fn stored(&self, incoming: &[Incoming]) -> Result<Vec<StoredState>, StoreError> {
        let field = |key: &str, field: String| Command::HGet {
            key: key.to_owned(),
            field,
        };
        let mut asks = Vec::with_capacity(incoming.len() * 3);
        for one in incoming {
            let (key, id) = one.place();
            asks.push(field(key, id.to_owned()));
            asks.push(field(IMPORTED_RECORDS, one.shadow()));
            if let Record::Key(key) = &one.record {
                asks.push(field(API_KEYS_BY_HASH, key.hash.clone()));
            }
        }
        let mut replies = self.store.run(asks).await?.into_iter();
        let mut next = || match replies.next() {
            Some(Reply::Value(text)) => text,
            _ => None,
        };
        let stored = incoming.iter().map(|one| StoredState {
            record: next(),
            shadow: next(),
            by_hash: matches!(one.record, Record::Key(_)).then(&mut next).flatten(),
        });
        Ok(stored.collect())
    }
}

fn decide(incoming: &Incoming, stored: &StoredState) -> Outcome {
    let shadow = stored
        .shadow
        .as_deref()
        .and_then(|text| std::str::from_utf8(text).ok()?.split_once(' '));
    if let Record::Key(key) = &incoming.record
        && key.deleted_at.is_none()
        && stored
            .by_hash
            .as_deref()
            .is_some_and(|id| *id != *key.id.as_bytes())
    {
        return Outcome::Taken;
    }
    match (&stored.record, shadow) {
        (None, None) => Outcome::Created,
        (None, Some(_)) => Outcome::Deleted,
        (Some(_), Some((source, _))) if source == incoming.source => Outcome::Unchanged,
        (Some(text), Some((_, written))) if written == digest(text) => Outcome::Updated,
        (Some(_), _) => Outcome::Kept,
    }
}

impl StoredState {
    /// Whether the record differs from the text written by the import.
    fn is_edited(&self) -> bool {
        let written = self
            .shadow
            .as_deref()
            .and_then(|text| Some(std::str::from_utf8(text).ok()?.split_once(' ')?.1));
        written != self.record.as_deref().map(digest).as_deref()
    }
}

impl Incoming {
    fn place(&self) -> (&'static str, &str) {
        match &self.record {
            Record::Key(key) => (API_KEYS, &key.id),
            Record::Account(account) => (ACCOUNTS, &account.id),
            Record::Group(group) => (ACCOUNT_GROUPS, &group.id),
        }
    }

    fn shadow(&self) -> String {
        let (key, id) = self.place();
        format!("{key}:{id}")
    }

    fn write(
        &self,
        stored: &StoredState,
        now: Millis,
        guards: &mut Vec<Guard>,
        batch: &mut Vec<Command>,
    ) -> Result<(), StoreError> {
        let (key, id) = self.place();
        let place = Place::Field {
            key,
            field: id.to_owned(),
        };
        let text = self.text(&place, stored.record.as_deref(), now)?;
        let shadow = Place::Field {
            key: IMPORTED_RECORDS,
            field: self.shadow(),
        };
        guards.push(place.guard(stored.record.clone()));
        guards.push(shadow.guard(stored.shadow.clone()));
        batch.push(shadow.set(Bytes::from(format!("{} {}", self.source, digest(&text)))));
        batch.push(place.set(text));
        if let Record::Key(key) = &self.record {
            let by_hash = Place::Field {
                key: API_KEYS_BY_HASH,
                field: key.hash.clone(),
            };
            guards.push(by_hash.guard(stored.by_hash.clone()));
            let before: Option<Key> = stored
                .record
                .as_deref()
                .and_then(|text| record::parse(&place, text).ok());
            let old_hash = before.map(|key| key.hash).filter(|hash| *hash != key.hash);
            // A deleted key's hash may belong to another key now.
            let own = stored.by_hash.as_deref() == Some(key.id.as_bytes());
            let gone = key.deleted_at.filter(|_| own).map(|_| key.hash.clone());
            batch.extend(old_hash.into_iter().chain(gone).map(|hash| Command::HDel {
                key: API_KEYS_BY_HASH.to_owned(),
                fields: vec![hash],
            }));
            if key.deleted_at.is_none() {
                batch.push(by_hash.set(Bytes::from(key.id.clone())));
            }
        }
        Ok(())
    }

    /// The record's text, with a revision above that of the replaced one.
    fn text(&self, place: &Place, before: Option<&[u8]>, now: Millis) -> Result<Bytes, StoreError> {
        match &self.record {
            Record::Key(key) => {
                let mut key = key.clone();
                let before: Option<Key> = before.map(|text| record::parse(place, text)).transpose()?;
                if let Some(before) = before {
                    key.version = before.version.saturating_add(1);
                    key.updated_at = now.max(before.updated_at);
                }
                record::text(place, &key)
            }
            Record::Account(account) => {
                let mut account = account.clone();
                let before: Option<Account> = before.map(|text| record::parse(place, text)).transpose()?;
                if let Some(before) = before {
                    account.credential_version = before.credential_version.saturating_add(1);
                    account.updated_at = before.updated_at;
                    account.touch(now);
                }
                record::text(place, &account)
            }
            Record::Group(group) => record::text(place, group),
        }
    }
}

/// Updates the note of an imported, unchanged account after its secrets were sealed again. `None` if there is no
/// note or it was changed.
pub fn resealed(noted: &[u8], before: &[u8], after: &[u8]) -> Option<Bytes> {
    let (source, written) = std::str::from_utf8(noted).ok()?.split_once(' ')?;
    (written == digest(before)).then(|| Bytes::from(format!("{source} {}", digest(after))))
}

/// The field of [`IMPORTED_RECORDS`] with an account's digests.
pub fn note_of_account(id: &str) -> String {
    format!("{ACCOUNTS}:{id}")
}

/// Identifies a text: hex of 8 bytes of its SHA-256.
pub fn digest(text: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(text).into();
    hex::encode(hash.first_chunk::<8>().unwrap_or(&[0; 8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::api_keys::ApiKeys;
    use crate::store::fake::FakeStore;

    fn key(id: &str, hash: &str, name: &str) -> Incoming {
        let record = Key {
            id: id.to_owned(),
            name: name.to_owned(),
            hash: hash.to_owned(),
            version: 1,
            is_active: true,
            ..Key::default()
        };
        Incoming {
            source: digest(format!("{record:?}").as_bytes()),
            record: Record::Key(Box::new(record)),
        }
    }

    #[tokio::test]
    async fn a_second_run_brings_changes_and_leaves_what_was_changed_here() {
        let store = Arc::new(FakeStore::default());
        let (imports, keys) = (Imports::new(store.clone()), ApiKeys::new(store.clone()));
        let put = async |some: &[Incoming]| imports.put(some, 9).await.unwrap();
        let first = [
            key("a", "h1", "one"),
            key("b", "h2", "two"),
            key("c", "h3", "three"),
        ];
        assert_eq!(put(&first).await, [Outcome::Created; 3]);
        let before = store.ever_done();
        assert_eq!(put(&first).await, [Outcome::Unchanged; 3]);
        assert_eq!(store.ever_done(), before, "nothing is written twice");
        keys.update("b", 10, |key| key.name = "mine".to_owned())
            .await
            .unwrap();
        keys.delete("c", 10).await.unwrap();
        keys.purge("c").await.unwrap();
        let second = [
            key("a", "h1", "uno"),
            key("b", "h2", "dos"),
            key("c", "h3", "tres"),
        ];
        assert_eq!(
            imports.compare(&second).await.unwrap(),
            [Outcome::Differs, Outcome::Kept, Outcome::Deleted]
        );
        assert_eq!(
            put(&second).await,
            [Outcome::Updated, Outcome::Kept, Outcome::Deleted]
        );
        let a = keys.get("a").await.unwrap().unwrap();
        assert_eq!((a.name.as_str(), a.version), ("uno", 2));
        assert_eq!(keys.get("b").await.unwrap().unwrap().name, "mine");
        assert_eq!(keys.get("c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_secret_leads_to_one_key() {
        let store = Arc::new(FakeStore::default());
        let imports = Imports::new(store.clone());
        assert_eq!(
            imports.put(&[key("a", "h", "x")], 1).await.unwrap(),
            [Outcome::Created]
        );
        assert_eq!(
            imports.put(&[key("b", "h", "x")], 1).await.unwrap(),
            [Outcome::Taken]
        );
        let mut deleted = key("c", "h", "x");
        if let Record::Key(key) = &mut deleted.record {
            key.deleted_at = Some(1);
        }
        // Its hash is not looked up; but the entry of the other key must stay.
        assert_eq!(imports.put(&[deleted], 1).await.unwrap(), [Outcome::Created]);
        assert_eq!(store.field(API_KEYS_BY_HASH, "h").as_deref(), Some("a"));
    }
}
