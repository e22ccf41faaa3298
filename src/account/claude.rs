//! Claude's accounts: official API keys, keys of compatible hosts, keys of Amazon Bedrock, service accounts at Google
//! Vertex AI, and logins.

mod bedrock;
pub(super) mod headers;
mod judge;
mod quota;
mod request;
mod vertex;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool::QuotaWindow;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};

use super::sign_in::{self, Exchange, NoSignIn, SignIn};
use super::{Accounts, Opening, RefreshOutcome, Trial, Unsendable, Verdict, oauth, trial};
use crate::config::Config;
use crate::dialect::Dialect;
use crate::dialect::answer::BodyReader;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::Messages;
use crate::dialect::wire::marks;
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, AccountKind, Grant, Platform};
use crate::model::name::ModelName;

/// Prefix of the OAuth settings' variables.
const VARIABLES: &str = "CLAUDE_OAUTH";

/// Model families with their own limits.
const FAMILIES: [&str; 3] = ["opus", "sonnet", "haiku"];

pub struct Claude;

impl Accounts for Claude {
    fn platform(&self) -> Platform {
        Platform::Claude
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &Messages
    }

    fn service(&self) -> Service {
        Service::Claude
    }

    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Messages => true,
            Endpoint::CountTokens => kind != AccountKind::BedrockRuntime,
            _ => false,
        }
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
        now: Millis,
    ) -> Result<Request<Bytes>, Unsendable> {
        request::build(call, account, config, now)
    }

    fn edits_long(&self, call: &Call) -> bool {
        marks::are_in(&call.body)
    }

    fn judge(
        &self,
        model: &ModelName,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        judge::answer(self.family(model), status, headers, body, now)
    }

    fn reader(
        &self,
        endpoint: Endpoint,
        account: &LiveAccount,
        headers: &HeaderMap,
    ) -> Option<Box<dyn BodyReader>> {
        bedrock::reader(endpoint, account, headers)
    }

    fn translated_error(&self, status: StatusCode, headers: &HeaderMap, error: &[u8]) -> Option<Bytes> {
        judge::translated(status, headers, error)
    }

    fn judge_opening(&self, _model: &ModelName, first: &[u8], _now: Millis) -> Opening {
        judge::opening(first)
    }

    fn quota(&self, _model: &ModelName, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
        quota::read(headers, now)
    }

    fn passes_back(&self, name: &HeaderName) -> bool {
        *name == header::CONTENT_TYPE
            || *name == header::RETRY_AFTER
            || *name == header::CACHE_CONTROL
            || name.as_str() == "request-id"
            || name.as_str() == "x-should-retry"
            // Not `anthropic-organization-id`: clients must not learn which account serves them.
            || name.as_str().starts_with("anthropic-ratelimit-")
    }

    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        let model = model.canonical();
        FAMILIES
            .into_iter()
            .find(|family| model.contains(family))
            .unwrap_or(model)
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        let claude = &config.claude;
        let (scope, lifetime) = match grant {
            Grant::OAuth => ("org:create_api_key user:profile user:inference", None),
            // One year, Anthropic's maximum.
            Grant::SetupToken => ("user:inference", Some(31_536_000)),
        };
        Ok(SignIn {
            variables: VARIABLES,
            page: &claude.oauth_page,
            // Makes the page show the code, because nothing listens at the redirect address.
            page_more: &[("code", "true")],
            scope,
            client_id: sign_in::client_id(VARIABLES, claude.oauth_client_id.as_deref())?,
            client_secret: None,
            redirect_uri: &claude.oauth_redirect,
            token_url: &claude.oauth_url,
            exchange: Exchange::Json { lifetime },
        })
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        let client = config.claude.oauth_client_id.as_deref();
        oauth::json_request(&config.claude.oauth_url, refresh_token, client)
            .ok_or_else(|| "CLAUDE_OAUTH_URL is not a valid address".to_owned())
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
        oauth::refreshed(status, body, now)
    }

    fn trial(&self, _account: &Account, model: Option<String>) -> Trial {
        trial::messages(model.unwrap_or_else(|| TRIAL_MODEL.to_owned()))
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        trial::message_words(answer)
    }
}

/// The cheapest model that every Claude account has.
const TRIAL_MODEL: &str = "claude-haiku-4-5";
