//! Resets of a key's spending.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path, State};
use crs_durable::gate::{self, MoneyLimit, ResetScope};
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, SMALL};
use super::super::super::money_limits::one_of;
use super::view::KeyView;
use crate::app::App;
use crate::port::gates::KeyHash;
use crate::relay::admit::spent_before;

/// The sums to reset.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ResetInput {
    which: ResetTarget,
}

/// `window` (the window of `rateLimitWindow`; the next call begins a new one), `all`, or the spending of one
/// limit.
#[derive(Clone, Copy, Debug)]
struct ResetTarget(ResetScope);

const WINDOW: &str = "window";
const ALL: &str = "all";

/// All names in display order.
fn names() -> impl Iterator<Item = &'static str> {
    let sums = MoneyLimit::ALL.into_iter().map(|limit| limit.row().sum);
    std::iter::once(WINDOW).chain(sums).chain([ALL])
}

impl<'de> Deserialize<'de> for ResetTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.as_str() {
            WINDOW => Ok(Self(ResetScope::Window)),
            ALL => Ok(Self(ResetScope::All)),
            sum => match MoneyLimit::find(sum, |row| row.sum) {
                Some(limit) => Ok(Self(ResetScope::Money(limit))),
                None => {
                    let expected = format!("one of `{}`", names().collect::<Vec<_>>().join("`, `"));
                    Err(D::Error::invalid_value(Unexpected::Str(sum), &expected.as_str()))
                }
            },
        }
    }
}

impl PartialSchema for ResetTarget {
    fn schema() -> RefOr<Schema> {
        one_of(names())
    }
}

impl ToSchema for ResetTarget {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("SpendPeriod")
    }
}

/// Resets a key's spending, so that the limit starts at 0. The ledger keeps the sums.
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
        KeyHash::from_hex(&key.hash).ok_or_else(|| ApiError::internal("the key's stored hash is invalid"))?;
    // The record determines when days and weeks begin.
    super::teach(&app, &key).await;
    let subject = format!("key:{id}");
    app.audit.event("key.reset_limits", subject, &key.name).await?;
    let reset = || gate::Command::ResetSpend { which: input.which.0 };
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
