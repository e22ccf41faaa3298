//! The routes for Claude Code and the Anthropic SDKs: under `/api` and `/claude` on Claude's accounts, unless the
//! model's name or a model route selects others; under `/gemini-cli/api` and `/antigravity/api` on Google's
//! accounts.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::routing::{MethodRouter, get, post};
use serde_json::Value;

use super::about;
use super::call::{self, Particulars, ReceivedRequest};
use super::dialect::{OnlyThese as _, not_found};
use crate::app::App;
use crate::dialect::body::Field;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::call::{Assist, Endpoint};
use crate::dialect::messages::Messages;
use crate::dialect::messages::SESSION;
use crate::error::Failure;
use crate::model::price::Family;
use crate::model::route::Client;
use crate::plan::{MESSAGES, MESSAGES_ON_ANTIGRAVITY, MESSAGES_ON_GEMINI, Plans};

/// Limit for a provider's list of models, bytes.
const LONGEST_LIST: usize = 1 << 20;

/// Base URLs themselves: older versions of Claude Code first request them without a key.
pub fn probes() -> Router<App> {
    ["/api/", "/claude/", "/gemini-cli/api/", "/antigravity/api/"]
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(path, get(about::hello))
        })
}

/// Model calls of clients whose base URL lacks its prefix.
pub fn unprefixed() -> Router<App> {
    Router::new()
        .route("/v1/messages", messages(MESSAGES))
        .route("/v1/messages/count_tokens", count_tokens(MESSAGES))
}

/// Routes below a prefix, on Claude's accounts unless the model's name or a model route selects others.
pub fn routes() -> Router<App> {
    served_by(MESSAGES, routed_models())
}

/// The same on Gemini's.
pub fn on_gemini() -> Router<App> {
    served_by(
        Plans::from(&MESSAGES_ON_GEMINI),
        about::get(&Messages, |_, _, key| {
            Ok(about::list(&about::names(&key, Family::Gemini)?, "google"))
        }),
    )
}

/// The same on Antigravity's.
pub fn on_antigravity() -> Router<App> {
    served_by(
        Plans::from(&MESSAGES_ON_ANTIGRAVITY),
        get(available).only_these(&Messages),
    )
}

fn served_by(plans: Plans, models: MethodRouter<App>) -> Router<App> {
    Router::new()
        .route("/v1/messages", messages(plans))
        .route("/v1/messages/count_tokens", count_tokens(plans))
        // CRS answers below a doubled prefix as well, and existing client configurations rely on it.
        .route("/claude/v1/messages", messages(plans))
        .route("/v1/models", models)
        .route("/v1/me", about::me(&Messages))
        .route("/v1/usage", about::usage(&Messages))
        .route("/v1/key-info", about::key_info(&Messages))
        // Claude Code sends events and a liveness check below its base URL, without a key.
        .route("/api/event_logging/batch", post(about::events))
        .route("/api/event_logging/v2/batch", post(about::events))
        .route("/api/hello", get(about::hello))
        .route("/", get(about::hello))
        .fallback(not_found(
            &Messages,
            "The base URL of this relay ends with /api/.",
        ))
}

fn messages(plans: Plans) -> MethodRouter<App> {
    post(move |State(app): State<App>, request: Request| async move { ask(&app, plans, request).await })
        .only_these(&Messages)
}

/// Serves one call of the Messages API.
pub(super) async fn ask(app: &App, plans: impl Into<Plans>, request: Request) -> Response<Body> {
    call::serve(app, plans, Endpoint::Messages, request, |received| {
        read(received, received.fields.is_true(Field::Stream, received.body))
    })
    .await
}

fn count_tokens(plans: Plans) -> MethodRouter<App> {
    post(move |State(app): State<App>, request: Request| async move {
        call::serve(&app, plans, Endpoint::CountTokens, request, |received| {
            read(received, false)
        })
        .await
    })
    .only_these(&Messages)
}

/// Claude's models, and those listed by routes.
fn routed_models() -> MethodRouter<App> {
    about::get(&Messages, |app, _, key| {
        let names = about::routed_names(app, &key, Family::Claude, Client::Messages)?;
        Ok(about::list(&names, "anthropic"))
    })
}

/// Antigravity has its own model names, so one of its accounts is asked for them.
async fn available(State(app): State<App>, asked: Parts) -> Response<Body> {
    let key = match about::who_asks(&app, &asked).await {
        Ok(key) => key,
        Err(failure) => return about::tell(&app, &Messages, Err(failure)),
    };
    let mut request = Request::new(Body::from("{}"));
    *request.uri_mut() = asked.uri;
    *request.headers_mut() = asked.headers;
    let endpoint = Endpoint::Assist(Assist::FetchAvailableModels);
    let answer = call::serve(&app, &MESSAGES_ON_ANTIGRAVITY, endpoint, request, |_| {
        Ok(Particulars {
            model: String::new(),
            stream: false,
            session: None,
            object: None,
            max_output: None,
            hosted: HostedTools::default(),
        })
    })
    .await;
    if !answer.status().is_success() {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let list = to_bytes(body, LONGEST_LIST).await.unwrap_or_default();
    let list: Value = serde_json::from_slice(&list).unwrap_or_default();
    let names = list.get("models").and_then(Value::as_object).into_iter();
    let names = names.flat_map(|models| models.keys().map(String::as_str));
    let list = about::list(&about::permitted(&key.policy(0), names), "antigravity");
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::from(list.to_string()))
}

fn read(received: &ReceivedRequest<'_>, stream: bool) -> Result<Particulars, Failure> {
    Ok(Particulars {
        model: received.model()?,
        stream,
        session: received.session(&SESSION),
        object: None,
        max_output: received.number(Field::MaxTokens),
        hosted: received.hosted(),
    })
}
