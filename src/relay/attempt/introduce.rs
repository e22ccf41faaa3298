//! Asks an account about itself before its first call: Google's accounts return their project. The answer is
//! persisted, so each account is asked once.

use std::sync::Arc;

use crs_durable::pool::Outcome;
use http::Response;

use super::exchange::{Exchange, Login, exchange, first_byte_deadline, left};
use super::{FailedAttempt, Stop, judge};
use crate::account::{PROBE_SOON_MS, Then, Verdict};
use crate::app::App;
use crate::error::{Code, excerpt};
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::clock::within;
use crate::port::upstream::Body;
use crate::relay::answer::Answer;
use crate::relay::flight::Flight;
use crate::relay::gather::read_bounded;
use crate::relay::{ERROR_BODY_LIMIT, failures};

/// Pause before an account without an answer is asked again.
const ASK_AGAIN_MS: u64 = 2 * 60_000;

/// Asks the account if the call needs the answer, and stores the answer in `login`.
pub(super) async fn account(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    login: &mut Login,
) -> Result<(), Stop> {
    while let Some(request) = plan.lookup(flight.call(), &login.live, &app.config) {
        let deadline = first_byte_deadline(app);
        match Box::pin(exchange(app, plan, flight, login, request?, deadline)).await? {
            Exchange::Again => {}
            Exchange::Success(answer) => {
                login.live = Box::pin(learn(app, plan, &login.live, answer, deadline)).await?;
                return Ok(());
            }
            Exchange::Refusal(answer, verdict) => return Err(refused(app, flight, &answer, verdict).into()),
        }
    }
    Ok(())
}

/// The relay sent this request on its own, so a refusal concerns the account and not the client's request.
fn refused(app: &App, flight: &Flight, answer: &Answer, verdict: Verdict) -> FailedAttempt {
    let now = app.ports.clock.now();
    match verdict.then {
        Then::Confirm | Then::RefreshThenConfirm => FailedAttempt {
            failure: failures::of_provider(Code::NoAccount, None)
                .with_detail("asked about itself")
                .with_words(&answer.first),
            outcome: Outcome::Denied {
                why: format!("asked about itself: {}", excerpt(&answer.first)),
                until: Some(now + PROBE_SOON_MS),
            },
            status: Some(answer.status),
        },
        Then::PassOn => {
            let status = answer.status.as_u16();
            let why = format!("asked about itself, the account answered {status}");
            FailedAttempt::unwell(Code::ProviderFailed, &why)
        }
        Then::NextAccount | Then::RefreshFirst => judge::failed(answer, verdict, flight.call(), now),
    }
}

/// Reads and persists the account's answer.
async fn learn(
    app: &App,
    plan: &'static Plan,
    live: &LiveAccount,
    answer: Response<Body>,
    deadline: u64,
) -> Result<Arc<LiveAccount>, FailedAttempt> {
    let body = read_bounded(answer.into_body(), ERROR_BODY_LIMIT);
    let Some(Ok(body)) = within(&*app.ports.clock, left(app, deadline), body).await else {
        let why = "the account's answer about itself broke off";
        return Err(FailedAttempt::unwell(Code::ProviderBroke, why));
    };
    let tenant = plan.accounts.looked_up(&body).map_err(|why| FailedAttempt {
        failure: failures::of_provider(Code::NoAccount, None).with_detail(why.clone()),
        outcome: Outcome::Denied {
            why,
            until: Some(app.ports.clock.now() + ASK_AGAIN_MS),
        },
        status: None,
    })?;
    if let Err(error) = app.accounts.learn_tenant(&live.account.id, &tenant).await {
        // The value is used for this call; the next call asks again.
        tracing::warn!(%error, "an account's answer about itself is not persisted");
    }
    Ok(Arc::new(live.speaking_for(tenant)))
}
