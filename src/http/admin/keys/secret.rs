//! A new secret for a key, and the end of a key for good.
//!
//! A key's gate is named by the hash of its secret, so a new secret has a new gate. The store decides which
//! secret is the key's: its record and the index of hashes change in one step. Before that step the old gate is
//! told to read the record again, so that it refuses the old secret even if this process ends right after the
//! step. What the old gate has counted goes on in the new one.

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

/// Gives a key a new secret. Id, limits, bindings, history and what is spent stay. The old secret is refused from
/// then on, and its streams end: natively at once, on the edge with the next renewal of their leases. What its
/// running calls had reserved counts as spent. Of two rotations at once one is refused. The new secret is in this
/// answer and nowhere else. Asks 2 gates.
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

/// Deletes a key for good: its record is gone, and it cannot be restored. Only for a key that is deleted already.
/// The ledger keeps its calls and sums under its id. Asks 1 gate.
#[utoipa::path(
    delete, path = "/admin/api-keys/{id}/permanent", operation_id = "purgeApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 204, description = "It is gone"),
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

/// Takes a deleted key away, and returns what it was.
pub(super) async fn purged(app: &App, id: &str) -> Result<Key, ApiError> {
    let changed = app.keys.purge(id).await?;
    let key = super::done(changed, "The key is not deleted: delete it first.")?;
    if let Ok(hash) = hash_of(&key) {
        retire(app, &hash, &key).await;
    }
    Ok(key)
}

fn hash_of(key: &Key) -> Result<KeyHash, ApiError> {
    KeyHash::from_hex(&key.hash).ok_or_else(|| ApiError::internal("the key's stored hash is no hash"))
}

/// Tells the gate of a secret that it is no key's any more, and ends its streams. `key`: the record as it is
/// stored now, or was stored last.
async fn retire(app: &App, old: &KeyHash, key: &Key) {
    let mut policy = key.policy(app.config.site.utc_offset_minutes);
    policy.active = false;
    // First the version, so that a reader that is still under way with an older record cannot undo it.
    for policy in [Some(policy.into()), None] {
        if let Err(error) = app.ports.gates.gate(old, gate::Command::Learn { policy }).await {
            // The gate reads the record again, and finds none.
            tracing::error!(key = %key.id, %error, "the gate of a former secret was not told");
        }
    }
    app.running.end_key(old);
}

/// Has the new secret's gate go on with what the old one's has counted.
async fn hand_over(app: &App, old: &KeyHash, new: &KeyHash, key: &Key) {
    let gates = &app.ports.gates;
    super::teach(app, key).await;
    let counted = match gates.gate(old, gate::Command::Snapshot).await {
        Ok(gate::Reply::Snapshot(snapshot)) => snapshot,
        Ok(_) => return,
        Err(error) => {
            tracing::error!(key = %key.id, %error, "what a key has spent begins with the ledger's sums");
            return;
        }
    };
    if let Err(error) = gates.gate(new, gate::Command::Inherit(counted)).await {
        tracing::error!(key = %key.id, %error, "what a key has spent begins with the ledger's sums");
    }
}
