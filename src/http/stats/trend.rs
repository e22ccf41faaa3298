//! `user-trend`: a key's usage by hour, day or month. Not part of CRS.

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::{Answer, KeySelector, UsageView, find, read};
use crate::app::App;
use crate::store::ledger::{DAY_DAYS, HOUR_DAYS, MONTH_MONTHS, Scope, Unit, Window};

#[derive(Deserialize, ToSchema)]
#[schema(as = TrendStatsInput)]
pub(in crate::http) struct TrendInput {
    #[serde(flatten)]
    whose: KeySelector,
    /// Default: day.
    unit: Option<Unit>,
    /// Number of points including the current one: up to 192 hours, 100 days or 36 months. Default: 24 hours, 30
    /// days or 12 months.
    #[schema(minimum = 1, maximum = 192)]
    count: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TrendStats)]
pub(in crate::http) struct TrendView {
    unit: Unit,
    /// The operator's offset from UTC, which determines when days begin.
    utc_offset_minutes: i32,
    /// Oldest first; the last one is the current one.
    points: Vec<PointView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TrendStatsPoint)]
struct PointView {
    /// `2026-01-31:09`, `2026-01-31` or `2026-01`, in the operator's time zone.
    label: String,
    #[serde(flatten)]
    usage: UsageView,
}

/// A key's usage over time. Reads a few fields for each point.
#[utoipa::path(
    post, path = "/apiStats/api/user-trend", operation_id = "getKeyTrend", tag = "statistics", request_body = TrendInput,
    responses(
        (status = 200, body = Answer<TrendView>),
        (status = 400, description = "No key", body = ErrorBody<'_>),
        (status = 401, description = "Not a key, or one that is disabled or has expired", body = ErrorBody<'_>),
        (status = 403, description = "By id: the key is disabled or has expired", body = ErrorBody<'_>),
        (status = 404, description = "By id: there is no such key", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn user_trend(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Answer<TrendView>>, ApiError> {
    let (input, _) = read::<TrendInput>(&app, request).await?;
    let unit = input.unit.unwrap_or(Unit::Day);
    let (usual, most, name) = match unit {
        Unit::Hour => (24, 24 * HOUR_DAYS, "hours"),
        Unit::Day => (30, DAY_DAYS, "days"),
        Unit::Month => (12, MONTH_MONTHS, "months"),
    };
    let count = input.count.unwrap_or(usual);
    if !(1..=most).contains(&count) {
        let message = format!("`count` must be from 1 to {most} {name}");
        return Err(ApiError::invalid("count", message));
    }
    let key = find(&app, &input.whose).await?;
    let (scope, now) = (Scope::Key(&key.id), app.ports.clock.now());
    let points = app.ledger.series(scope, unit, Window::Last(count), now).await?;
    let points = points.into_iter().map(|point| PointView {
        label: point.label,
        usage: point.totals.into(),
    });
    Ok(Answer::of(TrendView {
        unit,
        utc_offset_minutes: app.config.site.utc_offset_minutes,
        points: points.collect(),
    }))
}
