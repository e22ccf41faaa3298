//! Checks, changes and resets the admin's password.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, ClientAddress, Input, SMALL};
use super::{begin, no_admin, refused, wrong};
use crate::app::App;
use crate::config::weakness;
use crate::model::secret::Secret;
use crate::model::text::is_shown;
use crate::port::tasks::computed;
use crate::secrets::{hash_password, verify_dummy, verify_password};
use crate::store::admins::{Admin, NewLogin};
use crate::store::guesses::Guesser;

/// Longer ones are refused without hashing.
const LONGEST_PASSWORD: usize = 1024;
const SHORTEST_PASSWORD: usize = 8;
const LONGEST_USERNAME: usize = 64;

/// A password in a request's body.
#[derive(Clone, Debug)]
pub(super) struct Password(pub(super) Secret);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// Whether it is the admin's password. Takes the same time if there is no admin.
pub(super) async fn check(app: &App, admin: Option<&Admin>, password: Secret) -> Result<bool, ApiError> {
    let stored = admin.map(|admin| admin.password.clone());
    let checked = compute(app, move || match stored {
        Some(stored) if password.reveal().len() <= LONGEST_PASSWORD => verify_password(&stored, &password),
        _ => {
            verify_dummy(&Secret::new("nobody"));
            Ok(false)
        }
    })
    .await?;
    checked.map_err(|error| ApiError::internal(error.to_string()))
}

/// Runs `job` where it blocks no stream.
async fn compute<T: Send + 'static>(
    app: &App,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let value = computed(&*app.ports.tasks, job).await;
    value.ok_or_else(|| ApiError::internal("a computation ended without a result"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct PasswordInput {
    /// If left out, it stays the same.
    #[schema(max_length = 64)]
    new_username: Option<String>,
    #[schema(value_type = String, required)]
    current_password: Option<Password>,
    #[schema(value_type = String, required, min_length = 8)]
    new_password: Option<Password>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PasswordChanged {
    success: bool,
    message: &'static str,
    new_username: String,
    /// All sessions ended with the old password; this is a new one.
    token: String,
    /// Milliseconds until the token expires.
    expires_in: u64,
}

/// Changes the admin's password, and the username if one is sent. Ends all sessions.
#[utoipa::path(
    post, path = "/web/auth/change-password", operation_id = "changePassword", tag = "session", security(("admin" = [])),
    request_body = PasswordInput,
    responses(
        (status = 200, body = PasswordChanged),
        (status = 401, description = "Not the current password", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn change_password(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    session: AdminSession,
    Input(input): Input<PasswordInput, SMALL>,
) -> Result<Json<PasswordChanged>, ApiError> {
    let Some(Password(current)) = input.current_password else {
        return Err(ApiError::missing("currentPassword"));
    };
    let Some(Password(new)) = input.new_password else {
        return Err(ApiError::missing("newPassword"));
    };
    let username = fit_username("newUsername", input.new_username)?;
    let admin = app.admins.get().await?.ok_or_else(no_admin)?;
    fit_password(
        "newPassword",
        &new,
        username.as_deref().unwrap_or(&admin.username),
    )?;

    // The thief of a session must not be able to guess the password with it.
    let guesser = Guesser::Session(session.ends.as_ref().map_or("local", |ends| ends.id.as_str()));
    let attempt = app
        .guesses
        .count(guesser, admin.epoch, app.ports.clock.now())
        .await
        .map_err(refused)?;
    if !check(&app, Some(&admin), current).await? {
        return Err(wrong("The current password is not right."));
    }
    let login = NewLogin {
        username,
        password: Some(hashed(&app, new).await?),
    };
    let changed = app
        .admins
        .replace(login, Some(&admin.password), app.ports.clock.now())
        .await?
        .ok_or_else(|| ApiError::conflict("password_changed", "The password was changed meanwhile."))?;
    attempt.succeeded(&app.guesses, app.ports.clock.now()).await?;
    session.audit("admin.change-password", "");
    let begun = begin(&app, &changed, address).await?;
    Ok(Json(PasswordChanged {
        success: true,
        message: "The password is changed, and all sessions have ended.",
        new_username: changed.username,
        token: begun.token,
        expires_in: begun.expires_in,
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ResetInput {
    #[schema(value_type = String, required, min_length = 8)]
    password: Option<Password>,
    /// If left out, it stays the same.
    #[schema(max_length = 64)]
    username: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(in super::super) struct PasswordReset {
    success: bool,
    username: String,
}

/// Resets the admin's password without the old one, and ends all sessions. Reserved to the local command line,
/// which can read the host's files; sessions are refused.
#[utoipa::path(
    post, path = "/web/auth/reset-password", operation_id = "resetPassword", tag = "session", security(("admin" = [])),
    request_body = ResetInput,
    responses(
        (status = 200, body = PasswordReset),
        (status = 401, body = ErrorBody<'_>),
        (status = 403, description = "A session, not the local command line", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn reset_password(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<ResetInput, SMALL>,
) -> Result<Json<PasswordReset>, ApiError> {
    session.must_be_local("crs admin reset-password")?;
    let Some(Password(new)) = input.password else {
        return Err(ApiError::missing("password"));
    };
    let username = fit_username("username", input.username)?;
    let before = app.admins.get().await?.ok_or_else(no_admin)?;
    fit_password("password", &new, username.as_deref().unwrap_or(&before.username))?;
    let login = NewLogin {
        username,
        password: Some(hashed(&app, new).await?),
    };
    let admin = app
        .admins
        .replace(login, None, app.ports.clock.now())
        .await?
        .ok_or_else(no_admin)?;
    // An admin who forgot the password has tried it often.
    app.guesses.begin_anew(app.ports.clock.now()).await?;
    session.audit("admin.reset-password", "");
    Ok(Json(PasswordReset {
        success: true,
        username: admin.username,
    }))
}

/// Checks the strength of a password. `username`: the admin's.
fn fit_password(field: &str, password: &Secret, username: &str) -> Result<(), ApiError> {
    if password.reveal().chars().count() < SHORTEST_PASSWORD {
        let message = format!("`{field}` must have {SHORTEST_PASSWORD} characters or more");
        return Err(ApiError::invalid(field, message));
    }
    if password.reveal().len() > LONGEST_PASSWORD {
        let message = format!("`{field}` must have at most {LONGEST_PASSWORD} bytes");
        return Err(ApiError::invalid(field, message));
    }
    if let Some(advice) = weakness(password.reveal(), Some(username)) {
        let message = format!("`{field}` is easy to guess: {advice}");
        return Err(ApiError::invalid(field, message));
    }
    Ok(())
}

fn fit_username(field: &str, username: Option<String>) -> Result<Option<String>, ApiError> {
    let username = username.map(|name| name.trim().to_owned());
    let fits = |name: &String| (1..=LONGEST_USERNAME).contains(&name.chars().count()) && is_shown(name);
    if username.as_ref().is_some_and(|name| !fits(name)) {
        let message = format!(
            "`{field}` must have 1 to {LONGEST_USERNAME} visible characters, none of which hides or reorders text"
        );
        return Err(ApiError::invalid(field, message));
    }
    Ok(username)
}

async fn hashed(app: &App, password: Secret) -> Result<String, ApiError> {
    let random = app.ports.random.clone();
    compute(app, move || hash_password(&*random, &password))
        .await?
        .map_err(|error| ApiError::internal(error.to_string()))
}
