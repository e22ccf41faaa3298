//! Bytes as texts, and back: for bodies that carry nothing but UTF-8.
//!
//! A text stays as it is, so that every other client of the database reads it. What is none becomes a
//! prefix and base64. A text that begins with the prefix is treated as if it were none, so that all that
//! begins with it was made here. Equal bytes become equal texts: what is compared there is compared rightly.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// U+FFFD stands for bytes that are not characters; no text of ours begins with it.
const PREFIX: &str = "\u{fffd}base64:";

pub(super) fn escaped(bytes: &Bytes) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(PREFIX) => Cow::Borrowed(text),
        _ => Cow::Owned(format!("{PREFIX}{}", STANDARD.encode(bytes))),
    }
}

/// Undoes [`escaped`]. Text that it cannot have made stays as it is.
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
