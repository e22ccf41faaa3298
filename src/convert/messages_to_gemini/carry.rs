//! Carries Gemini's thought signatures through a client of Anthropic's protocol.
//!
//! Gemini signs parts of an answer (`thoughtSignature` on a thought, a text or a call) and expects each signature
//! back on the same part. The client returns only members of its own protocol, so the signatures are put into
//! these:
//!
//! - the `signature` of a `thinking` block, if they are known when it ends: that of the thought itself and that
//!   of the part right after it;
//! - otherwise the `data` of a `redacted_thinking` block before the next `tool_use`. Clients return such blocks
//!   unread.
//!
//! A mark identifies its call or text by number, because clients move blocks: Claude Code sends all calls of a
//! message after everything else.
//!
//! The signature of a text that nothing follows is dropped. Gemini asks for it but does not insist, and a block
//! after the text would break `claude -p`, which prints the last block of an answer. The id of a `tool_use` block
//! cannot carry signatures either: they have thousands of bytes, ids are repeated in each result, and Claude Code
//! names files after them.
//!
//! A token names the vendor of the signing model, because Antigravity serves Claude and GPT too and none of them
//! accepts another's signature. Tokens of another vendor are dropped, and so are signatures of a real Claude.
//! Tokens are not authenticated: they only return to the client's own provider account what its model had
//! produced, and the provider checks its signatures itself.
//!
//! A client may continue the same conversation at Anthropic or OpenAI. Every value made here contains `gts1`, so
//! that requests to those can be cleaned (`dialect::wire::marks`). Ids must stay, so they are valid everywhere:
//! at most 40 letters, digits, `_` and `-` (OpenAI's limit for the id of a call in Chat Completions; 64 in
//! Responses; Anthropic accepts `^[a-zA-Z0-9_-]+$`).

use std::fmt::Write as _;

use crate::dialect::wire::marks::{ID_PREFIX, LONGEST_ID, OLD_ID_PREFIX, PREFIX, SEARCH_PREFIX};

/// Maximum length of the seed in an id: 128 bits in base 62.
const SEED: usize = 22;

/// Limit for the marks of one token, above what an answer can have; each mark takes memory.
const MOST_MARKS: usize = 10_000;

/// The part that a signature belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The thought in the same `thinking` block.
    Thought,
    /// The call with this number in the answer.
    Call(usize),
    /// A part with these bytes of the `text` block with this number.
    Text { block: usize, start: usize, len: usize },
    /// An empty text part after the thought.
    Empty,
}

/// One signature and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub owner: Owner,
    pub signature: String,
}

/// Encodes the marks as a token. A token without marks says that the thought was not signed.
pub fn token(vendor: &str, marks: &[Mark]) -> String {
    let bytes: usize = marks.iter().map(|mark| mark.signature.len() + 24).sum();
    let mut token = String::with_capacity(PREFIX.len() + vendor.len() + 1 + bytes);
    token.push_str(PREFIX);
    token.push_str(vendor);
    token.push('.');
    for Mark { owner, signature } in marks {
        let length = signature.len();
        // Writing to a string does not fail.
        let _ = match owner {
            Owner::Thought => write!(token, "s{length}:"),
            Owner::Call(number) => write!(token, "c{number}+{length}:"),
            Owner::Text { block, start, len } => write!(token, "t{block}+{start}+{len}+{length}:"),
            Owner::Empty => write!(token, "e{length}:"),
        };
        token.push_str(signature);
    }
    token
}

/// Decodes a token of this vendor; `None` for anything else.
pub fn read(token: &str, vendor: &str) -> Option<Vec<Mark>> {
    let mut rest = token
        .strip_prefix(PREFIX)?
        .strip_prefix(vendor)?
        .strip_prefix('.')?;
    let mut marks = Vec::new();
    while !rest.is_empty() {
        if marks.len() == MOST_MARKS {
            return None;
        }
        let (head, tail) = rest.split_once(':')?;
        let (kind, numbers) = head.split_at_checked(1)?;
        let mut numbers = numbers.split('+').map(|digits| digits.parse::<usize>().ok());
        let mut number = || numbers.next().flatten();
        let owner = match kind {
            "s" => Owner::Thought,
            "c" => Owner::Call(number()?),
            "e" => Owner::Empty,
            "t" => Owner::Text {
                block: number()?,
                start: number()?,
                len: number()?,
            },
            _ => return None,
        };
        let (signature, more) = tail.split_at_checked(number()?)?;
        marks.push(Mark {
            owner,
            signature: signature.to_owned(),
        });
        rest = more;
    }
    Some(marks)
}

/// The id of the `number`th call of an answer. `seed`: letters and digits, unique per answer. Contains Gemini's
/// own id for the call, if there is one and it fits. Without that id Gemini matches calls and results by their
/// order.
pub fn call_id(seed: &str, number: usize, id: Option<&str>) -> String {
    let mut made = format!("{ID_PREFIX}{}_{number}", short(seed));
    let room = LONGEST_ID.saturating_sub(made.len() + 1);
    let fits = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !id.is_empty() && id.len() <= room && id.bytes().all(plain)
    };
    if let Some(id) = id.filter(fits) {
        made.push('_');
        made.push_str(id);
    }
    made
}

/// The id of the `number`th search of an answer.
pub fn search_id(seed: &str, number: usize) -> String {
    format!("{SEARCH_PREFIX}{}_{number}", short(seed))
}

/// Whether Gemini made the search with this id.
pub fn is_search_id(id: &str) -> bool {
    id.starts_with(SEARCH_PREFIX)
}

/// Shortens the seed: 32 hexadecimal digits are written in base 62.
fn short(seed: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let number = (seed.len() == 32)
        .then(|| u128::from_str_radix(seed, 16).ok())
        .flatten();
    let Some(mut number) = number else {
        return seed.chars().take(SEED).collect();
    };
    let mut short = String::with_capacity(SEED);
    for _ in 0..SEED {
        let digit = DIGITS.get((number % 62) as usize).copied().unwrap_or(b'0');
        short.push(char::from(digit));
        number /= 62;
    }
    short
}

/// Splits an id made by [`call_id`] into the number of the call and Gemini's own id. Ids of earlier versions were
/// longer.
pub fn read_id(id: &str) -> Option<(usize, Option<&str>)> {
    let rest = id
        .strip_prefix(ID_PREFIX)
        .or_else(|| id.strip_prefix(OLD_ID_PREFIX))?;
    let (_seed, rest) = rest.split_once('_')?;
    let (number, id) = match rest.split_once('_') {
        Some((number, id)) => (number, Some(id)),
        None => (rest, None),
    };
    Some((number.parse().ok()?, id))
}

/// Gemini's own id inside an id made by [`call_id`].
pub fn gemini_id(id: &str) -> Option<&str> {
    read_id(id)?.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let mark = |owner, signature: &str| Mark {
            owner,
            signature: signature.to_owned(),
        };
        let text = |block, start, len| Owner::Text { block, start, len };
        let all = [
            mark(text(0, 0, 5), "Eq+/="),
            mark(text(12, 5, 0), "s1:c2:"),
            mark(Owner::Empty, "e"),
            mark(Owner::Thought, "höß"),
            mark(Owner::Call(31), ""),
        ];
        for count in 0..=all.len() {
            let marks = &all[..count];
            assert_eq!(read(&token("gemini", marks), "gemini").unwrap(), marks);
        }
    }

    #[test]
    fn what_is_not_ours_is_nobodys() {
        let ours = token(
            "claude",
            &[Mark {
                owner: Owner::Call(0),
                signature: "abc".to_owned(),
            }],
        );
        assert_eq!(read(&ours, "gemini"), None);
        assert_eq!(read(&ours, "claud"), None);
        for token in [
            "",
            "EqQBCkYIBRgCKkD",
            "gts1.",
            "gts1.gemini",
            "gts1.gemini.x1:a",
            "gts1.gemini.c0+2:a",
            "gts1.gemini.c:a",
            "gts1.gemini.t1:a",
            "gts1.gemini.s99999999999999999999:a",
            "gts1.gemini.é1:a",
        ] {
            assert_eq!(read(token, "gemini"), None, "{token}");
        }
        assert_eq!(read("gts1.gemini.", "gemini"), Some(Vec::new()));
    }

    #[test]
    fn ids_keep_ids() {
        let seed = "01a2210a113c7606acb2719c56bf3111";
        for id in ["q7Xk2aPz", "_", "-a_b-"] {
            let ours = call_id(seed, 12, Some(id));
            assert_eq!(read_id(&ours), Some((12, Some(id))));
        }
        for number in [0, 9, 99_999] {
            for id in [None, Some("x"), Some("12345678"), Some(&*"x".repeat(64))] {
                let ours = call_id(seed, number, id);
                assert!(ours.len() <= 40, "{ours}");
                assert!(
                    ours.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                    "{ours}"
                );
                assert_eq!(read_id(&ours).unwrap().0, number);
            }
        }
        assert_ne!(
            call_id(seed, 0, None),
            call_id("01a2210a113c7606acb2719c56bf3112", 0, None)
        );
        assert!(search_id(seed, 999).len() <= 40);
        // Those of earlier versions.
        assert_eq!(
            read_id("toolu_gts1_01a2210a113c7606acb2719c56bf3111_3_q7Xk2aPz"),
            Some((3, Some("q7Xk2aPz")))
        );
        for id in [None, Some(""), Some("a.b"), Some("ä")] {
            assert_eq!(read_id(&call_id("Abc9", 0, id)), Some((0, None)));
        }
        for id in [
            "toolu_01AbC_1_x",
            "toolu_gts1_",
            "toolu_gts1_a_",
            "toolu_gts1_a_x_1",
        ] {
            assert_eq!(read_id(id), None);
        }
    }
}
