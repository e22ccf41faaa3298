//! `api-key/test`: a real call with a key, reported as it runs.

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

/// Default model, as in CRS.
const MODEL: &str = "claude-sonnet-4-5-20250929";

/// Default output limit, as in CRS, tokens.
const MAX_TOKENS: u32 = 1_000;

/// Maximum output limit, as in CRS, tokens.
const MOST_TOKENS: u32 = 4_096;

/// Limit for an error body, bytes.
const ERROR_LIMIT: usize = 64 << 10;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The test's settings.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyTestInput)]
pub(in crate::http) struct KeyTestInput {
    /// The key. Its id is not sufficient, because the call is charged to it.
    #[schema(value_type = String)]
    api_key: Option<KeyText>,
    /// Default: `claude-sonnet-4-5-20250929`.
    model: Option<String>,
    /// Default: `hi`.
    prompt: Option<String>,
    /// 1 to 4096 tokens. Default: 1000.
    #[schema(minimum = 1, maximum = 4096)]
    max_tokens: Option<u32>,
}

/// Makes a real call of the Messages API with a key, like any client of the key, and reports it. The call is
/// charged to the key, counts towards its limits, and may be refused by them.
///
/// Server-sent events, each `data: {"type": ..}`, with CRS's names: `test_start`; `content` with the next `text`;
/// `message_stop`; `error` with the message of an error inside the stream; and finally `test_complete` with
/// `success`, `error` on failure, `durationMs`, and the `requestId` of the call. Accounts are not mentioned.
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
        events: VecDeque::from([start]),
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

/// The call as its client would send it, with the caller's user agent.
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

/// A running test. If the client's connection closes, the test is dropped together with its call.
struct Test {
    app: App,
    /// Microseconds of the clock.
    began: u64,
    /// Events to send.
    events: VecDeque<String>,
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

/// The end of the stream, as far as it has been read.
#[derive(Default)]
struct StreamEnd {
    stopped: bool,
    error: Option<String>,
}

impl Test {
    /// The next event; `None` after the last.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.events.pop_front() {
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
        let events: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = words(&events).unwrap_or_else(|| format!("The call failed with status {}.", head.status));
        self.complete(Some(&error), request_id.as_deref());
    }

    async fn read(&mut self, mut answer: Answer) {
        let events = &mut self.events;
        let seen = &mut answer.seen;
        let whole = match answer.body.next().await {
            Some(Ok(bytes)) => {
                if answer.lines.feed(&bytes, |data| tell(data, seen, events)).is_ok() {
                    self.phase = Phase::Reads(Box::new(answer));
                    return;
                }
                false
            }
            Some(Err(_)) => false,
            None => {
                answer.lines.finish(|data| tell(data, seen, events));
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
            // As in CRS, missing members are left out.
            for (name, value) in [("error", error), ("requestId", request_id)] {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), value.into());
                }
            }
        }
        self.events.push_back(event(&last));
    }
}

/// Converts one event of the Messages API into CRS's events.
fn tell(data: &[u8], seen: &mut StreamEnd, events: &mut VecDeque<String>) {
    let Ok(said) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    match said.get("type").and_then(Value::as_str) {
        Some("content_block_delta") => {
            let text = said.pointer("/delta/text").and_then(Value::as_str);
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                events.push_back(event(&json!({ "type": "content", "text": text })));
            }
        }
        Some("message_stop") => {
            seen.stopped = true;
            events.push_back(event(&json!({ "type": "message_stop" })));
        }
        Some("error") => {
            let error = words(&said).unwrap_or_else(|| "The provider broke the answer off.".to_owned());
            events.push_back(event(&json!({ "type": "error", "error": error })));
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
        let (mut seen, mut events) = (StreamEnd::default(), VecDeque::new());
        for data in [
            json!({"type": "message_start", "message": {}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a\nb"}}),
            json!({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}),
            json!({"type": "message_stop"}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        ] {
            tell(data.to_string().as_bytes(), &mut seen, &mut events);
        }
        tell(b"no JSON", &mut seen, &mut events);
        assert_eq!(
            Vec::from(events),
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
