//! Imported client keys of a claude-relay-service (CRS).
//!
//! CRS stored only `SHA-256(key ‖ ENCRYPTION_KEY)` in hex. So its `ENCRYPTION_KEY` is kept here as a pepper, and
//! an old key is recognised by that hash. Such keys have no check tag. They are compared with marks of the
//! imported hashes in memory, so that garbage still causes no I/O.

use std::ops::RangeInclusive;

use hkdf::Hkdf;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::{HmacSha256, SALT, keyed, sub_key};
use crate::model::secret::Secret;
use crate::port::gates::KeyHash;

/// Allowed length of a key in CRS, bytes.
const LENGTHS: RangeInclusive<usize> = 10..=512;

/// The pepper with which a CRS hashed its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pepper {
    /// Its `ENCRYPTION_KEY`.
    pub secret: Secret,
    /// Its `API_KEY_PREFIX`; it refused keys with another prefix.
    pub prefix: String,
}

/// The imported keys, as needed to recognise them.
#[derive(Debug, Default)]
pub struct OldKeys {
    peppers: Vec<Pepper>,
    /// The first four bytes of each hash, sorted. Without the pepper nobody can produce matches on purpose; one
    /// in 2^32 made-up keys matches per imported key, and costs one read of the store.
    marks: Vec<u32>,
}

impl OldKeys {
    pub fn new(peppers: Vec<Pepper>, mut marks: Vec<u32>) -> Self {
        marks.sort_unstable();
        marks.dedup();
        Self { peppers, marks }
    }

    pub fn peppers(&self) -> &[Pepper] {
        &self.peppers
    }

    /// Sorted.
    pub fn marks(&self) -> &[u32] {
        &self.marks
    }

    /// The hash of an imported key; `None` for almost everything else. No I/O, one hash.
    pub fn recognise(&self, presented: &str) -> Option<KeyHash> {
        if self.marks.is_empty() || !LENGTHS.contains(&presented.len()) {
            return None;
        }
        self.peppers
            .iter()
            .filter(|pepper| presented.starts_with(&pepper.prefix))
            .map(|pepper| old_hash(presented, pepper.secret.reveal()))
            .find(|hash| self.marks.binary_search(&mark(hash)).is_ok())
    }
}

/// CRS's hash of a key. `pepper`: its `ENCRYPTION_KEY`.
pub fn old_hash(plain: &str, pepper: &str) -> KeyHash {
    let mut sha = Sha256::new();
    sha.update(plain.as_bytes());
    sha.update(pepper.as_bytes());
    KeyHash(sha.finalize().into())
}

/// Digests of imported records' sources. Keyed with the CRS's key and not this relay's, which may change between
/// two imports.
#[derive(Clone)]
pub struct SourceDigest(HmacSha256);

impl SourceDigest {
    /// `pepper`: the CRS's `ENCRYPTION_KEY`.
    pub fn new(pepper: &Secret) -> Self {
        let root = Hkdf::<Sha256>::new(Some(SALT), pepper.reveal().as_bytes());
        Self(keyed(&sub_key(&root, "import")))
    }

    /// Hex.
    pub fn of(&self, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        let mut label = hex::encode(mac.finalize().into_bytes());
        label.truncate(24);
        label
    }
}

/// The mark of a hash in [`OldKeys`].
pub fn mark(KeyHash(hash): &KeyHash) -> u32 {
    let [a, b, c, d, ..] = *hash;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with CRS's own code, and once more in Python.
    const VECTORS: [(&str, &str, &str); 3] = [
        (
            "a1",
            "0123456789abcdef0123456789abcdef",
            "6137dabd3c8bbaed81b71fa098e3ac92be6d3fd15468cc7e661dbc7cd2a61c50",
        ),
        (
            "a1",
            "CHANGE-THIS-32-CHARACTER-KEY-NOW",
            "57b50f01a194d60d95fb29b1961c9771883cb84f7ee6a7e1c5b6830685297d98",
        ),
        (
            "0123456789abcdef",
            "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d",
            "af2259689b5bd4dd84500517e4dc7a386ab4ca8cbab9f8be0e42f9e8b8e1d904",
        ),
    ];

    fn key(part: &str) -> String {
        format!("cr_{}", part.repeat(64 / part.len()))
    }

    #[test]
    fn hashes_are_those_of_crs() {
        for (part, pepper, hash) in VECTORS {
            assert_eq!(old_hash(&key(part), pepper).hex(), hash);
        }
    }

    #[test]
    fn only_imported_keys_with_the_prefix_are_known() {
        let pepper = |secret: &str, prefix: &str| Pepper {
            secret: Secret::new(secret),
            prefix: prefix.to_owned(),
        };
        let hash = old_hash(&key("a1"), "one");
        let keys = OldKeys::new(
            vec![pepper("other", "cr_"), pepper("one", "cr_")],
            vec![mark(&hash)],
        );
        assert_eq!(keys.recognise(&key("a1")), Some(hash.clone()));
        assert_eq!(keys.recognise(&key("a2")), None);
        assert_eq!(keys.recognise(""), None);
        assert_eq!(keys.recognise(&"x".repeat(100_000)), None);
        // CRS refuses a key that begins otherwise than its prefix says now.
        let keys = OldKeys::new(vec![pepper("one", "sk_")], vec![mark(&hash)]);
        assert_eq!(keys.recognise(&key("a1")), None);
        assert_eq!(OldKeys::default().recognise(&key("a1")), None);
    }
}
