//! What proves who somebody is: of all texts the relay recognises its own keys only, and no text is a session of an
//! administrator or a sealed secret unless the relay made it.
//!
//! The text is a key that was issued, with a part of it replaced: the first two bytes say where and how much, and the
//! rest comes there.

use std::sync::LazyLock;

use crs_edge::tested::{Keyring, Random, Secret, Secrets};

static RING: LazyLock<Keyring> = LazyLock::new(|| {
    let secrets = Secrets {
        jwt: Secret::new("a-session-secret-of-32-characters"),
        encryption: Secret::new("0123456789abcdef0123456789abcdef"),
    };
    Keyring::new(&secrets, "cr_")
});

static KEY: LazyLock<String> = LazyLock::new(|| RING.issue_key(&Same).plain.reveal().to_owned());

static SEALED: LazyLock<String> = LazyLock::new(|| RING.seal(&Same, "account-1", "token", "a secret"));

/// The same bytes at all times.
struct Same;

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// See the module.
pub fn check(data: &[u8]) {
    let [at, length, put @ ..] = data else { return };
    let Ok(put) = std::str::from_utf8(put) else {
        return;
    };
    let key = spliced(&KEY, *at, *length, put);
    assert_eq!(RING.recognise(&key).is_some(), key == *KEY, "{key:?}");
    let sealed = spliced(&SEALED, *at, *length, put);
    let opened = RING.open("account-1", "token", &sealed);
    assert_eq!(opened.is_ok(), sealed == *SEALED, "{sealed:?}");
    for text in [put, &key, &sealed] {
        assert!(RING.verify_session(text, 1_795_335_300_000).is_err(), "{text:?}");
        assert!(RING.open("account-2", "token", text).is_err(), "{text:?}");
    }
}

/// `text` with `put` in place of `length` of its bytes.
fn spliced(text: &str, at: u8, length: u8, put: &str) -> String {
    let at = usize::from(at).min(text.len());
    let end = (at + usize::from(length)).min(text.len());
    [&text[..at], put, &text[end..]].concat()
}
