//! A client's form with files (`multipart/form-data`, RFC 7578): its small fields are found, and all of it is passed
//! on as it came.
//!
//! Limits depend on these fields, so relay and provider must read the same. Whatever could be read in two ways is
//! refused: a field that comes twice, a header of a part other than the usual ones, anything around the parts.

use http::header::{self, HeaderMap, HeaderValue};

use super::{Malformed, Span};

/// Maximum length of a field that is read, bytes.
const LONGEST: usize = 1_000;

/// Maximum number of parts. A request has sixteen images at most.
const MOST_PARTS: usize = 128;

/// The fields of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub model: Option<Span>,
    pub stream: Option<Span>,
    /// The number of images.
    pub count: Option<Span>,
}

/// The `content-type` if it is that of a form.
pub fn of(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers
        .get(header::CONTENT_TYPE)
        .filter(|kind| boundary(kind).is_some())
}

fn boundary(kind: &HeaderValue) -> Option<&str> {
    let mut parts = kind.to_str().ok()?.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut named = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    });
    let value = named.next().filter(|_| named.next().is_none())?;
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    (matches!(value.len(), 1..=70) && value.bytes().all(plain)).then_some(value)
}

/// Finds the fields. `kind`: the form's `content-type`.
pub fn read(kind: &HeaderValue, body: &[u8]) -> Result<Form, Malformed> {
    let boundary = boundary(kind).ok_or(Malformed::Form("it has no plain boundary"))?;
    let line = format!("\r\n--{boundary}");
    let first = line.get(2..).unwrap_or_default().as_bytes();
    if !body.starts_with(first) {
        return Err(Malformed::Form("it does not begin with its boundary"));
    }
    let mut form = Form::default();
    let mut at = first.len();
    for _ in 0..MOST_PARTS {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(end) = rest.strip_prefix(b"--") {
            let is_end = end.is_empty() || end == b"\r\n";
            return if is_end {
                Ok(form)
            } else {
                Err(Malformed::Form("something follows its end"))
            };
        }
        let head = rest
            .strip_prefix(b"\r\n")
            .ok_or(Malformed::Form("a boundary is not a line"))?;
        let length = memchr::memmem::find(head, b"\r\n\r\n").ok_or(Malformed::Form("a part has no end"))?;
        let start = at + 2 + length + 4;
        let content = body.get(start..).unwrap_or_default();
        let size =
            memchr::memmem::find(content, line.as_bytes()).ok_or(Malformed::Form("a part has no end"))?;
        let span = Span {
            start,
            end: start + size,
        };
        let slot = match name(head.get(..length).unwrap_or_default())? {
            "model" => Some((&mut form.model, "model")),
            "stream" => Some((&mut form.stream, "stream")),
            "n" => Some((&mut form.count, "n")),
            _ => None,
        };
        if let Some((slot, name)) = slot {
            if size > LONGEST {
                return Err(Malformed::Form("a field is too long"));
            }
            if let Some(first) = slot.replace(span) {
                let (first, second) = (first.start, start);
                return Err(Malformed::Twice { name, first, second });
            }
        }
        at = span.end + line.len();
    }
    Err(Malformed::Form("it has too many parts"))
}

/// The name of a part. A file's name may be anything.
fn name(head: &[u8]) -> Result<&str, Malformed> {
    let odd = Malformed::Form("a part's headers are unusual");
    let head = std::str::from_utf8(head).map_err(|_| odd.clone())?;
    let mut found = None;
    for line in head.split("\r\n") {
        let (header, value) = line.split_once(':').ok_or(odd.clone())?;
        if header.eq_ignore_ascii_case("content-disposition") {
            let value = value
                .trim()
                .strip_prefix("form-data; name=\"")
                .ok_or(odd.clone())?;
            let (name, rest) = value.split_once('"').ok_or(odd.clone())?;
            let is_file = rest.starts_with("; filename=\"") || rest.starts_with("; filename*=");
            let is_plain = !name.contains(['\\', '%', '\n', '\r']) && (rest.is_empty() || is_file);
            if !is_plain || rest.contains(" name") || found.replace(name).is_some() {
                return Err(odd);
            }
        } else if !header.eq_ignore_ascii_case("content-type")
            && !header.eq_ignore_ascii_case("content-length")
        {
            return Err(odd);
        }
    }
    found.ok_or(odd)
}

impl Form {
    /// A field's text.
    pub fn text(span: Option<Span>, body: &[u8]) -> Option<&str> {
        std::str::from_utf8(span?.of(body)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> HeaderValue {
        text.parse().unwrap()
    }

    fn part(head: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    fn found(body: &str) -> Result<[Option<String>; 3], Malformed> {
        let form = read(&kind("multipart/form-data; boundary=b"), body.as_bytes())?;
        let text = |span| Form::text(span, body.as_bytes()).map(str::to_owned);
        Ok([text(form.model), text(form.stream), text(form.count)])
    }

    #[test]
    fn fields_are_found_among_files() {
        let image = part(
            "name=\"image[]\"; filename=\"a b; x.png\"\r\nContent-Type: image/png",
            "\u{0}--a\r\n",
        );
        let body = [
            image.clone(),
            part("name=\"model\"", "gpt-image-2"),
            part("name=\"stream\"", "true"),
            image,
            "--b--\r\n".to_owned(),
        ]
        .concat();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found(&body), Ok([text("gpt-image-2"), text("true"), None]));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let model = part("name=\"model\"", "a");
        let end = "--b--";
        for body in [
            format!("{model}{model}{end}"),
            format!("preamble\r\n{model}{end}"),
            format!("{model}{end}\r\n{model}{end}"),
            format!("{}{end}", part("name=model", "a")),
            format!("{}{end}", part("name=\"model\"; name=\"x\"", "a")),
            format!("{}{end}", part("name=\"x\"; name*=utf-8''model", "a")),
            format!("{}{end}", part("name=\"mo\\del\"", "a")),
            format!("{}{end}", part("name=\"x\"\r\nX-Other: y", "a")),
            format!("{}{end}", part("name=\"x\"\r\n folded", "a")),
            format!("{}{end}", part("name=\"model\"", &"a".repeat(2_000))),
            model.clone(),
            String::new(),
        ] {
            assert!(found(&body).is_err(), "{body}");
        }
        assert!(found(&format!("{model}{end}")).is_ok());
    }

    #[test]
    fn a_form_has_a_plain_boundary() {
        let is = |text: &str| boundary(&kind(text)).map(str::to_owned);
        assert_eq!(
            is("multipart/form-data; boundary=\"x-1\"").as_deref(),
            Some("x-1")
        );
        assert_eq!(
            is("Multipart/Form-Data;charset=utf-8; boundary=x").as_deref(),
            Some("x")
        );
        for other in [
            "application/json",
            "multipart/mixed; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a b",
        ] {
            assert_eq!(is(other), None, "{other}");
        }
    }
}
