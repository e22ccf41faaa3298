//! `/admin/accounts`: the provider accounts of all platforms.
//!
//! | module | content |
//! | --- | --- |
//! | `input` | the operator's input |
//! | `view`, `live`, `pools` | an account as shown, with its state from the pool |
//! | `find` | selection and order of a list |
//! | `batch` | several accounts at once |
//! | `sign_in` | accounts whose credentials come from a sign-in at the provider |
//! | `test_call` | a test with a real call |

pub(super) mod batch;
mod find;
mod input;
pub(super) mod live;
pub(super) mod pools;
pub(super) mod sign_in;
pub(super) mod test_call;
pub(super) mod view;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crs_durable::pool;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, LARGE, Params, SMALL};
use super::list::{Page, Slice};
use crate::app::App;
use crate::model::account::{Account, Platform};
use crate::port::random;
use crate::store::accounts::{EditResult, SecretNeeded};

use find::AccountQuery;
use input::{AccountInput, NewAccountInput};
pub(super) use view::AccountView;
use view::LiveStates;

/// One page of the accounts, each with its live state. Reads all accounts once and asks each platform's pool
/// once, however many are shown.
#[utoipa::path(
    get, path = "/admin/accounts", operation_id = "listAccounts", tag = "accounts", security(("admin" = [])), params(AccountQuery),
    responses(
        (status = 200, body = Page<AccountView>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<AccountQuery>,
) -> Result<Json<Page<AccountView>>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    let page = slice.of(query.find(&app).await?);
    let views = views(&app, &page.items).await?;
    Ok(Json(page.showing(views)))
}

/// Adds an account. Its secrets are sealed and never shown again.
#[utoipa::path(
    post, path = "/admin/accounts", operation_id = "createAccount", tag = "accounts", security(("admin" = [])), request_body = NewAccountInput,
    responses(
        (status = 201, body = AccountView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<AccountInput, LARGE>,
) -> Result<(StatusCode, Json<AccountView>), ApiError> {
    let now = app.ports.clock.now();
    let id = random::record_id(now, &*app.ports.random);
    let input = input.settled()?;
    input.check_groups(&app, None).await?;
    let account = input.into_account(&app, id, now)?;
    add(&app, &session, account).await
}

/// Stores a new account and notifies the pool.
async fn add(
    app: &App,
    session: &AdminSession,
    account: Account,
) -> Result<(StatusCode, Json<AccountView>), ApiError> {
    if !app.accounts.create(&account).await? {
        return Err(ApiError::internal("a fresh account's id is taken"));
    }
    changed(app, &account).await;
    session.audit("account.create", &account.id);
    Ok((StatusCode::CREATED, Json(view(app, account).await?)))
}

/// One account with its live state.
#[utoipa::path(
    get, path = "/admin/accounts/{id}", operation_id = "getAccount", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = AccountView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    _: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(unknown)?;
    view(&app, account).await.map(Json)
}

/// Changes only the fields sent. In `credentials`, a secret that is left out stays as long as the type is the
/// same; `proxy` is replaced as a whole. A secret is bound to its destination: a new host in `baseUrl`, or a new
/// proxy, requires the account's secrets in the same request (`secret_needed`).
#[utoipa::path(
    patch, path = "/admin/accounts/{id}", operation_id = "updateAccount", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    request_body = AccountInput,
    responses(
        (status = 200, body = AccountView),
        (status = 404, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Input(input): Input<AccountInput, LARGE>,
) -> Result<Json<AccountView>, ApiError> {
    let input = input.settled()?;
    if input.sends_groups() {
        let account = app.accounts.get(&id).await?.ok_or_else(unknown)?;
        input.check_groups(&app, Some(account.platform)).await?;
    }
    let edit = input.checked(&app, &id)?;
    let edited = app
        .accounts
        .try_update(&id, app.ports.clock.now(), |account| edit.apply(account))
        .await?;
    let account = match edited {
        EditResult::Done(account) => *account,
        EditResult::Unknown => return Err(unknown()),
        EditResult::Refused(error) => return Err(error),
        EditResult::SecretNeeded(needed) => return Err(secret_needed(&needed)),
    };
    changed(&app, &account).await;
    session.audit("account.update", &id);
    view(&app, account).await.map(Json)
}

/// Deletes an account and its secrets permanently.
#[utoipa::path(
    delete, path = "/admin/accounts/{id}", operation_id = "deleteAccount", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(unknown)?;
    if !app.accounts.delete(&id).await? {
        return Err(unknown());
    }
    changed(&app, &account).await;
    session.audit("account.delete", &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Clears an account's cooldowns, back-off and refused credentials.
#[utoipa::path(
    post, path = "/admin/accounts/{id}/reset", operation_id = "resetAccount", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = AccountView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn reset(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(unknown)?;
    forget_held(&app, &session, &account).await?;
    view(&app, account).await.map(Json)
}

async fn forget_held(app: &App, session: &AdminSession, account: &Account) -> Result<(), ApiError> {
    let subject = format!("account:{}", account.id);
    app.audit.event("account.reset", subject, &account.name).await?;
    let command = pool::Command::Reset {
        account: account.id.clone(),
    };
    app.ports.gates.pool(account.platform, command).await?;
    session.audit("account.reset", &account.id);
    Ok(())
}

/// Unbinds the conversations of an account: each is assigned to an account again with its next call.
#[utoipa::path(
    post, path = "/admin/accounts/{id}/flush-sessions", operation_id = "flushAccountSessions", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = AccountView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn flush_sessions(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(unknown)?;
    let_sessions_go(&app, &session, &account).await?;
    view(&app, account).await.map(Json)
}

async fn let_sessions_go(app: &App, session: &AdminSession, account: &Account) -> Result<(), ApiError> {
    let subject = format!("account:{}", account.id);
    app.audit
        .event("account.flush_sessions", subject, &account.name)
        .await?;
    let command = pool::Command::Flush {
        account: Some(account.id.clone()),
        session: None,
    };
    app.ports.gates.pool(account.platform, command).await?;
    session.audit("account.flushSessions", &account.id);
    Ok(())
}

/// The platform whose conversations are unbound.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlushInput {
    platform: Platform,
}

/// Unbinds all conversations of a platform: each is assigned to an account again with its next call.
#[utoipa::path(
    post, path = "/admin/sessions/flush", operation_id = "flushSessions", tag = "accounts", security(("admin" = [])), request_body = FlushInput,
    responses(
        (status = 204, description = "The conversations are unbound"),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn flush_all(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<FlushInput, SMALL>,
) -> Result<StatusCode, ApiError> {
    let subject = format!("platform:{}", input.platform.name());
    app.audit.event("account.flush_sessions", subject, "").await?;
    let command = pool::Command::Flush {
        account: None,
        session: None,
    };
    app.ports.gates.pool(input.platform, command).await?;
    session.audit("sessions.flush", input.platform.name());
    Ok(StatusCode::NO_CONTENT)
}

fn unknown() -> ApiError {
    ApiError::not_found("account")
}

/// The error for a change that would send a secret to a new destination.
pub(super) fn secret_needed(needed: &SecretNeeded) -> ApiError {
    let SecretNeeded { field, from, to } = needed;
    let field = format!("credentials.{field}");
    let message = format!(
        "`{field}` must be sent again in the same request: it was given for {from}, and this change would send it to {to}."
    );
    let mut error = ApiError::invalid(field, message);
    error.code = "secret_needed";
    error
}

/// Makes the pool and this process read the account again before its next use.
async fn changed(app: &App, account: &Account) {
    app.accounts.forget(&account.id);
    invalidate(app, account.platform).await;
}

/// Makes the pool read its accounts again before its next pick.
pub(super) async fn invalidate(app: &App, platform: Platform) {
    let result = app.ports.gates.pool(platform, pool::Command::Invalidate).await;
    if let Err(error) = result {
        // The change is stored; the pool sees it when its roster expires.
        tracing::error!(platform = platform.name(), %error, "a change did not reach the pool");
    }
}

async fn view(app: &App, account: Account) -> Result<AccountView, ApiError> {
    let views = views(app, &[account]).await?;
    views.into_iter().next().ok_or_else(unknown)
}

/// Accounts with their live state.
pub(super) async fn views(app: &App, accounts: &[Account]) -> Result<Vec<AccountView>, ApiError> {
    let doing = LiveStates::of(app, accounts).await?;
    let views = accounts
        .iter()
        .map(|account| AccountView::new(app, account, &doing));
    Ok(views.collect())
}
