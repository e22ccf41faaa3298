//! What the Gemini API and Code Assist answer, whole, as event streams and as lists.

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::cut;
use super::request::Request;
use super::script::Script;

/// The project every Google account of the fake has.
pub const PROJECT: &str = "fake-project-7f3a";

/// One answer, in whichever of the two protocols it is asked for.
#[derive(Clone, Debug)]
pub struct GeminiAnswer {
    pub text: String,
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    pub cached: u64,
    pub candidates: u64,
    pub thoughts: u64,
}

impl GeminiAnswer {
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            prompt: 1000,
            cached: 600,
            candidates: 20,
            thoughts: 50,
        }
    }

    fn answer(&self, request: &Request, text: &str, last: bool) -> Value {
        let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0});
        if last {
            candidate["finishReason"] = "STOP".into();
        }
        let output = if last { self.candidates } else { 1 };
        json!({
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": self.prompt, "cachedContentTokenCount": self.cached,
                "candidatesTokenCount": output, "thoughtsTokenCount": self.thoughts,
                "totalTokenCount": self.prompt + output + self.thoughts,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self.prompt}],
            },
            "modelVersion": model(request), "responseId": format!("fake{:012}", request.number),
        })
    }

    pub(super) fn in_form(request: &Request, answer: Value) -> Value {
        if is_internal(request) {
            json!({"response": answer, "traceId": "0123456789abcdef"})
        } else {
            answer
        }
    }

    pub fn whole(&self, request: &Request) -> Value {
        Self::in_form(request, self.answer(request, &self.text, true))
    }

    /// The pieces of a stream.
    pub fn pieces(&self, request: &Request) -> Vec<Value> {
        let texts = cut(&self.text, 4);
        let count = texts.len();
        let answers = texts
            .iter()
            .enumerate()
            .map(|(at, text)| self.answer(request, text, at + 1 == count));
        answers.map(|answer| Self::in_form(request, answer)).collect()
    }
}

impl Script {
    /// Answers with this text, in the protocol of Google that the request speaks.
    pub fn gemini(text: impl Into<String>) -> Self {
        Self::of_gemini(GeminiAnswer::text(text))
    }

    pub fn of_gemini(answer: GeminiAnswer) -> Self {
        Self::whole_or_pieces(
            {
                let answer = answer.clone();
                move |request| answer.whole(request)
            },
            move |request| answer.pieces(request),
        )
    }

    /// This answer of `generateContent`, whole or as the only piece of a stream.
    pub fn generated(answer: Value) -> Self {
        let piece = answer.clone();
        Self::whole_or_pieces(
            move |request| GeminiAnswer::in_form(request, answer.clone()),
            move |request| vec![GeminiAnswer::in_form(request, piece.clone())],
        )
    }

    /// One of these, as the request asks for.
    pub(super) fn whole_or_pieces(
        whole: impl Fn(&Request) -> Value + Send + Sync + 'static,
        pieces: impl Fn(&Request) -> Vec<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::decide(move |request| {
            if !request.path().ends_with(":streamGenerateContent") {
                return Self::json(whole(request));
            }
            let pieces = pieces(request);
            if request.query().split('&').any(|pair| pair == "alt=sse") {
                return Self::frames(
                    pieces
                        .into_iter()
                        .map(|piece| Bytes::from(format!("data: {piece}\r\n\r\n"))),
                );
            }
            let list: Vec<String> = pieces.iter().map(Value::to_string).collect();
            Self::bytes(
                "application/json; charset=UTF-8",
                format!("[{}\n]\n", list.join("\n,\r\n")),
            )
        })
    }

    /// A whole tool turn: asks for the tool, and answers with `last` once its result is there.
    pub fn gemini_tool_turn(name: &str, args: &Value, last: &str) -> Self {
        let (call, last) = (
            json!({"functionCall": {"name": name, "args": args}}),
            last.to_owned(),
        );
        Self::decide(move |request| {
            if request.text().contains("\"functionResponse\"") {
                return Self::gemini(last.clone());
            }
            let mut asks = GeminiAnswer::text("").answer(request, "", true);
            asks["candidates"][0]["content"]["parts"] = json!([call]);
            let asks = GeminiAnswer::in_form(request, asks);
            Self::frames([Bytes::from(format!("data: {asks}\r\n\r\n"))])
        })
    }

    /// An error of Google's, with these details.
    pub fn google_error(status: u16, name: &str, details: &Value) -> Self {
        let message = format!("the provider says {status}");
        Self::json(json!({"error": {"code": status, "message": message, "status": name, "details": details}}))
            .status(status)
    }

    /// What Google answers over a limit.
    pub fn resource_exhausted(delay: &str) -> Self {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
        Self::google_error(429, "RESOURCE_EXHAUSTED", &details)
    }
}

/// Answers of Code Assist about the account.
pub(super) fn assist(method: &str) -> Option<Value> {
    Some(match method {
        "loadCodeAssist" => json!({
            "currentTier": {"id": "standard-tier", "name": "Gemini Code Assist"},
            "allowedTiers": [{"id": "standard-tier", "isDefault": true}],
            "cloudaicompanionProject": PROJECT,
        }),
        "onboardUser" => json!({
            "name": "operations/fake", "done": true,
            "response": {"cloudaicompanionProject": {"id": PROJECT, "name": PROJECT}},
        }),
        "retrieveUserQuota" => json!({
            "buckets": [{"modelId": "gemini-2.5-pro", "remainingFraction": 0.5, "resetTime": "2026-11-25T00:00:00Z"}],
        }),
        "listExperiments" => json!({"experimentIds": [], "flags": []}),
        "fetchAvailableModels" => json!({"models": {"gemini-2.5-pro": {"displayName": "Gemini 2.5 Pro"}}}),
        "countTokens" => json!({"totalTokens": 31}),
        _ => return None,
    })
}

fn is_internal(request: &Request) -> bool {
    request.path().contains("/v1internal:")
}

pub(super) fn model(request: &Request) -> String {
    if is_internal(request) {
        let asked = request.try_json().unwrap_or_default();
        return asked["model"].as_str().unwrap_or_default().to_owned();
    }
    let path = request.path().rsplit('/').next().unwrap_or_default();
    path.split(':').next().unwrap_or_default().to_owned()
}
