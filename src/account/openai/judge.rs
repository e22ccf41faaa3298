//! The meaning of OpenAI's answers: one table, a test per row.
//!
//! | answer | whose | what follows |
//! | --- | --- | --- |
//! | 400, 404, 405, 409, 413, 415, 422 and other 4xx | client's | passed on unchanged |
//! | 401 with known words about the credentials | account's | refresh once, then next account; marked until reset or new credentials |
//! | 400, 402, 403, 429 with known words ([`KNOWN`]) | account's | next account; marked, one probe after a while |
//! | 401, 429 with known words about the request | request's | another account, without any mark; what it says, too, is the client's |
//! | other 402, 403 | not known | the same, and evidence for the pool |
//! | other 401 | not known | refresh once, then the same |
//! | 429 `usage_limit_reached` with a reset | account's | next account; cools down until exactly then, for all models |
//! | 429 over a limit per minute or day that is smaller than the request alone | request's | another account, without any mark; what it says, too, is the client's |
//! | 429 that says when to try again | account's | next account; this model cools down for just that long |
//! | other 429 with a reset | account's | next account; this model cools down until exactly then |
//! | 429 without | account's | next account; others are preferred for a short while |
//! | 429, 503 `server_is_overloaded`, `slow_down` | provider's load | next account; others are preferred for a short while |
//! | 3xx, 408, 5xx | provider's | the same |
//! | a stream that opens with an error | as its code says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::quota;
use super::rate::RateLimit;
use crate::account::known::{About, Known, Says, about};
use crate::account::moments::{LONGEST_RETRY_MS, after_ms, after_seconds, at_seconds, retry_at};
use crate::account::opening::{Begins, Errors, begins};
use crate::account::{Opening, Then, Verdict};
use crate::error::Code;

/// The subject of error messages of OpenAI and of hosts that speak its protocol.
const KNOWN: &[Known] = &[
    Known {
        status: 400,
        says: Says::Word("billing_hard_limit_reached"),
        about: About::Account,
        source: "reported in public threads",
    },
    Known {
        status: 401,
        says: Says::Word("invalid_api_key"),
        about: About::Credentials,
        source: "OpenAI documentation, Error codes",
    },
    Known {
        status: 401,
        says: Says::Begins("incorrect api key provided"),
        about: About::Credentials,
        source: "OpenAI documentation, Error codes",
    },
    Known {
        status: 401,
        says: Says::Word("token_expired"),
        about: About::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Begins("provided authentication token is expired"),
        about: About::Credentials,
        source: "the message of token_expired",
    },
    Known {
        status: 401,
        says: Says::Word("token_invalidated"),
        about: About::Credentials,
        source: "reported in public threads (router-for-me/CLIProxyAPI#3654)",
    },
    Known {
        status: 401,
        says: Says::Begins("your authentication token has been invalidated"),
        about: About::Credentials,
        source: "the message of token_invalidated",
    },
    Known {
        status: 401,
        says: Says::Word("token_revoked"),
        about: About::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Begins("could not parse your authentication token"),
        about: About::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Word("account_deactivated"),
        about: About::Credentials,
        source: "reported in public threads",
    },
    Known {
        status: 401,
        says: Says::Begins("authentication fails"),
        about: About::Credentials,
        source: "DeepSeek API documentation, Error Codes",
    },
    Known {
        status: 401,
        says: Says::Begins("you have insufficient permissions for this operation"),
        about: About::Request,
        source: "reported in public threads: the key's scopes lack what this endpoint wants",
    },
    Known {
        status: 402,
        says: Says::Word("deactivated_workspace"),
        about: About::Account,
        source: "reported in public threads (HKUDS/nanobot#1738)",
    },
    Known {
        status: 402,
        says: Says::Begins("insufficient balance"),
        about: About::Account,
        source: "DeepSeek API documentation, Error Codes",
    },
    Known {
        status: 402,
        says: Says::Begins("insufficient credits"),
        about: About::Account,
        source: "OpenRouter documentation, Errors",
    },
    Known {
        status: 403,
        says: Says::Word("unsupported_country_region_territory"),
        about: About::Account,
        source: "OpenAI documentation, Error codes",
    },
    Known {
        status: 403,
        says: Says::Word("invalid_workspace_selected"),
        about: About::Account,
        source: "reported in public threads (openai/codex#24495)",
    },
    Known {
        status: 403,
        says: Says::Word("account_deactivated"),
        about: About::Account,
        source: "the code of the 401, with the status that fits it",
    },
    Known {
        status: 429,
        says: Says::Word("insufficient_quota"),
        about: About::Account,
        source: "OpenAI documentation, Error codes",
    },
    Known {
        status: 429,
        says: Says::Word("credit_balance_exhausted"),
        about: About::Account,
        source: "OpenAI documentation, Error codes",
    },
    Known {
        status: 429,
        says: Says::Word("billing_not_active"),
        about: About::Account,
        source: "reported in public threads",
    },
    Known {
        status: 429,
        says: Says::Begins("request too large for"),
        about: About::Request,
        source: "OpenAI documentation, Rate limits",
    },
];

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
    if let Some(about) = error.about(status.as_u16()) {
        let why = error.said("the provider refuses the account");
        return about.verdict(why, retry_at(headers, now), now);
    }
    let verdict = match status.as_u16() {
        401 => Verdict::unauthorized_unconfirmed(error.said("the provider refused the credentials")),
        402 | 403 => Verdict::refused(error.said(&format!("status {}", status.as_u16()))),
        429 => limited(family, &error, headers, now),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        _ if error.is_overload() => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        408 | 500..=599 => Verdict::unwell(&format!("status {}", status.as_u16()), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    };
    verdict.back_at(retry_at(headers, now))
}

pub(super) fn opening(family: &str, first: &[u8], now: Millis) -> Opening {
    let error = match begins(first, &ERRORS) {
        Begins::Well => return Opening::Well,
        Begins::Unclear => return Opening::Unclear,
        Begins::With(text) => ErrorBody::read(text),
    };
    match error.word() {
        Some("rate_limit_exceeded" | "usage_limit_reached" | "insufficient_quota") => {
            let verdict = match error.about(429) {
                Some(about) => about.verdict(error.said("a limit"), None, now),
                None => limited(family, &error, &HeaderMap::new(), now),
            };
            match verdict.then {
                // What goes to the client is the stream, as it began.
                Then::Confirm => Opening::Well,
                _ => Opening::Error(verdict),
            }
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
    let rate = error
        .message
        .as_deref()
        .and_then(RateLimit::read)
        .unwrap_or_default();
    if rate.is_too_small_for_the_request() {
        return Verdict::about_the_request();
    }
    let told = error
        .resets_in_seconds
        .and_then(|seconds| after_seconds(now, seconds))
        .or_else(|| at_seconds(now, error.resets_at?))
        .or_else(|| after_ms(now, rate.wait_ms? as f64));
    let windows = quota::read(family, headers, now);
    let window = quota::exhausted_until(&windows);
    // A header that was cut says less than a window that is used up.
    let by_header = retry_at(headers, now).map(|at| match window {
        Some(window) if at >= now.saturating_add(LONGEST_RETRY_MS) => window.max(at),
        _ => at,
    });
    let until = told.or(by_header).or(window);
    // What a subscription includes is one sum for all models; limits of API keys are a model's own.
    let all = error.is("usage_limit_reached") || error.is("usage_not_included");
    let family = (!all).then(|| family.to_owned());
    let why = error.word().unwrap_or("429");
    Verdict::throttled(until, family, why)
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
                code: outer
                    .detail
                    .as_ref()
                    .and_then(|detail| Some(detail.get("code")?.as_str()?.to_owned())),
                message: text(outer.detail),
                ..Self::default()
            },
        }
    }

    fn about(&self, status: u16) -> Option<About> {
        about(
            KNOWN,
            status,
            |word| self.is(word),
            self.message.as_deref().unwrap_or_default(),
        )
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
