//! Providers' refusals, and how they are passed on to the client.
//!
//! A refusal that may concern the account or the request is confirmed by a second account ([`Refusals`]). The
//! client gets the provider's own words and status if they are in its protocol. An HTML page, a truncated body or
//! an empty one is replaced by the protocol's own error with the provider's status ([`tell`]).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};
use serde::de::IgnoredAny;

use super::answer::Answer;
use super::flight::Flight;
use super::{ERROR_BODY_LIMIT, media};
use crate::error::{Code, Failure};

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Maximum number of characters of a page sent to a client.
const MOST_WORDS: usize = 300;

/// The unconfirmed refusal that a call has received.
#[derive(Default)]
pub(super) struct Refusals(Option<Answer>);

impl Refusals {
    /// Adds a refusal. Returns it if an earlier account has refused as well, so that it goes to the client.
    pub(super) fn confirmed(&mut self, mut answer: Answer) -> Option<Answer> {
        // SDKs would retry a 429 with the same result.
        answer
            .headers
            .insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        let class = |status: StatusCode| status.as_u16() / 100;
        match &self.0 {
            Some(first) if class(first.status) == class(answer.status) => Some(answer),
            Some(_) => None,
            None => {
                self.0 = Some(answer);
                None
            }
        }
    }

    /// No other account is left because of `failure`. Returns the earlier account's refusal instead, unless a
    /// retry may help.
    pub(super) fn or(&mut self, failure: Failure, attempted: Option<Code>) -> Result<Answer, Failure> {
        let passing = attempted.is_some_and(|code| !matches!(code, Code::NoAccount | Code::PassedOn));
        match self.0.take_if(|_| !passing) {
            Some(answer) => Ok(answer),
            None => Err(failure),
        }
    }
}

/// The refusal as a failure, for a refusal that waits for confirmation or has no client.
pub(super) fn as_failure(answer: &Answer) -> Failure {
    Failure::new(Code::PassedOn, "The provider refused the request.")
        .with_status(answer.status)
        .with_detail(answer.status.as_u16().to_string())
        .with_words(&answer.first)
}

/// Converts the account's error into the client's protocol, and keeps the original words for the log.
pub(super) fn tell(answer: &mut Answer, flight: &mut Flight) {
    let (status, body) = (answer.status, answer.first.clone());
    let cut = body.len() >= ERROR_BODY_LIMIT;
    flight.passed_on(&body, cut);
    let forwarded = if is_json(&body) {
        flight.plan().passed_on(status, &answer.headers, &body)
    } else {
        let failure = Failure::new(Code::PassedOn, message(status, &body, cut)).with_status(status);
        let now = flight.app().ports.clock.now();
        let refusal = flight.plan().dialect.refusal(&failure, flight.id(), now);
        Some(refusal.body.into())
    };
    if let Some(forwarded) = forwarded {
        answer.first = forwarded;
    }
    media::Media::Json.name(&mut answer.headers);
}

/// Whether the body is a complete JSON object or list, as the protocols' errors are.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

fn message(status: StatusCode, body: &Bytes, cut: bool) -> String {
    let words = words(&String::from_utf8_lossy(
        body.get(..body.len().min(16 << 10)).unwrap_or_default(),
    ));
    let status = status.as_u16();
    match (words.as_str(), cut) {
        ("", _) => format!("The provider answered {status} and said no more."),
        (words, false) => format!("The provider answered {status}, not in its protocol: {words}"),
        (words, true) => format!("The provider answered {status} with more than 1 MiB; it begins: {words}"),
    }
}

/// The visible text of a page in one line, without tags, scripts and styles.
fn words(page: &str) -> String {
    let mut text = String::new();
    let mut rest: Cow<'_, str> = Cow::Borrowed(page);
    for hidden in ["script", "style", "!--"] {
        let end = if hidden == "!--" {
            "-->".to_owned()
        } else {
            format!("</{hidden}>")
        };
        while let Some(from) = find(&rest, &format!("<{hidden}")) {
            let to = find(rest.get(from..).unwrap_or_default(), &end).map(|at| from + at + end.len());
            let (before, after) = (rest.get(..from), to.and_then(|to| rest.get(to..)));
            rest = Cow::Owned([before.unwrap_or_default(), " ", after.unwrap_or_default()].concat());
        }
    }
    let mut within_tag = false;
    for letter in rest.chars() {
        match letter {
            '<' => within_tag = true,
            '>' if within_tag => {
                within_tag = false;
                text.push(' ');
            }
            _ if within_tag => {}
            letter if letter.is_control() => text.push(' '),
            letter => text.push(letter),
        }
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MOST_WORDS).collect()
}

/// Searches ASCII case-insensitively.
fn find(text: &str, what: &str) -> Option<usize> {
    text.as_bytes()
        .windows(what.len())
        .position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer::refusal(status, HeaderMap::new(), Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn a_second_account_confirms() {
        let mut refusals = Refusals::default();
        assert!(refusals.confirmed(answer(403, "first")).is_none());
        let forwarded = refusals.confirmed(answer(429, "second")).expect("the same class");
        assert_eq!(
            (forwarded.status.as_u16(), &forwarded.first[..]),
            (429, &b"second"[..])
        );
        assert_eq!(forwarded.headers["x-should-retry"], "false");
    }

    #[test]
    fn what_was_refused_is_told_in_place_of_our_own_words() {
        let nobody = || Failure::new(Code::NoAccount, "ours");
        let mut refusals = Refusals::default();
        assert!(refusals.or(nobody(), None).is_err(), "nothing was refused");
        for attempted in [None, Some(Code::NoAccount), Some(Code::PassedOn)] {
            let _ = refusals.confirmed(answer(403, "theirs"));
            assert!(
                refusals
                    .or(nobody(), attempted)
                    .is_ok_and(|forwarded| forwarded.first == "theirs")
            );
        }
        // An account that did not refuse may serve soon.
        let _ = refusals.confirmed(answer(403, "theirs"));
        assert!(refusals.or(nobody(), Some(Code::ProviderOverloaded)).is_err());
    }

    #[test]
    fn a_page_is_told_in_words() {
        for (page, forwarded) in [
            ("", ""),
            ("  plain\n words ", "plain words"),
            (
                "<!DOCTYPE html><html><head><title>403 Forbidden</title><style>a{b}</style></head><body><!-- c --><h1>Sorry,</h1><SCRIPT>x()</SCRIPT>you are\u{0}blocked</body>",
                "403 Forbidden Sorry, you are blocked",
            ),
            ("a <script>never closed", "a"),
            ("1 < 2", "1"),
        ] {
            assert_eq!(words(page), forwarded, "{page}");
        }
        assert_eq!(words(&"ä".repeat(9_999)).chars().count(), MOST_WORDS);
    }

    #[test]
    fn only_whole_objects_and_lists_are_the_protocols() {
        for json in ["{}", " [{\"error\":{}}]"] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in ["", "\"words\"", "5", "{\"error\":", "<html>", "{}x"] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
        let cut = message(StatusCode::BAD_REQUEST, &Bytes::from_static(b"{\"a\":"), true);
        assert!(cut.contains("more than 1 MiB"), "{cut}");
    }
}
