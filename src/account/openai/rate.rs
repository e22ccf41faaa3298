//! Reads a limit per minute or day from the message of a 429.
//!
//! `Rate limit reached for gpt-5 in organization org-1 on tokens per min (TPM): Limit 30000, Used 22999,
//! Requested 12528. Please try again in 11.054s. Visit ...` (OpenAI documentation, Rate limits; compatible hosts
//! send the same: Groq, in "Rate Limits"). Azure sends `Please retry after 7 seconds`. Codex reads the wait from
//! this message, too (`codex-rs`, "try again in").

use crate::account::interval::interval;

/// The limit in one message; missing parts are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RateLimit {
    /// In the limit's unit: tokens, requests.
    limit: Option<u64>,
    requested: Option<u64>,
    /// Time until the limit has room for the request, milliseconds.
    pub(super) wait_ms: Option<u64>,
    /// The limit is one of tokens per minute, of Azure.
    of_tokens: bool,
}

/// How such messages begin, in lower case. Other messages may quote the client's text.
const BEGINS: [&str; 3] = ["rate limit reached for", "rate limit exceeded", AZURE];

const AZURE: &str = "requests to the ";

/// Azure names this wait for a request with more tokens than its deployment has per minute (DrShushen in
/// vanderschaarlab/climb#1; alex-wolf-ps/dbchatprov2#2).
const A_DAY_MS: u64 = 86_400_000;

/// The text before the wait, in lower case.
const WAITS: [&str; 2] = ["try again in ", "retry after "];

impl RateLimit {
    /// `None` if the message is about something else.
    pub(super) fn read(message: &str) -> Option<Self> {
        let message = message.trim_start().to_ascii_lowercase();
        if !BEGINS.iter().any(|begin| message.starts_with(begin)) {
            return None;
        }
        // `rate limit reached` contains the word, too, but without a number.
        let number = |name| message.split(name).skip(1).find_map(leading_number);
        let wait = WAITS.iter().find_map(|words| message.split_once(words));
        Some(Self {
            limit: number("limit "),
            requested: number("requested "),
            wait_ms: wait.and_then(|(_, rest)| leading_wait(rest)),
            of_tokens: message.starts_with(AZURE) && message.contains("token rate limit"),
        })
    }

    /// The request alone exceeds the limit, so waiting does not help; smaller requests may be served.
    pub(super) fn is_too_small_for_the_request(self) -> bool {
        matches!((self.limit, self.requested), (Some(limit), Some(requested)) if requested > limit)
    }

    /// The wait is longer than the limit's window, so the request never fits; smaller requests may be served.
    pub(super) fn is_beyond_its_window(self) -> bool {
        self.of_tokens && self.wait_ms.is_some_and(|wait| wait >= A_DAY_MS)
    }
}

/// Parses `30000` or `30,000`.
fn leading_number(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != ',')
        .unwrap_or(text.len());
    let digits: String = text.get(..end)?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Parses `6.2s`, `7m12s`, `857ms`, `7 seconds`; a full stop may follow.
fn leading_wait(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let first = words.next()?.trim_end_matches(['.', ',', ';']);
    if let Some(wait) = interval(first) {
        return Some(wait);
    }
    let unit = match words.next()?.trim_end_matches(['.', ',', ';']) {
        "second" | "seconds" | "s" => "s",
        "millisecond" | "milliseconds" | "ms" => "ms",
        "minute" | "minutes" | "m" => "m",
        "hour" | "hours" | "h" => "h",
        _ => return None,
    };
    interval(&format!("{first}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_limit_request_and_wait() {
        for (message, limit, requested, wait_ms) in [
            (
                "Rate limit reached for gpt-5 in organization org-1 on tokens per min (TPM): Limit 30000, Used 22999, Requested 12528. Please try again in 11.054s. Visit https://platform.openai.com/account/rate-limits to learn more.",
                Some(30_000),
                Some(12_528),
                Some(11_054),
            ),
            (
                "Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10,000, Used 1, Requested 20,000. Please try again in 857ms.",
                Some(10_000),
                Some(20_000),
                Some(857),
            ),
            (
                "Rate limit reached for x on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s.",
                Some(200),
                Some(1),
                Some(432_000),
            ),
            (
                "Requests to the ChatCompletions_Create Operation have exceeded the token rate limit. Please retry after 7 seconds.",
                None,
                None,
                Some(7_000),
            ),
            ("Rate limit reached for x.", None, None, None),
            (
                "Rate limit reached for x. Please try again in a while.",
                None,
                None,
                None,
            ),
        ] {
            let expected = RateLimit {
                limit,
                requested,
                wait_ms,
                of_tokens: message.starts_with("Requests"),
            };
            assert_eq!(RateLimit::read(message), Some(expected), "{message}");
        }
        assert_eq!(
            RateLimit::read("You said: Rate limit reached for x: Limit 1, Requested 2"),
            None
        );
    }

    #[test]
    fn only_a_request_above_the_limit_is_the_requests_fault() {
        let of = |limit, requested| RateLimit {
            limit,
            requested,
            wait_ms: None,
            of_tokens: false,
        };
        assert!(of(Some(10), Some(11)).is_too_small_for_the_request());
        for fits in [of(Some(10), Some(10)), of(None, Some(10)), of(Some(10), None)] {
            assert!(!fits.is_too_small_for_the_request(), "{fits:?}");
        }
    }

    #[test]
    fn a_day_is_no_wait_for_a_limit_per_minute() {
        let azure = |what: &str, wait: &str| {
            let message = format!(
                "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded \
                 {what} of your current OpenAI S0 pricing tier. Please retry after {wait} seconds. Please go here: \
                 https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
            );
            RateLimit::read(&message).unwrap()
        };
        assert!(azure("token rate limit", "86400").is_beyond_its_window());
        assert!(!azure("token rate limit", "60").is_beyond_its_window());
        assert!(!azure("call rate limit", "86400").is_beyond_its_window());
        let other =
            RateLimit::read("Rate limit reached for x, no token rate limit. Please try again in 24h.")
                .unwrap();
        assert!(!other.is_beyond_its_window());
    }
}
