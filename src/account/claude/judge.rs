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
//! | 429 with a reset | account | next account; cools down until exactly then |
//! | 429 without | account | next account; others are preferred for a short while |
//! | 529 | provider load | next account; others are preferred for a short while, or until its `retry-after` |
//! | 3xx, 408, 424, 5xx | provider | the same |
//! | a stream that opens with an error event | as its type says | the same |

use bytes::Bytes;
use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::account::known::{KnownMessage, Pattern, Subject, about};
use crate::account::moments::{at_seconds, retry_at};
use crate::account::{Opening, Verdict};
use crate::error::Code;

use super::FAMILIES;

const GOOGLE_REASON: &str = "google.api.ErrorReason, in Google's documentation of its API errors";

/// A reason of Google's about the account.
const fn google(reason: &'static str, source: &'static str) -> KnownMessage {
    KnownMessage {
        status: 403,
        says: Pattern::Word(reason),
        about: Subject::Account,
        source,
    }
}

/// Known error messages of Anthropic, and of the clouds that serve its models, and their subjects.
const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        status: 400,
        says: Pattern::Begins("your credit balance is too low"),
        about: Subject::Account,
        source: "reported in public threads (Aider-AI/aider#804)",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("this organization has been disabled"),
        about: Subject::Account,
        source: "reported in public threads (anthropics/claude-code#19028)",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Begins("you have reached your specified api usage limits"),
        about: Subject::Account,
        source: "Claude API documentation, Errors: spend limit reached",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid x-api-key"),
        about: Subject::Credentials,
        source: "what people report of a mistyped key; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid bearer token"),
        about: Subject::Credentials,
        source: "what people report of a wrong OAuth token; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid authentication credentials"),
        about: Subject::Credentials,
        source: "what people report of ended logins; not in the documentation",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth token has expired"),
        about: Subject::Credentials,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth token has been revoked"),
        about: Subject::Credentials,
        source: "the words of the 403 (anthropics/claude-code#9635)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("invalid oauth token"),
        about: Subject::Credentials,
        source: "reported in public threads (anthropics/claude-code#3247)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth authentication is currently not allowed for this organization"),
        about: Subject::Account,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("oauth authentication is currently not supported"),
        about: Subject::Request,
        source: "reported in public threads (anthropics/claude-code#6131): what this request's headers want",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("this authentication style is incompatible with"),
        about: Subject::Request,
        source: "reported by a tester of this relay",
    },
    KnownMessage {
        status: 402,
        says: Pattern::Word("billing_error"),
        about: Subject::Account,
        source: "Claude API documentation, Errors",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("this organization has been disabled"),
        about: Subject::Account,
        source: "the words of the 400, with the status that fits them",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth token has been revoked"),
        about: Subject::Credentials,
        source: "reported in public threads (anthropics/claude-code#9635)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth authentication is currently not allowed for this organization"),
        about: Subject::Account,
        source: "reported in public threads (anthropics/claude-code#65714)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("oauth token does not meet scope requirement any_of(user:inference"),
        about: Subject::Account,
        source: "reported in public threads (can1357/oh-my-pi#38)",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins(
            "oauth token lacks required scopes. token must have the following scopes: user:inference",
        ),
        about: Subject::Account,
        source: "reported in public threads (anomalyco/opencode#2026)",
    },
    // Amazon's accounts, signatures and access keys.
    KnownMessage {
        status: 404,
        says: Pattern::Begins("model use case details have not been submitted"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshooting Amazon Bedrock API error codes: FTUFormNotFilled",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("the security token included in the request is invalid"),
        about: Subject::Credentials,
        source: "AWS documentation, Troubleshooting Amazon Bedrock API error codes: UnrecognizedClientException",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("the security token included in the request is expired"),
        about: Subject::Credentials,
        source: "AWS documentation, Common errors: ExpiredTokenException",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins(
            "the request signature we calculated does not match the signature you provided",
        ),
        about: Subject::Credentials,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("signature expired"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests: the relay's clock is behind",
    },
    KnownMessage {
        status: 403,
        says: Pattern::Begins("signature not yet current"),
        about: Subject::Account,
        source: "AWS documentation, Troubleshoot Signature Version 4 requests: the relay's clock is ahead",
    },
    // Google's, of service accounts.
    KnownMessage {
        status: 400,
        says: Pattern::Begins("unexpected value(s)"),
        about: Subject::Request,
        source: "reported in public threads (anthropics/claude-code#21625): a beta that this host does not know",
    },
    KnownMessage {
        status: 400,
        says: Pattern::Word("FAILED_PRECONDITION"),
        about: Subject::Request,
        source: "Vertex AI documentation, API errors; reported in public threads (yym68686/uni-api#41): the model is not \
                 enabled, not in this region, or forbidden by the organization",
    },
    KnownMessage {
        status: 401,
        says: Pattern::Word("ACCESS_TOKEN_EXPIRED"),
        about: Subject::Credentials,
        source: GOOGLE_REASON,
    },
    KnownMessage {
        status: 401,
        says: Pattern::Begins("request had invalid authentication credentials"),
        about: Subject::Credentials,
        source: "Google's answer to a token that is none or has ended",
    },
    google("SERVICE_DISABLED", GOOGLE_REASON),
    google("BILLING_DISABLED", GOOGLE_REASON),
    google("CONSUMER_SUSPENDED", GOOGLE_REASON),
    google("CONSUMER_INVALID", GOOGLE_REASON),
    google("ACCESS_TOKEN_SCOPE_INSUFFICIENT", GOOGLE_REASON),
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
        source: "reported in public threads (truefoundry/models#946): no such model in this region or project",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("extra usage is required"),
        about: Subject::Request,
        source: "reported in public threads (router-for-me/CLIProxyAPI#2464)",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("long context requests require"),
        about: Subject::Request,
        source: "a guess: the words above in another order",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("number of request tokens has exceeded"),
        about: Subject::Size,
        source: "reported in public threads (brianpetro/obsidian-smart-connections#725)",
    },
    KnownMessage {
        status: 429,
        says: Pattern::Begins("this request would exceed"),
        about: Subject::Size,
        source: "reported in public threads (continuedev/continue#12057)",
    },
];

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
    let verdict = match status.as_u16() {
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

/// An error of Google in Anthropic's form. `None` if it has another form.
pub(super) fn of_google(status: StatusCode, body: &[u8]) -> Option<Bytes> {
    let error = ErrorBody::read(body);
    let message = error.message.filter(|_| error.of_google)?;
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    };
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

#[cfg(test)]
mod tests;
