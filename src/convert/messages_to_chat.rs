//! Converts Anthropic's Messages to Chat Completions and the answers back, for hosts that support no other protocol:
//! DeepSeek, Kimi, GLM, Qwen, Ollama, vLLM and similar ones.
//!
//! Pure functions: bytes to bytes, no clock, no I/O, no state between calls. These hosts return their reasoning as
//! plain text. The client gets it in `thinking` blocks, whose `signature` names the original field, or in
//! `redacted_thinking` blocks if it did not ask for thinking.
//!
//! | input | converted by |
//! | --- | --- |
//! | request | [`request()`] returns the body of `POST /chat/completions` and a [`Context`](crate::convert::messages_to_responses::Context) for the answer |
//! | answer | [`events`], or [`Stream`] for server-sent events split at any byte |
//! | error | `messages_to_responses::error_body`: errors have the same form in both of OpenAI's protocols |
//!
//! The conversation is converted as for Responses (`messages_to_responses::request`), with the same refusals; then
//! its items become messages. Choices that are not obvious:
//!
//! | Messages API | becomes | reason |
//! | --- | --- | --- |
//! | `system` | the first message, role `system` | every host accepts it there |
//! | `role: system` among the messages | a user message | templates of open models accept it only in the first place |
//! | image in a tool result | a user message after the results | results are text |
//! | PDF | refused | the protocol has no such part |
//! | thinking of such a host | `reasoning_content` or `reasoning`, the original field | DeepSeek refuses tool calls without it, others answer worse |
//! | `thinking`, effort | the host's own fields, see `host` | there is no common field |
//! | schema of the answer | `response_format`, or an instruction in the system message | some hosts support only `json_object` |
//! | `top_k` | dropped | not every host accepts it |

mod answer;
mod converter;
mod host;
mod request;

pub use self::answer::{Stream, events};
pub use self::converter::MessagesToChat;
pub use self::request::{Options, request};

#[cfg(test)]
mod tests;
