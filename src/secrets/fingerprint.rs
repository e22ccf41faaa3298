//! The fingerprint of `ENCRYPTION_KEY`: stored at the first start, compared at every other. With a wrong
//! key nothing sealed would open and no client key would be known, so the start is refused instead.

use bytes::Bytes;

use super::Keyring;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::store::keys;

#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    #[error(
        "ENCRYPTION_KEY is not the one this data was written with: its fingerprint is {had}, the data \
         expects {expected}. Set ENCRYPTION_KEY to the old value; nothing was changed"
    )]
    Other { expected: String, had: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hex of the first 8 of the sub-key's bytes: tells keys apart, and cannot be turned back into one.
pub(super) fn shown(sub_key: &[u8; 32]) -> String {
    hex::encode(sub_key.first_chunk::<8>().unwrap_or(&[0; 8]))
}

impl Keyring {
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Stores the fingerprint if there is none, else compares. Of two first starts at once with
    /// different keys, one is refused.
    pub async fn check_fingerprint(&self, store: &dyn Store) -> Result<(), FingerprintError> {
        let mut stored = stored(store).await?;
        if stored.is_none() {
            let guard = Guard::Value {
                key: keys::FINGERPRINT.to_owned(),
                is: None,
            };
            let set = Command::Set {
                key: keys::FINGERPRINT.to_owned(),
                value: Bytes::from(self.fingerprint.clone()),
                expire_at: None,
            };
            if store.atomically(vec![guard], vec![set]).await? == Applied::Yes {
                return Ok(());
            }
            stored = self::stored(store).await?;
        }
        let expected = stored.unwrap_or_default();
        if expected == self.fingerprint {
            Ok(())
        } else {
            Err(FingerprintError::Other {
                expected,
                had: self.fingerprint.clone(),
            })
        }
    }
}

async fn stored(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let get = Command::Get {
        key: keys::FINGERPRINT.to_owned(),
    };
    Ok(match store.run(vec![get]).await?.first() {
        Some(Reply::Value(Some(stored))) => Some(String::from_utf8_lossy(stored).into_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::tests::{keyring, keyring_of};
    use crate::store::fake::FakeStore;

    #[tokio::test]
    async fn the_first_key_stays_the_only_one() {
        let store = FakeStore::default();
        let (right, wrong) = (keyring(), keyring_of("fedcba9876543210fedcba9876543210"));
        right.check_fingerprint(&store).await.unwrap();
        right.check_fingerprint(&store).await.unwrap();
        let before = store.ever_done();
        let error = wrong.check_fingerprint(&store).await.unwrap_err().to_string();
        assert!(
            error.contains(right.fingerprint()) && error.contains(wrong.fingerprint()),
            "{error}"
        );
        assert!(error.contains("ENCRYPTION_KEY"), "{error}");
        assert_eq!(store.ever_done(), before);
        assert!(!before.contains("0123456789abcdef0123456789abcdef"));
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_no_match() {
        let store = FakeStore::default();
        store.away.store(true, std::sync::atomic::Ordering::SeqCst);
        let checked = keyring().check_fingerprint(&store).await;
        assert!(matches!(checked, Err(FingerprintError::Store(_))));
    }
}
