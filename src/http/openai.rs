//! The routes for Codex and the OpenAI SDKs: under `/openai` on OpenAI's accounts, unless the model's name or a
//! model route selects others; under `/openai/claude` and `/openai/gemini` only on those providers' accounts.

mod images;
pub mod socket;
mod stored;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::{MethodRouter, post};

use super::about;
use super::call::{self, Particulars, ReceivedRequest};
use super::dialect::{OnlyThese as _, not_found};
use crate::app::App;
use crate::dialect::body::Field;
use crate::dialect::call::Endpoint;
use crate::dialect::openai::{self, OpenAi};
use crate::error::Failure;
use crate::model::key::Key;
use crate::model::price::Family;
use crate::model::route::Client;
use crate::plan::{CHAT, CHAT_ON_CLAUDE, CHAT_ON_GEMINI, OPENAI, Plan, RESPONSES};

/// Routes below `/openai/claude` and `/openai/gemini`: Chat Completions on other providers' accounts.
fn chat_on(plan: &'static Plan, family: Family, owner: &'static str) -> Router<App> {
    let chat = || {
        post(move |State(app): State<App>, request: Request| async move {
            call::serve(&app, plan, Endpoint::ChatCompletions, request, read).await
        })
        .only_these(&OpenAi)
    };
    let models = || {
        about::get(&OpenAi, move |_, _, key| {
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

/// Model calls of clients whose base URL lacks its prefix.
pub fn unprefixed() -> Router<App> {
    let responses = || post(responses).get(socket::upgrade).only_these(&OpenAi);
    let compact = || post(compact_responses).only_these(&OpenAi);
    stored::routes()
        .merge(images::routes())
        .route("/responses", responses())
        .route("/v1/responses", responses())
        .route("/responses/compact", compact())
        .route("/v1/responses/compact", compact())
        .route("/chat/completions", chat())
        .route("/v1/chat/completions", chat())
}

/// The models available to clients of OpenAI's protocols.
pub(super) fn names(app: &App, key: &Key) -> Result<Vec<String>, Failure> {
    let mut names = about::routed_names(app, key, Family::OpenAi, Client::Responses)?;
    // Without duplicates.
    for name in about::routed_names(app, key, Family::OpenAi, Client::Chat)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Routes below `/openai`.
pub fn routes() -> Router<App> {
    let models = || {
        about::get(&OpenAi, |app, _, key| {
            Ok(about::list(&names(app, &key)?, "openai"))
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

/// Chat Completions; also available below `/api`, the prefix of other protocols.
pub fn chat() -> MethodRouter<App> {
    post(chat_completions).only_these(&OpenAi)
}

async fn responses(State(app): State<App>, request: Request) -> Response<Body> {
    ask(&app, request).await
}

/// Serves one Responses call.
pub(super) async fn ask(app: &App, request: Request) -> Response<Body> {
    call::serve(app, RESPONSES, Endpoint::Responses, request, read).await
}

async fn compact_responses(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, &OPENAI, Endpoint::CompactResponses, request, read).await
}

async fn chat_completions(State(app): State<App>, request: Request) -> Response<Body> {
    call::serve(&app, CHAT, Endpoint::ChatCompletions, request, read).await
}

fn read(received: &ReceivedRequest<'_>) -> Result<Particulars, Failure> {
    // The three names of the protocols mean the same.
    let bounds = [
        Field::MaxOutputTokens,
        Field::MaxCompletionTokens,
        Field::MaxTokens,
    ];
    Ok(Particulars {
        model: received.model()?,
        stream: received.fields.is_true(Field::Stream, received.body),
        session: received.session(&openai::SESSION),
        object: None,
        hosted: received.hosted(),
        max_output: bounds.into_iter().find_map(|bound| received.number(bound)),
    })
}
