//! CRS's ciphers. All are AES-256-CBC with PKCS#7 padding and no authentication, so a wrong key shows only in its
//! result: invalid padding, invalid UTF-8, or control characters.
//!
//! | variant | key | stored as |
//! | --- | --- | --- |
//! | A, all kinds but Bedrock | scrypt of ENCRYPTION_KEY and a salt per kind (N 16384, r 8, p 1) | `hex(IV):hex` |
//! | B, old Claude logins | OpenSSL's EVP_BytesToKey: MD5, no salt, key and IV | `hex` |
//! | C, Bedrock | SHA-256 of ENCRYPTION_KEY | `{"encrypted": hex, "iv": hex}`; the secret is JSON, too |
//!
//! Texts in neither form are the secret itself: some versions stored it unencrypted, and an export contains it
//! decrypted.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aes::Aes256;
use aes::cipher::{BlockDecrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};
use serde::Deserialize;
use sha2::Sha256;

use crate::model::secret::Secret;

const BLOCK: usize = 16;

/// The kinds of accounts, by the encryption of their secrets.
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
    /// scrypt's salt; `None` if the key is derived by SHA-256.
    fn salt(self) -> Option<&'static str> {
        Some(match self {
            Self::Claude => "salt",
            Self::Console => "claude-console-salt",
            Self::Ccr => "ccr-account-salt",
            Self::Gemini => "gemini-account-salt",
            Self::GeminiApi => "gemini-api-salt",
            Self::OpenAi => "openai-account-salt",
            Self::Responses => "openai-responses-salt",
            Self::Azure => "azure-openai-account-default-salt",
            Self::Droid => "droid-account-salt",
            Self::Bedrock => return None,
        })
    }

    /// The sealed fields, the most useful for a proof first.
    pub fn sealed_fields(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["accessToken", "refreshToken", "claudeAiOauth"],
            Self::Gemini => &["accessToken", "refreshToken", "geminiOauth"],
            Self::OpenAi => &["accessToken", "refreshToken", "idToken", "openaiOauth"],
            Self::Droid => &["accessToken", "refreshToken"],
            Self::Console | Self::Ccr | Self::GeminiApi | Self::Responses | Self::Azure => &["apiKey"],
            Self::Bedrock => &["awsCredentials", "bearerToken"],
        }
    }
}

/// A value cannot be decrypted with this key, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret cannot be opened with this ENCRYPTION_KEY")]
pub struct Unopened;

/// Decrypts the secrets of one CRS.
pub struct Ciphers {
    key: Secret,
    /// Cached keys: scrypt takes tens of milliseconds per kind.
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

    /// The secret in a field; `None` if there is none.
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
            let password = self.key.reveal().as_bytes();
            let Some(salt) = kind.salt() else {
                return Sha256::digest(password).into();
            };
            let mut key = [0; 32];
            // The parameters and the length are constants that scrypt accepts.
            if let Ok(params) = scrypt::Params::new(14, 8, 1, 32) {
                let _ = scrypt::scrypt(password, salt.as_bytes(), &params, &mut key);
            }
            key
        })
    }
}

enum Sealed {
    WithIv([u8; BLOCK], Vec<u8>),
    Old(Vec<u8>),
}

/// Whether a text has the form of an encrypted value.
pub fn is_sealed(kind: Kind, text: &str) -> bool {
    sealed(kind, text.trim()).is_some()
}

/// Bedrock's form of an encrypted value.
#[derive(Deserialize)]
struct SealedObject {
    encrypted: String,
    iv: String,
}

fn sealed(kind: Kind, text: &str) -> Option<Sealed> {
    let blocks = |hex: &str| -> Option<Vec<u8>> {
        let bytes = hex::decode(hex).ok()?;
        (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK)).then_some(bytes)
    };
    let with_iv = |iv: &str, ciphertext: &str| {
        let mut bytes = [0; BLOCK];
        hex::decode_to_slice(iv, &mut bytes).ok()?;
        Some(Sealed::WithIv(bytes, blocks(ciphertext)?))
    };
    if kind == Kind::Bedrock {
        let object: SealedObject = serde_json::from_str(text).ok()?;
        return with_iv(&object.iv, &object.encrypted);
    }
    match text.split_once(':') {
        Some((iv, ciphertext)) => with_iv(iv, ciphertext),
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

/// OpenSSL's derivation of a key and an IV, as used by Node's `createDecipher`.
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

/// Checks that the secret is printable text or JSON. A wrong key passes the padding check once in 256 times, but
/// practically never this one.
fn readable(plain: Vec<u8>) -> Result<Secret, Unopened> {
    let text = String::from_utf8(plain).map_err(|_| Unopened)?;
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().any(odd) {
        return Err(Unopened);
    }
    Ok(Secret::new(text))
}

/// The number of these values that each key decrypts, in the order of the keys.
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
    fn bedrocks_secrets_are_objects() {
        let sealed = |encrypted: &str| format!(r#"{{"encrypted":"{encrypted}","iv":"{IV}"}}"#);
        let keys = sealed(
            "72b2d8c8a9d46cda89b45738c1729247839cc3faeb62dbe0d24e81d424e9c0b0b9b7cfe58d2963fb303b66300d5956a3738e3e0ed532ab2603f89a680148aa8e9b43eeefea49cff4ced8267731e3dc31",
        );
        let plain = r#"{"accessKeyId":"AKIATEST","secretAccessKey":"secret/+=","sessionToken":""}"#;
        opens(&ciphers(FIRST.0), Kind::Bedrock, &keys, plain);
        let token = sealed("6be6f4ecb215bde5c4fd9c96df6f13d447960e7f00a15fec79b7d79444cb3f5e");
        opens(
            &ciphers(FIRST.0),
            Kind::Bedrock,
            &token,
            r#"{"token":"bedrock-api-key-x"}"#,
        );
        let token = sealed("eeae0f38ea6e8224586c648a9cd4dad518ffbbba44fa3e8accb2b2d9063bb1fd");
        opens(
            &ciphers(SECOND.0),
            Kind::Bedrock,
            &token,
            r#"{"token":"bt-test"}"#,
        );
        assert_eq!(ciphers(FIRST.0).open(Kind::Bedrock, &token), Err(Unopened));
        assert!(is_sealed(Kind::Bedrock, &token) && !is_sealed(Kind::Bedrock, plain));
        opens(&ciphers(FIRST.0), Kind::Bedrock, plain, plain);
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
