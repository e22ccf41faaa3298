//! Client keys: records by id, with an index by hash.
//!
//! A record and its index entry change in one atomic step: a key that is not deleted is always found by its hash,
//! a deleted one never.

use std::sync::Arc;

use crs_durable::Millis;

use super::keys::{API_KEYS, API_KEYS_BY_HASH};
use super::record::{self, Change, Place, Write};
use crate::model::key::Key;
use crate::port::gates::KeyHash;
use crate::port::store::{Applied, Command, Reply, Store, StoreError};

#[derive(Clone)]
pub struct ApiKeys {
    store: Arc<dyn Store>,
}

/// The result of changing a key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyChange {
    Done(Box<Key>),
    /// There is no such key.
    Unknown,
    /// The key is deleted (or, for a restore, not deleted).
    WrongState,
    /// Another key has this hash: the same key was imported while this one was deleted.
    Taken,
}

impl ApiKeys {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Stores a new key. Returns `false` if its id or hash exists.
    pub async fn create(&self, key: &Key) -> Result<bool, StoreError> {
        self.create_all(std::slice::from_ref(key)).await
    }

    /// Stores all new keys or none. Returns `false` if an id or a hash exists.
    pub async fn create_all(&self, keys: &[Key]) -> Result<bool, StoreError> {
        let mut guards = Vec::with_capacity(keys.len() * 2);
        let mut batch = Vec::with_capacity(keys.len() * 2);
        for key in keys {
            let (place, by_hash) = (at(&key.id), index(&key.hash));
            guards.extend([place.guard(None), by_hash.guard(None)]);
            batch.push(place.set(record::text(&place, key)?));
            batch.push(by_hash.set(key.id.clone().into()));
        }
        Ok(self.store.atomically(guards, batch).await? == Applied::Yes)
    }

    pub async fn get(&self, id: &str) -> Result<Option<Key>, StoreError> {
        record::read(&*self.store, &at(id)).await
    }

    /// All keys including deleted ones, unordered. Unreadable records are skipped and logged.
    pub async fn list(&self) -> Result<Vec<Key>, StoreError> {
        let entries = record::entries(&*self.store, API_KEYS).await?;
        Ok(super::readable(API_KEYS, entries))
    }

    /// The key with this hash, unless it is deleted.
    pub async fn by_hash(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        let hash = hash.hex();
        let Some(id) = record::raw(&*self.store, &index(&hash)).await? else {
            return Ok(None);
        };
        let key = self.get(&String::from_utf8_lossy(&id)).await?;
        // The key may have been deleted between the two reads.
        Ok(key.filter(|key| key.deleted_at.is_none() && key.hash == hash))
    }

    /// The ids of the keys with these hashes, in the same order; one round trip. `None` for unknown and deleted
    /// keys.
    pub async fn ids(&self, hashes: &[KeyHash]) -> Result<Vec<Option<String>>, StoreError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let ask = Command::HMGet {
            key: API_KEYS_BY_HASH.to_owned(),
            fields: hashes.iter().map(KeyHash::hex).collect(),
        };
        let replies = self.store.run(vec![ask]).await?;
        let Some(Reply::Values(ids)) = replies.into_iter().next() else {
            return Ok(vec![None; hashes.len()]);
        };
        let text = |id: bytes::Bytes| String::from_utf8_lossy(&id).into_owned();
        Ok(ids.into_iter().map(|id| id.map(text)).collect())
    }

    /// The existing ones of these keys, including deleted ones; one round trip.
    pub async fn some(&self, ids: &[&str]) -> Result<Vec<Key>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let asks = ids.iter().map(|id| Command::HGet {
            key: API_KEYS.to_owned(),
            field: (*id).to_owned(),
        });
        let replies = self.store.run(asks.collect()).await?;
        let entries = ids.iter().zip(replies).filter_map(|(id, reply)| match reply {
            Reply::Value(Some(text)) => Some(((*id).to_owned(), text)),
            _ => None,
        });
        Ok(super::readable(API_KEYS, entries.collect()))
    }

    /// Changes a key that is not deleted. `edit` may be called several times if the key changes concurrently, so
    /// it must depend only on its argument.
    pub async fn update(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Key) + Send,
    ) -> Result<KeyChange, StoreError> {
        let changed = self
            .try_update(id, now, |key| {
                edit(key);
                Ok::<(), std::convert::Infallible>(())
            })
            .await?;
        let Ok(change) = changed;
        Ok(change)
    }

    /// Like [`update`](Self::update), but `edit` may refuse, then nothing is changed.
    pub async fn try_update<E: Send>(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Key) -> Result<(), E> + Send,
    ) -> Result<Result<KeyChange, E>, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Key>| {
            let Some(mut key) = stored else {
                return Change::Leave(Ok(KeyChange::Unknown));
            };
            if key.deleted_at.is_some() {
                return Change::Leave(Ok(KeyChange::WrongState));
            }
            if let Err(refused) = edit(&mut key) {
                return Change::Leave(Err(refused));
            }
            touch(&mut key, now);
            let then = Ok(KeyChange::Done(Box::new(key.clone())));
            Change::write(key, then)
        })
        .await
    }

    /// Soft deletion: the key is no longer found by its hash, but can be restored.
    pub async fn delete(&self, id: &str, now: Millis) -> Result<KeyChange, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Key>| {
            let Some(mut key) = stored else {
                return Change::Leave(KeyChange::Unknown);
            };
            if key.deleted_at.is_some() {
                return Change::Leave(KeyChange::WrongState);
            }
            key.deleted_at = Some(now);
            touch(&mut key, now);
            Change::Write(Write {
                and: vec![Command::HDel {
                    key: API_KEYS_BY_HASH.to_owned(),
                    fields: vec![key.hash.clone()],
                }],
                only_if: None,
                then: KeyChange::Done(Box::new(key.clone())),
                record: key,
            })
        })
        .await
    }

    /// Replaces the secret with the hash `old`; from then on the key is found only by the new hash.
    /// [`KeyChange::Taken`]: the secret is no longer `old`, because it was replaced concurrently.
    pub async fn rotate(
        &self,
        id: &str,
        old: &str,
        (hash, shown): (&str, &str),
        now: Millis,
    ) -> Result<KeyChange, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Key>| {
            let Some(mut key) = stored else {
                return Change::Leave(KeyChange::Unknown);
            };
            if key.deleted_at.is_some() {
                return Change::Leave(KeyChange::WrongState);
            }
            // The write may have happened although its answer was lost.
            if key.hash == hash {
                return Change::Leave(KeyChange::Done(Box::new(key)));
            }
            if key.hash != old {
                return Change::Leave(KeyChange::Taken);
            }
            hash.clone_into(&mut key.hash);
            shown.clone_into(&mut key.shown);
            touch(&mut key, now);
            Change::Write(Write {
                and: vec![
                    Command::HDel {
                        key: API_KEYS_BY_HASH.to_owned(),
                        fields: vec![old.to_owned()],
                    },
                    index(hash).set(key.id.clone().into()),
                ],
                only_if: Some((index(hash).guard(None), KeyChange::Taken)),
                then: KeyChange::Done(Box::new(key.clone())),
                record: key,
            })
        })
        .await
    }

    /// Deletes the record of a deleted key. [`KeyChange::WrongState`]: the key is not deleted.
    pub async fn purge(&self, id: &str) -> Result<KeyChange, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Key>| match stored {
            None => Change::Leave(KeyChange::Unknown),
            Some(key) if key.deleted_at.is_none() => Change::Leave(KeyChange::WrongState),
            Some(key) => Change::Remove(KeyChange::Done(Box::new(key))),
        })
        .await
    }

    /// Undoes a soft deletion.
    pub async fn restore(&self, id: &str, now: Millis) -> Result<KeyChange, StoreError> {
        record::change(&*self.store, &at(id), |stored: Option<Key>| {
            let Some(mut key) = stored else {
                return Change::Leave(KeyChange::Unknown);
            };
            if key.deleted_at.take().is_none() {
                return Change::Leave(KeyChange::WrongState);
            }
            touch(&mut key, now);
            Change::Write(Write {
                and: vec![index(&key.hash).set(key.id.clone().into())],
                only_if: Some((index(&key.hash).guard(None), KeyChange::Taken)),
                then: KeyChange::Done(Box::new(key.clone())),
                record: key,
            })
        })
        .await
    }
}

fn touch(key: &mut Key, now: Millis) {
    key.version = key.version.saturating_add(1);
    key.updated_at = now;
}

fn at(id: &str) -> Place {
    Place::Field {
        key: API_KEYS,
        field: id.to_owned(),
    }
}

fn index(hash: &str) -> Place {
    Place::Field {
        key: API_KEYS_BY_HASH,
        field: hash.to_owned(),
    }
}

#[cfg(test)]
mod tests;
