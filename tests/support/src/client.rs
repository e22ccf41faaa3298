//! Clients that see every byte: [`Raw`] holds one connection and times what comes over it, [`Client`] asks
//! for JSON and event streams with a key in hand, [`Socket`] speaks over a WebSocket.

mod json;
mod raw;
mod socket;

pub use json::{Answer, Call, Client};
pub use raw::{Ask, Piece, Raw};
pub use socket::{Came, Socket, create};

use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The `event:` field; empty if there is none.
    pub name: String,
    /// The `data:` field as JSON, or as a JSON string if it is none.
    pub data: Value,
}

/// Cuts an event stream into its events. A last event without an empty line after it counts too; comments are
/// none.
pub fn events(stream: &[u8]) -> Vec<Event> {
    String::from_utf8_lossy(stream)
        .split("\n\n")
        .filter(|frame| {
            frame
                .lines()
                .any(|line| !line.is_empty() && !line.starts_with(':'))
        })
        .map(|frame| {
            let field = |name: &str| {
                let lines = frame
                    .lines()
                    .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                lines
                    .map(|value| value.strip_prefix(' ').unwrap_or(value))
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            let data = field("data");
            let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
            Event {
                name: field("event"),
                data,
            }
        })
        .collect()
}

/// The text of an answer of the Anthropic API, streamed or whole.
pub fn text(body: &[u8]) -> String {
    if let Ok(whole) = serde_json::from_slice::<Value>(body) {
        let blocks = whole["content"].as_array().cloned().unwrap_or_default();
        return blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    }
    events(body)
        .iter()
        .filter_map(|event| event.data["delta"]["text"].as_str())
        .collect()
}
