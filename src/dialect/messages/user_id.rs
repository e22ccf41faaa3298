//! Finds the session of a Claude client's call.
//!
//! Source: measured with Claude Code 2.1.197 and 2.1.330; the older form as in claude-relay-service.

use std::borrow::Cow;

use serde::Deserialize;

use crate::dialect::body::mended;

/// The client's session id in the raw value of `metadata`, if its `user_id` contains one. Claude Code writes the
/// `user_id` as JSON text with a `session_id` (2.1 and later), and before as
/// `user_<hash>_account_<uuid>_session_<uuid>`.
pub fn session_id(metadata: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct UserId<'a> {
        #[serde(borrow)]
        session_id: Cow<'a, str>,
    }
    let metadata = mended(metadata);
    let metadata: Metadata<'_> = serde_json::from_slice(&metadata).ok()?;
    let user = metadata.user_id.trim();
    let session = if user.starts_with('{') {
        serde_json::from_slice::<UserId<'_>>(&mended(user.as_bytes()))
            .ok()?
            .session_id
            .into_owned()
    } else {
        user.rsplit_once("_session_")?.1.to_owned()
    };
    let fits = (1..=128).contains(&session.len())
        && session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    fits.then_some(session)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let id = "0b0e1ae2-7f5f-4d2e-9f5b-7f1f0a2c3d4e";
        let new = json!({"device_id": "ab".repeat(32), "account_uuid": "", "session_id": id}).to_string();
        let old = format!("user_{}_account__session_{id}", "c".repeat(64));
        for user_id in [new, old] {
            let metadata = json!({"user_id": user_id}).to_string();
            assert_eq!(session_id(metadata.as_bytes()).as_deref(), Some(id), "{metadata}");
        }
    }

    #[test]
    fn what_names_no_session_is_none() {
        for metadata in [
            json!({"user_id": "someone"}),
            json!({"user_id": "user_1_account__session_"}),
            json!({"user_id": "{\"device_id\":\"x\"}"}),
            json!({"user_id": "{broken"}),
            json!({"user_id": "a_session_with spaces"}),
            json!({"user_id": format!("a_session_{}", "x".repeat(200))}),
            json!({"user_id": 5}),
            json!({}),
            json!(null),
            json!([1]),
        ] {
            assert_eq!(session_id(metadata.to_string().as_bytes()), None, "{metadata}");
        }
        assert_eq!(session_id(b"{\"user_id\":\"x_session_y"), None);
    }
}
