//! Judges Anthropic's answers. Each row of this table has a test.
//!
//! | answer | cause | consequence |
//! | --- | --- | --- |
//! | 400, 404, 405, 413, 422 and other 4xx | client | forwarded unchanged |
//! | 400, 401, 402, 403 with a known message ([`KNOWN`]) | account | next account; marked, one probe after a while |
//! | 401, 403 with a known message about the credentials | account | refresh once, then next account; marked until reset or new credentials |
//! | 400, 401, 404, 429 with a known message about the request | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | other 402, 403 | unknown | the same, and evidence for the pool |
//! | other 401 | unknown | refresh once, then the same |
//! | 429 with a known message about its size, no window used up | request size | next account; others are preferred for a short while |
//! | 429 `RESOURCE_EXHAUSTED` of Google | account | next account; for models of this family others are preferred for a short while |
//! | Amazon's `ServiceQuotaExceededException` (400) | account | the same, for all models |
//! | Amazon's `ModelNotReadyException` (429) | provider load | next account; others are preferred for a short while |
//! | Amazon's `ResourceNotFoundException` (404) | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | 429 with a reset | account | next account; cools down until exactly then |
//! | 429 without | account | next account; others are preferred for a short while |
//! | 529 | provider load | next account; others are preferred for a short while, or until its `retry-after` |
//! | 3xx, 408, 424, 5xx | provider | the same |
//! | a stream that opens with an error event | as its type says | the same |

mod known;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::account::known::{Subject, about};
use crate::account::moments::{at_seconds, retry_at};
use crate::account::{Opening, Verdict};
use crate::error::Code;

use self::known::KNOWN;
use super::FAMILIES;
use super::bedrock::exception;

/// `family`: of the call's model.
pub(super) fn answer(
    family: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Millis,
) -> Verdict {
    let error = ErrorBody::read(body);
    // Messages about the size also appear when a window is used up; then the headers decide.
    let about = error
        .about(status.as_u16())
        .filter(|about| *about != Subject::Size || !names_a_used_up_window(headers));
    if let Some(about) = about {
        let why = error.said("the provider refuses the account");
        return about.verdict(why, retry_at(headers, now), now);
    }
    let of_amazon = exception::of(headers);
    let verdict = match status.as_u16() {
        400 if of_amazon == Some(exception::QUOTA) => {
            Verdict::throttled(retry_at(headers, now), None, &error.said(exception::QUOTA))
        }
        404 if of_amazon == Some(exception::NOT_FOUND) => Verdict::about_the_request(),
        429 if of_amazon == Some(exception::NOT_READY) => {
            Verdict::unwell(&error.said(exception::NOT_READY), Code::ProviderOverloaded)
        }
        401 => Verdict::unauthorized_unconfirmed(error.said("the provider refused the credentials")),
        402 | 403 => Verdict::refused(error.said(&format!("status {}", status.as_u16()))),
        // Quotas of Google are per minute and model; the answer has no reset.
        429 if error.has_word("RESOURCE_EXHAUSTED") => Verdict::throttled(
            retry_at(headers, now),
            Some(family.to_owned()),
            &error.said("429"),
        ),
        429 => throttled(headers, now),
        529 => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        // 424: the model failed (Amazon's ModelErrorException).
        408 | 424 | 500..=599 => {
            Verdict::unwell(&format!("status {}", status.as_u16()), Code::ProviderFailed)
        }
        _ => Verdict::passed_on(),
    };
    verdict.back_at(retry_at(headers, now))
}

pub(super) fn opening(first: &[u8]) -> Opening {
    const NAMES: [&[u8]; 2] = [b"event: error", b"event:error"];
    let Some(text) = NAMES.iter().find_map(|name| first.strip_prefix(*name)) else {
        // The bytes may be cut anywhere; usually the first bytes are enough.
        let unclear = NAMES.iter().any(|name| name.starts_with(first));
        return if unclear { Opening::Unclear } else { Opening::Well };
    };
    let data = memchr::memmem::find(text, b"data:").and_then(|at| text.get(at + 5..));
    let line = data.and_then(|data| data.get(..memchr::memchr(b'\n', data)?));
    let Some(line) = line else {
        return Opening::Unclear;
    };
    let error = ErrorBody::read(line);
    Opening::Error(match error.words.first().map(String::as_str) {
        Some("overloaded_error") => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        Some("rate_limit_error") => Verdict::throttled(None, None, "rate limited at the start of the stream"),
        Some("api_error" | "timeout_error") => Verdict::unwell(
            &error.said("an error at the start of the stream"),
            Code::ProviderFailed,
        ),
        _ => return Opening::Well,
    })
}

/// Whether the headers report a used-up window, independent of the request's size.
fn names_a_used_up_window(headers: &HeaderMap) -> bool {
    headers.iter().any(|(name, value)| {
        let name = name.as_str();
        let is_status = name.starts_with("anthropic-ratelimit-unified-") && name.ends_with("status");
        (is_status && value == "rejected")
            || (name == "anthropic-ratelimit-requests-remaining" && value == "0")
    })
}

/// The reset time of a 429. Subscription accounts have one per window, and the latest of the exhausted windows
/// counts. A window may apply to one model family only.
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
        .or_else(|| seconds("anthropic-ratelimit-unified-reset"));
    let until = reset
        .and_then(|at| at_seconds(now, at as f64))
        .or_else(|| retry_at(headers, now));
    let family = text("anthropic-ratelimit-unified-representative-claim")
        .and_then(|claim| claim.strip_prefix("seven_day_"))
        .filter(|family| FAMILIES.contains(family))
        .map(str::to_owned);
    Verdict::throttled(until, family, "429")
}

/// An error of a cloud's gateway in Anthropic's form. `None` if it has that form, or another one.
pub(super) fn translated(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Bytes> {
    let error = ErrorBody::read(body);
    let of_amazon = exception::of(headers).filter(|_| error.words.is_empty());
    let message = error.message.filter(|_| error.of_google || of_amazon.is_some())?;
    let kind = of_amazon.and_then(exception::error_type);
    let kind = kind.unwrap_or_else(|| match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    });
    let body = serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } });
    Some(body.to_string().into())
}

/// The parts of an error; missing ones are empty.
///
/// | form | from |
/// | --- | --- |
/// | `{"type":"error","error":{"type":..,"message":..}}` | Anthropic, and its models in any cloud |
/// | `{"message":..}` | Amazon's gateway, which answers before the model's server sees the request |
/// | `{"error":{"code":429,"message":..,"status":..,"details":[{"reason":..}]}}`, maybe in an array | Google's gateway |
#[derive(Default)]
struct ErrorBody {
    /// Type, or status and reasons.
    words: Vec<String>,
    message: Option<String>,
    of_google: bool,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Outer {
            error: Option<Inner>,
            #[serde(alias = "Message")]
            message: Option<String>,
        }
        #[derive(Deserialize)]
        struct Inner {
            r#type: Option<String>,
            message: Option<String>,
            // Of any type: other hosts have something else of these names, or null.
            status: Option<Value>,
            details: Option<Value>,
        }
        fn text(value: &Value) -> Option<String> {
            value.as_str().map(str::to_owned)
        }
        let body = body.trim_ascii();
        // The array has one error. Google puts a stream's answer in one.
        let single = body.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        match serde_json::from_slice::<Outer>(single.unwrap_or(body)) {
            Ok(Outer {
                error: Some(inner), ..
            }) => {
                let status = inner.status.as_ref().and_then(text);
                let details = inner.details.as_ref().and_then(Value::as_array);
                let reasons = details
                    .into_iter()
                    .flatten()
                    .map(|detail| text(detail.get("reason")?));
                Self {
                    of_google: inner.r#type.is_none() && status.is_some(),
                    words: [inner.r#type, status]
                        .into_iter()
                        .chain(reasons)
                        .flatten()
                        .collect(),
                    message: inner.message,
                }
            }
            Ok(Outer { error: None, message }) => Self {
                message,
                ..Self::default()
            },
            Err(_) => Self::default(),
        }
    }

    fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|one| one == word)
    }

    fn about(&self, status: u16) -> Option<Subject> {
        let message = self.message.as_deref().unwrap_or_default();
        about(KNOWN, status, |word| self.has_word(word), message)
    }

    /// The provider's message, shortened, or else `otherwise`.
    fn said(&self, otherwise: &str) -> String {
        self.message.as_deref().map_or_else(
            || otherwise.to_owned(),
            |message| message.chars().take(200).collect(),
        )
    }
}
