//! The verb: serve one model call.
//!
//! `serve` is the life of a request from the parsed call to the response's head; the body then carries
//! itself ([`stream`]), and whatever happens, [`flight`] settles the call once.
//!
//! | room | what is there |
//! | --- | --- |
//! | `entry` | the key's gate is asked before a costly body is read |
//! | `admit`, `pick` | the questions to the key's gate and to the platform's pool |
//! | `records` | what both are taught of the store's records |
//! | `attempt` | one call on one account, up to the first byte of the answer |
//! | `refresh`, `token_endpoint` | OAuth tokens are renewed, by one refresher |
//! | `answer`, `gather`, `media`, `unpack`, `conversion` | the answer: its parts, read as a whole, its content type, unpacked, converted |
//! | `refusal`, `failures`, `mask` | refusals of providers and how a second account confirms them; the failures that clients get; secrets hidden in both |
//! | `stream` | the response's body |
//! | `flight` | what a call holds, and its one settlement |
//! | `ledger_writer`, `refusal_writer` | what is written behind the calls |
//! | `probe` | the operator's test of an account |
//! | `span` | the tracing spans of a call: request, key and account of its log lines |
//! | `client`, `estimate`, `headers` | which client it is, what a call will cost at most, our own header names |

pub mod admit;
mod answer;
pub mod attempt;
pub mod client;
mod conversion;
pub mod entry;
mod estimate;
pub(crate) mod failures;
pub mod flight;
mod gather;
pub(crate) mod headers;
pub mod ledger_writer;
pub(crate) mod mask;
mod media;
mod pick;
pub mod probe;
mod records;
pub mod refresh;
mod refusal;
pub mod refusal_writer;
pub mod span;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod token_endpoint;
mod unpack;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crs_durable::pool;
use http::Response;
use tracing::Instrument as _;

use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::upstream::Body;

use self::answer::Answer;
use self::attempt::{Attempt, FailedAttempt};
use self::entry::Entry;
use self::flight::Flight;
pub(crate) use self::gather::read_bounded;
use self::pick::Pick;
use self::refusal::Refusals;
use crate::dialect::call::Call;
use crate::plan::Plan;
use crate::state::body_memory::Reservation;

/// Serves a call: admits it, finds an account, sends it, and hands on the answer as it comes.
///
/// Until the first byte of an answer is here, another account may be tried; after that the body reports
/// failures in the caller's protocol. A converted stream's head may go out before that ([`stream`]). Dropping
/// the future at any point settles the call.
///
/// `otherwise`: how the call is served if the key may not use the plan's platform; `entry`: what the gate holds for the
/// call already; `memory`: what its body is counted by.
pub async fn serve(
    app: &App,
    mut plan: &'static Plan,
    otherwise: Option<&'static Plan>,
    call: Call,
    entry: Entry,
    memory: Reservation,
) -> Result<Response<Body>, Failure> {
    let mut flight = Flight::new(app, plan, call);
    entry.taken_over();
    flight.counted_by(memory);
    let mut admitted = admit::admit(app, plan.service(), &flight).await;
    if let (Err(failure), Some(other)) = (&admitted, otherwise)
        && failure.code == Code::ServiceNotPermitted
    {
        plan = other;
        flight.goes_by(plan);
        admitted = admit::admit(app, plan.service(), &flight).await;
    }
    match admitted {
        Ok(admitted) => {
            app.metrics.queued(admitted.waited_ms);
            flight.admitted(admitted.policy, admitted.waited_ms);
        }
        Err(failure) => {
            flight.not_admitted(&failure);
            flight.failed(&failure);
            return Err(failure);
        }
    }
    if let Some(alive) = plan.heartbeat(flight.call(), false) {
        return stream::early::serve(app, plan, flight, alive).await;
    }
    match answered(app, plan, &mut flight).await {
        Ok(answer) => Ok(stream::respond(answer, flight)),
        Err(failure) => {
            flight.failed(&failure);
            Err(failure)
        }
    }
}

/// The accounts' answer, unless the operator ends the call before.
async fn answered(app: &App, plan: &'static Plan, flight: &mut Flight) -> Result<Answer, Failure> {
    let Some(lifeline) = flight.lifeline() else {
        return attempts(app, plan, flight).await;
    };
    let mut attempts = pin!(attempts(app, plan, flight));
    std::future::poll_fn(|context| match lifeline.poll_cut(context) {
        Poll::Ready(failure) => Poll::Ready(Err(failure)),
        Poll::Pending => attempts.as_mut().poll(context),
    })
    .await
}

/// The accounts, one after the other, until one begins to answer.
async fn attempts(app: &App, plan: &'static Plan, flight: &mut Flight) -> Result<Answer, Failure> {
    let limits = &app.config.relay;
    let deadline = flight.call().started + limits.attempts_deadline.as_micros() as u64;
    let mut tried: Vec<pool::AccountId> = Vec::new();
    let mut last: Option<Failure> = None;
    let mut refusals = Refusals::default();
    let mut turn = 1;
    loop {
        let picked = match pick::pick(app, plan, flight, &tried).await? {
            Pick::Account(picked) => picked,
            Pick::Nobody(failure) => {
                let attempted = last.as_ref().map(|last| last.code);
                return refusals.or(failures::the_clearer_of(last, failure), attempted);
            }
            // What another account's provider would say of it is a riddle; what went wrong on its own is not.
            Pick::OriginAway(failure) => {
                let trouble = |last: &Failure| !matches!(last.code, Code::AccountsLimited | Code::NoAccount);
                let attempted = last.as_ref().map(|last| last.code);
                return refusals.or(last.filter(trouble).unwrap_or(failure), attempted);
            }
        };
        let span = flight.span().clone();
        let attempt = attempt::attempt(app, plan, flight, &picked)
            .instrument(span.clone())
            .await?;
        match attempt {
            Attempt::Answered(answer) => return Ok(answer),
            Attempt::Failed(FailedAttempt {
                failure,
                outcome,
                status,
            }) => {
                flight.attempt_failed(&failure, status);
                let account = picked.account;
                span.in_scope(|| {
                    let (detail, causes) = (failure.log_entry(), failure.causes());
                    tracing::info!(code = failure.code.name(), detail, causes, "attempt failed");
                });
                let unwell = matches!(outcome, pool::Outcome::Unwell { .. });
                flight
                    .release_account(outcome, status.map(|status| status.as_u16()))
                    .instrument(span)
                    .await;
                tried.push(account);
                if turn >= limits.max_attempts || app.ports.clock.ticks() > deadline {
                    let attempted = failure.code;
                    return refusals.or(failure, Some(attempted));
                }
                last = Some(failure);
                if unwell {
                    app.ports.clock.sleep(backoff(turn, app)).await;
                }
                turn += 1;
            }
            Attempt::Refused { answer, outcome } => {
                let (status, failure) = (answer.status, refusal::as_failure(&answer));
                flight.attempt_failed(&failure, Some(status));
                span.in_scope(|| {
                    tracing::info!(
                        status = status.as_u16(),
                        detail = failure.log_entry(),
                        "the provider refused the request"
                    );
                });
                flight
                    .release_account(outcome, Some(status.as_u16()))
                    .instrument(span)
                    .await;
                tried.push(picked.account);
                if let Some(confirmed) = refusals.confirmed(answer) {
                    return Ok(confirmed);
                }
                if turn >= limits.max_attempts || app.ports.clock.ticks() > deadline {
                    let attempted = last.as_ref().map(|last| last.code);
                    return refusals.or(last.unwrap_or(failure), attempted);
                }
                turn += 1;
            }
        }
    }
}

/// About 100 ms, then about 180 ms, with jitter, so that a crowd that failed together does not return together.
fn backoff(attempts: u32, app: &App) -> Duration {
    let mut noise = [0_u8; 1];
    app.ports.random.fill(&mut noise);
    let [noise] = noise;
    Duration::from_millis(u64::from(attempts) * 75 + u64::from(noise) / 4)
}

/// The longest error body of a provider that is read; the rest cannot matter.
const ERROR_BODY_LIMIT: usize = 1 << 20;
