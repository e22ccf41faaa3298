//! Requests as Claude Code sends them: its headers, and bodies of long strings, tool schemas and turns.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What the fast provider is to answer. It travels in `max_tokens`, the one number every relay passes on:
/// `deltas * 1000 + pause`, and below 1000 no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Deltas of the stream; 0 asks for a whole answer.
    pub(super) deltas: u32,
    /// Between two deltas, in milliseconds.
    pub(super) pause: u32,
}

impl Order {
    pub(super) const WHOLE: Self = Self {
        deltas: 0,
        pause: 999,
    };

    pub(super) fn encode(self) -> u32 {
        self.deltas * 1000 + self.pause
    }

    pub(super) fn decode(max_tokens: u32) -> Self {
        Self {
            deltas: max_tokens / 1000,
            pause: max_tokens % 1000,
        }
    }
}

/// Frames of a stream beside its deltas: start, block start, ping, block stop, delta with usage, stop.
pub(super) const OTHER_FRAMES: u32 = 6;

/// A whole request, ready to be written. `host` and `path` say where; `session` makes it one of many users.
pub(super) fn request(
    host: &str,
    path: &str,
    key: &str,
    size: usize,
    order: Order,
    session: usize,
) -> Vec<u8> {
    request_of("claude-sonnet-4-5", [host, path, key], size, order, session)
}

/// The same for another model; `to`: host, path and key.
pub(super) fn request_of(model: &str, to: [&str; 3], size: usize, order: Order, session: usize) -> Vec<u8> {
    let [host, path, key] = to;
    let session = format!("5e551000-0000-4000-8000-{session:012}");
    let body = body(model, size, order, &session);
    // The order and spelling of Claude Code 2.1.330.
    let mut head = format!("POST {path}/v1/messages?beta=true HTTP/1.1\r\n");
    let lines = [
        ("Accept", "application/json"),
        ("Authorization", &format!("Bearer {key}")),
        ("Content-Type", "application/json"),
        ("User-Agent", "claude-cli/2.1.330 (external, sdk-cli)"),
        ("X-Claude-Code-Session-Id", &session),
        ("X-Stainless-Arch", "x64"),
        ("X-Stainless-Lang", "js"),
        ("X-Stainless-OS", "Linux"),
        ("X-Stainless-Package-Version", "0.128.0"),
        ("X-Stainless-Retry-Count", "0"),
        ("X-Stainless-Runtime", "node"),
        ("X-Stainless-Runtime-Version", "v26.12.1"),
        ("X-Stainless-Timeout", "600"),
        (
            "anthropic-beta",
            "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,\
             per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,\
             thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24",
        ),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("anthropic-version", "2023-06-01"),
        ("x-app", "cli"),
        ("Connection", "keep-alive"),
        ("Host", host),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Content-Length", &body.len().to_string()),
    ];
    for (name, value) in lines {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.push_str(&body);
    head.into_bytes()
}

/// A body of `size` bytes, within one percent, its fields in Claude Code's order.
fn body(model: &str, size: usize, order: Order, session: &str) -> String {
    // Tools and system prompt are a good third of a long body, and not there in a short one.
    let long = size > 20_000;
    let tools: Vec<Value> = if long {
        (0..12).map(tool).collect()
    } else {
        Vec::new()
    };
    let system = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
         "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": prose(if long { 11_000 } else { 200 }),
         "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]);
    let user = json!({"device_id": "d".repeat(64), "account_uuid": "", "session_id": session}).to_string();
    let rest = format!(
        "\"system\":{system},\"tools\":{},\"metadata\":{},\"max_tokens\":{},\
         \"thinking\":{{\"type\":\"adaptive\",\"display\":\"summarized\"}},\
         \"output_config\":{{\"effort\":\"high\"}},\"stream\":{}}}",
        Value::from(tools),
        json!({"user_id": user}),
        order.encode(),
        order.deltas > 0,
    );
    let turns = if long { 16 } else { 1 };
    let whole = |room: usize| {
        let messages: Value = (0..turns).map(|n| turn(n, room)).collect();
        format!("{{\"model\":\"{model}\",\"messages\":{messages},{rest}")
    };
    let guess = size.saturating_sub(rest.len()) / turns;
    // Escapes and wide characters make the guess a bit too long or short.
    let length = whole(guess).len();
    whole((guess + size.saturating_sub(length) / turns).saturating_sub(length.saturating_sub(size) / turns))
}

fn tool(n: usize) -> Value {
    let properties: serde_json::Map<_, _> = (0..6)
        .map(|p| {
            (
                format!("parameter_{p}"),
                json!({"type": "string", "description": prose(110)}),
            )
        })
        .collect();
    json!({
        "name": format!("Tool{n}"),
        "description": prose(900),
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": ["parameter_0"],
            "additionalProperties": false,
        },
    })
}

fn turn(n: usize, size: usize) -> Value {
    match n % 3 {
        0 => json!({"role": "user", "content": [{"type": "text", "text": prose(size.saturating_sub(60))}]}),
        1 => json!({"role": "assistant", "content": [
            {"type": "text", "text": prose(120)},
            {"type": "tool_use", "id": format!("toolu_{n:024}"), "name": "Tool1",
             "input": {"parameter_0": prose(size.saturating_sub(280))}},
        ]}),
        _ => json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("toolu_{:024}", n - 1),
             "content": [{"type": "text", "text": code(size.saturating_sub(160))}]},
        ]}),
    }
}

/// Running text of about so many bytes once it is JSON.
pub(super) fn prose(size: usize) -> String {
    let words = "Read the file before you change it, and keep the style that is there.\n请先阅读再修改。 ";
    words.chars().cycle().take(size * 80 / 96).collect()
}

/// Source text of about so many bytes once it is JSON, with the escapes that come with it.
fn code(size: usize) -> String {
    let line = "    12\tlet name = self.names.get(\"a\").cloned().unwrap_or_default(); // C:\\tmp\n";
    line.chars().cycle().take(size * 80 / 86).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_long_as_asked_for_and_carry_the_order() {
        for size in [2048, 100 * 1024] {
            for order in [
                Order::WHOLE,
                Order {
                    deltas: 64,
                    pause: 20,
                },
            ] {
                let body = body(
                    "claude-sonnet-4-5",
                    size,
                    order,
                    "5e551000-0000-4000-8000-000000000000",
                );
                assert!(
                    body.len().abs_diff(size) * 100 <= size,
                    "{} for {size}",
                    body.len()
                );
                let value: Value = serde_json::from_str(&body).unwrap();
                let max_tokens = u32::try_from(value["max_tokens"].as_u64().unwrap()).unwrap();
                assert_eq!(Order::decode(max_tokens), order);
                assert_eq!(value["stream"], order.deltas > 0);
            }
        }
    }
}
