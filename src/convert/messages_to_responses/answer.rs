//! OpenAI's answers as Anthropic messages, whole or streamed. One machine makes both ([`compose`]), so that they
//! cannot differ.

pub(super) mod stream;
pub(super) mod whole;

mod compose;
mod events;
mod usage;

use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Why a response ended, as Anthropic's `stop_reason`. `calls`: tools were called; `refused`: the model said that it
/// will not.
fn stop_reason(response: &Object<'_>, calls: bool, refused: bool) -> &'static str {
    let status: Text<'_> = response.get("status").unwrap_or_default();
    let details: Option<Object<'_>> = response.get("incomplete_details");
    let reason: Option<Text<'_>> = details.and_then(|details| details.get("reason"));
    match (&*status, reason.as_deref()) {
        ("incomplete", Some("max_output_tokens")) => "max_tokens",
        ("incomplete", Some("content_filter")) => "refusal",
        // What was said stands.
        _ if calls => "tool_use",
        _ if refused => "refusal",
        _ => "end_turn",
    }
}
