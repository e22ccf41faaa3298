//! OpenAI's accounts: API keys of OpenAI and compatible hosts, which serve Responses and Chat Completions, and
//! ChatGPT logins, which serve Responses only.

mod judge;
mod oauth;
mod quota;
mod rate;
mod reasoning;
pub(super) mod request;
mod trial;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool::QuotaWindow;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};

use super::sign_in::{NoSignIn, SignIn};
use super::{Accounts, Opening, RefreshOutcome, Trial, Unsendable, Verdict};
use crate::config::Config;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::wire::marks;
use crate::dialect::{self, Dialect};
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, AccountKind, Grant, Platform};
use crate::model::name::ModelName;

pub use oauth::{expiry, tenant};

pub struct OpenAi;

impl Accounts for OpenAi {
    fn platform(&self) -> Platform {
        Platform::OpenAi
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::openai::OpenAi
    }

    fn service(&self) -> Service {
        Service::OpenAi
    }

    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool {
        match endpoint {
            // Codex asks ChatGPT for images, too.
            Endpoint::Responses | Endpoint::CompactResponses | Endpoint::Images(_) => {
                kind != AccountKind::ChatHost
            }
            // ChatGPT has no such endpoints.
            Endpoint::ChatCompletions => matches!(kind, AccountKind::Key | AccountKind::ChatHost),
            // ChatGPT stores no responses.
            Endpoint::CountInput | Endpoint::Stored(_) => kind == AccountKind::Key,
            _ => false,
        }
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

    fn has_socket(&self, call: &Call, account: &LiveAccount, config: &Config) -> bool {
        request::has_socket(call, account, config)
    }

    fn edits_long(&self, call: &Call) -> bool {
        match call.endpoint {
            Endpoint::ChatCompletions => marks::ids::long_in_chat(&call.body),
            Endpoint::Images(_) => false,
            _ => marks::ids::long_in_responses(&call.body),
        }
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

    fn judge_opening(&self, model: &ModelName, first: &[u8], now: Millis) -> Opening {
        judge::opening(self.family(model), first, now)
    }

    fn quota(&self, model: &ModelName, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
        quota::read(self.family(model), headers, now)
    }

    fn passes_back(&self, name: &HeaderName) -> bool {
        if *name == header::CONTENT_TYPE || *name == header::RETRY_AFTER || *name == header::CACHE_CONTROL {
            return true;
        }
        let name = name.as_str();
        matches!(name, "retry-after-ms" | "x-should-retry" | "x-reasoning-included")
            || name.starts_with("x-ratelimit-")
            || name.starts_with("x-codex-")
            // Clients must not learn which account serves them.
            || name.starts_with("openai-") && !request::names_an_account(name)
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

    /// API keys have separate limits for each model.
    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        model.canonical()
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        oauth::sign_in(grant, config)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        oauth::refresh_request(refresh_token, config)
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
        oauth::refreshed(status, body, now)
    }

    fn trial(&self, account: &Account, model: Option<String>) -> Trial {
        trial::trial(account, model)
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        trial::words(answer)
    }
}
