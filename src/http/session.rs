//! `/web/auth`: logging in and out. Paths and fields are CRS's.

mod throttle;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::api_error::{ApiError, ErrorBody};
use super::extract::{AdminSession, ClientAddress, Input};
use crate::app::App;
use crate::config::Secret;
use crate::model::time::iso;
use crate::secrets::{hash_password, verify_dummy, verify_password};
use crate::store::admins::{Admin, NewLogin};
use throttle::Attempt;

/// Longer ones are wrong without being hashed.
const LONGEST_PASSWORD: usize = 1024;
const SHORTEST_PASSWORD: usize = 8;
const LONGEST_USERNAME: usize = 64;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginInput {
    #[schema(required)]
    username: Option<String>,
    #[schema(value_type = String, required)]
    password: Option<Password>,
}

#[derive(Clone, Debug)]
struct Password(Secret);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// A session begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoggedIn {
    /// Always true: failures have another status.
    success: bool,
    /// Send it as `Authorization: Bearer <token>`.
    token: String,
    /// Milliseconds until the token ends.
    expires_in: u64,
    username: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Said {
    success: bool,
    message: &'static str,
}

/// Begins a session. At most 10 attempts per login name, and 30 failed ones per address, in a quarter of an
/// hour.
#[utoipa::path(
    post, path = "/web/auth/login", operation_id = "login", tag = "session", request_body = LoginInput,
    responses(
        (status = 200, body = LoggedIn),
        (status = 400, description = "No username or no password", body = ErrorBody<'_>),
        (status = 401, description = "Not the login", body = ErrorBody<'_>),
        (status = 429, description = "Too many attempts; `retry-after` says when to try again", body = ErrorBody<'_>),
    )
)]
pub(super) async fn login(State(app): State<App>, request: Request) -> Result<Json<LoggedIn>, ApiError> {
    let address = ClientAddress::of(request.extensions());
    let Input(input) =
        <Input<LoginInput> as axum::extract::FromRequest<App>>::from_request(request, &app).await?;
    let (Some(username), Some(Password(password))) = (input.username, input.password) else {
        return Err(missing());
    };
    let username = username.trim();
    if username.is_empty() || password.reveal().is_empty() {
        return Err(missing());
    }

    // Counted before anything is checked: however many come at once, only so many are checked.
    let attempt = Attempt::count(&app, username, address).await?;
    let admin = app
        .admins
        .get()
        .await?
        .filter(|admin| bool::from(admin.username.as_bytes().ct_eq(username.as_bytes())));
    if !check(&app, admin.as_ref(), password).await? {
        tracing::warn!(target: "audit", address = ?address, "admin login refused");
        return Err(wrong("Wrong username or password."));
    }
    let admin = admin.ok_or_else(|| wrong("Wrong username or password."))?;
    attempt.succeeded(&app).await?;
    tracing::info!(target: "audit", admin = %admin.username, address = ?address, "admin logged in");
    begin(&app, &admin, None).map(Json)
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

/// A token for a new session, or another one for the session `of`.
fn begin(app: &App, admin: &Admin, of: Option<String>) -> Result<LoggedIn, ApiError> {
    let lifetime = app.config.admin.session.as_millis() as u64;
    let (name, epoch, now) = (&admin.username, admin.epoch, app.ports.clock.now());
    let signed = match of {
        Some(id) => app.keyring.prolong_session(id, name, epoch, now, lifetime),
        None => app
            .keyring
            .sign_session(&*app.ports.random, name, epoch, now, lifetime),
    };
    let (token, _) = signed.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(LoggedIn {
        success: true,
        token,
        expires_in: lifetime,
        username: admin.username.clone(),
    })
}

/// Whether it is the admin's password. Takes as long for nobody as for somebody.
async fn check(app: &App, admin: Option<&Admin>, password: Secret) -> Result<bool, ApiError> {
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

/// Runs `job` where it holds up no stream, and gives its result.
async fn compute<T: Send + 'static>(
    app: &App,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    let run = Box::new(move || {
        let value = job();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    });
    app.ports.tasks.compute(run).await;
    let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.ok_or_else(|| ApiError::internal("a computation ended without a result"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogoutInput {
    /// End all sessions, not only this one.
    #[serde(default)]
    everywhere: bool,
}

/// Ends this session, or all of them.
#[utoipa::path(
    post, path = "/web/auth/logout", operation_id = "logout", tag = "session", security(("admin" = [])), request_body = LogoutInput,
    responses(
        (status = 200, body = Said),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn logout(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<LogoutInput>,
) -> Result<Json<Said>, ApiError> {
    let message = if input.everywhere {
        let now = app.ports.clock.now();
        app.admins.replace(NewLogin::default(), None, now).await?;
        session.audit("session.end-all", "");
        "All sessions have ended."
    } else {
        if let Some(ends) = &session.ends {
            // Its other tokens (a refresh makes one) may end later than this one, but no later than this.
            let lifetime = app.config.admin.session.as_millis() as u64 + 1_000;
            let last = ends
                .expires_at
                .max(app.ports.clock.now().saturating_add(lifetime));
            app.admins.end_session(&ends.id, last).await?;
        }
        session.audit("session.end", "");
        "Logged out."
    };
    Ok(Json(Said {
        success: true,
        message,
    }))
}

/// A fresh token for a session that has not ended. The old one stays good until its end, or the session's.
#[utoipa::path(
    post, path = "/web/auth/refresh", operation_id = "refreshSession", tag = "session", security(("admin" = [])),
    responses(
        (status = 200, body = LoggedIn),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(super) async fn refresh(
    State(app): State<App>,
    session: AdminSession,
) -> Result<Json<LoggedIn>, ApiError> {
    let admin = app.admins.get().await?.ok_or_else(no_admin)?;
    begin(&app, &admin, session.ends.map(|ends| ends.id)).map(Json)
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
    /// `null`: the host's own token.
    #[schema(format = DateTime)]
    login_time: Option<String>,
    #[schema(format = DateTime)]
    last_activity: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Whose session this is.
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
            login_time: session.ends.as_ref().map(|ends| iso(ends.issued_at)),
            last_activity: iso(app.ports.clock.now()),
            expires_at: session.ends.as_ref().map(|ends| iso(ends.expires_at)),
        },
    })
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PasswordInput {
    /// Left out: stays as it is.
    #[schema(max_length = 64)]
    new_username: Option<String>,
    #[schema(value_type = String, required)]
    current_password: Option<Password>,
    #[schema(value_type = String, required, min_length = 8)]
    new_password: Option<Password>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PasswordChanged {
    success: bool,
    message: &'static str,
    new_username: String,
    /// All sessions ended with the old password; this begins one.
    token: String,
    /// Milliseconds until the token ends.
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
pub(super) async fn change_password(
    State(app): State<App>,
    session: AdminSession,
    request: Request,
) -> Result<Json<PasswordChanged>, ApiError> {
    let address = ClientAddress::of(request.extensions());
    let Input(input) =
        <Input<PasswordInput> as axum::extract::FromRequest<App>>::from_request(request, &app).await?;
    let Some(Password(current)) = input.current_password else {
        return Err(ApiError::missing("currentPassword"));
    };
    let Some(Password(new)) = input.new_password else {
        return Err(ApiError::missing("newPassword"));
    };
    fit_password("newPassword", &new)?;
    let username = fit_username("newUsername", input.new_username)?;

    let admin = app.admins.get().await?.ok_or_else(no_admin)?;
    // Whoever stole a session must not find out the password with it.
    let attempt = Attempt::count(&app, &admin.username, address).await?;
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
    attempt.succeeded(&app).await?;
    session.audit("admin.change-password", "");
    let begun = begin(&app, &changed, None)?;
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
pub(super) struct ResetInput {
    #[schema(value_type = String, required, min_length = 8)]
    password: Option<Password>,
    /// Left out: stays as it is.
    #[schema(max_length = 64)]
    username: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PasswordReset {
    success: bool,
    username: String,
}

/// Sets the admin's password without asking for the old one, and ends all sessions. Only who can read the
/// host's files may: the local command line, not a session.
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
pub(super) async fn reset_password(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<ResetInput>,
) -> Result<Json<PasswordReset>, ApiError> {
    if session.ends.is_some() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "local_only",
            "Only the command line on the server's machine may do this: crs admin reset-password.",
        ));
    }
    let Some(Password(new)) = input.password else {
        return Err(ApiError::missing("password"));
    };
    fit_password("password", &new)?;
    let login = NewLogin {
        username: fit_username("username", input.username)?,
        password: Some(hashed(&app, new).await?),
    };
    let admin = app
        .admins
        .replace(login, None, app.ports.clock.now())
        .await?
        .ok_or_else(no_admin)?;
    // Who forgot the password has tried it often.
    throttle::forget(&app, &admin.username).await?;
    session.audit("admin.reset-password", "");
    Ok(Json(PasswordReset {
        success: true,
        username: admin.username,
    }))
}

fn fit_password(field: &str, password: &Secret) -> Result<(), ApiError> {
    if password.reveal().chars().count() < SHORTEST_PASSWORD {
        let message = format!("`{field}` must have {SHORTEST_PASSWORD} characters or more");
        return Err(ApiError::invalid(field, message));
    }
    if password.reveal().len() > LONGEST_PASSWORD {
        let message = format!("`{field}` must have at most {LONGEST_PASSWORD} bytes");
        return Err(ApiError::invalid(field, message));
    }
    Ok(())
}

fn fit_username(field: &str, username: Option<String>) -> Result<Option<String>, ApiError> {
    let username = username.map(|name| name.trim().to_owned());
    let fits = |name: &String| {
        (1..=LONGEST_USERNAME).contains(&name.chars().count()) && !name.contains(char::is_control)
    };
    if username.as_ref().is_some_and(|name| !fits(name)) {
        let message = format!("`{field}` must have 1 to {LONGEST_USERNAME} characters");
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
