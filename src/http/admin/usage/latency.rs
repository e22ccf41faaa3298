//! `/admin/usage/latency` and `/admin/usage/failures`: how fast calls were, and how they failed.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::OfView;
use crate::app::App;
use crate::store::ledger::{Percentiles, Range, WIDEST};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct LatencyQuery {
    /// In the operator's time zone; today if left out. Of a key or an account, `all` is the last 100 days.
    #[param(inline)]
    range: Option<Range>,
    /// Of this key only, by id.
    key: Option<String>,
    /// Of this account only, by id.
    account: Option<String>,
}

/// How long calls took, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Latency)]
pub(in crate::http::admin) struct LatencyView {
    range: Range,
    of: OfView,
    /// From arrival to the first byte sent to the client, waiting in a queue included.
    first_byte: Percentiles,
    /// From arrival to the end.
    duration: Percentiles,
    /// Percentiles are interpolated between fixed bounds: a true one is at most so many times larger or
    /// smaller. Below 20 ms they are off by at most those; above 10 minutes they say 10 minutes.
    error_factor: f64,
}

/// How long calls took.
#[utoipa::path(
    get, path = "/admin/usage/latency", operation_id = "getLatency", tag = "usage", security(("admin" = [])), params(LatencyQuery),
    responses(
        (status = 200, body = LatencyView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn latency(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<LatencyQuery>,
) -> Result<Json<LatencyView>, ApiError> {
    let range = query.range.unwrap_or(Range::Today);
    let of = OfView::read(&app, query.key, query.account, None).await?;
    let times = app.ledger.times(of.scope(), range, app.ports.clock.now()).await?;
    Ok(Json(LatencyView {
        range,
        of,
        first_byte: times.first_byte.percentiles(),
        duration: times.duration.percentiles(),
        error_factor: WIDEST,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct FailuresQuery {
    /// In the operator's time zone; today if left out.
    #[param(inline)]
    range: Option<Range>,
}

/// How calls that reached a provider failed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Failures)]
pub(in crate::http::admin) struct FailuresView {
    range: Range,
    total: u64,
    /// The most frequent first.
    items: Vec<FailureView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureCount)]
struct FailureView {
    /// As `error` in the request log. `status_<n>`: the answer was an error without a code; `other`: the
    /// provider named it in a way that is no code.
    error: String,
    count: u64,
}

/// How many calls failed, by error code.
#[utoipa::path(
    get, path = "/admin/usage/failures", operation_id = "getFailures", tag = "usage", security(("admin" = [])), params(FailuresQuery),
    responses(
        (status = 200, body = FailuresView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn failures(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<FailuresQuery>,
) -> Result<Json<FailuresView>, ApiError> {
    let range = query.range.unwrap_or(Range::Today);
    let failures = app.ledger.failures(range, app.ports.clock.now()).await?;
    let items = failures.into_iter().map(|failures| FailureView {
        error: failures.error,
        count: failures.count,
    });
    let items: Vec<FailureView> = items.collect();
    Ok(Json(FailuresView {
        range,
        total: items.iter().map(|item| item.count).sum(),
        items,
    }))
}
