//! The accounts behind a bridge: what of a provider does not depend on who asks.

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use http::{HeaderMap, Request, StatusCode};

use crate::account::sign_in::{NoSignIn, SignIn};
use crate::account::{Opening, Provider, Refreshed, Unsendable, Verdict};
use crate::config::Config;
use crate::dialect::call::Call;
use crate::dialect::gemini::reading::GENERATE;
use crate::dialect::meter::Meter;
use crate::model::account::live::LiveAccount;
use crate::model::account::{Grant, Platform};
use crate::model::name::ModelName;

/// The methods are those of [`Provider`]. Calls are Google's: `generateContent` of the Gemini API, tokens
/// counted in either of its protocols, and what Code Assist has besides.
pub trait Accounts: Send + Sync {
    fn platform(&self) -> Platform;

    fn service(&self) -> Service;

    fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>>;

    fn looked_up(&self, body: &[u8]) -> Result<String, String>;

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable>;

    fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict;

    fn judge_opening(&self, call: &Call, first: &[u8], now: Millis) -> Opening;

    fn family<'a>(&self, model: &'a ModelName) -> &'a str;

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn>;

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String>;

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed;

    /// What reads usage from an answer of `generateContent`; `is_stream`: it is a stream of events.
    fn generate_meter(&self, is_stream: bool) -> Meter {
        Meter::reading(&GENERATE, is_stream)
    }
}

/// A provider that has clients of its own lends its accounts to others'.
impl<P: Provider> Accounts for P {
    fn platform(&self) -> Platform {
        Provider::platform(self)
    }

    fn service(&self) -> Service {
        Provider::service(self)
    }

    fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        Provider::lookup(self, call, account, config)
    }

    fn looked_up(&self, body: &[u8]) -> Result<String, String> {
        Provider::looked_up(self, body)
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable> {
        Provider::request(self, call, account, config)
    }

    fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        Provider::judge(self, call, status, headers, body, now)
    }

    fn judge_opening(&self, call: &Call, first: &[u8], now: Millis) -> Opening {
        Provider::judge_opening(self, call, first, now)
    }

    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        Provider::family(self, model)
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        Provider::sign_in(self, grant, config)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        Provider::refresh_request(self, refresh_token, config)
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
        Provider::refreshed(self, status, body, now)
    }
}
