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
