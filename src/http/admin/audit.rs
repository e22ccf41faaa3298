//! `/admin/audit`: who changed what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Params};
use crate::app::App;
use crate::model::time::{iso, parse_iso};
use crate::port::clock::Millis;
use crate::store::audit::{AuditFilter, AuditPosition, Entry, FieldChange};

const MOST: u32 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Default: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `key:<id>`, `account:<id>`, `group:<id>`, `session:<id>`, `platform:<name>`, `prices`, `site` or `admin`.
    subject: Option<String>,
    /// The admin's name, `local`, `system` or `stranger`.
    actor: Option<String>,
    action: Option<String>,
    /// Inclusive, ISO 8601.
    from: Option<String>,
    /// Exclusive, ISO 8601.
    to: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditList {
    /// Newest first.
    items: Vec<AuditEntry>,
    /// Cursor for the next page; `null`: there is none. With a filter that matches little, a page may be short
    /// and still have a cursor.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditEntry {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// The admin's name, `local` (command line), `system` (the relay's start) or `stranger` (refused logins).
    actor: String,
    /// For refused logins, the network. `null`: the relay's own machine, or unknown.
    address: Option<String>,
    action: String,
    subject: String,
    /// The subject's name at that time.
    name: String,
    /// Above 1 for refused logins of one network within a quarter of an hour: at least this many.
    count: u64,
    request_id: Option<String>,
    changes: Vec<AuditChange>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AuditChange {
    field: String,
    /// `null`: no value. Amounts are in USD, times ISO 8601, long values shortened.
    from: Value,
    to: Value,
    /// It changed; its values are not stored here.
    secret: bool,
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: iso(entry.at),
            actor: entry.by.actor,
            address: entry.by.address.map(|address| address.to_string()),
            action: entry.action,
            subject: entry.subject,
            name: entry.name,
            count: entry.count,
            request_id: entry.by.request_id,
            changes: entry.changes.into_iter().map(AuditChange::from).collect(),
        }
    }
}

impl From<FieldChange> for AuditChange {
    fn from(change: FieldChange) -> Self {
        Self {
            field: change.field,
            from: change.from,
            to: change.to,
            secret: change.secret,
        }
    }
}

/// The audit log, newest first. Kept for `AUDIT_LOG_DAYS`. Reads the entries shown and those that the filter
/// skips (at most about 1,000 per request), in one round trip of the store for each month; no Durable Object.
#[utoipa::path(
    get, path = "/admin/audit", operation_id = "listAudit", tag = "site", security(("admin" = [])), params(AuditQuery),
    responses(
        (status = 200, body = AuditList),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    let limit = query.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::invalid(
            "limit",
            format!("`limit` must be from 1 to {MOST}"),
        ));
    }
    let after = match query.cursor.as_deref().map(str::parse::<AuditPosition>) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(())) => {
            return Err(ApiError::invalid(
                "cursor",
                "`cursor` must be the `nextCursor` of a page".to_owned(),
            ));
        }
    };
    let filter = AuditFilter {
        subject: query.subject,
        actor: query.actor,
        action: query.action,
        from: moment("from", query.from)?,
        to: moment("to", query.to)?,
    };
    let page = app.audit.read(&filter, after, limit as usize).await?;
    Ok(Json(AuditList {
        items: page.entries.into_iter().map(AuditEntry::from).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

fn moment(field: &str, sent: Option<String>) -> Result<Option<Millis>, ApiError> {
    let Some(sent) = sent else {
        return Ok(None);
    };
    let at = parse_iso(&sent);
    at.map(Some)
        .ok_or_else(|| ApiError::invalid(field, format!("`{field}` must be a moment in ISO 8601")))
}
