//! Client keys: a prefix, 48 random hex digits, and 16 hex digits of a check tag over them.
//!
//! The tag allows to refuse garbage by computation alone, so a flood of made-up keys causes no I/O. The store has
//! only a keyed hash of the whole key.

use hmac::Mac as _;
use subtle::ConstantTimeEq as _;

use super::{HmacSha256, Keyring};
use crate::model::secret::Secret;
use crate::port::gates::KeyHash;
use crate::port::random::Random;

const RANDOM_BYTES: usize = 24;
const RANDOM_HEX: usize = 48;
const TAG_HEX: usize = 16;
/// Number of random digits that may be shown: enough to recognise a key, while 160 bits stay unknown.
const SHOWN_HEX: usize = 8;

/// A new key. `plain` is shown to the operator once and never stored.
#[derive(Debug)]
pub struct IssuedKey {
    pub plain: Secret,
    pub hash: KeyHash,
    /// The key's first characters.
    pub shown: String,
}

impl Keyring {
    pub fn issue_key(&self, random: &dyn Random) -> IssuedKey {
        let mut bytes = [0_u8; RANDOM_BYTES];
        random.fill(&mut bytes);
        let body = hex::encode(bytes);
        let tag = key_tag(&self.tag, body.as_bytes());
        let plain = format!(
            "{}{body}{}",
            self.prefix,
            std::str::from_utf8(&tag).unwrap_or_default()
        );
        let shown = plain.chars().take(self.prefix.len() + SHOWN_HEX).collect();
        IssuedKey {
            hash: self.key_hash(&plain),
            plain: Secret::new(plain),
            shown,
        }
    }

    /// The hash of a key issued by this installation; `None` for everything else. No I/O, no allocation, one or
    /// two microseconds. The comparison takes constant time.
    pub fn recognise(&self, presented: &str) -> Option<KeyHash> {
        let digits = presented.as_bytes().strip_prefix(self.prefix.as_bytes())?;
        if digits.len() != RANDOM_HEX + TAG_HEX {
            return None;
        }
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !digits.iter().all(lower_hex) {
            return None;
        }
        let (body, tag) = digits.split_at_checked(RANDOM_HEX)?;
        if bool::from(key_tag(&self.tag, body).ct_eq(tag)) {
            return Some(self.key_hash(presented));
        }
        self.earlier.recognise(body, tag, presented)
    }

    fn key_hash(&self, key: &str) -> KeyHash {
        key_hash(&self.hash, key)
    }
}

/// The tag as hex text.
pub(super) fn key_tag(tag: &HmacSha256, body: &[u8]) -> [u8; TAG_HEX] {
    let mut mac = tag.clone();
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let mut text = [0_u8; TAG_HEX];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        for (to, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
            *to = if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            };
        }
    }
    text
}

pub(super) fn key_hash(hash: &HmacSha256, key: &str) -> KeyHash {
    let mut mac = hash.clone();
    mac.update(key.as_bytes());
    KeyHash(mac.finalize().into_bytes().into())
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use crate::secrets::tests::{Counting, keyring, keyring_of};

    #[test]
    fn an_issued_key_has_the_promised_shape_and_is_recognised() {
        let ring = keyring();
        let issued = ring.issue_key(&Counting::new());
        let plain = issued.plain.reveal();
        assert_eq!(plain.len(), 3 + 64);
        assert!(plain.starts_with("cr_"));
        assert!(
            plain[3..]
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        assert_eq!(ring.recognise(plain).as_ref(), Some(&issued.hash));
        assert_eq!(issued.shown, plain[..11]);
        assert!(!hex::encode(issued.hash.0).contains(&plain[3..11]));
    }

    #[test]
    fn keys_differ_and_belong_to_their_installation() {
        let random = Counting::new();
        let ring = keyring();
        let (a, b) = (ring.issue_key(&random), ring.issue_key(&random));
        assert_ne!(a.plain.reveal(), b.plain.reveal());
        assert_ne!(a.hash, b.hash);
        let other = keyring_of("fedcba9876543210fedcba9876543210");
        assert_eq!(other.recognise(a.plain.reveal()), None);
    }

    #[test]
    fn one_changed_digit_anywhere_is_refused() {
        let ring = keyring();
        let plain = ring.issue_key(&Counting::new()).plain.reveal().to_owned();
        for at in 0..plain.len() {
            let mut changed = plain.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(
                ring.recognise(std::str::from_utf8(&changed).unwrap()),
                None,
                "digit {at}"
            );
        }
        assert_eq!(ring.recognise(&plain.to_uppercase()), None);
        assert_eq!(ring.recognise(&plain[..plain.len() - 1]), None);
        assert_eq!(ring.recognise(&format!("{plain}0")), None);
        assert_eq!(ring.recognise(&format!(" {plain}")), None);
    }

    #[test]
    fn an_empty_prefix_works() {
        let secrets = crate::config::Secrets {
            jwt: crate::model::secret::Secret::new("x"),
            encryption: crate::model::secret::Secret::new("0123456789abcdef0123456789abcdef"),
        };
        let ring = crate::secrets::Keyring::new(&secrets, "");
        let issued = ring.issue_key(&Counting::new());
        assert_eq!(ring.recognise(issued.plain.reveal()), Some(issued.hash));
    }

    #[test]
    fn recognising_takes_microseconds() {
        // A bound so wide that only another order of cost (I/O, password hashing) breaks it.
        let ring = keyring();
        let issued = ring.issue_key(&Counting::new());
        #[expect(clippy::disallowed_methods, reason = "a measurement in a test")]
        let start = std::time::Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(ring.recognise(std::hint::black_box(issued.plain.reveal())));
        }
        let each = start.elapsed() / 10_000;
        assert!(each < std::time::Duration::from_millis(1), "{each:?}");
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_recognised_and_nothing_panics(text in "\\PC{0,90}") {
            prop_assert_eq!(keyring().recognise(&text), None);
        }

        #[test]
        fn well_formed_guesses_are_refused(digits in "[0-9a-f]{64}", multi in "cr_\\PC{64}") {
            let ring = keyring();
            let guess = format!("cr_{digits}");
            prop_assert_eq!(ring.recognise(&guess), None);
            prop_assert_eq!(ring.recognise(&multi), None);
        }
    }
}
