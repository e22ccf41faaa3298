//! `/web/auth/sessions`: lists the active sessions, and ends one of them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::AdminSession;
use crate::app::App;
use crate::model::time::iso;
use crate::port::clock::Millis;

const MOST: usize = 100;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionList)]
pub(in super::super) struct SessionsView {
    /// Most recently used first; at most 100.
    items: Vec<SessionView>,
    /// There are more, used less recently.
    more: bool,
}

/// An active session. Its id is not secret, because no token can be derived from it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AdminSession)]
struct SessionView {
    id: String,
    #[schema(format = DateTime)]
    begun_at: String,
    /// With a resolution of five minutes.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// When it ends regardless of renewals.
    #[schema(format = DateTime)]
    ends_at: String,
    /// Where it began; `null`: unknown, or the relay's own machine.
    address: Option<String>,
    /// The session of this request.
    current: bool,
}

/// The admin's active sessions. Two reads of the store, O(sessions shown); no Durable Object.
#[utoipa::path(
    get, path = "/web/auth/sessions", operation_id = "listSessions", tag = "session", security(("admin" = [])),
    responses(
        (status = 200, body = SessionsView),
        (status = 401, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn list(
    State(app): State<App>,
    session: AdminSession,
) -> Result<Json<SessionsView>, ApiError> {
    let own = session.ends.map(|ends| ends.id);
    let now = app.ports.clock.now();
    let (listed, more) = app.admins.sessions(MOST, now).await?;
    // The setting may have been lowered since the session began.
    let longest = app.config.admin.session_max.as_millis() as Millis;
    let items = listed.into_iter().filter_map(|listed| {
        let ends_at = listed.ends_at.min(listed.begun_at.saturating_add(longest));
        (ends_at > now).then(|| SessionView {
            begun_at: iso(listed.begun_at),
            last_seen_at: iso(listed.seen_at),
            ends_at: iso(ends_at),
            address: listed.address.map(|address| address.to_string()),
            current: own.as_ref() == Some(&listed.id),
            id: listed.id,
        })
    });
    Ok(Json(SessionsView {
        items: items.collect(),
        more,
    }))
}

/// Ends one session and invalidates its tokens on all hosts. Ending the own session is a logout. One read and one
/// write of the store; no Durable Object.
#[utoipa::path(
    delete, path = "/web/auth/sessions/{id}", operation_id = "endSession", tag = "session", security(("admin" = [])),
    params(("id" = String, Path,)),
    responses(
        (status = 204),
        (status = 401, body = ErrorBody<'_>),
        (status = 404, description = "There is no such session, or it has ended", body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn end(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !app.admins.end_listed(&id, app.ports.clock.now()).await? {
        return Err(ApiError::not_found("session"));
    }
    session.audit("session.end", &id);
    Ok(StatusCode::NO_CONTENT)
}
