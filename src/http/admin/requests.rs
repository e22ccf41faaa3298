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

/// Deepest place that a page number reaches; a cursor goes on from anywhere.
const DEEPEST: usize = 5_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RequestQuery {
    /// `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Counts from 1; for the first 5000 calls, without `cursor`.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
    key_id: Option<String>,
    account_id: Option<String>,
    model: Option<String>,
    /// Status the client got.
    status: Option<u16>,
    /// Only calls whose answer was an error, or broke off.
    errors_only: Option<bool>,
    /// Only calls that ended with this code, exactly.
    error: Option<String>,
    #[param(inline)]
    platform: Option<Platform>,
    /// Only calls that took at least so many milliseconds.
    slower_than: Option<u64>,
    /// Only calls that cost at least so much, in USD.
    #[param(minimum = 0)]
    dearer_than: Option<f64>,
    /// Only calls of this conversation, by `session` of one of them.
    session: Option<String>,
    /// From this moment on: ISO 8601, or a day of the operator's time zone.
    from: Option<String>,
    /// Up to before this moment; of a day, up to its end.
    to: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestPage {
    /// Newest first.
    items: Vec<RequestView>,
    page_size: u32,
    /// Where to go on; `null`: there is no more. A filter that matches little may give a short page that
    /// goes on.
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
    /// The model the provider says it used, or else the one asked for.
    model: String,
    stream: bool,
    /// Status the client got.
    status: u16,
    /// The failure, if there was one.
    #[schema(value_type = Option<LoggedError>)]
    error: Option<String>,
    /// The provider's own words about it.
    detail: Option<String>,
    tokens: Tokens,
    /// Of everything: tokens, and what else has a price.
    cost: Usd,
    /// The part of the cost that is not for text tokens.
    charges: Vec<ChargeView>,
    price_version: String,
    quality: Quality,
    /// From arrival to the first byte sent to the client, in milliseconds.
    first_byte_ms: Option<u64>,
    /// From arrival to the end, in milliseconds.
    duration_ms: u64,
    /// Provider calls made.
    attempts: u32,
    /// The client's `user-agent`.
    client: String,
    /// Which conversation of its key the call belongs to: a hash, for the filter. `null`: it named none, or was logged
    /// by a version that did not keep it.
    session: Option<String>,
}

/// An item of a call's charge beside text tokens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Charge)]
struct ChargeView {
    item: Item,
    /// Calls, sessions, images, or tokens, as the item says.
    count: u64,
    /// Of all of them; part of the call's cost.
    cost: Usd,
    /// No price is known: the dearest comparable one was taken.
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

/// One call, and how it was served.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracedRequest)]
pub(super) struct TracedView {
    #[serde(flatten)]
    request: RequestView,
    /// `null`: it is not known, of a call that was lost.
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

/// The calls, newest first. Looks at 5000 calls at most: a filter that matches little gives a short page that goes on.
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

/// An amount of the query, in USD.
fn cost(usd: f64) -> Result<MicroUsd, ApiError> {
    if !(0.0..=1e9).contains(&usd) {
        let message = "`dearerThan` must be USD from 0 to 1000000000";
        return Err(ApiError::invalid("dearerThan", message));
    }
    Ok(MicroUsd((usd * 1e6).round() as u64))
}

/// A moment of the query. A bare date is a day of the operator's: its beginning, `days` later.
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

/// One call by the id that its client received as `x-request-id`.
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
