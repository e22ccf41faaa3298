//! The project of Google's cloud that calls of an account are billed to: asked for once.

use bytes::Bytes;
use http::Request;
use http::header;
use serde_json::{Value, json};

use super::request::internal;
use crate::config::Config;
use crate::provider::Unsendable;
use crate::provider::outgoing::{bearer, own_headers, send};
use crate::relay::body::Field;
use crate::relay::call::{Assist, Call, Endpoint};
use crate::store::accounts::{Credentials, LiveAccount};

/// Asks for the project, if the call needs one and the account's is not known.
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
        // The relay asks for itself: it is no IDE and no plug-in.
        let body =
            json!({ "metadata": { "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED" } });
        send(
            &internal(config, "loadCodeAssist"),
            headers,
            body.to_string().into(),
        )
    })
}

pub(super) fn read(body: &[u8]) -> Result<String, String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let project = answer.get("cloudaicompanionProject");
    let id = project.and_then(|project| project.as_str().or_else(|| project.get("id")?.as_str()));
    id.filter(|id| (1..=100).contains(&id.len()))
        .map(str::to_owned)
        .ok_or_else(|| {
            "the Google account has no project for Code Assist yet: log in with Gemini CLI once, or set the account's tenant".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_read_in_both_forms() {
        for body in [
            r#"{"currentTier":{"id":"free-tier"},"cloudaicompanionProject":"proj-1"}"#,
            r#"{"cloudaicompanionProject":{"id":"proj-1","name":"x"}}"#,
        ] {
            assert_eq!(read(body.as_bytes()).as_deref(), Ok("proj-1"));
        }
        for body in ["{}", "", r#"{"cloudaicompanionProject":""}"#, "[]"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
