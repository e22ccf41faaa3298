//! Builds requests to Anthropic: the client's body and identity with the account's credentials.

use std::borrow::Cow;

use bytes::Bytes;
use crs_durable::Millis;
use http::Request;
use http::header::{self, HeaderMap, HeaderValue};

use super::headers::{ALLOWED, ANTHROPIC_BETA, ANTHROPIC_VERSION};
use super::{bedrock, vertex};
use crate::account::outgoing::{bearer, client_headers, own_agent, post, show_key, with_query};
use crate::account::{Unsendable, sigv4};
use crate::config::Config;
use crate::dialect::body::{Edit, Field};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::model::account::KeyHeader;
use crate::model::account::amazon::{self, address};
use crate::model::account::live::{Credentials, LiveAccount};

/// The beta that makes the API accept OAuth access tokens.
const OAUTH_BETA: &str = "oauth-2025-04-20";

/// Sent if the client sent no API version.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
    now: Millis,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    headers.entry(ANTHROPIC_VERSION).or_insert(DEFAULT_VERSION);

    let amazon = bedrock::of(account);
    let endpoint_is = |endpoint| amazon.as_ref().is_some_and(|amazon| amazon.endpoint == endpoint);
    let invokes = endpoint_is(amazon::Endpoint::InvokeModel);
    let base = match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            let usual = if invokes {
                KeyHeader::Authorization
            } else {
                KeyHeader::XApiKey
            };
            show_key(&mut headers, &account.account, api_key, usual)?;
            Cow::from(base_url.as_deref().unwrap_or(&config.claude.api_url))
        }
        Credentials::AccessKeys(keys) => {
            own_agent(&mut headers, &account.account)?;
            Cow::from(address(&keys.region, keys.base_url.as_deref()))
        }
        Credentials::ServiceAccount(credentials) => return vertex::build(call, account, credentials),
        Credentials::EntraApp(_) => return Err(Unsendable::not_for_this_platform()),
        Credentials::OAuth { access_token, .. } => {
            headers.insert(header::AUTHORIZATION, bearer(access_token)?);
            add_oauth_beta(&mut headers);
            Cow::from(config.claude.api_url.as_str())
        }
    };

    let by_operator = account.mapped_model(&call.model).map(Cow::from);
    let by_host = || Some(Cow::from(amazon.as_ref()?.model(&call.model)?));
    let mapped = by_operator.or_else(by_host);
    let mut request = if invokes {
        let model = mapped.as_deref().unwrap_or(call.model.as_str());
        bedrock::invoke::build(call, &base, headers, model)?
    } else {
        // The conversation may have begun on another provider's account.
        let mut edits = marks::of_messages(&call.body);
        let mapped = mapped.zip(call.fields.span(Field::Model));
        edits.extend(mapped.map(|(mapped, span)| Edit::text(span, &mapped)));
        if endpoint_is(amazon::Endpoint::Runtime) {
            edits.extend(bedrock::metadata(call));
        }
        messages(call, &base, headers, edits)?
    };
    if let (Credentials::AccessKeys(keys), Some(amazon)) = (&account.credentials, amazon) {
        sigv4::sign(&mut request, keys, &amazon, now)?;
    }
    Ok(request)
}

/// A request to an API like Anthropic's.
fn messages(
    call: &Call,
    base: &str,
    headers: HeaderMap,
    edits: Vec<Edit>,
) -> Result<Request<Bytes>, Unsendable> {
    let path = match call.endpoint {
        Endpoint::Messages => "/v1/messages",
        Endpoint::CountTokens => "/v1/messages/count_tokens",
        other => {
            return Err(Unsendable::not_served(other));
        }
    };
    let url = with_query(call, &ALLOWED, endpoint(base, path));
    post(call, &url, headers, edits)
}

/// Appends the beta to the client's list unless it is there; the rest of the list stays byte for byte.
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
    // The list was a header value before, so this cannot fail.
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(ANTHROPIC_BETA, value);
    }
}

/// The endpoint's address. Operators paste whole endpoints; an address with another ending is a base path.
fn endpoint(base: &str, path: &str) -> String {
    let base = base.trim_end_matches('/');
    let root = base
        .strip_suffix("/v1/messages")
        .or_else(|| base.strip_suffix("/v1"));
    match (root, base.ends_with("/messages")) {
        (None, true) => format!("{base}{}", path.strip_prefix("/v1/messages").unwrap_or(path)),
        (root, _) => format!("{}{path}", root.unwrap_or(base)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_address_of_anthropics_or_a_path_of_its_own() {
        for (base, messages, count) in [
            (
                "https://h",
                "https://h/v1/messages",
                "https://h/v1/messages/count_tokens",
            ),
            (
                "https://h/v1/",
                "https://h/v1/messages",
                "https://h/v1/messages/count_tokens",
            ),
            (
                "https://h/anthropic/v1/messages",
                "https://h/anthropic/v1/messages",
                "https://h/anthropic/v1/messages/count_tokens",
            ),
            (
                "https://h/api/coding/messages",
                "https://h/api/coding/messages",
                "https://h/api/coding/messages/count_tokens",
            ),
        ] {
            assert_eq!(endpoint(base, "/v1/messages"), messages, "{base}");
            assert_eq!(endpoint(base, "/v1/messages/count_tokens"), count, "{base}");
        }
    }

    #[test]
    fn amazons_endpoints_are_asked_each_in_its_own_way() {
        use crate::model::account::live::AccessKeys;
        use crate::model::secret::Secret;

        let vars = ["JWT_SECRET", "ENCRYPTION_KEY"]
            .map(|name| (name.to_owned(), "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua".to_owned()));
        let config = Config::read(&std::collections::HashMap::from(vars)).unwrap();
        let record: crate::model::account::Account = serde_json::from_value(serde_json::json!({
            "id": "a", "name": "a", "platform": "claude", "credentials": {"type": "oauth", "accessToken": ""},
            "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
            "createdAt": 0, "updatedAt": 0,
        }))
        .unwrap();
        let keys = |base: Option<&str>| {
            Credentials::AccessKeys(AccessKeys {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_access_key: Secret::new("secret"),
                session_token: None,
                region: "us-east-1".to_owned(),
                base_url: base.map(str::to_owned),
            })
        };
        let key = |base: &str| Credentials::ApiKey {
            api_key: Secret::new("ABSK"),
            base_url: Some(base.to_owned()),
        };
        let built = |credentials| {
            let mut call = crate::dialect::call::tests::call(Endpoint::Messages);
            call.body = Bytes::from_static(b"{\"model\":\"claude-sonnet-4-5\"}");
            call.fields = crate::dialect::body::scan(&call.body).unwrap();
            call.model = crate::model::name::ModelName::parse("claude-sonnet-4-5").unwrap();
            let account = LiveAccount {
                account: record.clone(),
                credentials,
                proxy: None,
                replaced: None,
            };
            build(&call, &account, &config, 1_440_938_160_000).unwrap()
        };
        let runtime = "https://bedrock-runtime.us-east-1.amazonaws.com/anthropic";
        let mantle = "https://bedrock-mantle.us-east-1.api.aws/anthropic";
        let profile = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
        for (credentials, address, model, service) in [
            (keys(None), runtime, profile, Some("/bedrock/")),
            (
                keys(Some(mantle)),
                mantle,
                "anthropic.claude-sonnet-4-5",
                Some("/bedrock-mantle/"),
            ),
            (key(runtime), runtime, profile, None),
            (key(mantle), mantle, "anthropic.claude-sonnet-4-5", None),
            (key("https://h"), "https://h", "claude-sonnet-4-5", None),
        ] {
            let request = built(credentials);
            assert_eq!(request.uri().to_string(), format!("{address}/v1/messages"));
            let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(body["model"], model);
            let shown = request
                .headers()
                .get("authorization")
                .map(|shown| shown.to_str().unwrap());
            assert_eq!(shown.is_some(), service.is_some(), "{shown:?}");
            assert!(
                service.is_none_or(|service| shown.unwrap().contains(service)),
                "{shown:?}"
            );
        }

        // InvokeModel, whose keys are bearer tokens.
        let runtime = "https://bedrock-runtime.us-east-1.amazonaws.com";
        for (credentials, shown) in [
            (
                keys(Some(runtime)),
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/",
            ),
            (key(runtime), "Bearer ABSK"),
        ] {
            let request = built(credentials);
            let model = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
            assert_eq!(
                request.uri().to_string(),
                format!("{runtime}/model/{model}/invoke")
            );
            let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(
                body,
                serde_json::json!({ "anthropic_version": "bedrock-2023-05-31" })
            );
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(authorization.starts_with(shown), "{authorization}");
            assert_eq!(request.headers().get("x-api-key"), None);
        }
    }
}
