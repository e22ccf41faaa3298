//! Maps tool names to the alphabet of Gemini and OpenAI, and back.
//!
//! Both accept 64 letters, digits, `_` and `-` (Gemini requires a letter or `_` first); Anthropic accepts 128. A
//! name that does not fit is cut and gets a hash as its suffix. The new name depends only on the old one, so
//! calls of earlier turns keep theirs. The names of a request are remembered to map its answer back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use crate::dialect::wire::text::Text;

const MOST: usize = 64;

/// `_` and eight hex digits.
const HASH: usize = 9;

/// The changed names of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::convert) struct Names {
    /// The client's name by the name sent.
    changed: HashMap<String, String>,
}

impl Names {
    /// Returns the name to send, and remembers it if it was changed.
    pub(in crate::convert) fn send<'a>(&mut self, name: &'a str) -> Cow<'a, str> {
        let sent = fitted(name);
        if let Cow::Owned(sent) = &sent
            && !self.changed.contains_key(sent)
        {
            self.changed.insert(sent.clone(), name.to_owned());
        }
        sent
    }

    pub(in crate::convert) fn send_text<'a>(&mut self, name: Text<'a>) -> Cow<'a, str> {
        match name.0 {
            Cow::Borrowed(name) => self.send(name),
            Cow::Owned(name) => Cow::Owned(self.send(&name).into_owned()),
        }
    }

    /// The client's name for a name in the answer.
    pub(in crate::convert) fn restore<'a>(&'a self, name: &'a str) -> &'a str {
        self.changed.get(name).map_or(name, String::as_str)
    }
}

/// The name in the accepted alphabet.
pub(in crate::convert) fn fitted(name: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let opens = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let bytes = name.as_bytes();
    if name.len() <= MOST && bytes.first().is_some_and(opens) && bytes.iter().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut fitted = String::with_capacity(MOST);
    if !bytes.first().is_some_and(opens) {
        fitted.push('_');
    }
    for c in name.chars() {
        if fitted.len() == MOST - HASH {
            break;
        }
        let fits = c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        fitted.push(if fits { c } else { '_' });
    }
    // Writing to a string does not fail.
    let _ = write!(fitted, "_{:08x}", hash(bytes));
    Cow::Owned(fitted)
}

/// FNV-1a, which is the same on every host and in every release.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_stay() {
        let mut names = Names::default();
        for name in ["Bash", "mcp__git__log", "_x", "a-b", &"x".repeat(64)] {
            assert_eq!(names.send(name), name);
        }
        assert_eq!(names, Names::default());
    }

    #[test]
    fn others_are_cut_told_apart_and_restored() {
        let mut names = Names::default();
        let long = format!("mcp__{}", "server_".repeat(16));
        let longer = format!("{long}x");
        for name in ["1st", "-", "", "größe", "a.b", "a:b", &long, &longer] {
            let sent = names.send(name).into_owned();
            assert!(sent.len() <= MOST, "{sent}");
            assert!(
                sent.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
                "{sent}"
            );
            assert!(
                sent.chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')),
                "{sent}"
            );
            assert_eq!(names.restore(&sent), name);
        }
        assert_eq!(names.changed.len(), 8);
        assert_eq!(names.restore("Bash"), "Bash");
    }
}
