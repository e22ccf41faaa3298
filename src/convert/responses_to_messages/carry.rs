//! Carries Claude's thinking through a client of OpenAI's Responses, in the `encrypted_content` of a reasoning
//! item. Clients return it unread. A prefix marks it as Claude's.
//!
//! It includes the thought itself, because Claude wants back exactly the text that it signed, and the client may
//! have dropped or changed the item's summary.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dialect::wire::marks::CLAUDE;

/// The content of a reasoning item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thought {
    /// A thought and its signature.
    Signed { thinking: String, signature: String },
    /// A thought that only Claude can read.
    Redacted(String),
}

impl Thought {
    pub(super) fn token(&self) -> String {
        match self {
            Self::Redacted(data) => format!("{CLAUDE}r{data}"),
            Self::Signed { thinking, signature } => {
                let thinking = STANDARD.encode(thinking);
                let mut token = String::with_capacity(CLAUDE.len() + thinking.len() + signature.len() + 16);
                // Writing to a string does not fail.
                let _ = write!(token, "{CLAUDE}s{}:{signature}{thinking}", signature.len());
                token
            }
        }
    }

    /// `None` if it is not Claude's.
    pub(super) fn read(token: &str) -> Option<Self> {
        let rest = token.strip_prefix(CLAUDE)?;
        if let Some(data) = rest.strip_prefix('r') {
            return (!data.is_empty()).then(|| Self::Redacted(data.to_owned()));
        }
        let (length, rest) = rest.strip_prefix('s')?.split_once(':')?;
        let (signature, thinking) = rest.split_at_checked(length.parse().ok()?)?;
        let thinking = String::from_utf8(STANDARD.decode(thinking).ok()?).ok()?;
        (!signature.is_empty()).then(|| Self::Signed {
            thinking,
            signature: signature.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_come_back() {
        for thought in [
            Thought::Redacted("EmwK+/=".to_owned()),
            Thought::Signed {
                thinking: "Hm:  \n漢字".to_owned(),
                signature: "Eq:QB/=".to_owned(),
            },
            Thought::Signed {
                thinking: String::new(),
                signature: "E".to_owned(),
            },
        ] {
            assert_eq!(Thought::read(&thought.token()), Some(thought));
        }
        for token in [
            "",
            "gAAA",
            "gts1.openai.x",
            "gts1.claude.",
            "gts1.claude.r",
            "gts1.claude.s9:a",
            "gts1.claude.sx:a",
            "gts1.claude.s1:a!",
        ] {
            assert_eq!(Thought::read(token), None, "{token}");
        }
    }
}
