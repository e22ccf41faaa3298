//! `/admin/refusals`: calls that were refused before a provider was called.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Params};
use super::list::{Page, Slice};
use crate::app::App;
use crate::model::code::Code;
use crate::model::time::iso;
use crate::port::clock::Millis;
use crate::relay::refusal_writer;
use crate::store::refusals::RefusalRow;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RefusalQuery {
    /// Only this key, by id.
    key_id: Option<String>,
    /// Only this code, such as `cost_limited`.
    code: Option<String>,
    /// Counts from 1.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// Number of a key's calls refused with a code, today and yesterday in the operator's time zone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refusal)]
pub(super) struct RefusalView {
    /// `null`: the calls had no key of this relay, or more than 1,000 keys were refused within seconds.
    key_id: Option<String>,
    /// `null` if the key is deleted permanently.
    key_name: Option<String>,
    /// The code sent to the client.
    #[schema(value_type = Code)]
    code: String,
    today: u64,
    yesterday: u64,
    #[schema(format = DateTime)]
    last_at: String,
    /// `x-request-id` of the last one. It is not in the request log.
    last_request_id: String,
    /// The last message sent to the client, in English.
    last_message: String,
    /// When the client may try again, according to the last refusal; `null`: now, or waiting does not help.
    #[schema(format = DateTime)]
    next_allowed_at: Option<String>,
}

impl RefusalView {
    fn new(row: RefusalRow, names: &HashMap<String, String>, now: Millis) -> Self {
        let key_name = row.key_id.as_ref().and_then(|id| names.get(id).cloned());
        Self {
            key_name,
            next_allowed_at: row.next_allowed_at(now).map(iso),
            key_id: row.key_id,
            code: row.code,
            today: row.today,
            yesterday: row.yesterday,
            last_at: iso(row.last.at),
            last_request_id: row.last.request_id,
            last_message: row.last.message,
        }
    }
}

/// Calls that were refused before a provider was called (limits; unknown, disabled or expired keys; permissions,
/// clients, models, bodies; no account left), by key and code, latest first. `/admin/requests` has the calls that
/// reached a provider. Counts of this process are exact; those of others are up to 10 seconds old, and a killed
/// process loses that much. Two round trips of the store (three if there are counts to write): the counts of two
/// days, and the names of the keys shown. No Durable Object.
#[utoipa::path(
    get, path = "/admin/refusals", operation_id = "listRefusals", tag = "usage", security(("admin" = [])), params(RefusalQuery),
    responses(
        (status = 200, body = Page<RefusalView>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<RefusalQuery>,
) -> Result<Json<Page<RefusalView>>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    refusal_writer::write_logged(&app).await;
    let now = app.ports.clock.now();
    let mut rows = match &query.key_id {
        Some(key_id) => app.refusals.rows_of(key_id, now).await?,
        None => app.refusals.rows(now).await?,
    };
    rows.retain(|row| query.code.as_ref().is_none_or(|code| row.code == *code));
    let page = slice.of(rows);
    let mut ids: Vec<&str> = page
        .items
        .iter()
        .filter_map(|row| row.key_id.as_deref())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let keys = app.keys.some(&ids).await?;
    let names = keys.into_iter().map(|key| (key.id, key.name)).collect();
    let views = page
        .items
        .iter()
        .map(|row| RefusalView::new(row.clone(), &names, now));
    Ok(Json(page.showing(views.collect())))
}
