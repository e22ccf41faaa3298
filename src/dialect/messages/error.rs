//! The relay's errors for clients of the Messages API.
//!
//! Source: Anthropic's page "Errors".

use serde::Serialize;

use crate::error::{Code, Failure};

/// The error object of the Messages API, <https://docs.anthropic.com/en/api/errors>.
pub(crate) fn body(failure: &Failure, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Outer<'a> {
        r#type: &'static str,
        error: Inner<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'static str,
        message: &'a str,
    }
    let error = Inner {
        r#type: error_type(failure),
        message: &failure.message,
    };
    // Strings always serialise.
    serde_json::to_string(&Outer {
        r#type: "error",
        error,
        request_id,
    })
    .unwrap_or_default()
}

fn error_type(failure: &Failure) -> &'static str {
    match (failure.code, failure.status.as_u16()) {
        (Code::ProviderOverloaded, _) | (_, 529) => "overloaded_error",
        (_, 400) => "invalid_request_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404 | 405) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (_, 408 | 504) => "timeout_error",
        _ => "api_error",
    }
}
