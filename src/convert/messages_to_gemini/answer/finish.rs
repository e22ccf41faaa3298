//! Why an answer ended.
//!
//! Gemini does not distinguish a stop sequence from a normal end, so both become `end_turn`.

/// The meaning of a `finishReason` for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Anthropic's `stop_reason`.
    Stop(&'static str),
    /// The model failed. The same request may succeed, so the client gets an error that it retries.
    Failed(String),
}

/// `content`: the answer has text or calls; `calls`: it has calls.
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
        // `OTHER`, or a reason newer than this list: the content so far is valid.
        _ if calls => Finish::Stop("tool_use"),
        _ if content => Finish::Stop("end_turn"),
        other => Finish::Failed(crate::convert::messages::error::bounded(other, 64)),
    }
}
