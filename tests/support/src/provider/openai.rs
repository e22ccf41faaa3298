//! Answers of OpenAI's API and ChatGPT: Responses and Chat Completions, whole and as streams.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::{cut, frame};
use super::request::Request;
use super::responses;
use super::script::Script;
use crate::fixtures;

static RESPONSE: LazyLock<Value> = LazyLock::new(|| fixtures::json("openai/response.json"));
static COMPLETION: LazyLock<Value> = LazyLock::new(|| fixtures::json("openai/chat.json"));
static CHUNKS: LazyLock<Vec<Value>> = LazyLock::new(|| fixtures::events("openai/chat.sse"));

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
        let mut whole = RESPONSE.clone();
        whole["id"] = format!("resp_fake{:016}", request.number).into();
        whole["model"] = model(request).into();
        let asked = request.try_json().unwrap_or_default();
        whole["store"] = (asked["store"] == true).into();
        whole["output"] = json!([responses::reasoning("", "gAAAA=="), responses::said(&self.text)]);
        self.fill(&mut whole["usage"], ["input", "output"]);
        whole
    }

    /// The events of a response that is streamed.
    pub fn response_frames(&self, request: &Request) -> Vec<Bytes> {
        responses::frames(&self.response(request))
    }

    /// Puts the figures into a usage, whose protocol has these names for them.
    fn fill(&self, usage: &mut Value, [input, output]: [&str; 2]) {
        usage[format!("{input}_tokens")] = self.input.into();
        usage[format!("{output}_tokens")] = self.output.into();
        usage["total_tokens"] = (self.input + self.output).into();
        usage[format!("{input}_tokens_details")]["cached_tokens"] = self.cached.into();
        usage[format!("{output}_tokens_details")]["reasoning_tokens"] = self.reasoning.into();
    }

    /// The whole object of a chat completion.
    pub fn chat(&self, request: &Request) -> Value {
        let mut whole = chat_of(request, &COMPLETION);
        whole["choices"][0]["message"]["content"] = self.text.as_str().into();
        self.fill(&mut whole["usage"], ["prompt", "completion"]);
        whole
    }

    /// The chunks of a chat completion that is streamed, with usage if it was asked for.
    ///
    /// # Panics
    /// If the captured stream is not of a text with its usage.
    pub fn chat_frames(&self, request: &Request) -> Vec<Bytes> {
        let asked = request.try_json().unwrap_or_default();
        let include_usage = asked["stream_options"]["include_usage"] == Value::Bool(true);
        let [first, delta, .., end, usage] = CHUNKS.as_slice() else {
            panic!("the captured chunks are of a text");
        };
        let mut chunks = vec![chat_of(request, first)];
        for text in cut(&self.text, 5) {
            let mut chunk = chat_of(request, delta);
            chunk["choices"][0]["delta"]["content"] = text.into();
            chunks.push(chunk);
        }
        chunks.push(chat_of(request, end));
        if include_usage {
            let mut chunk = chat_of(request, usage);
            self.fill(&mut chunk["usage"], ["prompt", "completion"]);
            chunks.push(chunk);
        }
        // Only a stream that ends with its usage has the member before that.
        let without = |mut chunk: Value| {
            if !include_usage {
                chunk.as_object_mut().and_then(|chunk| chunk.remove("usage"));
            }
            chunk
        };
        let frames = chunks.into_iter().map(without);
        frames
            .map(|chunk| Bytes::from(format!("data: {chunk}\n\n")))
            .chain([Bytes::from_static(b"data: [DONE]\n\n")])
            .collect()
    }
}

/// A completion or a chunk like this one, for this request.
fn chat_of(request: &Request, like: &Value) -> Value {
    let mut chat = like.clone();
    chat["id"] = format!("chatcmpl-fake{:08}", request.number).into();
    chat["model"] = model(request).into();
    chat
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

    /// One image, with the usage of OpenAI's own example: 17 tokens of text, 1457 of an image, 1372 of the image made.
    pub(super) fn images(request: &Request) -> Self {
        let usage = json!({
            "input_tokens": 1474, "input_tokens_details": { "image_tokens": 1457, "text_tokens": 17 },
            "output_tokens": 1372, "output_tokens_details": { "image_tokens": 1372, "text_tokens": 0 },
            "total_tokens": 2846,
        });
        let data = "iVBORw0KGgo".repeat(200_000);
        if request.wants_stream() {
            let mut event = json!({ "type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": data });
            let first = frame("image_generation.partial_image", &event);
            event["type"] = "image_generation.completed".into();
            event["usage"] = usage;
            return Self::frames([first, frame("image_generation.completed", &event)]);
        }
        Self::json(json!({
            "created": 1_778_832_973, "background": "opaque", "data": [{ "b64_json": data }],
            "output_format": "png", "quality": "medium", "size": "1024x1536", "usage": usage,
        }))
    }

    /// A whole tool turn of Responses: asks for the tool, and answers with `last` once its result is there.
    pub fn openai_tool_turn(name: &str, arguments: &Value, last: &str) -> Self {
        let (name, arguments, last) = (name.to_owned(), arguments.to_string(), last.to_owned());
        Self::decide(move |request| {
            if request.text().contains("\"function_call_output\"") {
                return Self::openai(last.clone());
            }
            let mut whole = OpenAiAnswer::text("").response(request);
            whole["output"] = json!([{
                "type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed",
                "name": name, "arguments": arguments,
            }]);
            Self::frames(responses::frames(&whole))
        })
    }

    /// A stream of DeepSeek: reasoning, text, perhaps a call in pieces, and the usage in the last chunk.
    pub fn chat_host(reasoning: &str, text: &str, call: Option<(&str, &Value)>) -> Self {
        let (reasoning, text) = (reasoning.to_owned(), text.to_owned());
        let call = call.map(|(name, arguments)| (name.to_owned(), arguments.to_string()));
        Self::decide(move |request| Self::frames(chat_host_frames(request, &reasoning, &text, call.as_ref())))
    }

    /// A whole tool turn of such a host: asks for the tool, and answers with `last` once its result is there.
    pub fn chat_host_tool_turn(reasoning: &str, name: &str, arguments: &Value, last: &str) -> Self {
        let (reasoning, name, last) = (reasoning.to_owned(), name.to_owned(), last.to_owned());
        let arguments = arguments.clone();
        Self::decide(move |request| {
            if request.text().contains("\"role\":\"tool\"") {
                Self::chat_host("", &last, None)
            } else {
                Self::chat_host(&reasoning, "I look.", Some((&name, &arguments)))
            }
        })
    }

    /// An error of OpenAI's API.
    pub fn openai_error(status: u16, kind: &str, code: &str) -> Self {
        let mut body = fixtures::json("openai/error_401.json");
        body["error"]["message"] = format!("the provider says {status}").into();
        body["error"]["type"] = kind.into();
        body["error"]["code"] = code.into();
        Self::json(body).status(status)
    }

    /// ChatGPT's answer when the plan is used up.
    pub fn usage_limit_reached(resets_in_seconds: u64) -> Self {
        let mut body = fixtures::json("openai/usage_limit.json");
        body["error"]["resets_in_seconds"] = resets_in_seconds.into();
        // A moment of the fixture's would contradict it.
        body["error"]
            .as_object_mut()
            .and_then(|error| error.remove("resets_at"));
        Self::json(body).status(429)
    }
}

fn chat_host_frames(
    request: &Request,
    reasoning: &str,
    text: &str,
    call: Option<&(String, String)>,
) -> Vec<String> {
    let model = model(request);
    let chunk = |delta: Value| {
        json!({
            "id": "c1", "object": "chat.completion.chunk", "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": null }],
        })
    };
    let mut chunks = vec![
        chunk(json!({ "role": "assistant", "content": null, "reasoning_content": reasoning })),
        chunk(json!({ "content": text, "reasoning_content": null })),
    ];
    if let Some((name, arguments)) = call {
        let function = json!({ "name": name, "arguments": "" });
        let first = json!({ "index": 0, "id": "call_00_a", "type": "function", "function": function });
        let rest = json!({ "index": 0, "function": { "arguments": arguments } });
        chunks.extend([first, rest].map(|call| chunk(json!({ "tool_calls": [call] }))));
    }
    let mut last = chunk(json!({}));
    last["choices"][0]["finish_reason"] = if call.is_some() { "tool_calls" } else { "stop" }.into();
    last["usage"] = json!({
        "prompt_tokens": 1000, "completion_tokens": 70, "prompt_cache_hit_tokens": 600,
        "prompt_tokens_details": { "cached_tokens": 600 },
    });
    chunks.push(last);
    let frames = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    frames.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn model(request: &Request) -> String {
    let asked = request.try_json().unwrap_or_default();
    asked["model"].as_str().unwrap_or("gpt-5").to_owned()
}
