use crs_durable::pool::Outcome;
use serde_json::json;

use super::*;
use crate::account::{PROBE_AFTER_MS, known};

const NOW: Millis = 1_800_000_000_000;

fn judged(status: u16, body: &str) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    answer("gemini-2.5-pro", status, &HeaderMap::new(), body.as_bytes(), NOW)
}

fn error(code: u16, status: &str, details: Value) -> String {
    json!({"error": {"code": code, "status": status, "message": "words", "details": details}}).to_string()
}

fn limited_until(verdict: Verdict) -> Option<Millis> {
    let Outcome::Throttled { until, family, .. } = verdict.outcome else {
        panic!()
    };
    assert_eq!(
        (verdict.then, verdict.code),
        (Then::NextAccount, Code::AccountsLimited)
    );
    assert_eq!(family.as_deref(), Some("gemini-2.5-pro"));
    until
}

#[test]
fn faults_of_the_client_are_passed_on() {
    for status in [400, 404, 405, 409, 413] {
        let verdict = judged(status, &error(status, "INVALID_ARGUMENT", json!([])));
        assert_eq!(
            (verdict.then, verdict.outcome),
            (Then::PassOn, Outcome::Neutral),
            "{status}"
        );
    }
}

#[test]
fn a_refused_key_is_the_accounts_fault_although_it_is_a_400() {
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let verdict = judged(400, &error(400, "INVALID_ARGUMENT", details));
    assert_eq!(verdict.then, Then::NextAccount);
    assert!(matches!(verdict.outcome, Outcome::Denied { until: None, why } if why == "words"));
}

#[test]
fn refused_credentials_are_renewed_first() {
    let expired = json!([{"reason": "ACCESS_TOKEN_EXPIRED", "metadata": {"service": SERVICES[0]}}]);
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, ..";
    for body in [
        error(401, "UNAUTHENTICATED", expired),
        error(401, "UNAUTHENTICATED", json!([{"reason": "API_KEY_INVALID"}])),
        json!({"error": {"code": 401, "message": message, "status": "UNAUTHENTICATED"}}).to_string(),
    ] {
        let verdict = judged(401, &body);
        assert_eq!(verdict.then, Then::RefreshFirst, "{body}");
        assert!(matches!(verdict.outcome, Outcome::Denied { until: None, .. }));
    }
}

#[test]
fn a_401_of_unknown_words_marks_nobody() {
    let message = "API keys are not supported by this API. Expected OAuth2 access token or other ..";
    let other = json!([{"reason": "API_KEY_INVALID", "metadata": {"service": "places.googleapis.com"}}]);
    for body in [
        String::new(),
        "<html>401</html>".to_owned(),
        json!({"error": {"code": 401, "message": message, "status": "UNAUTHENTICATED"}}).to_string(),
        error(401, "UNAUTHENTICATED", other.clone()),
    ] {
        let verdict = judged(401, &body);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::RefreshThenConfirm, Code::PassedOn),
            "{body}"
        );
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{body}");
    }
    assert_eq!(
        judged(400, &error(400, "INVALID_ARGUMENT", other)).then,
        Then::PassOn
    );
}

/// What follows each row of the table.
#[test]
fn known_words_are_about_whom_the_table_says() {
    known::tests::check(KNOWN);
    let is_marked = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Denied { until: Some(until), .. } if until == NOW + PROBE_AFTER_MS);
    for row in KNOWN.iter().filter(|row| row.about == Subject::Account) {
        let (message, details) = match row.says {
            Pattern::Begins(begin) => (format!("{begin}. Ask."), json!([])),
            Pattern::Word(reason) => (
                "words".to_owned(),
                json!([{"reason": reason, "metadata": {"service": SERVICES[0]}}]),
            ),
        };
        let body = json!({"error": {"code": row.status, "message": message, "details": details}});
        assert!(
            is_marked(&judged(row.status, &body.to_string())),
            "{:?}",
            row.says
        );
    }
    // As they were reported.
    for (status, body) in [
        (
            400,
            json!({"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}}),
        ),
        (
            403,
            json!([{"error": {"code": 403, "message": "This service has been disabled in this account for violation of Terms of\n\t\tService. If you believe this is an error, ..", "status": "PERMISSION_DENIED"}}]),
        ),
        (
            403,
            json!({"error": {"code": 403, "message": "Permission denied: Consumer 'x' has been suspended.", "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED", "domain": "googleapis.com"}]}}),
        ),
    ] {
        assert!(is_marked(&judged(status, &body.to_string())), "{body}");
    }
}

#[test]
fn what_a_request_wanted_is_not_held_against_the_account() {
    let file = json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "The File x is not in an ACTIVE state and usage is not allowed."}});
    assert_eq!(judged(400, &file.to_string()).then, Then::PassOn);
    let other = json!([{"reason": "SERVICE_DISABLED", "metadata": {"service": "places.googleapis.com"}}]);
    for body in [
        error(403, "PERMISSION_DENIED", other),
        error(403, "PERMISSION_DENIED", json!([])),
        "<html>".to_owned(),
    ] {
        let verdict = judged(403, &body);
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::Confirm, Code::PassedOn),
            "{body}"
        );
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{body}");
    }
}

#[test]
fn a_request_over_the_tokens_of_a_minute_parks_nobody() {
    let limits = |ids: &[&str]| {
        let violations: Vec<_> = ids.iter().map(|id| json!({"quotaId": id})).collect();
        let details = json!([{"violations": violations}, {"retryDelay": "20s"}]);
        judged(429, &error(429, "RESOURCE_EXHAUSTED", details))
    };
    let tokens = "GenerateContentInputTokensPerModelPerMinute-FreeTier";
    let verdict = limits(&[tokens]);
    assert_eq!(verdict.retry_at, Some(NOW + 20_000));
    assert_eq!(limited_until(verdict), None);
    let requests = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    assert_eq!(limited_until(limits(&[tokens, requests])), Some(NOW + 20_000));
}

#[test]
fn a_limit_lifts_when_the_answer_says() {
    let retry = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}]);
    assert_eq!(
        limited_until(judged(429, &error(429, "RESOURCE_EXHAUSTED", retry))),
        Some(NOW + 34_075)
    );
    let info = json!([{"reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": "8h44m7s"}}]);
    assert_eq!(
        limited_until(judged(429, &error(429, "RESOURCE_EXHAUSTED", info))),
        Some(NOW + 31_447_000)
    );
    let in_a_list = format!(
        "[{}]",
        error(429, "RESOURCE_EXHAUSTED", json!([{"retryDelay": "2s"}]))
    );
    assert_eq!(limited_until(judged(429, &in_a_list)), Some(NOW + 2_000));
    assert_eq!(limited_until(judged(429, "")), None);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "9".parse().unwrap());
    let by_header = answer(
        "gemini-2.5-pro",
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        b"",
        NOW,
    );
    assert_eq!(limited_until(by_header), Some(NOW + 9_000));
}

#[test]
fn a_lack_of_capacity_parks_nobody() {
    let details = json!([{"reason": "MODEL_CAPACITY_EXHAUSTED"}]);
    for verdict in [
        judged(429, &error(429, "RESOURCE_EXHAUSTED", details)),
        judged(503, &error(503, "UNAVAILABLE", json!([]))),
    ] {
        assert!(matches!(verdict.outcome, Outcome::Unwell { .. }));
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::NextAccount, Code::ProviderOverloaded)
        );
    }
}

#[test]
fn failures_of_the_provider_move_on() {
    for status in [302, 408, 499, 500, 502, 504] {
        let verdict = judged(status, "oops");
        assert!(matches!(verdict.outcome, Outcome::Unwell { .. }), "{status}");
        assert_eq!(
            (verdict.then, verdict.code),
            (Then::NextAccount, Code::ProviderFailed)
        );
    }
}

#[test]
fn a_stream_may_open_with_an_error() {
    let opens = |text: &str| match opening("gemini-2.5-pro", text.as_bytes(), NOW) {
        Opening::Error(verdict) => Some(verdict.code),
        Opening::Well => None,
        Opening::Unclear => panic!("{text}"),
        Opening::Refusal {
            verdict,
            status,
            error,
        } => {
            assert!(status == 403 && error.starts_with(b"{\"error\""));
            Some(verdict.code)
        }
    };
    let busy = error(503, "UNAVAILABLE", json!([]));
    assert_eq!(
        opens(&format!("data: {busy}\r\n\r\n")),
        Some(Code::ProviderOverloaded)
    );
    assert_eq!(opens(&format!("[{busy}\n")), Some(Code::ProviderOverloaded));
    assert_eq!(
        opens(&format!(
            "data: {}\n\n",
            error(400, "INVALID_ARGUMENT", json!([]))
        )),
        None
    );
    let denied = error(403, "PERMISSION_DENIED", json!([]));
    assert_eq!(opens(&format!("data: {denied}\n\n")), Some(Code::PassedOn));
    assert_eq!(opens("data: {\"candidates\":[]}\r\n\r\n"), None);
    assert_eq!(opens("[{\"candidates\":[]}"), None);
    assert_eq!(opens("{\"totalTokens\":3}"), None);
}

#[test]
fn a_provider_in_trouble_may_say_until_when() {
    let headers = [("retry-after", "30")]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let told = answer("m", StatusCode::SERVICE_UNAVAILABLE, &headers, b"{}", NOW);
    assert_eq!(told.retry_at, Some(NOW + 30_000));
    let delay = br#"{"error":{"code":503,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}"#;
    let told = answer(
        "m",
        StatusCode::SERVICE_UNAVAILABLE,
        &HeaderMap::new(),
        delay,
        NOW,
    );
    assert!(matches!(told.outcome, Outcome::Unwell { until: Some(at), .. } if at == NOW + 7_000));
}
