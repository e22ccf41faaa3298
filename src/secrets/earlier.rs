//! Sub-keys of replaced `ENCRYPTION_KEY`s, which recognise the client keys issued under them. The relay does not
//! store client keys, so it cannot recompute their tags and hashes. The sub-keys are stored sealed with the
//! current key.

use std::sync::OnceLock;

use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::client_key::{key_hash, key_tag};
use super::{HmacSha256, Keyring, SALT, SealError, fingerprint, keyed, sub_key};
use crate::model::secret::Secret;
use crate::port::gates::KeyHash;
use crate::port::random::Random;

/// The key in the store, which is also the context of the sealing.
pub const EARLIER: &str = "crs:earlier-keys";
const FIELD: &str = "keys";

/// Maximum number of replaced keys; each costs a microsecond per made-up client key.
const MOST: usize = 8;

/// Set once, when the store is read.
#[derive(Default)]
pub(super) struct Earlier(OnceLock<Vec<SubKeys>>);

struct SubKeys {
    tag: HmacSha256,
    hash: HmacSha256,
}

/// Hex.
#[derive(Clone, Serialize, Deserialize)]
struct StoredSubKeys {
    fingerprint: String,
    tag: String,
    hash: String,
}

impl Earlier {
    /// Takes constant time.
    pub(super) fn recognise(&self, body: &[u8], tag: &[u8], presented: &str) -> Option<KeyHash> {
        let known = self.0.get()?;
        let of = known
            .iter()
            .find(|known| bool::from(key_tag(&known.tag, body).ct_eq(tag)))?;
        Some(key_hash(&of.hash, presented))
    }
}

impl Keyring {
    /// Adds replaced keys from the stored value. Only the first call has an effect.
    pub fn learn_earlier(&self, sealed: &str) -> Result<(), SealError> {
        let known = self.earlier_stored(sealed)?.into_iter().map(|stored| {
            let key = |text: &str| {
                let mut key = [0; 32];
                hex::decode_to_slice(text, &mut key)
                    .map(|()| keyed(&key))
                    .map_err(|_| SealError::Malformed)
            };
            Ok(SubKeys {
                tag: key(&stored.tag)?,
                hash: key(&stored.hash)?,
            })
        });
        let known = known.collect::<Result<_, SealError>>()?;
        let _ = self.earlier.0.set(known);
        Ok(())
    }

    fn earlier_stored(&self, sealed: &str) -> Result<Vec<StoredSubKeys>, SealError> {
        let text = self.open(EARLIER, FIELD, sealed)?;
        serde_json::from_slice(text.reveal().as_bytes()).map_err(|_| SealError::Malformed)
    }

    /// The value to store when this key replaces `replaced`. `before`: the stored value, sealed with `replaced`.
    pub fn with_earlier(
        &self,
        replaced: &Keyring,
        secret: &Secret,
        before: Option<&str>,
        random: &dyn Random,
    ) -> Result<String, SealError> {
        let mut all = match before {
            Some(sealed) => replaced.earlier_stored(sealed)?,
            None => Vec::new(),
        };
        let root = Hkdf::<Sha256>::new(Some(SALT), secret.reveal().as_bytes());
        let own = StoredSubKeys {
            fingerprint: fingerprint(&sub_key(&root, "fingerprint")),
            tag: hex::encode(sub_key(&root, "key-tag")),
            hash: hex::encode(sub_key(&root, "key-hash")),
        };
        all.retain(|stored| stored.fingerprint != own.fingerprint);
        all.insert(0, own);
        all.truncate(MOST);
        let text = serde_json::to_string(&all).map_err(|_| SealError::Malformed)?;
        Ok(self.seal(random, EARLIER, FIELD, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::tests::{Counting, keyring_of};

    const KEYS: [&str; 3] = [
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
        "00112233445566778899aabbccddeeff",
    ];

    #[test]
    fn client_keys_of_replaced_keys_are_known_by_their_old_hash() {
        let random = Counting::new();
        let rings = KEYS.map(keyring_of);
        let issued = [rings[0].issue_key(&random), rings[1].issue_key(&random)];
        let first = rings[1]
            .with_earlier(&rings[0], &Secret::new(KEYS[0]), None, &random)
            .unwrap();
        let second = rings[2]
            .with_earlier(&rings[1], &Secret::new(KEYS[1]), Some(&first), &random)
            .unwrap();
        assert!(!second.contains(KEYS[0]));
        for key in &issued {
            assert_eq!(rings[2].recognise(key.plain.reveal()), None);
        }
        rings[2].learn_earlier(&second).unwrap();
        for key in &issued {
            assert_eq!(rings[2].recognise(key.plain.reveal()).as_ref(), Some(&key.hash));
        }
        let strange = keyring_of("ffffeeeeddddccccbbbbaaaa99998888").issue_key(&random);
        assert_eq!(rings[2].recognise(strange.plain.reveal()), None);
        let own = rings[2].issue_key(&random);
        assert_eq!(rings[2].recognise(own.plain.reveal()).as_ref(), Some(&own.hash));
        // Only the key of today opens them.
        assert!(keyring_of(KEYS[1]).learn_earlier(&second).is_err());
    }
}
