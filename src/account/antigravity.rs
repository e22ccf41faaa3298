//! Antigravity's accounts: Google logins, called like Code Assist but with their own envelope.
//!
//! The envelope names the calling program. That is this relay, unless the operator sets `ANTIGRAVITY_USER_AGENT`.
//! There are models of Gemini and of other vendors, all called in Gemini's form.

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use http::header::{self, HeaderValue};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::account::outgoing::{bearer, own_headers, send};
use crate::account::sign_in::{self, GoogleClient, NoSignIn, SignIn};
use crate::account::{Accounts, Opening, RefreshOutcome, Trial, Unsendable, Verdict, google, oauth, trial};
use crate::config::Config;
use crate::dialect::call::{Assist, Call, Endpoint, request_id};
use crate::dialect::{self, Dialect};
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{Account, AccountKind, Grant, Platform};
use crate::model::name::ModelName;
use crate::model::secret::Secret;

/// The scopes that Antigravity's own programs request, and the one for the owner's email address.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform \
    https://www.googleapis.com/auth/userinfo.email \
    https://www.googleapis.com/auth/userinfo.profile \
    https://www.googleapis.com/auth/cclog \
    https://www.googleapis.com/auth/experimentsandconfigs";

const REQUEST_TYPE: HeaderName = HeaderName::from_static("requesttype");

pub struct Antigravity;

impl Accounts for Antigravity {
    fn platform(&self) -> Platform {
        Platform::Antigravity
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::gemini::Gemini
    }

    /// Antigravity has no permission of its own: its models are called in Gemini's form.
    fn service(&self) -> Service {
        Service::Gemini
    }

    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool {
        let served = matches!(
            endpoint,
            Endpoint::Generate(_)
                | Endpoint::CountContent(_)
                | Endpoint::Assist(Assist::FetchAvailableModels)
        );
        served && kind == AccountKind::Login
    }

    fn lookup(
        &self,
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
        matches!(call.endpoint, Endpoint::Generate(_)).then(|| {
            let headers = headers(access_token, config)?;
            google::project::ask(&address(config, "loadCodeAssist"), headers)
        })
    }

    fn looked_up(&self, body: &[u8]) -> Result<String, String> {
        google::project::read(body).ok_or_else(|| {
            "the Google account has no project for Antigravity yet: log in with Antigravity once, or set the account's tenant".to_owned()
        })
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
        _now: Millis,
    ) -> Result<Request<Bytes>, Unsendable> {
        let Credentials::OAuth {
            access_token, tenant, ..
        } = &account.credentials
        else {
            let why = "Antigravity accepts only logins, no API keys";
            return Err(Unsendable::Account(why.to_owned()));
        };
        let mut headers = headers(access_token, config)?;
        let project = tenant.as_deref();
        let (method, body) = match call.endpoint {
            Endpoint::Generate(_) => {
                headers.insert(REQUEST_TYPE, HeaderValue::from_static("agent"));
                let method = if call.stream {
                    "streamGenerateContent?alt=sse"
                } else {
                    "generateContent"
                };
                (method, envelope(call, account, project, config)?)
            }
            Endpoint::CountContent(_) => ("countTokens", call.body.clone()),
            Endpoint::Assist(Assist::FetchAvailableModels) => {
                let body = project.map(|project| serde_json::json!({ "project": project }).to_string());
                (
                    "fetchAvailableModels",
                    body.unwrap_or_else(|| "{}".to_owned()).into(),
                )
            }
            other => return Err(Unsendable::not_served(other)),
        };
        send(&address(config, method), headers, body)
    }

    fn judge(
        &self,
        model: &ModelName,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        google::judge::answer(self.family(model), status, headers, body, now)
    }

    fn judge_opening(&self, model: &ModelName, first: &[u8], now: Millis) -> Opening {
        google::judge::opening(self.family(model), first, now)
    }

    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        model.canonical()
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        let antigravity = &config.antigravity;
        let client = GoogleClient {
            variables: "ANTIGRAVITY_OAUTH",
            id: antigravity.oauth_client_id.as_deref(),
            secret: antigravity.oauth_client_secret.as_ref(),
            redirect_uri: &antigravity.oauth_redirect,
            scope: SCOPE,
        };
        sign_in::google(grant, &config.gemini, client)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        let client = &config.antigravity;
        google::refresh_request(
            &config.gemini.oauth_url,
            refresh_token,
            client.oauth_client_id.as_deref(),
            client.oauth_client_secret.as_ref(),
        )
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
        oauth::refreshed(status, body, now)
    }

    /// No client speaks the provider's own protocol, so none of its headers is forwarded.
    fn passes_back(&self, _name: &HeaderName) -> bool {
        false
    }

    fn trial(&self, _account: &Account, model: Option<String>) -> Trial {
        trial::messages(model.unwrap_or_else(|| TRIAL_MODEL.to_owned()))
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        trial::message_words(answer)
    }
}

/// A cheap model that every account has.
const TRIAL_MODEL: &str = "gemini-2.5-flash";

fn address(config: &Config, method: &str) -> String {
    format!("{}/v1internal:{method}", config.antigravity.api_url)
}

fn headers(access_token: &Secret, config: &Config) -> Result<HeaderMap, Unsendable> {
    let mut headers = own_headers();
    headers.insert(header::AUTHORIZATION, bearer(access_token)?);
    if let Some(agent) = &config.antigravity.user_agent {
        headers.insert(header::USER_AGENT, agent.clone());
    }
    Ok(headers)
}

/// The call in Antigravity's envelope.
fn envelope(
    call: &Call,
    account: &LiveAccount,
    project: Option<&str>,
    config: &Config,
) -> Result<Bytes, Unsendable> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        project: Option<&'a str>,
        request_id: String,
        model: &'a str,
        user_agent: &'a str,
        request: &'a RawValue,
    }
    let unreadable = |_| Unsendable::Call("The request's body is not a JSON object.".to_owned());
    let inner = in_session(call);
    let envelope = Envelope {
        project,
        request_id: request_id(call.id),
        model: account.mapped_model(&call.model).unwrap_or(&call.model),
        user_agent: product(config),
        request: serde_json::from_slice(&inner).map_err(unreadable)?,
    };
    serde_json::to_vec(&envelope).map(Bytes::from).map_err(unreadable)
}

/// Adds a session id to the inner request, by which the provider finds its cache. The relay derives its own id,
/// so that the provider does not learn the clients' session names.
fn in_session(call: &Call) -> Bytes {
    let Some(session) = &call.session else {
        return call.body.clone();
    };
    let Some(members) = call.body.strip_prefix(b"{") else {
        return call.body.clone();
    };
    let name = format!("{{\"sessionId\":\"{:016x}\"", session.hash(&call.key));
    let comma: &[u8] = if members.trim_ascii_start().starts_with(b"}") {
        b""
    } else {
        b","
    };
    [name.as_bytes(), comma, members].concat().into()
}

/// The first word of the user agent, without its version.
fn product(config: &Config) -> &str {
    let agent = config.antigravity.user_agent.as_ref();
    let agent = agent.and_then(|agent| agent.to_str().ok());
    let product = agent.and_then(|agent| agent.split(['/', ' ']).next());
    product
        .filter(|product| !product.is_empty())
        .unwrap_or(env!("CARGO_PKG_NAME"))
}

#[cfg(test)]
mod tests;
