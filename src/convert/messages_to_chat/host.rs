//! Differences between Chat Completions hosts.
//!
//! | host | thinking | effort | schema of the answer | source |
//! | --- | --- | --- | --- | --- |
//! | DeepSeek | `thinking: {type}` | `reasoning_effort`: `low`, `high`, `max` | `json_object` | its documentation, "Thinking Mode", "JSON Output" |
//! | Kimi | `thinking: {type}` | - | `json_schema` | its API reference, "Chat Completion" |
//! | GLM | `thinking: {type}` | - | `json_object` | z.ai's documentation, "Thinking Mode", "Structured Output" |
//! | Qwen | `enable_thinking`, `thinking_budget` | - | `json_schema` | Alibaba's documentation, "Deep thinking" |
//! | Ollama | - | `reasoning_effort`: `low`, `medium`, `high`, `none` | `json_schema` | its documentation, "OpenAI compatibility" |
//! | others | - | - | `json_schema` | fields that are not sent cannot be refused |
//!
//! Some models always think and others never do, so these fields are sent only if the client sends a thinking
//! parameter.

use crate::convert::messages_to_responses::Thinking;
use crate::dialect::wire::json::Json;
use crate::model::account::ChatHost;

/// Whether the host supports a schema for the answer. The others support only JSON without a schema.
pub(super) fn takes_schemas(host: ChatHost) -> bool {
    !matches!(host, ChatHost::DeepSeek | ChatHost::Glm)
}

/// Whether every tool call must be sent back with reasoning, even an empty one. DeepSeek otherwise answers 400, "The
/// `reasoning_content` in the thinking mode must be passed back to the API".
pub(super) fn wants_reasoning_back(host: ChatHost) -> bool {
    host == ChatHost::DeepSeek
}

/// Writes the thinking parameters. `sent`: the client sent `thinking`.
pub(super) fn think(
    host: ChatHost,
    thinking: &Thinking,
    sent: bool,
    effort: Option<&str>,
    out: &mut Json<'_>,
) {
    use ChatHost::{DeepSeek, Glm, Kimi, Ollama, Other, Qwen};
    match host {
        DeepSeek | Kimi | Glm => {
            if sent {
                let kind = if thinking.on { "enabled" } else { "disabled" };
                out.put("thinking", Json::map([("type", Json::text(kind))]));
            }
        }
        Qwen => {
            if sent {
                out.put("enable_thinking", Json::Bool(thinking.on));
            }
            if let Some(budget) = thinking.budget.filter(|_| thinking.on) {
                out.put("thinking_budget", Json::Number(budget.into()));
            }
        }
        Ollama | Other => {}
    }
    let effort = match (host, effort) {
        (DeepSeek, Some("max")) => Some("max"),
        (DeepSeek | Ollama, Some("low")) => Some("low"),
        (Ollama, Some("medium")) => Some("medium"),
        (DeepSeek | Ollama, Some(_)) => Some("high"),
        (Ollama, None) if sent && !thinking.on => Some("none"),
        _ => None,
    };
    if let Some(effort) = effort {
        out.put("reasoning_effort", Json::text(effort));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_written_in_the_hosts_fields() {
        let on = Thinking {
            on: true,
            budget: Some(2_000),
            shown: true,
        };
        let off = Thinking::default();
        for (host, thinking, sent, effort, expected) in [
            (
                ChatHost::DeepSeek,
                on,
                true,
                None,
                r#"{"thinking":{"type":"enabled"}}"#,
            ),
            (
                ChatHost::DeepSeek,
                off,
                true,
                Some("medium"),
                r#"{"thinking":{"type":"disabled"},"reasoning_effort":"high"}"#,
            ),
            (
                ChatHost::DeepSeek,
                off,
                false,
                Some("max"),
                r#"{"reasoning_effort":"max"}"#,
            ),
            (
                ChatHost::Kimi,
                off,
                true,
                Some("low"),
                r#"{"thinking":{"type":"disabled"}}"#,
            ),
            (ChatHost::Glm, off, false, None, "{}"),
            (
                ChatHost::Qwen,
                on,
                true,
                None,
                r#"{"enable_thinking":true,"thinking_budget":2000}"#,
            ),
            (
                ChatHost::Ollama,
                off,
                true,
                None,
                r#"{"reasoning_effort":"none"}"#,
            ),
            (
                ChatHost::Ollama,
                on,
                true,
                Some("xhigh"),
                r#"{"reasoning_effort":"high"}"#,
            ),
            (ChatHost::Other, on, true, Some("high"), "{}"),
        ] {
            let mut out = Json::Map(Vec::new());
            think(host, &thinking, sent, effort, &mut out);
            assert_eq!(String::from_utf8(out.to_bytes()).unwrap(), expected, "{host:?}");
        }
    }
}
