//! Images: `/images/generations` and `/images/edits`, as Codex's image tool and OpenAI's SDKs call them.
//!
//! Codex sends JSON in both, images as data URLs, and to ChatGPT as well (openai/codex,
//! `codex-rs/codex-api/src/endpoint/images.rs`); the SDKs send edits as a form with files.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::post;

use super::super::call::{self, Particulars, ReceivedRequest, invalid};
use super::super::dialect::OnlyThese as _;
use crate::app::App;
use crate::dialect::body::Field;
use crate::dialect::body::form::{self, Form};
use crate::dialect::body::tools::HostedTools;
use crate::dialect::call::{Endpoint, Images};
use crate::dialect::openai::{self, OpenAi};
use crate::error::Failure;
use crate::plan::OPENAI;

/// Tokens of one image: OpenAI's figure for 1024 by 1024 pixels in high quality.
const TOKENS_PER_IMAGE: u64 = 7_024;

/// The most images that one request may ask for.
const MOST_IMAGES: u64 = 10;

pub(super) fn routes() -> Router<App> {
    let mut routes = Router::new();
    for prefix in ["", "/v1"] {
        routes = routes
            .route(
                &format!("{prefix}/images/generations"),
                post(generations).only_these(&OpenAi),
            )
            .route(&format!("{prefix}/images/edits"), post(edits).only_these(&OpenAi));
    }
    routes
}

async fn generations(State(app): State<App>, request: Request) -> Response<Body> {
    serve(&app, Images::Generations, request).await
}

async fn edits(State(app): State<App>, request: Request) -> Response<Body> {
    serve(&app, Images::Edits, request).await
}

async fn serve(app: &App, which: Images, request: Request) -> Response<Body> {
    call::serve(app, &OPENAI, Endpoint::Images(which), request, read).await
}

fn read(received: &ReceivedRequest<'_>) -> Result<Particulars, Failure> {
    let body = received.body;
    let (model, stream, count) = match form::of(received.headers) {
        Some(kind) => {
            let form = form::read(kind, body).map_err(|error| invalid(error.to_string()))?;
            let model = Form::text(form.model, body).unwrap_or_default();
            if model.is_empty() {
                return Err(invalid("The form has no field `model`.".to_owned()));
            }
            let count = Form::text(form.count, body).and_then(|count| count.trim().parse().ok());
            let stream = Form::text(form.stream, body) == Some("true");
            (model.to_owned(), stream, count)
        }
        None => (
            received.model()?,
            received.fields.is_true(Field::Stream, body),
            received.number(Field::Count),
        ),
    };
    Ok(Particulars {
        model,
        stream,
        session: received.session(&openai::SESSION),
        object: None,
        max_output: Some(count.unwrap_or(1).clamp(1, MOST_IMAGES) * TOKENS_PER_IMAGE),
        hosted: HostedTools::default(),
    })
}
