//! Claude's messages as OpenAI's responses, whole or streamed. One machine makes both ([`compose`]), so that they
//! cannot differ.

pub(super) mod stream;
pub(super) mod whole;

mod compose;
mod events;
mod items;
mod usage;

/// Why a message ended: the status of the response, and what is missing of it.
fn status(stop_reason: &str) -> (&'static str, Option<&'static str>) {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => ("incomplete", Some("max_output_tokens")),
        "refusal" => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    }
}
