//! New secrets for a key, and its permanent deletion.
//!
//! A gate is identified by the hash of its key's secret, so a new secret gets a new gate. The store decides which
//! secret is valid: the record and the index of hashes change in one step. Before that step the old gate is
//! notified to read the record again, so that it refuses the old secret even if this process ends right after the
//! step. The old gate's counts are transferred to the new one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crs_durable::gate;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::AdminSession;
use super::view::NewKeyView;
use crate::app::App;
use crate::model::key::Key;
use crate::port::gates::KeyHash;
use crate::store::api_keys::KeyChange;

/// Replaces a key's secret. Id, limits, bindings, history and spending stay. From then on the old secret is
/// refused, and its streams end: natively at once, on the edge with the next renewal of their leases. The
/// reservations of its running calls count as spent. Of two concurrent rotations one is refused. The new secret
/// is in this answer and is never shown again. Calls 2 gates.
#[utoipa::path(
    post, path = "/admin/api-keys/{id}/rotate", operation_id = "rotateApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = NewKeyView),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "`wrong_state`: the key is deleted; `changed_meanwhile`: somebody else rotated it at the same moment", body = ErrorBody<'_>),
        (status = 503, description = "The key's gate cannot be reached; nothing has changed", body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn rotate(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<NewKeyView>, ApiError> {
    let key = app.keys.get(&id).await?.ok_or_else(super::unknown)?;
    let old = hash_of(&key)?;
    app.ports.gates.gate(&old, gate::Command::Invalidate).await?;
    let issued = app.keyring.issue_key(&*app.ports.random);
    let now = app.ports.clock.now();
    let new = (issued.hash.hex(), issued.shown);
    let changed = app.keys.rotate(&id, &key.hash, (&new.0, &new.1), now).await?;
    if changed == KeyChange::Taken {
        return Err(ApiError::conflict(
            "changed_meanwhile",
            "Somebody else gave the key a new secret at the same moment. Rotate it again if you need one yourself.",
        ));
    }
    let key = super::done(changed, "The key is deleted: restore it first.")?;
    retire(&app, &old, &key).await;
    hand_over(&app, &old, &issued.hash, &key).await;
    session.audit("key.rotate", &id);
    let views = super::views(&app, std::slice::from_ref(&key)).await?;
    let view = views.into_iter().next().ok_or_else(super::unknown)?;
    Ok(Json(NewKeyView::new(view, &issued.plain)))
}

/// Deletes a key permanently, so that it cannot be restored. The key must be deleted already. The ledger keeps
/// its calls and sums under its id. Calls 1 gate.
#[utoipa::path(
    delete, path = "/admin/api-keys/{id}/permanent", operation_id = "purgeApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "The key is not deleted: delete it first", body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn purge(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    purged(&app, &id).await?;
    session.audit("key.purge", &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a deleted key and returns its record.
pub(super) async fn purged(app: &App, id: &str) -> Result<Key, ApiError> {
    let changed = app.keys.purge(id).await?;
    let key = super::done(changed, "The key is not deleted: delete it first.")?;
    if let Ok(hash) = hash_of(&key) {
        retire(app, &hash, &key).await;
    }
    Ok(key)
}

fn hash_of(key: &Key) -> Result<KeyHash, ApiError> {
    KeyHash::from_hex(&key.hash).ok_or_else(|| ApiError::internal("the key's stored hash is invalid"))
}

/// Notifies the gate of a former secret that no key has it any more, and ends its streams. `key`: the current or
/// last record.
async fn retire(app: &App, old: &KeyHash, key: &Key) {
    let mut policy = key.policy(app.config.site.utc_offset_minutes);
    policy.active = false;
    // First the new version, so that a concurrent reader with an older record cannot undo the deletion.
    for policy in [Some(policy.into()), None] {
        if let Err(error) = app.ports.gates.gate(old, gate::Command::Learn { policy }).await {
            // The gate will read the record again and find none.
            tracing::error!(key = %key.id, %error, "the gate of a former secret could not be notified");
        }
    }
    app.running.end_key(old);
}

/// Transfers the old gate's counts to the gate of the new secret.
async fn hand_over(app: &App, old: &KeyHash, new: &KeyHash, key: &Key) {
    let gates = &app.ports.gates;
    super::teach(app, key).await;
    let counted = match gates.gate(old, gate::Command::Snapshot).await {
        Ok(gate::Reply::Snapshot(snapshot)) => snapshot,
        Ok(_) => return,
        Err(error) => {
            tracing::error!(key = %key.id, %error, "a key's spending was not transferred: its new gate starts with the ledger's sums");
            return;
        }
    };
    if let Err(error) = gates.gate(new, gate::Command::Inherit(counted)).await {
        tracing::error!(key = %key.id, %error, "a key's spending was not transferred: its new gate starts with the ledger's sums");
    }
}
