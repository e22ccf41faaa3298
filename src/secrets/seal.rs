//! Sealed provider secrets: AES-256-GCM with a random 96-bit nonce, bound to the record and the field
//! they were sealed for, so that a sealed value moved to another place of the store does not open.
//!
//! Text form: `v1:<id of the sealing key, 8 hex>:<base64 of nonce, ciphertext, tag>`.

use aes_gcm::aead::{Aead as _, Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::Keyring;
use crate::config::Secret;
use crate::port::random::Random;

const VERSION: &str = "v1";
const NONCE: usize = 12;

/// Why a sealed value does not open. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is no sealed value")]
    Malformed,
    #[error("it was sealed with the key {sealed_with}, this is {have}")]
    OtherKey { sealed_with: String, have: String },
    #[error("it was changed, or sealed for another record or field")]
    Forged,
}

impl Keyring {
    /// Seals `plain` for one field of one record.
    pub fn seal(&self, random: &dyn Random, record_id: &str, field: &str, plain: &str) -> String {
        let mut nonce = [0_u8; NONCE];
        random.fill(&mut nonce);
        let aad = context(record_id, field);
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: &aad,
        };
        let Ok(ciphertext) = self.cipher.encrypt(&nonce.into(), payload) else {
            // AES-GCM refuses only texts beyond 64 GiB.
            super::impossible("a secret could not be sealed")
        };
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        format!("{VERSION}:{}:{}", self.seal_id, BASE64.encode(bytes))
    }

    /// Opens what [`seal`](Self::seal) gave for the same record and field.
    pub fn open(&self, record_id: &str, field: &str, sealed: &str) -> Result<Secret, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some(VERSION), Some(key), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        if key != self.seal_id {
            return Err(SealError::OtherKey {
                sealed_with: key.chars().take(16).collect(),
                have: self.seal_id.clone(),
            });
        }
        let bytes = BASE64.decode(text).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Malformed)?;
        let aad = context(record_id, field);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let plain = self
            .cipher
            .decrypt(nonce.into(), payload)
            .map_err(|_| SealError::Forged)?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|_| SealError::Forged)
    }
}

/// Record and field as one unambiguous text: the length says where the record's id ends.
fn context(record_id: &str, field: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + record_id.len() + field.len());
    out.extend_from_slice(&(record_id.len() as u64).to_be_bytes());
    out.extend_from_slice(record_id.as_bytes());
    out.extend_from_slice(field.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::{BASE64, SealError};
    use crate::secrets::tests::{Counting, keyring, keyring_of};

    #[test]
    fn opens_only_where_it_was_sealed() {
        let ring = keyring();
        let sealed = ring.seal(&Counting::new(), "acc-1", "apiKey", "sk-ant-secret");
        assert!(!sealed.contains("sk-ant"));
        assert_eq!(
            ring.open("acc-1", "apiKey", &sealed).unwrap().reveal(),
            "sk-ant-secret"
        );
        assert_eq!(ring.open("acc-2", "apiKey", &sealed), Err(SealError::Forged));
        assert_eq!(ring.open("acc-1", "accessToken", &sealed), Err(SealError::Forged));
        assert_eq!(ring.open("acc-1a", "piKey", &sealed), Err(SealError::Forged));
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        let (ring, random) = (keyring(), Counting::new());
        assert_ne!(
            ring.seal(&random, "a", "b", "x"),
            ring.seal(&random, "a", "b", "x")
        );
    }

    #[test]
    fn another_key_is_named_and_changes_are_seen() {
        let ring = keyring();
        let sealed = ring.seal(&Counting::new(), "a", "b", "text");
        let other = keyring_of("fedcba9876543210fedcba9876543210");
        let Err(SealError::OtherKey { sealed_with, have }) = other.open("a", "b", &sealed) else {
            panic!("opened by another key");
        };
        assert_ne!(sealed_with, have);
        let (head, text) = sealed.rsplit_once(':').unwrap();
        let bytes = BASE64.decode(text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let forged = format!("{head}:{}", BASE64.encode(&changed));
            assert_eq!(ring.open("a", "b", &forged), Err(SealError::Forged), "byte {at}");
        }
        let short = format!("{head}:{}", BASE64.encode(&bytes[..11]));
        assert_eq!(ring.open("a", "b", &short), Err(SealError::Malformed));
    }

    proptest! {
        #[test]
        fn any_text_returns(id in "\\PC{0,20}", field in "\\PC{0,20}", text in "(?s).{0,200}") {
            let ring = keyring();
            let sealed = ring.seal(&Counting::new(), &id, &field, &text);
            let opened = ring.open(&id, &field, &sealed).unwrap();
            prop_assert_eq!(opened.reveal(), text.as_str());
        }

        #[test]
        fn nonsense_does_not_open(text in "(?s).{0,100}") {
            prop_assert!(keyring().open("a", "b", &text).is_err());
        }
    }
}
