//! The top-level fields of a Messages request, on their way to OpenAI.
//!
//! Source: `MessageCreateParams` of `@anthropic-ai/sdk` 1.14.0 and `anthropic` 2.12.0 (November 2026), with and without
//! betas, whose `betas` may stand in the body of other hosts; and `safeguards`, which Claude Code 2.1.330 sends.

use crate::dialect::wire::fields::Fate::{Carried, Converted, LeftOut, Refused};
use crate::dialect::wire::fields::Fields;

pub(crate) static FIELDS: Fields = Fields {
    known: &[
        ("model", Converted),
        ("messages", Converted),
        ("max_tokens", Carried),
        ("system", Converted),
        // An empty list has no effect.
        ("stop_sequences", Converted),
        ("stream", Converted),
        ("temperature", Carried),
        ("top_p", Carried),
        ("thinking", Converted),
        ("tools", Converted),
        ("tool_choice", Converted),
        ("output_config", Converted),
        ("output_format", Converted),
        // An empty list has no effect.
        ("mcp_servers", Converted),
        (
            "container",
            Refused("an OpenAI account has no such containers to run code in"),
        ),
        (
            "thread",
            Refused("an OpenAI account keeps no such conversations: send all of it in `messages`"),
        ),
        // The client asks not to be billed.
        (
            "billing_policy",
            Refused("an OpenAI account is billed itself. Leave it out"),
        ),
        // OpenAI has no such parameter.
        ("top_k", LeftOut),
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
    unknown: "Extra inputs are not permitted: an OpenAI account does not support this field. Leave it out",
};
