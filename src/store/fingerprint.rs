//! The fingerprint of `ENCRYPTION_KEY`, stored at the first start and compared at every later one. With a wrong
//! key no secret could be decrypted and no client key recognised, so the start is refused.

use bytes::Bytes;

use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::secrets::{EARLIER, Keyring};
use crate::store::keys;

#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    #[error(
        "ENCRYPTION_KEY is not the one this data was written with: its fingerprint is {had}, the data \
         expects {expected}. Set ENCRYPTION_KEY to the old value; nothing was changed"
    )]
    Other { expected: String, had: String },
    #[error(
        "this database belongs to a claude-relay-service, and nothing was changed in it: set REDIS_DB (or REDIS_URL) to an \
         empty database, or take REDIS_HOST out of .env for the embedded store. `crs import --redis` reads its data"
    )]
    Crs,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores the fingerprint if there is none, or compares it. If two processes with different keys start on an
/// empty store, one of them is refused.
pub async fn check_fingerprint(store: &dyn Store, keyring: &Keyring) -> Result<(), FingerprintError> {
    let (mut stored, earlier) = stored_fingerprint(store).await?;
    if stored.is_none() {
        refuse_crs(store).await?;
        let guard = Guard::Value {
            key: keys::FINGERPRINT.to_owned(),
            is: None,
        };
        let set = Command::Set {
            key: keys::FINGERPRINT.to_owned(),
            value: Bytes::from(keyring.fingerprint().to_owned()),
            expire_at: None,
        };
        if store.atomically(vec![guard], vec![set]).await? == Applied::Yes {
            return Ok(());
        }
        stored = stored_fingerprint(store).await?.0;
    }
    let expected = stored.unwrap_or_default();
    if expected == keyring.fingerprint() {
        if let Some(Err(error)) = earlier.map(|sealed| keyring.learn_earlier(&sealed)) {
            tracing::error!(%error, "client keys made under an earlier ENCRYPTION_KEY are not recognised: the stored sub-keys cannot be read");
        }
        Ok(())
    } else {
        Err(FingerprintError::Other {
            expected,
            had: keyring.fingerprint().to_owned(),
        })
    }
}

/// Keys in the database of a claude-relay-service that this relay never writes.
const OF_CRS: [&str; 7] = [
    "apikey:hash_map",
    "apikey:index:version",
    "session:admin_credentials",
    "account_groups",
    "claude_relay_config",
    "claude:account:index",
    "system:migrated:version",
];

/// Refuses the database of a claude-relay-service, before a first start writes anything.
pub async fn refuse_crs(store: &dyn Store) -> Result<(), FingerprintError> {
    let own = Command::Exists {
        key: keys::FINGERPRINT.to_owned(),
    };
    let theirs = OF_CRS.map(|key| Command::Exists { key: key.to_owned() });
    let replies = store.run([own].into_iter().chain(theirs).collect()).await?;
    let mut there = replies.iter().map(|reply| matches!(reply, Reply::Int(1..)));
    if there.next() == Some(false) && there.any(|there| there) {
        return Err(FingerprintError::Crs);
    }
    Ok(())
}

/// The fingerprint, and the sealed sub-keys of replaced keys; one round trip.
async fn stored_fingerprint(store: &dyn Store) -> Result<(Option<String>, Option<String>), StoreError> {
    let get = |key: &str| Command::Get { key: key.to_owned() };
    let replies = store.run(vec![get(keys::FINGERPRINT), get(EARLIER)]).await?;
    let mut texts = replies.into_iter().map(|reply| match reply {
        Reply::Value(Some(stored)) => Some(String::from_utf8_lossy(&stored).into_owned()),
        _ => None,
    });
    Ok((texts.next().flatten(), texts.next().flatten()))
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
        check_fingerprint(&store, &right).await.unwrap();
        check_fingerprint(&store, &right).await.unwrap();
        let before = store.ever_done();
        let error = check_fingerprint(&store, &wrong).await.unwrap_err().to_string();
        assert!(
            error.contains(right.fingerprint()) && error.contains(wrong.fingerprint()),
            "{error}"
        );
        assert!(error.contains("ENCRYPTION_KEY"), "{error}");
        assert_eq!(store.ever_done(), before);
        assert!(!before.contains("0123456789abcdef0123456789abcdef"));
    }

    #[tokio::test]
    async fn the_database_of_another_relay_is_refused_and_left_alone() {
        for key in OF_CRS {
            let store = FakeStore::default();
            store.put(key, "x");
            let before = store.ever_done();
            let error = check_fingerprint(&store, &keyring()).await.unwrap_err();
            assert!(matches!(error, FingerprintError::Crs), "{key}");
            assert!(error.to_string().contains("REDIS_DB") && error.to_string().contains("crs import"));
            assert_eq!(store.ever_done(), before);
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_no_match() {
        let store = FakeStore::default();
        store.away.store(true, std::sync::atomic::Ordering::SeqCst);
        let checked = check_fingerprint(&store, &keyring()).await;
        assert!(matches!(checked, Err(FingerprintError::Store(_))));
    }
}
