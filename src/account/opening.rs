//! Detects an error in the first bytes of a success.
//!
//! A good answer is recognised by its first bytes and not delayed. Only bytes that look like an error are held
//! until the error can be read.

/// Whether the bytes begin with an error of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begins<'a> {
    Well,
    /// They look like an error that is not complete yet.
    Unclear,
    /// An error with this complete JSON text.
    With(&'a [u8]),
}

/// The beginnings of a protocol's errors.
pub(super) struct Errors {
    /// Names of error events.
    pub(super) events: &'static [&'static str],
    /// Beginnings of their JSON, without white space.
    pub(super) data: &'static [&'static str],
}

pub(super) fn begins<'a>(first: &'a [u8], errors: &Errors) -> Begins<'a> {
    let named = match after(first, "event:") {
        After::Rest(named) => named,
        After::Cut => return Begins::Unclear,
        After::Other => return data(first, errors, false),
    };
    match memchr::memchr(b'\n', named) {
        Some(end) => {
            let (name, rest) = named.split_at_checked(end).unwrap_or((named, &[]));
            let name = name.trim_ascii();
            if errors.events.iter().any(|event| event.as_bytes() == name) {
                data(rest.strip_prefix(b"\n").unwrap_or(rest), errors, true)
            } else {
                Begins::Well
            }
        }
        None => {
            let name = named.trim_ascii_start();
            let may_become = |event: &&str| {
                let event = event.as_bytes();
                event.starts_with(name)
                    || name
                        .strip_prefix(event)
                        .is_some_and(|rest| rest.trim_ascii().is_empty())
            };
            if errors.events.iter().any(may_become) {
                Begins::Unclear
            } else {
                Begins::Well
            }
        }
    }
}

/// The text after a prefix.
enum After<'a> {
    Rest(&'a [u8]),
    /// The text ends inside the prefix.
    Cut,
    /// It has another beginning.
    Other,
}

fn after<'a>(text: &'a [u8], prefix: &str) -> After<'a> {
    match text.strip_prefix(prefix.as_bytes()) {
        Some(rest) => After::Rest(rest),
        None if prefix.as_bytes().starts_with(text) => After::Cut,
        None => After::Other,
    }
}

/// `known`: the event's name already says that it is an error.
fn data<'a>(text: &'a [u8], errors: &Errors, known: bool) -> Begins<'a> {
    match after(text, "data:") {
        After::Cut => Begins::Unclear,
        After::Rest(json) => {
            let line = memchr::memchr2(b'\n', b'\r', json).and_then(|end| json.get(..end));
            match (known || looks(json, errors.data), line) {
                (false, _) => Begins::Well,
                (true, None) => Begins::Unclear,
                (true, Some(line)) => Begins::With(line),
            }
        }
        // Not a stream of events: an object, or a list whose first element counts.
        After::Other => {
            let text = text.trim_ascii_start();
            let json = text.strip_prefix(b"[").unwrap_or(text);
            if !looks(json, errors.data) {
                return Begins::Well;
            }
            let mut values = serde_json::Deserializer::from_slice(json).into_iter::<serde::de::IgnoredAny>();
            match values.next() {
                Some(Ok(_)) => Begins::With(json.get(..values.byte_offset()).unwrap_or(json)),
                Some(Err(error)) if error.is_eof() => Begins::Unclear,
                None => Begins::Unclear,
                Some(Err(_)) => Begins::Well,
            }
        }
    }
}

/// Whether the text begins with one of these, or is a prefix of one, ignoring white space.
fn looks(text: &[u8], like: &[&str]) -> bool {
    like.iter().any(|like| {
        let dense = text.iter().filter(|byte| !byte.is_ascii_whitespace());
        dense
            .zip(like.as_bytes())
            .all(|(byte, expected)| byte == expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRORS: Errors = Errors {
        events: &["error", "response.failed"],
        data: &["{\"error\":", "{\"type\":\"error\""],
    };

    fn of(text: &str) -> Begins<'_> {
        begins(text.as_bytes(), &ERRORS)
    }

    #[test]
    fn a_good_answer_is_told_at_once() {
        for good in [
            "event: m",
            "event: response.created\ndata: {\"type\"",
            "event: errors\n",
            "data: {\"type\":\"r",
            "data: {\"id\"",
            "{\"id\"",
            "[{\"candidates\"",
            ": ping",
            "data: [DONE]",
        ] {
            assert_eq!(of(good), Begins::Well, "{good}");
        }
    }

    #[test]
    fn an_error_is_waited_for_to_its_end() {
        for whole in [
            "event: error\ndata: {\"type\":\"error\"}\n",
            "event:response.failed\r\ndata:{\"x\":1}\r",
            "data: {\"error\":{\"code\":5}}\n",
            "data: { \"type\" : \"error\"}\n",
            "[{\n  \"error\": {\"code\": 5}\n}",
            "{\"error\":1}",
        ] {
            for end in 1..whole.len() {
                let cut = begins(&whole.as_bytes()[..end], &ERRORS);
                assert_eq!(cut, Begins::Unclear, "{whole:?} {end}");
            }
            assert!(matches!(of(whole), Begins::With(_)), "{whole:?}");
        }
    }

    #[test]
    fn the_text_is_the_error_alone() {
        assert_eq!(
            of("event: error\ndata: {\"a\":1}\n\nevent: x\n"),
            Begins::With(b" {\"a\":1}")
        );
        assert_eq!(of("[{\"error\":{}}\n,\n{}]"), Begins::With(b"{\"error\":{}}"));
    }
}
