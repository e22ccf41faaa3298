//! The question that an account must answer about itself before its first call: Google's accounts name their project.
//! It is asked once, and the answer is persisted.

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

/// An account that could not say it is asked again after this long.
const ASK_AGAIN_MS: u64 = 2 * 60_000;

/// Asks the account, if the call needs to know. `login` knows the answer afterwards.
pub(super) async fn account(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    login: &mut Login,
) -> Result<(), Stop> {
    while let Some(request) = plan.lookup(flight.call(), &login.live, &app.config) {
        let deadline = first_byte_deadline(app);
        match exchange(app, plan, flight, login, &request?, deadline).await? {
            Exchange::TokenRenewed => {}
            Exchange::Success(answer) => {
                login.live = learn(app, plan, &login.live, answer, deadline).await?;
                return Ok(());
            }
            Exchange::Refusal(answer, verdict) => return Err(refused(app, flight, &answer, verdict).into()),
        }
    }
    Ok(())
}

/// The relay asked on its own account, so a refusal means the account and not the client's request.
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

/// Reads what the account says about itself, and persists it.
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
        // Known for this call; the next one asks again.
        tracing::warn!(%error, "what an account said about itself is not persisted");
    }
    Ok(Arc::new(live.speaking_for(tenant)))
}
