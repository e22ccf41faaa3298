use crs_durable::pool::Outcome;

use super::*;
use crate::account::known;
use crate::account::{PROBE_AFTER_MS, Then};

const NOW: Millis = 1_800_000_000_000;

fn judge(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Verdict {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    answer(
        "sonnet",
        StatusCode::from_u16(status).unwrap(),
        &headers,
        body.as_bytes(),
        NOW,
    )
}

fn error(kind: &str, message: &str) -> String {
    serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
}

fn throttle(headers: &[(&'static str, &'static str)]) -> (Option<Millis>, Option<String>) {
    let Outcome::Throttled { until, family, .. } = judge(429, headers, "").outcome else {
        panic!()
    };
    (until, family)
}

#[test]
fn faults_of_the_client_are_passed_on() {
    for status in [400, 404, 405, 409, 413, 422] {
        let verdict = judge(
            status,
            &[],
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#,
        );
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::PassOn, Outcome::Neutral),
            "{status}"
        );
    }
}

#[test]
fn refused_credentials_are_refreshed_once_and_marked_for_good() {
    for message in [
        "invalid x-api-key",
        "Invalid bearer token",
        "Invalid OAuth token. The provided token was not found or is malformed.",
        "Invalid authentication credentials",
        "OAuth token has expired. Please obtain a new token or refresh your existing token.",
        "OAuth token has been revoked. Please obtain a new token.",
    ] {
        let verdict = judge(401, &[], &error("authentication_error", message));
        assert_eq!(verdict.then, Then::RefreshFirst);
        let why = message.to_owned();
        assert_eq!(verdict.outcome, Outcome::Denied { why, until: None });
    }
}

#[test]
fn a_401_of_unknown_words_marks_nobody() {
    for body in [
        String::new(),
        "<html>401</html>".to_owned(),
        r#"{"error":{"message":"Unauthorized"}}"#.to_owned(),
        error("authentication_error", "no"),
        error("authentication_error", "You said: invalid x-api-key"),
        error(
            "authentication_error",
            "You have insufficient permissions for this operation",
        ),
    ] {
        let verdict = judge(401, &[], &body);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::RefreshThenConfirm, Code::PassedOn),
            "{body}"
        );
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{body}");
    }
    for message in [
        "This authentication style is incompatible with the long context beta header.",
        "OAuth authentication is currently not supported.",
    ] {
        let verdict = judge(401, &[], &error("authentication_error", message));
        assert_eq!((verdict.then, verdict.outcome), (Then::Confirm, Outcome::Neutral));
    }
}

#[test]
fn a_request_over_the_tokens_of_a_minute_parks_nobody() {
    for message in [
        "Number of request tokens has exceeded your per-minute rate limit",
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
    ] {
        let judged = |more: &[(&'static str, &'static str)]| {
            let headers = [&[("retry-after", "40")], more].concat();
            judge(429, &headers, &error("rate_limit_error", message))
        };
        let until = |verdict: &Verdict| match verdict.outcome {
            Outcome::Throttled { until, .. } => until,
            _ => panic!("{verdict:?}"),
        };
        let verdict = judged(&[]);
        assert_eq!((until(&verdict), verdict.retry_at), (None, Some(NOW + 40_000)));
        for used_up in [
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-status", "rejected"),
            ("anthropic-ratelimit-requests-remaining", "0"),
        ] {
            assert_eq!(until(&judged(&[used_up])), Some(NOW + 40_000), "{used_up:?}");
        }
    }
}

/// What follows each row of the table.
#[test]
fn known_words_are_about_whom_the_table_says() {
    known::tests::check(KNOWN);
    let says = |status: u16, kind: &str, message: &str| judge(status, &[], &error(kind, message));
    for (status, kind, message) in [
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
        ),
        (
            400,
            "invalid_request_error",
            "This organization has been disabled.",
        ),
        (
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        ),
        (
            401,
            "authentication_error",
            "OAuth authentication is currently not allowed for this organization.",
        ),
        (402, "billing_error", "There is an issue with your billing."),
        (403, "permission_error", "This organization has been disabled."),
        (
            403,
            "permission_error",
            "OAuth authentication is currently not allowed for this organization.",
        ),
        (
            403,
            "permission_error",
            "OAuth token does not meet scope requirement any_of(user:inference, user:ccr_inference)",
        ),
        (
            403,
            "permission_error",
            "OAuth token lacks required scopes. Token must have the following scopes: user:inference",
        ),
    ] {
        let verdict = says(status, kind, message);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::NextAccount, Code::NoAccount),
            "{message}"
        );
        let until = Some(NOW + PROBE_AFTER_MS);
        assert_eq!(
            verdict.outcome,
            Outcome::Denied {
                why: message.to_owned(),
                until
            }
        );
    }
    let revoked = says(
        403,
        "permission_error",
        "OAuth token has been revoked. Please obtain a new token.",
    );
    assert_eq!(revoked.then, Then::RefreshFirst);
    for message in [
        "Extra usage is required for long context requests.",
        "Extra usage is required for 1M context.",
        "Long context requests require extra usage.",
    ] {
        let long = says(429, "rate_limit_error", message);
        assert_eq!((long.then, long.outcome), (Then::Confirm, Outcome::Neutral));
    }
}

#[test]
fn a_403_of_unknown_words_is_another_accounts_to_confirm() {
    for (status, body) in [
        (403, ""),
        (403, "<html>blocked</html>"),
        (
            403,
            r#"{"type":"error","error":{"type":"permission_error","message":"You may not use this file"}}"#,
        ),
        (
            403,
            r#"{"type":"error","error":{"type":"permission_error","message":"not found: This organization has been disabled"}}"#,
        ),
        (402, "{}"),
    ] {
        let verdict = judge(status, &[], body);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::Confirm, Code::PassedOn),
            "{body}"
        );
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{body}");
    }
}

#[test]
fn a_measured_reset_is_trusted() {
    assert_eq!(throttle(&[("retry-after", "30")]).0, Some(NOW + 30_000));
    assert_eq!(
        throttle(&[
            ("anthropic-ratelimit-unified-reset", "1800000900"),
            ("retry-after", "30")
        ])
        .0,
        Some(1_800_000_900_000)
    );
    assert_eq!(throttle(&[]), (None, None));
}

#[test]
fn of_several_exhausted_windows_the_latest_counts() {
    let headers = [
        ("anthropic-ratelimit-unified-reset", "1800000100"),
        ("anthropic-ratelimit-unified-5h-status", "rejected"),
        ("anthropic-ratelimit-unified-5h-reset", "1800000100"),
        ("anthropic-ratelimit-unified-7d-status", "rejected"),
        ("anthropic-ratelimit-unified-7d-reset", "1800300000"),
        ("anthropic-ratelimit-unified-7d_opus-status", "allowed"),
        ("anthropic-ratelimit-unified-7d_opus-reset", "1800900000"),
    ];
    assert_eq!(throttle(&headers).0, Some(1_800_300_000_000));
}

#[test]
fn a_limit_of_one_family_is_confined_to_it() {
    let headers = [
        (
            "anthropic-ratelimit-unified-representative-claim",
            "seven_day_opus",
        ),
        ("retry-after", "60"),
    ];
    assert_eq!(throttle(&headers).1.as_deref(), Some("opus"));
    assert_eq!(
        throttle(&[("anthropic-ratelimit-unified-representative-claim", "five_hour")]).1,
        None
    );
}

#[test]
fn trouble_at_the_provider_parks_nobody() {
    for status in [302, 408, 500, 502, 503, 504, 520, 529] {
        let verdict = judge(status, &[], "");
        assert_eq!(verdict.then, Then::NextAccount, "{status}");
        assert!(matches!(verdict.outcome, Outcome::Unwell { .. }), "{status}");
    }
    assert_eq!(judge(529, &[], "").code, Code::ProviderOverloaded);
}

#[test]
fn a_stream_may_open_with_an_error() {
    let open = |kind: &str| {
        opening(format!("event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"m\"}}}}\n\n").as_bytes())
    };
    let verdict = |opening| match opening {
        Opening::Error(verdict) => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(verdict(open("overloaded_error")).code, Code::ProviderOverloaded);
    assert!(matches!(
        verdict(open("rate_limit_error")).outcome,
        Outcome::Throttled { until: None, .. }
    ));
    assert_eq!(open("invalid_request_error"), Opening::Well);
    assert_eq!(opening(b"event: message_start\ndata: {}\n\n"), Opening::Well);
    // Cut anywhere before its line ends, it cannot be told yet; a good stream can at once.
    let whole = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n";
    for end in 1..whole.len() - 2 {
        assert_eq!(opening(&whole[..end]), Opening::Unclear, "{end}");
    }
    for good in ["event: m", "{", ": ping"] {
        assert_eq!(opening(good.as_bytes()), Opening::Well, "{good}");
    }
}

#[test]
fn a_provider_in_trouble_may_say_until_when() {
    for status in [500, 503, 529] {
        for (value, wait) in [("30", 30_000), ("999999", 3_600_000)] {
            let verdict = judge(status, &[("retry-after", value)], "");
            let until = Some(NOW + wait);
            assert!(matches!(&verdict.outcome, Outcome::Unwell { until: told, .. } if *told == until));
            assert_eq!(verdict.retry_at, until);
        }
        assert_eq!(judge(status, &[], "").retry_at, None);
    }
    // What is the client's stays so.
    assert_eq!(judge(404, &[("retry-after", "30")], "").outcome, Outcome::Neutral);
}

/// Claude in Amazon Bedrock. The names are those of its API reference, "InvokeModel: Errors"; the Messages API there is
/// documented to answer as Anthropic does, and the gateway before it as Amazon's do.
#[test]
fn amazons_errors_are_told_apart_by_their_status() {
    for (status, body, then) in [
        (
            403,
            r#"{"message":"User is not authorized to perform: bedrock:InvokeModel"}"#,
            Then::Confirm,
        ),
        (
            404,
            r#"{"message":"The provided model identifier is invalid."}"#,
            Then::PassOn,
        ),
        (
            400,
            r#"{"message":"The provided model identifier is invalid."}"#,
            Then::PassOn,
        ),
        (408, r#"{"message":"Model timed out."}"#, Then::NextAccount),
        (
            424,
            r#"{"message":"The request failed due to an error while processing the model."}"#,
            Then::NextAccount,
        ),
        (
            429,
            r#"{"message":"Too many requests, please wait before trying again."}"#,
            Then::NextAccount,
        ),
        (
            429,
            r#"{"message":"Model is not ready for inference."}"#,
            Then::NextAccount,
        ),
        (
            500,
            r#"{"message":"The system encountered an unexpected error."}"#,
            Then::NextAccount,
        ),
        (
            503,
            r#"{"message":"Bedrock is unable to process your request."}"#,
            Then::NextAccount,
        ),
    ] {
        let verdict = judge(status, &[], body);
        assert_eq!(verdict.then, then, "{status} {body}");
        assert!(
            !matches!(verdict.outcome, Outcome::Denied { .. }),
            "{status} {body}: no account is marked for it"
        );
    }
}

/// Messages of Amazon about keys and accounts, see [`KNOWN`].
#[test]
fn amazons_words_about_keys_and_accounts_mark_the_account() {
    for (status, body, then) in [
        (
            404,
            r#"{"message":"Model use case details have not been submitted for this account."}"#,
            Then::NextAccount,
        ),
        (
            403,
            r#"{"message":"The security token included in the request is invalid."}"#,
            Then::RefreshFirst,
        ),
        (
            403,
            r#"{"Message":"The security token included in the request is expired"}"#,
            Then::RefreshFirst,
        ),
        (
            403,
            r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key."}"#,
            Then::RefreshFirst,
        ),
        (
            403,
            r#"{"message":"Signature expired: 20150830T123600Z is now earlier than 20150830T124100Z"}"#,
            Then::NextAccount,
        ),
    ] {
        let verdict = judge(status, &[], body);
        assert_eq!(verdict.then, then, "{status} {body}");
        assert!(
            matches!(verdict.outcome, Outcome::Denied { .. }),
            "{status} {body}"
        );
    }
}

/// The header by which Amazon names its exceptions.
const ERROR_TYPE: &str = "x-amzn-errortype";

#[test]
fn amazons_exceptions_say_more_than_the_status() {
    for (status, exception, then, marks) in [
        (400, "ServiceQuotaExceededException", Then::NextAccount, true),
        (400, "ValidationException", Then::PassOn, false),
        (403, "AccessDeniedException", Then::Confirm, false),
        (
            404,
            "ResourceNotFoundException:http://internal.amazon.com/",
            Then::Confirm,
            false,
        ),
        (408, "ModelTimeoutException", Then::NextAccount, false),
        (424, "ModelErrorException", Then::NextAccount, false),
        (429, "ThrottlingException", Then::NextAccount, true),
        (429, "ModelNotReadyException", Then::NextAccount, false),
        (500, "InternalServerException", Then::NextAccount, false),
        (503, "ServiceUnavailableException", Then::NextAccount, false),
    ] {
        let verdict = judge(status, &[(ERROR_TYPE, exception)], r#"{"message":"words"}"#);
        assert_eq!(verdict.then, then, "{exception}");
        let throttled = matches!(verdict.outcome, Outcome::Throttled { .. });
        assert_eq!(throttled, marks, "{exception}");
        assert!(!matches!(verdict.outcome, Outcome::Denied { .. }), "{exception}");
    }
    for (status, message, outcome) in [
        (
            403,
            "You don't have access to the model with the specified model ID.",
            Outcome::Neutral,
        ),
        (
            400,
            "The model returned the following errors: invalid beta flag",
            Outcome::Neutral,
        ),
        (400, "invalid beta flag", Outcome::Neutral),
        (
            400,
            "The provided model doesn't support counting tokens.",
            Outcome::Neutral,
        ),
    ] {
        let body = serde_json::json!({ "message": message }).to_string();
        let verdict = judge(status, &[], &body);
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::Confirm, outcome),
            "{message}"
        );
    }
    let body = r#"{"message":"Your account is not authorized to invoke this API operation."}"#;
    assert!(matches!(judge(403, &[], body).outcome, Outcome::Denied { .. }));
}

#[test]
fn amazons_errors_reach_the_client_in_anthropics_form() {
    let read = |status: u16, exception: Option<&'static str>, body: &str| {
        let mut headers = HeaderMap::new();
        if let Some(exception) = exception {
            headers.insert(ERROR_TYPE, exception.parse().unwrap());
        }
        let error = translated(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes());
        error.map(|error| serde_json::from_slice::<serde_json::Value>(&error).unwrap())
    };
    let words = r#"{"message":"words"}"#;
    for (status, exception, kind) in [
        (400, "ValidationException", "invalid_request_error"),
        (403, "AccessDeniedException", "permission_error"),
        (404, "ResourceNotFoundException", "not_found_error"),
        (403, "InvalidSignatureException", "permission_error"),
        (418, "NewException", "invalid_request_error"),
    ] {
        let expected = serde_json::json!({ "type": "error", "error": { "type": kind, "message": "words" } });
        assert_eq!(
            read(status, Some(exception), words),
            Some(expected),
            "{exception}"
        );
    }
    // Another host's, or in the right form already.
    assert_eq!(read(400, None, words), None);
    let own = error("invalid_request_error", "words");
    assert_eq!(read(400, Some("ValidationException"), &own), None);
}

fn google(code: u16, status: &str, message: &str, reason: Option<&str>) -> String {
    let details: Vec<_> = reason
        .iter()
        .map(|reason| serde_json::json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason }))
        .collect();
    let error = serde_json::json!({ "code": code, "message": message, "status": status, "details": details });
    serde_json::json!([{ "error": error }]).to_string()
}

#[test]
fn googles_quota_is_that_of_a_model() {
    let message = "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model \
                   with base model: anthropic-claude-sonnet-4-5. Please submit a quota increase request.";
    for body in [
        google(429, "RESOURCE_EXHAUSTED", message, None),
        google(429, "RESOURCE_EXHAUSTED", message, None)
            .trim_matches(['[', ']'])
            .to_owned(),
    ] {
        let verdict = judge(429, &[], &body);
        assert_eq!(verdict.then, Then::NextAccount);
        let Outcome::Throttled { until, family, why } = verdict.outcome else {
            panic!()
        };
        assert_eq!((until, family.as_deref()), (None, Some("sonnet")));
        assert!(why.starts_with("Quota exceeded for"), "{why}");
    }
}

#[test]
fn googles_refusals_are_told_apart() {
    let expired = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
                   valid authentication credential.";
    for body in [
        google(401, "UNAUTHENTICATED", expired, None),
        google(401, "UNAUTHENTICATED", "ended", Some("ACCESS_TOKEN_EXPIRED")),
    ] {
        assert_eq!(judge(401, &[], &body).then, Then::RefreshFirst, "{body}");
    }
    let role = "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p' \
                (or it may not exist).";
    for (message, reason) in [
        (role, None),
        (role, Some("IAM_PERMISSION_DENIED")),
        (
            "Vertex AI API has not been used in project 1 before or it is disabled.",
            Some("SERVICE_DISABLED"),
        ),
        (
            "This API method requires billing to be enabled.",
            Some("BILLING_DISABLED"),
        ),
    ] {
        let verdict = judge(403, &[], &google(403, "PERMISSION_DENIED", message, reason));
        let Outcome::Denied { until, .. } = verdict.outcome else {
            panic!("{message}")
        };
        assert_eq!(
            (verdict.then, until),
            (Then::NextAccount, Some(NOW + PROBE_AFTER_MS))
        );
    }
    let other = judge(
        403,
        &[],
        &google(
            403,
            "PERMISSION_DENIED",
            "The caller does not have permission",
            None,
        ),
    );
    assert_eq!(other.then, Then::Confirm);
    assert!(matches!(other.outcome, Outcome::Refused { .. }));
}

#[test]
fn a_model_that_google_does_not_serve_here_may_be_served_elsewhere() {
    let place = "`projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5`";
    for (status, body) in [
        (
            404,
            google(
                404,
                "NOT_FOUND",
                &format!("Publisher Model {place} was not found or your project does not have access to it."),
                None,
            ),
        ),
        (
            400,
            google(
                400,
                "FAILED_PRECONDITION",
                &format!("Project `1` is not allowed to use Publisher Model {place}"),
                None,
            ),
        ),
        (
            400,
            error(
                "invalid_request_error",
                "Unexpected value(s) `x-2026-01-01` for the `anthropic-beta` header.",
            ),
        ),
    ] {
        let verdict = judge(status, &[], &body);
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::Confirm, Outcome::Neutral),
            "{body}"
        );
    }
    let verdict = judge(
        400,
        &[],
        &google(400, "INVALID_ARGUMENT", "max_tokens: Field required", None),
    );
    assert_eq!(verdict.then, Then::PassOn);
}

#[test]
fn googles_errors_reach_the_client_in_anthropics_form() {
    let read = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        let error = translated(status, &HeaderMap::new(), body.as_bytes());
        error.map(|error| serde_json::from_slice::<serde_json::Value>(&error).unwrap())
    };
    for (status, kind) in [
        (400, "invalid_request_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "api_error"),
    ] {
        assert_eq!(
            read(status, &google(status, "STATUS", "words", None)),
            Some(serde_json::json!({ "type": "error", "error": { "type": kind, "message": "words" } }))
        );
    }
    for other in [
        error("api_error", "words"),
        r#"{"message":"words"}"#.to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        assert_eq!(read(400, &other), None, "{other}");
    }
}

#[test]
fn members_of_other_types_hide_nothing() {
    let body = r#"{"type":"error","error":{"details":null,"status":400,"type":"x","message":"Invalid bearer token"}}"#;
    assert_eq!(judge(401, &[], body).then, Then::RefreshFirst);
}
