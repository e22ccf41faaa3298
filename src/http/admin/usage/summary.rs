//! `/admin/usage/summary`: what was used in a time, and by whom most.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::span::AskedSpan;
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
    /// From this day on, like `2026-01-31`, instead of `range`; of the last 100 days.
    from: Option<String>,
    /// Up to the end of this day; today if left out.
    to: Option<String>,
    /// How many keys, accounts and models; 10 if left out.
    #[param(minimum = 1, maximum = 25)]
    top: Option<u32>,
}

/// Usage over a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageSummary)]
pub(in crate::http::admin) struct SummaryView {
    /// `null`: days were asked for.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: of all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    /// The operator's offset from UTC; decides where a day begins.
    utc_offset_minutes: i32,
    totals: Totals,
    /// The time before; `null`: it is not kept, or there is none.
    previous: Option<PreviousView>,
    /// The dearest first, as the other two.
    keys: Vec<NamedView>,
    accounts: Vec<NamedView>,
    models: Vec<ModelView>,
}

/// Usage of as many days before, or of the calendar month before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PreviousUsage)]
struct PreviousView {
    #[schema(format = Date)]
    from: String,
    #[schema(format = Date)]
    to: String,
    totals: Totals,
    /// Of yesterday, if today was asked for: up to this hour of the day, which is included.
    until_now: Option<Totals>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelUsage)]
struct ModelView {
    model: String,
    totals: Totals,
}

/// Usage over a time, those who used most, and usage over the time before. Reads a few fields for each day of both
/// times, and a record for each row.
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
    let now = app.ports.clock.now();
    let asked = AskedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
    let top = rows(query.top, MOST_OF_SUMMARY)?;
    let summary = app.ledger.summary(asked.span, top, now).await?;
    let previous = app.ledger.previous(asked.span, now).await?;
    Ok(Json(SummaryView {
        range: asked.range,
        from: asked.from(),
        to: asked.to(),
        previous: previous.map(|previous| PreviousView {
            from: previous.first.to_string(),
            to: previous.last.to_string(),
            totals: previous.totals,
            until_now: previous.until_now,
        }),
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
