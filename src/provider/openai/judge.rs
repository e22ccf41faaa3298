//! What OpenAI's answers mean: one table, a test per row.
//!
//! | answer | whose | what follows |
//! | --- | --- | --- |
//! | 400, 404, 405, 409, 413, 415, 422 and other 4xx | client's | passed on unchanged |
//! | 401 | account's | refresh once, then next account; marked until reset or new credentials |
//! | 402, 403 | account's | next account; marked, one probe after a while |
//! | 429 `insufficient_quota` | account's | next account; marked, one probe after a while |
//! | 429 `usage_limit_reached` with a reset | account's | next account; cools down until exactly then, for all models |
//! | other 429 with a reset | account's | next account; this model cools down until exactly then |
//! | 429 without | account's | next account; others are preferred for a short while |
//! | 429, 503 `server_is_overloaded`, `slow_down` | provider's load | next account; others are preferred for a short while |
//! | 3xx, 408, 5xx | provider's | the same |
//! | a stream that opens with an error | as its code says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::quota;
use crate::error::Code;
use crate::provider::opening::{Begins, Errors, begins};
use crate::provider::{Opening, PROBE_AFTER_MS, PROBE_SOON_MS, Verdict};

const ERRORS: Errors = Errors {
    events: &["error", "response.failed"],
    data: &[
        "{\"error\":",
        "{\"type\":\"error\"",
        "{\"type\":\"response.failed\"",
    ],
};

pub(super) fn answer(
    family: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Millis,
) -> Verdict {
    let error = ErrorBody::read(body);
    match status.as_u16() {
        401 => Verdict::unauthorized(error.said("the provider refused the credentials")),
        402 => Verdict::denied(
            error.said("the provider wants the account paid"),
            Some(now + PROBE_AFTER_MS),
        ),
        403 => Verdict::denied(
            error.said("the provider forbids the account"),
            Some(now + PROBE_SOON_MS),
        ),
        429 => limited(family, &error, headers, now),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        _ if error.is_overload() => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        408 | 500..=599 => Verdict::unwell(&format!("status {}", status.as_u16()), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    }
}

pub(super) fn opening(family: &str, first: &[u8], now: Millis) -> Opening {
    let error = match begins(first, &ERRORS) {
        Begins::Well => return Opening::Well,
        Begins::Unclear => return Opening::Unclear,
        Begins::With(text) => ErrorBody::read(text),
    };
    match error.word() {
        Some("rate_limit_exceeded" | "usage_limit_reached" | "insufficient_quota") => {
            Opening::Error(limited(family, &error, &HeaderMap::new(), now))
        }
        _ if error.is_overload() => Opening::Error(Verdict::unwell("overloaded", Code::ProviderOverloaded)),
        Some("server_error" | "internal_server_error") => Opening::Error(Verdict::unwell(
            &error.said("an error at the start of the stream"),
            Code::ProviderFailed,
        )),
        _ => Opening::Well,
    }
}

/// Whether the account cannot read encrypted reasoning that was sent: another made it.
pub(super) fn is_unreadable(error: &[u8]) -> bool {
    ErrorBody::read(error).is("invalid_encrypted_content")
}

fn limited(family: &str, error: &ErrorBody, headers: &HeaderMap, now: Millis) -> Verdict {
    if error.is_overload() {
        return Verdict::unwell("overloaded", Code::ProviderOverloaded);
    }
    if error.is("insufficient_quota") {
        return Verdict::denied(
            error.said("the account's credit is used up"),
            Some(now + PROBE_AFTER_MS),
        );
    }
    let number = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        text.trim().parse::<f64>().ok()
    };
    // `as` saturates, which is what a moment beyond all bounds should do.
    let in_ms = |ms: f64| now.saturating_add(ms.ceil() as Millis);
    let told = error
        .resets_in_seconds
        .map(|seconds| in_ms(seconds * 1000.0))
        .or_else(|| error.resets_at.map(|at| (at * 1000.0) as Millis))
        .filter(|at| *at > now);
    let until = told
        .or_else(|| number("retry-after-ms").map(in_ms))
        .or_else(|| number("retry-after").map(|seconds| in_ms(seconds * 1000.0)))
        .or_else(|| quota::exhausted_until(&quota::read(family, headers, now)));
    // What a subscription includes is one sum for all models; limits of API keys are a model's own.
    let all = error.is("usage_limit_reached") || error.is("usage_not_included");
    Verdict::throttled(
        until,
        (!all).then(|| family.to_owned()),
        error.word().unwrap_or("429"),
    )
}

/// `{"error":{"type":..,"code":..,"message":..}}`, the same inside of `response`, or ChatGPT's `{"detail":..}`,
/// as far as it is there.
#[derive(Default)]
struct ErrorBody {
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    resets_at: Option<f64>,
    resets_in_seconds: Option<f64>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Outer {
            r#type: Option<String>,
            code: Option<serde_json::Value>,
            message: Option<String>,
            detail: Option<serde_json::Value>,
            error: Option<Inner>,
            response: Option<Response>,
        }
        #[derive(Deserialize)]
        struct Response {
            error: Option<Inner>,
        }
        #[derive(Deserialize)]
        struct Inner {
            r#type: Option<String>,
            // Compatible servers write numbers.
            code: Option<serde_json::Value>,
            message: Option<String>,
            resets_at: Option<f64>,
            resets_in_seconds: Option<f64>,
        }
        let text = |value: Option<serde_json::Value>| value?.as_str().map(str::to_owned);
        let Ok(outer) = serde_json::from_slice::<Outer>(body) else {
            return Self::default();
        };
        let inner = outer.error.or(outer.response.and_then(|response| response.error));
        match inner {
            Some(inner) => Self {
                kind: inner.r#type,
                code: text(inner.code),
                message: inner.message,
                resets_at: inner.resets_at,
                resets_in_seconds: inner.resets_in_seconds,
            },
            // The event itself is the error.
            None if outer.r#type.as_deref() == Some("error") => Self {
                code: text(outer.code),
                message: outer.message,
                ..Self::default()
            },
            None => Self {
                message: text(outer.detail),
                ..Self::default()
            },
        }
    }

    fn is(&self, word: &str) -> bool {
        self.kind.as_deref() == Some(word) || self.code.as_deref() == Some(word)
    }

    fn is_overload(&self) -> bool {
        self.is("server_is_overloaded") || self.is("slow_down") || self.is("overloaded_error")
    }

    /// The most telling name it has.
    fn word(&self) -> Option<&str> {
        self.code.as_deref().or(self.kind.as_deref())
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
