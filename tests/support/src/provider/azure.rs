//! Azure OpenAI's APIs, v1 and dated: refuses paths, versions, keys and deployments that the resource does not have, as
//! Azure does.

use serde_json::json;

use super::entra::EntraState;
use super::request::Request;
use super::script::Script;
use super::{FakeProvider, Route};

/// The first date of a version with Responses.
const RESPONSES_SINCE: &str = "2025-03-01";

const MISSING: &str = "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
                       minutes, please wait a moment and try again.";
const KEY: &str = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an \
                   active subscription and use a correct regional API endpoint for your resource.";
const TOKEN: &str = "Unauthorized. Access token is missing, invalid, audience is incorrect \
                     (https://cognitiveservices.azure.com), or have expired.";

/// A resource, whose paths begin with `/openai/`.
pub(super) struct AzureResource {
    key: String,
    /// An access token of Entra.
    token: String,
    deployments: Vec<String>,
}

impl AzureResource {
    /// The answer to a request that the resource would not serve.
    pub(super) fn objection(&self, request: &Request, entra: &EntraState) -> Option<Script> {
        let rest = request.path().strip_prefix("/openai/")?;
        match (request.header("api-key"), request.bearer()) {
            (Some(key), None) if key == self.key => {}
            (None, Some(token)) if token == self.token || entra.knows(token) => {}
            (None, Some(_)) => {
                return Some(Script::json(json!({ "statusCode": 401, "message": TOKEN })).status(401));
            }
            _ => return Some(error(401, "401", KEY)),
        }
        let mut versions = request
            .query()
            .split('&')
            .filter_map(|pair| pair.strip_prefix("api-version="));
        let (version, more) = (versions.next().unwrap_or_default(), versions.next());
        let is_dated = version.len() >= 10 && version.starts_with("20");
        let in_path = rest
            .strip_prefix("deployments/")
            .and_then(|rest| rest.strip_suffix("/chat/completions"));
        let in_body = || Some(request.try_json()?["model"].as_str()?.to_owned());
        let deployment = match (Route::of(request), in_path) {
            // The v1 API.
            _ if rest.starts_with("v1/") => in_body().filter(|_| version.is_empty() || version == "preview"),
            _ if !is_dated || more.is_some() => None,
            (Route::ChatCompletions, Some(deployment)) => Some(deployment.to_owned()),
            (Route::Responses, None) if version < RESPONSES_SINCE => {
                let why =
                    "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later";
                return Some(error(400, "BadRequest", why));
            }
            (Route::Responses, None) => in_body(),
            _ => None,
        };
        match deployment {
            None => Some(error(404, "404", "Resource not found")),
            Some(deployment) if self.deployments.contains(&deployment) => None,
            Some(_) => Some(error(404, "DeploymentNotFound", MISSING)),
        }
    }
}

/// An error of Azure.
pub fn error(status: u16, code: &str, message: &str) -> Script {
    Script::json(json!({ "error": { "code": code, "message": message } })).status(status)
}

/// The answer to a call over a deployment's limit of tokens per minute.
pub fn limited(seconds: u32) -> Script {
    let message = format!(
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate \
         limit of your current OpenAI S0 pricing tier. Please retry after {seconds} seconds. Please go here: \
         https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."
    );
    error(429, "429", &message).with_header("retry-after", &seconds.to_string())
}

impl FakeProvider {
    /// From now on the paths below `/openai/` are those of an Azure resource with this key, Entra token and deployments.
    pub fn is_azure(&self, key: &str, token: &str, deployments: &[&str]) {
        self.shared.state().azure = Some(AzureResource {
            key: key.to_owned(),
            token: token.to_owned(),
            deployments: deployments.iter().map(|&name| name.to_owned()).collect(),
        });
    }
}
