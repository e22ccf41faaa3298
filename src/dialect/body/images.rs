//! Finds the images among a body's strings, so that an estimate of its tokens does not take their bytes for text.
//!
//! Only long strings are looked at, and only at their beginning: base64 of an image begins with its format's magic
//! bytes. PDFs are not counted: their tokens grow with their pages, as those of text do.

/// Shorter strings are not looked at, bytes: a smaller image is hardly overestimated as text.
pub(super) const SHORTEST: usize = 8 * 1024;

/// What precedes the base64 of a data URL, at most, bytes.
const MOST_OF_A_PREFIX: usize = 128;

/// Base64 of the first bytes of PNG, JPEG (also with an escaped slash), GIF and WebP.
const MAGIC: [&[u8]; 5] = [b"iVBORw0K", b"/9j/", b"\\/9j\\/", b"R0lGOD", b"UklGR"];

/// Images in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    pub count: u32,
    /// Total length of their base64.
    pub bytes: u32,
}

impl Images {
    /// Counts the string (without its quotes) if it is an image.
    #[cold]
    pub(super) fn see(&mut self, string: &[u8]) {
        let start = if string.starts_with(b"data:") {
            let prefix = string.get(..MOST_OF_A_PREFIX).unwrap_or(string);
            memchr::memchr(b',', prefix).map_or(0, |comma| comma + 1)
        } else {
            0
        };
        let base64 = string.get(start..).unwrap_or_default();
        if MAGIC.iter().any(|magic| base64.starts_with(magic)) {
            self.count = self.count.saturating_add(1);
            let bytes = u32::try_from(string.len()).unwrap_or(u32::MAX);
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::body::scan;

    fn found(string: &str) -> Images {
        let body = serde_json::json!({"input": [{"content": [{"image_url": string}]}]}).to_string();
        scan(body.as_bytes()).unwrap().images()
    }

    #[test]
    fn images_are_known_by_their_first_bytes() {
        let rest = "A".repeat(SHORTEST);
        for beginning in [
            "iVBORw0KGgo",
            "/9j/4AAQ",
            "R0lGODlh",
            "UklGRiQA",
            "data:image/png;base64,iVBORw0KGgo",
        ] {
            let string = format!("{beginning}{rest}");
            let expected = Images {
                count: 1,
                bytes: string.len() as u32,
            };
            assert_eq!(found(&string), expected, "{beginning}");
        }
        let escaped = format!(r#"{{"data":"\/9j\/4AAQ{rest}"}}"#).replace("\\\\", "\\");
        assert_eq!(scan(escaped.as_bytes()).unwrap().images().count, 1);
    }

    #[test]
    fn text_documents_and_small_images_are_none() {
        let rest = "A".repeat(SHORTEST);
        for string in [
            format!("JVBERi0xLjcK{rest}"),
            format!("data:application/pdf;base64,JVBERi0xLjcK{rest}"),
            format!("the image is iVBORw0KGgo{rest}"),
            format!("data: no comma {rest}"),
            "iVBORw0KGgo".to_owned(),
        ] {
            assert_eq!(found(&string), Images::default(), "{string:.11}");
        }
    }
}
