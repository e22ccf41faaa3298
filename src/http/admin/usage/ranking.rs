//! `/admin/usage/ranking`: the most expensive keys, accounts or models of a period.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::span::RequestedSpan;
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
    /// The keys that used one account; within the last 100 days.
    KeysOf,
    /// The accounts that served one key; within the last 100 days.
    AccountsOf,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct RankingQuery {
    #[param(inline)]
    kind: KindName,
    /// The key's id; only for `modelsOf` and `accountsOf`.
    key: Option<String>,
    /// The account's id; only for `keysOf`.
    account: Option<String>,
    /// In the operator's time zone. Default: today.
    #[param(inline)]
    range: Option<Range>,
    /// First day, like `2026-01-31`, in place of `range`; within the last 100 days.
    from: Option<String>,
    /// Last day. Default: today.
    to: Option<String>,
    /// Number of rows. Default: 10.
    #[param(minimum = 1, maximum = 100)]
    top: Option<u32>,
}

/// The most expensive keys, accounts or models.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageRanking)]
pub(in crate::http::admin) struct RankingView {
    kind: KindName,
    /// `null`: days were requested.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    /// `false`: some calls of the period were counted by a version without these sums and are missing.
    complete: bool,
    /// Most expensive first. A model's id is its name.
    items: Vec<NamedView>,
}

/// The most expensive keys, accounts or models of a period.
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
    let asked = RequestedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
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

/// The requested ranking, with its owner.
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
