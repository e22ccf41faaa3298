//! Everything derived from the operator's two secrets: client keys, sealed provider secrets, passwords, admin
//! sessions. Pure functions: no I/O, no clock, no own source of randomness.
//!
//! Each purpose has its own sub-key (HKDF-SHA256, RFC 5869, one label per purpose), so a sub-key that leaks or is
//! replaced reveals nothing about the others.
//!
//! | module | content |
//! | --- | --- |
//! | `client_key`, `old_key`, `earlier` | client keys: issued here, by a CRS, or under an earlier `ENCRYPTION_KEY` |
//! | `seal` | encryption of provider secrets |
//! | `password`, `login_ticket`, `admin_session` | the administrator: passwords, one-time tickets, sessions |
//! | [`pkce`] | PKCE for sign-ins at providers |

mod admin_session;
mod client_key;
mod earlier;
mod login_ticket;
mod old_key;
mod password;
pub mod pkce;
mod seal;

use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use jwt_compact::alg::Hs256Key;
use sha2::Sha256;

use crate::config;

pub use admin_session::{Lifetimes, Session, SessionError};
pub use earlier::EARLIER;
#[cfg(not(target_arch = "wasm32"))]
pub use login_ticket::TICKET_LIFETIME;
pub use login_ticket::{LoginTickets, TicketError};
pub use old_key::{OldKeys, Pepper, SourceDigest, mark, old_hash};
pub use password::{PasswordError, hash_password, verify_dummy, verify_password};
pub use seal::{SealError, is_bound};

type HmacSha256 = Hmac<Sha256>;

/// Distinguishes our sub-keys from those of other programs with the same secret.
const SALT: &[u8] = b"crs-edge/v1";

/// The sub-keys. `Debug` shows nothing of them.
pub struct Keyring {
    prefix: String,
    /// HMAC states that have absorbed their key, so a clone needs no key schedule.
    tag: HmacSha256,
    hash: HmacSha256,
    /// Sub-keys of earlier `ENCRYPTION_KEY`s, whose client keys are still valid.
    earlier: earlier::Earlier,
    label: HmacSha256,
    cipher: Aes256Gcm,
    /// Identifies the sealing key in sealed values.
    seal_id: String,
    session: Hs256Key,
    /// Makes and verifies login tickets.
    pub tickets: LoginTickets,
    fingerprint: String,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", self.fingerprint)
    }
}

/// Hex of the first 8 bytes of a sub-key. It identifies the key, which cannot be derived from it.
fn fingerprint(sub_key: &[u8; 32]) -> String {
    hex::encode(sub_key.first_chunk::<8>().unwrap_or(&[0; 8]))
}

impl Keyring {
    /// The fingerprint of `ENCRYPTION_KEY`, stored with the data that it protects.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key id in the prefix `v1:<id>:` of sealed values.
    pub fn seal_id(&self) -> &str {
        &self.seal_id
    }

    /// `prefix`: of every client key (`API_KEY_PREFIX`).
    pub fn new(secrets: &config::Secrets, prefix: &str) -> Self {
        let root = Hkdf::<Sha256>::new(Some(SALT), secrets.encryption.reveal().as_bytes());
        let sessions = Hkdf::<Sha256>::new(Some(SALT), secrets.jwt.reveal().as_bytes());
        let [a, b, c, d, ..] = sub_key(&root, "seal-id");
        Self {
            prefix: prefix.to_owned(),
            tag: keyed(&sub_key(&root, "key-tag")),
            hash: keyed(&sub_key(&root, "key-hash")),
            earlier: earlier::Earlier::default(),
            label: keyed(&sub_key(&root, "label")),
            cipher: Aes256Gcm::new(&sub_key(&root, "seal").into()),
            seal_id: hex::encode([a, b, c, d]),
            session: Hs256Key::new(sub_key(&sessions, "session")),
            tickets: LoginTickets::new(&secrets.jwt),
            fingerprint: fingerprint(&sub_key(&root, "fingerprint")),
        }
    }

    /// Hex of a keyed hash, which identifies a value (an address, a login) in the store without revealing it.
    /// `purpose` separates different uses.
    pub fn label(&self, purpose: &str, value: &[u8]) -> String {
        let mut mac = self.label.clone();
        mac.update(&(purpose.len() as u64).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(value);
        hex::encode(mac.finalize().into_bytes())
    }
}

fn sub_key(root: &Hkdf<Sha256>, label: &str) -> [u8; 32] {
    let mut key = [0; 32];
    if root.expand(label.as_bytes(), &mut key).is_err() {
        // HKDF-SHA256 yields up to 8160 bytes, so this never fails. Abort rather than continue with a key of
        // zeros.
        impossible("a sub-key could not be derived");
    }
    key
}

/// HMAC keyed with 32 bytes.
fn keyed(key: &[u8; 32]) -> HmacSha256 {
    let mut block = [0_u8; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    <HmacSha256 as hmac::digest::KeyInit>::new(&block.into())
}

/// Aborts the process, because continuing would lose or expose a secret. No input leads here.
fn impossible(what: &str) -> ! {
    tracing::error!("{what}");
    std::process::abort()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::port::random::Random;

    /// Predictable bytes, different at every call.
    pub(crate) struct Counting(pub(crate) std::sync::atomic::AtomicU64);

    impl Counting {
        pub(crate) fn new() -> Self {
            Self(std::sync::atomic::AtomicU64::new(1))
        }
    }

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            use sha2::Digest as _;
            for chunk in bytes.chunks_mut(32) {
                let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let digest = Sha256::digest(n.to_be_bytes());
                chunk.copy_from_slice(&digest[..chunk.len()]);
            }
        }
    }

    pub(crate) fn keyring_of(encryption: &str) -> Keyring {
        let secrets = config::Secrets {
            jwt: Secret::new("a-session-secret-of-32-characters"),
            encryption: Secret::new(encryption),
        };
        Keyring::new(&secrets, "cr_")
    }

    pub(crate) fn keyring() -> Keyring {
        keyring_of("0123456789abcdef0123456789abcdef")
    }

    #[test]
    fn sub_keys_are_hkdf_sha256_and_stay_as_they_are() {
        // RFC 5869, test case 1: the library is wired as the RFC means it.
        let ikm = [0x0b_u8; 22];
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut okm = [0_u8; 42];
        Hkdf::<Sha256>::new(Some(&salt), &ikm)
            .expand(&info, &mut okm)
            .unwrap();
        assert_eq!(
            hex::encode(okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        // Computed with another program (Python's hmac): these must never change, or stored data is lost.
        let root = Hkdf::<Sha256>::new(Some(SALT), b"0123456789abcdef0123456789abcdef");
        assert_eq!(
            hex::encode(sub_key(&root, "key-tag")),
            "85a5fa60dfe3b0b8cbf7bf8e4fac6c5c62dcd0488c3477a6f444b75d1a91922a"
        );
        assert_eq!(
            hex::encode(sub_key(&root, "seal")),
            "5cba876df95c248151c8379ac3b9ba865cb258a1e45c6f6d83cf77d0714d4f78"
        );
        assert_eq!(keyring().fingerprint(), "00a1671e6d7ec585");
    }

    #[test]
    fn padded_keying_is_plain_hmac() {
        let key = [7_u8; 32];
        let mut plain = <HmacSha256 as Mac>::new_from_slice(&key).unwrap();
        let mut ours = keyed(&key);
        plain.update(b"text");
        ours.update(b"text");
        assert_eq!(plain.finalize().into_bytes(), ours.finalize().into_bytes());
    }

    #[test]
    fn labels_differ_by_purpose_and_key() {
        let ring = keyring();
        assert_eq!(ring.label("a", b"x"), ring.label("a", b"x"));
        assert_ne!(ring.label("a", b"x"), ring.label("b", b"x"));
        assert_ne!(ring.label("a", b"bx"), ring.label("ab", b"x"));
        let other = keyring_of("fedcba9876543210fedcba9876543210");
        assert_ne!(ring.label("a", b"x"), other.label("a", b"x"));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", keyring()),
            format!("Keyring({})", keyring().fingerprint())
        );
    }
}
