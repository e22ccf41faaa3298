//! Passwords as PHC strings: argon2id with OWASP's parameters (19 MiB, two passes, one lane; "Password Storage
//! Cheat Sheet"). Both hosts verify the same strings. Each call takes tens of milliseconds of CPU: run it with
//! `port::Tasks::compute`.

#[cfg(target_arch = "wasm32")]
mod edge;
#[cfg(not(target_arch = "wasm32"))]
mod native;

use argon2::password_hash::{Decimal, Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};

#[cfg(target_arch = "wasm32")]
use self::edge as memory;
#[cfg(not(target_arch = "wasm32"))]
use self::native as memory;
use crate::model::secret::Secret;
use crate::port::random::Random;

/// A hash that no password matches, verified for unknown users so that the answer takes the same time.
const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw$bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCBvZiAzMg";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    /// The stored text is not a PHC string.
    #[error("the stored password hash cannot be read: {0}")]
    Stored(String),
}

/// Length of new hashes, bytes.
const OUTPUT: usize = 32;

/// The PHC string to store.
pub fn hash_password(random: &dyn Random, password: &Secret) -> Result<String, PasswordError> {
    let fault = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let mut salt = [0_u8; 16];
    random.fill(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(fault)?;
    let params = Params::new(19_456, 2, 1, None).map_err(|error| PasswordError::Hash(error.to_string()))?;
    let version = Version::V0x13;
    let phc = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Decimal::from(version)),
        params: ParamsString::try_from(&params).map_err(fault)?,
        salt: Some(salt.as_salt()),
        hash: Some(
            computed(
                Algorithm::Argon2id,
                version,
                params,
                password,
                salt.as_salt(),
                OUTPUT,
            )
            .map_err(fault)?,
        ),
    };
    Ok(phc.to_string())
}

/// Whether `password` matches `phc`, using its parameters and comparing in constant time.
pub fn verify_password(phc: &str, password: &Secret) -> Result<bool, PasswordError> {
    let verified = || {
        let stored = PasswordHash::new(phc)?;
        let (Some(salt), Some(hash)) = (stored.salt, stored.hash) else {
            return Err(argon2::password_hash::Error::PhcStringField);
        };
        let algorithm = Algorithm::try_from(stored.algorithm)?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from)?;
        let params = Params::try_from(&stored)?;
        let made = computed(algorithm, version, params, password, salt, hash.len())?;
        // `Output` compares in constant time.
        Ok(made == hash)
    };
    verified().map_err(|error| PasswordError::Stored(error.to_string()))
}

/// The hash, computed in memory that is freed afterwards.
fn computed(
    algorithm: Algorithm,
    version: Version,
    params: Params,
    password: &Secret,
    salt: Salt<'_>,
    length: usize,
) -> Result<Output, argon2::password_hash::Error> {
    let mut buffer = [0_u8; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut buffer)?;
    let mut memory = memory::blocks(params.block_count());
    Output::init_with(length, |out| {
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password.reveal().as_bytes(),
            salt,
            out,
            &mut memory,
        )?;
        Ok(())
    })
}

/// Takes as long as [`verify_password`] without a result.
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
