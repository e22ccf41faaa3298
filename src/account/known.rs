//! Known error messages of providers and their subjects: each provider has a table with a source for each row.
//!
//! A refusal (401, 403 and similar) may concern the account or the request, and the status does not say which.
//! Only known messages mark an account; for unknown ones another account must confirm.

use crs_durable::Millis;

use super::{PROBE_AFTER_MS, Verdict};

/// The subject of an error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The credentials: they are renewed, and if that fails the account is marked until it has new ones.
    Credentials,
    /// The account, until the operator fixes it at the provider: marked, with one probe after a while.
    Account,
    /// The request, for accounts like this one: no mark.
    Request,
    /// The request's size relative to the rest of a limit: smaller requests may still be served.
    Size,
}

/// How a message is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The error's type, code or reason.
    Word(&'static str),
    /// The message's beginning, in lower case. Never its middle, because an error may quote the client's text.
    Begins(&'static str),
}

/// A row of the table.
pub(super) struct KnownMessage {
    pub(super) status: u16,
    pub(super) says: Pattern,
    pub(super) about: Subject,
    /// Source of the message, for readers.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for people, and for the test of the tables")
    )]
    pub(super) source: &'static str,
}

/// The subject of an error with these words (type, code, reasons) and this message, if it is known.
pub(super) fn about(
    table: &[KnownMessage],
    status: u16,
    has_word: impl Fn(&str) -> bool,
    message: &str,
) -> Option<Subject> {
    let begins = |begin: &str| {
        let message = message.trim_start().as_bytes();
        let head = message.get(..begin.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(begin.as_bytes()))
    };
    let row = table
        .iter()
        .filter(|row| row.status == status)
        .find(|row| match row.says {
            Pattern::Word(word) => has_word(word),
            Pattern::Begins(begin) => begins(begin),
        });
    row.map(|row| row.about)
}

impl Subject {
    /// The verdict for this subject. `why`: the provider's message, shortened; `retry_at`: when the provider
    /// allows the next try.
    pub(super) fn verdict(self, why: String, retry_at: Option<Millis>, now: Millis) -> Verdict {
        match self {
            Self::Credentials => Verdict::unauthorized(why),
            Self::Account => Verdict::denied(why, Some(now + PROBE_AFTER_MS)),
            Self::Request => Verdict::about_the_request(),
            Self::Size => Verdict::too_much_at_once(retry_at, None, &why),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rules for every table.
    pub(crate) fn check(table: &[KnownMessage]) {
        for row in table {
            assert!(!row.source.is_empty(), "{:?}", row.says);
            if let Pattern::Begins(begin) = row.says {
                assert_eq!(begin, begin.to_ascii_lowercase());
                assert!(begin.len() >= 15, "too short to be sure: {begin}");
            }
        }
    }

    const TABLE: [KnownMessage; 2] = [
        KnownMessage {
            status: 403,
            says: Pattern::Begins("the account is closed"),
            about: Subject::Account,
            source: "here",
        },
        KnownMessage {
            status: 429,
            says: Pattern::Word("too_large"),
            about: Subject::Request,
            source: "here",
        },
    ];

    #[test]
    fn words_are_known_by_their_status_and_beginning() {
        let of = |status, message: &str| about(&TABLE, status, |_| false, message);
        assert_eq!(of(403, "The account is CLOSED. Sorry."), Some(Subject::Account));
        assert_eq!(of(400, "The account is closed."), None, "another status");
        assert_eq!(of(403, "You said: the account is closed"), None, "a quotation");
        assert_eq!(of(403, "The account"), None);
        assert_eq!(of(403, "Ünd the account is closed"), None);
        assert_eq!(
            about(&TABLE, 429, |word| word == "too_large", ""),
            Some(Subject::Request)
        );
    }
}
