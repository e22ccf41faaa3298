//! Converts OpenAI's answers into Anthropic messages. Whole answers and streams share one state machine
//! ([`compose`]), so their content is the same.

pub(super) mod stream;
pub(super) mod whole;

mod compose;
pub(in crate::convert) mod events;
pub(in crate::convert) mod usage;

use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// The `stop_reason` of a response. `calls`: it has tool calls; `refused`: the model refused.
fn stop_reason(response: &Object<'_>, calls: bool, refused: bool) -> &'static str {
    let status: Text<'_> = response.get("status").unwrap_or_default();
    let details: Option<Object<'_>> = response.get("incomplete_details");
    let reason: Option<Text<'_>> = details.and_then(|details| details.get("reason"));
    match (&*status, reason.as_deref()) {
        ("incomplete", Some("max_output_tokens")) => "max_tokens",
        ("incomplete", Some("content_filter")) => "refusal",
        // The content so far is valid.
        _ if calls => "tool_use",
        _ if refused => "refusal",
        _ => "end_turn",
    }
}
