//! One provider call on one account, up to the first byte of its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::pool::Outcome;
use http::header::{self, HeaderValue};
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::admit::Picked;
use super::body::scan;
use super::call::Call;
use super::flight::Flight;
use super::refresh::Renewal;
use super::{ERROR_BODY_LIMIT, provider_failure, read_bounded, refresh};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError, Route, UpstreamError, UpstreamErrorKind};
use crate::provider::{Opening, Provider, Rewrite, Then, Unsendable, Verdict};
use crate::store::accounts::LiveAccount;

/// An account that could not say what a call needs to know is asked again after this long.
const ASK_AGAIN_MS: u64 = 2 * 60_000;

pub(super) enum Attempt {
    Answered(Answer),
    /// Nothing has reached the client: another account may be tried.
    Failed {
        failure: Failure,
        outcome: Outcome,
        /// Of the provider's answer, if there was one.
        status: Option<StatusCode>,
    },
    /// Nobody was asked: the account is of a kind that does not serve such calls.
    OtherKind(Failure),
}

/// An answer whose first byte is here.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first bytes of the body; all of it if there is no `rest`.
    pub first: Bytes,
    pub rest: Option<Body>,
    /// Makes the client's body of it.
    pub rewrite: Option<Box<dyn Rewrite>>,
    /// What is to be measured in place of `first`.
    pub measured: Option<Bytes>,
    /// Whether the rest is an answer worth metering: false for errors that are passed on.
    pub metered: bool,
}

pub(super) async fn attempt(
    app: &App,
    provider: &'static dyn Provider,
    flight: &mut Flight,
    picked: &Picked,
) -> Result<Attempt, Failure> {
    let mut live = match refresh::usable(app, provider, flight.call().id, picked).await {
        refresh::Usable::Account(live) => live,
        refresh::Usable::Unusable { failure, outcome } => {
            return Ok(Attempt::Failed {
                failure,
                outcome,
                status: None,
            });
        }
    };
    let mut refreshed = false;
    let mut left_out = false;
    let mut known = false;
    loop {
        // The head and the first byte share one time-out; a second try after a refused token has its own.
        let deadline = app.ports.clock.ticks() + app.config.relay.first_byte.as_micros() as u64;
        let lookup = provider
            .lookup(flight.call(), &live, &app.config)
            .filter(|_| !known);
        let looks_up = lookup.is_some();
        let request = lookup.unwrap_or_else(|| provider.request(flight.call(), &live, &app.config));
        let mut request = match request {
            Ok(request) => request,
            Err(unsendable) => return not_sent(unsendable),
        };
        let kept = std::mem::take(request.extensions_mut());
        let answer = match send(app, flight, &live, &request, deadline).await {
            Ok(answer) => answer,
            Err(failed) => return Ok(failed),
        };
        flight.measured(answer.headers());
        if answer.status().is_success() && !looks_up {
            return Ok(open(app, provider, flight.call(), &live, answer, &kept, deadline).await);
        }
        if answer.status().is_success() {
            live = match learn(app, provider, &live, answer, deadline).await {
                Ok(knowing) => knowing,
                Err(failed) => return Ok(failed),
            };
            known = true;
            continue;
        }
        let (answer, verdict) = match judge(app, provider, flight.call(), answer).await {
            Ok(judged) => judged,
            Err(failed) => return Ok(failed),
        };
        if !left_out
            && !looks_up
            && let Some((body, items)) =
                provider.without_unreadable(flight.call(), answer.status, &answer.first)
            && let Ok(fields) = scan(&body)
        {
            left_out = true;
            tracing::info!(request = %flight.id(), items, "encrypted reasoning of another account is left out");
            flight.sends_instead(body, fields, items);
            continue;
        }
        if looks_up && verdict.then == Then::PassOn {
            let why = format!(
                "asked about itself, the account answered {}",
                answer.status.as_u16()
            );
            return Ok(failed(Code::ProviderFailed, &why));
        }
        if verdict.then == Then::RefreshFirst && !refreshed {
            refreshed = true;
            match refresh::after_refusal(app, provider, flight.call().id, &live).await {
                Renewal::Newer(newer) => {
                    live = newer;
                    continue;
                }
                // The token endpoint had a bad moment: that says nothing about the credentials.
                Renewal::Failed => {
                    let why = "the token was refused and could not be renewed just now";
                    return Ok(failed(Code::ProviderUnreachable, why));
                }
                Renewal::Refused => {}
            }
        }
        let free = !flight.call().endpoint.takes_slot();
        return Ok(conclude(answer, verdict, free, app.ports.clock.now()));
    }
}

/// An attempt that failed for reasons that pass.
fn failed(code: Code, why: &str) -> Attempt {
    Attempt::Failed {
        failure: provider_failure(code, None).with_detail(why),
        outcome: Outcome::Unwell { why: why.to_owned() },
        status: None,
    }
}

/// The outer error ends the call.
fn not_sent(unsendable: Unsendable) -> Result<Attempt, Failure> {
    match unsendable {
        Unsendable::Call(why) => Err(Failure::new(Code::InvalidBody, why)),
        Unsendable::Account(why) => Ok(Attempt::Failed {
            failure: provider_failure(Code::NoAccount, None).with_detail(why.clone()),
            outcome: Outcome::Denied { why, until: None },
            status: None,
        }),
        Unsendable::OtherKind(why) => Ok(Attempt::OtherKind(
            Failure::new(
                Code::NoAccount,
                "No account here serves this kind of call. Ask the operator of this relay to add one that does.",
            )
            .with_detail(why),
        )),
    }
}

async fn send(
    app: &App,
    flight: &mut Flight,
    live: &Arc<LiveAccount>,
    request: &Request<Bytes>,
    deadline: u64,
) -> Result<Response<Body>, Attempt> {
    let mut answer = send_once(app, flight, live, request, deadline).await;
    if matches!(&answer, Err(error) if error.kind == UpstreamErrorKind::Stale) {
        answer = send_once(app, flight, live, request, deadline).await;
    }
    match answer {
        Err(error) => Err(unreachable(&error)),
        Ok(answer) if is_compressed(&answer) => {
            let why = "the provider compressed its answer although identity was asked for";
            Err(failed(Code::ProviderFailed, why))
        }
        Ok(answer) => Ok(answer),
    }
}

async fn send_once(
    app: &App,
    flight: &mut Flight,
    live: &Arc<LiveAccount>,
    request: &Request<Bytes>,
    deadline: u64,
) -> Result<Response<Body>, UpstreamError> {
    flight.trying(live);
    let route = Route {
        proxy: live.proxy.clone(),
        connect_timeout: app.config.relay.connect,
        head_timeout: left(app, deadline),
    };
    app.ports.upstream.send(request.clone(), &route).await
}

/// Takes in what the account said about itself, and keeps it.
async fn learn(
    app: &App,
    provider: &dyn Provider,
    live: &LiveAccount,
    answer: Response<Body>,
    deadline: u64,
) -> Result<Arc<LiveAccount>, Attempt> {
    let body = read_bounded(answer.into_body(), ERROR_BODY_LIMIT);
    let Some(Ok(body)) = within(&*app.ports.clock, left(app, deadline), body).await else {
        let why = "the account's answer about itself broke off";
        return Err(failed(Code::ProviderBroke, why));
    };
    let tenant = provider.looked_up(&body).map_err(|why| Attempt::Failed {
        failure: provider_failure(Code::NoAccount, None).with_detail(why.clone()),
        outcome: Outcome::Denied {
            why,
            until: Some(app.ports.clock.now() + ASK_AGAIN_MS),
        },
        status: None,
    })?;
    if let Err(error) = app.accounts.learn_tenant(&live.account.id, &tenant).await {
        // Known for this call; the next one asks again.
        tracing::warn!(account = %live.account.id, %error, "what an account said about itself is not stored");
    }
    Ok(Arc::new(live.speaking_for(tenant)))
}

fn left(app: &App, deadline: u64) -> Duration {
    Duration::from_micros(deadline.saturating_sub(app.ports.clock.ticks()))
}

fn is_compressed(answer: &Response<Body>) -> bool {
    let encoding = answer.headers().get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| encoding != "identity")
}

fn unreachable(error: &UpstreamError) -> Attempt {
    let code = match error.kind {
        UpstreamErrorKind::Timeout => Code::ProviderTimeout,
        UpstreamErrorKind::Broken | UpstreamErrorKind::Stale => Code::ProviderBroke,
        _ => Code::ProviderUnreachable,
    };
    Attempt::Failed {
        failure: provider_failure(code, None).with_detail(error.to_string()),
        outcome: Outcome::Unwell {
            why: error.kind.to_string(),
        },
        status: None,
    }
}

/// A success is not believed before its first byte: a provider may cut the connection after the head, or
/// open the stream with an error.
async fn open(
    app: &App,
    provider: &dyn Provider,
    call: &Call,
    live: &LiveAccount,
    answer: Response<Body>,
    kept: &Extensions,
    deadline: u64,
) -> Attempt {
    let (mut head, mut body) = answer.into_parts();
    let patience = left(app, deadline);
    let opening = match within(
        &*app.ports.clock,
        patience,
        opening(app, provider, call, &mut body),
    )
    .await
    {
        None => return failed(Code::ProviderTimeout, "no first byte in time"),
        Some(Err(broken)) => return failed(Code::ProviderBroke, &broken.to_string()),
        Some(Ok(opening)) => opening,
    };
    let first = match opening {
        (first, _) if first.is_empty() => return failed(Code::ProviderFailed, "an empty answer"),
        (first, Opening::Error(verdict)) => {
            return Attempt::Failed {
                failure: provider_failure(verdict.code, None).with_detail(excerpt(&first)),
                outcome: verdict.outcome,
                status: Some(head.status),
            };
        }
        (first, _) => first,
    };
    let (first, rest, measured) = if provider.gathers(call, &head.headers) {
        let patience = left(app, deadline).max(app.config.relay.connect);
        match within(&*app.ports.clock, patience, gather(first, body)).await {
            None => return failed(Code::ProviderTimeout, "no whole answer in time"),
            Some(Err(broken)) => return failed(Code::ProviderBroke, &broken.to_string()),
            Some(Ok(whole)) => match provider.gathered(call, kept, whole) {
                Err(why) => return failed(Code::ProviderFailed, &why),
                Ok(whole) => {
                    is_json(&mut head.headers);
                    (whole.told, None, whole.measured)
                }
            },
        }
    } else {
        (first, Some(body), None)
    };
    let rewrite = rest
        .as_ref()
        .and_then(|_| provider.rewrite(call, live, &head.headers, kept));
    Attempt::Answered(Answer {
        status: head.status,
        headers: head.headers,
        first,
        rest,
        rewrite,
        measured,
        metered: true,
    })
}

/// A whole answer that is larger is given up, bytes: an isolate has 128 MB for everything.
const LARGEST_WHOLE: usize = 32 << 20;

async fn gather(first: Bytes, rest: Body) -> Result<Bytes, BodyError> {
    let rest = read_bounded(rest, LARGEST_WHOLE).await?;
    if rest.len() >= LARGEST_WHOLE {
        return Err(BodyError("the answer is too large to be translated".to_owned()));
    }
    Ok([first, rest].concat().into())
}

/// The body is JSON of ours now, whatever the provider's was.
pub(super) fn is_json(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// More of an opening is not waited for, bytes.
const LONGEST_OPENING: usize = 16 << 10;

/// The first bytes of a body, as many as it takes to tell whether they are an error; none if there are none.
async fn opening(
    app: &App,
    provider: &dyn Provider,
    call: &Call,
    body: &mut Body,
) -> Result<(Bytes, Opening), BodyError> {
    let mut first = Bytes::new();
    loop {
        let Some(more) = first_data(body).await? else {
            return Ok((first, Opening::Well));
        };
        first = if first.is_empty() {
            more
        } else {
            [first, more].concat().into()
        };
        match provider.judge_opening(call, &first, app.ports.clock.now()) {
            Opening::Unclear if first.len() < LONGEST_OPENING => {}
            judged => return Ok((first, judged)),
        }
    }
}

/// The beginning of a provider's words, for the operator.
pub(super) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..body.len().min(500)).unwrap_or_default()).into_owned()
}

/// The first bytes of a body; `None` at its end.
async fn first_data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

/// Reads an answer that is no success, bounded in size and time, and asks the provider's table.
async fn judge(
    app: &App,
    provider: &dyn Provider,
    call: &Call,
    answer: Response<Body>,
) -> Result<(Answer, Verdict), Attempt> {
    let (head, body) = answer.into_parts();
    let read = within(
        &*app.ports.clock,
        app.config.relay.connect,
        read_bounded(body, ERROR_BODY_LIMIT),
    )
    .await;
    let Some(Ok(body)) = read else {
        return Err(Attempt::Failed {
            failure: provider_failure(Code::ProviderFailed, Some(head.status))
                .with_detail("the provider's error broke off"),
            outcome: Outcome::Unwell {
                why: format!("status {} without a body", head.status.as_u16()),
            },
            status: Some(head.status),
        });
    };
    let verdict = provider.judge(call, head.status, &head.headers, &body, app.ports.clock.now());
    Ok((
        Answer {
            status: head.status,
            headers: head.headers,
            first: body,
            rest: None,
            rewrite: None,
            measured: None,
            metered: false,
        },
        verdict,
    ))
}

/// `free`: a call that costs nothing, whose limits and rights are its own and not the account's.
fn conclude(answer: Answer, verdict: Verdict, free: bool, now: Millis) -> Attempt {
    if verdict.then == Then::PassOn {
        return Attempt::Answered(answer);
    }
    let detail = format!("{}: {}", answer.status.as_u16(), excerpt(&answer.first));
    let status = Some(answer.status);
    let mut failure = provider_failure(verdict.code, status).with_detail(detail);
    if let Outcome::Throttled {
        until: Some(until), ..
    } = &verdict.outcome
    {
        failure.retry_after = Some(until.saturating_sub(now).div_ceil(1000).max(1));
    }
    let outcome = match verdict.outcome {
        Outcome::Throttled { .. } | Outcome::Denied { until: Some(_), .. } if free => Outcome::Neutral,
        outcome => outcome,
    };
    Attempt::Failed {
        failure,
        outcome,
        status,
    }
}
