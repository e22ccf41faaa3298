//! What Claude Code and the Anthropic SDKs call, under `/api` and `/claude`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::{get, post};

use super::about;
use super::call::{self, Particulars, Told};
use super::dialect::{OnlyThese as _, not_found};
use crate::app::App;
use crate::error::Failure;
use crate::model::price::Family;
use crate::provider::claude::Claude;
use crate::relay::body::Field;
use crate::relay::call::Endpoint;
use crate::relay::session::CLAUDE;

/// Base URLs themselves: older versions of Claude Code ask for them, without a key, before anything else.
pub fn probes() -> Router<App> {
    Router::new()
        .route("/api/", get(about::hello))
        .route("/claude/", get(about::hello))
}

/// Routes below a prefix.
pub fn routes() -> Router<App> {
    let models = about::get(&Claude, |_, key| {
        Ok(about::list(&key, Family::Claude, "anthropic"))
    });
    Router::new()
        .route("/v1/messages", post(messages).only_these(&Claude))
        .route(
            "/v1/messages/count_tokens",
            post(count_tokens).only_these(&Claude),
        )
        // CRS answers below a doubled prefix as well, and set-ups in the wild rely on it.
        .route("/claude/v1/messages", post(messages).only_these(&Claude))
        .route("/v1/models", models)
        .route("/v1/me", about::me(&Claude))
        .route("/v1/usage", about::usage(&Claude))
        .route("/v1/key-info", about::key_info(&Claude))
        // Claude Code reports events below its base URL, and asks whether anybody is there, without a key.
        .route("/api/event_logging/batch", post(about::events))
        .route("/api/event_logging/v2/batch", post(about::events))
        .route("/api/hello", get(about::hello))
        .route("/", get(about::hello))
        .fallback(not_found(&Claude, "The base URL of this relay ends with /api/."))
}

async fn messages(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, &Claude, Endpoint::Messages, request, |told| {
        read(told, told.fields.is_true(Field::Stream, told.body))
    })
    .await
}

async fn count_tokens(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, &Claude, Endpoint::CountTokens, request, |told| {
        read(told, false)
    })
    .await
}

fn read(told: &Told<'_>, stream: bool) -> Result<Particulars, Failure> {
    Ok(Particulars {
        model: told.model()?,
        stream,
        session: told.session(&CLAUDE),
        max_output: told.number(Field::MaxTokens),
    })
}
