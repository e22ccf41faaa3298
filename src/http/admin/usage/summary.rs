//! `/admin/usage/summary`: what was used in a time, and by whom most.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::{MOST_OF_SUMMARY, NamedView, named_accounts, named_keys, rows};
use crate::app::App;
use crate::model::usage::Totals;
use crate::store::ledger::Range;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct SummaryQuery {
    /// In the operator's time zone; today if left out.
    #[param(inline)]
    range: Option<Range>,
    /// How many keys, accounts and models; 10 if left out.
    #[param(minimum = 1, maximum = 25)]
    top: Option<u32>,
}

/// What was used in a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageSummary)]
pub(in crate::http::admin) struct SummaryView {
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
pub(in crate::http::admin) async fn summary(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<SummaryQuery>,
) -> Result<Json<SummaryView>, ApiError> {
    let range = query.range.unwrap_or(Range::Today);
    let top = rows(query.top, MOST_OF_SUMMARY)?;
    let summary = app.ledger.summary(range, top, app.ports.clock.now()).await?;
    Ok(Json(SummaryView {
        range,
        utc_offset_minutes: app.config.site.utc_offset_minutes,
        totals: summary.totals,
        keys: named_keys(&app, summary.keys).await?,
        accounts: named_accounts(&app, summary.accounts).await?,
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
