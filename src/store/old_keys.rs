//! Data to recognise imported client keys: sealed peppers, and marks of the hashes.
//!
//! The marks are one text, which a process reads at its start, and again only after the version changed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys::{OLD_KEY_MARKS, OLD_KEYS};
use super::record::{self, Place};
use crate::port::random::Random;
use crate::port::store::{Applied, Command, Reply, Store, StoreError};
use crate::secrets::{Keyring, OldKeys, Pepper, SealError};

/// Record name for the sealing of a pepper.
const RECORD: &str = "import";
const FIELD: &str = "pepper";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPeppers {
    version: u64,
    peppers: Vec<StoredPepper>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredPepper {
    /// Sealed.
    pepper: String,
    prefix: String,
}

/// Seals the record for another `ENCRYPTION_KEY`; `None` if it already is. Parts sealed with `to` stay, so it can
/// be repeated.
pub fn reseal(
    text: &[u8],
    from: &Keyring,
    to: &Keyring,
    random: &dyn Random,
) -> Result<Option<Bytes>, ResealError> {
    let mut stored: StoredPeppers = record::parse(&PLACE, text)?;
    let mut changed = false;
    for one in &mut stored.peppers {
        if to.open(RECORD, FIELD, &one.pepper).is_err() {
            let plain = from.open(RECORD, FIELD, &one.pepper)?;
            one.pepper = to.seal(random, RECORD, FIELD, plain.reveal());
            changed = true;
        }
    }
    Ok(changed.then(|| record::text(&PLACE, &stored)).transpose()?)
}

/// Why [`reseal`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    #[error(transparent)]
    Record(#[from] StoreError),
    #[error(transparent)]
    Sealed(#[from] SealError),
}

const PLACE: Place = Place::Text { key: OLD_KEYS };
const MARKS: Place = Place::Text { key: OLD_KEY_MARKS };

/// The store's data about imported keys.
#[derive(Clone)]
pub struct OldKeyStore {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    random: Arc<dyn Random>,
}

impl OldKeyStore {
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, random: Arc<dyn Random>) -> Self {
        Self {
            store,
            keyring,
            random,
        }
    }

    /// The imported keys and their version, if it differs from `seen`. Version 0: nothing was imported.
    pub async fn newer_than(&self, seen: u64) -> Result<Option<(u64, OldKeys)>, StoreError> {
        let stored: StoredPeppers = record::read(&*self.store, &PLACE).await?.unwrap_or_default();
        if stored.version == seen {
            return Ok(None);
        }
        let keys = self.open(&stored, self.marks().await?.as_ref())?;
        Ok(Some((stored.version, keys)))
    }

    /// Adds imported keys. Does nothing if all of them exist.
    pub async fn add(&self, pepper: &Pepper, marks: &[u32]) -> Result<(), StoreError> {
        loop {
            let before = record::raw(&*self.store, &PLACE).await?;
            let before_marks = self.marks().await?;
            let mut stored: StoredPeppers = before
                .as_ref()
                .map(|text| record::parse(&PLACE, text))
                .transpose()?
                .unwrap_or_default();
            let known = self.open(&stored, before_marks.as_ref())?;
            let has_pepper = known.peppers().contains(pepper);
            if has_pepper && marks.iter().all(|mark| known.marks().binary_search(mark).is_ok()) {
                return Ok(());
            }
            if !has_pepper {
                stored.peppers.push(StoredPepper {
                    pepper: self
                        .keyring
                        .seal(&*self.random, RECORD, FIELD, pepper.secret.reveal()),
                    prefix: pepper.prefix.clone(),
                });
            }
            stored.version += 1;
            let all = OldKeys::new(
                Vec::new(),
                known.marks().iter().chain(marks).copied().collect::<Vec<_>>(),
            );
            let batch = vec![
                PLACE.set(record::text(&PLACE, &stored)?),
                MARKS.set(Bytes::from(written(all.marks()))),
            ];
            let guards = vec![PLACE.guard(before), MARKS.guard(before_marks)];
            if self.store.atomically(guards, batch).await? == Applied::Yes {
                return Ok(());
            }
        }
    }

    async fn marks(&self) -> Result<Option<Bytes>, StoreError> {
        let get = Command::Get {
            key: OLD_KEY_MARKS.to_owned(),
        };
        Ok(match self.store.run(vec![get]).await?.pop() {
            Some(Reply::Value(text)) => text,
            _ => None,
        })
    }

    fn open(&self, stored: &StoredPeppers, marks: Option<&Bytes>) -> Result<OldKeys, StoreError> {
        let open = |stored: &StoredPepper| -> Result<Pepper, SealError> {
            Ok(Pepper {
                secret: self.keyring.open(RECORD, FIELD, &stored.pepper)?,
                prefix: stored.prefix.clone(),
            })
        };
        let peppers: Result<Vec<Pepper>, SealError> = stored.peppers.iter().map(open).collect();
        let peppers = peppers.map_err(|error| unreadable(OLD_KEYS, error.to_string()))?;
        let marks = match marks {
            Some(text) => {
                read(text).ok_or_else(|| unreadable(OLD_KEY_MARKS, "it is not a list of marks".to_owned()))?
            }
            None => Vec::new(),
        };
        Ok(OldKeys::new(peppers, marks))
    }
}

fn unreadable(key: &str, reason: String) -> StoreError {
    StoreError::Unreadable {
        key: key.to_owned(),
        reason,
    }
}

/// Base64 of the marks, four bytes each, because every transport can carry text.
fn written(marks: &[u32]) -> String {
    let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.to_be_bytes()).collect();
    BASE64.encode(bytes)
}

fn read(text: &[u8]) -> Option<Vec<u32>> {
    let bytes = BASE64.decode(text).ok()?;
    let (marks, rest) = bytes.as_chunks::<4>();
    rest.is_empty()
        .then(|| marks.iter().map(|mark| u32::from_be_bytes(*mark)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::secrets::tests::{Counting, keyring};
    use crate::secrets::{mark, old_hash};
    use crate::store::fake::FakeStore;

    #[tokio::test]
    async fn keys_are_added_once_and_the_pepper_is_sealed() {
        let store = Arc::new(FakeStore::default());
        let random = Arc::new(Counting::new());
        let keys = OldKeyStore::new(store.clone(), Arc::new(keyring()), random);
        assert!(keys.newer_than(0).await.unwrap().is_none());
        let pepper = Pepper {
            secret: Secret::new("the-old-encryption-key"),
            prefix: "cr_".to_owned(),
        };
        let (one, two) = ("cr_1234567", "cr_7654321");
        let marks = [one, two].map(|key| mark(&old_hash(key, "the-old-encryption-key")));
        keys.add(&pepper, &marks[..1]).await.unwrap();
        let (version, known) = keys.newer_than(0).await.unwrap().unwrap();
        assert!(known.recognise(one).is_some() && known.recognise(two).is_none());
        keys.add(&pepper, &marks[..1]).await.unwrap();
        assert!(
            keys.newer_than(version).await.unwrap().is_none(),
            "nothing is new"
        );
        keys.add(&pepper, &marks[1..]).await.unwrap();
        let (_, known) = keys.newer_than(version).await.unwrap().unwrap();
        assert!(known.recognise(one).is_some() && known.recognise(two).is_some());
        assert_eq!(known.peppers().len(), 1);
        assert!(!store.ever_done().contains("the-old-encryption-key"));
    }
}
