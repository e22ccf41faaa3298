//! Edits of a body in place.

use bytes::Bytes;

use super::Span;

/// A replacement of some bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub with: String,
}

impl Edit {
    /// Replaces a value by a string.
    pub fn text(span: Span, text: &str) -> Self {
        Self {
            span,
            with: serde_json::Value::from(text).to_string(),
        }
    }

    pub fn cut(span: Span) -> Self {
        Self {
            span,
            with: String::new(),
        }
    }
}

/// Applies edits, which must not overlap, and keeps all other bytes.
pub fn patch(body: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|edit| edit.span.start);
    let grows: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut patched = Vec::with_capacity(body.len() + grows);
    let mut at = 0;
    for Edit { span, with } in &edits {
        patched.extend_from_slice(body.get(at..span.start).unwrap_or_default());
        patched.extend_from_slice(with.as_bytes());
        at = span.end;
    }
    patched.extend_from_slice(body.get(at..).unwrap_or_default());
    patched.into()
}
