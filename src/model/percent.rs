//! Percent-encoding (RFC 3986 §2.1) with the crate `percent-encoding`: the sets of bytes to encode, and strict
//! decoding.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All bytes except the unreserved ones (RFC 3986 §2.3), so that a component contains no separator.
pub const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Like [`COMPONENT`], for several segments of a path.
pub const PATH: &AsciiSet = &COMPONENT.remove(b'/').remove(b'@');

/// The bytes that a header cannot contain, and the escape character.
pub const HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// Encodes the bytes in this set and all non-ASCII bytes.
pub fn encoded(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

/// Decodes strictly; `None` for an invalid escape or invalid UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_well = text.split('%').skip(1).all(is_escape);
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    is_well.then(|| Cow::into_owned(decoded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_place_lets_its_bytes_pass() {
        let text = "aZ09-._~ /@+&=%ä\u{7f}";
        assert_eq!(encoded(text, COMPONENT), "aZ09-._~%20%2F%40%2B%26%3D%25%C3%A4%7F");
        assert_eq!(encoded(text, PATH), "aZ09-._~%20/@%2B%26%3D%25%C3%A4%7F");
        assert_eq!(encoded(text, HEADER), "aZ09-._~ /@+&=%25%C3%A4%7F");
    }

    #[test]
    fn only_whole_escapes_of_utf8_are_decoded() {
        for (text, expected) in [
            ("", Some("")),
            ("a+b", Some("a+b")),
            ("%c3%A4%25", Some("ä%")),
            ("%2541", Some("%41")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%%41", None),
            ("%+1", None),
            ("%ä", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoded_text_is_read_again(text: String) {
            for set in [COMPONENT, PATH, HEADER] {
                prop_assert_eq!(decoded(&encoded(&text, set)), Some(text.clone()));
            }
        }
    }
}
