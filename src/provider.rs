//! One folder per provider: pure translation between a call and that provider's HTTP.
//!
//! A provider turns values into values. It is never given a client, a store or a clock.

pub mod antigravity;
pub mod claude;
pub mod openai;
mod wire;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool;
use http::{HeaderMap, Request, StatusCode};

use crate::config::Config;
use crate::error::{Code, Failure};
use crate::model::account::Platform;
use crate::relay::call::Call;
use crate::relay::meter::Meter;
use crate::store::accounts::LiveAccount;

/// What the relay asks of a provider's dialect.
pub trait Provider: Send + Sync {
    fn platform(&self) -> Platform;

    fn service(&self) -> Service;

    /// The request to send for this call on this account.
    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable>;

    /// Judges an answer that is not a success, by the provider's status, headers and (bounded) body.
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: Millis) -> Verdict;

    /// Judges the first bytes of a success: a stream may open with an error.
    fn judge_opening(&self, first: &[u8]) -> Opening;

    /// Whether a response header may reach the client.
    fn passes_back(&self, header: &http::HeaderName) -> bool;

    /// What reads usage from the answer as it passes; `None` for calls that use nothing.
    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter>;

    /// An error as the protocol says it inside a stream that has begun.
    fn stream_error(&self, failure: &Failure, request_id: &str) -> Bytes;

    /// The model family a limit may be confined to.
    fn family<'a>(&self, model: &'a str) -> &'a str;

    /// The request that turns a refresh token into new tokens.
    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String>;

    /// Reads the answer to it.
    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed;
}

/// Why no request can be made of a call and an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The client sent what cannot be passed on; no account would do better.
    Call(String),
    /// The account is set up wrongly.
    Account(String),
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the pool learns about the account.
    pub outcome: pool::Outcome,
    pub then: Then,
    /// What the client is told if nothing better comes of it.
    pub code: Code,
}

/// How a success begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Well,
    /// With what may become an error: more of it is needed to tell.
    Unclear,
    /// With an error of the provider's: another account may do better.
    Error(Verdict),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The answer is for the client as it is.
    PassOn,
    /// Another account may do better.
    NextAccount,
    /// The token was refused: renew it and try once more here, then another account.
    RefreshFirst,
}

/// The answer to a refresh.
pub enum Refreshed {
    Tokens(crate::store::accounts::NewTokens),
    /// The refresh token is no good any more.
    Refused(String),
    /// No clear word; the next one may try again.
    Failed(String),
}
