//! One provider call on one account, up to the first byte of its answer.
//!
//! | step | function or module |
//! | --- | --- |
//! | load the account, with a token that outlasts the call | [`refresh::usable`] |
//! | ask the account about itself if needed (Google's project) | [`introduce`] |
//! | send one request and judge its answer; renew a refused token once | [`exchange`] |
//! | send it over a WebSocket, if it is a turn on one and the provider takes it so | [`by_socket`] |
//! | repeat without encrypted reasoning that the account cannot read | [`reasoning`] |
//! | read the first bytes of a success | [`open`] |
//! | derive the results of a refusal for the pool and the client | [`judge`] |

mod by_socket;
mod exchange;
mod introduce;
mod judge;
mod open;
mod reasoning;

use crs_durable::pool::Outcome;
use http::StatusCode;

use super::answer::Answer;
use super::flight::{Flight, PickedAccount};
use super::{conversion, failures, refresh};
use crate::account::Unsendable;
use crate::app::App;
use crate::error::{Code, Failure};
use crate::plan::Plan;

use self::exchange::{Exchange, Login};
use self::open::Opener;
use self::reasoning::LeftOut;

pub(super) enum Attempt {
    Answered(Answer),
    Failed(FailedAttempt),
    /// The provider refused the call. The cause may be the account or the request, so another account must
    /// confirm it.
    Refused {
        answer: Answer,
        outcome: Outcome,
    },
}

/// The client has received nothing, so another account may be tried.
pub(super) struct FailedAttempt {
    pub(super) failure: Failure,
    /// The report to the pool.
    pub(super) outcome: Outcome,
    /// Status of the provider's answer, if there was one.
    pub(super) status: Option<StatusCode>,
}

impl FailedAttempt {
    /// A failure with a temporary cause.
    fn unwell(code: Code, why: &str) -> Self {
        Self {
            failure: failures::of_provider(code, None).with_detail(why),
            outcome: Outcome::Unwell {
                why: why.to_owned(),
                until: None,
            },
            status: None,
        }
    }
}

/// Why an attempt ended before the account answered.
enum Stop {
    /// This account cannot serve the call; another may.
    Attempt(FailedAttempt),
    /// No account can serve it.
    Call(Failure),
}

impl From<FailedAttempt> for Stop {
    fn from(failed: FailedAttempt) -> Self {
        Self::Attempt(failed)
    }
}

impl From<Unsendable> for Stop {
    fn from(unsendable: Unsendable) -> Self {
        match unsendable {
            Unsendable::Call(why) => Self::Call(Failure::new(Code::InvalidBody, why)),
            Unsendable::Account(why) => Self::Attempt(FailedAttempt {
                failure: failures::of_provider(Code::NoAccount, None).with_detail(why.clone()),
                outcome: Outcome::Denied { why, until: None },
                status: None,
            }),
        }
    }
}

/// Tries the picked account. An error ends the call, because every other account would fail the same way.
pub(super) async fn attempt(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    picked: &PickedAccount,
) -> Result<Attempt, Failure> {
    match answered(app, plan, flight, picked).await {
        Ok(attempt) => Ok(attempt),
        Err(Stop::Attempt(failed)) => Ok(Attempt::Failed(failed)),
        Err(Stop::Call(failure)) => Err(failure),
    }
}

async fn answered(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    picked: &PickedAccount,
) -> Result<Attempt, Stop> {
    let usable = refresh::usable(app, plan.accounts, flight.call().id, picked).await;
    let mut login = Login::new(
        usable.map_err(|refresh::Unusable { failure, outcome }| FailedAttempt {
            failure,
            outcome,
            status: None,
        })?,
    );
    let plan = plan.on(login.live.account.kind(), flight.call().endpoint);
    flight.set_plan(plan);
    introduce::account(app, plan, flight, &mut login).await?;
    let mut left_out = LeftOut::Nothing;
    loop {
        let deadline = exchange::first_byte_deadline(app);
        let mut request = conversion::request(app, plan, flight.call(), &login.live).await?;
        let kept = std::mem::take(request.extensions_mut());
        match exchange::exchange(app, plan, flight, &mut login, request, deadline).await? {
            Exchange::Again => {}
            Exchange::Success(answer) => {
                flight.head_arrived();
                let (call, source) = flight.call_and_source();
                let opener = Opener {
                    app,
                    plan,
                    call,
                    live: &login.live,
                    kept: &kept,
                    deadline,
                };
                let opened = opener.open(answer, source).await;
                if !matches!(&opened, Ok(Attempt::Answered(answer)) if answer.metered) {
                    flight.source_failed();
                }
                return Ok(opened?);
            }
            Exchange::Refusal(answer, verdict) => {
                let refusal = (answer.status, answer.first.clone());
                let Some((less, now)) = Box::pin(reasoning::less(
                    app,
                    plan,
                    flight.call(),
                    &login.live,
                    refusal,
                    left_out,
                ))
                .await
                else {
                    let now = app.ports.clock.now();
                    return Ok(judge::conclude(answer, verdict, flight.call(), now));
                };
                left_out = now;
                let items = less.items;
                tracing::info!(items, "encrypted reasoning of another account is left out");
                flight.replace_body(less.body, less.fields, items);
            }
        }
    }
}
