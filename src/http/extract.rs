//! Extractors for admin handlers: authentication, body, query.

pub(super) mod input;
mod origin;
mod query;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq as _;

use super::api_error::ApiError;
use crate::app::App;
use crate::model::secret::Secret;
use crate::port::clock::Millis;
use crate::secrets::SessionError;
use crate::store::audit::{self, Actor};

pub(crate) use input::{IN_FIELD, Object};
pub use input::{Input, InputField, LARGE, SMALL};
pub use origin::{ClientAddress, FromThisMachine};
pub use query::Params;

/// The id of this request, sent as `x-request-id`.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Proof that an admin sent this request. Only this extractor makes one.
#[derive(Clone, Debug)]
pub struct AdminSession {
    pub username: String,
    /// `None` for the host's local token, which never expires.
    pub ends: Option<SessionEnd>,
    request_id: String,
}

/// An expiring session.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    pub id: String,
    /// The time of the login, which a refresh does not change.
    pub login_at: Millis,
    /// When this token expires.
    pub expires_at: Millis,
    /// When the session ends regardless of renewals.
    pub last_end: Millis,
}

impl AdminSession {
    /// Refuses sessions for actions reserved to the local command line. `command`: the command for it.
    pub(crate) fn must_be_local(&self, command: &str) -> Result<(), ApiError> {
        if self.ends.is_none() {
            return Ok(());
        }
        let message = format!("Only the command line on the server's machine may do this: {command}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "local_only", message))
    }

    /// Logs an admin's action. Contains no secrets: a verb and an id.
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
            if parts.extensions.get::<FromThisMachine>().is_none() {
                return Err(ApiError::unauthorized(
                    "local_only",
                    "This token works on the server's own machine only, and not through a proxy.",
                ));
            }
            audit::act_as(Actor {
                actor: "local".to_owned(),
                address: None,
                request_id: Some(request_id.clone()),
                session: None,
            });
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
        // The setting may have been lowered since the token was made.
        let longest = app.config.admin.session_max.as_millis() as Millis;
        if app.ports.clock.now() >= session.login_at.saturating_add(longest) {
            return Err(ended());
        }
        let (admin, logged_out) = app.admins.with_session(&session.id).await?;
        let admin = admin.ok_or_else(invalid)?;
        if logged_out || admin.epoch != session.epoch {
            return Err(ended());
        }
        app.admins.see_session(&session.id, app.ports.clock.now()).await;
        audit::act_as(Actor {
            actor: admin.username.clone(),
            address: ClientAddress::of(&parts.extensions),
            request_id: Some(request_id.clone()),
            session: Some(session.id.clone()),
        });
        Ok(Self {
            username: admin.username,
            ends: Some(SessionEnd {
                id: session.id,
                login_at: session.login_at,
                expires_at: session.expires_at,
                last_end: session.last_end,
            }),
            request_id,
        })
    }
}

/// The token in `Authorization: Bearer`, or in `x-admin-token` as in CRS.
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
