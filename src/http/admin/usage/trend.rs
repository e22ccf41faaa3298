//! `/admin/usage/trend`: usage by hour, day or month.

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::span::days;
use super::{OfView, rows};
use crate::app::App;
use crate::model::money::Usd;
use crate::model::usage::Totals;
use crate::port::clock::Millis;
use crate::port::store::StoreError;
use crate::store::ledger::{DAY_DAYS, Group, HOUR_DAYS, Kind, MONTH_MONTHS, Unit, Window};

/// Default number of groups.
const GROUPS: u32 = 5;

/// A chart cannot show more distinctly.
const MOST_GROUPS: u32 = 12;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct TrendQuery {
    /// Default: day.
    #[param(inline)]
    unit: Option<Unit>,
    /// Number of points including the current one: up to 192 hours, 100 days or 36 months. Default: 24 hours, 30
    /// days or 12 months.
    #[param(minimum = 1, maximum = 192)]
    count: Option<u32>,
    /// First day, like `2026-01-31`, in place of `count`. Hours go back 8 days, days 100; for months, those of
    /// the days from `from` to `to`.
    from: Option<String>,
    /// Last day. Default: today.
    to: Option<String>,
    /// Also the usage of the most expensive ones; not together with `key`, `account` or `model`.
    #[param(inline)]
    group_by: Option<GroupBy>,
    /// Number of groups. Default: 5.
    #[param(minimum = 1, maximum = 12)]
    top: Option<u32>,
    /// Only this key, by id.
    key: Option<String>,
    /// Only this account, by id.
    account: Option<String>,
    /// Only this model.
    model: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GroupBy {
    Key,
    Account,
    Model,
}

/// Usage over time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageTrend)]
pub(in crate::http::admin) struct TrendView {
    unit: Unit,
    /// The operator's offset from UTC, which determines when days begin.
    utc_offset_minutes: i32,
    of: OfView,
    /// Oldest first; the last one is the current one. Points without calls are included.
    points: Vec<PointView>,
    /// The most expensive ones of the period, most expensive first; `null`: not requested. `points` covers all
    /// calls, so the rest is the difference.
    groups: Option<Vec<GroupView>>,
}

/// Usage of one of the most expensive ones. Each list has a figure for each point.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageGroup)]
struct GroupView {
    /// A key's or an account's id, or a model's name.
    id: String,
    /// `null`: it no longer exists.
    name: Option<String>,
    requests: Vec<u64>,
    errors: Vec<u64>,
    /// All token classes together.
    tokens: Vec<u64>,
    cost: Vec<Usd>,
}

impl GroupView {
    fn new(name: Option<String>, group: Group) -> Self {
        let figures = |of: fn(&Totals) -> u64| group.totals.iter().map(of).collect();
        Self {
            requests: figures(|totals| totals.requests),
            errors: figures(|totals| totals.errors),
            tokens: figures(|totals| totals.tokens.prompt().saturating_add(totals.tokens.output)),
            cost: group.totals.iter().map(|totals| totals.cost.into()).collect(),
            id: group.id,
            name,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePoint)]
struct PointView {
    /// `2026-01-31:09`, `2026-01-31` or `2026-01`, in the operator's time zone.
    label: String,
    totals: Totals,
}

/// Usage by hour, day or month; with `groupBy`, also of the most expensive ones. Reads a few fields for each
/// point and group, in two round trips, and a record for each group.
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
    let now = app.ports.clock.now();
    let unit = query.unit.unwrap_or(Unit::Day);
    let window = window(&app, unit, &query, now)?;
    let top = groups(&query)?;
    let of = OfView::read(&app, query.key, query.account, query.model).await?;
    let (points, groups) = match query.group_by {
        None => (app.ledger.series(of.scope(), unit, window, now).await?, None),
        Some(by) => {
            let kind = match by {
                GroupBy::Key => Kind::Keys,
                GroupBy::Account => Kind::Accounts,
                GroupBy::Model => Kind::Models,
            };
            let grouped = app.ledger.grouped(kind, top, unit, window, now).await?;
            let ids = grouped.groups.iter().map(|group| group.id.as_str());
            let names = try_join_all(ids.map(|id| name(&app, by, id))).await?;
            let groups = names.into_iter().zip(grouped.groups);
            let groups = groups.map(|(name, group)| GroupView::new(name, group));
            (grouped.points, Some(groups.collect()))
        }
    };
    let points = points.into_iter().map(|point| PointView {
        label: point.label,
        totals: point.totals,
    });
    Ok(Json(TrendView {
        unit,
        utc_offset_minutes: app.config.site.utc_offset_minutes,
        of,
        points: points.collect(),
        groups,
    }))
}

/// The requested points.
fn window(app: &App, unit: Unit, query: &TrendQuery, now: Millis) -> Result<Window, ApiError> {
    let (usual, most, name) = match unit {
        Unit::Hour => (24, 24 * HOUR_DAYS, "hours"),
        Unit::Day => (30, DAY_DAYS, "days"),
        Unit::Month => (12, MONTH_MONTHS, "months"),
    };
    if let Some((first, last)) = days(app, query.from.as_deref(), query.to.as_deref(), now)? {
        if query.count.is_some() {
            return Err(ApiError::invalid(
                "count",
                "`count` cannot be sent with `from` or `to`",
            ));
        }
        let earliest = app.ledger.calendar().day(now).before(HOUR_DAYS - 1);
        if unit == Unit::Hour && first < earliest {
            let message =
                format!("`from` must be {earliest} or later: sums by hour are kept for {HOUR_DAYS} days");
            return Err(ApiError::invalid("from", message));
        }
        return Ok(Window::Days { first, last });
    }
    let count = query.count.unwrap_or(usual);
    if !(1..=most).contains(&count) {
        let message = format!("`count` must be from 1 to {most} {name}");
        return Err(ApiError::invalid("count", message));
    }
    Ok(Window::Last(count))
}

/// The requested number of groups.
fn groups(query: &TrendQuery) -> Result<usize, ApiError> {
    if query.group_by.is_none() && query.top.is_some() {
        return Err(ApiError::invalid("top", "`top` can be sent with `groupBy` only"));
    }
    if query.group_by.is_some() && (query.key.is_some() || query.account.is_some() || query.model.is_some()) {
        let message = "`groupBy` cannot be sent with `key`, `account` or `model`";
        return Err(ApiError::invalid("groupBy", message));
    }
    rows(Some(query.top.unwrap_or(GROUPS)), MOST_GROUPS)
}

/// `None` if it no longer exists.
async fn name(app: &App, by: GroupBy, id: &str) -> Result<Option<String>, StoreError> {
    Ok(match by {
        GroupBy::Key => app.keys.get(id).await?.map(|key| key.name),
        GroupBy::Account => app.accounts.get(id).await?.map(|account| account.name),
        GroupBy::Model => Some(id.to_owned()),
    })
}
