//! `/admin/usage/latency` and `/admin/usage/failures`: durations and failures of calls.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::super::logged_error::LoggedError;
use super::OfView;
use super::span::RequestedSpan;
use crate::app::App;
use crate::store::ledger::{Failures, Percentiles, Range, Scope, WIDEST};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct LatencyQuery {
    /// In the operator's time zone. Default: today. For a key, an account or a model, `all` is the last 100 days.
    #[param(inline)]
    range: Option<Range>,
    /// First day, like `2026-01-31`, in place of `range`; within the last 100 days.
    from: Option<String>,
    /// Last day. Default: today.
    to: Option<String>,
    /// Only this key, by id.
    key: Option<String>,
    /// Only this account, by id.
    account: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// `true`: also day by day.
    series: Option<bool>,
}

/// Durations of calls, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Latency)]
pub(in crate::http::admin) struct LatencyView {
    /// `null`: days were requested.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    of: OfView,
    /// `false`: some calls of the period were counted by a version without these figures and are missing.
    complete: bool,
    /// From arrival to the first byte sent to the client, including the wait in a queue.
    first_byte: Percentiles,
    /// From arrival to the end.
    duration: Percentiles,
    /// Percentiles are interpolated between fixed bounds: the real value is at most this factor larger or
    /// smaller. Below 20 ms the error is at most 20 ms; above 10 minutes, 10 minutes is reported.
    error_factor: f64,
    /// Day by day, oldest first; `null`: not requested.
    points: Option<Vec<LatencyPointView>>,
}

/// Durations of one day's calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LatencyPoint)]
struct LatencyPointView {
    #[schema(format = Date)]
    label: String,
    first_byte: Percentiles,
    duration: Percentiles,
}

/// Durations of calls. Reads 42 fields for each day of the period; at most 100 days, in one round trip.
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
    let now = app.ports.clock.now();
    let asked = RequestedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
    let of = OfView::read(&app, query.key, query.account, query.model).await?;
    let times = app.ledger.times(of.scope(), asked.span, now).await?;
    let points = if query.series.unwrap_or(false) {
        let days = app.ledger.times_by_day(of.scope(), asked.span, now).await?;
        let points = days.into_iter().map(|day| LatencyPointView {
            label: day.label,
            first_byte: day.value.first_byte.percentiles(),
            duration: day.value.duration.percentiles(),
        });
        Some(points.collect())
    } else {
        None
    };
    let complete = match of.scope() {
        Scope::Model(_) => app.ledger.is_complete(asked.span, now).await?,
        _ => true,
    };
    Ok(Json(LatencyView {
        range: asked.range,
        from: asked.from(),
        to: asked.to(),
        of,
        complete,
        first_byte: times.first_byte.percentiles(),
        duration: times.duration.percentiles(),
        error_factor: WIDEST,
        points,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct FailuresQuery {
    /// In the operator's time zone. Default: today.
    #[param(inline)]
    range: Option<Range>,
    /// First day, like `2026-01-31`, in place of `range`; within the last 100 days.
    from: Option<String>,
    /// Last day. Default: today.
    to: Option<String>,
    /// Only this key, by id.
    key: Option<String>,
    /// Only this account, by id.
    account: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// `true`: also day by day.
    series: Option<bool>,
}

/// Failures of calls that reached a provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Failures)]
pub(in crate::http::admin) struct FailuresView {
    /// `null`: days were requested.
    range: Option<Range>,
    /// The first day in the operator's time zone; `null`: all time.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day.
    #[schema(format = Date)]
    to: Option<String>,
    of: OfView,
    /// `false`: some calls of the period were counted by a version without these figures and are missing.
    complete: bool,
    total: u64,
    /// Most frequent first.
    items: Vec<FailureView>,
    /// Day by day, oldest first; `null`: not requested.
    points: Option<Vec<FailurePointView>>,
}

/// Failures of one day's calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailurePoint)]
struct FailurePointView {
    #[schema(format = Date)]
    label: String,
    total: u64,
    items: Vec<FailureView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureCount)]
struct FailureView {
    /// As `error` in the request log. `status_<n>`: an error answer without a code; `other`: the provider's name
    /// for it is not a valid code.
    #[schema(value_type = LoggedError)]
    error: String,
    count: u64,
}

impl FailureView {
    fn of(failures: Vec<Failures>) -> (u64, Vec<Self>) {
        let total = failures.iter().map(|failures| failures.count).sum();
        let items = failures.into_iter().map(|failures| Self {
            error: failures.error,
            count: failures.count,
        });
        (total, items.collect())
    }
}

/// Number of failed calls by error code. A failed call without tokens has the model `(unserved)`, as in the
/// rankings, because its model's name is only the client's. Reads the codes of each day, and for a key, an
/// account or a model one field for each code.
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
    let now = app.ports.clock.now();
    let asked = RequestedSpan::read(&app, query.range, query.from.as_deref(), query.to.as_deref(), now)?;
    let of = OfView::read(&app, query.key, query.account, query.model).await?;
    let (total, items) = FailureView::of(app.ledger.failures(of.scope(), asked.span, now).await?);
    let points = if query.series.unwrap_or(false) {
        let days = app.ledger.failures_by_day(of.scope(), asked.span, now).await?;
        let points = days.into_iter().map(|day| {
            let (total, items) = FailureView::of(day.value);
            FailurePointView {
                label: day.label,
                total,
                items,
            }
        });
        Some(points.collect())
    } else {
        None
    };
    let complete = match of.scope() {
        Scope::Total => true,
        _ => app.ledger.is_complete(asked.span, now).await?,
    };
    Ok(Json(FailuresView {
        range: asked.range,
        from: asked.from(),
        to: asked.to(),
        of,
        complete,
        total,
        items,
        points,
    }))
}
