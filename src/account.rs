//! Provider accounts: build a provider's request from a call, and judge the provider's answer. Pure functions: no
//! client, no store, no clock.
//!
//! | module | content |
//! | --- | --- |
//! | [`claude`], [`openai`], [`gemini`], [`antigravity`] | one provider each |
//! | [`allowed`] | the query parameters and headers of a client that are forwarded |
//! | [`entra`] | access tokens of Microsoft Entra's applications |
//! | `google` | shared by Gemini's and Antigravity's accounts |
//! | `known` | known error messages of providers and their subjects |
//! | `moments`, `interval` | times and durations in headers and bodies |
//! | `oauth`, [`sign_in`] | token renewal and sign-in |
//! | `opening` | errors at the beginning of a success |
//! | `outgoing` | the parts of a request that providers share |
//! | [`service_account`] | access tokens of Google's service accounts |
//! | `sigv4` | Amazon's request signatures |
//! | `trial` | the operator's test of an account |

pub mod allowed;
pub mod antigravity;
pub mod claude;
pub mod entra;
pub mod gemini;
mod google;
mod interval;
mod known;
mod moments;
mod oauth;
pub mod openai;
mod opening;
mod outgoing;
pub mod service_account;
pub mod sign_in;
mod sigv4;
mod trial;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool;
use http::{HeaderMap, Request, StatusCode};

use self::sign_in::{NoSignIn, SignIn};
use crate::config::Config;
use crate::dialect::Dialect;
use crate::dialect::answer::{BodyReader, Rewrite};
use crate::dialect::call::{Call, Endpoint};
use crate::error::Code;
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, AccountKind, Grant, Platform};
use crate::model::name::ModelName;

/// The accounts of a platform.
pub fn of(platform: Platform) -> &'static dyn Accounts {
    match platform {
        Platform::Claude => &claude::Claude,
        Platform::OpenAi => &openai::OpenAi,
        Platform::Gemini => &gemini::Gemini,
        Platform::Antigravity => &antigravity::Antigravity,
    }
}

/// The accounts of one provider: how to call them, and how to read their answers.
pub trait Accounts: Send + Sync {
    fn platform(&self) -> Platform;

    /// The permission that a key needs.
    fn service(&self) -> Service;

    /// The protocol of the accounts.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Whether accounts of this kind can serve such a call. `endpoint`: of the call in the accounts' protocol.
    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool;

    /// A request about the account itself that must be answered before this call can be sent. `None` if the call
    /// needs none.
    fn lookup(
        &self,
        _call: &Call,
        _account: &LiveAccount,
        _config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        None
    }

    /// The tenant of the account's tokens, from a successful answer to [`Self::lookup`]; or why the answer has
    /// none.
    fn looked_up(&self, _body: &[u8]) -> Result<String, String> {
        Err("nothing was asked".to_owned())
    }

    /// Builds the request for this call on this account. `now` is the time for signatures.
    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
        now: Millis,
    ) -> Result<Request<Bytes>, Unsendable>;

    /// Whether the account's host also takes this call over a WebSocket.
    fn has_socket(&self, _call: &Call, _account: &LiveAccount, _config: &Config) -> bool {
        false
    }

    /// Whether [`Self::request`] edits the body in many places, which is slow for a long body.
    fn edits_long(&self, _call: &Call) -> bool {
        false
    }

    /// Judges an answer that is not a success, by its status, headers and (bounded) body.
    fn judge(
        &self,
        model: &ModelName,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict;

    /// Judges the first bytes of a success: a stream may open with an error.
    fn judge_opening(&self, model: &ModelName, first: &[u8], now: Millis) -> Opening;

    /// The quota windows that an answer reports.
    fn quota(&self, _model: &ModelName, _headers: &HeaderMap, _now: Millis) -> Vec<pool::QuotaWindow> {
        Vec::new()
    }

    /// Whether a response header may reach a client of the same protocol.
    fn passes_back(&self, header: &http::HeaderName) -> bool;

    /// Reads a success that has another form than the accounts' protocol: a host may have streams of its own.
    /// `endpoint`: of the call in that protocol.
    fn reader(
        &self,
        _endpoint: Endpoint,
        _account: &LiveAccount,
        _headers: &HeaderMap,
    ) -> Option<Box<dyn BodyReader>> {
        None
    }

    /// Converts an answer for a client of the same protocol. `None` if it is forwarded byte for byte.
    fn rewrite(
        &self,
        _call: &Call,
        _account: &LiveAccount,
        _headers: &HeaderMap,
    ) -> Option<Box<dyn Rewrite>> {
        None
    }

    /// The call's encrypted items in their JSON form, oldest first, if the account's error says that it cannot
    /// read one of them. The error does not say which one.
    fn unreadable(&self, _call: &Call, _status: StatusCode, _error: &[u8]) -> Vec<Bytes> {
        Vec::new()
    }

    /// Removes the call's encrypted items that are not `readable` (in the order of [`Self::unreadable`]; items
    /// beyond its end are not readable). Returns the body and the number of removed items, or `None` if there are
    /// none.
    fn without_unreadable(&self, _call: &Call, _readable: &[bool]) -> Option<(Bytes, u32)> {
        None
    }

    /// The model family that a limit may apply to. It depends on the canonical name only, so all aliases of a
    /// model cool down together.
    fn family<'a>(&self, model: &'a ModelName) -> &'a str;

    /// An error that is not in the accounts' protocol, in that protocol: a gateway before the API may have its own.
    /// `None` if it is forwarded unchanged.
    fn translated_error(&self, _status: StatusCode, _headers: &HeaderMap, _error: &[u8]) -> Option<Bytes> {
        None
    }

    /// How an admin signs in for such tokens.
    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn>;

    /// The request that turns a refresh token into new tokens.
    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String>;

    /// Reads the answer to it.
    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome;

    /// The cheapest real call of an account, to test it. `model`: the model to use in place of a cheap one that
    /// every account has.
    fn trial(&self, account: &Account, model: Option<String>) -> Trial;

    /// The model's text in a successful answer to the trial.
    fn words(&self, answer: &[u8]) -> Option<String>;
}

/// The operator's test of an account, sent by the relay itself.
#[derive(Clone, Debug)]
pub struct Trial {
    pub endpoint: Endpoint,
    pub model: String,
    pub body: serde_json::Value,
    pub stream: bool,
}

/// Why no request can be built for a call and an account. The pool only picks accounts of kinds that serve the
/// call ([`Accounts::serves`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The client's request cannot be sent; every account would fail.
    Call(String),
    /// The account is misconfigured.
    Account(String),
}

impl Unsendable {
    /// Accounts of this kind do not serve such calls. A pool with an outdated roster may still pick one.
    fn not_served(endpoint: Endpoint) -> Self {
        Self::Call(format!("No account of this relay serves {}.", endpoint.name()))
    }

    /// The admin API accepts credentials of clouds only for the platforms that they serve.
    fn not_for_this_platform() -> Self {
        Self::Account("credentials of this type do not serve this platform".to_owned())
    }
}

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The report to the pool about the account.
    pub outcome: pool::Outcome,
    pub then: Then,
    /// The code for the client, unless another attempt succeeds.
    pub code: Code,
    /// When the provider allows the next try, if it says so; sent to the client.
    pub retry_at: Option<Millis>,
}

/// How a success begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Well,
    /// It may become an error; more bytes are needed.
    Unclear,
    /// An error of the provider: another account may succeed.
    Error(Verdict),
    /// A refusal that another account must confirm.
    Refusal {
        verdict: Verdict,
        /// The status that such an error has outside of a stream.
        status: StatusCode,
        /// Its JSON.
        error: Bytes,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Forward the answer to the client.
    PassOn,
    /// Another account may succeed.
    NextAccount,
    /// The refusal may concern the account or the request. Another account is tried once; if it refuses as well,
    /// the client gets the answer.
    Confirm,
    /// The token was refused: renew it and try once more, then try another account.
    RefreshFirst,
    /// Like [`Self::RefreshFirst`]; if the new token is refused as well, continue as for [`Self::Confirm`].
    RefreshThenConfirm,
}

impl Verdict {
    /// The answer is the client's fault, or not an error.
    fn passed_on() -> Self {
        Self {
            outcome: pool::Outcome::Neutral,
            then: Then::PassOn,
            code: Code::InvalidBody,
            retry_at: None,
        }
    }

    /// A refusal without a known subject. The pool counts it as evidence but does not mark the account.
    fn refused(why: String) -> Self {
        Self {
            // The relay adds the request's fingerprint.
            outcome: pool::Outcome::Refused { why, request: 0 },
            ..Self::about_the_request()
        }
    }

    /// Accounts like this one refuse this request but serve others.
    fn about_the_request() -> Self {
        Self {
            outcome: pool::Outcome::Neutral,
            then: Then::Confirm,
            code: Code::PassedOn,
            retry_at: None,
        }
    }

    /// The provider refuses the account. `until`: the time after which it may recover.
    fn denied(why: String, until: Option<Millis>) -> Self {
        Self {
            outcome: pool::Outcome::Denied { why, until },
            then: Then::NextAccount,
            code: Code::NoAccount,
            retry_at: None,
        }
    }

    /// The provider refuses the credentials: they are renewed first.
    fn unauthorized(why: String) -> Self {
        Self {
            then: Then::RefreshFirst,
            ..Self::denied(why, None)
        }
    }

    /// A 401 that does not mention the credentials. Renewing the token rules out a stale one. If it is still
    /// refused, the request may be the cause, so the pool counts it as evidence but does not mark the account.
    fn unauthorized_unconfirmed(why: String) -> Self {
        Self {
            then: Then::RefreshThenConfirm,
            ..Self::refused(why)
        }
    }

    /// Over a limit. `family`: the affected models.
    fn throttled(until: Option<Millis>, family: Option<String>, why: &str) -> Self {
        Self {
            outcome: pool::Outcome::Throttled {
                until,
                family,
                why: why.to_owned(),
            },
            then: Then::NextAccount,
            code: Code::AccountsLimited,
            retry_at: until,
        }
    }

    /// This request exceeds a limit that smaller requests may not: the account ranks last but is not excluded.
    fn too_much_at_once(retry_at: Option<Millis>, family: Option<String>, why: &str) -> Self {
        Self {
            retry_at,
            ..Self::throttled(None, family, why)
        }
    }

    /// The provider has a problem.
    fn unwell(why: &str, code: Code) -> Self {
        Self {
            outcome: pool::Outcome::Unwell {
                why: why.to_owned(),
                until: None,
            },
            then: Then::NextAccount,
            code,
            retry_at: None,
        }
    }

    /// Adds the provider's `retry-after`, if there is one. It reports a problem and not a limit, so the account
    /// ranks last until then but is not excluded.
    fn back_at(mut self, at: Option<Millis>) -> Self {
        if let pool::Outcome::Unwell { until, .. } = &mut self.outcome {
            *until = at;
            self.retry_at = at;
        }
        self
    }
}

/// A share in permille; `as` saturates negative values to 0.
fn permille(share: f64) -> u16 {
    (share * 1000.0).round() as u16
}

/// Time until an account that the operator must fix at the provider is tried again with one real request.
const PROBE_AFTER_MS: u64 = 30 * 60_000;

/// Time until an account whose lookup was refused is tried again.
pub const PROBE_SOON_MS: u64 = 2 * 60_000;

/// The result of a token refresh.
pub enum RefreshOutcome {
    Tokens(crate::model::account::live::NewTokens),
    /// The refresh token is invalid.
    Refused(String),
    /// Any other failure; the next try may succeed.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_one_model_cool_together() {
        for (platform, one, other) in [
            (Platform::OpenAi, "gpt-5.4", "gpt-5.4-2026-03-05"),
            (Platform::OpenAi, "gpt-5.4", "openai/GPT-5.4"),
            (
                Platform::Gemini,
                "gemini-2.5-flash",
                "models/gemini-2.5-flash-001",
            ),
            (
                Platform::Antigravity,
                "claude-opus-4-5",
                "claude-opus-4-5-20251101",
            ),
            (
                Platform::Claude,
                "claude-sonnet-4-5",
                "Claude-Sonnet-4-5-20250929",
            ),
        ] {
            let [one, other] = [one, other].map(|name| ModelName::parse(name).unwrap());
            let accounts = of(platform);
            assert_eq!(accounts.family(&one), accounts.family(&other), "{one} {other}");
        }
        let [one, other] = ["gpt-5.4", "gpt-5.4-mini"].map(|name| ModelName::parse(name).unwrap());
        let openai = of(Platform::OpenAi);
        assert_ne!(openai.family(&one), openai.family(&other));
    }
}
