mod azure;

use crs_durable::pool::Outcome;

use super::*;
use crate::account::{PROBE_AFTER_MS, known};

const NOW: Millis = 1_800_000_000_000;

fn judge(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Verdict {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    answer(
        "gpt-5",
        StatusCode::from_u16(status).unwrap(),
        &headers,
        body.as_bytes(),
        NOW,
    )
}

fn error(kind: &str, code: &str) -> String {
    serde_json::json!({"error": {"message": "words", "type": kind, "param": null, "code": code}}).to_string()
}

fn throttle(verdict: &Verdict) -> (Option<Millis>, Option<&str>) {
    let Outcome::Throttled { until, family, .. } = &verdict.outcome else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        (verdict.then, verdict.code),
        (Then::NextAccount, Code::AccountsLimited)
    );
    (*until, family.as_deref())
}

#[test]
fn faults_of_the_client_are_passed_on() {
    for status in [400, 404, 405, 409, 413, 415, 422] {
        let verdict = judge(status, &[], &error("invalid_request_error", "model_not_found"));
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::PassOn, Outcome::Neutral),
            "{status}"
        );
    }
}

#[test]
fn a_401_is_refreshed_first() {
    let verdict = judge(401, &[], &error("invalid_request_error", "invalid_api_key"));
    assert_eq!(verdict.then, Then::RefreshFirst);
    assert_eq!(
        verdict.outcome,
        Outcome::Denied {
            why: "words".to_owned(),
            until: None
        }
    );
    for code in [
        "token_expired",
        "token_invalidated",
        "token_revoked",
        "account_deactivated",
    ] {
        assert_eq!(
            judge(401, &[], &error("x", code)).then,
            Then::RefreshFirst,
            "{code}"
        );
    }
    for detail in [
        "Could not parse your authentication token. Please try signing in again.",
        "Provided authentication token is expired. Please try signing in again.",
        "Your authentication token has been invalidated. Please try signing in again.",
        "Incorrect API key provided: sk-x. You can find your API key at ..",
        "Authentication Fails, Your api key: ****0000 is invalid",
    ] {
        let verdict = judge(401, &[], &serde_json::json!({ "detail": detail }).to_string());
        assert_eq!(verdict.then, Then::RefreshFirst, "{detail}");
        let why = detail.to_owned();
        assert_eq!(verdict.outcome, Outcome::Denied { why, until: None });
    }
}

#[test]
fn a_401_of_unknown_words_marks_nobody() {
    for body in [
        "",
        "<html>401</html>",
        r#"{"error":{"message":"Unauthorized"}}"#,
        r#"{"error":"Unauthorized"}"#,
        r#"{"error":{"message":"model `Incorrect API key provided` is not yours","type":"authentication_error"}}"#,
    ] {
        let verdict = judge(401, &[], body);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::RefreshThenConfirm, Code::PassedOn),
            "{body}"
        );
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{body}");
    }
}

#[test]
fn a_window_says_more_than_a_header_that_was_cut() {
    let windows = [
        ("x-codex-primary-used-percent", "100"),
        ("x-codex-primary-reset-after-seconds", "9000"),
    ];
    let body = r#"{"error":{"type":"usage_limit_reached"}}"#;
    let until =
        |wait, windows: &[_]| throttle(&judge(429, &[&[("retry-after", wait)], windows].concat(), body)).0;
    assert_eq!(until("9999999999", &windows), Some(NOW + 9_000_000));
    assert_eq!(until("9999999999", &[]), Some(NOW + 3_600_000));
    assert_eq!(until("60", &windows), Some(NOW + 60_000));
}

/// What follows each row of the table.
#[test]
fn known_words_are_about_whom_the_table_says() {
    known::tests::check(KNOWN);
    let says = |status: u16, code: &str, message: &str| {
        let error =
            serde_json::json!({"error": {"message": message, "type": "request_forbidden", "code": code}});
        judge(status, &[], &error.to_string())
    };
    for (status, code, message) in [
        (
            400,
            "billing_hard_limit_reached",
            "Billing hard limit has been reached",
        ),
        (402, "invalid_request_error", "Insufficient Balance"),
        (402, "402", "Insufficient credits. Add more."),
        (
            403,
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
        ),
        (403, "account_deactivated", "Your account has been deactivated"),
        (429, "insufficient_quota", "You exceeded your current quota"),
        (429, "credit_balance_exhausted", "No credit is left"),
        (429, "billing_not_active", "Your account is not active"),
    ] {
        let verdict = says(status, code, message);
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
    for (status, code) in [
        (402, "deactivated_workspace"),
        (403, "invalid_workspace_selected"),
    ] {
        let verdict = judge(status, &[], &format!(r#"{{"detail":{{"code":"{code}"}}}}"#));
        assert!(
            matches!(verdict.outcome, Outcome::Denied { until: Some(_), .. }),
            "{code}"
        );
    }
    for (status, message) in [
        (
            401,
            "You have insufficient permissions for this operation. Missing scopes: api.responses.write.",
        ),
        (
            429,
            "Request too large for gpt-5 in organization org-x on tokens per min (TPM): Limit 30000, Requested 60000.",
        ),
    ] {
        let verdict = says(status, "rate_limit_exceeded", message);
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::Confirm, Outcome::Neutral),
            "{message}"
        );
    }
}

#[test]
fn a_403_of_unknown_words_is_another_accounts_to_confirm() {
    let model = r#"{"error":{"message":"Project `proj_abc` does not have access to model `gpt-image-2`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    for (status, body) in [(403, model), (403, "<html>"), (403, ""), (402, "{}")] {
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
fn an_account_without_credit_is_marked_and_not_cooled_down() {
    let verdict = judge(
        429,
        &[("retry-after", "3")],
        &error("insufficient_quota", "insufficient_quota"),
    );
    assert!(
        matches!(verdict.outcome, Outcome::Denied { until: Some(until), .. } if until == NOW + PROBE_AFTER_MS)
    );
}

#[test]
fn a_usage_limit_holds_for_all_models_until_its_reset() {
    for (told, until) in [
        (r#""resets_in_seconds":3600"#, Some(NOW + 3_600_000)),
        (r#""resets_at":1800000600"#, Some(NOW + 600_000)),
        (r#""plan_type":"plus""#, None),
    ] {
        let body = format!(r#"{{"error":{{"type":"usage_limit_reached","message":"x",{told}}}}}"#);
        assert_eq!(throttle(&judge(429, &[], &body)), (until, None), "{told}");
    }
    let by_headers = judge(
        429,
        &[
            ("x-codex-primary-used-percent", "100"),
            ("x-codex-primary-reset-after-seconds", "90"),
            ("x-codex-secondary-used-percent", "12"),
            ("x-codex-secondary-reset-after-seconds", "604800"),
        ],
        r#"{"error":{"type":"usage_limit_reached"}}"#,
    );
    assert_eq!(throttle(&by_headers), (Some(NOW + 90_000), None));
}

#[test]
fn a_rate_limit_holds_for_its_model_until_its_reset() {
    let body = error("rate_limit_error", "rate_limit_exceeded");
    for (headers, until) in [
        (&[("retry-after", "7")][..], Some(NOW + 7_000)),
        (
            &[("retry-after-ms", "1500"), ("retry-after", "7")],
            Some(NOW + 1_500),
        ),
        (
            &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1m30s"),
            ],
            Some(NOW + 90_000),
        ),
        (&[], None),
    ] {
        assert_eq!(throttle(&judge(429, headers, &body)), (until, Some("gpt-5")));
    }
}

#[test]
fn an_overload_parks_nobody() {
    for (status, code) in [
        (503, "server_is_overloaded"),
        (503, "slow_down"),
        (429, "slow_down"),
        (429, "server_is_overloaded"),
    ] {
        let verdict = judge(status, &[], &error("service_unavailable_error", code));
        assert!(matches!(verdict.outcome, Outcome::Unwell { .. }));
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::NextAccount, Code::ProviderOverloaded)
        );
    }
}

#[test]
fn failures_of_the_provider_move_on() {
    for status in [302, 408, 500, 502, 503, 504, 520] {
        let verdict = judge(status, &[], "oops");
        assert!(matches!(verdict.outcome, Outcome::Unwell { .. }), "{status}");
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::NextAccount, Code::ProviderFailed)
        );
    }
}

#[test]
fn a_stream_may_open_with_an_error() {
    let opens = |text: &str| match opening("gpt-5", text.as_bytes(), NOW) {
        Opening::Error(verdict) => Some(verdict.code),
        Opening::Well => None,
        Opening::Unclear | Opening::Refusal { .. } => panic!("{text}"),
    };
    let failed = |code: &str| {
        opens(&format!(
            "event: response.failed\ndata: {{\"type\":\"response.failed\",\"response\":{{\"status\":\"failed\",\"error\":{{\"code\":\"{code}\",\"message\":\"words\"}}}}}}\n\n"
        ))
    };
    assert_eq!(failed("server_is_overloaded"), Some(Code::ProviderOverloaded));
    assert_eq!(failed("server_error"), Some(Code::ProviderFailed));
    assert_eq!(failed("rate_limit_exceeded"), Some(Code::AccountsLimited));
    assert_eq!(failed("insufficient_quota"), Some(Code::NoAccount));
    assert_eq!(failed("context_length_exceeded"), None);
    let bare =
        opens("event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\"}\n\n");
    assert_eq!(bare, Some(Code::ProviderFailed));
    let chat = opens("data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n");
    assert_eq!(chat, Some(Code::ProviderFailed));
    assert_eq!(
        opens(
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n"
        ),
        None
    );
    for good in ["{\"id\":\"resp_1\"}", ": a comment\n\n", "event: r\ndata: {\"typ"] {
        assert_eq!(opens(good), None, "{good}");
    }
    // Cut anywhere before its line ends, an error cannot be told yet.
    let cut = b"event: response.failed\ndata: {\"type\":\"response.failed\"";
    assert_eq!(opening("gpt-5", cut, NOW), Opening::Unclear);
}

#[test]
fn a_limit_per_minute_rests_the_model_for_the_wait_it_tells() {
    let says = |limit: u64, requested: u64| {
        let message = format!(
            "Rate limit reached for gpt-5 in organization org-1 on tokens per min (TPM): Limit {limit}, Used 22999, Requested {requested}. Please try again in 6.2s. Visit https://platform.openai.com/account/rate-limits to learn more."
        );
        serde_json::json!({"error": {"message": message, "type": "tokens", "param": null, "code": "rate_limit_exceeded"}})
            .to_string()
    };
    let windows = [
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "46s"),
        ("retry-after", "46"),
    ];
    for headers in [&windows[..], &[]] {
        let verdict = judge(429, headers, &says(30_000, 12_528));
        assert_eq!(throttle(&verdict), (Some(NOW + 6_200), Some("gpt-5")));
        assert_eq!(verdict.retry_at, Some(NOW + 6_200));
        // More than the limit at once: nothing that others ask is meant.
        let verdict = judge(429, headers, &says(30_000, 30_001));
        assert_eq!((verdict.then, verdict.outcome), (Then::Confirm, Outcome::Neutral));
    }
    let opening = |limit, requested| {
        let event = format!("event: error\ndata: {}\n\n", says(limit, requested));
        super::opening("gpt-5", event.as_bytes(), NOW)
    };
    let Opening::Error(verdict) = opening(30_000, 12_528) else {
        panic!("an error")
    };
    assert_eq!(throttle(&verdict), (Some(NOW + 6_200), Some("gpt-5")));
    assert_eq!(opening(30_000, 30_001), Opening::Well, "the client's to read");
}

#[test]
fn a_provider_in_trouble_may_say_until_when() {
    for status in [500, 502, 503] {
        let verdict = judge(status, &[("retry-after", "30")], &error("server_error", "x"));
        let until = Some(NOW + 30_000);
        assert!(matches!(&verdict.outcome, Outcome::Unwell { until: told, .. } if *told == until));
        assert_eq!(verdict.retry_at, until);
    }
}
