//! The request to the Gemini API, or to Code Assist.
//!
//! Between a client and an account of the same protocol the body passes as it came, but for the mapped
//! model's name and the project. Otherwise the call's own part of it is put into the other envelope, byte
//! for byte; left behind is only what the Gemini API refuses to know.

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

/// How Gemini CLI and Google's SDKs identify themselves, and of the system parameters of Google's APIs those
/// about the form of the answer, as far as the relay reads it. Not `fields`: an answer without its usage would
/// go unmeasured. Not `x-goog-request-params`: it repeats what stands in the path and the body, where the
/// relay has written the account's.
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

/// Google's own clients in Python ask for enums as numbers.
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

/// Asks for the account's project, if the call needs one and it is not known.
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
        // These are how a client finds out itself.
        Endpoint::Assist(Assist::LoadCodeAssist | Assist::OnboardUser) => false,
        // The client names one, which may be another account's.
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

/// The account's project in place of the client's. `needed`: where the client names none, it is put first.
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

/// A client's start-up call with the account's project in place of the one that the client has for itself, or
/// with none if the account's is not known: Google refuses an account that asks for a stranger's project.
/// `None`: the call names none. Names as the protocol's JSON has them, and as its reader takes them too.
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

/// A member before all others. `text` ends with a comma, which an empty object does without.
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

/// The model's name where an envelope has it: beside the call, or in it when tokens are counted.
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

/// The client's call in Code Assist's envelope.
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

/// The call out of Code Assist's envelope, without the fields of it that only Code Assist knows: the Gemini
/// API refuses a body with any field it does not know.
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

/// People paste the whole endpoint; version and path are ours to add.
fn plain_base(base: &str) -> &str {
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/models").unwrap_or(base);
    base.strip_suffix("/v1beta")
        .or_else(|| base.strip_suffix("/v1"))
        .unwrap_or(base)
}

#[cfg(test)]
mod tests;
