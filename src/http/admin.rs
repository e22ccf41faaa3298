//! The control plane: `/web/auth`, `/admin`, `/health`, `/metrics`, and `/openapi.json`, which describes them.
//!
//! | module | endpoints |
//! | --- | --- |
//! | `keys` | `/admin/api-keys` |
//! | `accounts`, `groups` | `/admin/accounts`, `/admin/account-groups` |
//! | `concurrency` | slots in use |
//! | `overview`, `usage` | figures: now, and over time |
//! | `requests`, `refusals`, `audit` | logs of calls, refused calls and changes |
//! | `models`, `prices`, `routes`, `settings`, `oem` | models, the operator's prices, model routes for all keys, settings, branding |
//!
//! | module | shared code |
//! | --- | --- |
//! | `envelope` | request ids, uniform errors, no caching |
//! | `fields`, `list`, `batch` | input fields, pages of lists, changes of many records |
//! | `logged_error` | schema of an error in the request log |
//! | `description`, `described` | `/openapi.json`, and its generator |

mod accounts;
mod audit;
#[cfg(not(target_arch = "wasm32"))]
mod backups;
#[cfg(target_arch = "wasm32")]
#[path = "admin/backups/elsewhere.rs"]
mod backups;
mod batch;
mod concurrency;
#[cfg(not(target_arch = "wasm32"))]
mod description;
#[cfg(target_arch = "wasm32")]
#[path = "admin/description/elsewhere.rs"]
mod description;
mod envelope;
mod fields;
mod groups;
mod keys;
mod list;
mod logged_error;
mod models;
mod oem;
mod overview;
mod prices;
mod refusals;
mod requests;
mod routes;
mod settings;
mod usage;

use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post};
use http::Method;
use http::header::{self, HeaderValue};
use tower_http::cors::CorsLayer;

use super::api_error::ApiError;
use super::{login, ops, stats};
use crate::app::App;
use crate::config::Config;
use crate::relay::headers::X_REQUEST_ID;

/// All routes of the control plane; `described` must list the same ones.
fn routes() -> Router<App> {
    Router::new()
        .route("/web/auth/login", post(login::login))
        .route("/web/auth/logout", post(login::logout))
        .route("/web/auth/refresh", post(login::refresh))
        .route("/web/auth/user", get(login::user))
        .route("/web/auth/sessions", get(login::list::list))
        .route("/web/auth/sessions/{id}", delete(login::list::end))
        .route("/web/auth/login-link", post(login::link::login_with_ticket))
        .route("/web/auth/login-tickets", post(login::link::make_ticket))
        .route(
            "/web/auth/change-password",
            post(login::password::change_password),
        )
        .route("/web/auth/reset-password", post(login::password::reset_password))
        .route("/admin/api-keys", get(keys::list).post(keys::create))
        .route("/admin/api-keys/batch", post(keys::batch::batch))
        .route(
            "/admin/api-keys/create-many",
            post(keys::create_many::create_many),
        )
        .route("/admin/api-keys/tags", get(keys::tags::tags))
        .route("/admin/api-keys/{id}/rotate", post(keys::secret::rotate))
        .route("/admin/api-keys/{id}/permanent", delete(keys::secret::purge))
        .route(
            "/admin/api-keys/{id}",
            get(keys::get).patch(keys::change).delete(keys::delete),
        )
        .route("/admin/api-keys/{id}/restore", post(keys::restore))
        .route(
            "/admin/api-keys/{id}/reset-limits",
            post(keys::reset::reset_limits),
        )
        .route("/admin/accounts", get(accounts::list).post(accounts::create))
        .route("/admin/accounts/batch", post(accounts::batch::batch))
        .route("/admin/accounts/oauth/start", post(accounts::sign_in::start))
        .route("/admin/accounts/oauth/finish", post(accounts::sign_in::finish))
        .route(
            "/admin/accounts/{id}",
            get(accounts::get)
                .patch(accounts::change)
                .delete(accounts::delete),
        )
        .route("/admin/accounts/{id}/reset", post(accounts::reset))
        .route(
            "/admin/accounts/{id}/flush-sessions",
            post(accounts::flush_sessions),
        )
        .route("/admin/accounts/{id}/test", post(accounts::test_call::test))
        .route("/admin/sessions/flush", post(accounts::flush_all))
        .route("/admin/account-groups", get(groups::list).post(groups::create))
        .route(
            "/admin/account-groups/{id}",
            get(groups::get).patch(groups::change).delete(groups::delete),
        )
        .route("/admin/account-groups/{id}/members", get(groups::members))
        .route("/admin/concurrency", get(concurrency::list))
        .route("/admin/concurrency/{id}", delete(concurrency::release))
        .route("/admin/oem-settings", get(oem::get).put(oem::set))
        .route("/admin/overview", get(overview::overview))
        .route("/admin/usage/summary", get(usage::summary::summary))
        .route("/admin/usage/trend", get(usage::trend::trend))
        .route("/admin/usage/ranking", get(usage::ranking::ranking))
        .route("/admin/usage/latency", get(usage::latency::latency))
        .route("/admin/usage/failures", get(usage::latency::failures))
        .route("/admin/usage/verify", post(usage::verify::verify))
        .route("/admin/requests", get(requests::list))
        .route("/admin/requests.csv", get(requests::csv::export))
        .route("/admin/requests/{id}", get(requests::get))
        .route("/admin/refusals", get(refusals::list))
        .route("/admin/audit", get(audit::list))
        .merge(backups::routes())
        .route("/admin/models", get(models::list))
        .route("/admin/settings", get(settings::get))
        .route("/admin/prices", get(prices::get).put(prices::set))
        .route("/admin/routes", get(routes::get).put(routes::set))
        .route("/apiStats/api/get-key-id", post(stats::get_key_id))
        .route("/apiStats/api/user-stats", post(stats::user::user_stats))
        .route(
            "/apiStats/api/user-model-stats",
            post(stats::models::user_model_stats),
        )
        .route("/apiStats/api/user-trend", post(stats::trend::user_trend))
        .route("/apiStats/api/batch-stats", post(stats::batch::batch_stats))
        .route(
            "/apiStats/api/batch-model-stats",
            post(stats::models::batch_model_stats),
        )
        .route("/apiStats/api-key/test", post(stats::test_call::test))
        .route("/health", get(ops::health))
        .route("/metrics", get(ops::metrics))
}

/// The routes with their envelope: request ids, uniform errors, no caching.
pub fn router(app: &App) -> Router<App> {
    routes()
        .route("/openapi.json", get(description::openapi))
        .route("/admin/{*rest}", any(nothing))
        .route("/web/auth/{*rest}", any(nothing))
        .route("/apiStats/api/{*rest}", any(nothing))
        .layer(from_fn_with_state(app.clone(), envelope::wrap))
        // Outermost, because a browser's preflight request has no token.
        .layer(console(&app.config))
}

/// CORS for a console on another host; pages of other origins may not call.
fn console(config: &Config) -> CorsLayer {
    let origin = config.server.console_origin.as_deref();
    let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) else {
        return CorsLayer::new();
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([X_REQUEST_ID, header::RETRY_AFTER])
        .max_age(Duration::from_hours(1))
}

async fn nothing() -> ApiError {
    ApiError::not_found("address; /openapi.json lists those that are there")
}

#[cfg(test)]
mod described;
#[cfg(test)]
mod tests;
