//! Escapes of unpaired surrogates, which clients produce when they cut a text inside a UTF-16 pair.
//!
//! JSON allows them, Unicode and strict parsers do not. In forwarded bodies they stay. In strings that the relay
//! reads, each becomes U+FFFD: the escape `\ufffd` has the same length, so all offsets stay valid.

use std::borrow::Cow;

/// Replaces every escape of an unpaired surrogate; borrowed if there is none.
pub fn mended(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', json.get(at..).unwrap_or_default()) {
        let escape = at + found;
        at = escape + 2;
        let Some(unit) = unit(json, escape) else {
            continue;
        };
        at = escape + 6;
        let half = match unit {
            0xd800..=0xdbff if matches!(self::unit(json, at), Some(0xdc00..=0xdfff)) => {
                at += 6;
                false
            }
            0xd800..=0xdfff => true,
            _ => false,
        };
        if half {
            let out = out.get_or_insert_with(|| json.to_vec());
            if let Some(digits) = out.get_mut(escape + 2..escape + 6) {
                digits.copy_from_slice(b"fffd");
            }
        }
    }
    out.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The UTF-16 unit escaped at this offset.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    // The parser would also accept `+fff`.
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_where_they_stand() {
        for (json, expected) in [
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\uDE00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83dx\ude00""#, r#""\ufffdx\ufffd""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
        ] {
            assert_eq!(mended(json.as_bytes()), expected.as_bytes(), "{json}");
            let text: String = serde_json::from_str(expected).unwrap();
            assert!(text.contains('\u{fffd}'));
        }
    }

    #[test]
    fn all_else_is_borrowed() {
        for json in [
            r#""\ud83d\ude00 \u00e9 \n \\ud83d""#,
            r#""\u12""#,
            r#""\ud83""#,
            "\"\\",
            "",
            r#""\u+d83""#,
        ] {
            assert!(matches!(mended(json.as_bytes()), Cow::Borrowed(_)), "{json}");
        }
    }
}
