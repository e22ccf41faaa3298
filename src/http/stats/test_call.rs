//! `api-key/test`: a real call with a key, reported while it runs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::claude;
use super::super::dialect::X_REQUEST_ID;
use super::{KeyText, by_text, no_key, read};
use crate::app::App;
use crate::dialect::wire::events::Lines as EventLines;
use crate::plan::MESSAGES_ON_CLAUDE;

/// CRS's model if none is named.
const MODEL: &str = "claude-sonnet-4-5-20250929";

/// CRS's output bound if none is sent, tokens.
const MAX_TOKENS: u32 = 1_000;

/// The largest output bound that CRS takes, tokens.
const MOST_TOKENS: u32 = 4_096;

/// The most that is read of an error, bytes.
const ERROR_LIMIT: usize = 64 << 10;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The test's settings.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyTestInput)]
pub(in crate::http) struct KeyTestInput {
    /// The key. Its id is not enough: a call is charged to it.
    #[schema(value_type = String)]
    api_key: Option<KeyText>,
    /// `claude-sonnet-4-5-20250929` if left out.
    model: Option<String>,
    /// `hi` if left out.
    prompt: Option<String>,
    /// 1 to 4096 tokens; 1000 if left out.
    #[schema(minimum = 1, maximum = 4096)]
    max_tokens: Option<u32>,
}

/// Makes a real call of the Messages API with a key, as any client of it would, and tells how it goes. The call is
/// charged to the key, counts in its limits, and may be refused by them.
///
/// Server-sent events, each `data: {"type": ..}`, with CRS's names: `test_start`; `content` with the next `text`;
/// `message_stop`; `error` with the words of an error within the stream; and always last `test_complete` with
/// `success`, `error` if it failed, `durationMs`, and the `requestId` of the call. Accounts are not mentioned.
#[utoipa::path(
    post, path = "/apiStats/api-key/test", operation_id = "testKey", tag = "statistics", request_body = KeyTestInput,
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 400, description = "No key", body = ErrorBody<'_>),
        (status = 401, description = "Not a key, or one that is disabled or has expired", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
        (status = 429, description = "Asked too often; see `retry-after`", body = ErrorBody<'_>),
    )
)]
pub(in crate::http) async fn test(
    State(app): State<App>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let agent = request.headers().get(header::USER_AGENT).cloned();
    let (input, _) = read::<KeyTestInput>(&app, request).await?;
    let key = input.api_key.as_ref().ok_or_else(no_key)?;
    by_text(&app, key).await?;
    let max_tokens = input.max_tokens.unwrap_or(MAX_TOKENS);
    if !(1..=MOST_TOKENS).contains(&max_tokens) {
        let message = format!("`maxTokens` must be from 1 to {MOST_TOKENS}");
        return Err(ApiError::invalid("maxTokens", message));
    }
    let model = input.model.unwrap_or_else(|| MODEL.to_owned());
    let prompt = input.prompt.unwrap_or_else(|| "hi".to_owned());
    let body = json!({
        "model": model, "max_tokens": max_tokens, "stream": true,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let call = call_with(key, agent, &body)?;
    let start = event(&json!({ "type": "test_start", "message": "Test started", "model": model }));
    let began = app.ports.clock.ticks();
    let test = Test {
        app,
        began,
        told: VecDeque::from([start]),
        phase: Phase::Calls(Box::new(call)),
    };
    let events = stream::unfold(test, |mut test| async {
        let event = test.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), test))
    });
    let mut response = Response::new(Body::from_stream(events.fuse()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The call as its client would send it: under the name of who asks for the test.
fn call_with(key: &KeyText, agent: Option<HeaderValue>, body: &Value) -> Result<Request, ApiError> {
    let unsendable = |_| no_key();
    let mut secret = HeaderValue::from_str(key.0.reveal()).map_err(unsendable)?;
    secret.set_sensitive(true);
    let mut request = Request::new(Body::from(body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/api/v1/messages");
    let headers = request.headers_mut();
    headers.insert(X_API_KEY, secret);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    if let Some(agent) = agent {
        headers.insert(header::USER_AGENT, agent);
    }
    Ok(request)
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// A test under way. Dropped with the client's connection, and the call with it.
struct Test {
    app: App,
    /// Microseconds of the clock.
    began: u64,
    /// Events to send.
    told: VecDeque<String>,
    phase: Phase,
}

enum Phase {
    Calls(Box<Request>),
    Reads(Box<Answer>),
    Over,
}

struct Answer {
    body: Pin<Box<axum::body::BodyDataStream>>,
    lines: EventLines,
    seen: StreamEnd,
    request_id: Option<String>,
}

/// How the stream ended, as far as it has been read.
#[derive(Default)]
struct StreamEnd {
    stopped: bool,
    error: Option<String>,
}

impl Test {
    /// The next event; `None` after the last.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Calls(request) => self.call(*request).await,
                Phase::Reads(answer) => self.read(*answer).await,
                Phase::Over => return None,
            }
        }
    }

    async fn call(&mut self, request: Request) {
        let response = claude::ask(&self.app, &MESSAGES_ON_CLAUDE, request).await;
        let (head, body) = response.into_parts();
        let id = head.headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = id.map(str::to_owned);
        if head.status.is_success() {
            self.phase = Phase::Reads(Box::new(Answer {
                body: Box::pin(body.into_data_stream()),
                lines: EventLines::default(),
                seen: StreamEnd::default(),
                request_id,
            }));
            return;
        }
        let body = to_bytes(body, ERROR_LIMIT).await.unwrap_or_default();
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = words(&told).unwrap_or_else(|| format!("The call failed with status {}.", head.status));
        self.complete(Some(&error), request_id.as_deref());
    }

    async fn read(&mut self, mut answer: Answer) {
        let told = &mut self.told;
        let seen = &mut answer.seen;
        let whole = match answer.body.next().await {
            Some(Ok(bytes)) => {
                if answer.lines.feed(&bytes, |data| tell(data, seen, told)).is_ok() {
                    self.phase = Phase::Reads(Box::new(answer));
                    return;
                }
                false
            }
            Some(Err(_)) => false,
            None => {
                answer.lines.finish(|data| tell(data, seen, told));
                seen.stopped
            }
        };
        let broken = (!whole).then_some("The answer broke off before its end.");
        let error = answer.seen.error.as_deref().or(broken);
        self.complete(error, answer.request_id.as_deref());
    }

    fn complete(&mut self, error: Option<&str>, request_id: Option<&str>) {
        let ms = self.app.ports.clock.ticks().saturating_sub(self.began) / 1_000;
        let mut last = json!({ "type": "test_complete", "success": error.is_none(), "durationMs": ms });
        if let Some(fields) = last.as_object_mut() {
            // As in CRS, what there is not is left out.
            for (name, value) in [("error", error), ("requestId", request_id)] {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), value.into());
                }
            }
        }
        self.told.push_back(event(&last));
    }
}

/// Converts one event of the Messages API into CRS's events.
fn tell(data: &[u8], seen: &mut StreamEnd, told: &mut VecDeque<String>) {
    let Ok(said) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    match said.get("type").and_then(Value::as_str) {
        Some("content_block_delta") => {
            let text = said.pointer("/delta/text").and_then(Value::as_str);
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                told.push_back(event(&json!({ "type": "content", "text": text })));
            }
        }
        Some("message_stop") => {
            seen.stopped = true;
            told.push_back(event(&json!({ "type": "message_stop" })));
        }
        Some("error") => {
            let error = words(&said).unwrap_or_else(|| "The provider broke the answer off.".to_owned());
            told.push_back(event(&json!({ "type": "error", "error": error })));
            seen.error = Some(error);
        }
        _ => {}
    }
}

/// The message of an error of the Messages API.
fn words(error: &Value) -> Option<String> {
    let message = error.pointer("/error/message").and_then(Value::as_str);
    message.filter(|message| !message.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_those_of_crs() {
        let (mut seen, mut told) = (StreamEnd::default(), VecDeque::new());
        for data in [
            json!({"type": "message_start", "message": {}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a\nb"}}),
            json!({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}),
            json!({"type": "message_stop"}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        ] {
            tell(data.to_string().as_bytes(), &mut seen, &mut told);
        }
        tell(b"no JSON", &mut seen, &mut told);
        assert_eq!(
            Vec::from(told),
            [
                "data: {\"text\":\"a\\nb\",\"type\":\"content\"}\n\n",
                "data: {\"type\":\"message_stop\"}\n\n",
                "data: {\"error\":\"busy\",\"type\":\"error\"}\n\n",
            ]
        );
        assert!(seen.stopped);
        assert_eq!(seen.error.as_deref(), Some("busy"));
    }
}
