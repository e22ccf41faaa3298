//! Builds requests to the Gemini API or to Code Assist.
//!
//! If client and account use the same API, the body is forwarded unchanged except for the mapped model and the
//! project. Otherwise the inner request is moved to the other envelope byte for byte; only fields that the Gemini
//! API refuses are dropped.

mod vertex;

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderName};
use serde_json::Value;

use crate::account::Unsendable;
use crate::account::allowed::{Allowed, Parameter};
use crate::account::google::project;
use crate::account::outgoing::{bearer, client_headers, own_headers, post, secret, send, with_query};
use crate::config::Config;
use crate::dialect::body::{Edit, Field, Fields, Span, patch, scan};
use crate::dialect::call::{Assist, Call, Endpoint, Surface};
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::percent::{self, PATH};

/// Headers by which Gemini CLI and Google's SDKs identify themselves, and the system parameters of Google's APIs
/// for answer forms that the relay can read. Not `fields`: an answer without usage could not be metered. Not
/// `x-goog-request-params`: it repeats parts of the path and body, into which the relay writes the account's
/// values.
pub const ALLOWED: Allowed = Allowed {
    query: &[
        Parameter {
            name: "alt",
            values: &FORMS,
        },
        Parameter {
            name: "$alt",
            values: &FORMS,
        },
        Parameter {
            name: "prettyPrint",
            values: &["true", "false"],
        },
        Parameter {
            name: "$prettyPrint",
            values: &["true", "false"],
        },
    ],
    headers: &[
        "user-agent",
        "x-goog-api-client",
        "x-gemini-api-privileged-user-id",
        "x-server-timeout",
        "accept-language",
    ],
    families: &[],
};

/// Google's Python clients request enums as numbers.
const FORMS: [&str; 3] = ["sse", "json", "json;enum-encoding=int"];

const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

pub(super) fn build(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
) -> Result<Request<Bytes>, Unsendable> {
    let mut headers = client_headers(call, &ALLOWED);
    match &account.credentials {
        Credentials::ApiKey { api_key, base_url } => {
            headers.insert(X_GOOG_API_KEY, secret(api_key.reveal())?);
            let base = base_url.as_deref().unwrap_or(&config.gemini.api_url);
            let (surface, method) = generative(call)?;
            let version = if surface == Surface::V1 { "v1" } else { "v1beta" };
            let model = percent::encoded(account.mapped_model(&call.model).unwrap_or(&call.model), PATH);
            let url = format!("{}/{version}/models/{model}:{method}", plain_base(base));
            let url = with_query(call, &ALLOWED, url);
            match surface {
                Surface::Internal => send(&url, headers, taken_out(call)?),
                Surface::V1 | Surface::V1Beta => post(call, &url, headers, Vec::new()),
            }
        }
        Credentials::ServiceAccount(credentials) => vertex::build(call, account, credentials),
        Credentials::AccessKeys(_) | Credentials::EntraApp(_) => Err(Unsendable::not_for_this_platform()),
        Credentials::OAuth {
            access_token, tenant, ..
        } => {
            headers.insert(header::AUTHORIZATION, bearer(access_token)?);
            let mapped = account.mapped_model(&call.model);
            if let Endpoint::Assist(assist) = call.endpoint {
                let url = with_query(call, &ALLOWED, internal(config, assist_method(assist)));
                if let Some(body) = without_own_project(call, assist, tenant.as_deref()) {
                    return send(&url, headers, body);
                }
                return post(call, &url, headers, project_edit(call, tenant.as_deref(), false));
            }
            let (surface, method) = generative(call)?;
            let url = with_query(call, &ALLOWED, internal(config, method));
            match surface {
                Surface::Internal => {
                    let mut edits = project_edit(call, tenant.as_deref(), takes_project(call));
                    edits.extend(mapped.and_then(|mapped| model_edit(call, mapped)));
                    post(call, &url, headers, edits)
                }
                Surface::V1 | Surface::V1Beta => {
                    let model = mapped.unwrap_or(&call.model);
                    send(&url, headers, put_in(call, model, tenant.as_deref()))
                }
            }
        }
    }
}

/// The request for the account's project, if the call needs one and it is unknown.
pub(super) fn lookup(
    call: &Call,
    account: &LiveAccount,
    config: &Config,
) -> Option<Result<Request<Bytes>, Unsendable>> {
    let Credentials::OAuth {
        access_token,
        tenant: None,
        ..
    } = &account.credentials
    else {
        return None;
    };
    let needed = match call.endpoint {
        Endpoint::Generate(_) => true,
        // Clients use these to find out themselves.
        Endpoint::Assist(Assist::LoadCodeAssist | Assist::OnboardUser) => false,
        // The client sends one, which may be another account's.
        _ => call.fields.span(Field::Project).is_some(),
    };
    needed.then(|| {
        let mut headers = own_headers();
        headers.insert(header::AUTHORIZATION, bearer(access_token)?);
        project::ask(&internal(config, "loadCodeAssist"), headers)
    })
}

fn internal(config: &Config, method: &str) -> String {
    format!("{}/v1internal:{method}", config.gemini.code_assist_url)
}

fn generative(call: &Call) -> Result<(Surface, &'static str), Unsendable> {
    match call.endpoint {
        Endpoint::Generate(surface) if call.stream => Ok((surface, "streamGenerateContent")),
        Endpoint::Generate(surface) => Ok((surface, "generateContent")),
        Endpoint::CountContent(surface) => Ok((surface, "countTokens")),
        other => Err(Unsendable::not_served(other)),
    }
}

fn assist_method(assist: Assist) -> &'static str {
    match assist {
        Assist::LoadCodeAssist => "loadCodeAssist",
        Assist::OnboardUser => "onboardUser",
        Assist::RetrieveUserQuota => "retrieveUserQuota",
        Assist::ListExperiments => "listExperiments",
        Assist::FetchAvailableModels => "fetchAvailableModels",
    }
}

fn takes_project(call: &Call) -> bool {
    matches!(call.endpoint, Endpoint::Generate(_))
}

/// Replaces the client's project by the account's. `needed`: if the client sends none, it is inserted first.
fn project_edit(call: &Call, project: Option<&str>, needed: bool) -> Vec<Edit> {
    let Some(project) = project else {
        return Vec::new();
    };
    match call.fields.span(Field::Project) {
        Some(span) => vec![Edit::text(span, project)],
        None if needed => {
            let text = format!("\"project\":{},", Value::from(project));
            vec![first_member(&call.body, text)]
        }
        None => Vec::new(),
    }
}

/// A client's start-up call with the account's project in place of its own, or without a project if the account's
/// is unknown: Google refuses an account that asks for a foreign project. `None` if the call has no project.
/// Members are found in both spellings that Google's JSON parser accepts.
fn without_own_project(call: &Call, assist: Assist, project: Option<&str>) -> Option<Bytes> {
    const NAMES: [&str; 4] = [
        "cloudaicompanionProject",
        "cloudaicompanion_project",
        "duetProject",
        "duet_project",
    ];
    if !matches!(assist, Assist::LoadCodeAssist | Assist::OnboardUser) {
        return None;
    }
    let mut body: Value = serde_json::from_slice(&call.body).ok()?;
    let mut named = false;
    let outer = body.as_object_mut()?;
    let mut replace = |members: &mut serde_json::Map<String, Value>| {
        for name in NAMES {
            if members.remove(name).is_some() {
                named = true;
                if let Some(project) = project {
                    members.insert(name.to_owned(), Value::from(project));
                }
            }
        }
    };
    replace(outer);
    if let Some(Value::Object(metadata)) = outer.get_mut("metadata") {
        replace(metadata);
    }
    named.then(|| body.to_string().into())
}

/// Inserts a member before all others. `text` ends with a comma, which is removed for an empty object.
fn first_member(object: &[u8], text: String) -> Edit {
    let start = object
        .iter()
        .position(|byte| *byte == b'{')
        .map_or(0, |at| at + 1);
    let rest = object.get(start..).unwrap_or_default().trim_ascii_start();
    Edit {
        span: Span { start, end: start },
        with: if rest.starts_with(b"}") {
            text.trim_end_matches(',').to_owned()
        } else {
            text
        },
    }
}

/// Edits the model's name in an envelope: beside the request, or inside of it for token counts.
fn model_edit(call: &Call, mapped: &str) -> Option<Edit> {
    if let Some(span) = call.fields.span(Field::Model) {
        return Some(Edit::text(span, mapped));
    }
    let outer = call.fields.span(Field::Request)?;
    let inner = outer.of(&call.body);
    let span = scan(inner).ok()?.span(Field::Model)?;
    let named = span.of(inner);
    let model = if named.starts_with(b"\"models/") {
        format!("models/{mapped}")
    } else {
        mapped.to_owned()
    };
    Some(Edit::text(span.moved(outer.start), &model))
}

/// Wraps the client's call in Code Assist's envelope.
fn put_in(call: &Call, model: &str, project: Option<&str>) -> Bytes {
    if let Endpoint::CountContent(_) = call.endpoint {
        let model = format!("\"model\":{},", Value::from(format!("models/{model}")));
        let inner = patch(&call.body, vec![first_member(&call.body, model)]);
        return [b"{\"request\":", &inner[..], b"}"].concat().into();
    }
    let mut head = format!("{{\"model\":{}", Value::from(model));
    if let Some(project) = project {
        head = format!("{head},\"project\":{}", Value::from(project));
    }
    head.push_str(",\"request\":");
    [head.as_bytes(), &call.body, b"}"].concat().into()
}

/// Unwraps the call from Code Assist's envelope and drops the fields that only Code Assist knows: the Gemini API
/// refuses unknown fields.
fn taken_out(call: &Call) -> Result<Bytes, Unsendable> {
    let missing = || Unsendable::Call("The request's body has no object `request`.".to_owned());
    let span = call.fields.span(Field::Request).ok_or_else(missing)?;
    let mut inner = Bytes::copy_from_slice(span.of(&call.body));
    for field in [Field::SessionId, Field::Model] {
        let fields: Fields = scan(&inner).map_err(|_| missing())?;
        let member = fields.whole_member(field, &inner);
        inner = patch(&inner, member.map(Edit::cut).into_iter().collect());
    }
    Ok(inner)
}

/// Operators paste whole endpoints; the version and path are removed here.
fn plain_base(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/models").unwrap_or(base);
    base.strip_suffix("/v1beta")
        .or_else(|| base.strip_suffix("/v1"))
        .unwrap_or(base)
}

#[cfg(test)]
mod tests;
