//! What Claude Code and the Anthropic SDKs call, under `/api` and `/claude`.

mod about;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::Response;
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};

use super::{body, client_key, dialect};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::random;
use crate::provider::claude::Claude;
use crate::relay;
use crate::relay::body::{Field, scan};
use crate::relay::call::{Call, Endpoint, request_id};
use crate::relay::session::Session;

/// No provider names its models with more, bytes.
const LONGEST_MODEL: usize = 256;

/// With the address before it, a longer query makes no URI any more.
const LONGEST_QUERY: usize = 8 << 10;

/// Base URLs themselves: older versions of Claude Code ask for them, without a key, before anything else.
pub fn probes() -> Router<App> {
    Router::new()
        .route("/api/", get(about::hello))
        .route("/claude/", get(about::hello))
}

/// Routes below a prefix.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/messages", post(messages).fallback(wrong_method))
        .route(
            "/v1/messages/count_tokens",
            post(count_tokens).fallback(wrong_method),
        )
        // CRS answers below a doubled prefix as well, and set-ups in the wild rely on it.
        .route("/claude/v1/messages", post(messages).fallback(wrong_method))
        .route("/v1/models", get(about::models).fallback(wrong_method))
        .route("/v1/me", get(about::me).fallback(wrong_method))
        .route("/v1/usage", get(about::usage).fallback(wrong_method))
        .route("/v1/key-info", get(about::key_info).fallback(wrong_method))
        // Claude Code reports events below its base URL, and asks whether anybody is there, without a key.
        .route("/api/event_logging/batch", post(about::events))
        .route("/api/event_logging/v2/batch", post(about::events))
        .route("/api/hello", get(about::hello))
        .route("/", get(about::hello))
        .fallback(any(not_found))
}

async fn messages(State(app): State<App>, request: Request) -> Response<Body> {
    serve(&app, Endpoint::Messages, request).await
}

async fn count_tokens(State(app): State<App>, request: Request) -> Response<Body> {
    serve(&app, Endpoint::CountTokens, request).await
}

async fn serve(app: &App, endpoint: Endpoint, request: Request) -> Response<Body> {
    let at = app.ports.clock.now();
    let id = random::call_id(at, &*app.ports.random);
    let answered = async {
        let call = parse(app, endpoint, id, at, request).await?;
        relay::serve(app, &Claude, call).await
    };
    match answered.await {
        Ok(response) => response.map(Body::new),
        Err(failure) => {
            app.metrics.refused(failure.code);
            dialect::anthropic(&failure, &request_id(id))
        }
    }
}

/// From a request to a call: who, then how much, then what.
async fn parse(
    app: &App,
    endpoint: Endpoint,
    id: crs_durable::CallId,
    at: u64,
    request: Request,
) -> Result<Call, Failure> {
    let started = app.ports.clock.ticks();
    let (head, body) = request.into_parts();
    let key = client_key::client_key(app, &head.headers, head.uri.query())?;
    let body = body::read(body, app.config.relay.max_body, &*app.ports.clock).await?;
    let fields = scan(&body).map_err(|error| invalid(error.to_string()))?;
    let model = fields
        .model(&body)
        .map_err(|error| invalid(error.to_string()))?
        .filter(|model| !model.is_empty());
    let model = model
        .ok_or_else(|| {
            invalid("The request names no model: `model` must be a string that is not empty.".to_owned())
        })?
        .into_owned();
    if model.len() > LONGEST_MODEL {
        return Err(invalid(format!("`model` is longer than {LONGEST_MODEL} bytes.")));
    }
    let query = client_key::query_for_provider(head.uri.query());
    if query.as_ref().is_some_and(|query| query.len() > LONGEST_QUERY) {
        return Err(invalid(format!(
            "The query is longer than {LONGEST_QUERY} bytes."
        )));
    }
    let stream = endpoint == Endpoint::Messages && fields.is_true(Field::Stream, &body);
    let session = Session::of_claude(&head.headers, &fields, &body);
    Ok(Call {
        id,
        at,
        started,
        key,
        endpoint,
        query,
        headers: head.headers,
        fields,
        model,
        stream,
        session,
        body,
        only: None,
    })
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidBody, message)
}

async fn wrong_method(State(app): State<App>) -> Response<Body> {
    refuse(
        &app,
        &Failure::new(
            Code::MethodNotAllowed,
            "This address does not know this method. Model calls are POST requests.",
        ),
    )
}

async fn not_found(State(app): State<App>, OriginalUri(asked): OriginalUri) -> Response<Body> {
    // The path is the client's own; it is told nothing about others.
    let path: String = asked.path().chars().take(200).collect();
    refuse(
        &app,
        &Failure::new(
            Code::NotFound,
            format!("There is nothing at {path}. The base URL of this relay ends with /api/."),
        ),
    )
}

/// A refusal outside of a call: it has an id all the same.
fn refuse(app: &App, failure: &Failure) -> Response<Body> {
    let id = random::call_id(app.ports.clock.now(), &*app.ports.random);
    dialect::anthropic(failure, &request_id(id)).into_response()
}
