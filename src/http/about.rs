//! Endpoints where a key asks about itself and the relay, in CRS's format.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::routing::{self, MethodRouter};
use crs_durable::gate::{KeyPolicy, Refusal, Service};
use serde_json::{Value, json};

use super::client_key;
use super::dialect::{OnlyThese as _, X_REQUEST_ID, refuse};
use crate::app::App;
use crate::dialect::Dialect;
use crate::dialect::call::request_id;
use crate::error::Failure;
use crate::model::key::Key;
use crate::model::name::canonical;
use crate::model::price::{self, Family};
use crate::model::route::{Client, Route};
use crate::model::time;
use crate::port::random;
use crate::relay::failures;
use crate::store::ledger::{Range, Scope};

/// A liveness check of Claude Code, which sends no key.
pub(super) async fn hello() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Accepts and drops Claude Code's event reports.
pub(super) async fn events() -> Json<Value> {
    Json(json!({ "success": true }))
}

/// Answers a key from the relay's own state. `answer` receives the path.
pub(super) fn get(
    dialect: &'static dyn Dialect,
    answer: impl Fn(&App, &str, Key) -> Result<Value, Failure> + Clone + Send + Sync + 'static,
) -> MethodRouter<App> {
    routing::get(move |State(app): State<App>, asked: Parts| async move {
        answered(&app, dialect, &asked, answer).await
    })
    .only_these(dialect)
}

/// Like [`get`], for handlers that determine the protocol per request.
pub(super) async fn answered(
    app: &App,
    dialect: &'static dyn Dialect,
    asked: &Parts,
    answer: impl Fn(&App, &str, Key) -> Result<Value, Failure>,
) -> Response<Body> {
    let answer = who_asks(app, asked)
        .await
        .and_then(|key| answer(app, asked.uri.path(), key));
    tell(app, dialect, answer)
}

/// Names of models with a known price that the key may use.
pub(super) fn names(key: &Key, family: Family) -> Result<Vec<&'static str>, Failure> {
    let service = match family {
        Family::Claude => Service::Claude,
        Family::OpenAi => Service::OpenAi,
        Family::Gemini => Service::Gemini,
    };
    // The time zone does not matter here.
    let policy = key.policy(0);
    if !policy.serves(service) {
        return Err(failures::of_gate(&Refusal::NotPermitted { service }, 0));
    }
    Ok(permitted(&policy, price::models(family)))
}

/// Like [`names`], plus the models that routes (those for all keys and the key's own) list by exact name, so that
/// clients find the operator's aliases.
pub(super) fn routed_names(
    app: &App,
    key: &Key,
    family: Family,
    client: Client,
) -> Result<Vec<String>, Failure> {
    let of_all = app.routes();
    let routes = key.routes.iter().chain(of_all.iter());
    let ours = routes.filter(|route| route.client.is_none_or(|only| only == client));
    let aliases: Vec<&str> = ours.filter_map(Route::one_model).collect();
    let policy = key.policy(0);
    let mut all: Vec<String> = match names(key, family) {
        Ok(names) => names.into_iter().map(str::to_owned).collect(),
        // The key may use other platforms by its routes.
        Err(_) if !aliases.is_empty() => Vec::new(),
        Err(failure) => return Err(failure),
    };
    all.extend(
        permitted(&policy, aliases.into_iter())
            .into_iter()
            .map(str::to_owned),
    );
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The models that the key may use.
pub(super) fn permitted<'a>(policy: &KeyPolicy, models: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = models
        .filter(|model| !policy.denies(model, Some(&canonical(model))))
        .collect();
    names.sort_unstable();
    names
}

/// A list of models in a format that Anthropic's and OpenAI's clients both accept.
pub(super) fn list<N: AsRef<str>>(names: &[N], owner: &str) -> Value {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let data: Vec<Value> = names
        .iter()
        .map(|model| {
            json!({
                "type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z",
                "object": "model", "owned_by": owner, "created": 0,
            })
        })
        .collect();
    json!({ "object": "list", "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last() })
}

pub(super) fn me(dialect: &'static dyn Dialect) -> MethodRouter<App> {
    get(dialect, |_, _, key| {
        Ok(json!({
            "id": format!("user_{}", key.id),
            "type": "user",
            "display_name": key.name,
            "created_at": time::iso(key.created_at),
        }))
    })
}

pub(super) fn usage(dialect: &'static dyn Dialect) -> MethodRouter<App> {
    routing::get(move |State(app): State<App>, asked: Parts| async move {
        let answer = async {
            let key = who_asks(&app, &asked).await?;
            Ok(json!({
                "usage": used(&app, &key).await?,
                "limits": { "tokens": key.token_limit, "requests": key.rate_limit_requests },
                "timestamp": time::iso(app.ports.clock.now()),
            }))
        };
        tell(&app, dialect, answer.await)
    })
    .only_these(dialect)
}

pub(super) fn key_info(dialect: &'static dyn Dialect) -> MethodRouter<App> {
    routing::get(move |State(app): State<App>, asked: Parts| async move {
        let answer = async {
            let key = who_asks(&app, &asked).await?;
            Ok(json!({
                "keyInfo": {
                    "id": key.id,
                    "name": key.name,
                    "isActive": key.is_active,
                    "expiresAt": key.ends_at(key.activated_at).map(time::iso),
                    "concurrencyLimit": key.concurrency_limit,
                    "permissions": key.permissions,
                    "tokenLimit": key.token_limit,
                    "usage": used(&app, &key).await?,
                },
                "timestamp": time::iso(app.ports.clock.now()),
            }))
        };
        tell(&app, dialect, answer.await)
    })
    .only_these(dialect)
}

async fn used(app: &App, key: &Key) -> Result<Value, Failure> {
    let totals = app
        .ledger
        .totals(&[Scope::Key(&key.id)], Range::All, app.ports.clock.now())
        .await
        .map_err(Failure::relay_unreachable)?;
    Ok(json!({ "total": totals.first() }))
}

/// The key of the request. Such a request reaches no provider and takes no slot.
pub(super) async fn who_asks(app: &App, asked: &Parts) -> Result<Key, Failure> {
    let hash = client_key::client_key(app, &asked.headers, asked.uri.query())?;
    let key = app
        .keys
        .by_hash(&hash)
        .await
        .map_err(Failure::relay_unreachable)?;
    let key = key.ok_or_else(|| failures::of_gate(&Refusal::UnknownKey, 0))?;
    match key.ends_at(key.activated_at) {
        _ if !key.is_active => Err(failures::of_gate(&Refusal::Disabled, 0)),
        Some(at) if at <= app.ports.clock.now() => Err(failures::of_gate(&Refusal::Expired { at }, at)),
        _ => Ok(key),
    }
}

pub(super) fn tell(app: &App, dialect: &dyn Dialect, answer: Result<Value, Failure>) -> Response<Body> {
    let id = request_id(random::call_id(app.ports.clock.now(), &*app.ports.random));
    match answer {
        Ok(value) => ([(X_REQUEST_ID, id)], Json(value)).into_response(),
        Err(failure) => refuse(app, dialect, &failure, &id),
    }
}
