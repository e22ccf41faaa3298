//! What Google's answers mean: one table, a test per row.
//!
//! | answer | whose | what follows |
//! | --- | --- | --- |
//! | 400, 404, 405, 409, 413 and other 4xx | client's | passed on unchanged |
//! | 400 `API_KEY_INVALID` | account's | next account; marked until reset or new credentials |
//! | 400 about the account's place or billing (`FAILED_PRECONDITION`) | account's | next account; marked, one probe after a while |
//! | 401 | account's | refresh once, then next account; marked until reset or new credentials |
//! | 402, 403 | account's | next account; marked, one probe after a while |
//! | 429 with a delay or a reset | account's | next account; this model cools down until exactly then |
//! | 429 without | account's | next account; others are preferred for a short while |
//! | 429, 503 for lack of capacity | provider's load | next account; others are preferred for a short while |
//! | 3xx, 408, 499, 5xx | provider's | the same |
//! | a stream that opens with an error | as its code says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Code;
use crate::provider::interval::interval;
use crate::provider::opening::{Begins, Errors, begins};
use crate::provider::{Opening, PROBE_AFTER_MS, PROBE_SOON_MS, Then, Verdict};

const ERRORS: Errors = Errors {
    events: &[],
    data: &["{\"error\":"],
};

pub(in crate::provider) fn answer(
    family: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Millis,
) -> Verdict {
    judge(family, status.as_u16(), headers, &ErrorBody::read(body), now)
}

pub(in crate::provider) fn opening(family: &str, first: &[u8], now: Millis) -> Opening {
    let error = match begins(first, &ERRORS) {
        Begins::Well => return Opening::Well,
        Begins::Unclear => return Opening::Unclear,
        Begins::With(text) => ErrorBody::read(text),
    };
    match error
        .code
        .map(|code| judge(family, code, &HeaderMap::new(), &error, now))
    {
        Some(verdict) if verdict.then != Then::PassOn => Opening::Error(verdict),
        _ => Opening::Well,
    }
}

fn judge(family: &str, status: u16, headers: &HeaderMap, error: &ErrorBody, now: Millis) -> Verdict {
    match status {
        400 if error.has_reason("API_KEY_INVALID") => {
            Verdict::denied(error.said("the provider refused the API key"), None)
        }
        400 if error.status.as_deref() == Some("FAILED_PRECONDITION") => Verdict::denied(
            error.said("the provider does not serve the account"),
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
        429 | 503 if error.has_reason("MODEL_CAPACITY_EXHAUSTED") => {
            Verdict::unwell("overloaded", Code::ProviderOverloaded)
        }
        429 => Verdict::throttled(error.until(headers, now), Some(family.to_owned()), "429"),
        503 => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        408 | 499 | 500..=599 => Verdict::unwell(&format!("status {status}"), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    }
}

/// `google.rpc.Status` as JSON, as far as it is there.
#[derive(Default)]
struct ErrorBody {
    code: Option<u16>,
    status: Option<String>,
    message: Option<String>,
    details: Vec<Value>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Outer {
            error: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            code: Option<u16>,
            status: Option<String>,
            message: Option<String>,
            #[serde(default)]
            details: Vec<Value>,
        }
        // Some of Google's servers put the one error into a list. What follows it is not looked at.
        let first = |text: &[u8]| {
            let mut texts = serde_json::Deserializer::from_slice(text).into_iter::<Outer>();
            texts.next()?.ok()
        };
        let bare = body.trim_ascii_start();
        let Some(Outer { error }) = first(bare.strip_prefix(b"[").unwrap_or(bare)) else {
            return Self::default();
        };
        Self {
            code: error.code,
            status: error.status,
            message: error.message,
            details: error.details,
        }
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.details
            .iter()
            .any(|detail| detail.get("reason").and_then(Value::as_str) == Some(reason))
    }

    /// When the limit lifts: `RetryInfo`, what `ErrorInfo` adds to it, or the header.
    fn until(&self, headers: &HeaderMap, now: Millis) -> Option<Millis> {
        let text = |pointer: &str| {
            self.details
                .iter()
                .find_map(|detail| detail.pointer(pointer)?.as_str())
        };
        let delay = text("/retryDelay")
            .or_else(|| text("/metadata/quotaResetDelay"))
            .and_then(interval);
        let header = || {
            let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse::<u64>();
            Some(seconds.ok()?.saturating_mul(1000))
        };
        delay.or_else(header).map(|wait| now.saturating_add(wait))
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
mod tests;
