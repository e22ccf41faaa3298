//! The request to Anthropic: the client's own body and identity, with the account's credentials.

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::account::Unsendable;
use crate::account::allowed::{Allowed, Parameter};
use crate::account::outgoing::{bearer, client_headers, post, secret, with_query};
use crate::config::Config;
use crate::dialect::body::{Edit, Field};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::model::account::live::{Credentials, LiveAccount};

/// How clients of the Messages API identify themselves. Not the rest of `anthropic-*`: that names whose
/// organisation or workspace it is, which is the account's.
pub const ALLOWED: Allowed = Allowed {
    // Claude Code's; the SDKs have none.
    query: &[Parameter {
        name: "beta",
        values: &["true", "false"],
    }],
    headers: &[
        "user-agent",
        "anthropic-version",
        "anthropic-beta",
        "anthropic-dangerous-direct-browser-access",
        "anthropic-client-platform",
        "anthropic-client-version",
        "x-app",
        "x-client-request-id",
        "accept-language",
        "sec-fetch-mode",
    ],
    families: &["x-stainless-", "x-claude-code-"],
};

/// The beta that makes the API accept OAuth access tokens.
const OAUTH_BETA: &str = "oauth-2025-04-20";

/// Sent when the client named no version of the API.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    headers.entry(ANTHROPIC_VERSION).or_insert(DEFAULT_VERSION);

    let base = match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            headers.insert(X_API_KEY, secret(api_key.reveal())?);
            base_url
                .as_deref()
                .map_or(config.claude.api_url.as_str(), plain_base)
        }
        Credentials::OAuth { access_token, .. } => {
            headers.insert(header::AUTHORIZATION, bearer(access_token)?);
            add_oauth_beta(&mut headers);
            config.claude.api_url.as_str()
        }
    };

    let mapped = account
        .mapped_model(&call.model)
        .zip(call.fields.span(Field::Model))
        .map(|(mapped, span)| Edit::text(span, mapped));
    // A conversation may have begun on another provider's account.
    let mut edits = marks::of_messages(&call.body);
    edits.extend(mapped);
    let path = match call.endpoint {
        Endpoint::Messages => "/v1/messages",
        Endpoint::CountTokens => "/v1/messages/count_tokens",
        other => {
            return Err(Unsendable::not_served(other));
        }
    };
    let url = with_query(call, &ALLOWED, format!("{base}{path}"));
    post(call, &url, headers, edits)
}

/// The client's list of betas stays as it is, byte for byte; ours joins its end unless it is there.
fn add_oauth_beta(headers: &mut HeaderMap) {
    let mut list: Vec<u8> = Vec::new();
    for value in headers.get_all(&ANTHROPIC_BETA) {
        let value = value.as_bytes();
        if value
            .split(|byte| *byte == b',')
            .any(|beta| beta.trim_ascii() == OAUTH_BETA.as_bytes())
        {
            return;
        }
        list.extend_from_slice(value);
        list.push(b',');
    }
    list.extend_from_slice(OAUTH_BETA.as_bytes());
    // What was a header's value makes one again.
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(ANTHROPIC_BETA, value);
    }
}

/// People paste the whole endpoint; the path is ours to add.
fn plain_base(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    base.strip_suffix("/v1/messages")
        .or_else(|| base.strip_suffix("/v1"))
        .unwrap_or(base)
}
