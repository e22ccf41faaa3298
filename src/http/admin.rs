//! The control plane: `/web/auth`, `/admin`, `/health`, `/metrics`, and `/openapi.json`, which is made of
//! the same code.

mod accounts;
mod concurrency;
mod envelope;
mod fields;
mod groups;
mod keys;
mod list;
mod oem;
mod prices;
mod requests;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::{any, get};
use http::Method;
use http::header::{self, HeaderValue};
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api_error::{ApiError, ErrorBody};
use super::{ops, session};
use crate::app::App;
use crate::config::Config;
use crate::relay::stream::X_REQUEST_ID;

/// Every route of the control plane.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(session::login))
        .routes(routes!(session::logout))
        .routes(routes!(session::refresh))
        .routes(routes!(session::user))
        .routes(routes!(session::change_password))
        .routes(routes!(session::reset_password))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::get, keys::change, keys::delete))
        .routes(routes!(keys::restore))
        .routes(routes!(keys::reset_limits))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::get, accounts::change, accounts::delete))
        .routes(routes!(accounts::reset))
        .routes(routes!(accounts::flush_sessions))
        .routes(routes!(accounts::flush_all))
        .routes(routes!(accounts::test_call::test))
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::get, groups::change, groups::delete))
        .routes(routes!(groups::members))
        .routes(routes!(concurrency::list))
        .routes(routes!(concurrency::release))
        .routes(routes!(oem::get, oem::set))
        .routes(routes!(usage::summary::summary))
        .routes(routes!(usage::trend::trend))
        .routes(routes!(usage::ranking::ranking))
        .routes(routes!(usage::latency::latency))
        .routes(routes!(usage::latency::failures))
        .routes(routes!(usage::verify::verify))
        .routes(routes!(requests::list))
        .routes(routes!(requests::get))
        .routes(routes!(prices::get, prices::set))
        .routes(routes!(ops::health))
        .routes(routes!(ops::metrics))
}

/// The routes, with one envelope around them: request ids, errors of one shape, nothing cached.
pub fn router(app: &App) -> Router<App> {
    let (routes, described) = routes().split_for_parts();
    // Written when it is asked for: an isolate on the edge has better things to do when it starts.
    let described = Arc::new(described);
    let openapi = move || async move {
        let text = described.to_json().unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], text).into_response()
    };
    routes
        .route("/openapi.json", get(openapi))
        .route("/admin/{*rest}", any(nothing))
        .route("/web/auth/{*rest}", any(nothing))
        .layer(from_fn_with_state(app.clone(), envelope::wrap))
        // Outside of the rest: a browser asks first, without a token.
        .layer(console(&app.config))
}

/// The console may be served elsewhere; no other origin's pages may call.
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

/// The description alone, for who writes it to a file.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

async fn nothing() -> ApiError {
    ApiError::not_found("address; /openapi.json lists those that are there")
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "crs-edge admin API",
        description = "Log in with `POST /web/auth/login`, then send the token as `Authorization: Bearer <token>`.\n\n\
            Every error has the same shape (`ErrorBody`) and every answer an `x-request-id`. Secrets go in and \
            never come out; a client key is shown once, when it is created.\n\n\
            In a `PATCH`, what is not sent stays as it is, and `null` clears what may be empty.",
        license(name = "MIT", identifier = "MIT"),
    ),
    components(schemas(ErrorBody<'_>)),
    modifiers(&Login),
    tags(
        (name = "session", description = "Logging in and out"),
        (name = "keys", description = "Client keys"),
        (name = "accounts", description = "Provider accounts"),
        (name = "usage", description = "What was used, by whom, for how much"),
        (name = "site", description = "The site's name and icon"),
        (name = "operations", description = "How the relay is doing"),
    ),
)]
struct Described;

struct Login;

impl utoipa::Modify for Login {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("admin", bearer);
    }
}

#[cfg(test)]
mod tests;
