//! Converts Google's answers between one object, a list of pieces, and events, for a client that asked for
//! another form than its provider sent.
//!
//! Source: Google's reference of `generateContent` and `streamGenerateContent`, which streams a JSON list without
//! `alt=sse`. In Code Assist each piece is in an envelope (`{"response": ...}`).

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dialect::body::{Field, mended, scan};
use crate::dialect::call::Call;
use crate::dialect::messages::forms::put;
use crate::dialect::wire::events::Lines;

/// Whether the client's pieces have an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Enveloped,
}

/// Whether a call asks for events; a stream without `alt=sse` is a list.
pub(crate) fn wants_events(call: &Call) -> bool {
    let pairs = call.query.as_deref().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        matches!(name, "alt" | "$alt" | "%24alt").then_some(value)
    });
    call.stream && values.any(|value| value.eq_ignore_ascii_case("sse"))
}

/// Whether these bytes are a JSON list and not events or an object.
pub(crate) fn is_list(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

/// Converts an answer of any form into events.
pub(crate) fn events(answer: &[u8], shape: Option<Shape>) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(answer.len() + 64);
    let pieces = each_piece(answer, |piece| {
        out.extend_from_slice(b"data: ");
        write_piece(piece, shape, &mut out)?;
        out.extend_from_slice(b"\r\n\r\n");
        Ok(())
    })?;
    if pieces == 0 {
        return Err(unreadable());
    }
    Ok(out)
}

/// Converts an answer of any form into the JSON list of a stream without `alt=sse`. Fails for a truncated answer,
/// because a list has no end marker.
pub(crate) fn list(answer: &[u8], shape: Shape) -> Result<Vec<u8>, String> {
    object(answer, shape)?;
    let mut out = Vec::with_capacity(answer.len() + 64);
    each_piece(answer, |piece| {
        out.extend_from_slice(if out.is_empty() { b"[" } else { b",\r\n" });
        write_piece(piece, Some(shape), &mut out)
    })?;
    out.extend_from_slice(b"]\n");
    Ok(out)
}

/// Writes a piece in one line. `shape`: with or without envelope; `None`: unchanged.
fn write_piece(piece: &[u8], shape: Option<Shape>, out: &mut Vec<u8>) -> Result<(), String> {
    let mut write = |text: &[u8]| {
        // Line ends in JSON are only between tokens. Google's clients expect data in one line.
        out.extend(text.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    };
    let fields = scan(piece).map_err(|_| unreadable())?;
    let inner = fields.raw(Field::Response, piece);
    match (shape, inner) {
        (Some(Shape::Plain), Some(inner)) => write(inner),
        (Some(Shape::Enveloped), None) => {
            for part in [b"{\"response\":", piece, b"}"] {
                write(part);
            }
        }
        _ => write(piece),
    }
    Ok(())
}

/// Converts an answer of any form into one object.
pub(crate) fn object(answer: &[u8], shape: Shape) -> Result<Vec<u8>, String> {
    let mut merged = json!({});
    let mut envelope = json!({});
    each_piece(answer, |piece| {
        let mut piece: Value = serde_json::from_slice(&mended(piece)).map_err(|_| unreadable())?;
        if let Some(inner) = piece.get_mut("response").map(Value::take) {
            if let Value::Object(members) = piece {
                for (name, value) in members {
                    put(&mut envelope, &name, value);
                }
            }
            piece = inner;
        }
        add(&mut merged, piece);
        Ok(())
    })?;
    let finished = |candidate: &Value| candidate.get("finishReason").is_some_and(Value::is_string);
    let candidates = merged.get("candidates").and_then(Value::as_array);
    let is_over = candidates.is_some_and(|all| !all.is_empty() && all.iter().all(finished))
        || merged.pointer("/promptFeedback/blockReason").is_some();
    if !is_over {
        return Err("the stream ended before its last piece".to_owned());
    }
    if shape == Shape::Enveloped {
        put(&mut envelope, "response", merged);
        merged = envelope;
    }
    Ok(merged.to_string().into_bytes())
}

/// Adds a piece: content is appended, other members are replaced.
fn add(merged: &mut Value, piece: Value) {
    let Value::Object(members) = piece else { return };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("candidates", Value::Array(candidates)) => {
                for candidate in candidates {
                    add_candidate(merged, candidate);
                }
            }
            (name, value) => put(merged, name, value),
        }
    }
}

fn add_candidate(merged: &mut Value, candidate: Value) {
    let index = |candidate: &Value| candidate.get("index").and_then(Value::as_u64).unwrap_or(0);
    let at = index(&candidate);
    if !merged.get("candidates").is_some_and(Value::is_array) {
        put(merged, "candidates", json!([]));
    }
    let Some(Value::Array(all)) = merged.get_mut("candidates") else {
        return;
    };
    let Some(known) = all.iter_mut().find(|known| index(known) == at) else {
        let mut first = json!({});
        add_members(&mut first, candidate);
        all.push(first);
        return;
    };
    add_members(known, candidate);
}

fn add_members(known: &mut Value, candidate: Value) {
    let Value::Object(members) = candidate else { return };
    for (name, mut value) in members {
        if name != "content" {
            put(known, &name, value);
            continue;
        }
        let parts = value.get_mut("parts").map(Value::take);
        if known.get("content").is_none() {
            put(known, "content", json!({ "parts": [] }));
        }
        let Some(content) = known.get_mut("content") else {
            return;
        };
        if let Some(role) = value.get_mut("role").map(Value::take) {
            put(content, "role", role);
        }
        if let (Some(Value::Array(new)), Some(Value::Array(all))) = (parts, content.get_mut("parts")) {
            for part in new {
                add_part(all, part);
            }
        }
    }
}

/// Appends text to the last part if both are plain text of one kind. A part with a signature stays separate.
fn add_part(all: &mut Vec<Value>, part: Value) {
    let is_text = |part: &Value| {
        let members = part.as_object();
        members.is_some_and(|members| members.keys().all(|name| name == "text" || name == "thought"))
            && part.get("text").is_some_and(Value::is_string)
    };
    if let Some(last) = all.last_mut()
        && is_text(last)
        && is_text(&part)
        && last.get("thought") == part.get("thought")
    {
        if let (Some(Value::String(text)), Some(more)) =
            (last.get_mut("text"), part.get("text").and_then(Value::as_str))
        {
            text.push_str(more);
        }
        return;
    }
    all.push(part);
}

/// Calls `each` for every piece, and returns their number. Fails with an error in the answer.
fn each_piece(answer: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<usize, String> {
    let mut count = 0;
    let mut result = Ok(());
    let mut take = |piece: &[u8]| {
        if result.is_ok() && piece.trim_ascii() != b"[DONE]" {
            count += 1;
            result = told_error(piece).map_or_else(|| each(piece), Err);
        }
    };
    match answer.trim_ascii_start().first() {
        Some(b'{') => take(answer),
        Some(b'[') => {
            let pieces: Vec<&RawValue> = serde_json::from_slice(answer).map_err(|_| unreadable())?;
            for piece in pieces {
                take(piece.get().as_bytes());
            }
        }
        _ => {
            let mut lines = Lines::default();
            lines
                .feed(answer, &mut take)
                .map_err(|_| "an event is too long".to_owned())?;
            lines.finish(&mut take);
        }
    }
    result.map(|()| count)
}

fn told_error(piece: &[u8]) -> Option<String> {
    let fields = scan(piece).ok()?;
    let error = fields
        .raw(Field::Error, piece)
        .filter(|error| *error != b"null")?;
    Some(format!(
        "the provider's answer is an error: {}",
        String::from_utf8_lossy(error)
    ))
}

fn unreadable() -> String {
    "the provider's answer cannot be read".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, finish: Option<&str>) -> Value {
        let mut candidate = json!({ "content": { "role": "model", "parts": [{ "text": text }] } });
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({ "candidates": [candidate], "modelVersion": "m", "usageMetadata": { "candidatesTokenCount": text.len() } })
    }

    fn pieces() -> Vec<Value> {
        vec![piece("one ", None), piece("two", None), piece("!", Some("STOP"))]
    }

    fn enveloped(pieces: &[Value]) -> Vec<Value> {
        let wrap = |piece: &Value| json!({ "response": piece, "traceId": "t" });
        pieces.iter().map(wrap).collect()
    }

    fn stream(pieces: &[Value]) -> Vec<u8> {
        let event = |piece: &Value| format!("data: {piece}\r\n\r\n");
        pieces.iter().map(event).collect::<String>().into_bytes()
    }

    fn of_events(events: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(events).unwrap();
        text.split_terminator("\r\n\r\n")
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn a_list_becomes_events_in_the_clients_shape() {
        let plain = pieces();
        let inside = enveloped(&plain);
        for list in [&plain, &inside] {
            // As Google writes it, over many lines.
            let text = serde_json::to_vec_pretty(list).unwrap();
            assert_eq!(of_events(&events(&text, Some(Shape::Plain)).unwrap()), plain);
            assert_eq!(of_events(&events(&text, None).unwrap()), *list);
            let pieces = of_events(&events(&text, Some(Shape::Enveloped)).unwrap());
            assert!(
                pieces
                    .iter()
                    .zip(&plain)
                    .all(|(pieces, plain)| pieces["response"] == *plain)
            );
        }
        let one = serde_json::to_vec_pretty(&plain[2]).unwrap();
        assert_eq!(of_events(&events(&one, Some(Shape::Plain)).unwrap()), plain[2..]);
    }

    #[test]
    fn events_and_objects_become_a_list() {
        let plain = pieces();
        let read = |list: Vec<u8>| serde_json::from_slice::<Vec<Value>>(&list).unwrap();
        for answer in [stream(&plain), stream(&enveloped(&plain))] {
            assert_eq!(read(list(&answer, Shape::Plain).unwrap()), plain);
            let pieces = read(list(&answer, Shape::Enveloped).unwrap());
            assert!(
                pieces
                    .iter()
                    .zip(&plain)
                    .all(|(pieces, plain)| pieces["response"] == *plain)
            );
        }
        let one = plain[2].to_string();
        assert_eq!(read(list(one.as_bytes(), Shape::Plain).unwrap()), plain[2..]);
        let cut = stream(&plain[..2]);
        assert!(list(&cut, Shape::Plain).is_err());
    }

    #[test]
    fn pieces_become_one_object() {
        let plain = pieces();
        let list = serde_json::to_vec(&plain).unwrap();
        for answer in [stream(&plain), stream(&enveloped(&plain)), list] {
            let whole: Value = serde_json::from_slice(&object(&answer, Shape::Plain).unwrap()).unwrap();
            assert_eq!(whole, {
                let mut last = piece("one two!", Some("STOP"));
                last["usageMetadata"]["candidatesTokenCount"] = 1.into();
                last
            });
            let whole: Value = serde_json::from_slice(&object(&answer, Shape::Enveloped).unwrap()).unwrap();
            assert_eq!(whole["response"]["candidates"][0]["finishReason"], "STOP");
        }
    }

    #[test]
    fn parts_that_are_not_alike_stay_apart() {
        let parts = [
            json!({ "text": "hm", "thought": true }),
            json!({ "text": " hm", "thought": true, "thoughtSignature": "s" }),
            json!({ "text": "a" }),
            json!({ "functionCall": { "name": "f", "args": {} } }),
        ];
        let mut said: Vec<Value> = parts
            .iter()
            .map(|part| json!({ "candidates": [{ "content": { "parts": [part] } }] }))
            .collect();
        said.push(json!({ "candidates": [{ "finishReason": "STOP" }] }));
        let whole: Value = serde_json::from_slice(&object(&stream(&said), Shape::Plain).unwrap()).unwrap();
        assert_eq!(whole["candidates"][0]["content"]["parts"], json!(parts));
    }

    #[test]
    fn what_is_cut_is_no_answer() {
        let text = stream(&pieces());
        let last = text.len() - "\r\n\r\n".len();
        for end in 0..last {
            assert!(object(&text[..end], Shape::Plain).is_err(), "{end}");
        }
        assert!(object(&text[..last], Shape::Plain).is_ok());
        let list = serde_json::to_vec(&pieces()).unwrap();
        for end in 0..list.len() {
            assert!(events(&list[..end], None).is_err(), "{end}");
        }
        let error = br#"[{"error":{"code":500,"message":"x"}}]"#;
        assert!(events(error, None).unwrap_err().contains("500"));
    }
}
