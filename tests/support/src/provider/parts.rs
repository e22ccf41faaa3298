//! Answers of Gemini part by part: thoughts, signatures and calls of functions, whole and in streams whose
//! pieces are the parts.

use serde_json::{Value, json};

use super::gemini::{GeminiAnswer, model};
use super::request::Request;
use super::script::Script;

/// Tokens that each piece of an answer adds to its candidates.
const EACH: usize = 10;

impl Script {
    /// Answers with these parts, such as `{"text": "hi"}` or `{"functionCall": {..}}`.
    pub fn parts(parts: &[Value]) -> Self {
        Self::parts_until(parts, "STOP")
    }

    /// The same, and ends for this reason.
    pub fn parts_until(parts: &[Value], finish: &str) -> Self {
        let (parts, finish) = (parts.to_vec(), finish.to_owned());
        Self::whole_or_pieces(
            {
                let (parts, finish) = (parts.clone(), finish.clone());
                move |request| answer(request, &parts, parts.len(), Some(&finish))
            },
            move |request| {
                let count = parts.len();
                let piece = |(at, part): (usize, &Value)| {
                    let finish = (at + 1 == count).then_some(finish.as_str());
                    answer(request, std::slice::from_ref(part), at + 1, finish)
                };
                parts.iter().enumerate().map(piece).collect()
            },
        )
    }

    /// Answers with these parts, and says at the end what it found on the web: `groundingMetadata`.
    pub fn grounded(parts: &[Value], grounding: Value) -> Self {
        let parts = parts.to_vec();
        let last = move |mut answer: Value| {
            // In an envelope or out of it.
            let inner = if answer.get("response").is_some() {
                &mut answer["response"]
            } else {
                &mut answer
            };
            inner["candidates"][0]["groundingMetadata"] = grounding.clone();
            answer
        };
        Self::whole_or_pieces(
            {
                let (parts, last) = (parts.clone(), last.clone());
                move |request| last(answer(request, &parts, parts.len(), Some("STOP")))
            },
            move |request| {
                let count = parts.len();
                let piece = |(at, part): (usize, &Value)| {
                    let finish = (at + 1 == count).then_some("STOP");
                    let piece = answer(request, std::slice::from_ref(part), at + 1, finish);
                    if finish.is_some() { last(piece) } else { piece }
                };
                parts.iter().enumerate().map(piece).collect()
            },
        )
    }

    /// Has a function called, and once its result is there answers with `last`.
    pub fn function_turn(name: &str, args: Value, last: &str) -> Self {
        let (name, last) = (name.to_owned(), last.to_owned());
        Self::decide(move |request| {
            if request.text().contains("\"functionResponse\"") {
                return Self::gemini(last.clone());
            }
            Self::parts(&[
                json!({"text": "I look it up.", "thought": true}),
                json!({"functionCall": {"name": name, "args": args}, "thoughtSignature": "signed-by-the-fake"}),
            ])
        })
    }
}

fn answer(request: &Request, parts: &[Value], so_far: usize, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    let answer = json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 1000, "cachedContentTokenCount": 600,
            "candidatesTokenCount": so_far * EACH, "thoughtsTokenCount": 500,
            "totalTokenCount": 1500 + so_far * EACH,
        },
        "modelVersion": model(request), "responseId": format!("fake{:012}", request.number),
    });
    GeminiAnswer::in_form(request, answer)
}
