//! The header for an API key at its host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Platform, azure};

/// The header that an API key goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum KeyHeader {
    /// Anthropic's, and Amazon Bedrock's for its API keys (AWS documentation, "Inference using Anthropic Messages API").
    #[serde(rename = "x-api-key")]
    XApiKey,
    /// `Bearer` and the key: OpenAI's, and that of most compatible hosts.
    #[serde(rename = "authorization")]
    Authorization,
    /// Azure OpenAI's (Microsoft's documentation, "Azure OpenAI REST API reference"). Its Entra tokens go into
    /// `authorization`.
    #[serde(rename = "api-key")]
    ApiKey,
}

/// Suffixes of Amazon's host names.
const AMAZON: [&str; 2] = [".api.aws", ".amazonaws.com"];

impl KeyHeader {
    /// The best header for a new account; `None` if the platform's default is best. `host`: of its address.
    ///
    /// Hosts compatible with Anthropic issue keys for `ANTHROPIC_AUTH_TOKEN`, which Claude Code sends as
    /// `authorization`. Keys with Anthropic's prefix are treated as Anthropic's, as in claude-relay-service.
    pub fn guessed(platform: Platform, host: &str, key: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let of_amazon = AMAZON.iter().any(|end| host.ends_with(end));
        match platform {
            _ if azure::is_host(&host) => (platform == Platform::OpenAi).then(|| Self::of_azure(key)),
            Platform::Claude if of_amazon || host.ends_with(".anthropic.com") => None,
            Platform::Claude => (!key.starts_with("sk-ant-")).then_some(Self::Authorization),
            _ => None,
        }
    }

    /// The header for this key at Azure: Entra's tokens are JSON Web Tokens, keys are not.
    pub fn of_azure(key: &str) -> Self {
        if key.starts_with("eyJ") {
            Self::Authorization
        } else {
            Self::ApiKey
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_goes_by_the_host_and_the_first_letters_of_the_key() {
        use KeyHeader::{ApiKey, Authorization};
        use Platform::{Claude, Gemini, OpenAi};
        for (platform, host, key, expected) in [
            (Claude, "api.anthropic.com", "sk-ant-1", None),
            (Claude, "api.anthropic.com", "other", None),
            (Claude, "relay.example.com", "sk-ant-1", None),
            (Claude, "api.z.ai", "0123.abc", Some(Authorization)),
            (Claude, "bedrock-mantle.us-east-1.api.aws", "ABSK", None),
            (Claude, "Bedrock-Runtime.eu-west-1.amazonaws.com", "ABSK", None),
            (OpenAi, "mine.openai.azure.com", "k", Some(ApiKey)),
            (OpenAi, "mine.openai.azure.com", "eyJ0.e30.s", Some(Authorization)),
            (OpenAi, "api.deepseek.com", "sk-1", None),
            (Gemini, "x", "k", None),
        ] {
            assert_eq!(KeyHeader::guessed(platform, host, key), expected, "{host} {key}");
        }
    }
}
