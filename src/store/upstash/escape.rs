//! Escapes bytes as text and back, for bodies that carry only UTF-8.
//!
//! UTF-8 stays unchanged, so that other clients of the database can read it. Other bytes become a prefix and
//! base64. A text that begins with the prefix is escaped as well, so every text with the prefix was made here.
//! Equal bytes give equal texts, so comparisons in the database work.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// U+FFFD is the replacement for invalid characters; none of our texts begins with it.
const PREFIX: &str = "\u{fffd}base64:";

pub(super) fn escaped(bytes: &Bytes) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(PREFIX) => Cow::Borrowed(text),
        _ => Cow::Owned(format!("{PREFIX}{}", STANDARD.encode(bytes))),
    }
}

/// Undoes [`escaped`]. Other texts are returned unchanged.
pub(super) fn unescaped(bytes: Vec<u8>) -> Bytes {
    match bytes
        .strip_prefix(PREFIX.as_bytes())
        .map(|text| STANDARD.decode(text))
    {
        Some(Ok(original)) => original.into(),
        _ => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_stay_as_they_are() {
        for text in [
            "",
            "a",
            "schlüssel",
            "钥匙:🔑",
            "nul\0",
            "\u{fffd}",
            "base64:YQ==",
        ] {
            assert_eq!(escaped(&Bytes::from_static(text.as_bytes())), text);
        }
        assert_eq!(escaped(&Bytes::from_static(b"\xff")), "\u{fffd}base64:/w==");
        // Written by somebody else.
        assert_eq!(unescaped("\u{fffd}base64:?".into()), "\u{fffd}base64:?");
    }

    proptest! {
        #[test]
        fn every_value_comes_back(bytes: Vec<u8>, times in 0..3_usize) {
            let mut value = bytes;
            for _ in 0..times {
                value = [PREFIX.as_bytes(), &value].concat();
            }
            let value = Bytes::from(value);
            let text = escaped(&value).into_owned();
            prop_assert_eq!(unescaped(text.clone().into_bytes()), value.clone());
            // What was stored is never taken for what it stands for.
            prop_assert_eq!(unescaped(escaped(&text.clone().into()).into_owned().into_bytes()), text);
        }
    }
}
