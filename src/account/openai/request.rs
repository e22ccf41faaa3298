//! The request to OpenAI, a compatible host, or ChatGPT.

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderName, HeaderValue};

use super::oauth;
use crate::account::Unsendable;
use crate::account::allowed::{Allowed, Parameter};
use crate::account::outgoing::{bearer, client_headers, post, with_query};
use crate::config::Config;
use crate::dialect::body::{Edit, Field};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::model::account::live::{Credentials, LiveAccount};

/// How Codex and the SDKs identify themselves. Not the rest of `openai-*`: that names whose organisation or
/// project it is, which is the account's, as `chatgpt-account-id` is.
pub const ALLOWED: Allowed = Allowed {
    // Of compatible hosts (Azure); OpenAI's own calls have none.
    query: &[Parameter {
        name: "api-version",
        values: &[],
    }],
    headers: &[
        "user-agent",
        "originator",
        "version",
        "session-id",
        "session_id",
        "x-session-id",
        "thread-id",
        "conversation-id",
        "conversation_id",
        "x-client-request-id",
        "idempotency-key",
        "openai-beta",
        "accept-language",
    ],
    families: &["x-codex-", "x-openai-internal-codex-", "x-stainless-"],
};

const CHATGPT_ACCOUNT_ID: HeaderName = HeaderName::from_static("chatgpt-account-id");

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    let url = match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            headers.insert(header::AUTHORIZATION, bearer(api_key)?);
            let base = base_url.as_deref().unwrap_or(&config.openai.api_url);
            format!("{}{}", prefix(base), path(call.endpoint)?)
        }
        Credentials::OAuth {
            access_token, tenant, ..
        } => {
            if matches!(call.endpoint, Endpoint::ChatCompletions | Endpoint::CountInput) {
                return Err(Unsendable::not_served(call.endpoint));
            }
            headers.insert(header::AUTHORIZATION, bearer(access_token)?);
            let account = tenant.clone().or_else(|| oauth::tenant(access_token.reveal()));
            if let Some(id) = account.and_then(|id| HeaderValue::from_str(&id).ok()) {
                headers.insert(CHATGPT_ACCOUNT_ID, id);
            }
            format!("{}{}", config.openai.codex_url, path(call.endpoint)?)
        }
    };
    let mapped = account
        .mapped_model(&call.model)
        .zip(call.fields.span(Field::Model))
        .map(|(mapped, span)| Edit::text(span, mapped));
    let mut edits = match call.endpoint {
        // A conversation may have begun on another provider's account.
        Endpoint::ChatCompletions => marks::ids::of_chat(&call.body),
        Endpoint::Responses | Endpoint::CompactResponses => marks::ids::of_responses(&call.body),
        _ => Vec::new(),
    };
    edits.extend(mapped);
    post(call, &with_query(call, &ALLOWED, url), headers, edits)
}

fn path(endpoint: Endpoint) -> Result<&'static str, Unsendable> {
    match endpoint {
        Endpoint::Responses => Ok("/responses"),
        Endpoint::CompactResponses => Ok("/responses/compact"),
        Endpoint::CountInput => Ok("/responses/input_tokens"),
        Endpoint::ChatCompletions => Ok("/chat/completions"),
        other => Err(Unsendable::not_served(other)),
    }
}

/// The base that paths are appended to. An address with a path is all of it, as the SDKs take their base URLs, for
/// compatible hosts have paths of their own; a bare host gets OpenAI's `/v1`. People paste whole endpoints.
fn prefix(base: &str) -> String {
    let base = base.trim_end_matches('/');
    let base = base
        .strip_suffix("/responses")
        .or_else(|| base.strip_suffix("/chat/completions"))
        .unwrap_or(base);
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    if rest.contains('/') {
        base.to_owned()
    } else {
        format!("{base}/v1")
    }
}

/// Headers about whose account it is: neither the client's nor ours passes.
pub(super) fn names_an_account(name: &str) -> bool {
    matches!(name, "openai-organization" | "openai-project")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_taken_as_the_sdks_take_it() {
        for (base, expected) in [
            ("https://api.openai.com", "https://api.openai.com/v1"),
            ("https://api.openai.com/", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/responses", "https://api.openai.com/v1"),
            ("https://h:8443/api/v3/chat/completions", "https://h:8443/api/v3"),
            ("https://h/openai", "https://h/openai"),
        ] {
            assert_eq!(prefix(base), expected, "{base}");
        }
    }
}
