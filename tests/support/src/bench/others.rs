//! Calls as Codex and Gemini CLI send them, and streams as OpenAI and Google answer them: measured beside
//! those of Claude Code, since other tables read their usage. And calls on accounts of other protocols, for what
//! each conversion costs beside passing through.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::bodies::{Order, prose, request, request_of};
use super::target::Target;
use crate::provider::{Message, frame};

/// A protocol that is not Anthropic's, or not on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// `/openai/responses`.
    Responses,
    /// `/gemini/v1internal:streamGenerateContent`.
    Gemini,
    /// `/antigravity/api/v1/messages`; the provider sees the one above.
    Bridge,
    /// Claude Code on OpenAI, Gemini, and a host that knows only Chat Completions; Codex on Claude.
    MessagesToResponses,
    MessagesToGemini,
    MessagesToChat,
    ResponsesToMessages,
}

/// The model that only the account of a Chat Completions host serves.
pub(super) const CHAT_MODEL: &str = "gpt-5-chat-host";

/// Where Claude Code is served by accounts of Antigravity.
const BRIDGE: &str = "/antigravity/api";

/// Deltas of an answer.
const DELTAS: usize = 16;

impl Other {
    /// Which of them a path is of; `None`: Anthropic's.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path);
        if path.ends_with("/responses") {
            Some(Self::Responses)
        } else if path.ends_with("enerateContent") {
            Some(Self::Gemini)
        } else if path.ends_with("/chat/completions") {
            Some(Self::MessagesToChat)
        } else if path.starts_with(BRIDGE) {
            Some(Self::Bridge)
        } else {
            None
        }
    }

    /// A whole request, ready to be written. `session` makes it one of many users.
    pub(super) fn request(self, target: &Target, size: usize, session: usize) -> Vec<u8> {
        if self == Self::Bridge {
            let path = format!("{}{BRIDGE}", target.root());
            let order = Order {
                deltas: DELTAS as u32,
                pause: 0,
            };
            return request(&target.address, &path, &target.key, size, order, session);
        }
        let claude_code = match self {
            Self::MessagesToResponses => Some("gpt-5"),
            Self::MessagesToGemini => Some("gemini-2.5-pro"),
            Self::MessagesToChat => Some(CHAT_MODEL),
            _ => None,
        };
        if let Some(model) = claude_code {
            let path = format!("{}/api", target.root());
            let order = Order {
                deltas: DELTAS as u32,
                pause: 0,
            };
            let to = [target.address.as_str(), &path, &target.key];
            return request_of(model, to, size, order, session);
        }
        let session = format!("5e551000-0000-4000-8000-{session:012}");
        let (path, agent) = match self {
            Self::Responses | Self::ResponsesToMessages => (
                "/openai/responses",
                "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb",
            ),
            _ => (
                "/gemini/v1internal:streamGenerateContent?alt=sse",
                "GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64; terminal)",
            ),
        };
        let body = self.body(size, &session).to_string();
        let mut head = format!("POST {}{path} HTTP/1.1\r\n", target.root());
        for (name, value) in [
            ("host", target.address.as_str()),
            ("authorization", &format!("Bearer {}", target.key)),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("user-agent", agent),
            ("session-id", &session),
            ("content-length", &body.len().to_string()),
        ] {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&body);
        head.into_bytes()
    }

    fn body(self, size: usize, session: &str) -> Value {
        let text = prose(size);
        match self {
            Self::Responses => json!({
                "model": "gpt-5", "stream": true, "store": false, "prompt_cache_key": session,
                "input": [
                    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
                ],
            }),
            Self::ResponsesToMessages => json!({
                // The provider reads its orders in the limit, as `Order` says.
                "model": "claude-sonnet-4-5", "stream": true, "store": false, "prompt_cache_key": session,
                "max_output_tokens": DELTAS * 1000,
                "input": [
                    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
                ],
            }),
            _ => json!({
                "model": "gemini-2.5-pro", "project": "bench", "user_prompt_id": session,
                "request": {
                    "contents": [{"role": "user", "parts": [{"text": text}]}], "session_id": session,
                    "systemInstruction": {"parts": [{"text": "Be brief."}]},
                },
            }),
        }
    }

    /// The frames of a streamed answer, usage and end included.
    pub(super) fn answer(self) -> Vec<Bytes> {
        let text = "A short answer, 简短的回答. ";
        match self {
            Self::Responses | Self::MessagesToResponses => {
                let usage = json!({
                    "input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600},
                    "output_tokens": 70, "output_tokens_details": {"reasoning_tokens": 50}, "total_tokens": 1070,
                });
                let whole = json!({"id": "resp_1", "model": "gpt-5", "status": "completed", "output": [], "usage": usage});
                let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": text});
                let mut events = vec![json!({"type": "response.created", "response": {"id": "resp_1"}})];
                events.extend(std::iter::repeat_n(delta, DELTAS));
                events.push(json!({"type": "response.completed", "response": whole}));
                let framed = |event: &Value| frame(event["type"].as_str().unwrap_or_default(), event);
                events.iter().map(framed).collect()
            }
            Self::MessagesToChat => {
                let chunk = |delta: Value, end: Value| {
                    json!({"id": "c1", "object": "chat.completion.chunk", "model": CHAT_MODEL,
                        "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
                };
                let mut chunks = vec![chunk(json!({"role": "assistant", "content": text}), Value::Null); DELTAS];
                let mut last = chunk(json!({}), "stop".into());
                last["usage"] = json!({
                    "prompt_tokens": 1000, "completion_tokens": 70, "total_tokens": 1070,
                    "prompt_tokens_details": {"cached_tokens": 600},
                });
                chunks.push(last);
                let framed = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n")));
                framed.chain([Bytes::from_static(b"data: [DONE]\n\n")]).collect()
            }
            Self::Bridge | Self::ResponsesToMessages => Message::text(text.repeat(DELTAS)).frames_as("claude-sonnet-4-5", "msg_01FakeBench"),
            Self::Gemini | Self::MessagesToGemini => (1..=DELTAS)
                .map(|n| {
                    let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0});
                    if n == DELTAS {
                        candidate["finishReason"] = "STOP".into();
                    }
                    let usage = json!({
                        "promptTokenCount": 1000, "cachedContentTokenCount": 600,
                        "candidatesTokenCount": n, "totalTokenCount": 1000 + n,
                    });
                    let piece = json!({
                        "response": {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"},
                    });
                    Bytes::from(format!("data: {piece}\r\n\r\n"))
                })
                .collect(),
        }
    }
}
