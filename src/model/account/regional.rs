//! Whether a cloud runs Claude in one region or geography, for which Amazon and Google charge a tenth more than for
//! their global endpoints, since Claude 4.5 (Anthropic's documentation, "Pricing" and "Claude on Vertex AI"; AWS,
//! "Global cross-Region inference").

use super::amazon::Bedrock;
use super::{Account, StoredCredentials};
use crate::model::name::ModelName;

impl Account {
    /// Whether this account's calls of the model run in one region or geography. Mantle names no profile, so its
    /// calls count as regional.
    pub fn is_regional(&self, model: &ModelName) -> bool {
        let bedrock = match &self.credentials {
            StoredCredentials::ServiceAccount { region, .. } => return region != "global",
            StoredCredentials::ApiKey { base_url, .. } => base_url.as_deref().and_then(Bedrock::at),
            StoredCredentials::AccessKeys { region, base_url, .. } => {
                Some(Bedrock::of_keys(region, base_url.as_deref()))
            }
            StoredCredentials::EntraApp { .. } | StoredCredentials::OAuth { .. } => None,
        };
        bedrock.is_some_and(|bedrock| {
            let by_host = bedrock.model(model);
            let sent = self.mapped_model(model).or(by_host.as_deref());
            !is_global(sent.unwrap_or(model.as_str()))
        })
    }
}

/// Whether a name of Bedrock is, or an ARN ends with, a global inference profile.
fn is_global(name: &str) -> bool {
    let profile = name.rsplit_once('/').map_or(name, |(_, profile)| profile);
    profile.starts_with("global.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account(credentials: &Value, mapping: &Value) -> Account {
        let account = json!({
            "id": "a", "name": "a", "platform": "claude", "credentials": credentials, "credentialVersion": 1,
            "priority": 50, "maxConcurrency": 0, "isActive": true, "schedulable": true, "modelMapping": mapping,
            "createdAt": 1, "updatedAt": 1,
        });
        serde_json::from_value(account).unwrap()
    }

    #[test]
    fn only_global_endpoints_are_not_regional() {
        let vertex = |region: &str| json!({ "type": "serviceAccount", "clientEmail": "a@b", "privateKey": "s", "project": "p", "region": region });
        let keys = |region: &str| json!({ "type": "accessKeys", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "s", "region": region });
        let key = |base: &str| json!({ "type": "apiKey", "apiKey": "s", "baseUrl": base });
        let none = json!({});
        for (credentials, mapping, expected) in [
            (vertex("global"), none.clone(), false),
            (vertex("us-east5"), none.clone(), true),
            (vertex("eu"), none.clone(), true),
            (keys("us-east-1"), none.clone(), true),
            // Regions without a profile of their geography have the global one.
            (keys("sa-east-1"), none.clone(), false),
            (
                keys("us-east-1"),
                json!({ "claude-sonnet-5": "global.anthropic.claude-sonnet-5" }),
                false,
            ),
            (
                keys("us-east-1"),
                json!({ "claude-sonnet-5": "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-sonnet-5" }),
                false,
            ),
            (
                keys("sa-east-1"),
                json!({ "claude-sonnet-5": "anthropic.claude-sonnet-5" }),
                true,
            ),
            (
                key("https://bedrock-mantle.us-east-1.api.aws/anthropic"),
                none.clone(),
                true,
            ),
            (key("https://api.anthropic.com"), none.clone(), false),
            (json!({ "type": "apiKey", "apiKey": "s" }), none, false),
        ] {
            let model = ModelName::parse("claude-sonnet-5").unwrap();
            assert_eq!(
                account(&credentials, &mapping).is_regional(&model),
                expected,
                "{credentials} {mapping}"
            );
        }
    }
}
