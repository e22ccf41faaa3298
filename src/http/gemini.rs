//! The routes for Gemini CLI and Google's SDKs under `/gemini`: Code Assist, and the Gemini API.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};

use super::about;
use super::call::{self, Particulars, ReceivedRequest};
use super::dialect::{OnlyThese as _, not_found, refuse_outside};
use crate::app::App;
use crate::dialect::body::{Field, Fields, scan};
use crate::dialect::call::{Assist, Endpoint, Surface};
use crate::dialect::gemini::{self, Gemini};
use crate::error::{Code, Failure};
use crate::model::key::Key;
use crate::model::price::Family;
use crate::plan::GEMINI;

const HINT: &str = "The base URL of this relay ends with /gemini.";

/// Model calls and related requests of Google's clients: below the prefix, and for clients whose base URL lacks
/// it. Without `/v1/models` and paths below it, which without a prefix may belong to another protocol.
pub fn unprefixed() -> Router<App> {
    let mut routes = Router::new();
    for (name, endpoint, stream) in [
        ("generateContent", Endpoint::Generate(Surface::Internal), false),
        (
            "streamGenerateContent",
            Endpoint::Generate(Surface::Internal),
            true,
        ),
        ("countTokens", Endpoint::CountContent(Surface::Internal), false),
        ("loadCodeAssist", Endpoint::Assist(Assist::LoadCodeAssist), false),
        ("onboardUser", Endpoint::Assist(Assist::OnboardUser), false),
        (
            "retrieveUserQuota",
            Endpoint::Assist(Assist::RetrieveUserQuota),
            false,
        ),
        (
            "listExperiments",
            Endpoint::Assist(Assist::ListExperiments),
            false,
        ),
        (
            "fetchAvailableModels",
            Endpoint::Assist(Assist::FetchAvailableModels),
            false,
        ),
    ] {
        routes = routes.route(&format!("/v1internal:{name}"), internal(endpoint, stream));
    }
    routes
        .route("/v1beta/models", models())
        .route("/v1beta/models/{*model}", of_model(Surface::V1Beta))
}

fn models() -> MethodRouter<App> {
    about::get(&Gemini, |_, _, key| list(&key))
}

/// Routes below `/gemini`.
pub fn routes() -> Router<App> {
    unprefixed()
        .route("/v1/models", models())
        .route("/v1/models/{*model}", of_model(Surface::V1))
        .route("/usage", about::usage(&Gemini))
        .route("/key-info", about::key_info(&Gemini))
        .fallback(not_found(&Gemini, HINT))
}

/// A method of Code Assist. Its body may name a model.
fn internal(endpoint: Endpoint, stream: bool) -> MethodRouter<App> {
    post(move |State(app): State<App>, request: Request| async move {
        call::serve(&app, &GEMINI, endpoint, request, move |received| {
            let model = match endpoint {
                Endpoint::Assist(_) => String::new(),
                Endpoint::CountContent(_) => counted_model(received)?,
                _ => received.model()?,
            };
            Ok(particulars(received, bare(&model).to_owned(), stream))
        })
        .await
    })
    .only_these(&Gemini)
}

/// A model, or a method of it.
fn of_model(surface: Surface) -> MethodRouter<App> {
    calls_of_model(surface).get(|State(app): State<App>, asked: Parts| async move {
        about::answered(&app, &Gemini, &asked, one).await
    })
}

/// A method of the Gemini API: `models/{model}:{method}`.
pub(super) fn calls_of_model(surface: Surface) -> MethodRouter<App> {
    post(
        move |State(app): State<App>, Path(asked): Path<String>, request: Request| async move {
            let (model, endpoint, stream) = match asked.rsplit_once(':') {
                Some((model, "generateContent")) => (model, Endpoint::Generate(surface), false),
                Some((model, "streamGenerateContent")) => (model, Endpoint::Generate(surface), true),
                Some((model, "countTokens")) => (model, Endpoint::CountContent(surface), false),
                _ => {
                    let message = format!(
                        "This relay knows generateContent, streamGenerateContent and countTokens of a model. {HINT}"
                    );
                    return refuse_outside(&app, &Gemini, &Failure::new(Code::NotFound, message));
                }
            };
            let model = model.to_owned();
            call::serve(&app, &GEMINI, endpoint, request, move |received| {
                Ok(particulars(received, model, stream))
            })
            .await
        },
    )
    .only_these(&Gemini)
}

/// The values of a call, with or without an envelope.
fn particulars(received: &ReceivedRequest<'_>, model: String, stream: bool) -> Particulars {
    let (session, max_output, hosted) = match opened(received, Field::Request) {
        Some((fields, body)) => {
            let inner = received.within(&fields, body);
            (
                inner.session(&gemini::SESSION),
                max_output(&inner),
                inner.hosted(),
            )
        }
        None => (
            received.session(&gemini::SESSION),
            max_output(received),
            received.hosted(),
        ),
    };
    Particulars {
        model,
        stream,
        session,
        object: None,
        max_output,
        hosted,
    }
}

fn max_output(received: &ReceivedRequest<'_>) -> Option<u64> {
    let (fields, body) = opened(received, Field::GenerationConfig)?;
    received.within(&fields, body).number(Field::MaxOutput)
}

/// For token counts the model stands beside the counted content.
fn counted_model(received: &ReceivedRequest<'_>) -> Result<String, Failure> {
    let inner = opened(received, Field::Request)
        .and_then(|(fields, body)| received.within(&fields, body).text(Field::Model));
    inner.map_or_else(|| received.model(), Ok)
}

/// An object inside the body.
fn opened<'a>(received: &ReceivedRequest<'a>, field: Field) -> Option<(Fields, &'a [u8])> {
    let body = received.fields.raw(field, received.body)?;
    Some((scan(body).ok()?, body))
}

fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

/// Models with a known price that the key may use, as Google lists them.
pub(super) fn list(key: &Key) -> Result<Value, Failure> {
    let models: Vec<Value> = about::names(key, Family::Gemini)?
        .into_iter()
        .map(described)
        .collect();
    Ok(json!({ "models": models }))
}

/// One model of that list.
pub(super) fn one(_: &App, asked: &str, key: Key) -> Result<Value, Failure> {
    let name = asked.rsplit_once("/models/").map_or(asked, |(_, name)| name);
    about::names(&key, Family::Gemini)?
        .into_iter()
        .find(|known| *known == name)
        .map(described)
        .ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                "This relay knows no such model by name. A call of it is passed on all the same.",
            )
        })
}

fn described(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"), "displayName": name,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    })
}
