//! The Google Cloud project that an account's calls are billed to. It is looked up once.

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::account::Unsendable;
use crate::account::outgoing::send;

/// The request for the project. `url`: of `loadCodeAssist`; `headers`: the relay's own, with the account's token.
pub(crate) fn ask(url: &str, headers: HeaderMap) -> Result<Request<Bytes>, Unsendable> {
    // The relay is neither an IDE nor a plug-in.
    let body = json!({ "metadata": { "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED" } });
    send(url, headers, body.to_string().into())
}

/// The project in the answer; `None` if the account has none yet.
pub(crate) fn read(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let project = answer.get("cloudaicompanionProject");
    let id = project.and_then(|project| project.as_str().or_else(|| project.get("id")?.as_str()));
    id.filter(|id| (1..=100).contains(&id.len())).map(str::to_owned)
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
            assert_eq!(read(body.as_bytes()).as_deref(), Some("proj-1"));
        }
        for body in ["{}", "", r#"{"cloudaicompanionProject":""}"#, "[]"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
