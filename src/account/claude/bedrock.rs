//! Differences between Amazon Bedrock's runtime and Anthropic.
//!
//! | module | content |
//! | --- | --- |
//! | `invoke` | requests to InvokeModel and CountTokens |
//! | `events` | reads the streams of InvokeModel |
//! | `count` | reads the answers of CountTokens |
//! | `exception` | the names of errors |

pub(super) mod count;
pub(super) mod events;
pub(super) mod exception;
pub(super) mod invoke;

use http::{HeaderMap, header};
use serde::Deserialize;

use crate::dialect::answer::BodyReader;
use crate::dialect::body::{Edit, Field, mended};
use crate::dialect::call::{Call, Endpoint};
use crate::model::account::amazon::{self, Bedrock};
use crate::model::account::live::{Credentials, LiveAccount};

/// The longest value that the runtime accepts.
const LONGEST: usize = 256;

/// The endpoint of Bedrock that the account is for.
pub(super) fn of(account: &LiveAccount) -> Option<Bedrock> {
    match &account.credentials {
        Credentials::ApiKey { base_url, .. } => base_url.as_deref().and_then(Bedrock::at),
        Credentials::AccessKeys(keys) => Some(Bedrock::of_keys(&keys.region, keys.base_url.as_deref())),
        Credentials::OAuth { .. } | Credentials::ServiceAccount(_) | Credentials::EntraApp(_) => None,
    }
}

/// Reads the successes of InvokeModel that are not in Anthropic's form. A gateway may have read a stream before.
pub(super) fn reader(
    endpoint: Endpoint,
    account: &LiveAccount,
    headers: &HeaderMap,
) -> Option<Box<dyn BodyReader>> {
    match endpoint {
        Endpoint::Messages => {
            let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
            let media = media.split(';').next()?.trim();
            media
                .eq_ignore_ascii_case(events::MEDIA)
                .then(|| Box::<events::Events>::default() as Box<dyn BodyReader>)
        }
        Endpoint::CountTokens => (of(account)?.endpoint == amazon::Endpoint::InvokeModel)
            .then(|| Box::<count::Count>::default() as Box<dyn BodyReader>),
        _ => None,
    }
}

/// Replaces the characters of `metadata.user_id` that the runtime does not accept. Claude Code sends JSON
/// (`dialect::messages::user_id`), which the runtime refuses with 400, "Request metadata contains a value that violates
/// the regular expression".
///
/// Source: the pattern `[a-zA-Z0-9\s:_@$#=/+,-.]{0,256}` of `requestMetadata` in AWS' documentation of Converse. Public
/// threads report that it also applies to the Messages API (agentgateway/agentgateway#1739).
pub(super) fn metadata(call: &Call) -> Option<Edit> {
    #[derive(Deserialize)]
    struct Metadata {
        user_id: String,
    }
    let span = call.fields.span(Field::Metadata)?;
    let raw = call.body.get(span.start..span.end)?;
    let metadata: Metadata = serde_json::from_slice(&mended(raw)).ok()?;
    let user_id = accepted(&metadata.user_id);
    (user_id != metadata.user_id).then(|| Edit {
        span,
        with: serde_json::json!({ "user_id": user_id }).to_string(),
    })
}

fn accepted(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    let plain = text.chars().map(|c| if fits(c) { c } else { '_' });
    plain.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_id_has_only_accepted_characters() {
        assert_eq!(
            accepted(r#"{"device_id":"ab12","session_id":"0b0e-4d2e"}"#),
            "__device_id_:_ab12_,_session_id_:_0b0e-4d2e__"
        );
        assert_eq!(
            accepted("user_ab_account__session_0b0e"),
            "user_ab_account__session_0b0e"
        );
        assert_eq!(accepted(&"é".repeat(300)), "_".repeat(256));
    }
}
