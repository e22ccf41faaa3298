//! Why an answer ended.
//!
//! Gemini does not tell a stop sequence from an end of its own: both are `end_turn` here.

/// What a `finishReason` means to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Anthropic's `stop_reason`.
    Stop(&'static str),
    /// The model broke down. The same request may well succeed, so clients are told of an error, which
    /// they try again after.
    Failed(String),
}

/// `content`: something was said or called; `calls`: tools were.
pub(super) fn finish(reason: &str, content: bool, calls: bool) -> Finish {
    match reason {
        "STOP" if calls => Finish::Stop("tool_use"),
        "STOP" => Finish::Stop("end_turn"),
        "MAX_TOKENS" => Finish::Stop("max_tokens"),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::Stop("refusal"),
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE" => Finish::Failed(reason.to_owned()),
        // `OTHER`, or a reason newer than this list: what was said stands.
        _ if calls => Finish::Stop("tool_use"),
        _ if content => Finish::Stop("end_turn"),
        other => Finish::Failed(crate::convert::messages::error::bounded(other, 64)),
    }
}
