//! CRS's ciphers. All are AES-256 in CBC mode with PKCS#7 padding and no authentication, so a wrong key shows by
//! what it opens: bad padding, no UTF-8, or control characters.
//!
//! | variant | key | stored as |
//! | --- | --- | --- |
//! | A, all kinds but Bedrock | scrypt of ENCRYPTION_KEY and a salt per kind (N 16384, r 8, p 1) | `hex(IV):hex` |
//! | B, old Claude logins | OpenSSL's EVP_BytesToKey: MD5, no salt, key and IV | `hex` |
//!
//! A text of neither form is the secret itself: some versions stored it so, and an export holds it opened.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aes::Aes256;
use aes::cipher::{BlockDecrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};

use crate::model::secret::Secret;

const BLOCK: usize = 16;

/// The kinds of accounts, by what their secrets are sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// OAuth logins and setup tokens.
    Claude,
    Console,
    Ccr,
    /// Gemini CLI and Antigravity logins.
    Gemini,
    GeminiApi,
    OpenAi,
    Responses,
    Azure,
    Droid,
    Bedrock,
}

impl Kind {
    /// scrypt's salt.
    fn salt(self) -> &'static str {
        match self {
            Self::Claude => "salt",
            Self::Console => "claude-console-salt",
            Self::Ccr => "ccr-account-salt",
            Self::Gemini => "gemini-account-salt",
            Self::GeminiApi => "gemini-api-salt",
            Self::OpenAi => "openai-account-salt",
            Self::Responses => "openai-responses-salt",
            Self::Azure => "azure-openai-account-default-salt",
            // Bedrock's key is no work of scrypt; nothing of it is opened here.
            Self::Droid | Self::Bedrock => "droid-account-salt",
        }
    }

    /// The fields that are sealed, by how telling they are.
    pub fn sealed_fields(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["accessToken", "refreshToken", "claudeAiOauth"],
            Self::Gemini => &["accessToken", "refreshToken", "geminiOauth"],
            Self::OpenAi => &["accessToken", "refreshToken", "idToken", "openaiOauth"],
            Self::Droid => &["accessToken", "refreshToken"],
            Self::Console | Self::Ccr | Self::GeminiApi | Self::Responses | Self::Azure => &["apiKey"],
            Self::Bedrock => &[],
        }
    }
}

/// A sealed value does not open with this key, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret cannot be opened with this ENCRYPTION_KEY")]
pub struct Unopened;

/// Opens the secrets of one CRS.
pub struct Ciphers {
    key: Secret,
    /// scrypt takes tens of milliseconds, once for each kind.
    derived: Mutex<BTreeMap<Kind, [u8; 32]>>,
}

impl Ciphers {
    /// `key`: the CRS's `ENCRYPTION_KEY`, of any length.
    pub fn new(key: Secret) -> Self {
        Self {
            key,
            derived: Mutex::default(),
        }
    }

    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// The secret in a field; `None`: there is none.
    pub fn open(&self, kind: Kind, text: &str) -> Result<Option<Secret>, Unopened> {
        let text = text.trim();
        if matches!(text, "" | "null" | "undefined") {
            return Ok(None);
        }
        match sealed(kind, text) {
            Some(Sealed::WithIv(iv, ciphertext)) => {
                let key = self.derived(kind);
                decrypt(&key, iv, ciphertext).and_then(readable).map(Some)
            }
            Some(Sealed::Old(ciphertext)) => {
                let (key, iv) = bytes_to_key(self.key.reveal().as_bytes());
                decrypt(&key, iv, ciphertext).and_then(readable).map(Some)
            }
            None => readable(text.as_bytes().to_vec()).map(Some),
        }
    }

    fn derived(&self, kind: Kind) -> [u8; 32] {
        let mut known = self
            .derived
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *known.entry(kind).or_insert_with(|| {
            let mut key = [0; 32];
            // The parameters and the length are constants that scrypt takes.
            if let Ok(params) = scrypt::Params::new(14, 8, 1, 32) {
                let _ = scrypt::scrypt(
                    self.key.reveal().as_bytes(),
                    kind.salt().as_bytes(),
                    &params,
                    &mut key,
                );
            }
            key
        })
    }
}

enum Sealed {
    WithIv([u8; BLOCK], Vec<u8>),
    Old(Vec<u8>),
}

/// Whether a text has the form of a sealed value.
pub fn is_sealed(kind: Kind, text: &str) -> bool {
    sealed(kind, text.trim()).is_some()
}

fn sealed(kind: Kind, text: &str) -> Option<Sealed> {
    let blocks = |hex: &str| -> Option<Vec<u8>> {
        let bytes = hex::decode(hex).ok()?;
        (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK)).then_some(bytes)
    };
    match text.split_once(':') {
        Some((iv, ciphertext)) => {
            let mut bytes = [0; BLOCK];
            hex::decode_to_slice(iv, &mut bytes).ok()?;
            Some(Sealed::WithIv(bytes, blocks(ciphertext)?))
        }
        None if kind == Kind::Claude => Some(Sealed::Old(blocks(text)?)),
        None => None,
    }
}

/// AES-256-CBC, padding removed.
fn decrypt(key: &[u8; 32], iv: [u8; BLOCK], ciphertext: Vec<u8>) -> Result<Vec<u8>, Unopened> {
    let aes = Aes256::new(key.into());
    let mut plain = Vec::with_capacity(ciphertext.len());
    let mut before = iv;
    let (blocks, _) = ciphertext.as_chunks::<BLOCK>();
    for block in blocks {
        let mut opened = (*block).into();
        aes.decrypt_block(&mut opened);
        plain.extend(opened.iter().zip(before).map(|(byte, with)| byte ^ with));
        before = *block;
    }
    let padding = usize::from(*plain.last().ok_or(Unopened)?);
    let length = plain.len().checked_sub(padding).ok_or(Unopened)?;
    let (text, pad) = plain.split_at_checked(length).ok_or(Unopened)?;
    let whole = (1..=BLOCK).contains(&padding) && pad.iter().all(|byte| usize::from(*byte) == padding);
    if whole { Ok(text.to_vec()) } else { Err(Unopened) }
}

/// OpenSSL's derivation of a key and an IV, as Node's `createDecipher` uses it.
fn bytes_to_key(password: &[u8]) -> ([u8; 32], [u8; BLOCK]) {
    let round = |before: &[u8]| -> [u8; BLOCK] {
        let mut md5 = Md5::new();
        md5.update(before);
        md5.update(password);
        md5.finalize().into()
    };
    let first = round(&[]);
    let second = round(&first);
    let iv = round(&second);
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(first.into_iter().chain(second)) {
        *to = from;
    }
    (key, iv)
}

/// A secret is text that can be printed, or JSON. A wrong key passes the padding once in 256 times, and this never
/// for a text of usual length.
fn readable(plain: Vec<u8>) -> Result<Secret, Unopened> {
    let text = String::from_utf8(plain).map_err(|_| Unopened)?;
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().any(odd) {
        return Err(Unopened);
    }
    Ok(Secret::new(text))
}

/// How many of these sealed values each key opens, in the order of the keys.
pub fn prove(keys: &[Ciphers], values: &[(Kind, &str)]) -> Vec<usize> {
    keys.iter()
        .map(|key| {
            let opens = |(kind, text): &&(Kind, &str)| matches!(key.open(*kind, text), Ok(Some(_)));
            values.iter().filter(opens).count()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: &str = "000102030405060708090a0b0c0d0e0f";

    /// Made with CRS's own code; two sets, so that neither key is special.
    const FIRST: (&str, &str, [(Kind, &str); 9]) = (
        "0123456789abcdef0123456789abcdef",
        "sk-test-密钥-1",
        [
            (
                Kind::Claude,
                "6ac1d5a96594ad14fec77efcaa2e8838398dabfdb2c4d4a374d9fefe5398251a",
            ),
            (
                Kind::Console,
                "25a3e4cb3d4f8eb38ba0b767434c5c370e4feaecff2690d2a3c13a9e7ada8147",
            ),
            (
                Kind::Ccr,
                "4c690c97ea69c46549535a93cfb7fe3b00307a72c811df8ae7001674eea1eb4c",
            ),
            (
                Kind::Gemini,
                "f2ebd5821fd67541a26cf63a017ec9c86d8a6cfc1c23b8adaf0c00ce5fdce656",
            ),
            (
                Kind::GeminiApi,
                "37814c55be9ee8fa4d3daa0611b004f312e8e13940023649ded43078523b38c1",
            ),
            (
                Kind::OpenAi,
                "18f67dd15f29136083b8df5b0fddcbd672ed9164bb4877ffcb96571aef542177",
            ),
            (
                Kind::Responses,
                "ed8fa11f612a16d3aedeca3f3e360c71d3febe3a3b195fdba9f9c8c0286cb925",
            ),
            (
                Kind::Azure,
                "70a1ac35205b2ad7c3ad345aa2d892d08fd16369dda1d8f624701a0b3b60d9cd",
            ),
            (
                Kind::Droid,
                "92841705af64cdaa4a30673f79dd789aeed082ecd4027dae92cc5b81a92abc97",
            ),
        ],
    );

    const SECOND: (&str, &str, [(Kind, &str); 9]) = (
        "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d",
        "sk-test-äöü-0123456789abcdef",
        [
            (
                Kind::Claude,
                "8cbf74c5b5a4f0b6434f752d99d566790fa2efb4dc817953263d6dcb7eb82995",
            ),
            (
                Kind::Console,
                "289b8901445cf6059f7d6908be1812bfb5533c0611a3bb75353ce213a14d6cad",
            ),
            (
                Kind::Ccr,
                "191d83cf05eac3eae4c470595291ea61439f2024369ce20ec7c0a6ff23ba3951",
            ),
            (
                Kind::Gemini,
                "84ee4849fc4c05c6f7a970365e5f064cc33996a3c88eb33ea3949bb0c13e1d4c",
            ),
            (
                Kind::GeminiApi,
                "549934eb2171da2ac187c6783910536e1547e7f2ef223597bfb34e66695e8fd2",
            ),
            (
                Kind::OpenAi,
                "c7361df5364258ee9a9a603d1abfb80dd24c0bdaa461b3c32e1d28ded1bec8da",
            ),
            (
                Kind::Responses,
                "c33be20c7e7c9ab9e0b2d16bcdaaa7b229d2f819fdf94c036012773f8a8bd6b4",
            ),
            (
                Kind::Azure,
                "3a05fd01b6e0774294a260ecf92dda69360f9d8beb7f0d016c7759c4c3c0ed63",
            ),
            (
                Kind::Droid,
                "7ce9272f240ad92711b10053623f90b85835a860de4a32c10d0d856e73515f0a",
            ),
        ],
    );

    fn ciphers(key: &str) -> Ciphers {
        Ciphers::new(Secret::new(key))
    }

    #[track_caller]
    fn opens(ciphers: &Ciphers, kind: Kind, text: &str, plain: &str) {
        let opened = ciphers
            .open(kind, text)
            .map(|opened| opened.unwrap().reveal().to_owned());
        assert_eq!(opened.as_deref(), Ok(plain), "{kind:?}");
    }

    #[test]
    fn every_kind_opens_what_crs_sealed() {
        for (key, plain, values) in [FIRST, SECOND] {
            let ciphers = ciphers(key);
            for (kind, ciphertext) in values {
                opens(&ciphers, kind, &format!("{IV}:{ciphertext}"), plain);
            }
        }
        // The key that everybody has who never set one.
        let published = ciphers("CHANGE-THIS-32-CHARACTER-KEY-NOW");
        let text = format!("{IV}:fe1d71728d9a8019d244e7648e64efc94358cff13984f45932395646f6d1bfbb");
        opens(&published, Kind::Claude, &text, "sk-test-密钥-1");
    }

    #[test]
    fn old_claude_values_have_no_iv() {
        let old = "c7d35da60b8646271d6a6e37c901883bbe4b6c62290ce8263423f4d6679d0dc7";
        opens(&ciphers(FIRST.0), Kind::Claude, old, FIRST.1);
        let old = "5e12bbbe4207084d4a4bf48943226ea5e7dc99007043ad323924ea48a6dac419";
        opens(&ciphers(SECOND.0), Kind::Claude, old, SECOND.1);
    }

    #[test]
    fn plain_text_is_the_secret_itself_and_nothing_is_none() {
        let ciphers = ciphers(FIRST.0);
        opens(&ciphers, Kind::Console, "sk-ant-plain", "sk-ant-plain");
        opens(&ciphers, Kind::Claude, "sk-ant-oat01-plain", "sk-ant-oat01-plain");
        for nothing in ["", " ", "null", "undefined"] {
            assert_eq!(ciphers.open(Kind::Claude, nothing), Ok(None));
        }
        assert_eq!(ciphers.open(Kind::Console, "a\u{1}b"), Err(Unopened));
    }

    #[test]
    fn a_wrong_key_is_found_before_anything_is_written() {
        let (_, _, values) = FIRST;
        let sealed: Vec<(Kind, String)> = values
            .into_iter()
            .map(|(kind, text)| (kind, format!("{IV}:{text}")))
            .collect();
        let values: Vec<(Kind, &str)> = sealed.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        let keys = [ciphers("wrong"), ciphers(FIRST.0)];
        assert_eq!(prove(&keys, &values), [0, 9]);
        // A damaged value opens with no key.
        let damaged = format!("{IV}:{}", "00".repeat(32));
        assert_eq!(keys[1].open(Kind::Claude, &damaged), Err(Unopened));
        assert!(is_sealed(Kind::Claude, &damaged) && !is_sealed(Kind::Console, "sk-ant-x"));
    }
}
