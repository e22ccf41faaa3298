//! Login tickets: one-time, short-lived proofs of knowing `JWT_SECRET`. The operator uses them if passwords are
//! refused. Making one needs neither the server nor its store.
//!
//! A ticket is a JWT (HS256) under its own sub-key, so tickets and session tokens cannot be confused.

use chrono::{DateTime, Utc};
use hkdf::Hkdf;
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, Claims, Header, UntrustedToken};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::secret::Secret;
use crate::port::clock::Millis;
use crate::port::random::Random;

/// Lifetime of a ticket, milliseconds.
pub const TICKET_LIFETIME: Millis = 10 * 60 * 1000;

/// How far the clock of the machine that made a ticket may be ahead, milliseconds.
const SKEW: Millis = 2 * 60 * 1000;

/// Maximum length of a ticket, bytes; real ones have about two hundred.
const LONGEST: usize = 1024;

/// Makes and verifies tickets.
pub struct LoginTickets {
    key: Hs256Key,
}

/// A ticket with a valid signature and time. The store decides whether it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginTicket {
    /// Hex; its id in the store.
    pub id: String,
    pub expires_at: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not a ticket, or not signed with this secret.
    #[error("the ticket is not valid")]
    Invalid,
    #[error("the ticket has expired")]
    Expired,
    #[error("a ticket cannot be made")]
    Unmade,
}

#[derive(Serialize, Deserialize)]
struct Custom {
    jti: String,
}

impl LoginTickets {
    /// `jwt_secret`: the relay's `JWT_SECRET`.
    pub fn new(jwt_secret: &Secret) -> Self {
        let root = Hkdf::<Sha256>::new(Some(super::SALT), jwt_secret.reveal().as_bytes());
        Self {
            key: Hs256Key::new(super::sub_key(&root, "login-ticket")),
        }
    }

    pub fn make(&self, random: &dyn Random, now: Millis) -> Result<(String, LoginTicket), TicketError> {
        let mut id = [0_u8; 16];
        random.fill(&mut id);
        let ticket = LoginTicket {
            id: hex::encode(id),
            expires_at: now
                .saturating_add(TICKET_LIFETIME)
                .div_ceil(1000)
                .saturating_mul(1000),
        };
        let mut claims = Claims::new(Custom {
            jti: ticket.id.clone(),
        });
        let end = i64::try_from(ticket.expires_at)
            .ok()
            .and_then(DateTime::from_timestamp_millis);
        claims.expiration = Some(end.ok_or(TicketError::Unmade)?);
        let text = Hs256
            .token(
                &Header::empty().with_token_type("login-ticket"),
                &claims,
                &self.key,
            )
            .map_err(|_| TicketError::Unmade)?;
        Ok((text, ticket))
    }

    /// Verifies a ticket: first the signature, then the time. No I/O.
    pub fn read(&self, text: &str, now: Millis) -> Result<LoginTicket, TicketError> {
        if text.len() > LONGEST {
            return Err(TicketError::Invalid);
        }
        let untrusted = UntrustedToken::new(text).map_err(|_| TicketError::Invalid)?;
        let token = Hs256
            .validator::<Custom>(&self.key)
            .validate(&untrusted)
            .map_err(|_| TicketError::Invalid)?;
        let claims = token.claims();
        let millis = |at: DateTime<Utc>| u64::try_from(at.timestamp_millis()).ok();
        let expires_at = claims.expiration.and_then(millis).ok_or(TicketError::Invalid)?;
        if now >= expires_at {
            return Err(TicketError::Expired);
        }
        // Its use is remembered until it expires, so a distant expiry is refused.
        if expires_at > now.saturating_add(TICKET_LIFETIME + SKEW) {
            return Err(TicketError::Invalid);
        }
        Ok(LoginTicket {
            id: claims.custom.jti.clone(),
            expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Lifetimes;
    use crate::secrets::tests::{Counting, keyring};

    const NOW: Millis = 1_764_000_000_123;

    fn tickets(secret: &str) -> LoginTickets {
        LoginTickets::new(&Secret::new(secret))
    }

    #[test]
    fn a_ticket_is_good_for_its_minutes_and_its_secret() {
        let ours = tickets("a-session-secret-of-32-characters");
        let (text, ticket) = ours.make(&Counting::new(), NOW).unwrap();
        assert_eq!(ours.read(&text, NOW), Ok(ticket.clone()));
        assert_eq!(ours.read(&text, ticket.expires_at - 1), Ok(ticket.clone()));
        assert_eq!(ours.read(&text, ticket.expires_at), Err(TicketError::Expired));
        // The clock here may be a little behind, not much.
        assert_eq!(ours.read(&text, NOW - SKEW + 1_000), Ok(ticket));
        assert_eq!(ours.read(&text, NOW - SKEW - 1_000), Err(TicketError::Invalid));
        let theirs = tickets("another-session-secret-of-32-chars");
        assert_eq!(theirs.read(&text, NOW), Err(TicketError::Invalid));
        for bad in [
            "",
            "..",
            "a.b.c",
            &"a".repeat(5000),
            text.trim_start_matches('e'),
            &format!("{text}e"),
        ] {
            assert_eq!(ours.read(bad, NOW), Err(TicketError::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_session_is_no_ticket_and_a_ticket_no_session() {
        let ring = keyring();
        let lifetimes = Lifetimes {
            token: 60_000,
            session: 60_000,
        };
        let (session, _) = ring
            .sign_session(&Counting::new(), "root", 1, NOW, lifetimes)
            .unwrap();
        assert_eq!(ring.tickets.read(&session, NOW), Err(TicketError::Invalid));
        let (ticket, _) = ring.tickets.make(&Counting::new(), NOW).unwrap();
        assert!(ring.verify_session(&ticket, NOW).is_err());
    }
}
