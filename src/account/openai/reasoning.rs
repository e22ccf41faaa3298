//! Encrypted reasoning that another account made.
//!
//! OpenAI answers 400 with the code `invalid_encrypted_content` and does not say which item it means
//! (<https://github.com/openai/codex/issues/8145>). Texts and tool calls are items of their own, so the
//! conversation remains complete without the reasoning; only the thoughts are lost.

use bytes::Bytes;

use crate::dialect::body::{Edit, Field, Fields, Span, elements, patch, scan};
use crate::dialect::call::{Call, Endpoint};

/// The call's encrypted reasoning items in their JSON form, oldest first.
pub(super) fn sealed(call: &Call) -> Vec<Bytes> {
    if !matches!(call.endpoint, Endpoint::Responses | Endpoint::CompactResponses) {
        return Vec::new();
    }
    let array = call.fields.raw(Field::Input, &call.body).unwrap_or_default();
    let items = elements(array).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| encrypted(item.of(array)))
        .map(|sealed| call.body.slice_ref(sealed))
        .collect()
}

/// Removes the encrypted reasoning items that are not `readable` (by the items' order). Returns the body and the
/// number of removed items; `None` if there are none. A compacted history is encrypted, too, but stays: without
/// it nothing would be left.
pub(super) fn left_out(call: &Call, readable: &[bool]) -> Option<(Bytes, u32)> {
    if !matches!(call.endpoint, Endpoint::Responses | Endpoint::CompactResponses) {
        return None;
    }
    without(&call.fields, &call.body, readable)
}

fn without(fields: &Fields, body: &Bytes, readable: &[bool]) -> Option<(Bytes, u32)> {
    let input = fields.span(Field::Input)?;
    let array = input.of(body);
    let items = elements(array)?;
    let mut readable = readable.iter().copied();
    let unreadable: Vec<bool> = items
        .iter()
        .map(|item| encrypted(item.of(array)).is_some() && !readable.next().unwrap_or(false))
        .collect();
    let count = unreadable.iter().filter(|unreadable| **unreadable).count();
    if count == 0 {
        return None;
    }
    let mut edits = Vec::new();
    let mut kept_before = None;
    let mut cut_from = None;
    for (item, unreadable) in items.iter().zip(unreadable) {
        match (unreadable, cut_from) {
            (true, None) => cut_from = Some(item.start),
            (false, Some(start)) => {
                let end = item.start;
                edits.push(Edit::cut(Span { start, end }.moved(input.start)));
                cut_from = None;
            }
            _ => {}
        }
        if !unreadable {
            kept_before = Some(item.end);
        }
    }
    // For the last items, the comma before them is removed.
    if let (Some(start), Some(last)) = (cut_from, items.last()) {
        let start = kept_before.unwrap_or(start);
        let end = last.end;
        edits.push(Edit::cut(Span { start, end }.moved(input.start)));
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Some((patch(body, edits), count))
}

/// The encrypted part of a reasoning item in its JSON form.
fn encrypted(item: &[u8]) -> Option<&[u8]> {
    let fields = scan(item).ok()?;
    if fields.text(Field::Type, item).as_deref() != Some("reasoning") {
        return None;
    }
    let raw = fields.raw(Field::EncryptedContent, item)?;
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn left(input: Value) -> Option<(Value, u32)> {
        left_but(input, &[])
    }

    fn left_but(input: Value, readable: &[bool]) -> Option<(Value, u32)> {
        let body: Bytes = json!({"model": "m", "input": input, "store": false})
            .to_string()
            .into();
        let (body, count) = without(&scan(&body).unwrap(), &body, readable)?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["store"], false);
        Some((body["input"].clone(), count))
    }

    #[test]
    fn exactly_the_encrypted_reasoning_goes() {
        let thought = || json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []});
        let said = |text: &str| json!({"role": "user", "content": text});
        let shown = json!({"type": "reasoning", "summary": [{"text": "kept"}], "encrypted_content": null});
        let compacted = json!({"type": "compaction", "encrypted_content": "y"});
        for (input, expected, count) in [
            (
                json!([said("a"), thought(), said("b")]),
                json!([said("a"), said("b")]),
                1,
            ),
            (json!([thought(), said("b")]), json!([said("b")]), 1),
            (json!([said("a"), thought(), thought()]), json!([said("a")]), 2),
            (
                json!([thought(), said("a"), thought(), said("b"), thought()]),
                json!([said("a"), said("b")]),
                3,
            ),
            (json!([thought()]), json!([]), 1),
            (json!([shown, thought(), compacted]), json!([shown, compacted]), 1),
        ] {
            assert_eq!(left(input), Some((expected, count)));
        }
        assert_eq!(left(json!([said("a"), compacted])), None);
        let mixed = || json!([thought(), said("a"), shown, thought(), said("b"), thought()]);
        assert_eq!(
            left_but(mixed(), &[false, true]),
            Some((json!([said("a"), shown, thought(), said("b")]), 2))
        );
        assert_eq!(left_but(mixed(), &[true, true, true]), None);
        assert_eq!(left(json!("text")), None);
    }
}
