//! The accounts of providers, pure: a call becomes a request, an answer a verdict. Values in, values out: no client,
//! no store, no clock.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`claude`], [`openai`], [`gemini`], [`antigravity`] | one provider each |
//! | [`allowed`] | which parts of a client's query and headers are sent |
//! | `google` | what Gemini's and Antigravity's accounts share |
//! | `known` | known words of providers, and whom they are about |
//! | `moments`, `interval` | times and waits in headers and bodies |
//! | `oauth`, [`sign_in`] | renewal of tokens, and signing in |
//! | `opening` | errors at the beginning of a success |
//! | `outgoing` | requests, as far as providers take them alike |
//! | `trial` | the operator's test of an account |

pub mod allowed;
pub mod antigravity;
pub mod claude;
pub mod gemini;
mod google;
mod interval;
mod known;
mod moments;
mod oauth;
pub mod openai;
mod opening;
mod outgoing;
pub mod sign_in;
mod trial;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool;
use http::{HeaderMap, Request, StatusCode};

use self::sign_in::{NoSignIn, SignIn};
use crate::config::Config;
use crate::dialect::Dialect;
use crate::dialect::answer::Rewrite;
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

/// The accounts of one provider: how they are called, and what their answers mean.
pub trait Accounts: Send + Sync {
    fn platform(&self) -> Platform;

    /// The permission that a key needs.
    fn service(&self) -> Service;

    /// The protocol that they speak.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Whether accounts of this kind can serve such a call. `endpoint`: of the call as the accounts get it.
    fn serves(&self, kind: AccountKind, endpoint: Endpoint) -> bool;

    /// A request about the account itself that must be answered before this call can be sent. `None` if there is
    /// nothing to ask.
    fn lookup(
        &self,
        _call: &Call,
        _account: &LiveAccount,
        _config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        None
    }

    /// The tenant that the account's tokens belong to, from a good answer to [`Self::lookup`]; or why the answer
    /// names none.
    fn looked_up(&self, _body: &[u8]) -> Result<String, String> {
        Err("nothing was asked".to_owned())
    }

    /// The request to send for this call on this account.
    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable>;

    /// Whether [`Self::request`] edits the body in many places, which takes time if it is long.
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

    /// How much of its windows the account has used, as far as an answer says so.
    fn quota(&self, _model: &ModelName, _headers: &HeaderMap, _now: Millis) -> Vec<pool::QuotaWindow> {
        Vec::new()
    }

    /// Whether a response header may reach a client of the same protocol.
    fn passes_back(&self, header: &http::HeaderName) -> bool;

    /// Changes an answer for a client of the same protocol. `None`: it passes byte for byte.
    fn rewrite(
        &self,
        _call: &Call,
        _account: &LiveAccount,
        _headers: &HeaderMap,
    ) -> Option<Box<dyn Rewrite>> {
        None
    }

    /// The call's encrypted items, as they are written, the oldest first, if the account's error says that it
    /// cannot read one of them. The error does not say which.
    fn unreadable(&self, _call: &Call, _status: StatusCode, _error: &[u8]) -> Vec<Bytes> {
        Vec::new()
    }

    /// The call's body with only the `readable` ones of its encrypted items (in the order of
    /// [`Self::unreadable`]; items beyond its end are not readable), and how many were left out. `None`: none.
    fn without_unreadable(&self, _call: &Call, _readable: &[bool]) -> Option<(Bytes, u32)> {
        None
    }

    /// The model family that a limit may be confined to. It depends on the canonical name only: all names of one
    /// model cool together.
    fn family<'a>(&self, model: &'a ModelName) -> &'a str;

    /// How a person signs in for such tokens.
    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn>;

    /// The request that turns a refresh token into new tokens.
    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String>;

    /// Reads the answer to it.
    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed;

    /// The smallest real call of an account, to find out whether it works. `model`: the one to ask for
    /// instead of a cheap one that every account may use.
    fn trial(&self, account: &Account, model: Option<String>) -> Trial;

    /// The model's words in a good answer to it.
    fn words(&self, answer: &[u8]) -> Option<String>;
}

/// The operator's test of an account, made by the relay in its own name.
#[derive(Clone, Debug)]
pub struct Trial {
    pub endpoint: Endpoint,
    pub model: String,
    pub body: serde_json::Value,
    pub stream: bool,
}

/// Why no request can be made of a call and an account. The pool gives accounts of kinds that serve the call
/// ([`Accounts::serves`]), so that is not among the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The client sent what cannot be passed on; no account would do better.
    Call(String),
    /// The account is set up wrongly.
    Account(String),
}

impl Unsendable {
    /// Accounts of this kind do not serve such calls. A pool whose roster is out of date may give one all the same.
    fn not_served(endpoint: Endpoint) -> Self {
        Self::Call(format!("No account of this relay serves {}.", endpoint.name()))
    }
}

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The report to the pool about the account.
    pub outcome: pool::Outcome,
    pub then: Then,
    /// The code for the client, unless another attempt ends better.
    pub code: Code,
    /// When the provider allows the next try, if it says so: for the client.
    pub retry_at: Option<Millis>,
}

/// How a success begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Well,
    /// With what may become an error: more of it is needed to tell.
    Unclear,
    /// With an error of the provider's: another account may do better.
    Error(Verdict),
    /// With a refusal that another account is to confirm.
    Refusal {
        verdict: Verdict,
        /// The one that such an error has when no stream has begun.
        status: StatusCode,
        /// Its JSON.
        error: Bytes,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The answer is for the client as it is.
    PassOn,
    /// Another account may do better.
    NextAccount,
    /// Nobody knows whether the account or the request is meant: another account is asked, once. If it
    /// says the same, the answer is for the client as it is.
    Confirm,
    /// The token was refused: renew it and try once more here, then another account.
    RefreshFirst,
    /// As [`Self::RefreshFirst`]; what is refused with the newer token, too, is [`Self::Confirm`].
    RefreshThenConfirm,
}

impl Verdict {
    /// The answer is the client's fault, or no fault at all.
    fn passed_on() -> Self {
        Self {
            outcome: pool::Outcome::Neutral,
            then: Then::PassOn,
            code: Code::InvalidBody,
            retry_at: None,
        }
    }

    /// A refusal, and nobody knows of what: evidence for the pool, no mark.
    fn refused(why: String) -> Self {
        Self {
            // The request's fingerprint is the relay's to add.
            outcome: pool::Outcome::Refused { why, request: 0 },
            ..Self::about_the_request()
        }
    }

    /// This request is refused on accounts like this one; others are served.
    fn about_the_request() -> Self {
        Self {
            outcome: pool::Outcome::Neutral,
            then: Then::Confirm,
            code: Code::PassedOn,
            retry_at: None,
        }
    }

    /// The provider refuses the account; `until`: it may heal by itself then.
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

    /// A 401 whose words are not about the credentials. A stale token is ruled out by renewing it; what is
    /// still refused may be the request's fault, so it is evidence for the pool and no mark.
    fn unauthorized_unconfirmed(why: String) -> Self {
        Self {
            then: Then::RefreshThenConfirm,
            ..Self::refused(why)
        }
    }

    /// Over a limit; `family`: of these models only.
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

    /// Over a limit with this request, while smaller ones may still be served: the account goes to the back
    /// and is not excluded.
    fn too_much_at_once(retry_at: Option<Millis>, family: Option<String>, why: &str) -> Self {
        Self {
            retry_at,
            ..Self::throttled(None, family, why)
        }
    }

    /// The provider is in trouble.
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

    /// With the provider's word on when to try again (`retry-after`), if it gave one. It speaks of its trouble
    /// and of no limit, so the account ranks behind until then and stays in use.
    fn back_at(mut self, at: Option<Millis>) -> Self {
        if let pool::Outcome::Unwell { until, .. } = &mut self.outcome {
            *until = at;
            self.retry_at = at;
        }
        self
    }
}

/// A share as the pool has it; `as` saturates: nothing is below 0.
fn permille(share: f64) -> u16 {
    (share * 1000.0).round() as u16
}

/// A refusal that the operator lifts elsewhere is tried again after this long, with one real request.
const PROBE_AFTER_MS: u64 = 30 * 60_000;

/// An account that was refused what the relay itself asked about it is tried again after this long.
pub const PROBE_SOON_MS: u64 = 2 * 60_000;

/// The answer to a refresh.
pub enum Refreshed {
    Tokens(crate::model::account::live::NewTokens),
    /// The refresh token is invalid now.
    Refused(String),
    /// No clear word; the next one may try again.
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
