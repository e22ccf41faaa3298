//! The test of one account: the smallest real call, told as it happens.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input};
use crate::app::App;
use crate::error::Failure;
use crate::provider::{self, Provider, Trial};
use crate::relay::mask::SecretMask;
use crate::relay::{probe, read_bounded};

/// What of an answer is read.
const ANSWER_LIMIT: usize = 256 << 10;

/// What to test with.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http::admin) struct TestInput {
    /// The model to ask; a cheap common one if left out.
    model: Option<String>,
}

/// Makes the smallest real call with this account, whatever its state, and tells how it goes: server-sent
/// events, each `data: {"type": ..}`. `test_start`, then `content` (the text) and `message_stop` if it went
/// well, and always last `test_complete` with `success` and, if it failed, `error`. The names are CRS's.
#[utoipa::path(
    post, path = "/admin/accounts/{id}/test", operation_id = "testAccount", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    request_body(content = TestInput),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn test(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Input(input): Input<TestInput>,
) -> Result<Response<Body>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(super::unknown)?;
    let provider = provider::of(account.platform);
    session.audit("account.test", &id);
    Ok(events(app, id, provider, provider.trial(&account, input.model)))
}

fn events(app: App, account: String, provider: &'static dyn Provider, trial: Trial) -> Response<Body> {
    let start = event(&json!({ "type": "test_start", "accountId": account, "model": trial.model }));
    let rest = async move {
        let began = app.ports.clock.ticks();
        let outcome = ask(&app, &account, provider, trial).await;
        let ms = app.ports.clock.ticks().saturating_sub(began) / 1000;
        match outcome {
            Ok(text) => [
                event(&json!({ "type": "content", "text": text })),
                event(&json!({ "type": "message_stop" })),
                event(&json!({ "type": "test_complete", "success": true, "durationMs": ms })),
            ]
            .concat(),
            Err(error) => {
                event(&json!({ "type": "test_complete", "success": false, "error": error, "durationMs": ms }))
            }
        }
    };
    let events = stream::once(async { start })
        .chain(rest.into_stream())
        .map(|event| Ok::<_, Infallible>(Bytes::from(event)));
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// The text of the answer. The operator is told the provider's own words when it fails.
async fn ask(
    app: &App,
    account: &str,
    provider: &'static dyn Provider,
    trial: Trial,
) -> Result<String, String> {
    let live = app.accounts.live(account, 0, 0).await.ok().flatten();
    let mask = live.as_deref().map(SecretMask::of);
    let hidden = |words: String| match &mask {
        Some(mask) => mask.text(&words).into_owned(),
        None => words,
    };
    let told = |failure: Failure| hidden(failure.detail.unwrap_or(failure.message));
    let response = probe::probe(app, provider, account, trial).await.map_err(told)?;
    let (head, body) = response.into_parts();
    let body = read_bounded(body, ANSWER_LIMIT)
        .await
        .map_err(|broken| broken.to_string())?;
    let text = hidden(String::from_utf8_lossy(&body).into_owned());
    if !head.status.is_success() {
        return Err(format!("{}: {text}", head.status.as_u16()));
    }
    provider.words(&body).ok_or_else(|| {
        let begins: String = text.chars().take(500).collect();
        format!("the provider's answer is none of its protocol; it begins: {begins}")
    })
}
