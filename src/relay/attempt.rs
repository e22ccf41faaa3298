//! One provider call on one account, up to the first byte of its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use crs_durable::Millis;
use crs_durable::pool::Outcome;
use http::header::{self, HeaderValue};
use http::{Extensions, HeaderMap, Request, Response, StatusCode};

use super::admit::{self, Picked};
use super::flight::Flight;
use super::gather::{self, first_data, joined};
use super::mask::{SecretMask, hide_headers};
use super::media::{self, Media};
use super::refresh::Renewal;
use super::{ERROR_BODY_LIMIT, conversion, provider_failure, read_bounded, refresh, unpack};
use crate::account::{Opening, PROBE_SOON_MS, Then, Unsendable, Verdict};
use crate::app::App;
use crate::dialect::answer::Rewrite;
use crate::dialect::body::scan;
use crate::dialect::call::Call;
use crate::dialect::meter::{Meter, streams};
use crate::dialect::origin;
use crate::error::{Code, Failure, excerpt};
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError, OpenedByHost, Route, UpstreamError, UpstreamErrorKind};

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
    /// The provider refused the call, and nobody knows whether it means the account or the request: another
    /// account is to confirm it.
    Refused {
        answer: Answer,
        outcome: Outcome,
    },
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
    plan: &'static Plan,
    flight: &mut Flight,
    picked: &Picked,
) -> Result<Attempt, Failure> {
    let mut live = match refresh::usable(app, plan.accounts, flight.call().id, picked).await {
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
    let mut too_soon = None;
    let mut left_out = LeftOut::Nothing;
    let mut known = false;
    loop {
        // The head and the first byte share one time-out; a second try after a refused token has its own.
        let deadline = app.ports.clock.ticks() + app.config.relay.first_byte.as_micros() as u64;
        let lookup = plan.lookup(flight.call(), &live, &app.config).filter(|_| !known);
        let looks_up = lookup.is_some();
        let request = match lookup {
            Some(lookup) => lookup,
            None => conversion::request(app, plan, flight.call(), &live).await,
        };
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
            flight.head_is_here();
            let (call, source) = flight.call_and_source();
            let opened = open(app, plan, call, &live, answer, &kept, deadline, source).await;
            if !matches!(&opened, Attempt::Answered(answer) if answer.metered) {
                flight.source_failed();
            }
            return Ok(opened);
        }
        if answer.status().is_success() {
            live = match learn(app, plan, &live, answer, deadline).await {
                Ok(knowing) => knowing,
                Err(failed) => return Ok(failed),
            };
            known = true;
            continue;
        }
        let (answer, mut verdict) = match judge(app, plan, flight.call(), &live, answer).await {
            Ok(judged) => judged,
            Err(failed) => return Ok(failed),
        };
        if matches!(verdict.then, Then::RefreshFirst | Then::RefreshThenConfirm) && !refreshed {
            refreshed = true;
            match refresh::after_refusal(app, plan.accounts, flight.call().id, &live).await {
                Renewal::Newer(newer) => {
                    live = Arc::new(newer.in_place_of(&live));
                    continue;
                }
                // The token endpoint had a bad moment: that says nothing about the credentials.
                Renewal::Failed => {
                    let why = "the token was refused and could not be renewed just now";
                    return Ok(failed(Code::ProviderUnreachable, why));
                }
                Renewal::TooSoon(at) => too_soon = Some(at),
                Renewal::Refused => {}
            }
        }
        if let (Some(at), Outcome::Denied { until, .. }) = (too_soon, &mut verdict.outcome) {
            // From then on a refusal is a reason to renew the token again, which may mend it.
            *until = Some(until.map_or(at, |until| until.min(at)));
        }
        if looks_up && matches!(verdict.then, Then::Confirm | Then::RefreshThenConfirm) {
            // The question was the relay's own: whatever is refused, it is the account that is.
            let failure = provider_failure(Code::NoAccount, None)
                .with_detail("asked about itself")
                .with_words(&answer.first);
            return Ok(Attempt::Failed {
                outcome: Outcome::Denied {
                    why: format!("asked about itself: {}", excerpt(&answer.first)),
                    until: Some(app.ports.clock.now() + PROBE_SOON_MS),
                },
                failure,
                status: Some(answer.status),
            });
        }
        if !looks_up
            && left_out != LeftOut::All
            && let said = (answer.status, answer.first.clone())
            && let Some((body, items)) = readable(app, plan, flight.call(), &live, said, &mut left_out).await
            && let Ok(fields) = scan(&body)
        {
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
        return Ok(conclude(answer, verdict, flight.call(), app.ports.clock.now()));
    }
}

/// What was left out of a call because its account could not read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    Nothing,
    /// What the account has not made, as far as that is known.
    Others,
    All,
}

/// The call without what the account cannot read, if it says that there is such: first without what it has not
/// made, then without any of the kind.
async fn readable(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    (status, error): (StatusCode, Bytes),
    left_out: &mut LeftOut,
) -> Option<(Bytes, u32)> {
    let items = plan.unreadable(call, status, &error);
    if items.is_empty() {
        return None;
    }
    if *left_out == LeftOut::Nothing {
        let made = admit::makers(app, plan, call, &live.account.id, &items).await;
        let readable = origin::by_parts(&made);
        let some = readable.contains(&true);
        if let Some(without) = plan.accounts.without_unreadable(call, &readable).filter(|_| some) {
            *left_out = LeftOut::Others;
            return Some(without);
        }
    }
    *left_out = LeftOut::All;
    plan.accounts.without_unreadable(call, &[])
}

/// An attempt that failed for reasons that pass.
fn failed(code: Code, why: &str) -> Attempt {
    Attempt::Failed {
        failure: provider_failure(code, None).with_detail(why),
        outcome: Outcome::Unwell {
            why: why.to_owned(),
            until: None,
        },
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
    let answer = answer.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if !media::is_final(status) {
        let why = format!(
            "the provider answered {}, which no answer can have",
            status.as_u16()
        );
        return Err(failed(Code::ProviderFailed, &why));
    }
    let mut answer = match unpack::opened(answer) {
        Ok(answer) => answer,
        Err(why) => return Err(failed(Code::ProviderFailed, &why)),
    };
    hide_headers(live, answer.headers_mut());
    Ok(answer)
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
    plan: &'static Plan,
    live: &LiveAccount,
    answer: Response<Body>,
    deadline: u64,
) -> Result<Arc<LiveAccount>, Attempt> {
    let body = read_bounded(answer.into_body(), ERROR_BODY_LIMIT);
    let Some(Ok(body)) = within(&*app.ports.clock, left(app, deadline), body).await else {
        let why = "the account's answer about itself broke off";
        return Err(failed(Code::ProviderBroke, why));
    };
    let tenant = plan.accounts.looked_up(&body).map_err(|why| Attempt::Failed {
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
            until: None,
        },
        status: None,
    }
}

/// A success is not believed before its first byte: a provider may cut the connection after the head, or
/// open the stream with an error. `source` becomes what reads the provider's bytes, if they will be converted.
#[expect(
    clippy::too_many_arguments,
    reason = "one caller, and each is a different part of the call"
)]
async fn open(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    answer: Response<Body>,
    kept: &Extensions,
    deadline: u64,
    source: &mut Option<Meter>,
) -> Attempt {
    let (mut head, mut body) = answer.into_parts();
    let patience = left(app, deadline);
    let mut opening_was_packed = false;
    let opening = match within(
        &*app.ports.clock,
        patience,
        opening(app, plan, call, &mut body, &mut opening_was_packed),
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
            let first = SecretMask::of(live).body(first);
            return Attempt::Failed {
                failure: provider_failure(verdict.code, None).with_words(&first),
                outcome: hidden(live, verdict.outcome),
                status: Some(head.status),
            };
        }
        (
            _,
            Opening::Refusal {
                mut verdict,
                status,
                error,
            },
        ) => {
            verdict.outcome = hidden(live, verdict.outcome);
            let error = SecretMask::of(live).body(error);
            is_json(&mut head.headers);
            return conclude(
                refusal(status, head.headers, error),
                verdict,
                call,
                app.ports.clock.now(),
            );
        }
        (first, _) => first,
    };
    match Media::of(&head.headers, &first) {
        Media::Foreign => {
            let first = SecretMask::of(live).body(first);
            let detail = "an answer that is not of its protocol";
            return Attempt::Failed {
                failure: provider_failure(Code::ProviderFailed, None)
                    .with_detail(detail)
                    .with_words(&first),
                outcome: Outcome::Unwell {
                    why: format!("{detail}: {}", excerpt(&first)),
                    until: None,
                },
                status: None,
            };
        }
        media => media.name(&mut head.headers),
    }
    let gathers = plan.gathers(call, &head.headers, &first);
    *source = plan.source_meter(call, &head.headers);
    if source.is_none() && gathers {
        *source = plan.meter(call, &head.headers);
    }
    let opened_by_host = head.extensions.get::<OpenedByHost>().is_some();
    let is_packed =
        opening_was_packed || opened_by_host || head.extensions.get::<unpack::WasPacked>().is_some();
    let (first, rest, measured) = if is_packed && !streams(&head.headers) && !gathers {
        // Only the end of a compressed text shows whether it is whole. Nobody has seen any of it, so
        // another account may still do better.
        let idle = app.config.relay.idle;
        let mut held = BytesMut::from(first);
        let is_whole = match gather::while_it_comes(app, &mut held, &mut body, idle).await {
            None => Err((Code::ProviderTimeout, "the answer stopped halfway".to_owned())),
            Some(Err(broken)) => Err((Code::ProviderBroke, broken.to_string())),
            Some(Ok(true)) if opened_by_host && gather::is_cut(&held) => {
                Err((Code::ProviderBroke, "the compressed answer is cut".to_owned()))
            }
            Some(Ok(is_whole)) => Ok(is_whole),
        };
        match is_whole {
            Err((code, why)) => {
                // What was generated is billed, whoever answers in its place.
                *source = plan.meter(call, &head.headers);
                if let Some(meter) = source {
                    meter.feed(&held);
                }
                return failed(code, &why);
            }
            // One that is too large to be held goes on as it comes.
            Ok(is_whole) => (held.freeze(), (!is_whole).then_some(body), None),
        }
    } else if gathers {
        let patience = left(app, deadline).max(app.config.relay.connect);
        match within(&*app.ports.clock, patience, gather::whole(first, body, source)).await {
            None => return failed(Code::ProviderTimeout, "no whole answer in time"),
            Some(Err(broken)) => return failed(Code::ProviderBroke, &broken.to_string()),
            Some(Ok(whole)) if whole.len() > gather::LARGEST_WHOLE => {
                let why = format!(
                    "an answer of more than {} bytes that must be held as a whole",
                    gather::LARGEST_WHOLE
                );
                return failed(Code::ProviderFailed, &why);
            }
            Some(Ok(whole)) => match conversion::gathered(app, plan, call, kept, whole).await {
                Err(why) => {
                    // The reason may quote the answer, so it counts as the provider's words.
                    let why = SecretMask::of(live).text(&why).into_owned();
                    return Attempt::Failed {
                        failure: provider_failure(Code::ProviderFailed, None).with_words(why.as_bytes()),
                        outcome: Outcome::Unwell { why, until: None },
                        status: None,
                    };
                }
                Ok(whole) => {
                    let kind = if whole.is_stream {
                        "text/event-stream"
                    } else {
                        "application/json"
                    };
                    head.headers
                        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                    (whole.told, None, whole.measured)
                }
            },
        }
    } else {
        (first, Some(body), None)
    };
    let rewrite = rest
        .as_ref()
        .and_then(|_| plan.rewrite(call, live, &head.headers, kept));
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

/// The body is JSON of ours now, whatever the provider's was.
pub(super) fn is_json(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// More of an opening is not waited for, bytes.
const LONGEST_OPENING: usize = 16 << 10;

/// The first bytes of a body, as many as it takes to tell whether they are an error; none if there are none.
async fn opening(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    body: &mut Body,
    was_packed: &mut bool,
) -> Result<(Bytes, Opening), BodyError> {
    let mut first = Bytes::new();
    loop {
        let Some(more) = first_data(body).await? else {
            return Ok((first, Opening::Well));
        };
        if first.is_empty() && !*was_packed && unpack::is_gzip(&more) {
            *was_packed = true;
            unpack::open_gzip(more, body);
            continue;
        }
        first = joined(first, more);
        match plan
            .accounts
            .judge_opening(&call.model, &first, app.ports.clock.now())
        {
            Opening::Unclear if first.len() < LONGEST_OPENING => {}
            judged => return Ok((first, judged)),
        }
    }
}

/// Reads an answer that is no success, bounded in size and time, and asks the provider's table.
async fn judge(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    answer: Response<Body>,
) -> Result<(Answer, Verdict), Attempt> {
    let (head, mut body) = answer.into_parts();
    let read = async {
        let first = first_data(&mut body).await?.unwrap_or_default();
        if unpack::is_gzip(&first) {
            unpack::open_gzip(first, &mut body);
            return read_bounded(body, ERROR_BODY_LIMIT).await;
        }
        let rest = read_bounded(body, ERROR_BODY_LIMIT.saturating_sub(first.len())).await?;
        Ok::<_, BodyError>({
            let mut body = joined(first, rest);
            body.truncate(ERROR_BODY_LIMIT);
            body
        })
    };
    let read = within(&*app.ports.clock, app.config.relay.connect, read).await;
    let Some(Ok(body)) = read else {
        return Err(Attempt::Failed {
            failure: provider_failure(Code::ProviderFailed, Some(head.status))
                .with_detail("the provider's error broke off"),
            outcome: Outcome::Unwell {
                why: format!("status {} without a body", head.status.as_u16()),
                until: None,
            },
            status: Some(head.status),
        });
    };
    // What the provider says is hidden before anybody reads it.
    let body = SecretMask::of(live).body(body);
    let verdict = plan.accounts.judge(
        &call.model,
        head.status,
        &head.headers,
        &body,
        app.ports.clock.now(),
    );
    Ok((refusal(head.status, head.headers, body), verdict))
}

/// An error's answer, which is here as a whole.
fn refusal(status: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    Answer {
        status,
        headers,
        first: body,
        rest: None,
        rewrite: None,
        measured: None,
        metered: false,
    }
}

/// The outcome, with no secret of the account in its words.
fn hidden(live: &LiveAccount, outcome: Outcome) -> Outcome {
    let hide = |why: String| SecretMask::of(live).text(&why).into_owned();
    match outcome {
        Outcome::Unwell { why, until } => Outcome::Unwell {
            why: hide(why),
            until,
        },
        Outcome::Denied { why, until } => Outcome::Denied {
            why: hide(why),
            until,
        },
        Outcome::Refused { why, request } => Outcome::Refused {
            why: hide(why),
            request,
        },
        Outcome::Throttled { until, family, why } => Outcome::Throttled {
            until,
            family,
            why: hide(why),
        },
        other => other,
    }
}

/// Of a call that costs nothing, limits and rights are its own and not the account's.
fn conclude(answer: Answer, verdict: Verdict, call: &Call, now: Millis) -> Attempt {
    let free = !call.endpoint.takes_slot();
    let outcome = match verdict.outcome {
        Outcome::Throttled { .. } | Outcome::Denied { until: Some(_), .. } | Outcome::Refused { .. }
            if free =>
        {
            Outcome::Neutral
        }
        Outcome::Refused { why, .. } => Outcome::Refused {
            why,
            request: fingerprint(call),
        },
        outcome => outcome,
    };
    match verdict.then {
        Then::PassOn => return Attempt::Answered(answer),
        Then::Confirm | Then::RefreshThenConfirm => return Attempt::Refused { answer, outcome },
        Then::NextAccount | Then::RefreshFirst => {}
    }
    let status = Some(answer.status);
    let mut failure = provider_failure(verdict.code, status)
        .with_detail(answer.status.as_u16().to_string())
        .with_words(&answer.first);
    if let Some(at) = verdict.retry_at {
        let wait = at.saturating_sub(now).div_ceil(1000).max(1);
        failure.retry_after = Some(wait);
        if verdict.code == Code::ProviderOverloaded {
            // Not every protocol's clients are told it by a header.
            let spoken = admit::spoken(wait);
            failure.message = format!("The provider is overloaded. Please try again in {spoken}.");
        }
    }
    Attempt::Failed {
        failure,
        outcome,
        status,
    }
}

/// Tells requests apart that were refused.
fn fingerprint(call: &Call) -> u64 {
    use sha2::{Digest as _, Sha256};
    let sum = Sha256::new()
        .chain_update(call.model.as_bytes())
        .chain_update(&call.body)
        .finalize();
    sum.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
