//! The request to Anthropic: the client's own body and identity, with the account's credentials.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};

use crate::config::Config;
use crate::provider::Unsendable;
use crate::relay::body;
use crate::relay::call::Call;
use crate::store::accounts::{Credentials, LiveAccount};

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
    let mut headers = HeaderMap::with_capacity(call.headers.len() + 4);
    for (name, value) in &call.headers {
        if passes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    headers.entry(ANTHROPIC_VERSION).or_insert(DEFAULT_VERSION);

    let base = match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            headers.insert(X_API_KEY, secret(api_key.reveal())?);
            base_url
                .as_deref()
                .map_or(config.claude.api_url.as_str(), plain_base)
        }
        Credentials::OAuth { access_token, .. } => {
            headers.insert(
                header::AUTHORIZATION,
                secret(&format!("Bearer {}", access_token.reveal()))?,
            );
            add_oauth_beta(&mut headers);
            config.claude.api_url.as_str()
        }
    };

    let query = call
        .query
        .as_deref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut request = Request::new(mapped_body(call, account));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("{base}{}{query}", call.endpoint.claude_path())
        .parse()
        .map_err(|_| Unsendable::Account("the account's baseUrl makes no valid address".to_owned()))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Headers that say who the client is and what it wants. Everything else stays here: our own
/// credentials, cookies, forwarding and hop-by-hop headers.
fn passes(name: &HeaderName) -> bool {
    if *name == header::ACCEPT || *name == header::CONTENT_TYPE || *name == header::USER_AGENT {
        return true;
    }
    let name = name.as_str();
    name.starts_with("anthropic-")
        || name.starts_with("x-stainless-")
        || name.starts_with("x-claude-code-")
        || matches!(
            name,
            "x-app" | "x-client-request-id" | "accept-language" | "sec-fetch-mode"
        )
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

fn mapped_body(call: &Call, account: &LiveAccount) -> Bytes {
    match account.account.model_mapping.get(&call.model) {
        Some(mapped) => body::patch_model(&call.body, &call.fields, mapped),
        None => call.body.clone(),
    }
}

fn secret(value: &str) -> Result<HeaderValue, Unsendable> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Unsendable::Account("the account's credential is not plain text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// People paste the whole endpoint; the path is ours to add.
fn plain_base(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    base.strip_suffix("/v1/messages")
        .or_else(|| base.strip_suffix("/v1"))
        .unwrap_or(base)
}
