//! Judges Google's answers. Each row of this table has a test.
//!
//! | answer | cause | consequence |
//! | --- | --- | --- |
//! | 400, 404, 405, 409, 413 and other 4xx | client | forwarded unchanged |
//! | 400 `API_KEY_INVALID` | account | next account; marked until reset or new credentials |
//! | 400, 403 with a known message ([`KNOWN`]) | account | next account; marked, one probe after a while |
//! | 401 with a known message about the credentials | account | refresh once, then next account; marked until reset or new credentials |
//! | 404 of Vertex AI about a model | request | another account, no mark; if it refuses as well, the client gets its answer |
//! | other 402, 403 | unknown | another account; if it refuses as well, the client gets its answer; evidence for the pool |
//! | other 401 | unknown | refresh once, then the same |
//! | 429 over token limits only | request size | next account; others are preferred for a short while |
//! | 429 with a delay or a reset | account | next account; this model cools down until exactly then |
//! | 429 without | account | next account; others are preferred for a short while |
//! | 429, 503 for lack of capacity | provider load | next account; others are preferred for a short while, or until the delay in the answer |
//! | 3xx, 408, 499, 5xx | provider | the same |
//! | a stream that opens with an error | as its code says | the same |

use bytes::Bytes;
use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::account::interval::interval;
use crate::account::known::{KnownMessage, Pattern, Subject, about};
use crate::account::moments::{after_ms, retry_at};
use crate::account::opening::{Begins, Errors, begins};
use crate::account::{Opening, Then, Verdict};
use crate::error::Code;

/// The services that these accounts call. A reason that names another service concerns what the request wanted
/// from that service.
const SERVICES: [&str; 5] = [
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "cloudaicompanion.googleapis.com",
    "cloudcode-pa.googleapis.com",
    "daily-cloudcode-pa.googleapis.com",
];

/// `google.api.ErrorReason`: Google Cloud API design guide, Errors.
const ERROR_REASON: &str = "google.api.ErrorReason, in Google's documentation of its API errors";

const fn reason(reason: &'static str, source: &'static str) -> KnownMessage {
    KnownMessage {
        status: 403,
        says: Pattern::Word(reason),
        about: Subject::Account,
        source,
    }
}

/// Google's known error messages and their subjects.
const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        status: 400,
        says: Pattern::Begins("user location is not supported for the api use"),
        about: Subject::Account,
        source: "Gemini API documentation, Available regions",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("gemini api free tier is not available in your country"),
        about: Subject::Account,
        source: "Gemini API documentation, Troubleshooting guide",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("ACCESS_TOKEN_EXPIRED"),
        about: Subject::Credentials,
        source: ERROR_REASON,
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("API_KEY_INVALID"),
        about: Subject::Credentials,
        source: ERROR_REASON,
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("request had invalid authentication credentials"),
        about: Subject::Credentials,
        source: "Google's answer to a token that is none or has ended",
    },
    reason("SERVICE_DISABLED", ERROR_REASON),
    reason("BILLING_DISABLED", ERROR_REASON),
    reason("CONSUMER_SUSPENDED", ERROR_REASON),
    reason("CONSUMER_INVALID", ERROR_REASON),
    reason("API_KEY_SERVICE_BLOCKED", ERROR_REASON),
    reason("API_KEY_HTTP_REFERRER_BLOCKED", ERROR_REASON),
    reason("API_KEY_IP_ADDRESS_BLOCKED", ERROR_REASON),
    reason("API_KEY_ANDROID_APP_BLOCKED", ERROR_REASON),
    reason("API_KEY_IOS_APP_BLOCKED", ERROR_REASON),
    reason("ACCOUNT_STATE_INVALID", ERROR_REASON),
    reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT", ERROR_REASON),
    reason(
        "SUBSCRIPTION_REQUIRED",
        "reported in public threads (google-gemini/gemini-cli#19472)",
    ),
    reason(
        "VALIDATION_REQUIRED",
        "what Gemini CLI looks for in Code Assist's answers",
    ),
    KnownMessage {
        status: 403,
        says: Pattern::Begins("permission 'aiplatform.endpoints.predict' denied"),
        about: Subject::Account,
        source: "reported in public threads (rpurinton/gemini-php#2): the role Vertex AI User is missing",
    },
    KnownMessage {
        status: 404,
        says: Pattern::Begins("publisher model `"),
        about: Subject::Request,
        source: "Vertex AI's answer: the model is not in this region or project, and may be in another account's",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("this service has been disabled in this account for violation of terms"),
        about: Subject::Account,
        source: "reported in public threads (google-gemini/gemini-cli#19501)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("gemini has been disabled in this account for violation of terms"),
        about: Subject::Account,
        source: "reported in public threads (lbjlaq/Antigravity-Manager#1653)",
    },
];

const ERRORS: Errors = Errors {
    events: &[],
    data: &["{\"error\":"],
};

pub(crate) fn answer(
    family: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Millis,
) -> Verdict {
    judge(family, status.as_u16(), headers, &ErrorBody::read(body), now)
}

pub(crate) fn opening(family: &str, first: &[u8], now: Millis) -> Opening {
    let text = match begins(first, &ERRORS) {
        Begins::Well => return Opening::Well,
        Begins::Unclear => return Opening::Unclear,
        Begins::With(text) => text,
    };
    let error = ErrorBody::read(text);
    let Some(code) = error.code else {
        return Opening::Well;
    };
    let verdict = judge(family, code, &HeaderMap::new(), &error, now);
    match (verdict.then, StatusCode::from_u16(code)) {
        (Then::PassOn, _) => Opening::Well,
        (Then::Confirm | Then::RefreshThenConfirm, Ok(status)) => Opening::Refusal {
            verdict,
            status,
            error: Bytes::copy_from_slice(text.trim_ascii()),
        },
        _ => Opening::Error(verdict),
    }
}

fn judge(family: &str, status: u16, headers: &HeaderMap, error: &ErrorBody, now: Millis) -> Verdict {
    if status == 400 && error.has_reason_of_these("API_KEY_INVALID") {
        return Verdict::denied(error.said("the provider refused the API key"), None);
    }
    if let Some(about) = error.about(status) {
        let why = error.said("the provider does not serve the account");
        return about.verdict(why, error.until(headers, now), now);
    }
    let verdict = match status {
        401 => Verdict::unauthorized_unconfirmed(error.said("the provider refused the credentials")),
        402 | 403 => Verdict::refused(error.said(&format!("status {status}"))),
        429 | 503 if error.has_reason("MODEL_CAPACITY_EXHAUSTED") => {
            Verdict::unwell("overloaded", Code::ProviderOverloaded)
        }
        429 => {
            let (until, family) = (error.until(headers, now), Some(family.to_owned()));
            if error.is_over_tokens_alone() {
                Verdict::too_much_at_once(until, family, "429")
            } else {
                Verdict::throttled(until, family, "429")
            }
        }
        503 => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        408 | 499 | 500..=599 => Verdict::unwell(&format!("status {status}"), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    };
    verdict.back_at(error.until(headers, now))
}

/// `google.rpc.Status` as JSON; missing parts are empty.
#[derive(Default)]
struct ErrorBody {
    code: Option<u16>,
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
            message: Option<String>,
            #[serde(default)]
            details: Vec<Value>,
        }
        // Some of Google's servers wrap the error in a list. The rest of the list is ignored.
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
            message: error.message,
            details: error.details,
        }
    }

    fn about(&self, status: u16) -> Option<Subject> {
        let has_word = |word: &str| self.has_reason_of_these(word);
        about(
            KNOWN,
            status,
            has_word,
            self.message.as_deref().unwrap_or_default(),
        )
    }

    /// Whether the error has this reason, from one of [`SERVICES`] or without a service.
    fn has_reason_of_these(&self, reason: &str) -> bool {
        self.details.iter().any(|detail| {
            let service = detail.pointer("/metadata/service").and_then(Value::as_str);
            detail.get("reason").and_then(Value::as_str) == Some(reason)
                && service.is_none_or(|service| SERVICES.contains(&service))
        })
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.details
            .iter()
            .any(|detail| detail.get("reason").and_then(Value::as_str) == Some(reason))
    }

    /// When the limit ends, from `RetryInfo`, the metadata of `ErrorInfo`, or the header.
    fn until(&self, headers: &HeaderMap, now: Millis) -> Option<Millis> {
        let text = |pointer: &str| {
            self.details
                .iter()
                .find_map(|detail| detail.pointer(pointer)?.as_str())
        };
        let delay = text("/retryDelay")
            .or_else(|| text("/metadata/quotaResetDelay"))
            .and_then(interval);
        delay
            .and_then(|wait| after_ms(now, wait as f64))
            .or_else(|| retry_at(headers, now))
    }

    /// Whether every limit in the answer is a token limit, so that smaller requests may still be served. Read
    /// from `google.rpc.QuotaFailure`, with ids such as `GenerateContentInputTokensPerModelPerMinute-FreeTier`.
    fn is_over_tokens_alone(&self) -> bool {
        let violations = self
            .details
            .iter()
            .filter_map(|detail| detail.get("violations")?.as_array());
        let mut ids = violations
            .flatten()
            .map(|violation| violation.get("quotaId").and_then(Value::as_str));
        let is_of_tokens = |id: Option<&str>| id.is_some_and(|id| id.contains("Tokens"));
        ids.next().is_some_and(is_of_tokens) && ids.all(is_of_tokens)
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
