//! `/admin/usage/summary`: the usage of a period, with its rankings.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::span::RequestedSpan;
use super::{MOST_OF_SUMMARY, NamedView, named_accounts, named_keys, rows};
use crate::app::App;
use crate::model::usage::Totals;
use crate::store::ledger::Range;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct SummaryQuery {
    /// In the operator's time zone. Default: today.
    #[param(inline)]
    range: Option<Range>,
    /// First day, like `2026-01-31`, in place of `range`; within the last 100 days.
    from: Option<String>,
    /// Last day. Default: today.
    to: Option<String>,
    /// Number of keys, accounts and models. Default: 10.
    #[param(minimum = 1, maximum = 25)]
    top: Option<u32>,
}

/// The usage of a period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageSummary)]
pub(in crate::http::admin) struct SummaryView {
    /// `null`: days were requested.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    /// The operator's offset from UTC, which determines when days begin.
    utc_offset_minutes: i32,
    totals: Totals,
    /// The preceding period; `null`: it is not kept, or there is none.
    previous: Option<PreviousView>,
    /// Most expensive first, like the other two.
    keys: Vec<NamedView>,
    accounts: Vec<NamedView>,
    models: Vec<ModelView>,
}

/// Usage of the same number of days before, or of the preceding calendar month.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PreviousUsage)]
struct PreviousView {
    #[schema(format = Date)]
    from: String,
    #[schema(format = Date)]
    to: String,
    totals: Totals,
    /// For yesterday, if today was requested: up to and including the current hour.
    until_now: Option<Totals>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelUsage)]
struct ModelView {
    model: String,
    totals: Totals,
}

/// The usage of a period, with rankings and the preceding period. Reads a few fields for each day of both
/// periods, and a record for each row.
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
    let asked = RequestedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
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
