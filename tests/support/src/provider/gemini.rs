//! Answers of the Gemini API and Code Assist: whole, as event streams and as lists.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::cut;
use super::request::Request;
use super::script::Script;
use crate::fixtures;

static PIECES: LazyLock<Vec<Value>> = LazyLock::new(|| fixtures::events("gemini/text.sse"));
static ENVELOPE: LazyLock<Value> =
    LazyLock::new(|| fixtures::events("gemini/code_assist.sse").swap_remove(0));

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
        // The second piece has text, and no signature.
        let mut answer = PIECES[1].clone();
        let candidate = &mut answer["candidates"][0];
        candidate["content"]["parts"] = json!([{"text": text}]);
        if last {
            candidate["finishReason"] = "STOP".into();
        }
        let output = if last { self.candidates } else { 1 };
        let usage = &mut answer["usageMetadata"];
        usage["promptTokenCount"] = self.prompt.into();
        usage["cachedContentTokenCount"] = self.cached.into();
        usage["candidatesTokenCount"] = output.into();
        usage["thoughtsTokenCount"] = self.thoughts.into();
        usage["totalTokenCount"] = (self.prompt + output + self.thoughts).into();
        usage["promptTokensDetails"][0]["tokenCount"] = self.prompt.into();
        usage["cacheTokensDetails"][0]["tokenCount"] = self.cached.into();
        answer["modelVersion"] = model(request).into();
        answer["responseId"] = format!("fake{:012}", request.number).into();
        answer
    }

    pub(super) fn in_form(request: &Request, answer: Value) -> Value {
        if !is_internal(request) {
            return answer;
        }
        let mut envelope = ENVELOPE.clone();
        envelope["response"] = answer;
        envelope
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

    /// Google's answer over a limit.
    pub fn resource_exhausted(delay: &str) -> Self {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
        Self::google_error(429, "RESOURCE_EXHAUSTED", &details)
    }
}

/// Answers of Code Assist about the account.
pub(super) fn assist(method: &str) -> Option<Value> {
    Some(match method {
        "loadCodeAssist" => {
            let mut loaded = fixtures::json("gemini/load_code_assist.json");
            loaded["cloudaicompanionProject"] = PROJECT.into();
            loaded
        }
        "onboardUser" => json!({
            "name": "operations/fake", "done": true,
            "response": {"cloudaicompanionProject": {"id": PROJECT, "name": PROJECT}},
        }),
        "retrieveUserQuota" => fixtures::json("gemini/user_quota.json"),
        "listExperiments" => json!({"experimentIds": [], "flags": []}),
        "fetchAvailableModels" => json!({"models": {"gemini-2.5-pro": {"displayName": "Gemini 2.5 Pro"}}}),
        "countTokens" => fixtures::json("gemini/count_tokens.json"),
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
