//! Chat Completions on accounts that are reached by the Messages API: Claude's, and Gemini's over the bridge.
//!
//! It has the client's side of one provider and everything else of another, and translates between them by
//! the pure [`chat`]. What is used is read from the messages, before they are turned into
//! completions: those tell less, and in a stream nothing unless they are asked to.

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::gate::Service;
use crs_durable::pool::QuotaWindow;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode, header};

use crate::account::outgoing::mapped_model;
use crate::account::sign_in::{NoSignIn, SignIn};
use crate::account::{Opening, Provider, Refreshed, Trial, Unsendable, Verdict};
use crate::config::Config;
use crate::convert::chat_to_messages::{self, Context, Options, Stream, Target};
use crate::dialect::answer::{End, Rewrite, Whole, is_object};
use crate::dialect::body::scan;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::forms;
use crate::dialect::meter::{Meter, streams};
use crate::dialect::refusal::Refusal;
use crate::error::Failure;
use crate::model::account::live::LiveAccount;
use crate::model::account::{Account, Grant, Platform};
use crate::model::name::ModelName;

/// See the module.
pub struct ChatOnMessages {
    front: &'static dyn Provider,
    behind: &'static dyn Provider,
    target: Target,
}

impl ChatOnMessages {
    /// `front`: OpenAI's protocol; `behind`: one that takes messages.
    pub const fn new(front: &'static dyn Provider, behind: &'static dyn Provider, target: Target) -> Self {
        Self {
            front,
            behind,
            target,
        }
    }
}

/// What turning an answer back takes, kept beside the request it answers.
#[derive(Clone)]
struct Kept(Context);

impl Provider for ChatOnMessages {
    fn platform(&self) -> Platform {
        self.behind.platform()
    }

    fn service(&self) -> Service {
        self.behind.service()
    }

    fn lookup(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Option<Result<Request<Bytes>, Unsendable>> {
        self.behind
            .lookup(&call.translated(Endpoint::Messages), account, config)
    }

    fn looked_up(&self, body: &[u8]) -> Result<String, String> {
        self.behind.looked_up(body)
    }

    fn request(
        &self,
        call: &Call,
        account: &LiveAccount,
        config: &Config,
    ) -> Result<Request<Bytes>, Unsendable> {
        let options = Options {
            target: self.target,
            model: mapped_model(call, account),
        };
        let converted = chat_to_messages::request(&call.body, &options)
            .map_err(|refused| Unsendable::Call(refused.message))?;
        let mut asked = call.translated(Endpoint::Messages);
        asked.headers = call.headers.clone();
        asked.fields = scan(&converted.body).unwrap_or_default();
        asked.body = converted.body.into();
        let mut request = self.behind.request(&asked, account, config)?;
        request.extensions_mut().insert(Kept(converted.context));
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
        self.behind
            .judge(&call.translated(Endpoint::Messages), status, headers, body, now)
    }

    fn judge_opening(&self, call: &Call, first: &[u8], now: Millis) -> Opening {
        self.behind
            .judge_opening(&call.translated(Endpoint::Messages), first, now)
    }

    fn quota(&self, call: &Call, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
        self.behind
            .quota(&call.translated(Endpoint::Messages), headers, now)
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
        let said = self
            .behind
            .gathered(&call.translated(Endpoint::Messages), kept, whole)?
            .told;
        let Kept(context) = kept.get().ok_or("it is not known what was asked")?;
        // The provider may have sent the other form.
        let message = if is_object(&said) {
            said
        } else {
            forms::whole(&said)?.into()
        };
        let created = call.at / 1000;
        let whole =
            chat_to_messages::answer(&message, context, &call.seed(), created).map_err(|unusable| {
                let (kind, message) = unusable.told();
                format!("{kind}: {message}")
            })?;
        if !call.stream {
            return Ok(Whole {
                measured: Some(message),
                ..Bytes::from(whole).into()
            });
        }
        let events = forms::streamed(&message)?;
        let mut stream = Stream::new(context, &call.seed(), created);
        let mut chunks = stream.feed(&events).to_vec();
        chunks.extend_from_slice(&stream.finish());
        Ok(Whole {
            measured: Some(events.into()),
            ..Whole::stream(chunks)
        })
    }

    fn rewrite(
        &self,
        call: &Call,
        account: &LiveAccount,
        headers: &HeaderMap,
        kept: &Extensions,
    ) -> Option<Box<dyn Rewrite>> {
        let Kept(context) = kept.get()?;
        (call.stream && streams(headers)).then(|| {
            Box::new(Streamed {
                messages: self
                    .behind
                    .rewrite(&call.translated(Endpoint::Messages), account, headers, kept),
                chunks: Stream::new(context, &call.seed(), call.at / 1000),
                measured: Bytes::new(),
            }) as _
        })
    }

    fn passed_on(&self, status: StatusCode, error: &[u8]) -> Option<Bytes> {
        let message = self.behind.passed_on(status, error);
        let error = message.as_deref().unwrap_or(error);
        let told = chat_to_messages::error_body(status.as_u16(), error, "The provider refused the request.");
        Some(told.into())
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        self.behind.meter(&call.translated(Endpoint::Messages), headers)
    }

    fn source_meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        let asked = call.translated(Endpoint::Messages);
        let source = self.behind.source_meter(&asked, headers);
        source.or_else(|| self.behind.meter(&asked, headers))
    }

    fn refusal(&self, failure: &Failure, request_id: &str, now: Millis) -> Refusal {
        self.front.refusal(failure, request_id, now)
    }

    fn heartbeat(&self, call: &Call, _began: bool) -> Option<&'static [u8]> {
        // The protocol has no ping.
        call.stream.then_some(b": ping\n\n")
    }

    fn stream_error(&self, call: &Call, failure: &Failure, request_id: &str) -> Bytes {
        self.front.stream_error(call, failure, request_id)
    }

    fn family<'a>(&self, model: &'a ModelName) -> &'a str {
        self.behind.family(model)
    }

    fn sign_in<'a>(&self, grant: Grant, config: &'a Config) -> Result<SignIn<'a>, NoSignIn> {
        self.behind.sign_in(grant, config)
    }

    fn refresh_request(&self, refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
        self.behind.refresh_request(refresh_token, config)
    }

    fn refreshed(&self, status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
        self.behind.refreshed(status, body, now)
    }

    fn trial(&self, account: &Account, model: Option<String>) -> Trial {
        self.behind.trial(account, model)
    }

    fn words(&self, answer: &[u8]) -> Option<String> {
        self.behind.words(answer)
    }
}

struct Streamed {
    /// Makes messages of what the account says; `None`: they are that.
    messages: Option<Box<dyn Rewrite>>,
    chunks: Stream,
    /// The messages that the last step has made chunks of.
    measured: Bytes,
}

impl Rewrite for Streamed {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        self.measured = match &mut self.messages {
            Some(messages) => messages.feed(chunk)?,
            None => Bytes::copy_from_slice(chunk),
        };
        let made = self.chunks.feed(&self.measured);
        match self.chunks.failure() {
            // Not the account's error, so the relay tells it.
            Some(chat_to_messages::Unusable::Unreadable) => Err("an event cannot be read".to_owned()),
            _ => Ok(made),
        }
    }

    fn finish(&mut self) -> Bytes {
        self.measured = match &mut self.messages {
            Some(messages) => messages.finish(),
            None => Bytes::new(),
        };
        let mut last = self.chunks.feed(&self.measured).to_vec();
        // Of one that broke off the relay says so.
        if self.chunks.is_whole() {
            last.extend_from_slice(&self.chunks.finish());
        }
        last.into()
    }

    fn end(&self) -> End {
        if self.chunks.is_closed() {
            return End::Final;
        }
        match self.messages.as_ref().map(|messages| messages.end()) {
            Some(End::Named | End::Final) => End::Named,
            Some(End::Open) | None if !self.chunks.is_whole() => End::Open,
            Some(End::Open) | None if self.chunks.is_metered() => End::Named,
            Some(End::Unmetered | End::Open) | None => End::Unmetered,
        }
    }

    fn measured(&mut self) -> Option<Bytes> {
        Some(std::mem::take(&mut self.measured))
    }
}
