//! `batch-stats`: the usage of several keys, separately and together.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::{Answer, UsageView, is_id, read, refusal, slow};
use crate::app::App;
use crate::model::key::Key;
use crate::model::usage::Totals;
use crate::store::brake::Source;
use crate::store::ledger::{Range, Scope};

/// Maximum number of keys per request, as in CRS.
const MOST: usize = 30;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchStatsInput)]
pub(in crate::http) struct BatchInput {
    /// Ids of keys. Unknown, disabled and expired keys are left out of the answer.
    #[schema(min_items = 1, max_items = 30)]
    api_ids: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchStats)]
pub(in crate::http) struct BatchView {
    aggregated: AggregatedView,
    individual: Vec<IndividualView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchStatsTotal)]
struct AggregatedView {
    /// Number of requested ids.
    total_keys: usize,
    /// Number of active keys among them.
    active_keys: usize,
    #[serde(flatten)]
    usage: PeriodsView,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BatchStatsKey)]
struct IndividualView {
    api_id: String,
    name: String,
    is_active: bool,
    #[serde(flatten)]
    usage: PeriodsView,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatsPeriods)]
struct PeriodsView {
    /// Of all time.
    usage: UsageView,
    /// Of today.
    daily_usage: UsageView,
    /// Of this calendar month.
    monthly_usage: UsageView,
}

/// Usage of several keys. Reads the keys in one round trip and their sums in three.
#[utoipa::path(
    post, path = "/apiStats/api/batch-stats", operation_id = "getBatchStats", tag = "statistics", request_body = BatchInput,
    responses(
        (status = 200, body = Answer<BatchView>),
        (status = 400, description = "No id, or more than 30", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn batch_stats(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Answer<BatchView>>, ApiError> {
    let (BatchInput { api_ids }, address) = read::<BatchInput>(&app, request).await?;
    let total_keys = api_ids.len();
    let keys = working(&app, api_ids, address).await?;

    let scopes: Vec<Scope<'_>> = keys.iter().map(|key| Scope::Key(&key.id)).collect();
    let now = app.ports.clock.now();
    let all = app.ledger.totals(&scopes, Range::All, now).await?;
    let today = app.ledger.totals(&scopes, Range::Today, now).await?;
    let month = app.ledger.totals(&scopes, Range::Month, now).await?;
    let periods = |all: Totals, today: Totals, month: Totals| PeriodsView {
        usage: all.into(),
        daily_usage: today.into(),
        monthly_usage: month.into(),
    };
    let aggregated = AggregatedView {
        total_keys,
        active_keys: keys.len(),
        usage: periods(sum(&all), sum(&today), sum(&month)),
    };
    let usages = all.into_iter().zip(today).zip(month);
    let individual = keys
        .into_iter()
        .zip(usages)
        .map(|(key, ((all, today), month))| IndividualView {
            api_id: key.id,
            name: key.name,
            is_active: true,
            usage: periods(all, today, month),
        });
    Ok(Answer::of(BatchView {
        aggregated,
        individual: individual.collect(),
    }))
}

/// The active keys with these ids. `address`: the caller's; each key counts as a request.
pub(super) async fn working(
    app: &App,
    mut ids: Vec<String>,
    address: Option<IpAddr>,
) -> Result<Vec<Key>, ApiError> {
    if ids.is_empty() || ids.len() > MOST {
        let message = format!("`apiIds` must be a list of 1 to {MOST} ids");
        let error = ApiError::new(StatusCode::BAD_REQUEST, "invalid_field", message);
        return Err(error.at("apiIds"));
    }
    ids.retain(|id| is_id(id));
    ids.sort_unstable();
    ids.dedup();
    // The request itself has been counted already.
    slow(
        app,
        Source::address(address),
        (ids.len() as u64).saturating_sub(1),
    )?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut keys: Vec<Key> = app.keys.some(&ids).await?;
    keys.retain(|key| key.deleted_at.is_none() && refusal(app, key).is_none());
    Ok(keys)
}

fn sum(parts: &[Totals]) -> Totals {
    let mut sum = Totals::default();
    for part in parts {
        sum += *part;
    }
    sum
}
