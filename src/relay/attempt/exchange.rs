//! Sends one request to a provider and judges its answer. A token that the provider refuses is renewed once per
//! attempt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_durable::pool::Outcome;
use crs_durable::{CallId, Millis};
use http::{Request, Response};

use super::judge::judge;
use super::{FailedAttempt, by_socket};
use crate::account::{Accounts, Then, Verdict};
use crate::app::App;
use crate::error::Code;
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::upstream::{Body, Route, UpstreamError, UpstreamErrorKind};
use crate::relay::answer::Answer;
use crate::relay::flight::Flight;
use crate::relay::mask::hide_headers;
use crate::relay::refresh::{self, Renewal};
use crate::relay::{failures, media, reading, unpack};

pub(super) enum Exchange {
    /// The head of a success; its body has not begun.
    Success(Response<Body>),
    /// Everything else, with the account module's verdict.
    Refusal(Answer, Verdict),
    /// The request has to be sent again: either the refused token has been renewed, or the reused connection had been
    /// closed before anybody read the request.
    Again,
}

/// The account of an attempt, with its current credentials.
pub(super) struct Login {
    pub(super) live: Arc<LiveAccount>,
    renewal: TokenRenewal,
    /// The last request went over a connection that the provider had closed.
    was_stale: bool,
}

enum TokenRenewal {
    NotTried,
    Tried,
    /// The token is too new to be renewed before this moment.
    TooSoon(Millis),
}

impl Login {
    pub(super) fn new(live: Arc<LiveAccount>) -> Self {
        Self {
            live,
            renewal: TokenRenewal::NotTried,
            was_stale: false,
        }
    }

    /// Renews the token after a refusal, once per attempt.
    async fn renew(
        &mut self,
        app: &App,
        accounts: &'static dyn Accounts,
        call: CallId,
    ) -> Result<bool, FailedAttempt> {
        if !matches!(self.renewal, TokenRenewal::NotTried) {
            return Ok(false);
        }
        self.renewal = TokenRenewal::Tried;
        match refresh::after_refusal(app, accounts, call, &self.live).await {
            Renewal::Newer(newer) => {
                self.live = Arc::new(newer.in_place_of(&self.live));
                Ok(true)
            }
            // A temporary failure of the token endpoint; the credentials may be fine.
            Renewal::Failed => Err(FailedAttempt::unwell(
                Code::ProviderUnreachable,
                "the token was refused and could not be renewed just now",
            )),
            Renewal::TooSoon(at) => {
                self.renewal = TokenRenewal::TooSoon(at);
                Ok(false)
            }
            Renewal::Refused => Ok(false),
        }
    }

    /// Limits an exclusion to the time at which the token may be renewed again, because a new token may solve it.
    fn bound(&self, verdict: &mut Verdict) {
        if let (TokenRenewal::TooSoon(at), Outcome::Denied { until, .. }) =
            (&self.renewal, &mut verdict.outcome)
        {
            *until = Some(until.map_or(*at, |until| until.min(*at)));
        }
    }
}

/// Deadline for the first byte of an answer, ticks. Each request has its own.
pub(super) fn first_byte_deadline(app: &App) -> u64 {
    app.ports.clock.ticks() + app.config.relay.first_byte.as_micros() as u64
}

pub(super) fn left(app: &App, deadline: u64) -> Duration {
    Duration::from_micros(deadline.saturating_sub(app.ports.clock.ticks()))
}

pub(super) async fn exchange(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    login: &mut Login,
    request: Request<Bytes>,
    deadline: u64,
) -> Result<Exchange, FailedAttempt> {
    let sent = send(app, plan, flight, &login.live, request, deadline).await;
    // The request is lost with its connection, so it is built again, once. Keeping a copy would cost every call an
    // allocation that few need.
    let is_stale = matches!(&sent, Err(error) if error.kind == UpstreamErrorKind::Stale);
    if is_stale && !std::mem::replace(&mut login.was_stale, is_stale) {
        return Ok(Exchange::Again);
    }
    login.was_stale = false;
    let answer = checked(&login.live, sent.map_err(unreachable)?)
        .map_err(|why| FailedAttempt::unwell(Code::ProviderFailed, &why))?;
    flight.measured(answer.headers());
    if answer.status().is_success() {
        let reader = |headers: &_| plan.reader(flight.call(), &login.live, headers);
        return Ok(Exchange::Success(reading::read(answer, reader)));
    }
    let (answer, mut verdict) = Box::pin(judge(app, plan, flight.call(), &login.live, answer)).await?;
    let token_is_refused = matches!(verdict.then, Then::RefreshFirst | Then::RefreshThenConfirm);
    if token_is_refused && Box::pin(login.renew(app, plan.accounts, flight.call().id)).await? {
        return Ok(Exchange::Again);
    }
    login.bound(&mut verdict);
    Ok(Exchange::Refusal(answer, verdict))
}

async fn send(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    live: &Arc<LiveAccount>,
    request: Request<Bytes>,
    deadline: u64,
) -> Result<Response<Body>, UpstreamError> {
    flight.begin_attempt(live);
    let mut route = Route {
        proxy: live.proxy.clone(),
        connect_timeout: app.config.relay.connect,
        head_timeout: left(app, deadline),
    };
    if let Some(turn) = flight.socket() {
        if plan.has_socket(flight.call(), live, &app.config) {
            if let Some(answered) = Box::pin(by_socket::ask(app, turn, live, &request, &route)).await {
                return answered;
            }
            route.head_timeout = left(app, deadline);
        } else {
            turn.line.close();
        }
    }
    app.ports.upstream.send(request, &route).await
}

/// Returns the answer, decompressed and without the account's secrets in its headers.
fn checked(live: &LiveAccount, answer: Response<Body>) -> Result<Response<Body>, String> {
    let status = answer.status();
    if !media::is_final(status) {
        let status = status.as_u16();
        return Err(format!(
            "the provider answered {status}, which no answer can have"
        ));
    }
    let mut answer = unpack::opened(answer)?;
    hide_headers(live, answer.headers_mut());
    Ok(answer)
}

fn unreachable(error: UpstreamError) -> FailedAttempt {
    let code = match error.kind {
        UpstreamErrorKind::Timeout => Code::ProviderTimeout,
        UpstreamErrorKind::Broken | UpstreamErrorKind::Stale => Code::ProviderBroke,
        _ => Code::ProviderUnreachable,
    };
    let outcome = Outcome::Unwell {
        why: error.kind.to_string(),
        until: None,
    };
    FailedAttempt {
        failure: failures::of_provider(code, None).caused_by(error),
        outcome,
        status: None,
    }
}
