//! The top-level fields of a Responses request, on their way to Claude.
//!
//! Source: `ResponseCreateParams` of `openai` for Python 3.54.0 (November 2026), and `client_metadata`, which Codex
//! 0.169.0 sends.

use crate::dialect::wire::fields::Fate::{Carried, Converted, LeftOut, Refused};
use crate::dialect::wire::fields::Fields;

const KEPT: &str = "a Claude account keeps no responses: send the whole conversation in `input`";
const OPENAI_ONLY: &str = "only OpenAI's own models support it";

pub(crate) static FIELDS: Fields = Fields {
    known: &[
        ("model", Converted),
        ("input", Converted),
        ("instructions", Converted),
        ("max_output_tokens", Carried),
        ("stream", Carried),
        ("temperature", Carried),
        ("top_p", Converted),
        ("tools", Converted),
        ("tool_choice", Converted),
        ("parallel_tool_calls", Converted),
        ("reasoning", Converted),
        ("text", Converted),
        // Values that only ask for absent output are accepted.
        ("include", Converted),
        ("top_logprobs", Converted),
        ("background", Converted),
        ("previous_response_id", Refused(KEPT)),
        ("conversation", Refused(KEPT)),
        ("prompt", Refused(KEPT)),
        ("background_options", Refused(KEPT)),
        ("max_tool_calls", Refused(OPENAI_ONLY)),
        ("moderation", Refused(OPENAI_ONLY)),
        ("access_programs", Refused(OPENAI_ONLY)),
        ("image", LeftOut),
        // Metadata and storage.
        ("metadata", LeftOut),
        ("client_metadata", LeftOut),
        ("store", LeftOut),
        ("user", LeftOut),
        ("safety_identifier", LeftOut),
        // Context management and OpenAI's service tiers. Without them a conversation that is too long is refused.
        ("context_management", LeftOut),
        ("prompt_cache_key", LeftOut),
        ("prompt_cache_options", LeftOut),
        ("prompt_cache_retention", LeftOut),
        ("service_tier", LeftOut),
        ("stream_options", LeftOut),
        ("truncation", LeftOut),
    ],
    unknown: "Unknown parameter: a Claude account does not support it. Leave it out",
};
