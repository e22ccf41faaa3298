//! Builds requests to the runtime's own API. Differences from Anthropic:
//!
//! | | Anthropic | InvokeModel |
//! | --- | --- | --- |
//! | model | `model` in the body | in the path |
//! | version | header `anthropic-version` | `anthropic_version` in the body |
//! | stream | `stream` in the body | another path |
//! | betas | header `anthropic-beta` | `anthropic_beta` in the body; an unknown one is refused with 400 |
//! | token counts | `/v1/messages/count_tokens` | the whole body in base64, by foundation models, with `max_tokens` |
//! | an API key's header | `x-api-key` | `authorization` |
//!
//! Sources: AWS documentation, "InvokeModel", "InvokeModelWithResponseStream", "CountTokens", "Anthropic Claude Messages
//! API: Request and Response", "Use an Amazon Bedrock API key".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::headers::{ANTHROPIC_BETA, ANTHROPIC_VERSION};
use super::metadata;
use crate::account::Unsendable;
use crate::account::outgoing::{post, send};
use crate::dialect::body::{Edit, Field, patch};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::model::account::amazon;
use crate::model::percent::{self, COMPONENT};

/// The member that names the version, the only one so far.
const VERSION: &str = "\"anthropic_version\":\"bedrock-2023-05-31\"";

/// The betas that InvokeModel knows: those in AWS' documentation ("Request and Response", "Computer use", "Compaction").
/// Others are left out, because one that is not known fails the call.
const BETAS: [&str; 13] = [
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "token-efficient-tools-2025-02-19",
    "output-128k-2025-02-19",
    "interleaved-thinking-2025-05-14",
    "dev-full-thinking-2025-05-14",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "tool-search-tool-2025-10-19",
    "tool-examples-2025-10-29",
    "effort-2025-11-24",
    "compact-2026-01-12",
];

/// Anthropic's beta and its name at Bedrock: "Tool search tool" in Anthropic's documentation.
const RENAMED: (&str, &str) = ("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19");

/// `headers`: the client's, and the account's key. `model`: its name here.
pub(in super::super) fn build(
    call: &Call,
    base: &str,
    mut headers: HeaderMap,
    model: &str,
) -> Result<Request<Bytes>, Unsendable> {
    let mut members = VERSION.to_owned();
    let betas = betas(&headers);
    // Clients of Bedrock's own API name them there.
    if !betas.is_empty() && !has_betas(&call.body) {
        members.push_str(",\"anthropic_beta\":");
        members.push_str(&serde_json::Value::from(betas).to_string());
    }
    headers.remove(ANTHROPIC_VERSION);
    headers.remove(ANTHROPIC_BETA);
    let accept = if call.stream && call.endpoint == Endpoint::Messages {
        "application/vnd.amazon.eventstream"
    } else {
        "application/json"
    };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));

    let base = amazon::before_model(base);
    let url = |model: &str, method| {
        let model = percent::encoded(model, COMPONENT);
        format!("{base}/model/{model}/{method}")
    };
    match call.endpoint {
        Endpoint::Messages => {
            let method = if call.stream {
                "invoke-with-response-stream"
            } else {
                "invoke"
            };
            post(call, &url(model, method), headers, edits(call, members))
        }
        Endpoint::CountTokens => {
            if call.fields.span(Field::MaxTokens).is_none() {
                let most = thinking_budget(&call.body).saturating_add(1);
                members.push_str(",\"max_tokens\":");
                members.push_str(&most.to_string());
            }
            let counted = STANDARD.encode(patch(&call.body, edits(call, members)));
            let body = format!("{{\"input\":{{\"invokeModel\":{{\"body\":\"{counted}\"}}}}}}");
            // Inference profiles are refused: strands-agents and others report it in public threads
            // (BerriAI/litellm#34272, anthropics/claude-code#86628).
            let model = amazon::foundation_model(model);
            send(&url(model, "count-tokens"), headers, body.into())
        }
        other => Err(Unsendable::not_served(other)),
    }
}

/// `members`: those in place of the model.
fn edits(call: &Call, members: String) -> Vec<Edit> {
    let mut edits = marks::of_messages(&call.body);
    edits.extend(metadata(call));
    // A version would be the second of its name.
    let others = [Field::Stream, Field::AnthropicVersion];
    let others = call.fields.whole_members(&others, &call.body);
    edits.extend(others.into_iter().map(Edit::cut));
    edits.extend(
        call.fields
            .member_span(Field::Model)
            .map(|span| Edit { span, with: members }),
    );
    edits
}

/// The client's betas that Bedrock knows, by their names there.
fn betas(headers: &HeaderMap) -> Vec<&'static str> {
    let lists = headers.get_all(&ANTHROPIC_BETA);
    let lists = lists.iter().filter_map(|list| list.to_str().ok());
    let mut known: Vec<&'static str> = Vec::new();
    for beta in lists.flat_map(|list| list.split(',')).map(str::trim) {
        let beta = if beta == RENAMED.0 { RENAMED.1 } else { beta };
        let found = BETAS.into_iter().find(|known| *known == beta);
        known.extend(found.filter(|found| !known.contains(found)));
    }
    known
}

/// Whether the body has its own list of betas.
fn has_betas(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        anthropic_beta: Option<IgnoredAny>,
    }
    memchr::memmem::find(body, b"anthropic_beta").is_some()
        && serde_json::from_slice::<Body>(body).is_ok_and(|body| body.anthropic_beta.is_some())
}

/// The tokens for thinking, which `max_tokens` must exceed; 0 if there is no budget.
fn thinking_budget(body: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Body {
        thinking: Thinking,
    }
    #[derive(Deserialize)]
    struct Thinking {
        budget_tokens: u64,
    }
    if memchr::memmem::find(body, b"budget_tokens").is_none() {
        return 0;
    }
    serde_json::from_slice::<Body>(body).map_or(0, |body| body.thinking.budget_tokens)
}

#[cfg(test)]
mod tests;
