//! Converts Claude's messages into OpenAI's responses. Whole answers and streams share one state machine
//! ([`compose`]), so their content is the same.

pub(super) mod stream;
pub(super) mod whole;

mod compose;
mod events;
mod items;
mod usage;

/// The status of the response, and the reason if it is incomplete.
fn status(stop_reason: &str) -> (&'static str, Option<&'static str>) {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => ("incomplete", Some("max_output_tokens")),
        "refusal" => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    }
}
