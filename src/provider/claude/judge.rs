//! What Anthropic's answers mean: one table, a test per row.
//!
//! | answer | whose | what follows |
//! | --- | --- | --- |
//! | 400, 404, 405, 413, 422 and other 4xx | client's | passed on unchanged |
//! | 400 "credit balance is too low", "organization has been disabled" | account's | next account; marked |
//! | 401 | account's | refresh once, then next account; marked until reset or new credentials |
//! | 402, 403 | account's | next account; marked, one probe after a while |
//! | 429 with a reset | account's | next account; cools down until exactly then |
//! | 429 without | account's | next account; others are preferred for a short while |
//! | 529 | provider's load | next account; others are preferred for a short while |
//! | 3xx, 408, 5xx | provider's | the same |
//! | a stream that opens with an error event | as its type says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::error::Code;
use crate::provider::{Opening, PROBE_AFTER_MS, PROBE_SOON_MS, Verdict};

use super::FAMILIES;

pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Millis) -> Verdict {
    let error = ErrorBody::read(body);
    match status.as_u16() {
        400 if error.is_about_the_account() => Verdict::denied(
            error.said("the provider disabled the account"),
            Some(now + PROBE_AFTER_MS),
        ),
        401 => Verdict::unauthorized(error.said("the provider refused the credentials")),
        402 => Verdict::denied(
            error.said("the provider wants the account paid"),
            Some(now + PROBE_AFTER_MS),
        ),
        403 => Verdict::denied(
            error.said("the provider forbids the account"),
            Some(now + PROBE_SOON_MS),
        ),
        429 => throttled(headers, now),
        529 => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        408 | 500..=599 => Verdict::unwell(&format!("status {}", status.as_u16()), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    }
}

pub(super) fn opening(first: &[u8]) -> Opening {
    const NAMES: [&[u8]; 2] = [b"event: error", b"event:error"];
    let Some(text) = NAMES.iter().find_map(|name| first.strip_prefix(*name)) else {
        // However the network cuts it, most of the time the first bytes tell.
        let unclear = NAMES.iter().any(|name| name.starts_with(first));
        return if unclear { Opening::Unclear } else { Opening::Well };
    };
    let data = memchr::memmem::find(text, b"data:").and_then(|at| text.get(at + 5..));
    let line = data.and_then(|data| data.get(..memchr::memchr(b'\n', data)?));
    let Some(line) = line else {
        return Opening::Unclear;
    };
    let error = ErrorBody::read(line);
    Opening::Error(match error.kind.as_deref() {
        Some("overloaded_error") => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        Some("rate_limit_error") => Verdict::throttled(None, None, "rate limited at the start of the stream"),
        Some("api_error" | "timeout_error") => Verdict::unwell(
            &error.said("an error at the start of the stream"),
            Code::ProviderFailed,
        ),
        _ => return Opening::Well,
    })
}

/// The reset a 429 names. Subscription accounts name one per window: of several exhausted windows the
/// latest counts. A window may be that of one model family only.
fn throttled(headers: &HeaderMap, now: Millis) -> Verdict {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
    let windows = headers.keys().filter_map(|name| {
        let window = name
            .as_str()
            .strip_prefix("anthropic-ratelimit-unified-")?
            .strip_suffix("-status")?;
        let rejected = text(name.as_str()) == Some("rejected");
        rejected
            .then(|| seconds(&format!("anthropic-ratelimit-unified-{window}-reset")))
            .flatten()
    });
    let reset = windows
        .max()
        .or_else(|| seconds("anthropic-ratelimit-unified-reset"))
        .map(|at| at.saturating_mul(1000));
    let until = reset
        .filter(|at| *at > now)
        .or_else(|| seconds("retry-after").map(|wait| now.saturating_add(wait.saturating_mul(1000))));
    let family = text("anthropic-ratelimit-unified-representative-claim")
        .and_then(|claim| claim.strip_prefix("seven_day_"))
        .filter(|family| FAMILIES.contains(family))
        .map(str::to_owned);
    Verdict::throttled(until, family, "429")
}

/// `{"type":"error","error":{"type":..,"message":..}}`, as far as it is there.
#[derive(Default)]
struct ErrorBody {
    kind: Option<String>,
    message: Option<String>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Outer {
            error: Option<Inner>,
        }
        #[derive(Deserialize)]
        struct Inner {
            r#type: Option<String>,
            message: Option<String>,
        }
        match serde_json::from_slice::<Outer>(body) {
            Ok(Outer { error: Some(inner) }) => Self {
                kind: inner.r#type,
                message: inner.message,
            },
            _ => Self::default(),
        }
    }

    fn is_about_the_account(&self) -> bool {
        let message = self.message.as_deref().unwrap_or("").to_ascii_lowercase();
        // From its first word: an error may quote what the client sent.
        message.starts_with("your credit balance is too low")
            || message.starts_with("this organization has been disabled")
    }

    /// The provider's words, bounded, or ours.
    fn said(&self, otherwise: &str) -> String {
        self.message.as_deref().map_or_else(
            || otherwise.to_owned(),
            |message| message.chars().take(200).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use crs_durable::pool::Outcome;

    use super::*;
    use crate::provider::Then;

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
    fn a_400_about_the_account_moves_on() {
        for message in [
            "Your credit balance is too low to access the API.",
            "This organization has been disabled.",
        ] {
            let verdict = judge(
                400,
                &[],
                &format!(
                    r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}}}}"#
                ),
            );
            assert_eq!(verdict.then, Then::NextAccount);
            assert_eq!(
                verdict.outcome,
                Outcome::Denied {
                    why: message.to_owned(),
                    until: Some(NOW + PROBE_AFTER_MS)
                }
            );
        }
    }

    #[test]
    fn refused_credentials_are_refreshed_once_and_marked_for_good() {
        let verdict = judge(401, &[], "not json");
        assert_eq!(verdict.then, Then::RefreshFirst);
        assert_eq!(
            verdict.outcome,
            Outcome::Denied {
                why: "the provider refused the credentials".to_owned(),
                until: None
            }
        );
    }

    #[test]
    fn a_403_is_probed_later() {
        let Outcome::Denied { until, .. } = judge(403, &[], "").outcome else {
            panic!()
        };
        assert_eq!(until, Some(NOW + PROBE_SOON_MS));
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
}
