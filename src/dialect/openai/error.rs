//! The relay's failures as OpenAI's errors.
//!
//! Codex's reactions were measured (0.169.0, a provider that never recovers):
//!
//! | answer | requests | shown to the user |
//! | --- | --- | --- |
//! | 500, 502 | 30 within 25 s; with `retry-after` each waits that long | the status |
//! | 503 `server_is_overloaded` | 5 within 4 s, then it stops | "at capacity" |
//! | 429 with `retry-after` | 6, each waits that long | the status |
//! | 429 without | 1 | "retry limit" |
//! | 429 `usage_limit_reached` | 1 | "hit your usage limit", and until when |
//! | 401, 402, 403, 404, 409 | 6 within 7 s | our message |
//! | 400 | 1 | our message |
//!
//! So failures of the provider, and temporary ones of the relay, are 503 `server_is_overloaded` without
//! `retry-after`: short outages are bridged, long ones are not multiplied, and the SDKs retry on any 503.
//! Failures that only the operator can fix are 400, the only status for which Codex shows our message at once.

use bytes::Bytes;
use crs_durable::Millis;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::dialect::call::Endpoint;
use crate::dialect::refusal::Refusal;
use crate::error::{Code, Failure};

/// A limit that lifts within this time is worth waiting for, seconds.
const SOON: u64 = 60;

pub(crate) fn refusal(failure: &Failure, request_id: &str, now: Millis) -> Refusal {
    let error = ErrorObject::new(failure, request_id, now);
    let mut refusal = Refusal::of(failure, json!({ "error": error }).to_string());
    if is_hopeless(failure) {
        refusal.status = StatusCode::BAD_REQUEST;
    } else if failure.status.is_server_error() {
        refusal.status = StatusCode::SERVICE_UNAVAILABLE;
        refusal.retry_after = None;
    } else if is_used_up(failure) {
        refusal.should_retry = Some(false);
    }
    refusal
}

pub(crate) fn in_stream(endpoint: Endpoint, failure: &Failure, request_id: &str) -> Bytes {
    // Errors inside a stream have no retry time.
    let error = ErrorObject::new(failure, request_id, 0);
    if endpoint == Endpoint::ChatCompletions {
        return Bytes::from(format!("data: {}\n\n", json!({ "error": error })));
    }
    // The API's own event has the fields at the top level. The SDKs raise an exception only for a nested `error`,
    // and Codex reconnects after any stream without `response.completed`.
    let event = json!({
        "type": "error", "code": error.code, "message": error.message, "param": null, "error": error,
    });
    Bytes::from(format!("event: error\ndata: {event}\n\n"))
}

/// A retry does not help; only the operator can fix it.
fn is_hopeless(failure: &Failure) -> bool {
    failure.code == Code::NoAccount && failure.retry_after.is_none()
}

/// Seconds until the limit lifts, if that is long.
fn is_far_off(failure: &Failure) -> Option<u64> {
    let limited = failure.status == StatusCode::TOO_MANY_REQUESTS;
    failure.retry_after.filter(|wait| limited && *wait > SOON)
}

/// Over a limit that does not lift soon, or not by itself.
fn is_used_up(failure: &Failure) -> bool {
    let ends_by_itself = failure.retry_after.is_some() || failure.should_retry != Some(false);
    is_far_off(failure).is_some() || failure.status == StatusCode::TOO_MANY_REQUESTS && !ends_by_itself
}

/// The error object, <https://platform.openai.com/docs/guides/error-codes>. `reason` and `request_id` are
/// ours.
#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
    reason: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<u64>,
}

impl<'a> ErrorObject<'a> {
    fn new(failure: &'a Failure, request_id: &'a str, now: Millis) -> Self {
        let (kind, code) = names(failure);
        let wait = is_far_off(failure);
        Self {
            message: &failure.message,
            r#type: kind,
            param: None,
            code,
            reason: failure.code.name(),
            request_id,
            resets_in_seconds: wait,
            resets_at: wait.map(|wait| now / 1000 + wait),
        }
    }
}

fn names(failure: &Failure) -> (&'static str, &'static str) {
    match failure.status.as_u16() {
        _ if is_hopeless(failure) => ("service_unavailable_error", "no_account"),
        429 if is_used_up(failure) => ("usage_limit_reached", "usage_limit_reached"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        401 => ("invalid_request_error", "invalid_api_key"),
        500.. => ("service_unavailable_error", "server_is_overloaded"),
        _ => ("invalid_request_error", failure.code.name()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn error_json(failure: &Failure) -> (u16, Value, Refusal) {
        let refusal = refusal(failure, "req_1", NOW);
        let body: Value = serde_json::from_str(&refusal.body).unwrap();
        (refusal.status.as_u16(), body["error"].clone(), refusal)
    }

    #[test]
    fn failures_that_pass_are_not_multiplied() {
        for code in [
            Code::ProviderFailed,
            Code::ProviderTimeout,
            Code::ProviderBroke,
            Code::ProviderOverloaded,
            Code::RelayUnavailable,
            Code::Internal,
        ] {
            let (status, error, refusal) = error_json(&Failure::new(code, "x").retry_after(2));
            assert_eq!((status, &error["code"]), (503, &json!("server_is_overloaded")));
            assert_eq!(
                (&error["reason"], refusal.retry_after),
                (&json!(code.name()), None)
            );
        }
        let with_status = Failure::new(Code::ProviderFailed, "x").with_status(StatusCode::BAD_GATEWAY);
        assert_eq!(error_json(&with_status).0, 503);
        assert_eq!(
            error_json(&Failure::new(Code::NoAccount, "x").retry_after(9)).0,
            503
        );
    }

    #[test]
    fn what_the_operator_must_mend_is_said_at_once() {
        let (status, error, refusal) = error_json(&Failure::new(Code::NoAccount, "Ask the operator."));
        assert_eq!(
            (status, &error["message"], refusal.should_retry),
            (400, &json!("Ask the operator."), Some(false))
        );
    }

    #[test]
    fn a_limit_that_lifts_soon_is_waited_for() {
        let (status, error, refusal) = error_json(&Failure::new(Code::AccountsLimited, "x").retry_after(60));
        assert_eq!((status, &error["code"]), (429, &json!("rate_limit_exceeded")));
        assert_eq!((refusal.retry_after, refusal.should_retry), (Some(60), None));
    }

    #[test]
    fn a_limit_that_does_not_is_a_usage_limit() {
        let (status, error, refusal) = error_json(&Failure::new(Code::AccountsLimited, "x").retry_after(500));
        assert_eq!((status, &error["type"]), (429, &json!("usage_limit_reached")));
        assert_eq!(
            (&error["resets_in_seconds"], &error["resets_at"]),
            (&json!(500), &json!(1_800_000_500))
        );
        assert_eq!(
            (refusal.retry_after, refusal.should_retry),
            (Some(500), Some(false))
        );
    }

    #[test]
    fn every_error_has_its_name_and_the_requests_id() {
        for (code, status, name) in [
            (Code::UnknownKey, 401, "invalid_api_key"),
            (Code::ServiceNotPermitted, 403, "service_not_permitted"),
            (Code::InvalidBody, 400, "invalid_body"),
            (Code::NotFound, 404, "not_found"),
            (Code::BodyTooLarge, 413, "body_too_large"),
        ] {
            let (got, error, _) = error_json(&Failure::new(code, "x"));
            assert_eq!(
                (got, &error["code"], &error["request_id"]),
                (status, &json!(name), &json!("req_1"))
            );
        }
    }

    #[test]
    fn a_stream_ends_as_its_protocol_has_it() {
        let failure = Failure::new(Code::StreamBroken, "It broke.");
        let text = |endpoint| String::from_utf8(in_stream(endpoint, &failure, "req_1").to_vec()).unwrap();
        let responses = text(Endpoint::Responses);
        let data = responses.strip_prefix("event: error\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["type"], &data["message"], &data["error"]["reason"]),
            (&json!("error"), &json!("It broke."), &json!("stream_broken"))
        );
        let chat = text(Endpoint::ChatCompletions);
        assert!(
            chat.starts_with("data: {\"error\":{") && chat.ends_with("}}\n\n"),
            "{chat}"
        );
    }
}
