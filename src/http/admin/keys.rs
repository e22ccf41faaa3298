//! `/admin/api-keys`: the client keys.
//!
//! | module | content |
//! | --- | --- |
//! | `input`, `rules`, `bindings` | the operator's input and its validation |
//! | `view`, `live` | a key as shown, with the state of its gate |
//! | `find`, `tags` | selection and order of a list; tags in use |
//! | `batch`, `create_many` | several keys at once |
//! | `secret` | new secrets, and permanent deletion |
//! | `reset` | resets of a key's spending |

pub(super) mod batch;
mod bindings;
pub(super) mod create_many;
mod find;
mod input;
pub(super) mod live;
pub(super) mod reset;
mod rules;
pub(super) mod secret;
pub(super) mod tags;
pub(super) mod view;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crs_durable::gate;
use futures_util::future::join_all;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, Params};
use super::list::{Page, Slice};
use crate::app::App;
use crate::model::key::Key;
use crate::model::secret::Secret;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::store::api_keys::KeyChange;
use crate::store::ledger::Kind;

use bindings::CheckedBindings;
use find::KeyQuery;
use input::{KeyInput, NewKeyInput};
use live::Live;
use view::{KeySums, KeyView, NewKeyView};

/// One page of the keys. Reads all keys once, and the ledger's figures once if sorted by them. On the edge, each
/// key shown costs one Durable Object call.
#[utoipa::path(
    get, path = "/admin/api-keys", operation_id = "listApiKeys", tag = "keys", security(("admin" = [])), params(KeyQuery),
    responses(
        (status = 200, body = Page<KeyView>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<KeyQuery>,
) -> Result<Json<Page<KeyView>>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    let page = slice.of(query.find(&app).await?);
    let views = views(&app, &page.items).await?;
    Ok(Json(page.showing(views)))
}

/// Creates a key. Its text is in this answer and is never shown again.
#[utoipa::path(
    post, path = "/admin/api-keys", operation_id = "createApiKey", tag = "keys", security(("admin" = [])), request_body = NewKeyInput,
    responses(
        (status = 201, body = NewKeyView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<KeyInput>,
) -> Result<(StatusCode, Json<NewKeyView>), ApiError> {
    if input.name.as_ref().is_none() {
        return Err(ApiError::missing("name"));
    }
    let bound = CheckedBindings::of(&app, input.bindings()).await?;
    let now = app.ports.clock.now();
    let (mut key, plain) = fresh(&app, now);
    rules::apply(&input, &bound, &mut key)?;
    if !app.keys.create(&key).await? {
        return Err(ApiError::internal("a fresh key's id or hash is taken"));
    }
    teach(&app, &key).await;
    session.audit("key.create", &key.id);
    let view = NewKeyView::new(
        KeyView::new(&key, now, Some(Live::default()), KeySums::default()),
        &plain,
    );
    Ok((StatusCode::CREATED, Json(view)))
}

/// A new key with its secret, not stored yet.
fn fresh(app: &App, now: Millis) -> (Key, Secret) {
    let issued = app.keyring.issue_key(&*app.ports.random);
    let key = Key {
        id: random::record_id(now, &*app.ports.random),
        hash: issued.hash.hex(),
        shown: issued.shown,
        version: 1,
        is_active: true,
        weekly_reset_day: 1,
        created_at: now,
        updated_at: now,
        ..Key::default()
    };
    (key, issued.plain)
}

/// One key.
#[utoipa::path(
    get, path = "/admin/api-keys/{id}", operation_id = "getApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    _: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let key = app.keys.get(&id).await?.ok_or_else(unknown)?;
    view(&app, key).await.map(Json)
}

/// Changes only the fields sent. Takes effect with the next call; running calls continue, but the streams of a
/// key that gets disabled end: natively at once, on the edge with the next renewal of their leases.
#[utoipa::path(
    patch, path = "/admin/api-keys/{id}", operation_id = "updateApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    request_body = KeyInput,
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "The key is deleted", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Input(input): Input<KeyInput>,
) -> Result<Json<KeyView>, ApiError> {
    let bound = CheckedBindings::of(&app, input.bindings()).await?;
    let now = app.ports.clock.now();
    let edit = |key: &mut Key| rules::apply(&input, &bound, key);
    let changed = app.keys.try_update(&id, now, edit).await??;
    let key = done(changed, "The key is deleted: restore it first.")?;
    teach(&app, &key).await;
    session.audit("key.update", &id);
    view(&app, key).await.map(Json)
}

/// Deletes a key; it can be restored. New calls are refused, and its streams end: natively at once, on the edge
/// with the next renewal of their leases.
#[utoipa::path(
    delete, path = "/admin/api-keys/{id}", operation_id = "deleteApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "The key is deleted already", body = ErrorBody<'_>),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let key = deleted(&app, &id).await?;
    session.audit("key.delete", &id);
    view(&app, key).await.map(Json)
}

/// Undoes a deletion: the same key works again.
#[utoipa::path(
    post, path = "/admin/api-keys/{id}/restore", operation_id = "restoreApiKey", tag = "keys", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = KeyView),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "The key is not deleted", body = ErrorBody<'_>),
    )
)]
pub(super) async fn restore(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let key = restored(&app, &id).await?;
    session.audit("key.restore", &id);
    view(&app, key).await.map(Json)
}

async fn deleted(app: &App, id: &str) -> Result<Key, ApiError> {
    let changed = app.keys.delete(id, app.ports.clock.now()).await?;
    let key = done(changed, "The key is deleted already.")?;
    teach(app, &key).await;
    Ok(key)
}

async fn restored(app: &App, id: &str) -> Result<Key, ApiError> {
    let changed = app.keys.restore(id, app.ports.clock.now()).await?;
    let key = done(changed, "The key is not deleted.")?;
    teach(app, &key).await;
    Ok(key)
}

fn done(changed: KeyChange, wrong_state: &str) -> Result<Key, ApiError> {
    match changed {
        KeyChange::Done(key) => Ok(*key),
        KeyChange::Unknown => Err(unknown()),
        KeyChange::WrongState => Err(ApiError::conflict("wrong_state", wrong_state)),
        KeyChange::Taken => Err(ApiError::conflict(
            "key_taken",
            "The same key was added again meanwhile, under another id.",
        )),
    }
}

fn unknown() -> ApiError {
    ApiError::not_found("key")
}

/// Sends the key's record to its gate, so that the next call is decided by it. A concurrent reader with an older
/// record cannot undo it, because its version is lower.
async fn teach(app: &App, key: &Key) {
    let Some(hash) = KeyHash::from_hex(&key.hash) else {
        tracing::error!(key = %key.id, "the key's stored hash is invalid");
        return;
    };
    let mut policy = key.policy(app.config.site.utc_offset_minutes);
    let mut commands = Vec::new();
    if key.deleted_at.is_some() {
        // First the new version, so that older records are refused; then the deletion.
        policy.active = false;
        commands.push(gate::Command::Learn { policy: None });
    }
    commands.insert(
        0,
        gate::Command::Learn {
            policy: Some(policy.into()),
        },
    );
    for command in commands {
        if let Err(error) = app.ports.gates.gate(&hash, command).await {
            // The change is stored; the gate sees it when its record expires.
            tracing::error!(key = %key.id, %error, "a change did not reach the key's gate");
        }
    }
    // After the gate, which already refuses new streams.
    if key.deleted_at.is_some() || !key.is_active {
        app.running.end_key(&hash);
    }
}

async fn view(app: &App, key: Key) -> Result<KeyView, ApiError> {
    let views = views(app, &[key]).await?;
    views.into_iter().next().ok_or_else(unknown)
}

/// Keys with their live state: running calls, last use and cost.
async fn views(app: &App, keys: &[Key]) -> Result<Vec<KeyView>, ApiError> {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let now = app.ports.clock.now();
    let last_used = app.ledger.last_used(Kind::Keys, &ids).await?;
    let costs = app.ledger.costs_of(Kind::Keys, &ids, now).await?;
    let live = join_all(keys.iter().map(|key| Live::of(app, key))).await;
    let used = last_used.into_iter().zip(costs);
    let used = used.map(|(last, (today, total))| KeySums { last, today, total });
    let views = keys.iter().zip(live).zip(used);
    Ok(views
        .map(|((key, live), used)| KeyView::new(key, now, live, used))
        .collect())
}
