//! Known words of providers, and whom they are about: each provider has a table of them, with a source for
//! each row.
//!
//! A refusal (401, 403 and their like) may be about the account or about the request, and the status does not
//! tell.
//! Only known words mark an account; whatever is not known is another account's to confirm.

use crs_durable::Millis;

use super::{PROBE_AFTER_MS, Verdict};

/// Whom words are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The credentials: they are renewed first, then the account is marked until it has new ones.
    Credentials,
    /// The account, until the operator mends it elsewhere: marked, with one probe after a while.
    Account,
    /// The request, on an account like this one: no mark.
    Request,
    /// The request's size against what is left of a limit: smaller ones may be served meanwhile.
    Size,
}

/// How words are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// The error's type, code or reason.
    Word(&'static str),
    /// The message's beginning, in lower case. Never a part of it: an error may quote what the client sent.
    Begins(&'static str),
}

/// One row.
pub(super) struct Known {
    pub(super) status: u16,
    pub(super) says: Says,
    pub(super) about: About,
    /// Where the words are from, for people.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for people, and for the test of the tables")
    )]
    pub(super) source: &'static str,
}

/// Whom an error with these words (type, code, reasons) and this message is about, if that is known.
pub(super) fn about(
    table: &[Known],
    status: u16,
    has_word: impl Fn(&str) -> bool,
    message: &str,
) -> Option<About> {
    let begins = |begin: &str| {
        let message = message.trim_start().as_bytes();
        let head = message.get(..begin.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(begin.as_bytes()))
    };
    let row = table
        .iter()
        .filter(|row| row.status == status)
        .find(|row| match row.says {
            Says::Word(word) => has_word(word),
            Says::Begins(begin) => begins(begin),
        });
    row.map(|row| row.about)
}

impl About {
    /// The verdict that follows. `why`: the provider's words, bounded. `retry_at`: when it allows the next try.
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
    pub(crate) fn check(table: &[Known]) {
        for row in table {
            assert!(!row.source.is_empty(), "{:?}", row.says);
            if let Says::Begins(begin) = row.says {
                assert_eq!(begin, begin.to_ascii_lowercase());
                assert!(begin.len() >= 15, "too short to be sure: {begin}");
            }
        }
    }

    const TABLE: [Known; 2] = [
        Known {
            status: 403,
            says: Says::Begins("the account is closed"),
            about: About::Account,
            source: "here",
        },
        Known {
            status: 429,
            says: Says::Word("too_large"),
            about: About::Request,
            source: "here",
        },
    ];

    #[test]
    fn words_are_known_by_their_status_and_beginning() {
        let of = |status, message: &str| about(&TABLE, status, |_| false, message);
        assert_eq!(of(403, "The account is CLOSED. Sorry."), Some(About::Account));
        assert_eq!(of(400, "The account is closed."), None, "another status");
        assert_eq!(of(403, "You said: the account is closed"), None, "a quotation");
        assert_eq!(of(403, "The account"), None);
        assert_eq!(of(403, "Ünd the account is closed"), None);
        assert_eq!(
            about(&TABLE, 429, |word| word == "too_large", ""),
            Some(About::Request)
        );
    }
}
