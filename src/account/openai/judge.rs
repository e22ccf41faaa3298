//! Judges OpenAI's answers. Each row of this table has a test.
//!
//! | answer | cause | consequence |
//! | --- | --- | --- |
//! | 400, 404, 405, 409, 413, 415, 422 and other 4xx | client | forwarded unchanged; also Azure's 400 `content_filter` |
//! | 400, 404 of Azure about a version or deployment that it does not have | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | 401 with a known message about the credentials | account | refresh once, then next account; marked until reset or new credentials |
//! | 400, 402, 403, 429 with a known message ([`KNOWN`]) | account | next account; marked, one probe after a while |
//! | 401, 429 with a known message about the request | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | other 402, 403 | unknown | the same, and evidence for the pool |
//! | other 401 | unknown | refresh once, then the same |
//! | 429 `usage_limit_reached` with a reset | account | next account; cools down until exactly then, for all models |
//! | 429 over a limit per minute or day that is smaller than the request alone | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | 429 over Azure's limit of tokens per minute that says to wait a day | the request's size | next account; others are preferred for a short while |
//! | 429 that says when to try again | account | next account; this model cools down for just that long |
//! | other 429 with a reset | account | next account; this model cools down until exactly then |
//! | 429 without | account | next account; others are preferred for a short while |
//! | 429, 503 `server_is_overloaded`, `slow_down` | provider load | next account; others are preferred for a short while |
//! | 3xx, 408, 5xx | provider | the same |
//! | a stream that opens with an error | as its code says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::quota;
use super::rate::RateLimit;
use crate::account::known::{KnownMessage, Pattern, Subject, about};
use crate::account::moments::{LONGEST_RETRY_MS, after_ms, after_seconds, at_seconds, retry_at};
use crate::account::opening::{Begins, Errors, begins};
use crate::account::{Opening, Then, Verdict};
use crate::error::Code;

/// Known error messages of OpenAI and compatible hosts, and their subjects.
const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        status: 400,
        says: Pattern::Word("billing_hard_limit_reached"),
        about: Subject::Account,
        source: "reported in public threads",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Word("Arrearage"),
        about: Subject::Account,
        source: "Alibaba Cloud Model Studio documentation, Error codes",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("api version not supported"),
        about: Subject::Request,
        source: "Azure's answer, reported in public threads (openclaw/openclaw#82025)",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("azure openai responses api is enabled only for api-version"),
        about: Subject::Request,
        source: "Azure's answer, reported in public threads (Aider-AI/aider#4029)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("invalid_api_key"),
        about: Subject::Credentials,
        source: "OpenAI documentation, Error codes",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("incorrect api key provided"),
        about: Subject::Credentials,
        source: "OpenAI documentation, Error codes",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("token_expired"),
        about: Subject::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("provided authentication token is expired"),
        about: Subject::Credentials,
        source: "the message of token_expired",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("token_invalidated"),
        about: Subject::Credentials,
        source: "reported in public threads (router-for-me/CLIProxyAPI#3654)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("your authentication token has been invalidated"),
        about: Subject::Credentials,
        source: "the message of token_invalidated",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("token_revoked"),
        about: Subject::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("could not parse your authentication token"),
        about: Subject::Credentials,
        source: "what people report of ChatGPT logins; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("account_deactivated"),
        about: Subject::Credentials,
        source: "reported in public threads",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("authentication fails"),
        about: Subject::Credentials,
        source: "DeepSeek API documentation, Error Codes",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("you have insufficient permissions for this operation"),
        about: Subject::Request,
        source: "reported in public threads: the key's scopes lack what this endpoint wants",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("access denied due to invalid subscription key"),
        about: Subject::Credentials,
        source: "Azure's answer, reported in public threads (SciSharp/BotSharp#386)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("unauthorized. access token is missing, invalid, audience is incorrect"),
        about: Subject::Credentials,
        source: "Azure's answer to an Entra token that has ended, reported in public threads (langchain-ai/langchain#17373)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("PermissionDenied"),
        about: Subject::Account,
        source: "Azure's answer if a role is missing, reported in public threads (microsoft/ai-agent-evals#43)",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Word("deactivated_workspace"),
        about: Subject::Account,
        source: "reported in public threads (HKUDS/nanobot#1738)",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Begins("insufficient balance"),
        about: Subject::Account,
        source: "DeepSeek API documentation, Error Codes",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Begins("insufficient credits"),
        about: Subject::Account,
        source: "OpenRouter documentation, Errors",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Begins("unable to verify your membership benefits"),
        about: Subject::Account,
        source: "Kimi Code documentation, Error Reference",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("you've reached your usage limit for this billing cycle"),
        about: Subject::Account,
        source: "Kimi Code documentation, Error Reference",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Word("unsupported_country_region_territory"),
        about: Subject::Account,
        source: "OpenAI documentation, Error codes",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Word("invalid_workspace_selected"),
        about: Subject::Account,
        source: "reported in public threads (openai/codex#24495)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Word("account_deactivated"),
        about: Subject::Account,
        source: "the code of the 401, with the status that fits it",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("access denied due to virtual network/firewall rules"),
        about: Subject::Account,
        source: "Azure's answer, reported in public threads (Azure-Samples/azure-sql-db-chatbot#3)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("public access is disabled"),
        about: Subject::Account,
        source: "Azure's answer, reported in public threads (TabularEditor/TabularEditor3#1557)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("a virtual network is configured for this resource"),
        about: Subject::Account,
        source: "Azure's answer, reported in public threads (continuedev/continue#12547)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("your resource has been temporarily blocked"),
        about: Subject::Account,
        source: "Azure's answer, Microsoft's questions and answers (5901823, 2264921)",
    },
    KnownMessage {
        status: 404,
        says: Pattern::Word("DeploymentNotFound"),
        about: Subject::Request,
        source: "Azure OpenAI documentation, error codes: another resource may have it",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Word("insufficient_quota"),
        about: Subject::Account,
        source: "OpenAI documentation, Error codes",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Word("credit_balance_exhausted"),
        about: Subject::Account,
        source: "OpenAI documentation, Error codes",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Word("billing_not_active"),
        about: Subject::Account,
        source: "reported in public threads",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("request too large for"),
        about: Subject::Request,
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
                // The client gets the stream as it began.
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

/// Whether the account cannot read encrypted reasoning in the request, because another account made it.
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
    let why = error.word().unwrap_or("429");
    if rate.is_beyond_its_window() {
        return Verdict::too_much_at_once(None, Some(family.to_owned()), why);
    }
    let by_message = error
        .resets_in_seconds
        .and_then(|seconds| after_seconds(now, seconds))
        .or_else(|| at_seconds(now, error.resets_at?))
        .or_else(|| after_ms(now, rate.wait_ms? as f64));
    let windows = quota::read(family, headers, now);
    let window = quota::exhausted_until(&windows);
    // A limited header says less than a window that is used up.
    let by_header = retry_at(headers, now).map(|at| match window {
        Some(window) if at >= now.saturating_add(LONGEST_RETRY_MS) => window.max(at),
        _ => at,
    });
    let until = by_message.or(by_header).or(window);
    // A subscription has one limit for all models; API keys have one per model.
    let all = error.is("usage_limit_reached") || error.is("usage_not_included");
    let family = (!all).then(|| family.to_owned());
    Verdict::throttled(until, family, why)
}

/// `{"error":{"type":..,"code":..,"message":..}}`, the same inside `response`, ChatGPT's `{"detail":..}`, or
/// `{"statusCode":401,"message":..}` of Azure's gateway; missing parts are empty.
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
            // Compatible servers send numbers.
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
                message: text(outer.detail).or(outer.message),
                ..Self::default()
            },
        }
    }

    fn about(&self, status: u16) -> Option<Subject> {
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

    /// The most specific of its names.
    fn word(&self) -> Option<&str> {
        self.code.as_deref().or(self.kind.as_deref())
    }

    /// The provider's message, shortened, or else `otherwise`.
    fn said(&self, otherwise: &str) -> String {
        self.message.as_deref().map_or_else(
            || otherwise.to_owned(),
            |message| message.chars().take(200).collect(),
        )
    }
}

#[cfg(test)]
mod tests;
