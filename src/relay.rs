//! Serves one model call.
//!
//! `serve` takes a parsed call and returns the head of the response. From then on the response's body drives the
//! call ([`stream`]). [`flight`] settles the call exactly once, however it ends.
//!
//! | module | content |
//! | --- | --- |
//! | `entry` | asks the key's gate before a large body is read |
//! | `admit`, `pick` | ask the key's gate and the platform's pool |
//! | `records` | reads the store's records for gates and pools |
//! | `attempt` | one call on one account, up to the first byte of the answer |
//! | `refresh`, `token_endpoint` | renew OAuth tokens, one refresher per account |
//! | `answer`, `gather`, `media`, `unpack`, `reading`, `conversion` | the account's answer: its parts, reading it whole, its media type, decompression, forms of the provider's host, conversion |
//! | `refusal`, `failures`, `mask` | refusals by providers and their confirmation by a second account; the failures sent to clients; masking of secrets in both |
//! | `stream` | the response's body |
//! | `flight` | the resources a call holds, and its settlement |
//! | [`mod@line`] | the WebSocket to a provider that a client's connection keeps |
//! | `ledger_writer`, `refusal_writer` | write records in the background |
//! | `probe` | the operator's test of an account |
//! | `span` | tracing spans: request, key and account of each log line |
//! | `client`, `estimate`, `headers` | client detection, cost estimates, our own header names |

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
pub(crate) mod line;
pub(crate) mod mask;
mod media;
mod pick;
pub mod probe;
mod reading;
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
use std::sync::Arc;
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
use self::line::SocketTurn;
use self::pick::Pick;
use self::refusal::Refusals;
use crate::dialect::call::Call;
use crate::plan::{Plan, Plans};
use crate::state::body_memory::Reservation;

/// Serves a call: admits it, picks an account, sends it, and forwards the answer as it comes.
///
/// Until the first byte of an answer arrives, another account may be tried. After that the body reports failures
/// in the caller's protocol. The head of a converted stream may be sent earlier ([`stream`]). Dropping the future
/// at any point settles the call.
///
/// `plans`: the plans of the call's path; routes and the model's name choose among them. `entry`: what the gate
/// already holds for the call. `memory`: the reservation for its body. `socket`: what it has of a client's WebSocket,
/// if it is a turn on one.
pub async fn serve(
    app: &App,
    plans: Plans,
    call: Call,
    entry: Entry,
    memory: Reservation,
    socket: Option<Arc<SocketTurn>>,
) -> Result<Response<Body>, Failure> {
    let mut flight = Flight::new(app, plans.likely(&call.model), call);
    entry.taken_over();
    flight.hold_memory(memory);
    flight.is_on(socket);
    match admit::admit(app, plans, &flight).await {
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
    if let Err(failure) = flight.choose(plans) {
        flight.failed(&failure);
        return Err(failure);
    }
    if let Some(alive) = flight.plan().heartbeat(flight.call(), false)
        && !flight.head_names_step()
    {
        return Box::pin(stream::early::serve(app, flight, alive)).await;
    }
    match answered(app, &mut flight).await {
        Ok(answer) => Ok(stream::respond(answer, flight)),
        Err(failure) => {
            flight.failed(&failure);
            Err(failure)
        }
    }
}

/// Returns the account's answer, or a failure if the operator ends the call first.
async fn answered(app: &App, flight: &mut Flight) -> Result<Answer, Failure> {
    let Some(lifeline) = flight.lifeline() else {
        return try_steps(app, flight).await;
    };
    let mut answer = pin!(try_steps(app, flight));
    std::future::poll_fn(|context| match lifeline.poll_cut(context) {
        Poll::Ready(failure) => Poll::Ready(Err(failure)),
        Poll::Pending => answer.as_mut().poll(context),
    })
    .await
}

/// Tries the route's steps in order until an account begins to answer.
async fn try_steps(app: &App, flight: &mut Flight) -> Result<Answer, Failure> {
    loop {
        let plan = flight.plan();
        match attempts(app, plan, flight).await {
            Err(failure) if flight.next_step(&failure) => {
                tracing::info!(code = failure.code.name(), "trying the next step of the route");
            }
            answered => return answered,
        }
    }
}

/// Tries the platform's accounts in order until one begins to answer.
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
                return refusals.or(failures::clearer_failure(last, failure), attempted);
            }
            // If the call failed elsewhere before, that failure is clearer than the pool's answer.
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

/// Pause before the next attempt: about 100 ms, then about 180 ms, with jitter so that calls that failed together
/// do not retry together.
fn backoff(attempts: u32, app: &App) -> Duration {
    let mut noise = [0_u8; 1];
    app.ports.random.fill(&mut noise);
    let [noise] = noise;
    Duration::from_millis(u64::from(attempts) * 75 + u64::from(noise) / 4)
}

/// Limit for a provider's error body, bytes. The rest is ignored.
const ERROR_BODY_LIMIT: usize = 1 << 20;
