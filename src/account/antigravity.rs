//! Anthropic's Messages protocol on accounts that speak Google's: Antigravity's, and Gemini's.
//!
//! A [`Bridge`] has the client's side of one provider and the [`Accounts`] of another, and translates between
//! them by the pure [`convert`]: calls before they are sent, whole answers when they are there, streams piece
//! by piece, errors as they pass. To the relay it is a provider like others, so that limits, sessions,
//! failover, the ledger and the trace hold for it as they do for them.

mod accounts;
mod login;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};
use serde_json::Value;

pub use self::accounts::Accounts;
pub use self::login::Antigravity;
pub use crate::convert::messages_to_gemini::Form;

use super::outgoing::mapped_model;
use super::sign_in::{NoSignIn, SignIn};
use super::{Opening, Provider, Refreshed, Trial, Unsendable, Verdict};
use crate::config::Config;
use crate::convert::messages_to_gemini::{self, Context, CountForm, Options};
use crate::dialect::answer::{End, Rewrite, Whole, is_object};
use crate::dialect::body::{Fields, scan};
use crate::dialect::call::{Call, Endpoint, Surface};
use crate::dialect::gemini::forms;
use crate::dialect::meter::{Meter, streams};
use crate::dialect::refusal::Refusal;
use crate::dialect::wire::events::data;
use crate::error::Failure;
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{Account, Grant, Platform};
use crate::model::name::ModelName;

/// See the module.
pub struct Bridge {
    front: &'static dyn Provider,
    accounts: &'static dyn Accounts,
    /// How the accounts' host wants schemas.
    schemas: Form,
    /// A cheap model that every account may use.
    trial_model: &'static str,
}

impl Bridge {
    /// `front`: Anthropic's protocol.
    pub const fn new(
        front: &'static dyn Provider,
        accounts: &'static dyn Accounts,
        schemas: Form,
        trial_model: &'static str,
    ) -> Self {
        Self {
            front,
            accounts,
            schemas,
            trial_model,
        }
    }
}

/// What turning an answer back takes, kept beside the request it answers.
#[derive(Clone)]
struct Kept(Context);

impl Provider for Bridge {
    fn platform(&self) -> Platform {
        self.accounts.platform()
    }

    fn service(&self) -> Service {
        self.accounts.service()
    }

    fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        // Otherwise there is nothing that a provider could want to know.
        let Credentials::OAuth { tenant: None, .. } = &account.credentials else {
            return None;
        };
        let endpoint = match call.endpoint {
            Endpoint::Messages => Endpoint::Generate(Surface::V1Beta),
            other => other,
        };
        let asked = behind(call, endpoint, HeaderMap::new(), Bytes::new());
        self.accounts.lookup(&asked, account, config)
    }

    fn looked_up(&self, body: &[u8]) -> Result<String, String> {
        self.accounts.looked_up(body)
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable> {
        let options = Options {
            model: mapped_model(call, account),
            schemas: self.schemas,
        };
        let refused = |refused: messages_to_gemini::Refused| Unsendable::Call(refused.message);
        let (endpoint, body, kept) = match call.endpoint {
            Endpoint::Messages => {
                let converted = messages_to_gemini::request(&call.body, &options).map_err(refused)?;
                let kept = Some(Kept(converted.context));
                (Endpoint::Generate(Surface::V1Beta), converted.body, kept)
            }
            Endpoint::CountTokens => {
                let (surface, form) = match &account.credentials {
                    Credentials::ApiKey { .. } => (Surface::V1Beta, CountForm::Whole),
                    Credentials::OAuth { .. } => (Surface::Internal, CountForm::Contents),
                };
                let (_, mut body) =
                    messages_to_gemini::count_tokens(&call.body, &options, form).map_err(refused)?;
                if surface == Surface::Internal {
                    body = [b"{\"request\":", &body[..], b"}"].concat();
                }
                (Endpoint::CountContent(surface), body, None)
            }
            other => (other, b"{}".to_vec(), None),
        };
        let asked = behind(call, endpoint, call.headers.clone(), body.into());
        let mut request = self.accounts.request(&asked, account, config)?;
        if let Some(kept) = kept {
            request.extensions_mut().insert(kept);
        }
        Ok(request)
    }

    fn converts(&self, _call: &Call) -> bool {
        true
    }

    fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Verdict {
        self.accounts.judge(call, status, headers, body, now)
    }

    fn judge_opening(&self, call: &Call, first: &[u8], now: Millis) -> Opening {
        self.accounts.judge_opening(call, first, now)
    }

    fn passes_back(&self, name: &HeaderName) -> bool {
        *name == header::CONTENT_TYPE
            || *name == header::RETRY_AFTER
            || *name == header::CACHE_CONTROL
            || name.as_str() == "x-should-retry"
    }

    fn gathers(&self, call: &Call, headers: &HeaderMap, _first: &[u8]) -> bool {
        !(call.stream && streams(headers))
    }

    fn gathered(&self, call: &Call, kept: &Extensions, whole: Bytes) -> Result<Whole, String> {
        let told = |unusable: messages_to_gemini::Unusable| {
            let (kind, message) = unusable.told();
            format!("{kind}: {message}")
        };
        match call.endpoint {
            Endpoint::Messages => {
                let Kept(context) = kept.get().ok_or("it is not known what was asked")?;
                // Google streams a list to who does not ask for events.
                let whole = if forms::is_list(&whole) {
                    forms::events(&whole, None)?.into()
                } else {
                    whole
                };
                let message = if is_object(&whole) {
                    let answer = messages_to_gemini::answer(&whole, context, &call.seed()).map_err(told)?;
                    answer.body
                } else {
                    // A stream that nobody asked for.
                    let mut stream = messages_to_gemini::Stream::new(context, &call.seed());
                    let mut events = stream.feed(&whole).to_vec();
                    events.extend_from_slice(&stream.finish());
                    crate::dialect::messages::forms::whole(&events)?
                };
                if call.stream {
                    return crate::dialect::messages::forms::streamed(&message).map(Whole::stream);
                }
                Ok(Bytes::from(message).into())
            }
            Endpoint::CountTokens => {
                let counted = messages_to_gemini::counted(&whole).map_err(told)?;
                Ok(Bytes::from(counted).into())
            }
            // The list of models is no message: who asks for it reads Google's.
            _ => {
                let answer: Value = serde_json::from_slice(&whole).unwrap_or_default();
                let is_list = answer.get("models").is_some_and(Value::is_object);
                is_list
                    .then(|| whole.into())
                    .ok_or_else(|| "the list of models cannot be read".to_owned())
            }
        }
    }

    fn rewrite(
        &self,
        call: &Call,
        _account: &LiveAccount,
        headers: &HeaderMap,
        kept: &Extensions,
    ) -> Option<Box<dyn Rewrite>> {
        let Kept(context) = kept.get()?;
        (call.stream && streams(headers))
            .then(|| Box::new(Streamed(messages_to_gemini::Stream::new(context, &call.seed()))) as _)
    }

    fn passed_on(&self, status: StatusCode, error: &[u8]) -> Option<Bytes> {
        let told =
            messages_to_gemini::error_body(status.as_u16(), error, "The provider refused the request.");
        Some(told.into())
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        self.front.meter(call, headers)
    }

    fn source_meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        (call.endpoint == Endpoint::Messages).then(|| self.accounts.generate_meter(streams(headers)))
    }

    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal {
        self.front.refusal(failure, request_id, now)
    }

    fn heartbeat(&self, call: &Call, began: bool) -> Option<&'static [u8]> {
        // A ping may be anywhere, but some clients take the first event for `message_start`.
        let alive: &[u8] = if began {
            b"event: ping\ndata: {\"type\": \"ping\"}\n\n"
        } else {
            b": ping\n\n"
        };
        (call.stream && call.endpoint == Endpoint::Messages).then_some(alive)
    }

    fn error_event(&self, error: &[u8]) -> Bytes {
        [b"event: error\n", &data(error)[..]].concat().into()
    }

    fn stream_error(&self, call: &Call, failure: &Failure, request_id: &str) -> Bytes {
        self.front.stream_error(call, failure, request_id)
    }

    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        self.accounts.family(model)
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        self.accounts.sign_in(grant, config)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        self.accounts.refresh_request(refresh_token, config)
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
        self.accounts.refreshed(status, body, now)
    }

    fn trial(&self, account: &Account, model: Option<String>) -> Trial {
        let model = model.unwrap_or_else(|| self.trial_model.to_owned());
        self.front.trial(account, Some(model))
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        self.front.words(answer)
    }
}

/// The client's call, as it is made of the account.
fn behind(call: &Call, endpoint: Endpoint, headers: HeaderMap, body: Bytes) -> Call {
    Call {
        headers,
        query: call.stream.then(|| "alt=sse".to_owned()),
        fields: match endpoint {
            Endpoint::CountContent(Surface::Internal) => scan(&body).unwrap_or_default(),
            _ => Fields::default(),
        },
        body,
        model: call.model.without_path(),
        ..call.translated(endpoint)
    }
}

struct Streamed(messages_to_gemini::Stream);

impl Rewrite for Streamed {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        Ok(self.0.feed(chunk))
    }

    fn finish(&mut self) -> Bytes {
        self.0.finish()
    }

    fn end(&self) -> End {
        if self.0.is_closed() {
            End::Final
        } else if !self.0.ended() {
            End::Open
        } else if self.0.is_metered() {
            End::Named
        } else {
            End::Unmetered
        }
    }
}
