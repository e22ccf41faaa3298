//! The names of Bedrock's errors: exceptions inside a stream, and the header `x-amzn-errortype` outside of one.
//!
//! Source: AWS documentation, "InvokeModel: Errors" and "ResponseStream".

use http::HeaderMap;

pub(in super::super) const QUOTA: &str = "ServiceQuotaExceededException";
pub(in super::super) const NOT_READY: &str = "ModelNotReadyException";
pub(in super::super) const NOT_FOUND: &str = "ResourceNotFoundException";

/// Exceptions and the types that they have in Anthropic's form.
const TYPES: [(&str, &str); 11] = [
    // 400
    ("ValidationException", "invalid_request_error"),
    (QUOTA, "rate_limit_error"),
    // 403
    ("AccessDeniedException", "permission_error"),
    // 404
    (NOT_FOUND, "not_found_error"),
    // 408
    ("ModelTimeoutException", "timeout_error"),
    // 424
    ("ModelErrorException", "api_error"),
    ("ModelStreamErrorException", "api_error"),
    // 429
    ("ThrottlingException", "rate_limit_error"),
    (NOT_READY, "overloaded_error"),
    // 500
    ("InternalServerException", "api_error"),
    // 503
    ("ServiceUnavailableException", "overloaded_error"),
];

/// The exception that a refusal names: `ThrottlingException:http://internal.amazon.com/coral/`, maybe after a
/// namespace and `#` (Smithy's specification, "AWS restJson1 protocol: Operation error serialization").
pub(in super::super) fn of(headers: &HeaderMap) -> Option<&str> {
    let named = headers.get("x-amzn-errortype")?.to_str().ok()?;
    let name = named.split(':').next()?;
    Some(name.rsplit('#').next()?.trim())
}

/// The type in Anthropic's form. Exceptions in a stream have the same names in lower camel case.
pub(in super::super) fn error_type(exception: &str) -> Option<&'static str> {
    let row = TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(exception));
    row.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_exception() {
        for (header, expected) in [
            ("ThrottlingException", "ThrottlingException"),
            (
                "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
                "ValidationException",
            ),
            (
                "com.amazonaws.bedrockruntime#AccessDeniedException",
                "AccessDeniedException",
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-amzn-errortype", header.parse().unwrap());
            assert_eq!(of(&headers), Some(expected));
        }
        assert_eq!(of(&HeaderMap::new()), None);
    }

    #[test]
    fn both_spellings_have_a_type() {
        assert_eq!(error_type("throttlingException"), Some("rate_limit_error"));
        assert_eq!(error_type("AccessDeniedException"), Some("permission_error"));
        assert_eq!(error_type("SomethingElse"), None);
    }
}
