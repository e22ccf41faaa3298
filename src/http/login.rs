//! `/web/auth`: login and logout. Paths and fields are CRS's.

pub(super) mod link;
pub(super) mod list;
pub(super) mod password;

use std::net::IpAddr;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use self::password::{Password, check};
use super::api_error::{ApiError, ErrorBody};
use super::extract::{AdminSession, ClientAddress, Input, SMALL, SessionEnd};
use crate::app::App;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::secrets::{Lifetimes, Session, SessionError};
use crate::store::admins::{Admin, NewLogin};
use crate::store::audit::{Actor, act_as};
use crate::store::guesses::{GuessError, Guesser};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginInput {
    #[schema(required)]
    username: Option<String>,
    #[schema(value_type = String, required)]
    password: Option<Password>,
}

/// A new session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSession {
    /// Always true: failures have another status.
    success: bool,
    /// Send it as `Authorization: Bearer <token>`.
    token: String,
    /// Milliseconds until the token expires.
    expires_in: u64,
    username: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct LogoutResult {
    success: bool,
    message: &'static str,
}

/// Begins a session.
///
/// An address has 5 free attempts. After that it must wait 30 seconds, and twice as long after each further
/// failure, up to 15 minutes (1 minute for an address with an earlier login). Addresses without an earlier login
/// have 200 attempts in 15 minutes all together, and 50 from one network (24 bits of IPv4, 48 bits of IPv6).
/// Nothing is counted by name. `crs admin login-link` always lets the operator in.
#[utoipa::path(
    post, path = "/web/auth/login", operation_id = "login", tag = "session", request_body = LoginInput,
    responses(
        (status = 200, body = NewSession),
        (status = 400, description = "No username or no password", body = ErrorBody<'_>),
        (status = 401, description = "Wrong username or password", body = ErrorBody<'_>),
        (status = 413, body = ErrorBody<'_>),
        (status = 429, description = "Too many attempts; `retry-after` says when to try again", body = ErrorBody<'_>),
    )
)]
pub(super) async fn login(State(app): State<App>, request: Request) -> Result<Json<NewSession>, ApiError> {
    let address = ClientAddress::of(request.extensions());
    let guesser = Guesser::Address(address);
    // Checked before the body is read, so that refused clients cost nothing.
    app.guesses
        .refused(guesser, app.ports.clock.now())
        .map_err(refused)?;
    let Input(input) = Input::<LoginInput, SMALL>::from_request(request, &app).await?;
    let (Some(username), Some(Password(password))) = (input.username, input.password) else {
        return Err(missing());
    };
    let username = username.trim();
    if username.is_empty() || password.reveal().is_empty() {
        return Err(missing());
    }

    let stored = app.admins.get().await?;
    let epoch = stored.as_ref().map_or(0, |admin| admin.epoch);
    // Counted before the password is checked, so concurrent requests cannot exceed the limit.
    let attempt = app
        .guesses
        .count(guesser, epoch, app.ports.clock.now())
        .await
        .map_err(refused)?;
    let admin = stored.filter(|admin| bool::from(admin.username.as_bytes().ct_eq(username.as_bytes())));
    if !check(&app, admin.as_ref(), password).await? {
        tracing::warn!(target: "audit", address = ?address, "admin login refused");
        app.audit.login_refused(address).await;
        return Err(wrong("Wrong username or password."));
    }
    let admin = admin.ok_or_else(|| wrong("Wrong username or password."))?;
    attempt.succeeded(&app.guesses, app.ports.clock.now()).await?;
    tracing::info!(target: "audit", admin = %admin.username, address = ?address, "admin logged in");
    act_as(login_by(&admin, address));
    app.audit
        .event("admin.login", "admin".to_owned(), &admin.username)
        .await?;
    begin(&app, &admin, address).await.map(Json)
}

/// The admin as the actor of this login.
fn login_by(admin: &Admin, address: Option<IpAddr>) -> Actor {
    Actor {
        actor: admin.username.clone(),
        address,
        request_id: None,
        session: None,
    }
}

fn missing() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "missing_credentials",
        "`username` and `password` are required",
    )
}

fn wrong(message: &str) -> ApiError {
    ApiError::unauthorized("invalid_credentials", message)
}

/// Converts a refusal of the limiter into a response.
fn refused(error: GuessError) -> ApiError {
    match error {
        GuessError::Store(error) => error.into(),
        GuessError::Refused { wait } => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "Too many login attempts. Wait as long as `retry-after` says, or log in with `crs admin login-link` on the server.",
        )
        .retry_after(wait.div_ceil(1000).max(1)),
    }
}

/// Begins a session and lists it with `address`.
async fn begin(app: &App, admin: &Admin, address: Option<IpAddr>) -> Result<NewSession, ApiError> {
    let lifetimes = Lifetimes {
        token: app.config.admin.session.as_millis() as u64,
        session: app.config.admin.session_max.as_millis() as u64,
    };
    let (name, epoch, now) = (&admin.username, admin.epoch, app.ports.clock.now());
    let signed = app
        .keyring
        .sign_session(&*app.ports.random, name, epoch, now, lifetimes);
    logged_in(app, signed, address, now).await
}

async fn logged_in(
    app: &App,
    signed: Result<(String, Session), SessionError>,
    address: Option<IpAddr>,
    now: Millis,
) -> Result<NewSession, ApiError> {
    let (token, session) = signed.map_err(|error| ApiError::internal(error.to_string()))?;
    app.admins.list_session(&session, address, now).await?;
    Ok(NewSession {
        success: true,
        token,
        expires_in: session.expires_at.saturating_sub(now),
        username: session.username,
    })
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogoutInput {
    /// End all sessions and not only this one.
    #[serde(default)]
    everywhere: bool,
}

/// Ends this session, or all of them.
#[utoipa::path(
    post, path = "/web/auth/logout", operation_id = "logout", tag = "session", security(("admin" = [])), request_body = LogoutInput,
    responses(
        (status = 200, body = LogoutResult),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn logout(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<LogoutInput, SMALL>,
) -> Result<Json<LogoutResult>, ApiError> {
    let message = if input.everywhere {
        let now = app.ports.clock.now();
        app.admins.replace(NewLogin::default(), None, now).await?;
        session.audit("session.end-all", "");
        "All sessions have ended."
    } else {
        if let Some(ends) = &session.ends {
            // Its other tokens (from a refresh) may expire later than this one.
            app.admins.end_session(&ends.id, ends.last_end).await?;
        }
        session.audit("session.end", "");
        "Logged out."
    };
    Ok(Json(LogoutResult {
        success: true,
        message,
    }))
}

/// A new token for an active session. The old one stays valid until it expires. A session ends
/// `ADMIN_SESSION_MAX` after its login (default: seven days), regardless of renewals.
#[utoipa::path(
    post, path = "/web/auth/refresh", operation_id = "refreshSession", tag = "session", security(("admin" = [])),
    responses(
        (status = 200, body = NewSession),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn refresh(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    session: AdminSession,
) -> Result<Json<NewSession>, ApiError> {
    let admin = app.admins.get().await?.ok_or_else(no_admin)?;
    let Some(SessionEnd {
        id,
        login_at,
        expires_at,
        last_end,
    }) = session.ends
    else {
        // The local token does not expire; the caller wants a session.
        app.audit
            .event("admin.login", "admin".to_owned(), &admin.username)
            .await?;
        return begin(&app, &admin, address).await.map(Json);
    };
    let session = Session {
        id,
        username: admin.username,
        epoch: admin.epoch,
        login_at,
        expires_at,
        last_end,
    };
    let (now, lifetime) = (app.ports.clock.now(), app.config.admin.session.as_millis() as u64);
    // Adds a session of an older version to the list.
    let signed = app.keyring.prolong_session(session, now, lifetime);
    logged_in(&app, signed, address, now).await.map(Json)
}

fn no_admin() -> ApiError {
    ApiError::conflict("no_admin", "There is no admin login yet.")
}

#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    success: bool,
    #[schema(inline)]
    user: User,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct User {
    username: String,
    /// `null` for the host's local token.
    #[schema(format = DateTime)]
    login_time: Option<String>,
    #[schema(format = DateTime)]
    last_activity: String,
    /// When this token expires.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When the session ends regardless of renewals.
    #[schema(format = DateTime)]
    session_ends_at: Option<String>,
}

/// The admin of this session.
#[utoipa::path(
    get, path = "/web/auth/user", operation_id = "getCurrentUser", tag = "session", security(("admin" = [])),
    responses(
        (status = 200, body = Me),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn user(State(app): State<App>, session: AdminSession) -> Json<Me> {
    Json(Me {
        success: true,
        user: User {
            username: session.username,
            login_time: session.ends.as_ref().map(|ends| iso(ends.login_at)),
            last_activity: iso(app.ports.clock.now()),
            expires_at: session.ends.as_ref().map(|ends| iso(ends.expires_at)),
            session_ends_at: session.ends.as_ref().map(|ends| iso(ends.last_end)),
        },
    })
}

/// A new session after a change that ended all others; the address becomes a known one.
async fn arrived(app: &App, admin: &Admin, address: Option<IpAddr>) -> Result<NewSession, ApiError> {
    app.guesses.welcome(address, app.ports.clock.now()).await?;
    begin(app, admin, address).await
}

#[cfg(test)]
mod tests;
