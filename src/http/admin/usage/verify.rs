//! `/admin/usage/verify`: compares a day's sums with its calls.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, SMALL};
use crate::app::App;
use crate::model::money::Usd;
use crate::store::ledger::Difference;

/// Maximum number of listed differences.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http::admin) struct VerifyInput {
    /// The day: 0 is today, as far as its calls are written; 1 is yesterday.
    days_ago: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LedgerVerified)]
pub(in crate::http::admin) struct VerifiedView {
    /// The day that was checked, in the operator's time zone.
    #[schema(format = Date)]
    day: String,
    /// Number of past days whose calls are kept and can be checked.
    days_kept: u32,
    /// Number of the day's calls in the log.
    events: u64,
    /// Number of sums that differ from the calls; 0: all agree.
    different: usize,
    /// The first 1000 of them.
    differences: Vec<DifferenceView>,
    /// `false`: some calls of the day were counted by a version without all of today's sums; those sums are not
    /// compared.
    complete: bool,
}

/// A sum that differs from the sum of its calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerDifference)]
struct DifferenceView {
    /// `<metric>:<scope>`, such as `cost:key:<id>`, or `failures:<error code>`.
    field: String,
    /// The stored sum.
    stored: Amount,
    /// The sum of the logged calls.
    events: Amount,
}

/// A count, or money for a `cost`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LedgerAmount)]
enum Amount {
    Count(u64),
    Money(Usd),
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        let money = difference.field.starts_with("cost:");
        let amount = |sum: u64| {
            if money {
                Amount::Money(sum.into())
            } else {
                Amount::Count(sum)
            }
        };
        Self {
            stored: amount(difference.stored),
            events: amount(difference.events),
            field: difference.field,
        }
    }
}

/// Compares a day's sums with its calls. Reads every call of that day.
#[utoipa::path(
    post, path = "/admin/usage/verify", operation_id = "verifyLedger", tag = "usage", security(("admin" = [])), request_body = VerifyInput,
    responses(
        (status = 200, body = VerifiedView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn verify(
    State(app): State<App>,
    _: AdminSession,
    Input(input): Input<VerifyInput, SMALL>,
) -> Result<Json<VerifiedView>, ApiError> {
    let days_kept = app.ledger.request_log_days();
    if input.days_ago > days_kept {
        let message = format!("`daysAgo` must be from 0 to {days_kept}: calls are kept that long");
        return Err(ApiError::invalid("daysAgo", message));
    }
    let today = app.ledger.calendar().day(app.ports.clock.now());
    let day = today.before(input.days_ago);
    let verified = app.ledger.verify(day).await?;
    let different = verified.differences.len();
    Ok(Json(VerifiedView {
        day: day.to_string(),
        days_kept,
        events: verified.events,
        different,
        complete: verified.complete,
        differences: verified
            .differences
            .into_iter()
            .take(MOST)
            .map(DifferenceView::from)
            .collect(),
    }))
}
