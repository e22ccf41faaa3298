//! Admin sessions: JWTs (HS256) under a sub-key of `JWT_SECRET`. The time is an argument and never read from a
//! clock.
//!
//! A token contains the user, the epoch and the expiry. The stored admin record has the current epoch;
//! incrementing it ends all sessions.

use chrono::{DateTime, Utc};
use jwt_compact::alg::Hs256;
use jwt_compact::{AlgorithmExt as _, Claims, Header, UntrustedToken};
use serde::{Deserialize, Serialize};

use super::Keyring;
use crate::port::clock::Millis;
use crate::port::random::Random;

/// Maximum length of a token, bytes; real ones have a few hundred.
const LONGEST: usize = 2048;

/// The claims of a valid token. Times are whole seconds, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session's id, to end it alone.
    pub id: String,
    pub username: String,
    pub epoch: u64,
    /// The time of the login, the same in every token of the session.
    pub login_at: Millis,
    /// When this token expires.
    pub expires_at: Millis,
    /// When the session ends; no token of it is valid longer.
    pub last_end: Millis,
}

/// Lifetimes in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of a token.
    pub token: u64,
    /// Of a session including all renewals.
    pub session: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not a JWT, another algorithm, or not signed by us.
    #[error("the session token is not valid")]
    Invalid,
    #[error("the session has ended")]
    Expired,
    #[error("a session cannot be made")]
    Unmade,
}

/// `auth_time` and `end` in Unix seconds. Tokens of older versions have neither: they are valid until they expire
/// and cannot be renewed.
#[derive(Serialize, Deserialize)]
struct Custom {
    sub: String,
    epoch: u64,
    jti: String,
    #[serde(default)]
    auth_time: Option<u64>,
    #[serde(default)]
    end: Option<u64>,
}

impl Keyring {
    /// Makes a new session of `username` for a login at `now`.
    pub fn sign_session(
        &self,
        random: &dyn Random,
        username: &str,
        epoch: u64,
        now: Millis,
        lifetimes: Lifetimes,
    ) -> Result<(String, Session), SessionError> {
        let mut id = [0_u8; 16];
        random.fill(&mut id);
        self.sign(
            Session {
                id: hex::encode(id),
                username: username.to_owned(),
                epoch,
                login_at: now / 1000 * 1000,
                expires_at: end(now, lifetimes.token.min(lifetimes.session)),
                last_end: end(now, lifetimes.session),
            },
            now,
        )
    }

    /// Makes another token for a session, valid for `token_ms` but not longer than the session.
    pub fn prolong_session(
        &self,
        session: Session,
        now: Millis,
        token_ms: u64,
    ) -> Result<(String, Session), SessionError> {
        let expires_at = end(now, token_ms).min(session.last_end);
        self.sign(
            Session {
                expires_at,
                ..session
            },
            now,
        )
    }

    fn sign(&self, session: Session, now: Millis) -> Result<(String, Session), SessionError> {
        let mut claims = Claims::new(Custom {
            sub: session.username.clone(),
            epoch: session.epoch,
            jti: session.id.clone(),
            auth_time: Some(session.login_at / 1000),
            end: Some(session.last_end / 1000),
        });
        claims.issued_at = Some(moment(now / 1000 * 1000)?);
        claims.expiration = Some(moment(session.expires_at)?);
        let header = Header::empty().with_token_type("JWT");
        let token = Hs256
            .token(&header, &claims, &self.session)
            .map_err(|_| SessionError::Unmade)?;
        Ok((token, session))
    }

    /// Verifies a token: first the signature, then the time. The caller compares the epoch.
    pub fn verify_session(&self, token: &str, now: Millis) -> Result<Session, SessionError> {
        if token.len() > LONGEST {
            return Err(SessionError::Invalid);
        }
        let untrusted = UntrustedToken::new(token).map_err(|_| SessionError::Invalid)?;
        let token = Hs256
            .validator::<Custom>(&self.session)
            .validate(&untrusted)
            .map_err(|_| SessionError::Invalid)?;
        let claims = token.claims();
        let at = |moment: Option<DateTime<Utc>>| {
            moment
                .and_then(|moment| u64::try_from(moment.timestamp_millis()).ok())
                .ok_or(SessionError::Invalid)
        };
        let seconds = |claim: Option<u64>, otherwise: Millis| {
            claim.map_or(otherwise, |seconds| seconds.saturating_mul(1000))
        };
        let (issued_at, expires_at) = (at(claims.issued_at)?, at(claims.expiration)?);
        let session = Session {
            id: claims.custom.jti.clone(),
            username: claims.custom.sub.clone(),
            epoch: claims.custom.epoch,
            login_at: seconds(claims.custom.auth_time, issued_at),
            expires_at,
            last_end: seconds(claims.custom.end, expires_at),
        };
        if now >= session.expires_at {
            return Err(SessionError::Expired);
        }
        Ok(session)
    }
}

/// `time` milliseconds after `now`, rounded up to a whole second.
fn end(now: Millis, time: u64) -> Millis {
    now.saturating_add(time).div_ceil(1000).saturating_mul(1000)
}

fn moment(at: Millis) -> Result<DateTime<Utc>, SessionError> {
    i64::try_from(at)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .ok_or(SessionError::Unmade)
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a test may panic")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::config;
    use crate::secrets::tests::{Counting, keyring};

    const NOW: Millis = 1_764_000_000_123;
    const MINUTE: Lifetimes = Lifetimes {
        token: 60_000,
        session: 600_000,
    };

    #[test]
    fn a_token_says_who_and_until_when() {
        let ring = keyring();
        let (token, session) = ring
            .sign_session(&Counting::new(), "root", 3, NOW, MINUTE)
            .unwrap();
        assert_eq!(ring.verify_session(&token, NOW), Ok(session.clone()));
        assert_eq!((session.username.as_str(), session.epoch), ("root", 3));
        assert_eq!(session.expires_at, 1_764_000_061_000);
        assert_eq!(
            ring.verify_session(&token, session.expires_at - 1),
            Ok(session.clone())
        );
        assert_eq!(
            ring.verify_session(&token, session.expires_at),
            Err(SessionError::Expired)
        );
    }

    #[test]
    fn no_token_of_a_session_is_good_for_longer_than_the_session() {
        let ring = keyring();
        let (_, begun) = ring
            .sign_session(&Counting::new(), "root", 3, NOW, MINUTE)
            .unwrap();
        assert_eq!(begun.last_end, 1_764_000_601_000);
        let mut session = begun.clone();
        for minute in 1..20 {
            let now = NOW + minute * 50_000;
            let (token, prolonged) = ring.prolong_session(session, now, 60_000).unwrap();
            assert!(prolonged.expires_at <= begun.last_end);
            if now < begun.last_end {
                assert_eq!(ring.verify_session(&token, now), Ok(prolonged.clone()));
            } else {
                assert_eq!(ring.verify_session(&token, now), Err(SessionError::Expired));
            }
            assert_eq!(
                (&prolonged.id, prolonged.login_at, prolonged.last_end),
                (&begun.id, begun.login_at, begun.last_end)
            );
            session = prolonged;
        }
        // The token's own time never passes the session's.
        let short = Lifetimes {
            token: 60_000,
            session: 1_000,
        };
        let (_, session) = ring
            .sign_session(&Counting::new(), "root", 3, NOW, short)
            .unwrap();
        assert_eq!(session.expires_at, session.last_end);
    }

    #[test]
    fn tampering_is_seen() {
        let ring = keyring();
        let (token, _) = ring
            .sign_session(&Counting::new(), "root", 3, NOW, MINUTE)
            .unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let more = String::from_utf8(claims)
            .unwrap()
            .replace("\"epoch\":3", "\"epoch\":4");
        let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(more), parts[2]);
        assert_eq!(ring.verify_session(&forged, NOW), Err(SessionError::Invalid));
        // The signature cut, gone, and the "none" algorithm.
        for bad in [
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..20]),
            format!("{}.{}.", parts[0], parts[1]),
            format!(
                "{}.{}.",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
                parts[1]
            ),
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#),
                parts[1],
                parts[2]
            ),
            String::new(),
            "..".to_owned(),
            "ä.ö.ü".to_owned(),
            "a".repeat(3000),
        ] {
            assert_eq!(
                ring.verify_session(&bad, NOW),
                Err(SessionError::Invalid),
                "{bad}"
            );
        }
    }

    #[test]
    fn another_secret_signs_other_tokens() {
        let (token, _) = keyring()
            .sign_session(&Counting::new(), "root", 3, NOW, MINUTE)
            .unwrap();
        let other = Keyring::new(
            &config::Secrets {
                jwt: crate::model::secret::Secret::new("another-session-secret-of-32-chars"),
                encryption: crate::model::secret::Secret::new("0123456789abcdef0123456789abcdef"),
            },
            "cr_",
        );
        assert_eq!(other.verify_session(&token, NOW), Err(SessionError::Invalid));
    }

    #[test]
    fn impossible_times_are_refused() {
        assert_eq!(
            keyring()
                .sign_session(&Counting::new(), "root", 3, u64::MAX, MINUTE)
                .map(|_| ()),
            Err(SessionError::Unmade)
        );
    }
}
