//! What admin handlers take: proof of being an admin, a body, a query.

pub(super) mod input;
mod query;

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use subtle::ConstantTimeEq as _;

use super::api_error::ApiError;
use crate::app::App;
use crate::config::Secret;
use crate::port::clock::Millis;
use crate::secrets::SessionError;

pub(crate) use input::Object;
pub use input::{Input, Sent};
pub use query::Params;

/// Where a request comes from, as the host sees it: put into the request's extensions by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// The client's address: the peer's, or behind a trusted proxy the one that proxy saw, which is the last
    /// of `x-forwarded-for` (those before it are the client's own words).
    pub fn new(peer: IpAddr, headers: &HeaderMap, trust_proxy: bool) -> Self {
        let seen_by_proxy = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?;
            let last = last.to_str().ok()?.rsplit(',').next()?.trim();
            last.parse().ok().or_else(|| {
                last.parse::<std::net::SocketAddr>()
                    .ok()
                    .map(|address| address.ip())
            })
        };
        let seen = if trust_proxy { seen_by_proxy() } else { None };
        Self(Some(seen.unwrap_or(peer)))
    }

    pub(crate) fn of(extensions: &http::Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|address| address.0)
    }
}

/// The id of this request, as in the answer's `x-request-id`.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Proof that an admin sent this request. Only this extractor makes one.
#[derive(Clone, Debug)]
pub struct AdminSession {
    pub username: String,
    /// `None`: the host's local token, which has no end.
    pub ends: Option<SessionEnd>,
    request_id: String,
}

/// A session of its own, with an end.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    pub id: String,
    pub issued_at: Millis,
    pub expires_at: Millis,
}

impl AdminSession {
    /// Writes what an admin did to the log. No secrets: a verb and an id.
    pub(crate) fn audit(&self, action: &'static str, id: &str) {
        tracing::info!(
            target: "audit",
            admin = %self.username,
            action,
            id,
            request = %self.request_id,
            "admin change"
        );
    }
}

impl FromRequestParts<App> for AdminSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = presented(&parts.headers).ok_or_else(|| {
            ApiError::unauthorized(
                "missing_token",
                "Log in first, and send the token as `Authorization: Bearer <token>`.",
            )
        })?;
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map(|id| id.0.clone())
            .unwrap_or_default();
        if is_local(app.local_token.as_ref(), token) {
            return Ok(Self {
                username: "local".to_owned(),
                ends: None,
                request_id,
            });
        }
        let invalid =
            || ApiError::unauthorized("invalid_session", "This session is not valid. Log in again.");
        let ended = || ApiError::unauthorized("session_expired", "This session has ended. Log in again.");
        let session =
            app.keyring
                .verify_session(token, app.ports.clock.now())
                .map_err(|error| match error {
                    SessionError::Expired => ended(),
                    SessionError::Invalid | SessionError::Unmade => invalid(),
                })?;
        let (admin, logged_out) = app.admins.with_session(&session.id).await?;
        let admin = admin.ok_or_else(invalid)?;
        if logged_out || admin.epoch != session.epoch {
            return Err(ended());
        }
        Ok(Self {
            username: admin.username,
            ends: Some(SessionEnd {
                id: session.id,
                issued_at: session.issued_at,
                expires_at: session.expires_at,
            }),
            request_id,
        })
    }
}

/// The token in `Authorization: Bearer`, or in `x-admin-token` as CRS takes it too.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let own = || {
        headers
            .get("x-admin-token")
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    bearer.or_else(own).filter(|token| !token.is_empty())
}

fn is_local(local: Option<&Secret>, token: &str) -> bool {
    local.is_some_and(|local| {
        let local = local.reveal().as_bytes();
        !local.is_empty() && bool::from(local.ct_eq(token.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_says_who_asks_and_nobody_else_does() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let address = |forwarded: &[&str], trust| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            ClientAddress::new(peer, &headers, trust).0.unwrap().to_string()
        };
        assert_eq!(address(&["1.2.3.4"], false), "10.0.0.1");
        assert_eq!(address(&["1.2.3.4"], true), "1.2.3.4");
        // The client wrote the first ones itself.
        assert_eq!(address(&["6.6.6.6, 1.2.3.4"], true), "1.2.3.4");
        assert_eq!(address(&["6.6.6.6", "2001:db8::1"], true), "2001:db8::1");
        assert_eq!(address(&["1.2.3.4:5678"], true), "1.2.3.4");
        assert_eq!(address(&["unknown"], true), "10.0.0.1");
        assert_eq!(address(&[], true), "10.0.0.1");
    }
}
