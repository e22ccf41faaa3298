//! What OpenAI's API and ChatGPT answer: Responses and Chat Completions, whole and as streams.

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::{cut, frame};
use super::request::Request;
use super::script::Script;

/// One answer, in whichever of the two protocols it is asked for.
#[derive(Clone, Debug)]
pub struct OpenAiAnswer {
    pub text: String,
    /// Prompt tokens, cached ones included.
    pub input: u64,
    pub cached: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    pub reasoning: u64,
}

impl OpenAiAnswer {
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            input: 1000,
            cached: 600,
            output: 70,
            reasoning: 50,
        }
    }

    /// The whole object of a response.
    pub fn response(&self, request: &Request) -> Value {
        json!({
            "id": format!("resp_fake{:016}", request.number), "object": "response", "created_at": 1_795_335_300,
            "status": "completed", "error": null, "incomplete_details": null, "instructions": null,
            "model": model(request),
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA=="},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "text": self.text, "annotations": []}]},
            ],
            "parallel_tool_calls": true, "service_tier": "default", "store": false,
            "usage": {
                "input_tokens": self.input, "input_tokens_details": {"cached_tokens": self.cached},
                "output_tokens": self.output, "output_tokens_details": {"reasoning_tokens": self.reasoning},
                "total_tokens": self.input + self.output,
            },
        })
    }

    /// The events of a response that is streamed.
    pub fn response_frames(&self, request: &Request) -> Vec<Bytes> {
        let whole = self.response(request);
        let mut begun = whole.clone();
        begun["status"] = "in_progress".into();
        begun["output"] = json!([]);
        begun["usage"] = Value::Null;
        let item = whole["output"][1].clone();
        let mut events = vec![
            json!({"type": "response.created", "response": begun}),
            json!({"type": "response.in_progress", "response": begun}),
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_1", "content": []}}),
        ];
        events.extend(cut(&self.text, 5).into_iter().map(|delta| {
            json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0, "delta": delta})
        }));
        events.push(json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "content_index": 0, "text": self.text}));
        events.push(json!({"type": "response.output_item.done", "output_index": 1, "item": item}));
        events.push(json!({"type": "response.completed", "response": whole}));
        let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
            event["sequence_number"] = number.into();
            frame(event["type"].as_str().unwrap_or_default(), &event)
        });
        numbered.collect()
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.input, "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens": self.output, "completion_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        })
    }

    /// The whole object of a chat completion.
    pub fn chat(&self, request: &Request) -> Value {
        json!({
            "id": format!("chatcmpl-fake{:08}", request.number), "object": "chat.completion", "created": 1_795_335_300,
            "model": model(request), "service_tier": "default",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self.text, "refusal": null},
                "logprobs": null, "finish_reason": "stop"}],
            "usage": self.usage(),
        })
    }

    /// The chunks of a chat completion that is streamed, with usage if it was asked for.
    pub fn chat_frames(&self, request: &Request) -> Vec<Bytes> {
        let chunk = |choices: Value, usage: Value| {
            let chunk = json!({
                "id": format!("chatcmpl-fake{:08}", request.number), "object": "chat.completion.chunk",
                "created": 1_795_335_300, "model": model(request), "choices": choices, "usage": usage,
            });
            Bytes::from(format!("data: {chunk}\n\n"))
        };
        let choice = |delta: Value, end: Value| json!([{"index": 0, "delta": delta, "finish_reason": end}]);
        let mut frames = vec![chunk(
            choice(json!({"role": "assistant", "content": ""}), Value::Null),
            Value::Null,
        )];
        for text in cut(&self.text, 5) {
            frames.push(chunk(choice(json!({"content": text}), Value::Null), Value::Null));
        }
        frames.push(chunk(choice(json!({}), json!("stop")), Value::Null));
        let asked = request.try_json().unwrap_or_default();
        if asked["stream_options"]["include_usage"] == Value::Bool(true) {
            frames.push(chunk(json!([]), self.usage()));
        }
        frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        frames
    }
}

impl Script {
    /// Answers with this text, in the protocol of OpenAI that the request speaks.
    pub fn openai(text: impl Into<String>) -> Self {
        Self::of_openai(OpenAiAnswer::text(text))
    }

    pub fn of_openai(answer: OpenAiAnswer) -> Self {
        Self::decide(move |request| {
            let chat = request.path().ends_with("/chat/completions");
            match (chat, request.wants_stream()) {
                (true, true) => Self::frames(answer.chat_frames(request)),
                (true, false) => Self::json(answer.chat(request)),
                (false, true) => Self::frames(answer.response_frames(request)),
                (false, false) => Self::json(answer.response(request)),
            }
        })
    }

    /// A whole tool turn of Responses: asks for the tool, and answers with `last` once its result is there.
    pub fn openai_tool_turn(name: &str, arguments: &Value, last: &str) -> Self {
        let (name, arguments, last) = (name.to_owned(), arguments.to_string(), last.to_owned());
        Self::decide(move |request| {
            if request.text().contains("\"function_call_output\"") {
                return Self::openai(last.clone());
            }
            let item = json!({
                "type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed",
                "name": name, "arguments": arguments,
            });
            let mut whole = OpenAiAnswer::text("").response(request);
            whole["output"] = json!([item]);
            let events = [
                json!({"type": "response.created", "response": {"id": whole["id"], "status": "in_progress"}}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
                json!({"type": "response.completed", "response": whole}),
            ];
            Self::frames(events.map(|event| frame(event["type"].as_str().unwrap_or_default(), &event)))
        })
    }

    /// An error of OpenAI's API.
    pub fn openai_error(status: u16, kind: &str, code: &str) -> Self {
        let message = format!("the provider says {status}");
        Self::json(json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
            .status(status)
    }

    /// What ChatGPT answers when the plan is used up.
    pub fn usage_limit_reached(resets_in_seconds: u64) -> Self {
        Self::json(json!({"error": {
            "type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus",
            "resets_in_seconds": resets_in_seconds,
        }}))
        .status(429)
    }
}

fn model(request: &Request) -> String {
    let asked = request.try_json().unwrap_or_default();
    asked["model"].as_str().unwrap_or("gpt-5").to_owned()
}
