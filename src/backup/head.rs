//! The head of a file: its readable description, and how it is sealed.

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BadFile, FORMAT, MAGIC};
use crate::model::secret::Secret;
use crate::port::random::Random;

/// Cost of the passphrase's key derivation. 64 MiB and three passes take a fifth of a second.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;

/// Limits for the cost named in a file, so that a modified head cannot exhaust memory.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 100;

const SALT: usize = 16;

/// Length of the proof that the passphrase is right, bytes.
pub(super) const PASSPHRASE_PROOF: usize = 16;

/// The nonce of that proof; nonces of pieces begin with zeros.
const PROOF_NONCE: [u8; 12] = [0xff; 12];

/// Readable in every backup, sealed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Version of the file format.
    pub format: u32,
    /// The program that wrote it: `crs 0.1.0`.
    pub by: String,
    /// Version of the data's schema, see `store::schema`.
    pub schema: u32,
    /// ISO 8601.
    pub created_at: String,
    /// Kind of the store it was read from.
    pub store: String,
    /// Fingerprint of the `ENCRYPTION_KEY` for the secrets inside; `None` if the store had none yet.
    pub fingerprint: Option<String>,
    /// `None`: no passphrase.
    pub sealed: Option<Sealing>,
}

/// How the pieces are sealed: AES-256-GCM with a key that argon2id makes of a passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealing {
    /// `argon2id`, version 0x13.
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    /// Base64.
    salt: String,
    /// `AES-256-GCM`.
    cipher: String,
}

/// The passphrase of a sealed backup.
#[derive(Clone)]
pub struct Passphrase(Secret);

impl Passphrase {
    /// Fails with advice if it is weak.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some(advice) = crate::config::weakness(text, None) {
            return Err(format!("the passphrase is easy to guess: {advice}"));
        }
        Ok(Self::existing(text))
    }

    /// The passphrase of an existing file, however weak.
    pub fn existing(text: &str) -> Self {
        Self(Secret::new(text))
    }
}

/// Computes proofs of pieces: the head's hash, and the key of a sealed file.
pub(super) struct Seal {
    pub(super) head: [u8; 32],
    pub(super) cipher: Option<Box<Aes256Gcm>>,
}

impl Head {
    pub fn new(schema: u32, created_at: String, store: &str, fingerprint: Option<String>) -> Self {
        Self {
            format: FORMAT,
            by: concat!("crs ", env!("CARGO_PKG_VERSION")).to_owned(),
            schema,
            created_at,
            store: store.to_owned(),
            fingerprint,
            sealed: None,
        }
    }

    /// Prepares sealing with a new salt, so that each file has its own key.
    pub(super) fn sealed(&mut self, random: &dyn Random) {
        let mut salt = [0; SALT];
        random.fill(&mut salt);
        self.sealed = Some(Sealing {
            kdf: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: 1,
            salt: BASE64.encode(salt),
            cipher: "AES-256-GCM".to_owned(),
        });
    }

    /// Makes key derivation cheap, so that a test can try many files.
    #[cfg(test)]
    pub(super) fn weaken(&mut self) {
        if let Some(sealing) = &mut self.sealed {
            sealing.memory_kib = 8;
            sealing.passes = 1;
        }
    }

    /// The first bytes of a file, up to the passphrase's proof.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let text = serde_json::to_vec(self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text);
        Ok(bytes)
    }

    /// `bytes`: the output of [`Head::bytes`]. Takes a fifth of a second with a passphrase.
    pub(super) fn seal(&self, bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Seal, BadFile> {
        let head = Sha256::digest(bytes).into();
        let cipher = match (&self.sealed, passphrase) {
            (None, _) => None,
            (Some(_), None) => return Err(BadFile::PassphraseNeeded),
            (Some(sealing), Some(passphrase)) => {
                let key = sealing.key(passphrase).ok_or(BadFile::Damaged {
                    at: bytes.len() as u64,
                    what: "its head names an impossible seal",
                })?;
                Some(Box::new(Aes256Gcm::new(&key.into())))
            }
        };
        Ok(Seal { head, cipher })
    }
}

impl Sealing {
    fn key(&self, passphrase: &Passphrase) -> Option<[u8; 32]> {
        let known = self.kdf == "argon2id" && self.cipher == "AES-256-GCM";
        let bounded = self.memory_kib <= MOST_MEMORY_KIB && self.passes <= MOST_PASSES && self.lanes <= 16;
        if !known || !bounded {
            return None;
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let salt = BASE64.decode(&self.salt).ok()?;
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.reveal().as_bytes(), &salt, &mut key)
            .ok()?;
        Some(key)
    }
}

impl Seal {
    /// `None` without a passphrase.
    pub(super) fn passphrase_proof(&self) -> Option<[u8; PASSPHRASE_PROOF]> {
        let payload = aes_gcm::aead::Payload {
            msg: b"",
            aad: &self.head,
        };
        let proof = self.cipher.as_ref()?.encrypt(&PROOF_NONCE.into(), payload).ok()?;
        proof.try_into().ok()
    }
}
