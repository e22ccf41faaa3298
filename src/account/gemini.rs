//! Gemini's accounts: keys of the Gemini API, service accounts for Vertex AI, and Google logins, which Code Assist
//! (`v1internal`) serves.
//!
//! API keys use the Gemini API, service accounts Vertex' form of it, logins Code Assist, and a client may speak either. If they differ, the call is
//! wrapped in an envelope or unwrapped, and so is each piece of the answer.

pub(super) mod request;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};

use super::sign_in::{self, GoogleClient, NoSignIn, SignIn};
use super::{Accounts, Opening, RefreshOutcome, Trial, Unsendable, Verdict, google, oauth};
use crate::config::Config;
use crate::dialect::answer::Rewrite;
use crate::dialect::call::{Call, Endpoint, Surface};
use crate::dialect::gemini::envelope;
use crate::dialect::meter::streams;
use crate::dialect::{self, Dialect};
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{Account, AccountKind, Grant, Platform};
use crate::model::name::ModelName;

pub struct Gemini;

impl Accounts for Gemini {
    fn platform(&self) -> Platform {
        Platform::Gemini
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::gemini::Gemini
    }

    fn service(&self) -> Service {
        Service::Gemini
    }

    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Generate(_) | Endpoint::CountContent(_) => true,
            // They concern the Google account of a login.
            Endpoint::Assist(_) => kind == AccountKind::Login,
            _ => false,
        }
    }

    fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        request::lookup(call, account, config)
    }

    fn looked_up(&self, body: &[u8]) -> Result<String, String> {
        google::project::read(body).ok_or_else(|| {
            "the Google account has no project for Code Assist yet: log in with Gemini CLI once, or set the account's tenant".to_owned()
        })
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
        _now: Millis,
    ) -> Result<Request<Bytes>, Unsendable> {
        request::build(call, account, config)
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

    fn passes_back(&self, name: &HeaderName) -> bool {
        *name == header::CONTENT_TYPE || *name == header::RETRY_AFTER || *name == header::CACHE_CONTROL
    }

    fn rewrite(&self, call: &Call, account: &LiveAccount, headers: &HeaderMap) -> Option<Box<dyn Rewrite>> {
        let Endpoint::Generate(surface) = call.endpoint else {
            return None;
        };
        let into = match (surface, &account.credentials) {
            (Surface::Internal, Credentials::ApiKey { .. } | Credentials::ServiceAccount(_)) => {
                envelope::Into::Envelope
            }
            (Surface::V1 | Surface::V1Beta, Credentials::OAuth { .. }) => envelope::Into::Plain,
            _ => return None,
        };
        Some(envelope::rewriter(into, streams(headers)))
    }

    /// Google limits each model separately.
    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        model.canonical()
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        let google = &config.gemini;
        let client = GoogleClient {
            variables: "GEMINI_OAUTH",
            id: google.oauth_client_id.as_deref(),
            secret: google.oauth_client_secret.as_ref(),
            redirect_uri: &google.oauth_redirect,
            scope: SCOPE,
        };
        sign_in::google(grant, google, client)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        let client = &config.gemini;
        google::refresh_request(
            &client.oauth_url,
            refresh_token,
            client.oauth_client_id.as_deref(),
            client.oauth_client_secret.as_ref(),
        )
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
        oauth::refreshed(status, body, now)
    }

    fn trial(&self, _account: &Account, model: Option<String>) -> Trial {
        Trial {
            endpoint: Endpoint::Generate(Surface::V1Beta),
            model: model.unwrap_or_else(|| TRIAL_MODEL.to_owned()),
            body: serde_json::json!({
                "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }],
                "generationConfig": { "maxOutputTokens": 1 },
            }),
            stream: false,
        }
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
        let first = answer.pointer("/candidates/0")?;
        // A single token may be spent on thinking, without any text.
        let text = first
            .pointer("/content/parts/0/text")
            .and_then(|text| text.as_str());
        Some(text.unwrap_or_default().to_owned())
    }
}

/// Code Assist, and the email address of the account's owner.
const SCOPE: &str =
    "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email";

/// A cheap model that keys and logins have.
const TRIAL_MODEL: &str = "gemini-2.5-flash";
