//! `/admin/accounts/oauth`: an account whose credentials come from a sign-in at the provider.
//!
//! `start` returns the address of the provider's page. `finish` takes the page's result and creates the account.
//! The state between the two is sealed in the store for ten minutes and one use, so the requests may reach
//! different hosts.

mod pasted;
mod renew;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, LARGE};
use super::super::fields::Line;
use super::AccountView;
use super::input::SignInInput;
use crate::account::sign_in::{self, NoSignIn, SignIn};
use crate::account::{self, Accounts, RefreshOutcome};
use crate::app::App;
use crate::model::account::live::{Credentials, NewTokens};
use crate::model::account::{Account, Grant, Platform, Proxy};
use crate::model::time;
use crate::port::random;
use crate::port::upstream::UpstreamErrorKind;
use crate::relay::token_endpoint::{self, NoAnswer};
use crate::secrets::pkce;
use crate::store::sign_ins::UnfinishedSignIn;

/// The page to sign in, and the id for `finish`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::admin) struct SignInView {
    /// The provider's page, to be opened in a browser.
    auth_url: String,
    /// For `finish`.
    session_id: String,
    /// Expiry, ISO 8601.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Begins a sign-in at a provider with the operator's OAuth client: open `authUrl` in a browser and allow access
/// there. It can be finished once, within ten minutes.
#[utoipa::path(
    post, path = "/admin/accounts/oauth/start", operation_id = "startSignIn", tag = "accounts", security(("admin" = [])), request_body = SignInInput,
    responses(
        (status = 200, body = SignInView),
        (status = 404, body = ErrorBody<'_>, description = "There is no account of this `accountId`"),
        (status = 422, body = ErrorBody<'_>, description = "`client_unset`: a variable must be set first"),
    )
)]
pub(in crate::http::admin) async fn start(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<SignInInput, LARGE>,
) -> Result<Json<SignInView>, ApiError> {
    let (platform, grant) = (input.platform, input.grant);
    let sign_in = way(&app, platform, grant)?.1;
    let now = app.ports.clock.now();
    let there = match input.renewed()? {
        Some(id) => Some(renew::stored(&app, id, platform).await?),
        None => None,
    };
    let renews = there.is_some();
    let account = match there {
        Some(account) => account,
        None => {
            let id = random::record_id(now, &*app.ports.random);
            input.into_account(&app, id, now).await?
        }
    };
    usable_proxy(&app, &account)?;
    let (session_id, begun) = app.sign_ins.begin(grant, account, renews).await?;
    session.audit("account.oauthStart", platform.name());
    Ok(Json(SignInView {
        auth_url: sign_in.address(&begun.state, &pkce::challenge(&begun.verifier)),
        session_id,
        expires_at: time::iso(begun.ends_at),
    }))
}

/// The result of the provider's page, pasted by a person.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http::admin) struct FinishInput {
    #[schema(value_type = String)]
    session_id: Line<1, 100>,
    /// The address to which the browser was redirected (the page need not load), or the code shown by the page.
    #[schema(write_only)]
    code_or_callback_url: String,
}

/// Exchanges the page's result for tokens, and creates the account or renews the one given to `start`.
#[utoipa::path(
    post, path = "/admin/accounts/oauth/finish", operation_id = "finishSignIn", tag = "accounts", security(("admin" = [])), request_body = FinishInput,
    responses(
        (status = 200, body = AccountView, description = "The account of `accountId` has new tokens; cooldowns of the old ones are cleared"),
        (status = 201, body = AccountView),
        (status = 409, body = ErrorBody<'_>, description = "`other_account`: the tokens belong to another account of the provider than those they would replace"),
        (status = 404, body = ErrorBody<'_>, description = "It was finished already, or its ten minutes are over"),
        (status = 422, body = ErrorBody<'_>, description = "`wrong_state`, `sign_in_refused`, `code_refused` or `client_refused`: what was brought back is of another sign-in, or the provider refuses it"),
        (status = 502, body = ErrorBody<'_>, description = "`provider_unreachable` or `provider_failed`"),
        (status = 504, body = ErrorBody<'_>, description = "`provider_timeout`"),
    )
)]
pub(in crate::http::admin) async fn finish(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<FinishInput>,
) -> Result<(StatusCode, Json<AccountView>), ApiError> {
    let found = app.sign_ins.find(&input.session_id.0).await?.ok_or_else(over)?;
    let begun = &found.begun;
    // After an error in the pasted text the sign-in remains open.
    let code = pasted::code(&input.code_or_callback_url, &begun.state)?;
    let (provider, sign_in) = way(&app, begun.account.platform, begun.grant)?;
    // Read again: it may have changed, and its current proxy is used.
    let there = if begun.renews {
        Some(renew::stored(&app, &begun.account.id, begun.account.platform).await?)
    } else {
        None
    };
    let by = there.as_ref().unwrap_or(&begun.account);
    usable_proxy(&app, by)?;
    let proxy = proxy_of(&app, by)?;
    let groups = groups_left(&app, &begun.account).await?;
    // The code may be used up from here on, so the sign-in is taken from the store.
    if !app.sign_ins.take(&found).await? {
        return Err(over());
    }
    let (tokens, email) = exchange(&app, provider, &sign_in, begun, &code, proxy).await?;
    if let Some(there) = there {
        let account = renew::renew(&app, &session, &there.id, tokens).await?;
        return Ok((StatusCode::OK, Json(account)));
    }
    let account = Account {
        groups,
        ..finished(&app, found.begun.account, tokens, email)
    };
    super::add(&app, &session, account).await
}

fn over() -> ApiError {
    let mut error = ApiError::not_found("sign-in");
    "There is no such sign-in: it was finished already, or its ten minutes are over. Start again."
        .clone_into(&mut error.message);
    error
}

/// The OAuth parameters of the platform.
fn way(app: &App, platform: Platform, grant: Grant) -> Result<(&'static dyn Accounts, SignIn<'_>), ApiError> {
    let provider = account::of(platform);
    let sign_in = provider.sign_in(grant, &app.config).map_err(|none| match none {
        NoSignIn::Unset(variable) => {
            let mut error = ApiError::invalid(
                "platform",
                format!(
                    "To sign in to {}, set {variable}: the relay has no OAuth client of its own.",
                    platform.name()
                ),
            );
            error.code = "client_unset";
            error
        }
        NoSignIn::OtherGrant => ApiError::invalid("grant", "`grant` must be `oauth` for this platform"),
    })?;
    Ok((provider, sign_in))
}

/// Refuses a proxy that this host cannot use: the account would never serve, and its tokens must not be requested
/// without the proxy.
fn usable_proxy(app: &App, account: &Account) -> Result<(), ApiError> {
    match app.ports.upstream.no_proxies() {
        Some(why) if account.proxy.is_some() => Err(ApiError::invalid(
            "proxy",
            format!("`proxy` cannot be used from here: {why}"),
        )),
        _ => Ok(()),
    }
}

fn proxy_of(app: &App, account: &Account) -> Result<Option<Arc<Proxy>>, ApiError> {
    let proxy = app.accounts.proxy_of(account);
    if proxy.is_none() && account.proxy.is_some() {
        return Err(ApiError::internal("the proxy of a sign-in cannot be decrypted"));
    }
    Ok(proxy.map(Arc::new))
}

/// Exchanges a code for tokens. Also returns the email address, if the provider sends it.
async fn exchange(
    app: &App,
    provider: &dyn Accounts,
    sign_in: &SignIn<'_>,
    begun: &UnfinishedSignIn,
    code: &str,
    proxy: Option<Arc<Proxy>>,
) -> Result<(NewTokens, Option<String>), ApiError> {
    let request = sign_in
        .exchange(code, &begun.state, &begun.verifier)
        .ok_or_else(|| ApiError::internal("the token endpoint's address is invalid"))?;
    let (status, body) = token_endpoint::ask(app, request, proxy)
        .await
        .map_err(|none| unanswered(&none, begun))?;
    match provider.refreshed(status, &body, app.ports.clock.now()) {
        RefreshOutcome::Tokens(tokens) => Ok((tokens, sign_in::email(&body))),
        RefreshOutcome::Refused(why) | RefreshOutcome::Failed(why) => {
            Err(refused(status, sign_in::word(&body).as_deref(), sign_in).because(why))
        }
    }
}

fn unanswered(none: &NoAnswer, begun: &UnfinishedSignIn) -> ApiError {
    let late = matches!(none, NoAnswer::Late)
        || matches!(none, NoAnswer::Away(error) if error.kind == UpstreamErrorKind::Timeout);
    let (status, code) = if late {
        (StatusCode::GATEWAY_TIMEOUT, "provider_timeout")
    } else {
        (StatusCode::BAD_GATEWAY, "provider_unreachable")
    };
    let what = match none {
        NoAnswer::Away(error) => error.kind.to_string(),
        NoAnswer::Broke(_) => "the answer broke off".to_owned(),
        NoAnswer::Late => "no answer in time".to_owned(),
    };
    let by = if begun.account.proxy.is_some() {
        " through the proxy"
    } else {
        ""
    };
    let message =
        format!("The provider's token endpoint could not be asked{by} ({what}). Start again when it can.");
    ApiError::new(status, code, message).because(none.to_string())
}

fn refused(status: StatusCode, word: Option<&str>, sign_in: &SignIn<'_>) -> ApiError {
    match word {
        _ if !status.is_client_error() => {}
        Some("invalid_grant") => {
            let message = "The provider refused the code (invalid_grant): it was used before, is too old, or is of another sign-in. Start again.";
            let mut error = ApiError::invalid("codeOrCallbackUrl", message);
            error.code = "code_refused";
            return error;
        }
        Some(word @ ("invalid_client" | "unauthorized_client" | "redirect_uri_mismatch")) => {
            let message = format!(
                "The provider refused the client ({word}): {} must name one that is registered there for the address in {}_REDIRECT_URI.",
                sign_in.client_variables(),
                sign_in.variables
            );
            return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "client_refused", message);
        }
        _ => {}
    }
    let word = word.map(|word| format!(" ({word})")).unwrap_or_default();
    let message = format!(
        "The provider's token endpoint answered {}{word}, and no tokens. Start again.",
        status.as_u16()
    );
    ApiError::new(StatusCode::BAD_GATEWAY, "provider_failed", message)
}

/// The new account with its tokens.
fn finished(app: &App, mut account: Account, tokens: NewTokens, email: Option<String>) -> Account {
    let now = app.ports.clock.now();
    let credentials = Credentials::OAuth {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
        tenant: tokens.tenant,
    };
    account.credentials = app.accounts.seal_credentials(&account.id, &credentials);
    if account.name.is_empty() {
        let date: String = time::iso(now).chars().take(10).collect();
        account.name = email.unwrap_or_else(|| format!("{} {date}", account.platform.name()));
    }
    account.created_at = now;
    account.updated_at = now;
    account
}

/// The groups that still exist.
async fn groups_left(app: &App, account: &Account) -> Result<BTreeSet<String>, ApiError> {
    let mut left = BTreeSet::new();
    for group in &account.groups {
        if app.groups.get(group).await?.is_some() {
            left.insert(group.clone());
        }
    }
    Ok(left)
}
