//! The routes of Codex and the OpenAI SDKs, under `/openai`: on OpenAI's accounts, or for Responses of Claude's models
//! on Claude's; under `/openai/claude` and `/openai/gemini` on other providers' accounts.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{MethodRouter, post};

use super::about;
use super::call::{self, Particulars, ReceivedRequest};
use super::dialect::{OnlyThese as _, not_found, refuse_outside, wrong_method};
use crate::app::App;
use crate::dialect::body::Field;
use crate::dialect::call::Endpoint;
use crate::dialect::openai::{self, OpenAi};
use crate::error::{Code, Failure};
use crate::model::price::Family;
use crate::plan::{CHAT_ON_CLAUDE, CHAT_ON_GEMINI, OPENAI, Plan, RESPONSES};

/// Routes below `/openai/claude` and `/openai/gemini`: Chat Completions on other providers' accounts.
fn chat_on(plan: &'static Plan, family: Family, owner: &'static str) -> Router<App> {
    let chat = || {
        post(move |State(app): State<App>, request: Request| async move {
            call::serve(&app, plan, Endpoint::ChatCompletions, request, read).await
        })
        .only_these(&OpenAi)
    };
    let models = || {
        about::get(&OpenAi, move |_, key| {
            Ok(about::list(&about::names(&key, family)?, owner))
        })
    };
    Router::new()
        .route("/chat/completions", chat())
        .route("/v1/chat/completions", chat())
        .route("/models", models())
        .route("/v1/models", models())
        .fallback(not_found(
            &OpenAi,
            "The base URL of this relay ends with /v1 here, and Chat Completions are what it serves.",
        ))
}

/// Model calls of clients whose base URL lacks its prefix: on OpenAI's accounts, but for
/// Responses of Claude's models.
pub fn unprefixed() -> Router<App> {
    let responses = || post(responses).get(web_socket).only_these(&OpenAi);
    let compact = || post(compact_responses).only_these(&OpenAi);
    Router::new()
        .route("/responses", responses())
        .route("/v1/responses", responses())
        .route("/responses/compact", compact())
        .route("/v1/responses/compact", compact())
        .route("/chat/completions", chat())
        .route("/v1/chat/completions", chat())
}

/// Routes below `/openai`.
pub fn routes() -> Router<App> {
    let models = || {
        about::get(&OpenAi, |_, key| {
            Ok(about::list(&about::names(&key, Family::OpenAi)?, "openai"))
        })
    };
    unprefixed()
        .route("/models", models())
        .route("/v1/models", models())
        .nest("/claude", chat_on(&CHAT_ON_CLAUDE, Family::Claude, "anthropic"))
        .nest("/gemini", chat_on(&CHAT_ON_GEMINI, Family::Gemini, "google"))
        .route("/usage", about::usage(&OpenAi))
        .route("/key-info", about::key_info(&OpenAi))
        .fallback(not_found(
            &OpenAi,
            "The base URL of this relay ends with /openai for Codex, and with /openai/v1 for the SDKs.",
        ))
}

/// Chat Completions; also below `/api`, where other protocols are at home.
pub fn chat() -> MethodRouter<App> {
    post(chat_completions).only_these(&OpenAi)
}

async fn responses(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, RESPONSES, Endpoint::Responses, request, read).await
}

async fn compact_responses(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, &OPENAI, Endpoint::CompactResponses, request, read).await
}

async fn chat_completions(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, &OPENAI, Endpoint::ChatCompletions, request, read).await
}

/// Codex tries a WebSocket first, if it is set up to. This status makes it take POST at once; after others it
/// tries again for seconds.
async fn web_socket(State(app): State<App>, headers: HeaderMap) -> Response<Body> {
    if !headers.contains_key(header::UPGRADE) {
        return refuse_outside(&app, &OpenAi, &wrong_method());
    }
    let failure = Failure::new(
        Code::MethodNotAllowed,
        "There are no WebSockets here. Send the call as a POST request.",
    );
    let failure = failure.with_status(StatusCode::UPGRADE_REQUIRED);
    let mut response = refuse_outside(&app, &OpenAi, &failure);
    // RFC 9110 §15.5.22: what to speak instead.
    response
        .headers_mut()
        .insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    response
}

fn read(received: &ReceivedRequest<'_>) -> Result<Particulars, Failure> {
    // Of the three protocols' names a body has one, or two of the same meaning.
    let bounds = [
        Field::MaxOutputTokens,
        Field::MaxCompletionTokens,
        Field::MaxTokens,
    ];
    Ok(Particulars {
        model: received.model()?,
        stream: received.fields.is_true(Field::Stream, received.body),
        session: received.session(&openai::SESSION),
        hosted: received.hosted(),
        max_output: bounds.into_iter().find_map(|bound| received.number(bound)),
    })
}
