//! OpenAI's protocols, Responses and Chat Completions, towards API keys of OpenAI and compatible hosts, and
//! towards accounts of ChatGPT, which serve Responses only.

mod judge;
mod oauth;
mod on_messages;
mod quota;
mod rate;
mod reasoning;
mod request;
mod trial;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool::QuotaWindow;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};

use super::sign_in::{NoSignIn, SignIn};
use super::{Opening, Provider, Refreshed, Trial, Unsendable, Verdict};
use crate::config::Config;
use crate::dialect::answer::{Whole, is_other_form};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::{Meter, is_event_stream};
use crate::dialect::refusal::Refusal;
use crate::dialect::wire::marks;
use crate::error::Failure;
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, Grant, Platform};
use crate::model::name::ModelName;

pub use oauth::{expiry, tenant};
pub use on_messages::ChatOnMessages;
pub use request::ALLOWED;

pub struct OpenAi;

impl Provider for OpenAi {
    fn platform(&self) -> Platform {
        Platform::OpenAi
    }

    fn service(&self) -> Service {
        Service::OpenAi
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
        match call.endpoint {
            Endpoint::ChatCompletions => marks::ids::long_in_chat(&call.body),
            _ => marks::ids::long_in_responses(&call.body),
        }
    }

    fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        judge::answer(self.family(&call.model), status, headers, body, now)
    }

    fn judge_opening(&self, call: &Call, first: &[u8], now: Millis) -> Opening {
        judge::opening(self.family(&call.model), first, now)
    }

    fn quota(&self, call: &Call, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
        quota::read(self.family(&call.model), headers, now)
    }

    fn passes_back(&self, name: &HeaderName) -> bool {
        if *name == header::CONTENT_TYPE || *name == header::RETRY_AFTER || *name == header::CACHE_CONTROL {
            return true;
        }
        let name = name.as_str();
        matches!(name, "retry-after-ms" | "x-should-retry" | "x-reasoning-included")
            || name.starts_with("x-ratelimit-")
            || name.starts_with("x-codex-")
            // Whose account serves is the operator's business.
            || name.starts_with("openai-") && !request::names_an_account(name)
    }

    fn gathers(&self, call: &Call, headers: &HeaderMap, _first: &[u8]) -> bool {
        let has_forms = matches!(call.endpoint, Endpoint::ChatCompletions | Endpoint::Responses);
        has_forms && is_other_form(call, headers)
    }

    fn gathered(&self, call: &Call, _kept: &Extensions, whole: Bytes) -> Result<Whole, String> {
        let is_chat = call.endpoint == Endpoint::ChatCompletions;
        match (call.stream, is_chat) {
            (true, true) => {
                let told = crate::dialect::openai::forms::chunks(
                    &whole,
                    crate::dialect::openai::forms::wants_usage(&call.body),
                )?;
                Ok(Whole {
                    // Whether or not the client is told what was used, it is counted.
                    measured: Some(crate::dialect::openai::forms::chunks(&whole, true)?.into()),
                    ..Whole::stream(told)
                })
            }
            (true, false) => crate::dialect::openai::forms::response_events(&whole).map(Whole::stream),
            (false, true) => {
                crate::dialect::openai::forms::completion(&whole).map(|whole| Bytes::from(whole).into())
            }
            (false, false) => {
                crate::dialect::openai::forms::response(&whole).map(|whole| Bytes::from(whole).into())
            }
        }
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        // ChatGPT has sent streams without a `content-type`.
        let streams = is_event_stream(kind) || (kind.is_none() && call.stream);
        let reading = match call.endpoint {
            Endpoint::ChatCompletions => &crate::dialect::openai::reading::CHAT,
            _ => &crate::dialect::openai::reading::RESPONSES,
        };
        call.endpoint
            .takes_slot()
            .then(|| Meter::reading(reading, streams))
    }

    fn unreadable(&self, call: &Call, status: StatusCode, error: &[u8]) -> Vec<Bytes> {
        if status == StatusCode::BAD_REQUEST && judge::is_unreadable(error) {
            reasoning::sealed(call)
        } else {
            Vec::new()
        }
    }

    fn without_unreadable(&self, call: &Call, readable: &[bool]) -> Option<(Bytes, u32)> {
        reasoning::left_out(call, readable)
    }

    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal {
        crate::dialect::openai::error::refusal(failure, request_id, now)
    }

    fn stream_error(&self, call: &Call, failure: &Failure, request_id: &str) -> Bytes {
        crate::dialect::openai::error::in_stream(call.endpoint, failure, request_id)
    }

    /// Limits of API keys are a model's own.
    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        model.canonical()
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        oauth::sign_in(grant, config)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        oauth::refresh_request(refresh_token, config)
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
        oauth::refreshed(status, body, now)
    }

    fn trial(&self, account: &Account, model: Option<String>) -> Trial {
        trial::trial(account, model)
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        trial::words(answer)
    }
}
