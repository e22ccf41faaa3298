//! Azure OpenAI's addresses, and the versions of its dated API.
//!
//! | | v1 API | dated API |
//! | --- | --- | --- |
//! | base | `{resource}/openai/v1` | `{resource}/openai` |
//! | `api-version` in the query | none, or `preview` | a date, maybe with `-preview`, required |
//! | Chat Completions | `/chat/completions` | `/deployments/{deployment}/chat/completions` |
//! | Responses | `/responses` | `/responses`, since `2025-03-01-preview` |
//! | `model` in the body | a deployment | a deployment, for Responses |
//!
//! Sources: "Azure OpenAI REST API reference" and "Azure OpenAI API version lifecycle" in Microsoft's documentation; paths:
//! `src/openai/lib/azure.py` of openai/openai-python; the first version with Responses: Aider-AI/aider#4029.

use crate::model::percent::{self, COMPONENT};

/// Suffixes of Azure's host names.
const HOSTS: [&str; 3] = [
    ".openai.azure.com",
    ".services.ai.azure.com",
    ".cognitiveservices.azure.com",
];

/// The first date of a version with Responses.
const RESPONSES_SINCE: &str = "2025-03-01";

/// Whether the host is one of Azure's. In lower case.
pub fn is_host(host: &str) -> bool {
    HOSTS.iter().any(|end| host.ends_with(end))
}

/// Whether the text is a valid version. It becomes a part of a query.
pub fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether the version is one of the dated API and has no Responses.
pub fn lacks_responses(version: &str) -> bool {
    date(version).is_some_and(|date| date < RESPONSES_SINCE)
}

/// The date at the version's beginning. `preview` and `latest` are versions of the v1 API.
fn date(version: &str) -> Option<&str> {
    let date = version.get(..RESPONSES_SINCE.len())?;
    let fits = |(place, byte): (usize, u8)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    date.bytes().enumerate().all(fits).then_some(date)
}

/// Separates the version from an address with a query, as Azure's portal shows it.
pub fn without_version(address: &str) -> Option<(&str, &str)> {
    let (base, query) = address.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, version) = pairs.find(|(name, _)| *name == "api-version")?;
    is_version(version).then_some((base, version))
}

/// A base URL of the operator's, to which paths are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base<'a> {
    /// Up to `/openai`, or `/openai/v1`.
    root: &'a str,
    /// The only deployment, if the address names one.
    pub deployment: Option<&'a str>,
    version: &'a str,
}

impl<'a> Base<'a> {
    /// `base` may be the address of the resource, or of one of its endpoints.
    pub fn of(base: &'a str, version: &'a str) -> Self {
        let base = base.trim_end_matches('/');
        let base = ["/chat/completions", "/responses"]
            .iter()
            .find_map(|end| base.strip_suffix(end))
            .unwrap_or(base);
        let (root, deployment) = match base.rsplit_once("/deployments/") {
            Some((root, deployment)) if !deployment.contains('/') => (root, Some(deployment)),
            _ => (base, None),
        };
        let root = match date(version) {
            Some(_) => root.strip_suffix("/v1").unwrap_or(root),
            None => root,
        };
        Self {
            root,
            deployment: deployment.filter(|deployment| !deployment.is_empty()),
            version,
        }
    }

    /// The address of an endpoint that the dated API has for each deployment.
    pub fn of_deployment(self, deployment: &str, path: &str) -> String {
        match date(self.version) {
            Some(_) => {
                let deployment = percent::encoded(deployment, COMPONENT);
                self.address(&format!("/deployments/{deployment}{path}"))
            }
            None => self.address(path),
        }
    }

    /// The address of this endpoint, which does not depend on the deployment.
    pub fn address(self, path: &str) -> String {
        let Self { root, version, .. } = self;
        let root = with_openai(root, date(version).is_none());
        format!("{root}{path}?api-version={version}")
    }
}

/// The base URL with the path that Azure's hosts require, if the operator has given the resource's address alone.
pub fn with_openai(base: &str, is_v1: bool) -> String {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let path = rest.split_once('/').map(|(_, path)| path);
    match (path, is_v1) {
        (None, true) => format!("{base}/openai/v1"),
        (None, false) => format!("{base}/openai"),
        (Some("openai"), true) => format!("{base}/v1"),
        _ => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_found_from_what_people_paste() {
        const DATED: &str = "2025-04-01-preview";
        let chat = "https://r.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2025-04-01-preview";
        let responses = "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview";
        for base in [
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/",
            "https://r.openai.azure.com/openai",
            "https://r.openai.azure.com/openai/v1",
            "https://r.openai.azure.com/openai/responses",
            "https://r.openai.azure.com/openai/deployments/other/chat/completions",
            "https://r.openai.azure.com/openai/deployments/other",
        ] {
            let base = Base::of(base, DATED);
            assert_eq!(
                base.of_deployment("my gpt", "/chat/completions"),
                chat,
                "{base:?}"
            );
            assert_eq!(base.address("/responses"), responses, "{base:?}");
            let named = base.root.ends_with("/openai") && base.deployment.is_some();
            assert_eq!(base.deployment, named.then_some("other"));
        }
        for (base, version, expected) in [
            (
                "https://gateway.example.com/azure/openai/",
                "2024-10-21",
                "https://gateway.example.com/azure/openai/deployments/d/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com",
                "preview",
                "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview",
            ),
            (
                "https://r.openai.azure.com/openai/v1",
                "latest",
                "https://r.openai.azure.com/openai/v1/chat/completions?api-version=latest",
            ),
        ] {
            assert_eq!(
                Base::of(base, version).of_deployment("d", "/chat/completions"),
                expected
            );
        }
    }

    #[test]
    fn versions_are_told_apart() {
        for (version, valid, lacks) in [
            ("2024-10-21", true, true),
            ("2024-12-01-preview", true, true),
            ("2025-03-01-preview", true, false),
            ("2025-04-01-preview", true, false),
            ("preview", true, false),
            ("v1", true, false),
            ("", false, false),
            ("2024-10-21&x=y", false, true),
            ("2024/10/21", false, false),
        ] {
            assert_eq!(is_version(version), valid, "{version}");
            assert_eq!(lacks_responses(version), lacks, "{version}");
        }
    }

    #[test]
    fn a_version_is_taken_from_a_pasted_address() {
        let base = "https://r.openai.azure.com/openai/deployments/d/chat/completions";
        let pasted = format!("{base}?api-version=2025-01-01-preview");
        assert_eq!(without_version(&pasted), Some((base, "2025-01-01-preview")));
        for other in [
            base,
            "https://h/v1?key=k",
            "https://h/v1?api-version=",
            "https://h/v1?api-version=A",
        ] {
            assert_eq!(without_version(other), None, "{other}");
        }
    }
}
