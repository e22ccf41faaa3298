//! The query of an address, as forms write it (WHATWG URL §5): pairs joined by `&`, percent-encoded, with `+`
//! for a blank.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The pairs of a query in their order, decoded once. Bytes, because what is encoded need not be UTF-8. A
/// `%` without two hex digits after it stands for itself, and a name without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match escaped(after) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => bytes.push(b'%'),
            },
            plain => bytes.push(*plain),
        }
    }
    Cow::Owned(bytes)
}

/// The byte that two hex digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Appends the value with every byte percent-encoded that is not unreserved (RFC 3986 §2.3), so that no
/// reader finds a separator in it.
pub fn append(query: &mut String, value: &[u8]) {
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            query.push(char::from(*byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Vec<(String, String)> {
        let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
        pairs(query)
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn pairs_are_decoded_once() {
        for (query, name, value) in [
            ("key=x", "key", "x"),
            ("%6bey=x", "key", "x"),
            ("%6Be%79=%78", "key", "x"),
            ("%256bey=x", "%6bey", "x"),
            ("a+b=c+d", "a b", "c d"),
            ("a=b=c", "a", "b=c"),
            ("a=b;key=c", "a", "b;key=c"),
            ("a", "a", ""),
            ("%=%4", "%", "%4"),
            ("%zz=%", "%zz", "%"),
        ] {
            assert_eq!(read(query), [(name.to_owned(), value.to_owned())], "{query}");
        }
        assert_eq!(read("&&a=1&"), [("a".to_owned(), "1".to_owned())]);
        assert!(read("").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_appended_is_read_again(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut query = "n=".to_owned();
            append(&mut query, &value);
            let found: Vec<_> = pairs(&query).map(|(_, value)| value.into_owned()).collect();
            prop_assert_eq!(found, vec![value]);
        }

        #[test]
        fn any_text_is_read(query in ".{0,60}") {
            let _ = pairs(&query).count();
        }
    }
}
