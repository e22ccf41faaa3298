use crs_durable::pool::Outcome;
use serde_json::json;

use super::*;

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
    let place = judged(400, &error(400, "FAILED_PRECONDITION", json!([])));
    assert!(
        matches!(place.outcome, Outcome::Denied { until: Some(until), .. } if until == NOW + PROBE_AFTER_MS)
    );
}

#[test]
fn credentials_are_renewed_and_rights_proved_again() {
    assert_eq!(judged(401, "").then, Then::RefreshFirst);
    for (status, after) in [(402, PROBE_AFTER_MS), (403, PROBE_SOON_MS)] {
        let verdict = judged(status, &error(status, "PERMISSION_DENIED", json!([])));
        assert_eq!((verdict.then, verdict.code), (Then::NextAccount, Code::NoAccount));
        assert!(
            matches!(verdict.outcome, Outcome::Denied { until: Some(until), .. } if until == NOW + after)
        );
    }
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
    assert_eq!(opens("data: {\"candidates\":[]}\r\n\r\n"), None);
    assert_eq!(opens("[{\"candidates\":[]}"), None);
    assert_eq!(opens("{\"totalTokens\":3}"), None);
}
