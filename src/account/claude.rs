//! Anthropic's Messages protocol, towards official API keys, compatible hosts and OAuth accounts.

mod judge;
mod quota;
mod request;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool::QuotaWindow;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};
use serde::Serialize;

use super::sign_in::{self, Exchange, NoSignIn, SignIn};
use super::{Opening, Provider, Refreshed, Trial, Unsendable, Verdict, oauth};
use crate::config::Config;
use crate::dialect::answer::{Whole, is_object, is_other_form};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::forms;
use crate::dialect::meter::Meter;
use crate::dialect::refusal::Refusal;
use crate::dialect::wire::marks;
use crate::error::{Code, Failure};
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, Grant, Platform};
use crate::model::name::ModelName;

pub use self::request::ALLOWED;

/// How the names of the variables for OAuth begin.
const VARIABLES: &str = "CLAUDE_OAUTH";

/// Model families that have limits of their own.
const FAMILIES: [&str; 3] = ["opus", "sonnet", "haiku"];

pub struct Claude;

impl Provider for Claude {
    fn platform(&self) -> Platform {
        Platform::Claude
    }

    fn service(&self) -> Service {
        Service::Claude
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable> {
        request::build(call, account, config)
    }

    fn converts(&self, call: &Call) -> bool {
        marks::are_in(&call.body)
    }

    fn judge(
        &self,
        _call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        judge::answer(status, headers, body, now)
    }

    fn judge_opening(&self, _call: &Call, first: &[u8], _now: Millis) -> Opening {
        judge::opening(first)
    }

    fn quota(&self, _call: &Call, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
        quota::read(headers, now)
    }

    fn passes_back(&self, name: &HeaderName) -> bool {
        *name == header::CONTENT_TYPE
            || *name == header::RETRY_AFTER
            || *name == header::CACHE_CONTROL
            || name.as_str() == "request-id"
            || name.as_str() == "x-should-retry"
            // Not `anthropic-organization-id`: whose account serves is the operator's business.
            || name.as_str().starts_with("anthropic-ratelimit-")
    }

    fn gathers(&self, call: &Call, headers: &HeaderMap, _first: &[u8]) -> bool {
        call.endpoint == Endpoint::Messages && is_other_form(call, headers)
    }

    fn gathered(&self, call: &Call, _kept: &Extensions, whole: Bytes) -> Result<Whole, String> {
        match (call.stream, is_object(&whole)) {
            (true, true) => forms::streamed(&whole).map(Whole::stream),
            (true, false) => Err("the provider's answer is no message".to_owned()),
            (false, true) => Ok(whole.into()),
            (false, false) => forms::whole(&whole).map(|message| Bytes::from(message).into()),
        }
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        (call.endpoint == Endpoint::Messages).then(|| Meter::for_content_type(kind))
    }

    fn refusal(&self, failure: &Failure, request_id: &str, _now: Millis) -> Refusal {
        Refusal::of(failure, error_body(failure, request_id))
    }

    fn stream_error(&self, _call: &Call, failure: &Failure, request_id: &str) -> Bytes {
        let body = error_body(failure, request_id);
        Bytes::from(format!("event: error\ndata: {body}\n\n"))
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
            // A year, the longest that Anthropic gives.
            Grant::SetupToken => ("user:inference", Some(31_536_000)),
        };
        Ok(SignIn {
            variables: VARIABLES,
            page: &claude.oauth_page,
            // Has the page show the code, as nothing listens at the redirect address.
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
            .ok_or_else(|| "CLAUDE_OAUTH_URL makes no valid address".to_owned())
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
        oauth::refreshed(status, body, now)
    }

    fn trial(&self, _account: &Account, model: Option<String>) -> Trial {
        let model = model.unwrap_or_else(|| TRIAL_MODEL.to_owned());
        Trial {
            endpoint: Endpoint::Messages,
            body: serde_json::json!({ "model": model, "max_tokens": 1, "messages": [{ "role": "user", "content": "Hi" }] }),
            model,
            stream: false,
        }
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
        // A message has a list of blocks. Without one somebody else has answered.
        let first = answer.get("content")?.as_array()?.first();
        let text = first.and_then(|block| block.get("text")?.as_str());
        Some(text.unwrap_or_default().to_owned())
    }
}

/// A model every Claude account may use, and the cheapest of them.
const TRIAL_MODEL: &str = "claude-haiku-4-5";

/// The error object of the Messages API, <https://docs.anthropic.com/en/api/errors>.
fn error_body(failure: &Failure, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Outer<'a> {
        r#type: &'static str,
        error: Inner<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'static str,
        message: &'a str,
    }
    let error = Inner {
        r#type: error_type(failure),
        message: &failure.message,
    };
    // Strings always serialise.
    serde_json::to_string(&Outer {
        r#type: "error",
        error,
        request_id,
    })
    .unwrap_or_default()
}

fn error_type(failure: &Failure) -> &'static str {
    match (failure.code, failure.status.as_u16()) {
        (Code::ProviderOverloaded, _) | (_, 529) => "overloaded_error",
        (_, 400) => "invalid_request_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404 | 405) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (_, 408 | 504) => "timeout_error",
        _ => "api_error",
    }
}
