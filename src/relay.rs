//! The verb: serve one model call.
//!
//! `serve` is the life of a request from the parsed call to the response's head; the body then carries
//! itself ([`stream`]), and whatever happens, [`flight`] settles the call once.

pub mod admit;
pub mod attempt;
pub mod client;
mod conversion;
pub mod entry;
mod estimate;
pub mod flight;
mod gather;
pub mod ledger_writer;
pub(crate) mod mask;
mod media;
pub mod probe;
pub mod refresh;
mod refusal;
pub mod refusal_writer;
pub mod stream;
pub mod token_endpoint;
mod unpack;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use crs_durable::pool;
use http::Response;

use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::upstream::Body;

use self::attempt::Attempt;
use self::entry::Entry;
use self::flight::Flight;
use self::refusal::Refusals;
use crate::dialect::call::Call;
use crate::plan::Plan;
use crate::state::body_memory::Reserved;

/// Accounts one client request may try.
const MAX_ATTEMPTS: u32 = 3;

/// No attempt begins later than this after the request's arrival: the client has better things to do
/// than to wait for a third provider time-out.
const ATTEMPTS_DEADLINE: Duration = Duration::from_mins(2);

/// Serves a call: admits it, finds an account, sends it, and hands on the answer as it comes.
///
/// Until the first byte of an answer is here, another account may be tried; after that the body reports
/// failures in the caller's protocol. A converted stream's head may go out before that ([`stream`]). Dropping
/// the future at any point settles the call.
///
/// `entry`: what the gate holds for the call already; `memory`: what its body is counted by.
pub async fn serve(
    app: &App,
    plan: &'static Plan,
    call: Call,
    entry: Entry,
    memory: Reserved,
) -> Result<Response<Body>, Failure> {
    let mut flight = Flight::new(app, plan, call);
    entry.taken_over();
    flight.counted_by(memory);
    match admit::admit(app, plan.service(), &flight).await {
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
async fn answered(app: &App, plan: &'static Plan, flight: &mut Flight) -> Result<attempt::Answer, Failure> {
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
async fn attempts(app: &App, plan: &'static Plan, flight: &mut Flight) -> Result<attempt::Answer, Failure> {
    let deadline = flight.call().started + ATTEMPTS_DEADLINE.as_micros() as u64;
    let mut tried: Vec<pool::AccountId> = Vec::new();
    let mut last: Option<Failure> = None;
    let mut refusals = Refusals::default();
    let mut turn = 1;
    loop {
        let picked = match admit::pick(app, plan, flight, &tried).await? {
            admit::Pick::Account(picked) => picked,
            admit::Pick::Nobody(failure) => {
                let attempted = last.as_ref().map(|last| last.code);
                return refusals.or(admit::the_clearer_of(last, failure), attempted);
            }
            // What another account's provider would say of it is a riddle; what went wrong on its own is not.
            admit::Pick::OriginAway(failure) => {
                let trouble = |last: &Failure| !matches!(last.code, Code::AccountsLimited | Code::NoAccount);
                let attempted = last.as_ref().map(|last| last.code);
                return refusals.or(last.filter(trouble).unwrap_or(failure), attempted);
            }
        };
        match attempt::attempt(app, plan, flight, &picked).await? {
            Attempt::Answered(answer) => return Ok(answer),
            Attempt::Failed {
                failure,
                outcome,
                status,
            } => {
                flight.attempt_failed(&failure, status);
                let account = picked.account;
                tracing::info!(request = %flight.id(), %account, code = failure.code.name(), detail = failure.log_entry(), "attempt failed");
                let unwell = matches!(outcome, pool::Outcome::Unwell { .. });
                flight
                    .release_account(outcome, status.map(|status| status.as_u16()))
                    .await;
                tried.push(account);
                if turn >= MAX_ATTEMPTS || app.ports.clock.ticks() > deadline {
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
                tracing::info!(request = %flight.id(), account = %picked.account, detail = failure.log_entry(), "the provider refused the request");
                flight.release_account(outcome, Some(status.as_u16())).await;
                tried.push(picked.account);
                if let Some(confirmed) = refusals.confirmed(answer) {
                    return Ok(confirmed);
                }
                if turn >= MAX_ATTEMPTS || app.ports.clock.ticks() > deadline {
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

/// Reads a body to its end or to `limit` bytes, whichever comes first.
pub(crate) async fn read_bounded(
    mut body: Body,
    limit: usize,
) -> Result<Bytes, crate::port::upstream::BodyError> {
    use http_body_util::BodyExt as _;
    let mut read = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(
                data.get(..limit.saturating_sub(read.len()).min(data.len()))
                    .unwrap_or(&data),
            );
        }
        if read.len() >= limit {
            break;
        }
    }
    Ok(read.freeze())
}

/// What a client is told when the provider let every attempt down.
fn provider_failure(code: Code, status: Option<http::StatusCode>) -> Failure {
    let failure = match code {
        Code::ProviderOverloaded => {
            Failure::new(code, "The provider is overloaded. Please try again shortly.")
        }
        Code::ProviderTimeout => Failure::new(code, "The provider did not answer in time. Please try again."),
        Code::ProviderUnreachable => Failure::new(
            code,
            "The provider cannot be reached right now. Please try again shortly.",
        ),
        Code::ProviderBroke => Failure::new(code, "The provider broke the connection off. Please try again."),
        Code::AccountsLimited => Failure::new(
            code,
            "Every account that could serve this call is rate limited. Please try again later.",
        ),
        Code::NoAccount => Failure::new(
            code,
            "No account can serve this call: the provider refused those that were tried. Please ask the operator of this relay to look at them.",
        ),
        _ => Failure::new(
            Code::ProviderFailed,
            "The provider failed to answer. Please try again.",
        ),
    };
    match status {
        Some(status)
            if status.is_server_error() && failure.status.is_server_error() && code != Code::NoAccount =>
        {
            failure.with_status(status)
        }
        _ => failure,
    }
}
