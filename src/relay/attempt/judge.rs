//! Reads an unsuccessful answer, has the account's module judge it, and derives the results for pool and client.

use bytes::Bytes;
use crs_durable::Millis;
use crs_durable::pool::Outcome;
use http::Response;

use super::{Attempt, FailedAttempt};
use crate::account::{Then, Verdict};
use crate::app::App;
use crate::dialect::call::Call;
use crate::error::Code;
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError};
use crate::relay::answer::Answer;
use crate::relay::gather::{first_data, joined, read_bounded};
use crate::relay::mask::SecretMask;
use crate::relay::{ERROR_BODY_LIMIT, failures, unpack};

/// Reads the answer, bounded in size and time, and asks the account module for its verdict.
pub(super) async fn judge(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &LiveAccount,
    answer: Response<Body>,
) -> Result<(Answer, Verdict), FailedAttempt> {
    let (head, body) = answer.into_parts();
    let read = within(&*app.ports.clock, app.config.relay.connect, read(body)).await;
    let Some(Ok(body)) = read else {
        return Err(FailedAttempt {
            failure: failures::of_provider(Code::ProviderFailed, Some(head.status))
                .with_detail("the provider's error broke off"),
            outcome: Outcome::Unwell {
                why: format!("status {} without a body", head.status.as_u16()),
                until: None,
            },
            status: Some(head.status),
        });
    };
    // Masked first, so that no later step can leak the account's secrets.
    let body = SecretMask::of(live).body(body);
    let verdict = plan.accounts.judge(
        &call.model,
        head.status,
        &head.headers,
        &body,
        app.ports.clock.now(),
    );
    Ok((Answer::refusal(head.status, head.headers, body), verdict))
}

async fn read(mut body: Body) -> Result<Bytes, BodyError> {
    let first = first_data(&mut body).await?.unwrap_or_default();
    if unpack::is_gzip(&first) {
        unpack::open_gzip(first, &mut body);
        return read_bounded(body, ERROR_BODY_LIMIT).await;
    }
    let rest = read_bounded(body, ERROR_BODY_LIMIT.saturating_sub(first.len())).await?;
    let mut body = joined(first, rest);
    body.truncate(ERROR_BODY_LIMIT);
    Ok(body)
}

/// Ends an attempt that the account refused.
pub(super) fn conclude(answer: Answer, verdict: Verdict, call: &Call, now: Millis) -> Attempt {
    match verdict.then {
        Then::PassOn => Attempt::Answered(answer),
        Then::Confirm | Then::RefreshThenConfirm => Attempt::Refused {
            answer,
            outcome: outcome(verdict.outcome, call),
        },
        Then::NextAccount | Then::RefreshFirst => Attempt::Failed(failed(&answer, verdict, call, now)),
    }
}

/// The account cannot serve the call.
pub(super) fn failed(answer: &Answer, verdict: Verdict, call: &Call, now: Millis) -> FailedAttempt {
    let status = Some(answer.status);
    let mut failure = failures::of_provider(verdict.code, status)
        .with_detail(answer.status.as_u16().to_string())
        .with_words(&answer.first);
    if let Some(at) = verdict.retry_at {
        let wait = at.saturating_sub(now).div_ceil(1000).max(1);
        failure.retry_after = Some(wait);
        if verdict.code == Code::ProviderOverloaded {
            // Some protocols have no header for it, so the message contains it, too.
            let wait = failures::duration(wait);
            failure.message = format!("The provider is overloaded. Please try again in {wait}.");
        }
    }
    FailedAttempt {
        failure,
        outcome: outcome(verdict.outcome, call),
        status,
    }
}

/// The report to the pool. Free calls (list of models, token count) have their own limits and permissions, so
/// their refusals are not reported.
fn outcome(outcome: Outcome, call: &Call) -> Outcome {
    let free = !call.endpoint.takes_slot();
    match outcome {
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
    }
}

/// The outcome with the account's secrets masked in its text.
pub(super) fn masked(live: &LiveAccount, outcome: Outcome) -> Outcome {
    let mask = |why: String| SecretMask::of(live).text(&why).into_owned();
    match outcome {
        Outcome::Unwell { why, until } => Outcome::Unwell {
            why: mask(why),
            until,
        },
        Outcome::Denied { why, until } => Outcome::Denied {
            why: mask(why),
            until,
        },
        Outcome::Refused { why, request } => Outcome::Refused {
            why: mask(why),
            request,
        },
        Outcome::Throttled { until, family, why } => Outcome::Throttled {
            until,
            family,
            why: mask(why),
        },
        other => other,
    }
}

/// Identifies a refused request.
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
