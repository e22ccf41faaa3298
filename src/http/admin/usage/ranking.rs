//! `/admin/usage/ranking`: who or what cost most in a time.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::span::AskedSpan;
use super::{MOST, NamedView, named, named_accounts, named_keys, rows};
use crate::app::App;
use crate::store::ledger::{Kind, Range};

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RankingKind)]
enum KindName {
    Keys,
    Accounts,
    Models,
    /// The models of one key.
    ModelsOf,
    /// The keys that used one account; of the last 100 days at most.
    KeysOf,
    /// The accounts that served one key; of the last 100 days at most.
    AccountsOf,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct RankingQuery {
    #[param(inline)]
    kind: KindName,
    /// Whose models or accounts, by the key's id; for `modelsOf` and `accountsOf` only.
    key: Option<String>,
    /// Whose keys, by the account's id; for `keysOf` only.
    account: Option<String>,
    /// In the operator's time zone; today if left out.
    #[param(inline)]
    range: Option<Range>,
    /// From this day on, like `2026-01-31`, instead of `range`; of the last 100 days.
    from: Option<String>,
    /// Up to the end of this day; today if left out.
    to: Option<String>,
    /// How many; 10 if left out.
    #[param(minimum = 1, maximum = 100)]
    top: Option<u32>,
}

/// Who or what cost most.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageRanking)]
pub(in crate::http::admin) struct RankingView {
    kind: KindName,
    /// `null`: days were asked for.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: of all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    /// `false`: some calls of the time were counted by a version that did not keep these sums, and are not among them.
    complete: bool,
    /// The dearest first. A model's id is its name.
    items: Vec<NamedView>,
}

/// Who or what cost most in a time.
#[utoipa::path(
    get, path = "/admin/usage/ranking", operation_id = "getUsageRanking", tag = "usage", security(("admin" = [])), params(RankingQuery),
    responses(
        (status = 200, body = RankingView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn ranking(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<RankingQuery>,
) -> Result<Json<RankingView>, ApiError> {
    let now = app.ports.clock.now();
    let asked = AskedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
    let top = rows(query.top, MOST)?;
    let kind = kind(&query)?;
    let ranked = app.ledger.ranking(kind, asked.span, top, now).await?;
    let complete = match kind {
        Kind::KeysOf(_) | Kind::AccountsOf(_) => app.ledger.is_complete(asked.span, now).await?,
        _ => true,
    };
    let items = match kind {
        Kind::Keys | Kind::KeysOf(_) => named_keys(&app, ranked).await?,
        Kind::Accounts | Kind::AccountsOf(_) => named_accounts(&app, ranked).await?,
        Kind::Models | Kind::ModelsOf(_) => {
            let names: Vec<_> = ranked.iter().map(|ranked| Some(ranked.id.clone())).collect();
            named(ranked, names.into_iter())
        }
    };
    Ok(Json(RankingView {
        kind: query.kind,
        range: asked.range,
        from: asked.from(),
        to: asked.to(),
        complete,
        items,
    }))
}

/// The ranking that is asked for, with whose it is.
fn kind(query: &RankingQuery) -> Result<Kind<'_>, ApiError> {
    let (needs_key, needs_account) = match query.kind {
        KindName::Keys | KindName::Accounts | KindName::Models => (false, false),
        KindName::ModelsOf | KindName::AccountsOf => (true, false),
        KindName::KeysOf => (false, true),
    };
    let key = owner("key", query.key.as_deref(), needs_key)?;
    let account = owner("account", query.account.as_deref(), needs_account)?;
    Ok(match query.kind {
        KindName::Keys => Kind::Keys,
        KindName::Accounts => Kind::Accounts,
        KindName::Models => Kind::Models,
        KindName::ModelsOf => Kind::ModelsOf(key),
        KindName::AccountsOf => Kind::AccountsOf(key),
        KindName::KeysOf => Kind::KeysOf(account),
    })
}

fn owner<'a>(field: &str, id: Option<&'a str>, needed: bool) -> Result<&'a str, ApiError> {
    match (id, needed) {
        (Some(id), true) => Ok(id),
        (None, false) => Ok(""),
        (None, true) => {
            let message = format!("`{field}` must say whose ranking it is, by the id of the {field}");
            Err(ApiError::invalid(field, message))
        }
        (Some(_), false) => {
            let message = format!("`{field}` cannot be sent with this `kind`");
            Err(ApiError::invalid(field, message))
        }
    }
}
