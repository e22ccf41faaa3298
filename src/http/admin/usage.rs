//! `/admin/usage`: what was used, and by whom most.

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Params};
use crate::app::App;
use crate::model::usage::Totals;
use crate::store::ledger::{Range, Ranked};

const TOP: u32 = 10;
const MOST: u32 = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SummaryQuery {
    /// In the operator's time zone; today if left out.
    #[param(inline)]
    range: Option<Range>,
    /// How many keys, accounts and models; 10 if left out.
    #[param(minimum = 1, maximum = 100)]
    top: Option<u32>,
}

/// What was used in a time. Costs are in micro-USD.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageSummary)]
pub(super) struct SummaryView {
    range: Range,
    /// What the operator's clocks are ahead of UTC; rules where a day begins.
    utc_offset_minutes: i32,
    totals: Totals,
    /// The dearest first, as the other two.
    keys: Vec<NamedView>,
    accounts: Vec<NamedView>,
    models: Vec<ModelView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamedUsage)]
struct NamedView {
    id: String,
    /// `null`: it is gone.
    name: Option<String>,
    totals: Totals,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelUsage)]
struct ModelView {
    model: String,
    totals: Totals,
}

/// What was used in a time, and by whom most.
#[utoipa::path(
    get, path = "/admin/usage/summary", operation_id = "getUsageSummary", tag = "usage", security(("admin" = [])), params(SummaryQuery),
    responses(
        (status = 200, body = SummaryView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn summary(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<SummaryQuery>,
) -> Result<Json<SummaryView>, ApiError> {
    let range = query.range.unwrap_or(Range::Today);
    let top = query.top.unwrap_or(TOP);
    if !(1..=MOST).contains(&top) {
        return Err(ApiError::invalid(
            "top",
            format!("`top` must be from 1 to {MOST}"),
        ));
    }
    let summary = app
        .ledger
        .summary(range, top as usize, app.ports.clock.now())
        .await?;
    let keys = try_join_all(summary.keys.iter().map(|ranked| app.keys.get(&ranked.id))).await?;
    let accounts = try_join_all(summary.accounts.iter().map(|ranked| app.accounts.get(&ranked.id))).await?;
    let key_names = keys.into_iter().map(|key| key.map(|key| key.name));
    let account_names = accounts
        .into_iter()
        .map(|account| account.map(|account| account.name));
    Ok(Json(SummaryView {
        range,
        utc_offset_minutes: app.config.site.utc_offset_minutes,
        totals: summary.totals,
        keys: named(summary.keys, key_names),
        accounts: named(summary.accounts, account_names),
        models: summary
            .models
            .into_iter()
            .map(|ranked| ModelView {
                model: ranked.id,
                totals: ranked.totals,
            })
            .collect(),
    }))
}

fn named(ranked: Vec<Ranked>, names: impl Iterator<Item = Option<String>>) -> Vec<NamedView> {
    ranked
        .into_iter()
        .zip(names)
        .map(|(ranked, name)| NamedView {
            id: ranked.id,
            name,
            totals: ranked.totals,
        })
        .collect()
}
