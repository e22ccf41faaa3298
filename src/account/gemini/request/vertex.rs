//! Builds requests for Gemini at Google Vertex AI. Differences from the Gemini API:
//!
//! | | Gemini API | Vertex |
//! | --- | --- | --- |
//! | path | `/v1beta/models/{model}` | `/v1beta1/projects/{project}/locations/{region}/publishers/google/models/{model}` |
//! | `role` of contents | may be missing | required |
//! | `id` of function calls and results | accepted | refused |
//! | token counts | also of a `generateContentRequest` | of its members |
//!
//! Sources: "projects.locations.publishers.models" in Google Cloud's documentation; roles: BerriAI/litellm#32731; ids:
//! pydantic/pydantic-ai#5081, `src/converters` of googleapis/js-genai. Hosts: [`vertex`].

use bytes::Bytes;
use http::Request;
use http::header;
use serde_json::{Map, Value};

use super::{ALLOWED, generative, taken_out};
use crate::account::Unsendable;
use crate::account::outgoing::{client_headers, own_agent, post, requested_token, send, with_query};
use crate::dialect::call::{Call, Endpoint, Surface};
use crate::model::account::live::{LiveAccount, ServiceAccount};
use crate::model::account::vertex;
use crate::model::percent::{self, COMPONENT};

/// Names of calls and results, as both of Google's JSON spellings have them.
const WITH_IDS: [&str; 4] = [
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
];

/// The members of a request whose tokens are counted. Others are refused.
const COUNTED: [&str; 6] = [
    "contents",
    "systemInstruction",
    "system_instruction",
    "tools",
    "generationConfig",
    "generation_config",
];

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    credentials: &ServiceAccount,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    own_agent(&mut headers, &account.account)?;
    headers.insert(
        header::AUTHORIZATION,
        requested_token(credentials.access_token.as_ref())?,
    );
    let (surface, method) = generative(call)?;
    let version = if surface == Surface::V1 { "v1" } else { "v1beta1" };
    let model = account.mapped_model(&call.model).unwrap_or(&call.model);
    let model = percent::encoded(model, COMPONENT);
    let ServiceAccount { project, region, .. } = credentials;
    let base = vertex::address(region, credentials.base_url.as_deref());
    let url = format!(
        "{base}/{version}/projects/{project}/locations/{region}/publishers/google/models/{model}:{method}"
    );
    let url = with_query(call, &ALLOWED, url);
    let inner = match surface {
        Surface::Internal => Some(taken_out(call)?),
        Surface::V1 | Surface::V1Beta => None,
    };
    let is_count = matches!(call.endpoint, Endpoint::CountContent(_));
    match fitted(inner.as_ref().unwrap_or(&call.body), is_count).or(inner) {
        Some(body) => send(&url, headers, body),
        None => post(call, &url, headers, Vec::new()),
    }
}

/// The body in Vertex' form. `None` if it is that already, or no JSON.
fn fitted(body: &[u8], is_count: bool) -> Option<Bytes> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let mut changed = false;
    if is_count {
        let names = ["generateContentRequest", "generate_content_request"];
        let members = body.as_object_mut()?;
        if let Some(Value::Object(inner)) = names.iter().find_map(|name| members.remove(*name)) {
            *members = inner
                .into_iter()
                .filter(|(name, _)| COUNTED.contains(&name.as_str()))
                .collect();
            changed = true;
        }
    }
    let contents = match body.get_mut("contents") {
        Some(Value::Array(contents)) => contents.as_mut_slice(),
        // A single content is accepted, too.
        Some(content @ Value::Object(_)) => std::slice::from_mut(content),
        _ => &mut [],
    };
    for content in contents.iter_mut().filter_map(Value::as_object_mut) {
        changed |= fit(content);
    }
    changed.then(|| body.to_string().into())
}

/// Returns whether the content was changed.
fn fit(content: &mut Map<String, Value>) -> bool {
    let mut changed = false;
    if !content.contains_key("role") {
        content.insert("role".to_owned(), "user".into());
        changed = true;
    }
    let parts = match content.get_mut("parts") {
        Some(Value::Array(parts)) => parts.as_mut_slice(),
        Some(part @ Value::Object(_)) => std::slice::from_mut(part),
        _ => &mut [],
    };
    for part in parts {
        for name in WITH_IDS {
            let call = part.get_mut(name).and_then(Value::as_object_mut);
            changed |= call.is_some_and(|call| call.remove("id").is_some());
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(body: &Value, is_count: bool) -> Option<Value> {
        let fitted = fitted(body.to_string().as_bytes(), is_count)?;
        Some(serde_json::from_slice(&fitted).unwrap())
    }

    #[test]
    fn a_body_in_vertex_form_is_left_alone() {
        for body in [
            json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }], "x": 1.5 }),
            json!({ "contents": [] }),
            json!({}),
            json!([1]),
        ] {
            assert_eq!(fits(&body, false), None, "{body}");
        }
        assert_eq!(fitted(b"{", false), None);
    }

    #[test]
    fn roles_are_added_and_ids_removed() {
        let body = json!({
            "contents": [
                { "parts": [{ "text": "hi" }] },
                { "role": "model", "parts": [{ "functionCall": { "id": "1", "name": "f", "args": { "id": 2 } } }] },
                { "role": "user", "parts": [{ "function_response": { "id": "1", "name": "f", "response": {} } }] },
            ],
            "systemInstruction": { "parts": [{ "text": "You help." }] },
        });
        let expected = json!({
            "contents": [
                { "role": "user", "parts": [{ "text": "hi" }] },
                { "role": "model", "parts": [{ "functionCall": { "name": "f", "args": { "id": 2 } } }] },
                { "role": "user", "parts": [{ "function_response": { "name": "f", "response": {} } }] },
            ],
            "systemInstruction": { "parts": [{ "text": "You help." }] },
        });
        assert_eq!(fits(&body, false), Some(expected));
        let single = json!({ "contents": { "parts": { "text": "hi" } } });
        let expected = json!({ "contents": { "role": "user", "parts": { "text": "hi" } } });
        assert_eq!(fits(&single, true), Some(expected));
    }

    #[test]
    fn a_count_of_a_whole_request_is_one_of_its_members() {
        let body = json!({ "generateContentRequest": {
            "model": "models/gemini-2.5-pro", "contents": [{ "role": "user", "parts": [] }], "tools": [],
            "safetySettings": [],
        } });
        let expected = json!({ "contents": [{ "role": "user", "parts": [] }], "tools": [] });
        assert_eq!(fits(&body, true), Some(expected));
    }
}
