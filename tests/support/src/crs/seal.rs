//! CRS's ciphers, sealing.

use aes::Aes256;
use cbc::Encryptor;
use cbc::cipher::{BlockEncryptMut as _, KeyIvInit as _, block_padding::Pkcs7};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::hex;

/// The kinds of accounts, by their salts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Claude,
    Console,
    Ccr,
    Gemini,
    GeminiApi,
    OpenAi,
    Responses,
    Azure,
    Droid,
}

impl Kind {
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
            Self::Droid => "droid-account-salt",
        }
    }
}

/// `hex(IV):hex(ciphertext)`. The IV is made from the text, so that a data set is the same each time.
pub fn seal(kind: Kind, encryption_key: &str, plain: &str) -> String {
    let mut key = [0; 32];
    let params = scrypt::Params::new(14, 8, 1, 32).expect("parameters of scrypt");
    scrypt::scrypt(
        encryption_key.as_bytes(),
        kind.salt().as_bytes(),
        &params,
        &mut key,
    )
    .expect("32 bytes");
    let iv: [u8; 16] = Md5::digest(plain.as_bytes()).into();
    format!("{}:{}", hex(&iv), encrypted(&key, &iv, plain))
}

/// As the first versions sealed Claude's logins.
pub fn seal_old(encryption_key: &str, plain: &str) -> String {
    let round = |before: &[u8]| -> [u8; 16] {
        let mut md5 = Md5::new();
        md5.update(before);
        md5.update(encryption_key.as_bytes());
        md5.finalize().into()
    };
    let (one, iv);
    let mut key = [0; 32];
    one = round(&[]);
    let two = round(&one);
    iv = round(&two);
    key[..16].copy_from_slice(&one);
    key[16..].copy_from_slice(&two);
    encrypted(&key, &iv, plain)
}

/// Bedrock's form: an object, under SHA-256 of the key.
pub fn seal_bedrock(encryption_key: &str, plain: &str) -> String {
    let key: [u8; 32] = Sha256::digest(encryption_key.as_bytes()).into();
    let iv: [u8; 16] = Md5::digest(plain.as_bytes()).into();
    let encrypted = encrypted(&key, &iv, plain);
    format!(r#"{{"encrypted":"{encrypted}","iv":"{}"}}"#, hex(&iv))
}

fn encrypted(key: &[u8; 32], iv: &[u8; 16], plain: &str) -> String {
    hex(&Encryptor::<Aes256>::new(key.into(), iv.into()).encrypt_padded_vec_mut::<Pkcs7>(plain.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_values_are_those_of_crs() {
        let sealed = seal_old("0123456789abcdef0123456789abcdef", "sk-test-密钥-1");
        assert_eq!(
            sealed,
            "c7d35da60b8646271d6a6e37c901883bbe4b6c62290ce8263423f4d6679d0dc7"
        );
    }
}
