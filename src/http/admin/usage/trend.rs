//! `/admin/usage/trend`: what was used hour by hour, day by day or month by month.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::OfView;
use crate::app::App;
use crate::model::usage::Totals;
use crate::store::ledger::{DAY_DAYS, HOUR_DAYS, MONTH_MONTHS, Unit};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct TrendQuery {
    /// Day if left out.
    #[param(inline)]
    unit: Option<Unit>,
    /// How many, the current one included: up to 192 hours, 100 days or 36 months. 24 hours, 30 days or
    /// 12 months if left out.
    #[param(minimum = 1, maximum = 192)]
    count: Option<u32>,
    /// Of this key only, by id.
    key: Option<String>,
    /// Of this account only, by id.
    account: Option<String>,
    /// Of this model only.
    model: Option<String>,
}

/// What was used over a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageTrend)]
pub(in crate::http::admin) struct TrendView {
    unit: Unit,
    /// What the operator's clocks are ahead of UTC; rules where a day begins.
    utc_offset_minutes: i32,
    of: OfView,
    /// Oldest first; the last one is the current one. Those without calls are there too.
    points: Vec<PointView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePoint)]
struct PointView {
    /// `2026-01-31:09`, `2026-01-31` or `2026-01`, in the operator's time zone.
    label: String,
    totals: Totals,
}

/// What was used hour by hour, day by day or month by month.
#[utoipa::path(
    get, path = "/admin/usage/trend", operation_id = "getUsageTrend", tag = "usage", security(("admin" = [])), params(TrendQuery),
    responses(
        (status = 200, body = TrendView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn trend(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<TrendQuery>,
) -> Result<Json<TrendView>, ApiError> {
    let unit = query.unit.unwrap_or(Unit::Day);
    let (usual, most, name) = match unit {
        Unit::Hour => (24, 24 * HOUR_DAYS, "hours"),
        Unit::Day => (30, DAY_DAYS, "days"),
        Unit::Month => (12, MONTH_MONTHS, "months"),
    };
    let count = query.count.unwrap_or(usual);
    if !(1..=most).contains(&count) {
        let message = format!("`count` must be from 1 to {most} {name}");
        return Err(ApiError::invalid("count", message));
    }
    let of = OfView::read(&app, query.key, query.account, query.model).await?;
    let now = app.ports.clock.now();
    let points = app.ledger.series(of.scope(), unit, count, now).await?;
    let points = points.into_iter().map(|point| PointView {
        label: point.label,
        totals: point.totals,
    });
    Ok(Json(TrendView {
        unit,
        utc_offset_minutes: app.config.site.utc_offset_minutes,
        of,
        points: points.collect(),
    }))
}
