//! Passwords as PHC strings: argon2id with OWASP's parameters (19 MiB, two passes, one lane; "Password
//! Storage Cheat Sheet"). Both hosts verify the same strings. Each call takes tens of milliseconds of CPU:
//! run it through `port::Tasks::compute`.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::config::Secret;
use crate::port::random::Random;

/// The hash of no password: verified against when the user is unknown, so that the answer takes the same
/// time as for a known one.
const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw$bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCBvZiAzMg";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    /// The stored text is no PHC string.
    #[error("the stored password hash cannot be read: {0}")]
    Stored(String),
}

fn argon2id() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(19_456, 2, 1, None).map_err(|e| PasswordError::Hash(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The PHC string to store.
pub fn hash_password(random: &dyn Random, password: &Secret) -> Result<String, PasswordError> {
    let mut salt = [0_u8; 16];
    random.fill(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|e| PasswordError::Hash(e.to_string()))?;
    argon2id()?
        .hash_password(password.reveal().as_bytes(), &salt)
        .map(|phc| phc.to_string())
        .map_err(|e| PasswordError::Hash(e.to_string()))
}

/// Whether `password` is the one `phc` was made of; compared in constant time, with `phc`'s own parameters.
pub fn verify_password(phc: &str, password: &Secret) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(phc).map_err(|e| PasswordError::Stored(e.to_string()))?;
    match argon2id()?.verify_password(password.reveal().as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(e) => Err(PasswordError::Stored(e.to_string())),
    }
}

/// Does the work of [`verify_password`] and finds nothing.
pub fn verify_dummy(password: &Secret) {
    let _ = verify_password(DUMMY, password);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::tests::Counting;

    #[test]
    fn verifies_what_it_hashed_and_nothing_else() {
        let random = Counting::new();
        let phc = hash_password(&random, &Secret::new("pässwörd 🔑")).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(verify_password(&phc, &Secret::new("pässwörd 🔑")), Ok(true));
        assert_eq!(verify_password(&phc, &Secret::new("passwörd 🔑")), Ok(false));
        assert_eq!(verify_password(&phc, &Secret::new("")), Ok(false));
        assert_ne!(phc, hash_password(&random, &Secret::new("pässwörd 🔑")).unwrap());
    }

    #[test]
    fn the_dummy_is_a_real_hash_of_nothing() {
        // If the text could not be parsed, an unknown user would be answered at once.
        assert_eq!(verify_password(DUMMY, &Secret::new("x")), Ok(false));
    }

    #[test]
    fn a_broken_hash_is_an_error_not_a_login() {
        assert!(matches!(
            verify_password("", &Secret::new("")),
            Err(PasswordError::Stored(_))
        ));
        assert!(matches!(
            verify_password("$argon2id$", &Secret::new("")),
            Err(PasswordError::Stored(_))
        ));
    }
}
