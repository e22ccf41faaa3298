//! Answers of the Anthropic API, as JSON values and as the frames of its event stream.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::request::Request;
use crate::fixtures;

static START: LazyLock<Value> = LazyLock::new(|| fixtures::event("anthropic/text.sse", "message_start"));
static END: LazyLock<Value> = LazyLock::new(|| fixtures::event("anthropic/text.sse", "message_delta"));
static WHOLE: LazyLock<Value> = LazyLock::new(|| fixtures::json("anthropic/message.json"));
static ERROR: LazyLock<Value> = LazyLock::new(|| fixtures::json("anthropic/error_429.json"));

/// Tokens an answer reports, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub cache_read: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            input: 12,
            output: 34,
            cache_write_5m: 200,
            cache_write_1h: 100,
            cache_read: 5000,
        }
    }
}

impl Usage {
    /// A `usage` like this one, with these figures.
    fn value(self, like: &Value, output: u64) -> Value {
        let mut usage = like.clone();
        usage["input_tokens"] = self.input.into();
        usage["cache_creation_input_tokens"] = (self.cache_write_5m + self.cache_write_1h).into();
        usage["cache_read_input_tokens"] = self.cache_read.into();
        usage["output_tokens"] = output.into();
        if let Some(split) = usage.get_mut("cache_creation") {
            split["ephemeral_5m_input_tokens"] = self.cache_write_5m.into();
            split["ephemeral_1h_input_tokens"] = self.cache_write_1h.into();
        }
        if let Some(details) = usage.get_mut("output_tokens_details") {
            details["thinking_tokens"] = 0.into();
        }
        usage
    }
}

/// One content block of an answer.
#[derive(Clone, Debug)]
pub enum Block {
    Text(String),
    Thinking { text: String, signature: String },
    ToolUse { id: String, name: String, input: Value },
}

/// One whole answer to `POST /v1/messages`.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: Option<String>,
    /// `None`: the model the request named.
    pub model: Option<String>,
    pub blocks: Vec<Block>,
    pub stop_reason: String,
    /// `None`: the answer says nothing of tokens.
    pub usage: Option<Usage>,
    /// Into how many deltas a block's text is cut in a stream; never inside a character.
    pub deltas: usize,
}

impl Message {
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            id: None,
            model: None,
            blocks: vec![Block::Text(text.into())],
            stop_reason: "end_turn".into(),
            usage: Some(Usage::default()),
            deltas: 5,
        }
    }

    pub fn tool_use(id: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        Self {
            blocks: vec![Block::ToolUse {
                id: id.into(),
                name: name.into(),
                input,
            }],
            stop_reason: "tool_use".into(),
            ..Self::text("")
        }
    }

    fn model(&self, request: &Request) -> String {
        let named = || {
            request
                .try_json()
                .and_then(|body| body["model"].as_str().map(str::to_owned))
        };
        self.model
            .clone()
            .or_else(named)
            .or_else(|| super::google::model_of(request))
            .or_else(|| super::bedrock::model_of(request))
            .unwrap_or_else(|| "claude-sonnet-4-5".into())
    }

    fn id(&self, request: &Request) -> String {
        self.id
            .clone()
            .unwrap_or_else(|| format!("msg_01Fake{:016}", request.number))
    }

    /// The body of an answer that is not streamed.
    pub fn whole(&self, request: &Request) -> Value {
        self.whole_as(&self.model(request), &self.id(request))
    }

    /// [`Message::whole`], without a request.
    pub fn whole_as(&self, model: &str, id: &str) -> Value {
        let content: Vec<Value> = self.blocks.iter().map(Block::value).collect();
        let mut whole = self.filled(&WHOLE, model, id, |usage| usage.output);
        whole["content"] = content.into();
        whole["stop_reason"] = self.stop_reason.as_str().into();
        whole
    }

    /// A message like this one.
    fn filled(&self, like: &Value, model: &str, id: &str, output: impl Fn(&Usage) -> u64) -> Value {
        let mut message = like.clone();
        message["model"] = model.into();
        message["id"] = id.into();
        self.fill_usage(&mut message, output);
        message
    }

    fn fill_usage(&self, object: &mut Value, output: impl Fn(&Usage) -> u64) {
        match self.usage {
            Some(usage) => object["usage"] = usage.value(&object["usage"], output(&usage)),
            None => {
                object.as_object_mut().and_then(|object| object.remove("usage"));
            }
        }
    }

    /// The frames of a streamed answer, from `message_start` to `message_stop`.
    pub fn frames(&self, request: &Request) -> Vec<Bytes> {
        self.frames_as(&self.model(request), &self.id(request))
    }

    /// [`Message::frames`], without a request.
    pub fn frames_as(&self, model: &str, id: &str) -> Vec<Bytes> {
        let mut start = START.clone();
        start["message"] = self.filled(&start["message"], model, id, |_| 1);
        let mut frames = vec![frame("message_start", &start)];
        for (index, block) in self.blocks.iter().enumerate() {
            frames.push(frame(
                "content_block_start",
                &json!({"type": "content_block_start", "index": index, "content_block": block.empty()}),
            ));
            if index == 0 {
                frames.push(frame("ping", &json!({"type": "ping"})));
            }
            for delta in block.deltas(self.deltas) {
                frames.push(frame(
                    "content_block_delta",
                    &json!({"type": "content_block_delta", "index": index, "delta": delta}),
                ));
            }
            frames.push(frame(
                "content_block_stop",
                &json!({"type": "content_block_stop", "index": index}),
            ));
        }
        let mut end = END.clone();
        end["delta"]["stop_reason"] = self.stop_reason.as_str().into();
        self.fill_usage(&mut end, |usage| usage.output);
        frames.push(frame("message_delta", &end));
        frames.push(frame("message_stop", &json!({"type": "message_stop"})));
        frames
    }
}

impl Block {
    fn value(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Thinking { text, signature } => {
                json!({"type": "thinking", "thinking": text, "signature": signature})
            }
            Self::ToolUse { id, name, input } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
        }
    }

    fn empty(&self) -> Value {
        match self {
            Self::Text(_) => json!({"type": "text", "text": ""}),
            Self::Thinking { .. } => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Self::ToolUse { id, name, .. } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
        }
    }

    fn deltas(&self, count: usize) -> Vec<Value> {
        match self {
            Self::Text(text) => cut(text, count)
                .into_iter()
                .map(|t| json!({"type": "text_delta", "text": t}))
                .collect(),
            Self::Thinking { text, signature } => cut(text, count)
                .into_iter()
                .map(|t| json!({"type": "thinking_delta", "thinking": t}))
                .chain([json!({"type": "signature_delta", "signature": signature})])
                .collect(),
            Self::ToolUse { input, .. } => cut(&input.to_string(), count)
                .into_iter()
                .map(|t| json!({"type": "input_json_delta", "partial_json": t}))
                .collect(),
        }
    }
}

/// Cuts a text into at most `count` pieces between characters.
pub(super) fn cut(text: &str, count: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(count.max(1)).max(1);
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// One frame of an event stream, framed as the real API does.
pub fn frame(event: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {event}\ndata: {data}\n\n"))
}

/// The API's name for a status's error.
pub fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// The body of an error answer.
pub fn error_body(kind: &str, message: &str, request_id: &str) -> Value {
    let mut body = ERROR.clone();
    body["error"]["type"] = kind.into();
    body["error"]["message"] = message.into();
    body["request_id"] = request_id.into();
    body
}

/// `GET /v1/models`.
pub fn models() -> Value {
    let model = |id: &str, name: &str| json!({"type": "model", "id": id, "display_name": name, "created_at": "2025-09-29T00:00:00Z"});
    json!({
        "data": [
            model("claude-opus-4-8", "Claude Opus 4.8"),
            model("claude-sonnet-4-5", "Claude Sonnet 4.5"),
            model("claude-haiku-4-5", "Claude Haiku 4.5"),
        ],
        "has_more": false,
        "first_id": "claude-opus-4-8",
        "last_id": "claude-haiku-4-5",
    })
}
