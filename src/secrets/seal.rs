//! Seals provider secrets with AES-256-GCM and a random 96-bit nonce. The record and field are authenticated, so
//! a sealed value that is moved elsewhere in the store cannot be opened.
//!
//! A secret can also be bound to its destination ([`Keyring::seal_for`]): if another address is written into the
//! record, the secret cannot be opened.
//!
//! Text form: `v1:<id of the sealing key, 8 hex>:<base64 of nonce, ciphertext, tag>`; with a destination it
//! begins with `v2`.

use aes_gcm::aead::{Aead as _, Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::Keyring;
use crate::model::secret::Secret;
use crate::port::random::Random;

const VERSION: &str = "v1";
/// Version of values bound to a destination.
const BOUND: &str = "v2";
const NONCE: usize = 12;

/// Why a sealed value cannot be opened. Contains nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is not a sealed value")]
    Malformed,
    #[error("it was sealed with the key {sealed_with}, this is {have}")]
    OtherKey { sealed_with: String, have: String },
    #[error("it was changed, or sealed for another record, field or destination")]
    Forged,
}

impl Keyring {
    /// Seals `plain` for one field of one record.
    pub fn seal(&self, random: &dyn Random, record_id: &str, field: &str, plain: &str) -> String {
        self.sealed(random, VERSION, &context(record_id, field), plain)
    }

    /// Seals `plain` for one field of one record and its destination.
    pub fn seal_for(
        &self,
        random: &dyn Random,
        record_id: &str,
        field: &str,
        destination: &str,
        plain: &str,
    ) -> String {
        let aad = bound_context(record_id, field, destination);
        self.sealed(random, BOUND, &aad, plain)
    }

    /// Opens the output of [`seal`](Self::seal) for the same record and field.
    pub fn open(&self, record_id: &str, field: &str, sealed: &str) -> Result<Secret, SealError> {
        self.opened(VERSION, &context(record_id, field), sealed)
    }

    /// Opens the output of [`seal_for`](Self::seal_for) for the same record, field and destination. Also opens
    /// older values made by [`seal`](Self::seal), for any destination.
    pub fn open_for(
        &self,
        record_id: &str,
        field: &str,
        destination: &str,
        sealed: &str,
    ) -> Result<Secret, SealError> {
        if is_bound(sealed) {
            self.opened(BOUND, &bound_context(record_id, field, destination), sealed)
        } else {
            self.open(record_id, field, sealed)
        }
    }

    fn sealed(&self, random: &dyn Random, version: &str, aad: &[u8], plain: &str) -> String {
        let mut nonce = [0_u8; NONCE];
        random.fill(&mut nonce);
        let payload = Payload {
            msg: plain.as_bytes(),
            aad,
        };
        let Ok(ciphertext) = self.cipher.encrypt(&nonce.into(), payload) else {
            // AES-GCM refuses only texts beyond 64 GiB.
            super::impossible("a secret could not be sealed")
        };
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        format!("{version}:{}:{}", self.seal_id, BASE64.encode(bytes))
    }

    fn opened(&self, version: &str, aad: &[u8], sealed: &str) -> Result<Secret, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some(has), Some(key), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        if has != version {
            return Err(SealError::Malformed);
        }
        if key != self.seal_id {
            return Err(SealError::OtherKey {
                sealed_with: key.chars().take(16).collect(),
                have: self.seal_id.clone(),
            });
        }
        let bytes = BASE64.decode(text).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Malformed)?;
        let payload = Payload { msg: ciphertext, aad };
        let plain = self
            .cipher
            .decrypt(nonce.into(), payload)
            .map_err(|_| SealError::Forged)?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|_| SealError::Forged)
    }
}

/// Whether a sealed value is bound to a destination.
pub fn is_bound(sealed: &str) -> bool {
    sealed.starts_with("v2:")
}

/// Record and field as one unambiguous text; a length marks the end of the record's id.
fn context(record_id: &str, field: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + record_id.len() + field.len());
    out.extend_from_slice(&(record_id.len() as u64).to_be_bytes());
    out.extend_from_slice(record_id.as_bytes());
    out.extend_from_slice(field.as_bytes());
    out
}

/// The same with a destination. It never equals a text of [`context`]: there a field's name follows the record's
/// id, here a length, which begins with zeros.
fn bound_context(record_id: &str, field: &str, destination: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + record_id.len() + field.len() + destination.len());
    for part in [record_id, field] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(destination.as_bytes());
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
    fn a_bound_secret_opens_for_its_destination_only() {
        let (ring, random) = (keyring(), Counting::new());
        let sealed = ring.seal_for(&random, "acc-1", "apiKey", "https://a:443", "sk-ant-secret");
        let open = |id: &str, field: &str, to: &str| ring.open_for(id, field, to, &sealed);
        assert_eq!(
            open("acc-1", "apiKey", "https://a:443").unwrap().reveal(),
            "sk-ant-secret"
        );
        for (id, field, to) in [
            ("acc-1", "apiKey", "https://b:443"),
            ("acc-1", "apiKey", ""),
            ("acc-2", "apiKey", "https://a:443"),
            ("acc-1", "accessToken", "https://a:443"),
            ("acc-1", "apiKeyhttps", "://a:443"),
        ] {
            assert_eq!(open(id, field, to), Err(SealError::Forged), "{id} {field} {to}");
        }
        // It cannot be passed off as one that is not bound, nor the other way round.
        let unbound = sealed.replacen("v2:", "v1:", 1);
        assert_eq!(
            ring.open_for("acc-1", "apiKey", "https://a:443", &unbound),
            Err(SealError::Forged)
        );
        assert_eq!(ring.open("acc-1", "apiKey", &sealed), Err(SealError::Malformed));
        let old = ring.seal(&random, "acc-1", "apiKey", "old");
        assert_eq!(
            ring.open_for("acc-1", "apiKey", "x", &old).unwrap().reveal(),
            "old"
        );
        let dressed = old.replacen("v1:", "v2:", 1);
        assert_eq!(
            ring.open_for("acc-1", "apiKey", "x", &dressed),
            Err(SealError::Forged)
        );
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
