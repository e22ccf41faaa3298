//! One provider call on one account, up to the first byte of its answer.

use std::sync::Arc;

use bytes::Bytes;
use crs_durable::pool::Outcome;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::flight::Flight;
use super::{ERROR_BODY_LIMIT, provider_failure, read_bounded, refresh};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError, Route, UpstreamError, UpstreamErrorKind};
use crate::provider::{Provider, Then, Verdict};
use crate::store::accounts::LiveAccount;

pub(super) enum Attempt {
    Answered(Answer),
    /// Nothing has reached the client: another account may be tried.
    Failed {
        failure: Failure,
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
    /// Whether the rest is an answer worth metering: false for errors that are passed on.
    pub metered: bool,
}

pub(super) async fn attempt(
    app: &App,
    provider: &'static dyn Provider,
    flight: &mut Flight,
    account: &str,
) -> Result<Attempt, Failure> {
    let mut live = match refresh::usable(app, provider, flight.call().id, account).await? {
        refresh::Usable::Account(live) => live,
        refresh::Usable::Unusable { why, outcome } => {
            return Ok(Attempt::Failed {
                failure: provider_failure(Code::NoAccount, None).with_detail(why),
                outcome,
            });
        }
    };
    let mut refreshed = false;
    loop {
        let answer = match send(app, provider, flight, &live).await {
            Ok(answer) => answer,
            Err(failed) => return Ok(failed),
        };
        if answer.status().is_success() {
            return Ok(open(app, provider, answer).await);
        }
        let (answer, verdict) = match judge(app, provider, answer).await {
            Ok(judged) => judged,
            Err(failed) => return Ok(failed),
        };
        if verdict.then == Then::RefreshFirst && !refreshed {
            refreshed = true;
            if let Some(newer) = refresh::after_refusal(app, provider, flight.call().id, &live).await? {
                live = newer;
                continue;
            }
        }
        return Ok(conclude(answer, verdict));
    }
}

async fn send(
    app: &App,
    provider: &dyn Provider,
    flight: &mut Flight,
    live: &Arc<LiveAccount>,
) -> Result<Response<Body>, Attempt> {
    let request = provider
        .request(flight.call(), live, &app.config)
        .map_err(|why| Attempt::Failed {
            failure: provider_failure(Code::NoAccount, None).with_detail(why.clone()),
            outcome: Outcome::Denied { why, until: None },
        })?;
    flight.trying(live);
    let answer = app
        .ports
        .upstream
        .send(request, &route(app, live))
        .await
        .map_err(|error| unreachable(&error))?;
    if answer
        .headers()
        .get(http::header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        let detail = "the provider compressed its answer although identity was asked for";
        return Err(Attempt::Failed {
            failure: provider_failure(Code::ProviderFailed, None).with_detail(detail),
            outcome: Outcome::Unwell {
                why: detail.to_owned(),
            },
        });
    }
    Ok(answer)
}

pub(super) fn route(app: &App, live: &LiveAccount) -> Route {
    Route {
        proxy: live.proxy.clone(),
        connect_timeout: app.config.relay.connect,
        head_timeout: app.config.relay.first_byte,
    }
}

fn unreachable(error: &UpstreamError) -> Attempt {
    let code = match error.kind {
        UpstreamErrorKind::Timeout => Code::ProviderTimeout,
        _ => Code::ProviderUnreachable,
    };
    Attempt::Failed {
        failure: provider_failure(code, None).with_detail(error.to_string()),
        outcome: Outcome::Unwell {
            why: error.kind.to_string(),
        },
    }
}

/// A success is not believed before its first byte: a provider may cut the connection after the head, or
/// open the stream with an error.
async fn open(app: &App, provider: &dyn Provider, answer: Response<Body>) -> Attempt {
    let (head, mut body) = answer.into_parts();
    let cut = |code, why: &str| Attempt::Failed {
        failure: provider_failure(code, None).with_detail(why),
        outcome: Outcome::Unwell { why: why.to_owned() },
    };
    let first = match within(
        &*app.ports.clock,
        app.config.relay.first_byte,
        first_data(&mut body),
    )
    .await
    {
        None => return cut(Code::ProviderTimeout, "no first byte in time"),
        Some(Err(broken)) => return cut(Code::ProviderUnreachable, &broken.to_string()),
        Some(Ok(None)) => return cut(Code::ProviderFailed, "an empty answer"),
        Some(Ok(Some(first))) => first,
    };
    if let Some(verdict) = provider.judge_opening(&first) {
        let detail =
            String::from_utf8_lossy(first.get(..first.len().min(500)).unwrap_or_default()).into_owned();
        return Attempt::Failed {
            failure: provider_failure(verdict.code, None).with_detail(detail),
            outcome: verdict.outcome,
        };
    }
    Attempt::Answered(Answer {
        status: head.status,
        headers: head.headers,
        first,
        rest: Some(body),
        metered: true,
    })
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
        });
    };
    let verdict = provider.judge(head.status, &head.headers, &body, app.ports.clock.now());
    Ok((
        Answer {
            status: head.status,
            headers: head.headers,
            first: body,
            rest: None,
            metered: false,
        },
        verdict,
    ))
}

fn conclude(answer: Answer, verdict: Verdict) -> Attempt {
    match verdict.then {
        Then::PassOn => Attempt::Answered(answer),
        Then::NextAccount | Then::RefreshFirst => {
            let said = String::from_utf8_lossy(
                answer
                    .first
                    .get(..answer.first.len().min(500))
                    .unwrap_or_default(),
            );
            let detail = format!("{}: {said}", answer.status.as_u16());
            Attempt::Failed {
                failure: provider_failure(verdict.code, Some(answer.status)).with_detail(detail),
                outcome: verdict.outcome,
            }
        }
    }
}
