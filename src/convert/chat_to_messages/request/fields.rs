//! The top-level fields of a chat completion request.
//!
//! Source: `ChatCompletionCreateParams` of `openai` for JavaScript 7.59.0 and for Python 3.54.0 (November 2026). The last ones are of other hosts of the protocol
//! (OpenRouter, vLLM, llama.cpp), whose clients send them to every host.

use crate::dialect::wire::fields::Fate::{Carried, Converted, LeftOut, Refused};
use crate::dialect::wire::fields::Fields;

const OPENAI_ONLY: &str = "only OpenAI's own models support it";
const OLD: &str = "send `tools` and `tool_choice` in its place";
const EFFORT: &str = "send `reasoning_effort` in its place";

pub(crate) static FIELDS: Fields = Fields {
    known: &[
        ("model", Converted),
        ("messages", Converted),
        ("max_completion_tokens", Carried),
        ("max_tokens", Carried),
        ("modalities", Converted),
        ("parallel_tool_calls", Converted),
        ("reasoning_effort", Converted),
        ("response_format", Converted),
        ("stop", Converted),
        ("stream", Carried),
        ("stream_options", Converted),
        ("temperature", Converted),
        ("tool_choice", Converted),
        ("tools", Converted),
        ("top_p", Converted),
        // Asking for one choice, or for no probabilities, has no effect.
        ("n", Converted),
        ("logprobs", Converted),
        ("top_logprobs", Converted),
        ("functions", Refused(OLD)),
        ("function_call", Refused(OLD)),
        ("audio", Refused(OPENAI_ONLY)),
        ("moderation", Refused(OPENAI_ONLY)),
        ("web_search_options", Refused(OPENAI_ONLY)),
        // Metadata and storage.
        ("metadata", LeftOut),
        ("store", LeftOut),
        ("user", LeftOut),
        ("safety_identifier", LeftOut),
        // Optimisations and service tiers of OpenAI.
        ("prediction", LeftOut),
        ("prompt_cache_key", LeftOut),
        ("prompt_cache_options", LeftOut),
        ("prompt_cache_retention", LeftOut),
        ("service_tier", LeftOut),
        ("verbosity", LeftOut),
        // Changes to token probabilities.
        ("frequency_penalty", LeftOut),
        ("presence_penalty", LeftOut),
        ("logit_bias", LeftOut),
        ("seed", LeftOut),
        // Of other hosts.
        ("top_k", LeftOut),
        ("top_a", LeftOut),
        ("min_p", LeftOut),
        ("repetition_penalty", LeftOut),
        ("usage", LeftOut),
        ("reasoning", Refused(EFFORT)),
        ("thinking", Refused(EFFORT)),
    ],
    unknown: "Unrecognized request argument supplied: the model here does not support it. Leave it out",
};
