//! The test of an account: a minimal real call, reported as it runs.

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
use super::super::super::extract::{AdminSession, Input, SMALL};
use crate::account::Trial;
use crate::app::App;
use crate::error::Failure;
use crate::plan::{self, Plan};
use crate::relay::mask::SecretMask;
use crate::relay::{probe, read_bounded};

/// Limit for the answer, bytes.
const ANSWER_LIMIT: usize = 256 << 10;

/// The test's settings.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http::admin) struct TestInput {
    /// The model to request. Default: a cheap one.
    model: Option<String>,
}

/// Makes a minimal real call with this account, whatever its state, and reports it as server-sent events, each
/// `data: {"type": ..}`: `test_start`, then `content` (the text) and `message_stop` on success, and finally
/// `test_complete` with `success` and, on failure, `error`. The names are CRS's.
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
    Input(input): Input<TestInput, SMALL>,
) -> Result<Response<Body>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(super::unknown)?;
    let plan = plan::of_trial(account.platform);
    let subject = format!("account:{id}");
    app.audit.event("account.test", subject, &account.name).await?;
    session.audit("account.test", &id);
    Ok(events(app, id, plan, plan.accounts.trial(&account, input.model)))
}

fn events(app: App, account: String, plan: &'static Plan, trial: Trial) -> Response<Body> {
    let start = event(&json!({ "type": "test_start", "accountId": account, "model": trial.model }));
    let rest = async move {
        let began = app.ports.clock.ticks();
        let outcome = ask(&app, &account, plan, trial).await;
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

/// Returns the text of the answer. On failure the operator sees the status and the provider's error fields but
/// nothing else of the body: the server at the account's address may not be a provider.
async fn ask(app: &App, account: &str, plan: &'static Plan, trial: Trial) -> Result<String, String> {
    let live = app.accounts.live(account, 0, 0).await.ok().flatten();
    let mask = live.as_deref().map(SecretMask::of);
    let hidden = |words: String| match &mask {
        Some(mask) => mask.text(&words).into_owned(),
        None => words,
    };
    let response = probe::probe(app, plan, account, trial)
        .await
        .map_err(|failure| hidden(explained(failure)))?;
    let (head, body) = response.into_parts();
    let body = read_bounded(body, ANSWER_LIMIT)
        .await
        .map_err(|broken| broken.to_string())?;
    let status = head.status.as_u16();
    plan.accounts
        .words(&body)
        .ok_or_else(|| format!("{status}: the answer is not one of the provider's protocol"))
}

/// The failure's message for the operator, with the provider's error fields.
fn explained(failure: Failure) -> String {
    let Some(words) = failure.words else {
        return failure.detail.unwrap_or(failure.message);
    };
    let said = error_fields(&words).unwrap_or_else(|| NO_FIELDS.to_owned());
    match failure.detail {
        Some(detail) => format!("{detail}: {said}"),
        None => said,
    }
}

const NO_FIELDS: &str = "the answer has no error of the provider's protocol";

/// Maximum length of an error field, characters.
const FIELD_LIMIT: usize = 500;

/// The type, code and message of a provider's error; `None` if the body is not one. Formats: `{"error": {"type",
/// "code", "status", "message"}}` (Anthropic, OpenAI, Google; Google also in an array), `{"error",
/// "error_description"}` (RFC 6749 §5.2), `{"detail"}` (ChatGPT).
fn error_fields(body: &[u8]) -> Option<String> {
    let sent: Value = serde_json::from_slice(body).ok()?;
    let sent = sent.get(0).unwrap_or(&sent);
    let error = sent.get("error");
    let (kinds, message) = match error {
        Some(Value::Object(error)) => {
            let kinds = ["type", "code", "status"].map(|name| shown(error.get(name)));
            (kinds.into_iter().flatten().collect(), shown(error.get("message")))
        }
        Some(error) => (
            shown(Some(error)).into_iter().collect::<Vec<_>>(),
            shown(sent.get("error_description")),
        ),
        None => (Vec::new(), shown(sent.get("detail"))),
    };
    let parts: Vec<String> = [kinds.join(", ")]
        .into_iter()
        .filter(|kinds| !kinds.is_empty())
        .chain(message)
        .collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// A text or number of an error, shortened and in one line.
fn shown(field: Option<&Value>) -> Option<String> {
    let text = match field? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(FIELD_LIMIT).map(plain).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_error_fields_of_every_provider_are_shown() {
        for (body, shown) in [
            (
                json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
                "authentication_error: invalid x-api-key",
            ),
            (
                json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}),
                "invalid_request_error, invalid_api_key: no",
            ),
            (
                json!([{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}]),
                "403, PERMISSION_DENIED: no",
            ),
            (
                json!({"error": "invalid_grant", "error_description": "expired"}),
                "invalid_grant: expired",
            ),
            (json!({"detail": "Unauthorized"}), "Unauthorized"),
            (json!({"error": {"message": "two\nlines"}}), "two lines"),
        ] {
            assert_eq!(error_fields(body.to_string().as_bytes()).as_deref(), Some(shown));
        }
    }

    #[test]
    fn of_a_failure_the_detail_and_the_error_fields_are_shown() {
        let failure = || Failure::new(Code::ProviderFailed, "failed");
        assert_eq!(explained(failure()), "failed");
        assert_eq!(explained(failure().with_detail("ours")), "ours");
        let fields = json!({"error": {"type": "api_error", "message": "no"}, "secret": "s3cret"}).to_string();
        let failed = failure().with_detail("500").with_words(fields.as_bytes());
        assert_eq!(explained(failed), "500: api_error: no");
        assert_eq!(
            explained(failure().with_words(fields.as_bytes())),
            "api_error: no"
        );
        // Longer than an entry of the log.
        let long = json!({"details": "x".repeat(2_000), "error": {"message": "no"}}).to_string();
        assert_eq!(explained(failure().with_words(long.as_bytes())), "no");
        for foreign in [
            "s3cret trace",
            "<html>s3cret</html>",
            r#"{"secret": "s3cret"}"#,
            "",
        ] {
            let failed = failure().with_detail("500").with_words(foreign.as_bytes());
            assert_eq!(explained(failed), format!("500: {NO_FIELDS}"));
            assert_eq!(explained(failure().with_words(foreign.as_bytes())), NO_FIELDS);
        }
    }

    #[test]
    fn nothing_else_of_a_body_is_shown() {
        for body in [
            "ami-id\nhostname\niam/",
            "<html>s3cret</html>",
            r#"{"AccessKeyId": "s3cret", "SecretAccessKey": "s3cret"}"#,
            r#"{"error": {"secret": "s3cret"}}"#,
            r#"{"error": ["s3cret"]}"#,
            r#"["s3cret"]"#,
            "\"s3cret\"",
            "",
        ] {
            assert_eq!(error_fields(body.as_bytes()), None, "{body}");
        }
        let long = json!({"error": {"message": "x".repeat(10_000)}}).to_string();
        assert_eq!(error_fields(long.as_bytes()).unwrap().len(), FIELD_LIMIT);
    }
}
