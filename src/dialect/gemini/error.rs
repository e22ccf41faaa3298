//! The relay's failures as Google's errors: `google.rpc.Status`, <https://google.aip.dev/193>.

use http::StatusCode;
use serde_json::{Value, json};

use crate::error::Failure;

/// The retry delay for failures that a retry cannot solve, seconds.
const NOT_TODAY: u64 = 86_400;

/// Gemini CLI (0.61.0) reads `RetryInfo` and not `retry-after`: it waits up to five minutes, and stops at once if
/// the delay is longer. Without it, it retries ten times within three minutes.
pub(crate) fn body(failure: &Failure, request_id: &str) -> String {
    let mut details = vec![
        json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": failure.code.name().to_ascii_uppercase(), "domain": "crs-edge",
        }),
        json!({ "@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id }),
    ];
    let retried = failure.status == StatusCode::TOO_MANY_REQUESTS || failure.status.is_server_error();
    let never = || (retried && failure.should_retry == Some(false)).then_some(NOT_TODAY);
    if let Some(wait) = failure.retry_after.or_else(never) {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{wait}s"),
        }));
    }
    let error: Value = json!({
        "code": failure.status.as_u16(), "message": failure.message, "status": status(failure), "details": details,
    });
    json!({ "error": error }).to_string()
}

/// The name of the code for a status.
fn status(failure: &Failure) -> &'static str {
    match failure.status.as_u16() {
        400 | 413 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 => "UNIMPLEMENTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        501.. => "UNAVAILABLE",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn error_json(failure: &Failure) -> Value {
        let body: Value = serde_json::from_str(&body(failure, "req_1")).unwrap();
        body["error"].clone()
    }

    #[test]
    fn an_error_has_googles_form() {
        let error = error_json(&Failure::new(Code::AccountsLimited, "Wait.").retry_after(34));
        assert_eq!(
            (&error["code"], &error["status"], &error["message"]),
            (&json!(429), &json!("RESOURCE_EXHAUSTED"), &json!("Wait."))
        );
        assert_eq!(error["details"][0]["reason"], "ACCOUNTS_LIMITED");
        assert_eq!(error["details"][1]["requestId"], "req_1");
        assert_eq!(error["details"][2]["retryDelay"], "34s");
        let never = Failure {
            should_retry: Some(false),
            ..Failure::new(Code::CostLimited, "Ask.")
        };
        assert_eq!(error_json(&never)["details"][2]["retryDelay"], "86400s");
        assert_eq!(
            error_json(&Failure::new(Code::Internal, "x"))["details"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );
    }

    #[test]
    fn statuses_have_googles_names() {
        for (code, name) in [
            (Code::InvalidBody, "INVALID_ARGUMENT"),
            (Code::UnknownKey, "UNAUTHENTICATED"),
            (Code::ModelRestricted, "PERMISSION_DENIED"),
            (Code::NotFound, "NOT_FOUND"),
            (Code::ProviderTimeout, "DEADLINE_EXCEEDED"),
            (Code::NoAccount, "UNAVAILABLE"),
            (Code::ProviderFailed, "UNAVAILABLE"),
            (Code::Internal, "INTERNAL"),
        ] {
            assert_eq!(error_json(&Failure::new(code, "x"))["status"], name);
        }
    }
}
