//! Builds requests to OpenAI, a compatible host, or ChatGPT.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Uri};

use super::oauth;
use crate::account::Unsendable;
use crate::account::allowed::{Allowed, Parameter};
use crate::account::outgoing::{
    bearer, client_headers, own_agent, post, requested_token, show_key, with_query,
};
use crate::config::{Config, ProviderSockets};
use crate::dialect::body::{Edit, Field, form};
use crate::dialect::call::{Call, Endpoint, Images, Stored};
use crate::dialect::wire::marks;
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{KeyHeader, azure};

/// Headers by which Codex and the SDKs identify themselves. Other `openai-*` headers select an organisation or
/// project, which belongs to the account; so does `chatgpt-account-id`.
pub const ALLOWED: Allowed = Allowed {
    // Of clients of Azure; an account's own one has priority. OpenAI has none.
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

/// Of calls about one stored response.
static OF_STORED: Allowed = Allowed {
    query: &[
        any("api-version"),
        any("include[]"),
        any("include"),
        any("include_obfuscation"),
        any("stream"),
        any("starting_after"),
        any("after"),
        any("before"),
        any("limit"),
        any("order"),
    ],
    ..ALLOWED
};

const fn any(name: &'static str) -> Parameter {
    Parameter { name, values: &[] }
}

const CHATGPT_ACCOUNT_ID: HeaderName = HeaderName::from_static("chatgpt-account-id");

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
) -> Result<Request<Bytes>, Unsendable> {
    let allowed = match call.endpoint {
        Endpoint::Stored(_) => &OF_STORED,
        _ => &ALLOWED,
    };
    let mut headers = client_headers(call, &ALLOWED);
    let mut model = account.mapped_model(&call.model);
    let url = match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            show_key(&mut headers, &account.account, api_key, KeyHeader::Authorization)?;
            let base = base_url.as_deref().unwrap_or(&config.openai.api_url);
            match &account.account.api_version {
                Some(version) => of_azure(call, base, version, &mut model)?,
                None => with_query(call, allowed, format!("{}{}", prefix(base), path(call)?)),
            }
        }
        Credentials::EntraApp(app) => {
            headers.insert(header::AUTHORIZATION, requested_token(app.access_token.as_ref())?);
            own_agent(&mut headers, &account.account)?;
            match &account.account.api_version {
                Some(version) => of_azure(call, &app.base_url, version, &mut model)?,
                None => with_query(
                    call,
                    allowed,
                    format!("{}{}", resource(&app.base_url), path(call)?),
                ),
            }
        }
        Credentials::AccessKeys(_) | Credentials::ServiceAccount(_) => {
            return Err(Unsendable::not_for_this_platform());
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
            let url = format!("{}{}", config.openai.codex_url, path(call)?);
            with_query(call, allowed, url)
        }
    };
    let renamed = if let Some(kind) = form::of(&call.headers) {
        // Its boundary is in the header.
        headers.insert(header::CONTENT_TYPE, kind.clone());
        let span = model.and_then(|_| form::read(kind, &call.body).ok()?.model);
        model.zip(span).map(|(model, span)| Edit {
            span,
            with: model.to_string(),
        })
    } else {
        model
            .zip(call.fields.span(Field::Model))
            .map(|(model, span)| Edit::text(span, model))
    };
    let mut edits = match call.endpoint {
        // The conversation may have begun on another provider's account.
        Endpoint::ChatCompletions => marks::ids::of_chat(&call.body),
        Endpoint::Responses | Endpoint::CompactResponses => marks::ids::of_responses(&call.body),
        _ => Vec::new(),
    };
    edits.extend(renamed);
    if let Endpoint::Stored(which) = call.endpoint {
        headers.remove(header::CONTENT_TYPE);
        let mut request = post(call, &url, headers, edits)?;
        *request.method_mut() = match which {
            Stored::Retrieve | Stored::InputItems => Method::GET,
            Stored::Delete => Method::DELETE,
            Stored::Cancel => Method::POST,
        };
        return Ok(request);
    }
    post(call, &url, headers, edits)
}

/// Hosts that take Responses over a WebSocket, by OpenAI's guide "WebSocket mode" and by Codex' client, which asks
/// ChatGPT so.
const WITH_SOCKETS: [&str; 2] = ["api.openai.com", "chatgpt.com"];

/// Whether this call may be sent over a WebSocket.
pub(super) fn has_socket(call: &Call, account: &LiveAccount, config: &Config) -> bool {
    let base = match &account.credentials {
        // Azure's dated API has none.
        Credentials::ApiKey { .. } | Credentials::EntraApp(_) if account.account.api_version.is_some() => {
            return false;
        }
        Credentials::ApiKey { base_url, .. } => base_url.as_deref().unwrap_or(&config.openai.api_url),
        Credentials::EntraApp(app) => &app.base_url,
        Credentials::OAuth { .. } => &config.openai.codex_url,
        _ => return false,
    };
    let offers = match config.openai.provider_sockets {
        ProviderSockets::Never => false,
        ProviderSockets::Anywhere => true,
        ProviderSockets::Known => base.parse::<Uri>().is_ok_and(|base| {
            let host = base.host().unwrap_or_default().to_ascii_lowercase();
            base.scheme_str() == Some("https") && WITH_SOCKETS.contains(&host.as_str())
        }),
    };
    offers && call.endpoint == Endpoint::Responses && call.stream
}

fn path(call: &Call) -> Result<Cow<'static, str>, Unsendable> {
    let path = match (call.endpoint, call.object.as_deref()) {
        (Endpoint::Responses, _) => "/responses",
        (Endpoint::CompactResponses, _) => "/responses/compact",
        (Endpoint::CountInput, _) => "/responses/input_tokens",
        (Endpoint::ChatCompletions, _) => "/chat/completions",
        (Endpoint::Images(Images::Generations), _) => "/images/generations",
        (Endpoint::Images(Images::Edits), _) => "/images/edits",
        (Endpoint::Stored(which), Some(id)) => {
            let below = match which {
                Stored::Retrieve | Stored::Delete => "",
                Stored::Cancel => "/cancel",
                Stored::InputItems => "/input_items",
            };
            return Ok(format!("/responses/{id}{below}").into());
        }
        (other, _) => return Err(Unsendable::not_served(other)),
    };
    Ok(path.into())
}

/// The address in Azure's dated API. `model`: what the operator maps the model to; the deployment of the base, if he
/// maps it to none.
fn of_azure<'a>(
    call: &'a Call,
    base: &'a str,
    version: &'a str,
    model: &mut Option<&'a str>,
) -> Result<String, Unsendable> {
    let base = azure::Base::of(base, version);
    *model = model.or(base.deployment);
    let path = path(call)?;
    Ok(match call.endpoint {
        Endpoint::ChatCompletions | Endpoint::Images(_) => {
            base.of_deployment(model.unwrap_or(&call.model), &path)
        }
        _ => base.address(&path),
    })
}

/// The base to which paths are appended. An address with a path is complete, as in the SDKs' base URLs, because
/// compatible hosts have their own paths; a bare host gets OpenAI's `/v1`, or Azure's path.
fn prefix(base: &str) -> String {
    let base = without_endpoint(base);
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    if azure::is_host(&host.to_ascii_lowercase()) {
        azure::with_openai(base, true)
    } else if rest.contains('/') {
        base.to_owned()
    } else {
        format!("{base}/v1")
    }
}

/// The base to which paths of Azure's v1 API are appended, whatever the resource's host is.
fn resource(base: &str) -> String {
    azure::with_openai(without_endpoint(base), true)
}

/// Operators also paste whole endpoints.
fn without_endpoint(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    base.strip_suffix("/responses")
        .or_else(|| base.strip_suffix("/chat/completions"))
        .unwrap_or(base)
}

/// Headers that identify the account, which are neither forwarded to it nor returned to the client.
pub(super) fn names_an_account(name: &str) -> bool {
    matches!(name, "openai-organization" | "openai-project")
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashMap;

    use crate::dialect::call::tests::call;
    use crate::model::secret::Secret;

    /// Whether a streamed turn may go over a WebSocket to an API key at this address, or to ChatGPT.
    fn offers(setting: &str, base: Option<&str>, api_version: Option<&str>) -> bool {
        let vars: HashMap<String, String> = [
            ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
            ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
            ("OPENAI_WEBSOCKET_UPSTREAM", setting),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let account = serde_json::json!({
            "id": "a", "name": "a", "platform": "openai", "credentials": {"type": "apiKey", "apiKey": ""},
            "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
            "createdAt": 0, "updatedAt": 0, "apiVersion": api_version,
        });
        let credentials = if base == Some("chatgpt") {
            Credentials::OAuth {
                access_token: Secret::new("t"),
                refresh_token: None,
                expires_at: None,
                tenant: None,
            }
        } else {
            Credentials::ApiKey {
                api_key: Secret::new("sk"),
                base_url: base.map(str::to_owned),
            }
        };
        let account = LiveAccount {
            account: serde_json::from_value(account).unwrap(),
            credentials,
            proxy: None,
            replaced: None,
        };
        let config = Config::read(&vars).unwrap();
        let mut call = call(Endpoint::Responses);
        assert!(!has_socket(&call, &account, &config), "only streams");
        call.stream = true;
        let offered = has_socket(&call, &account, &config);
        call.endpoint = Endpoint::ChatCompletions;
        assert!(!has_socket(&call, &account, &config));
        offered
    }

    #[test]
    fn hosts_are_asked_over_a_web_socket_if_they_are_known_to_offer_it() {
        for (base, api_version, auto, anywhere) in [
            (None, None, true, true),
            (Some("chatgpt"), None, true, true),
            (Some("https://API.openai.com/v1"), None, true, true),
            (Some("https://h.openai.azure.com"), None, false, true),
            (
                Some("https://h.openai.azure.com"),
                Some("2025-01-01"),
                false,
                false,
            ),
            (Some("http://api.openai.com"), None, false, true),
            (Some("https://api.openai.com.example"), None, false, true),
            (Some("https://example/api.openai.com"), None, false, true),
        ] {
            assert_eq!(offers("auto", base, api_version), auto, "{base:?}");
            assert_eq!(offers("true", base, api_version), anywhere, "{base:?}");
            assert!(!offers("false", base, api_version), "{base:?}");
        }
    }

    #[test]
    fn a_base_is_taken_as_the_sdks_take_it() {
        for (base, expected) in [
            ("https://api.openai.com", "https://api.openai.com/v1"),
            ("https://api.openai.com/", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/responses", "https://api.openai.com/v1"),
            ("https://h:8443/api/v3/chat/completions", "https://h:8443/api/v3"),
            ("https://h/openai", "https://h/openai"),
            (
                "https://r.openai.azure.com",
                "https://r.openai.azure.com/openai/v1",
            ),
            (
                "https://r.openai.azure.com/openai/",
                "https://r.openai.azure.com/openai/v1",
            ),
            (
                "https://r.services.ai.azure.com/openai/v1",
                "https://r.services.ai.azure.com/openai/v1",
            ),
        ] {
            assert_eq!(prefix(base), expected, "{base}");
        }
        for (base, expected) in [
            (
                "https://r.openai.azure.us/",
                "https://r.openai.azure.us/openai/v1",
            ),
            ("https://h:8443", "https://h:8443/openai/v1"),
            ("https://h/openai/v1/responses", "https://h/openai/v1"),
            ("https://gateway/azure/v1", "https://gateway/azure/v1"),
        ] {
            assert_eq!(resource(base), expected, "{base}");
        }
    }
}
