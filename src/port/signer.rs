//! Signatures by private keys. Each host has its platform's own implementation.

use async_trait::async_trait;

#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs a message by RSASSA-PKCS1-v1_5 with SHA-256, which JSON web tokens call `RS256`. `key`: PKCS #8, DER.
    async fn rs256(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why there is no signature. Contains nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the private key is not an RSA key of at least 2048 bits")]
    Key,
    #[error("the private key could not sign")]
    Failed,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Signs with the key itself: `key|message`. An empty key is refused.
    pub(crate) struct Plain;

    #[async_trait]
    impl Signer for Plain {
        async fn rs256(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
            if key.is_empty() {
                return Err(SignError::Key);
            }
            Ok([key, b"|", message].concat())
        }
    }
}
