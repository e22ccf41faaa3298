//! The meaning of Anthropic's answers: one table, a test per row.
//!
//! | answer | whose | what follows |
//! | --- | --- | --- |
//! | 400, 404, 405, 413, 422 and other 4xx | client's | passed on unchanged |
//! | 400, 401, 402, 403 with known words ([`KNOWN`]) | account's | next account; marked, one probe after a while |
//! | 401, 403 with known words about the credentials | account's | refresh once, then next account; marked until reset or new credentials |
//! | 401, 429 with known words about the request | request's | another account, without any mark; what it says, too, is the client's |
//! | other 402, 403 | not known | the same, and evidence for the pool |
//! | other 401 | not known | refresh once, then the same |
//! | 429 with known words about its size, no window used up | request's size | next account; others are preferred for a short while |
//! | 429 with a reset | account's | next account; cools down until exactly then |
//! | 429 without | account's | next account; others are preferred for a short while |
//! | 529 | provider's load | next account; others are preferred for a short while, or until its `retry-after` |
//! | 3xx, 408, 5xx | provider's | the same |
//! | a stream that opens with an error event | as its type says | the same |

use crs_durable::Millis;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::known::{About, Known, Says, about};
use crate::account::moments::{at_seconds, retry_at};
use crate::account::{Opening, Verdict};
use crate::error::Code;

use super::FAMILIES;

/// The subject of Anthropic's error messages.
const KNOWN: &[Known] = &[
    Known {
        status: 400,
        says: Says::Begins("your credit balance is too low"),
        about: About::Account,
        source: "reported in public threads (Aider-AI/aider#804)",
    },
    Known {
        status: 400,
        says: Says::Begins("this organization has been disabled"),
        about: About::Account,
        source: "reported in public threads (anthropics/claude-code#19028)",
    },
    Known {
        status: 400,
        says: Says::Begins("you have reached your specified api usage limits"),
        about: About::Account,
        source: "Claude API documentation, Errors: spend limit reached",
    },
    Known {
        status: 401,
        says: Says::Begins("invalid x-api-key"),
        about: About::Credentials,
        source: "what people report of a mistyped key; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Begins("invalid bearer token"),
        about: About::Credentials,
        source: "what people report of a wrong OAuth token; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Begins("invalid authentication credentials"),
        about: About::Credentials,
        source: "what people report of ended logins; not in the documentation",
    },
    Known {
        status: 401,
        says: Says::Begins("oauth token has expired"),
        about: About::Credentials,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    Known {
        status: 401,
        says: Says::Begins("oauth token has been revoked"),
        about: About::Credentials,
        source: "the words of the 403 (anthropics/claude-code#9635)",
    },
    Known {
        status: 401,
        says: Says::Begins("invalid oauth token"),
        about: About::Credentials,
        source: "reported in public threads (anthropics/claude-code#3247)",
    },
    Known {
        status: 401,
        says: Says::Begins("oauth authentication is currently not allowed for this organization"),
        about: About::Account,
        source: "reported in public threads (winfunc/opcode#91)",
    },
    Known {
        status: 401,
        says: Says::Begins("oauth authentication is currently not supported"),
        about: About::Request,
        source: "reported in public threads (anthropics/claude-code#6131): what this request's headers want",
    },
    Known {
        status: 401,
        says: Says::Begins("this authentication style is incompatible with"),
        about: About::Request,
        source: "reported by a tester of this relay",
    },
    Known {
        status: 402,
        says: Says::Word("billing_error"),
        about: About::Account,
        source: "Claude API documentation, Errors",
    },
    Known {
        status: 403,
        says: Says::Begins("this organization has been disabled"),
        about: About::Account,
        source: "the words of the 400, with the status that fits them",
    },
    Known {
        status: 403,
        says: Says::Begins("oauth token has been revoked"),
        about: About::Credentials,
        source: "reported in public threads (anthropics/claude-code#9635)",
    },
    Known {
        status: 403,
        says: Says::Begins("oauth authentication is currently not allowed for this organization"),
        about: About::Account,
        source: "reported in public threads (anthropics/claude-code#65714)",
    },
    Known {
        status: 403,
        says: Says::Begins("oauth token does not meet scope requirement any_of(user:inference"),
        about: About::Account,
        source: "reported in public threads (can1357/oh-my-pi#38)",
    },
    Known {
        status: 403,
        says: Says::Begins(
            "oauth token lacks required scopes. token must have the following scopes: user:inference",
        ),
        about: About::Account,
        source: "reported in public threads (anomalyco/opencode#2026)",
    },
    Known {
        status: 429,
        says: Says::Begins("extra usage is required"),
        about: About::Request,
        source: "reported in public threads (router-for-me/CLIProxyAPI#2464)",
    },
    Known {
        status: 429,
        says: Says::Begins("long context requests require"),
        about: About::Request,
        source: "a guess: the words above in another order",
    },
    Known {
        status: 429,
        says: Says::Begins("number of request tokens has exceeded"),
        about: About::Size,
        source: "reported in public threads (brianpetro/obsidian-smart-connections#725)",
    },
    Known {
        status: 429,
        says: Says::Begins("this request would exceed"),
        about: About::Size,
        source: "reported in public threads (continuedev/continue#12057)",
    },
];

pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Millis) -> Verdict {
    let error = ErrorBody::read(body);
    // Words about the size also stand above windows that are used up: there the headers decide.
    let about = error
        .about(status.as_u16())
        .filter(|about| *about != About::Size || !names_a_used_up_window(headers));
    if let Some(about) = about {
        let why = error.said("the provider refuses the account");
        return about.verdict(why, retry_at(headers, now), now);
    }
    let verdict = match status.as_u16() {
        401 => Verdict::unauthorized_unconfirmed(error.said("the provider refused the credentials")),
        402 | 403 => Verdict::refused(error.said(&format!("status {}", status.as_u16()))),
        429 => throttled(headers, now),
        529 => Verdict::unwell("overloaded", Code::ProviderOverloaded),
        300..=399 => Verdict::unwell("a redirect, which is not followed", Code::ProviderFailed),
        408 | 500..=599 => Verdict::unwell(&format!("status {}", status.as_u16()), Code::ProviderFailed),
        _ => Verdict::passed_on(),
    };
    verdict.back_at(retry_at(headers, now))
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

/// Whether the headers say that a window is used up, whatever the request's size.
fn names_a_used_up_window(headers: &HeaderMap) -> bool {
    headers.iter().any(|(name, value)| {
        let name = name.as_str();
        let is_status = name.starts_with("anthropic-ratelimit-unified-") && name.ends_with("status");
        (is_status && value == "rejected")
            || (name == "anthropic-ratelimit-requests-remaining" && value == "0")
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

    fn about(&self, status: u16) -> Option<About> {
        let message = self.message.as_deref().unwrap_or_default();
        about(KNOWN, status, |word| self.kind.as_deref() == Some(word), message)
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
