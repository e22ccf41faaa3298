//! Responses over a WebSocket.
//!
//! Each message of the client becomes the body of an ordinary call, and each event of its answer one text frame, so
//! a connection has no second way through the relay. What the protocol adds is here, and nothing of it does I/O.
//!
//! | module | content |
//! | --- | --- |
//! | [`request`] | a client's message: the body of its turn |
//! | [`carried`] | the conversation that a follow-up continues |
//! | [`events`] | an answer's events as frames, and how a turn ends |
//! | [`provider`] | the same protocol from the other side: a body becomes a provider's message, its frames become events |
//!
//! Facts: OpenAI's guide "WebSocket mode" (developers.openai.com/api/docs/guides/websocket-mode) and Codex' client
//! (openai/codex, `codex-api/src/endpoint/responses_websocket.rs`, `core/src/client.rs`).
//!
//! - `response.create` has the fields of an HTTP body; `stream` and `background` mean nothing. `generate: false` warms
//!   up: the answer has an id to continue from and no output.
//! - `previous_response_id` with the new items continues the connection's last response, also with `store: false`.
//!   Codex always sends `store: false`, one turn at a time, and its whole input on a new connection. Its other message
//!   is `response.processed`, which asks for nothing.
//! - An error is `{"type":"error","status":...,"error":{...}}`. Codex reads it like an HTTP answer, with `headers` for
//!   `retry-after`, and then leaves; an `error` without a status it ignores and waits on. `response.failed` it repeats
//!   on a new connection, and so it does after `websocket_connection_limit_reached`.
//! - A connection knows its last response only, and after a turn that failed none. It takes one turn at a time, for an
//!   hour.
//! - ChatGPT sends the plan's windows in an event of its own, `codex.rate_limits`, before the response. HTTP has them in
//!   headers.
//! - Several conversations at once (`stream_id`) are refused: Codex has one.

pub(crate) mod carried;
pub(crate) mod events;
pub(crate) mod provider;
pub(crate) mod request;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::dialect::wire::object::Object;

/// The version of the protocol in `openai-beta`, of clients that name none. Codex sends it to both of OpenAI's hosts.
const VERSION: HeaderValue = HeaderValue::from_static("responses_websockets=2026-02-06");

/// The version to name to providers: the client's own, if this is one.
pub(crate) fn version(client: Option<&HeaderValue>) -> HeaderValue {
    let own = client.filter(|value| {
        let text = value.to_str().unwrap_or_default();
        text.contains("responses_websockets=")
    });
    own.cloned().unwrap_or(VERSION)
}

/// An error that OpenAI documents for WebSockets and HTTP has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketError {
    /// The response to continue is neither on this connection nor stored.
    PreviousNotFound,
    /// The client must open another connection and send its whole input there.
    ConnectionLimit,
}

impl SocketError {
    /// The text frame that says so.
    pub(crate) fn frame(self) -> String {
        let error = match self {
            Self::PreviousNotFound => json!({
                "type": "invalid_request_error", "code": "previous_response_not_found",
                "message": "This connection does not know the response of previous_response_id. Send the whole input without it.",
                "param": "previous_response_id",
            }),
            Self::ConnectionLimit => json!({
                "type": "invalid_request_error", "code": "websocket_connection_limit_reached",
                "message": "This WebSocket connection is at its limit. Create a new one, and send the whole input there.",
                "param": null,
            }),
        };
        error_frame(StatusCode::BAD_REQUEST, &error, &Value::Null)
    }
}

/// A refused call as a text frame: its status, the error of its body, and the headers that clients obey.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let error = Object::parse(body)
        .ok()
        .and_then(|body| body.get::<Value>("error"))
        .filter(Value::is_object);
    let error = error.unwrap_or_else(|| {
        let words: String = String::from_utf8_lossy(body).chars().take(500).collect();
        json!({ "type": "server_error", "code": null, "message": words, "param": null })
    });
    let kept = headers
        .iter()
        .filter(|(name, _)| {
            matches!(name.as_str(), "retry-after" | "x-should-retry" | "x-request-id")
                || name.as_str().starts_with("x-codex-")
        })
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?))));
    error_frame(status, &error, &Value::Object(kept.collect()))
}

fn error_frame(status: StatusCode, error: &Value, headers: &Value) -> String {
    let mut frame = json!({ "type": "error", "status": status.as_u16(), "error": error });
    if let (Some(frame), Some(headers)) = (frame.as_object_mut(), headers.as_object())
        && !headers.is_empty()
    {
        frame.insert("headers".to_owned(), Value::Object(headers.clone()));
    }
    frame.to_string()
}

/// The plan's windows, which an HTTP answer has in its headers, as Codex' own event; `None` if it has none.
pub(crate) fn rate_limits(headers: &HeaderMap) -> Option<String> {
    let number = |window: &str, what: &str| {
        let value: &HeaderValue = headers.get(format!("x-codex-{window}-{what}").as_str())?;
        value.to_str().ok()?.parse::<f64>().ok()
    };
    let whole = |value: Option<f64>| value.map(|value| value as i64);
    let window = |name: &str| {
        let used = number(name, "used-percent")?;
        Some(json!({
            "used_percent": used,
            "window_minutes": whole(number(name, "window-minutes")),
            "reset_at": whole(number(name, "reset-at")),
        }))
    };
    let (primary, secondary) = (window("primary"), window("secondary"));
    if primary.is_none() && secondary.is_none() {
        return None;
    }
    let limits = json!({ "primary": primary, "secondary": secondary });
    Some(json!({ "type": "codex.rate_limits", "rate_limits": limits }).to_string())
}

/// The frames that answer a warm-up: it made nothing, so it used nothing.
pub(crate) fn warmed_up(id: &str, model: &str, now: u64) -> [String; 2] {
    let event = |number: u64, name: &str, status: &str| {
        let response = json!({
            "id": id, "object": "response", "created_at": now / 1000, "status": status, "error": null,
            "incomplete_details": null, "model": model, "output": [], "parallel_tool_calls": true,
            "tool_choice": "auto", "tools": [], "store": false, "usage": null,
        });
        json!({ "type": name, "sequence_number": number, "response": response }).to_string()
    };
    [
        event(0, "response.created", "in_progress"),
        event(1, "response.completed", "completed"),
    ]
}

/// [`rate_limits`] in the other direction: the headers that an HTTP answer would have.
pub(crate) fn limit_headers(event: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let limits = Object::parse(event).ok();
    let limits = limits.and_then(|event| event.get::<Object<'_>>("rate_limits"));
    for window in ["primary", "secondary"] {
        let Some(figures) = limits
            .as_ref()
            .and_then(|limits| limits.get::<Object<'_>>(window))
        else {
            continue;
        };
        for (member, header) in [
            ("used_percent", "used-percent"),
            ("window_minutes", "window-minutes"),
            ("reset_at", "reset-at"),
            ("reset_after_seconds", "reset-after-seconds"),
        ] {
            let figure: Option<f64> = figures.get(member);
            let name = HeaderName::try_from(format!("x-codex-{window}-{header}"));
            let value = figure.map(|figure| HeaderValue::try_from(figure.to_string()));
            if let (Ok(name), Some(Ok(value))) = (name, value) {
                headers.insert(name, value);
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests;
