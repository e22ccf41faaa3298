//! The top-level fields of a Messages request.
//!
//! Source: `MessageCreateParams` of `@anthropic-ai/sdk` 1.14.0 and `anthropic` 2.12.0 (November 2026), with and without
//! betas, whose `betas` may stand in the body of other hosts; `safeguards`, which Claude Code 2.1.330 sends; and `relay_output_modalities`, which the conversion of
//! chat completions adds.

use crate::dialect::wire::MODALITIES;
use crate::dialect::wire::fields::Fate::{Carried, Converted, LeftOut, Refused};
use crate::dialect::wire::fields::Fields;

pub(crate) static FIELDS: Fields = Fields {
    known: &[
        ("model", Converted),
        ("messages", Converted),
        ("max_tokens", Carried),
        ("system", Converted),
        ("stop_sequences", Carried),
        ("stream", Converted),
        ("temperature", Carried),
        ("top_k", Carried),
        ("top_p", Carried),
        ("thinking", Converted),
        ("tools", Converted),
        ("tool_choice", Converted),
        ("output_config", Converted),
        ("output_format", Converted),
        (MODALITIES, Converted),
        // An empty list has no effect.
        ("mcp_servers", Converted),
        (
            "container",
            Refused("a Gemini account has no containers to run code in"),
        ),
        (
            "thread",
            Refused("a Gemini account keeps no conversations: send all of it in `messages`"),
        ),
        // The client asks not to be billed.
        (
            "billing_policy",
            Refused("a Gemini account is billed itself. Leave it out"),
        ),
        // Metadata.
        ("metadata", LeftOut),
        ("user_profile_id", LeftOut),
        ("workspace_id", LeftOut),
        ("fallback_credit_token", LeftOut),
        // Location and service tier.
        ("inference_geo", LeftOut),
        ("service_tier", LeftOut),
        ("speed", LeftOut),
        ("fallbacks", LeftOut),
        // Context management. Without it a conversation that is too long is refused.
        ("cache_control", LeftOut),
        ("context_management", LeftOut),
        ("compaction", LeftOut),
        // Anthropic's own betas, checks and reports.
        ("betas", LeftOut),
        ("anthropic_version", LeftOut),
        ("anthropic_beta", LeftOut),
        ("diagnostics", LeftOut),
        ("safeguards", LeftOut),
    ],
    unknown: "Extra inputs are not permitted: a Gemini account does not support this field. Leave it out",
};
