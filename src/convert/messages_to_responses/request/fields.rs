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
        // An empty list is none.
        ("stop_sequences", Converted),
        ("stream", Converted),
        ("temperature", Carried),
        ("top_p", Carried),
        ("thinking", Converted),
        ("tools", Converted),
        ("tool_choice", Converted),
        ("output_config", Converted),
        ("output_format", Converted),
        // An empty list is none.
        ("mcp_servers", Converted),
        (
            "container",
            Refused("an OpenAI account has no such containers to run code in"),
        ),
        (
            "thread",
            Refused("an OpenAI account keeps no such conversations: send all of it in `messages`"),
        ),
        // It promises that the operator is not billed.
        (
            "billing_policy",
            Refused("an OpenAI account is billed itself. Leave it out"),
        ),
        // It shifts chances, and OpenAI has none.
        ("top_k", LeftOut),
        // These account for the call.
        ("metadata", LeftOut),
        ("user_profile_id", LeftOut),
        ("workspace_id", LeftOut),
        ("fallback_credit_token", LeftOut),
        // These tune where and how fast Anthropic serves it.
        ("inference_geo", LeftOut),
        ("service_tier", LeftOut),
        ("speed", LeftOut),
        ("fallbacks", LeftOut),
        // These save work. Without them a conversation that is too long is refused by its length.
        ("cache_control", LeftOut),
        ("context_management", LeftOut),
        ("compaction", LeftOut),
        // These turn Anthropic's own checks and reports on.
        ("betas", LeftOut),
        ("anthropic_version", LeftOut),
        ("anthropic_beta", LeftOut),
        ("diagnostics", LeftOut),
        ("safeguards", LeftOut),
    ],
    unknown: "Extra inputs are not permitted: an OpenAI account cannot be told of this field. Leave it out",
};
