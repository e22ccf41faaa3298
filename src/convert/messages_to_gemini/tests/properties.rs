//! What holds for all transcripts, and all streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::transcripts::{SamplePart, model, rounds, said};
use super::{context, convert};
use crate::convert::messages_to_gemini as bridge;
use crate::convert::messages_to_gemini::{Options, Stream, answer};

/// A whole answer that says this.
fn gemini(said: &[SamplePart], finish: Option<&str>) -> Value {
    let parts: Vec<Value> = said.iter().map(SamplePart::json).collect();
    let mut candidate = json!({ "content": { "role": "model", "parts": parts } });
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({
        "candidates": [candidate], "modelVersion": "gemini-x",
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2 },
    })
}

/// What of it the client can be made to carry: all signatures but those of texts that neither follow a
/// thought at once nor have a thought or a call after them.
fn carried(said: &[SamplePart]) -> Vec<SamplePart> {
    #[derive(PartialEq)]
    enum Open {
        None,
        Thinking,
        Text,
    }
    let mut open = Open::None;
    let mut kept = Vec::new();
    for (at, part) in said.iter().enumerate() {
        match part {
            SamplePart::Text(text, None) | SamplePart::Thought(text, None) if text.is_empty() => {}
            SamplePart::Text(text, signature) if open != Open::Text && text.is_empty() => {
                if open == Open::Thinking {
                    kept.push(SamplePart::Text(String::new(), signature.clone()));
                    open = Open::None;
                }
            }
            SamplePart::Text(text, signature) => {
                let later = said.iter().skip(at + 1).any(|part| match part {
                    SamplePart::Text(..) => false,
                    SamplePart::Thought(text, signature) => !text.is_empty() || signature.is_some(),
                    SamplePart::Call { .. } => true,
                });
                let signature = signature.clone().filter(|_| later || open == Open::Thinking);
                if !text.is_empty() || signature.is_some() {
                    kept.push(SamplePart::Text(text.clone(), signature));
                }
                open = Open::Text;
            }
            SamplePart::Thought(_, signature) => {
                open = if signature.is_some() {
                    Open::None
                } else {
                    Open::Thinking
                };
                kept.push(part.clone());
            }
            SamplePart::Call { .. } => {
                open = Open::None;
                kept.push(part.clone());
            }
        }
    }
    kept
}

/// The parts that the next request must hold for it: as they came, but without thoughts that nobody
/// signed, and with the texts that a stream had cut put together.
fn expected(said: &[SamplePart], model: &str) -> Vec<Value> {
    let said = carried(said);
    let gemini_model = model.starts_with("gemini");
    let modern = gemini_model && !model.starts_with("gemini-2");
    let mut parts: Vec<Value> = Vec::new();
    let mut thought = String::new();
    let mut unsigned = false;
    for part in &said {
        match part {
            SamplePart::Text(text, None) if unsigned => {
                let last = parts.last_mut().unwrap();
                last["text"] = format!("{}{text}", last["text"].as_str().unwrap()).into();
            }
            SamplePart::Text(..) => parts.push(part.json()),
            SamplePart::Call { .. } => {
                let mut json = part.json();
                if json["functionCall"].get("id").is_none() && !gemini_model {
                    json["functionCall"]["id"] = "*".into();
                }
                parts.push(json);
            }
            SamplePart::Thought(text, signature) => {
                thought.push_str(text);
                if signature.is_some() {
                    let whole = SamplePart::Thought(std::mem::take(&mut thought), signature.clone());
                    parts.push(whole.json());
                }
            }
        }
        if !matches!(part, SamplePart::Thought(..)) {
            thought.clear();
        }
        unsigned = matches!(part, SamplePart::Text(_, None));
    }
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(first) = first
        && modern
        && first.get("thoughtSignature").is_none()
    {
        first["thoughtSignature"] = "skip_thought_signature_validator".into();
    }
    parts
}

/// Names of calls that had to be changed, and ids made up, do not matter here.
fn masked(mut parts: Vec<Value>, ids: bool) -> Vec<Value> {
    for part in &mut parts {
        if let Some(call) = part.get_mut("functionCall") {
            call.as_object_mut().unwrap().remove("name");
            if !ids {
                call.as_object_mut().unwrap().remove("id");
            }
        }
    }
    parts
}

/// Gemini's stream of this, each unsigned text in pieces.
fn sse(said: &[SamplePart], finish: Option<&str>, line: &str) -> Vec<u8> {
    let mut chunks = Vec::new();
    for part in said {
        let pieces: Vec<SamplePart> = match part {
            SamplePart::Text(text, None) => text.chars().map(|c| SamplePart::Text(c.into(), None)).collect(),
            SamplePart::Thought(text, None) => text
                .chars()
                .map(|c| SamplePart::Thought(c.into(), None))
                .collect(),
            whole => vec![whole.clone()],
        };
        chunks.extend(
            pieces
                .iter()
                .map(|piece| gemini(std::slice::from_ref(piece), None)),
        );
    }
    chunks.push(gemini(&[], finish));
    let wrapped = line == "\r\n";
    chunks
        .into_iter()
        .map(|chunk| {
            if wrapped {
                json!({ "response": chunk, "traceId": "t" })
            } else {
                chunk
            }
        })
        .flat_map(|chunk| format!("data: {chunk}{line}{line}").into_bytes())
        .collect()
}

fn stream(bytes: &[u8], cuts: &[usize], model: &str) -> Vec<u8> {
    let mut stream = Stream::new(&context(model), "req-1");
    let mut out = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (part, tail) = rest.split_at((*cut).min(rest.len()));
        out.extend_from_slice(&stream.feed(part));
        rest = tail;
    }
    out.extend_from_slice(&stream.feed(rest));
    out.extend_from_slice(&stream.finish());
    assert!(stream.finish().is_empty() && stream.feed(b"data: {}\n\n").is_empty());
    out
}

fn finish() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        6 => Just(Some("STOP")),
        1 => Just(Some("MAX_TOKENS")),
        1 => Just(Some("SAFETY")),
        1 => Just(Some("MALFORMED_FUNCTION_CALL")),
        1 => Just(Some("OTHER")),
        1 => Just(None),
    ]
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever Claude Code sends, whoever said what came before, converts to a valid request.
    #[test]
    fn every_transcript_converts(rounds in rounds(8), model in model()) {
        converts(&rounds, model);
    }

    /// What Gemini said comes back to it as it was: parts, signatures and ids.
    #[test]
    fn what_gemini_said_comes_back(turns in proptest::collection::vec(said(), 1..4), model in model()) {
        let context = context(model);
        let mut messages = vec![json!({ "role": "user", "content": "Go." })];
        let mut wanted = Vec::new();
        for (number, said) in turns.iter().enumerate() {
            let answered = answer(gemini(said, Some("STOP")).to_string().as_bytes(), &context, &format!("m{number}"));
            // Nothing was said.
            let Ok(answered) = answered else { continue };
            let message: Value = serde_json::from_slice(&answered.body).unwrap();
            let calls = message["content"].as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
            let results: Vec<Value> = calls
                .map(|call| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": "ok" }))
                .collect();
            let next = if results.is_empty() { json!("And?") } else { json!(results) };
            messages.push(json!({ "role": "assistant", "content": message["content"] }));
            messages.push(json!({ "role": "user", "content": next }));
            let parts = expected(said, model);
            if !parts.is_empty() {
                wanted.push(parts);
            }
        }
        let (sent, _) = convert(&json!({ "model": model, "messages": messages }));
        let contents = sent["contents"].as_array().unwrap().iter();
        let got: Vec<Vec<Value>> = contents
            .filter(|content| content["role"] == "model")
            .map(|content| content["parts"].as_array().unwrap().clone())
            .collect();
        let ids = model.starts_with("gemini");
        let masked = |all: Vec<Vec<Value>>| all.into_iter().map(|parts| masked(parts, ids)).collect::<Vec<_>>();
        prop_assert_eq!(masked(got), masked(wanted));
    }

    /// Clients move blocks: Claude Code sends a message's calls after all else. Signatures find their calls.
    #[test]
    fn calls_keep_their_signatures_when_moved(said in said(), model in model()) {
        let Ok(answered) = answer(gemini(&said, Some("STOP")).to_string().as_bytes(), &context(model), "m") else {
            return Ok(());
        };
        let message: Value = serde_json::from_slice(&answered.body).unwrap();
        let (calls, mut content): (Vec<Value>, Vec<Value>) =
            message["content"].as_array().unwrap().iter().cloned().partition(|block| block["type"] == "tool_use");
        let results: Vec<Value> = calls
            .iter()
            .map(|call| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": "ok" }))
            .collect();
        content.extend(calls);
        let next = if results.is_empty() { json!("And?") } else { json!(results) };
        let (sent, _) = convert(&json!({ "model": model, "messages": [
            { "role": "user", "content": "Go." }, { "role": "assistant", "content": content }, { "role": "user", "content": next },
        ] }));
        let got: Vec<Value> = sent["contents"][1]["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|part| part.get("functionCall").is_some())
            .cloned()
            .collect();
        let mut wanted = expected(&said, model);
        wanted.retain(|part| part.get("functionCall").is_some());
        let ids = model.starts_with("gemini");
        prop_assert_eq!(masked(got, ids), masked(wanted, ids));
    }

    /// However the network cuts it, a stream makes the same bytes; they are a valid stream, of the message
    /// that the whole answer makes.
    #[test]
    fn every_stream_is_valid(
        said in said(),
        finish in finish(),
        line in line(),
        cuts in proptest::collection::vec(0usize..40, 0..60),
        model in model(),
    ) {
        let bytes = sse(&said, finish, line);
        let whole = stream(&bytes, &[], model);
        prop_assert_eq!(&stream(&bytes, &cuts, model), &whole);
        prop_assert_eq!(&stream(&bytes, &vec![1; bytes.len()], model), &whole);
        let message = answer(gemini(&said, finish).to_string().as_bytes(), &context(model), "req-1");
        match (check(&whole), message) {
            (Outcome::Message(streamed), Ok(message)) => {
                let message: Value = serde_json::from_slice(&message.body).unwrap();
                prop_assert_eq!(streamed, message);
            }
            (Outcome::Error(_), Err(_)) => {}
            (streamed, message) => prop_assert!(false, "{:?}\n{:?}", streamed, message),
        }
    }

    /// A stream that breaks anywhere ends in an error, unless all that matters had come.
    #[test]
    fn a_broken_stream_is_valid(said in said(), at in any::<proptest::sample::Index>()) {
        let bytes = sse(&said, Some("STOP"), "\n");
        let part = &bytes[..at.index(bytes.len())];
        check(&stream(part, &[], "gemini-2.5-pro"));
    }

    /// So does one that is no Gemini stream at all.
    #[test]
    fn garbage_makes_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "(data: ?\\PC{0,30}\n{1,2}){0,9}") {
        prop_assert!(matches!(check(&stream(&bytes, &[7; 20], "gemini-2.5-pro")), Outcome::Error(_)));
        check(&stream(text.as_bytes(), &[3; 40], "gemini-3-pro"));
    }

    /// A body that is none is refused, never more.
    #[test]
    fn any_body_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        prop_assert!(bridge::request(&bytes, &Options::default()).is_err());
        let _ = bridge::request(text.as_bytes(), &Options::default());
        let _ = bridge::error_body(400, text.as_bytes(), "no");
        let _ = answer(text.as_bytes(), &context("gemini-2.5-pro"), "x");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Long sessions too.
    #[test]
    fn long_sessions_convert(rounds in rounds(120), model in model()) {
        converts(&rounds, model);
    }
}

fn converts(rounds: &[super::transcripts::Round], model: &str) {
    let context = context(model);
    let mut messages = Vec::new();
    let mut answers = 0;
    for round in rounds {
        round.write(&mut messages, &mut |said| {
            answers += 1;
            let body = gemini(said, Some("STOP"));
            answer(body.to_string().as_bytes(), &context, &format!("m{answers}")).map_or_else(
                |_| Vec::new(),
                |answer| {
                    let message: Value = serde_json::from_slice(&answer.body).unwrap();
                    message["content"].as_array().unwrap().clone()
                },
            )
        });
    }
    if messages.is_empty() {
        messages.push(json!({ "role": "user", "content": "hi" }));
    }
    convert(&json!({
        "model": model, "max_tokens": 32_000, "stream": true, "messages": messages,
        "system": [{ "type": "text", "text": "x-anthropic-billing-header: cc_version=2" }, { "type": "text", "text": "You help." }],
        "thinking": { "type": "adaptive" }, "metadata": { "user_id": "{}" }, "context_management": { "edits": [] },
        "tools": [{ "name": "Bash", "description": "Runs.", "input_schema": { "type": "object", "properties": {} } }],
    }));
}
