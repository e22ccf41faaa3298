//! Builds requests to Google Vertex AI. Differences from Anthropic:
//!
//! | | Anthropic | Vertex |
//! | --- | --- | --- |
//! | model | `model` in the body | in the path; for token counts in the body, too |
//! | version | header `anthropic-version` | `anthropic_version` in the body |
//! | stream | `stream` in the body | also in the path |
//! | betas | header `anthropic-beta` | the same; an unknown one is refused with 400 |
//! | query `beta=true` | Claude Code's | none |
//!
//! Sources: see [`vertex`].

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderMap, HeaderValue};

use super::headers::{ALLOWED, ANTHROPIC_BETA, ANTHROPIC_VERSION};
use crate::account::Unsendable;
use crate::account::outgoing::{client_headers, own_agent, post, requested_token};
use crate::dialect::body::{Edit, Field};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::model::account::live::{LiveAccount, ServiceAccount};
use crate::model::account::vertex;
use crate::model::percent::{self, COMPONENT};

/// The member that names the version, the only one so far.
const VERSION: &str = "\"anthropic_version\":\"vertex-2023-10-16\"";

/// Betas that Claude Code sends to the Claude API and that Vertex does not know, and what it knows in their place. It
/// refuses a request with an unknown beta.
const BETAS: [(&str, Option<&str>); 5] = [
    // anthropics/claude-code#21625
    ("prompt-caching-scope-2026-01-05", None),
    // anthropics/claude-code#34802, can1357/oh-my-pi#5614
    ("effort-2025-11-24", None),
    ("adaptive-thinking-2026-01-28", None),
    // QuantumNous/new-api#2975
    ("structured-outputs-2025-12-15", None),
    // "Tool search tool" in Anthropic's documentation
    (
        "advanced-tool-use-2025-11-20",
        Some("tool-search-tool-2025-10-19"),
    ),
];

/// The same for token counts alone: anthropics/claude-code#12429.
const COUNT_BETAS: [(&str, Option<&str>); 1] = [("web-search-2025-03-05", None)];

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    credentials: &ServiceAccount,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    headers.remove(ANTHROPIC_VERSION);
    own_agent(&mut headers, &account.account)?;
    headers.insert(
        header::AUTHORIZATION,
        requested_token(credentials.access_token.as_ref())?,
    );

    let model = account.mapped_model(&call.model);
    let model = model.map_or_else(|| vertex::model(&call.model), str::to_owned);
    let mut edits = marks::of_messages(&call.body);
    // It would be the second of its name.
    edits.extend(
        call.fields
            .whole_member(Field::AnthropicVersion, &call.body)
            .map(Edit::cut),
    );
    let (name, method) = match call.endpoint {
        Endpoint::Messages => {
            translate_betas(&mut headers, &BETAS);
            edits.extend(call.fields.member_span(Field::Model).map(|span| Edit {
                span,
                with: VERSION.to_owned(),
            }));
            let method = if call.stream {
                "streamRawPredict"
            } else {
                "rawPredict"
            };
            (model.as_str(), method)
        }
        Endpoint::CountTokens => {
            translate_betas(&mut headers, &[&BETAS[..], &COUNT_BETAS].concat());
            edits.extend(call.fields.member_span(Field::Model).map(|span| Edit {
                span,
                with: format!("\"model\":{},{VERSION}", serde_json::Value::from(model.as_str())),
            }));
            ("count-tokens", "rawPredict")
        }
        other => return Err(Unsendable::not_served(other)),
    };
    // Google writes dates after a plain `@`.
    let name = percent::encoded(name, COMPONENT).replace("%40", "@");
    let ServiceAccount { project, region, .. } = credentials;
    let base = vertex::address(region, credentials.base_url.as_deref());
    let url = format!(
        "{base}/v1/projects/{project}/locations/{region}/publishers/anthropic/models/{name}:{method}"
    );
    post(call, &url, headers, edits)
}

/// Replaces betas by those of Vertex, or removes them. A list without such betas stays byte for byte.
fn translate_betas(headers: &mut HeaderMap, table: &[(&str, Option<&str>)]) {
    let lists: Vec<&str> = headers
        .get_all(&ANTHROPIC_BETA)
        .iter()
        .filter_map(|list| list.to_str().ok())
        .collect();
    let betas = || lists.iter().flat_map(|list| list.split(',')).map(str::trim);
    let row = |beta: &str| table.iter().find(|(known, _)| *known == beta);
    if !betas().any(|beta| row(beta).is_some()) {
        return;
    }
    let mut kept: Vec<&str> = Vec::new();
    for beta in betas() {
        let beta = row(beta).map_or(Some(beta), |(_, other)| *other);
        kept.extend(beta.filter(|beta| !beta.is_empty() && !kept.contains(beta)));
    }
    // The parts were a header's value before, so this cannot fail.
    let list = HeaderValue::from_str(&kept.join(","))
        .ok()
        .filter(|list| !list.is_empty());
    headers.remove(&ANTHROPIC_BETA);
    if let Some(list) = list {
        headers.insert(ANTHROPIC_BETA, list);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::body::scan;
    use crate::model::account::Account;
    use crate::model::account::live::Credentials;
    use crate::model::name::ModelName;
    use crate::model::secret::Secret;

    fn sent(endpoint: Endpoint, body: &str, betas: &[&'static str]) -> (String, Value, HeaderMap) {
        let mut call = crate::dialect::call::tests::call(endpoint);
        call.body = Bytes::copy_from_slice(body.as_bytes());
        call.fields = scan(&call.body).unwrap();
        call.model = ModelName::parse(&call.fields.model(&call.body).unwrap().unwrap()).unwrap();
        call.stream = call.fields.is_true(Field::Stream, &call.body);
        call.query = Some("beta=true".to_owned());
        call.headers
            .insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
        for list in betas {
            call.headers
                .append(ANTHROPIC_BETA, HeaderValue::from_static(list));
        }
        let credentials = ServiceAccount {
            client_email: "relay@my-project.iam.gserviceaccount.com".to_owned(),
            private_key: Secret::new("sesame"),
            private_key_id: None,
            project: "my-project".to_owned(),
            region: "us-east5".to_owned(),
            base_url: None,
            access_token: Some(Secret::new("ya29.token")),
            expires_at: None,
        };
        let account: Account = serde_json::from_value(json!({
            "id": "a", "name": "a", "platform": "claude", "credentials": {"type": "oauth", "accessToken": ""},
            "credentialVersion": 1, "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true,
            "createdAt": 0, "updatedAt": 0, "modelMapping": { "claude-opus-4-6": "claude-opus-4-6@default" },
        }))
        .unwrap();
        let live = LiveAccount {
            account,
            credentials: Credentials::ServiceAccount(credentials.clone()),
            proxy: None,
            replaced: None,
        };
        let request = build(&call, &live, &credentials).unwrap();
        let body = serde_json::from_slice(request.body()).unwrap();
        (request.uri().to_string(), body, request.headers().clone())
    }

    #[test]
    fn model_and_version_change_their_places() {
        let place = "https://us-east5-aiplatform.googleapis.com/v1/projects/my-project/locations/us-east5/publishers/anthropic/models/";
        let version = "vertex-2023-10-16";
        for (endpoint, body, path, expected) in [
            (
                Endpoint::Messages,
                r#"{"model":"claude-sonnet-4-5","max_tokens":1}"#,
                "claude-sonnet-4-5@20250929:rawPredict",
                json!({ "anthropic_version": version, "max_tokens": 1 }),
            ),
            (
                Endpoint::Messages,
                r#"{"stream":true, "model" : "claude-opus-4-6"}"#,
                "claude-opus-4-6@default:streamRawPredict",
                json!({ "stream": true, "anthropic_version": version }),
            ),
            (
                Endpoint::Messages,
                r#"{"anthropic_version":"bedrock-2023-05-31","model":"claude-sonnet-5"}"#,
                "claude-sonnet-5:rawPredict",
                json!({ "anthropic_version": version }),
            ),
            (
                Endpoint::CountTokens,
                r#"{"model":"claude-haiku-4-5","messages":[]}"#,
                "count-tokens:rawPredict",
                json!({ "model": "claude-haiku-4-5@20251001", "anthropic_version": version, "messages": [] }),
            ),
        ] {
            let (url, sent, headers) = sent(endpoint, body, &[]);
            assert_eq!(url, format!("{place}{path}"));
            assert_eq!(sent, expected, "{body}");
            assert_eq!(headers["authorization"], "Bearer ya29.token");
            assert_eq!(headers.get(ANTHROPIC_VERSION), None);
        }
    }

    #[test]
    fn a_model_cannot_leave_its_segment() {
        let (url, _, _) = sent(Endpoint::Messages, r#"{"model":"a/b:c"}"#, &[]);
        assert!(url.ends_with("/models/a%2Fb%3Ac:rawPredict"), "{url}");
    }

    #[test]
    fn betas_that_vertex_does_not_know_are_left_out() {
        let betas = |endpoint, lists: &[&'static str]| {
            let (_, _, headers) = sent(endpoint, r#"{"model":"claude-sonnet-5"}"#, lists);
            let lists = headers.get_all(ANTHROPIC_BETA).iter();
            lists
                .map(|list| list.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for (lists, expected) in [
            (&[][..], &[][..]),
            (
                &["context-1m-2025-08-07 ,x", "y"],
                &["context-1m-2025-08-07 ,x", "y"],
            ),
            (
                &[
                    "claude-code-20250219, effort-2025-11-24",
                    "advanced-tool-use-2025-11-20",
                ],
                &["claude-code-20250219,tool-search-tool-2025-10-19"],
            ),
            (&["prompt-caching-scope-2026-01-05"], &[]),
        ] {
            assert_eq!(betas(Endpoint::Messages, lists), expected, "{lists:?}");
        }
        let web = ["web-search-2025-03-05"];
        assert_eq!(betas(Endpoint::Messages, &web), web);
        assert!(betas(Endpoint::CountTokens, &web).is_empty());
    }
}
