//! `/admin/requests`: the log of calls that reached a provider.

mod costs;
pub(super) mod csv;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Params};
use super::list::Slice;
use super::logged_error::LoggedError;
use crate::app::App;
use crate::model::account::Platform;
use crate::model::calendar::Day;
use crate::model::charge::{Charge, Item};
use crate::model::money::{MicroUsd, Usd};
use crate::model::time;
use crate::model::trace::CallTrace;
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::port::clock::Millis;
use crate::store::ledger::{Cursor, Filter};

use costs::CostsView;

/// Number of calls that page numbers can reach; cursors have no such limit.
const DEEPEST: usize = 5_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RequestQuery {
    /// `nextCursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Counts from 1; only for the first 5000 calls, not together with `cursor`.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
    key_id: Option<String>,
    account_id: Option<String>,
    model: Option<String>,
    /// The client's status.
    status: Option<u16>,
    /// Only calls whose answer was an error, or broke off.
    errors_only: Option<bool>,
    /// Only calls that ended with exactly this code.
    error: Option<String>,
    #[param(inline)]
    platform: Option<Platform>,
    /// Minimum duration, milliseconds.
    slower_than: Option<u64>,
    /// Minimum cost, USD.
    #[param(minimum = 0)]
    dearer_than: Option<f64>,
    /// Only calls of this conversation, see `session` of a call.
    session: Option<String>,
    /// Inclusive: ISO 8601, or a day in the operator's time zone.
    from: Option<String>,
    /// Exclusive; for a day, up to its end.
    to: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestPage {
    /// Newest first.
    items: Vec<RequestView>,
    page_size: u32,
    /// Cursor for the next page; `null`: there is none. With a filter that matches little, a page may be short
    /// and still have a cursor.
    next_cursor: Option<String>,
}

/// One call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Request)]
pub(super) struct RequestView {
    request_id: String,
    /// When the client's request arrived.
    #[schema(format = DateTime)]
    at: String,
    key_id: String,
    key_name: String,
    /// The account of the last attempt.
    account_id: String,
    account_name: String,
    platform: Platform,
    endpoint: String,
    /// The model named by the provider, or else the requested one.
    model: String,
    stream: bool,
    /// The client's status.
    status: u16,
    /// The failure, if there was one.
    #[schema(value_type = Option<LoggedError>)]
    error: Option<String>,
    /// The provider's message.
    detail: Option<String>,
    tokens: Tokens,
    /// Total cost: tokens and other charged items.
    cost: Usd,
    /// The part of the cost that is not for text tokens.
    charges: Vec<ChargeView>,
    price_version: String,
    quality: Quality,
    /// From arrival to the first byte sent to the client, in milliseconds.
    first_byte_ms: Option<u64>,
    /// From arrival to the end, in milliseconds.
    duration_ms: u64,
    /// Number of provider calls.
    attempts: u32,
    /// The client's `user-agent`.
    client: String,
    /// Identifies the call's conversation of its key: a hash, for the filter. `null`: it named none, or was
    /// logged by a version without this field.
    session: Option<String>,
}

/// A charged item besides text tokens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Charge)]
struct ChargeView {
    item: Item,
    /// Calls, sessions, images or tokens, depending on the item.
    count: u64,
    /// For all of them; included in the call's cost.
    cost: Usd,
    /// The price is unknown: the highest comparable one was charged.
    guessed: bool,
}

impl From<Charge> for ChargeView {
    fn from(charge: Charge) -> Self {
        Self {
            item: charge.item,
            count: charge.count,
            cost: charge.cost.into(),
            guessed: charge.guessed,
        }
    }
}

/// One call with its trace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedRequest)]
pub(super) struct TracedView {
    #[serde(flatten)]
    request: RequestView,
    /// `null`: unknown, for a call that was lost.
    trace: Option<CallTrace>,
    costs: CostsView,
}

impl From<LedgerEvent> for RequestView {
    fn from(event: LedgerEvent) -> Self {
        Self {
            request_id: event.request_id,
            at: time::iso(event.at),
            key_id: event.key_id,
            key_name: event.key_name,
            account_id: event.account_id,
            account_name: event.account_name,
            platform: event.platform,
            endpoint: event.endpoint,
            model: event.model,
            stream: event.stream,
            status: event.status,
            error: event.error,
            detail: event.detail,
            tokens: event.tokens,
            cost: event.cost.into(),
            charges: event.charges.into_iter().map(ChargeView::from).collect(),
            price_version: event.price_version,
            quality: event.quality,
            first_byte_ms: event.first_byte_ms,
            duration_ms: event.duration_ms,
            attempts: event.attempts,
            client: event.client,
            session: event.session,
        }
    }
}

/// The calls, newest first. Examines at most 5000 calls: with a filter that matches little, a page may be short
/// and have a cursor.
#[utoipa::path(
    get, path = "/admin/requests", operation_id = "listRequests", tag = "usage", security(("admin" = [])), params(RequestQuery),
    responses(
        (status = 200, body = RequestPage),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<RequestQuery>,
) -> Result<Json<RequestPage>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    let skip = slice.offset();
    if query.page.is_some() && query.cursor.is_some() {
        return Err(ApiError::invalid("page", "`page` cannot be sent with `cursor`"));
    }
    if skip.saturating_add(slice.size()) > DEEPEST {
        let message = format!("`page` reaches the first {DEEPEST} calls only: go on with `cursor`");
        return Err(ApiError::invalid("page", message));
    }
    let from = query.from.as_deref().map(|text| moment(&app, "from", text, 0));
    let to = query.to.as_deref().map(|text| moment(&app, "to", text, 1));
    let filter = Filter {
        key_id: query.key_id,
        account_id: query.account_id,
        model: query.model,
        status: query.status,
        errors_only: query.errors_only.unwrap_or(false),
        error: query.error,
        platform: query.platform,
        slower_than: query.slower_than,
        dearer_than: query.dearer_than.map(cost).transpose()?,
        session: query.session,
        from: from.transpose()?,
        to: to.transpose()?,
    };
    let now = app.ports.clock.now();
    let page = app
        .ledger
        .requests(&filter, query.cursor.as_ref(), skip + slice.size(), now)
        .await?;
    Ok(Json(RequestPage {
        items: page.items.into_iter().skip(skip).map(RequestView::from).collect(),
        page_size: slice.size() as u32,
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// An amount in the query, USD.
fn cost(usd: f64) -> Result<MicroUsd, ApiError> {
    if !(0.0..=1e9).contains(&usd) {
        let message = "`dearerThan` must be USD from 0 to 1000000000";
        return Err(ApiError::invalid("dearerThan", message));
    }
    Ok(MicroUsd((usd * 1e6).round() as u64))
}

/// A time in the query. A bare date is a day in the operator's time zone: its beginning, plus `days`.
fn moment(app: &App, field: &str, text: &str, days: u32) -> Result<Millis, ApiError> {
    if let Some(day) = Day::parse(text.trim()) {
        return Ok(app.ledger.calendar().start(day.after(days)));
    }
    time::parse_iso(text).ok_or_else(|| {
        let message =
            format!("`{field}` must be a moment like 2026-01-31T09:30:00Z, or a day like 2026-01-31");
        ApiError::invalid(field, message)
    })
}

/// One call by the `x-request-id` that its client received.
#[utoipa::path(
    get, path = "/admin/requests/{id}", operation_id = "getRequest", tag = "usage", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = TracedView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    _: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<TracedView>, ApiError> {
    let event = app.ledger.request(&id, app.ports.clock.now()).await?;
    let mut event = event.ok_or_else(|| ApiError::not_found("request in the log"))?;
    let trace = event.trace.take();
    Ok(Json(TracedView {
        costs: CostsView::of(&event, &app.prices()),
        request: event.into(),
        trace,
    }))
}
