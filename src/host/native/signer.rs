//! RSA signatures by ring, which is TLS' provider, too. The `rsa` crate has a timing leak without a fix
//! (RUSTSEC-2023-0071).

use async_trait::async_trait;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::port::signer::{SignError, Signer};

pub struct NativeSigner;

#[async_trait]
impl Signer for NativeSigner {
    async fn rs256(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
        let pair = RsaKeyPair::from_pkcs8(key).map_err(|_| SignError::Key)?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignError::Failed)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::account::key_file::der;

    const PEM: &str = include_str!("../../../tests/support/keys/service_account.pem");

    /// `openssl dgst -sha256 -sign` of the same; such signatures have no randomness.
    const SIGNATURE: &str = "0f6889adc1412cf53256ef0ff260fdad1711cde080121ff8e753cb3c2c592c7c896089b5faeb9f530d93bbc830045c602108e2bbbcdbe736dd08ab3ff292a55cc9768fa1f5025870318ffec9bcd8b863a6aa728be5880d1c67edf6f1f29e42851a9e3ab904ee87fb6168bf9b10908a271266f3fe870ff0373c226cbc667aad61290575078958543ed102b617cc7767c7d39b4d2c8e654e585f70676a39b479313a63159cf0d4799284dac35493d998ad623f055295b3ac8d23904dbeb3557e1c00fbed68ff3b016200f95e07b2ade51d0dcc522a09bfad0bd3a546bbd3d6642be2d87a2a905ee643c394c97c9cf7c173aa558d22a7d2399ad86e3032f124c9f2";

    fn signed(key: &[u8]) -> Result<String, SignError> {
        let signature = NativeSigner.rs256(key, b"a message").now_or_never().unwrap();
        signature.map(hex::encode)
    }

    #[test]
    fn signatures_are_those_of_openssl() {
        assert_eq!(signed(&der(PEM).unwrap()).as_deref(), Ok(SIGNATURE));
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        for other in [&b""[..], b"\x30\x03\x02\x01\x00"] {
            assert_eq!(signed(other), Err(SignError::Key));
        }
    }
}
