//! Microsoft Entra's token endpoint: gives access tokens to applications, and refuses in Entra's words.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::json;

use super::FakeProvider;
use super::oauth::field;
use super::request::Request;
use super::script::Script;

const PATH: &str = "/oauth2/v2.0/token";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// Starts every access token of an application.
const ACCESS: &str = "eyJ0eXAiOiJKV1QifQ.fake-";
/// Lifetime of a token, seconds.
const LIFETIME: u64 = 3599;

#[derive(Default)]
pub(super) struct EntraState {
    /// Secrets by tenant and application.
    apps: HashMap<(String, String), String>,
    access: HashSet<String>,
    granted: usize,
    lifetime: Option<u64>,
    delay: Duration,
}

/// Whether this is the path of the token endpoint of a tenant.
pub(super) fn is_token(path: &str) -> bool {
    tenant(path).is_some()
}

fn tenant(path: &str) -> Option<&str> {
    let tenant = path.strip_prefix('/')?.strip_suffix(PATH)?;
    (!tenant.contains('/')).then_some(tenant)
}

impl EntraState {
    pub(super) fn knows(&self, token: &str) -> bool {
        self.access.contains(token)
    }

    /// Answers a request for a token, if it is one to a tenant's endpoint.
    pub(super) fn grant(&mut self, request: &Request) -> Option<Script> {
        let tenant = tenant(request.path())?;
        let field = |name: &str| field(request, name).unwrap_or_default();
        let client = field("client_id");
        let answer = if field("grant_type") != "client_credentials" || field("scope") != SCOPE {
            let why = "AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a \
                       scope value with /.default suffixed to the resource identifier (application ID URI).";
            refusal(400, "invalid_scope", why)
        } else if !self.apps.keys().any(|(known, _)| known == tenant) {
            let why = format!(
                "AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are \
                 signing into the correct cloud."
            );
            refusal(400, "invalid_tenant", &why)
        } else {
            match self.apps.get(&(tenant.to_owned(), client.clone())) {
                None => {
                    let why = format!(
                        "AADSTS700016: Application with identifier '{client}' was not found in the directory '{tenant}'."
                    );
                    refusal(400, "unauthorized_client", &why)
                }
                Some(secret) if *secret != field("client_secret") => {
                    let why = format!(
                        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is \
                         the client secret value, not the client secret ID, for a secret added to app '{client}'."
                    );
                    refusal(401, "invalid_client", &why)
                }
                Some(_) => self.token(),
            }
        };
        Some(answer.delay_head(self.delay))
    }

    fn token(&mut self) -> Script {
        self.granted += 1;
        let token = format!("{ACCESS}{:08}", self.granted);
        self.access.insert(token.clone());
        let lifetime = self.lifetime.unwrap_or(LIFETIME);
        Script::json(json!({
            "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token,
        }))
    }
}

fn refusal(status: u16, error: &str, why: &str) -> Script {
    const TRACE: &str = "8c95acf1-cc04-40a1-ad14-481862cf1801";
    let code = why.trim_start_matches("AADSTS").split(':').next();
    let code: u32 = code.and_then(|code| code.parse().ok()).unwrap_or_default();
    let description =
        format!("{why}\r\nTrace ID: {TRACE}\r\nCorrelation ID: {TRACE}\r\nTimestamp: 2026-01-09 14:06:14Z");
    Script::json(json!({
        "error": error, "error_description": description, "error_codes": [code], "trace_id": TRACE,
        "correlation_id": TRACE, "timestamp": "2026-01-09 14:06:14Z",
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    }))
    .status(status)
}

impl FakeProvider {
    /// Gives tokens to this application, and refuses all others.
    pub fn takes_entra_app(&self, tenant: &str, client: &str, secret: &str) {
        let app = (tenant.to_owned(), client.to_owned());
        self.shared.state().entra.apps.insert(app, secret.to_owned());
    }

    /// Ends all access tokens of applications.
    pub fn end_entra_tokens(&self) {
        self.shared.state().entra.access.clear();
    }

    /// Lifetime of the next access tokens of applications, seconds.
    pub fn entra_tokens_last(&self, seconds: u64) {
        self.shared.state().entra.lifetime = Some(seconds);
    }

    /// The token endpoint answers applications this much later.
    pub fn delays_entra_tokens(&self, delay: Duration) {
        self.shared.state().entra.delay = delay;
    }

    /// How many access tokens applications have got.
    pub fn entra_tokens(&self) -> usize {
        self.shared.state().entra.granted
    }
}
