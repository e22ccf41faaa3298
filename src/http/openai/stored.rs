//! The endpoints of one stored response, `/responses/{id}` and below. They are served by the account that made the
//! response, for the key that asked for it; to every other key the response is unknown.
//!
//! Source: OpenAI's API reference, "Responses" and the guide "Background mode".

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use axum::routing::{MethodRouter, get, post};

use super::super::call::{self, Particulars};
use super::super::dialect::OnlyThese as _;
use crate::app::App;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::call::{Endpoint, Stored};
use crate::dialect::openai::OpenAi;
use crate::model::query;
use crate::plan::OPENAI;
use crate::relay::failures;

/// Maximum length of an id, bytes.
const LONGEST_ID: usize = 200;

pub(super) fn routes() -> Router<App> {
    let mut routes = Router::new();
    for prefix in ["", "/v1"] {
        routes = routes
            .route(&format!("{prefix}/responses/{{id}}"), one())
            .route(
                &format!("{prefix}/responses/{{id}}/cancel"),
                post(cancel).only_these(&OpenAi),
            )
            .route(
                &format!("{prefix}/responses/{{id}}/input_items"),
                get(input_items).only_these(&OpenAi),
            );
    }
    routes
}

fn one() -> MethodRouter<App> {
    get(retrieve).delete(delete).only_these(&OpenAi)
}

async fn retrieve(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response<Body> {
    serve(&app, Stored::Retrieve, id, request).await
}

async fn delete(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response<Body> {
    serve(&app, Stored::Delete, id, request).await
}

async fn cancel(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response<Body> {
    serve(&app, Stored::Cancel, id, request).await
}

async fn input_items(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response<Body> {
    serve(&app, Stored::InputItems, id, request).await
}

async fn serve(app: &App, which: Stored, id: String, request: Request) -> Response<Body> {
    let asked = request.uri().query().unwrap_or_default();
    let streams = query::pairs(asked).any(|(name, value)| *name == *b"stream" && *value == *b"true");
    call::serve(app, &OPENAI, Endpoint::Stored(which), request, move |_| {
        if !is_safe(&id) {
            return Err(failures::unknown_response());
        }
        Ok(Particulars {
            model: String::new(),
            stream: streams && which == Stored::Retrieve,
            session: None,
            object: Some(id),
            max_output: None,
            hosted: HostedTools::default(),
        })
    })
    .await
}

/// Whether the id can be a part of a path. Every id that a provider gave can.
fn is_safe(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    id.len() <= LONGEST_ID && !id.is_empty() && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_changes_no_path() {
        assert!(is_safe("resp_68af-01AZ"));
        for id in ["", "a/b", "..", "a?b", "a%2fb", "a b", "é", &"a".repeat(201)] {
            assert!(!is_safe(id), "{id}");
        }
    }
}
