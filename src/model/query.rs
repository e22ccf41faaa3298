//! URL queries in the form format (WHATWG URL §5): pairs joined by `&`, percent-encoded, with `+` for a space.

use std::borrow::Cow;

use percent_encoding::{percent_decode_str, percent_encode};

use super::percent::COMPONENT;

/// The pairs of a query in order, decoded once. Bytes, because decoded values may be invalid UTF-8. A `%` without
/// two hex digits stays as it is; a name without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        return Cow::Owned(percent_decode_str(&text.replace('+', " ")).collect());
    }
    percent_decode_str(text).into()
}

/// Appends the value, percent-encoding all bytes except the unreserved ones (RFC 3986 §2.3), so that it contains
/// no separator.
pub fn append(query: &mut String, value: &[u8]) {
    query.extend(percent_encode(value, COMPONENT));
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
