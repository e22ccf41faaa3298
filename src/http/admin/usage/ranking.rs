//! `/admin/usage/ranking`: who or what cost most in a time.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
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
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct RankingQuery {
    #[param(inline)]
    kind: KindName,
    /// Whose models, by the key's id; for `modelsOf` only.
    key: Option<String>,
    /// In the operator's time zone; today if left out.
    #[param(inline)]
    range: Option<Range>,
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
    range: Range,
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
    let range = query.range.unwrap_or(Range::Today);
    let top = rows(query.top, MOST)?;
    let kind = match (query.kind, query.key.as_deref()) {
        (KindName::Keys, None) => Kind::Keys,
        (KindName::Accounts, None) => Kind::Accounts,
        (KindName::Models, None) => Kind::Models,
        (KindName::ModelsOf, Some(key)) => Kind::ModelsOf(key),
        (KindName::ModelsOf, None) => {
            return Err(ApiError::invalid(
                "key",
                "`key` must say whose models, by the key's id",
            ));
        }
        (_, Some(_)) => {
            return Err(ApiError::invalid(
                "key",
                "`key` can be sent with `kind=modelsOf` only",
            ));
        }
    };
    let ranked = app
        .ledger
        .ranking(kind, range, top, app.ports.clock.now())
        .await?;
    let items = match kind {
        Kind::Keys => named_keys(&app, ranked).await?,
        Kind::Accounts => named_accounts(&app, ranked).await?,
        Kind::Models | Kind::ModelsOf(_) => {
            let names: Vec<_> = ranked.iter().map(|ranked| Some(ranked.id.clone())).collect();
            named(ranked, names.into_iter())
        }
    };
    Ok(Json(RankingView {
        kind: query.kind,
        range,
        items,
    }))
}
