//! Forgiving what a key has spent.

use axum::Json;
use axum::extract::{Path, State};
use crs_durable::gate::{self, Spent};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, SMALL};
use super::view::KeyView;
use crate::app::App;
use crate::port::gates::KeyHash;
use crate::relay::admit::spent_before;

/// What to begin anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ResetInput {
    which: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SpendPeriod)]
enum Which {
    /// The window of `rateLimitWindow`: the next call begins a new one.
    Window,
    Day,
    Week,
    WeekOpus,
    Total,
    All,
}

impl From<Which> for Spent {
    fn from(which: Which) -> Self {
        match which {
            Which::Window => Self::Window,
            Which::Day => Self::Day,
            Which::Week => Self::Week,
            Which::WeekOpus => Self::WeekOpus,
            Which::Total => Self::Total,
            Which::All => Self::All,
        }
    }
}

/// Forgives what a key has spent, so that the limit begins at 0. The ledger keeps what was spent.
#[utoipa::path(
    post, path = "/admin/api-keys/{id}/reset-limits", operation_id = "resetApiKeyLimits", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    request_body = ResetInput,
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "The key is deleted", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn reset_limits(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Input(input): Input<ResetInput, SMALL>,
) -> Result<Json<KeyView>, ApiError> {
    let key = app.keys.get(&id).await?.ok_or_else(super::unknown)?;
    if key.deleted_at.is_some() {
        return Err(ApiError::conflict(
            "wrong_state",
            "The key is deleted: restore it first.",
        ));
    }
    let hash =
        KeyHash::from_hex(&key.hash).ok_or_else(|| ApiError::internal("the key's stored hash is no hash"))?;
    // The record says when days and weeks begin.
    super::teach(&app, &key).await;
    let subject = format!("key:{id}");
    app.audit.event("key.reset_limits", subject, &key.name).await?;
    let reset = || gate::Command::ResetSpend {
        which: input.which.into(),
    };
    if app.ports.gates.gate(&hash, reset()).await? == gate::Reply::NeedSpend {
        let spent = spent_before(&app, &key).await?;
        app.ports
            .gates
            .gate(&hash, gate::Command::SeedSpend(spent))
            .await?;
        app.ports.gates.gate(&hash, reset()).await?;
    }
    session.audit("key.resetLimits", &id);
    super::view(&app, key).await.map(Json)
}
