//! What a key may ask about itself and the relay, in the shapes that CRS's users know.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use crs_durable::gate::Refusal;
use serde_json::{Value, json};

use super::client_key;
use crate::app::App;
use crate::error::Failure;
use crate::http::dialect;
use crate::model::key::Key;
use crate::model::{price, time};
use crate::port::random;
use crate::relay::admit;
use crate::relay::call::request_id;
use crate::store::ledger::{Range, Scope};

/// Somebody is there. Needs no key: Claude Code asks without one.
pub(super) async fn hello() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Claude Code's event reports end here.
pub(super) async fn events() -> Json<Value> {
    Json(json!({ "success": true }))
}

/// Models with a known price, in a shape that Anthropic's and OpenAI's clients both read.
pub(super) async fn models(State(app): State<App>, asked: Parts) -> Response<Body> {
    let key = who_asks(&app, &asked).await;
    told(&app, key.map(|key| model_list(&key)))
}

fn model_list(key: &Key) -> Value {
    let denied = |model: &str| {
        key.enable_model_restriction
            && key
                .restricted_models
                .iter()
                .any(|denied| denied.eq_ignore_ascii_case(model))
    };
    let mut names: Vec<&str> = price::models(price::Family::Claude)
        .filter(|model| !denied(model))
        .collect();
    names.sort_unstable();
    let data: Vec<Value> = names
        .iter()
        .map(|model| {
            json!({
                "type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z",
                "object": "model", "owned_by": "anthropic", "created": 0,
            })
        })
        .collect();
    json!({ "object": "list", "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last() })
}

pub(super) async fn me(State(app): State<App>, asked: Parts) -> Response<Body> {
    let key = who_asks(&app, &asked).await;
    told(
        &app,
        key.map(|key| {
            json!({
                "id": format!("user_{}", key.id),
                "type": "user",
                "display_name": key.name,
                "created_at": time::iso(key.created_at),
            })
        }),
    )
}

pub(super) async fn usage(State(app): State<App>, asked: Parts) -> Response<Body> {
    let answer = async {
        let key = who_asks(&app, &asked).await?;
        Ok(json!({
            "usage": used(&app, &key).await?,
            "limits": { "tokens": 0, "requests": 0 },
            "timestamp": time::iso(app.ports.clock.now()),
        }))
    };
    told(&app, answer.await)
}

pub(super) async fn key_info(State(app): State<App>, asked: Parts) -> Response<Body> {
    let answer = async {
        let key = who_asks(&app, &asked).await?;
        Ok(json!({
            "keyInfo": {
                "id": key.id,
                "name": key.name,
                "isActive": key.is_active,
                "expiresAt": key.expires_at.map(time::iso),
                "concurrencyLimit": key.concurrency_limit,
                "permissions": key.permissions,
                "tokenLimit": 0,
                "usage": used(&app, &key).await?,
            },
            "timestamp": time::iso(app.ports.clock.now()),
        }))
    };
    told(&app, answer.await)
}

async fn used(app: &App, key: &Key) -> Result<Value, Failure> {
    let totals = app
        .ledger
        .totals(&[Scope::Key(&key.id)], Range::All, app.ports.clock.now())
        .await
        .map_err(|away| Failure::relay_unavailable(&away))?;
    Ok(json!({ "total": totals.first() }))
}

/// The key that asks about itself. Such a call reaches no provider and takes no slot.
async fn who_asks(app: &App, asked: &Parts) -> Result<Key, Failure> {
    let hash = client_key::client_key(app, &asked.headers, asked.uri.query())?;
    let key = app
        .keys
        .by_hash(&hash)
        .await
        .map_err(|away| Failure::relay_unavailable(&away))?;
    let key = key.ok_or_else(|| admit::refused(&Refusal::UnknownKey))?;
    match key.expires_at {
        _ if !key.is_active => Err(admit::refused(&Refusal::Disabled)),
        Some(at) if at <= app.ports.clock.now() => Err(admit::refused(&Refusal::Expired { at })),
        _ => Ok(key),
    }
}

fn told(app: &App, answer: Result<Value, Failure>) -> Response<Body> {
    let id = request_id(random::call_id(app.ports.clock.now(), &*app.ports.random));
    match answer {
        Ok(value) => ([(dialect::X_REQUEST_ID, id)], Json(value)).into_response(),
        Err(failure) => {
            app.metrics.refused(failure.code);
            dialect::anthropic(&failure, &id)
        }
    }
}
