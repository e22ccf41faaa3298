//! Picks the account for a call: asks the platform's pool and sends it the roster if needed.

use std::time::Duration;

use crs_durable::pool;

use super::flight::{Flight, PickReason, PickedAccount};
use super::{failures, records};
use crate::app::App;
use crate::dialect::origin;
use crate::error::{Code, Failure};
use crate::model::account::Platform;
use crate::plan::Plan;

/// Time that the report of a call may take after its answer.
const REPORTED_WITHIN: Duration = Duration::from_millis(500);

pub(super) enum Pick {
    /// The flight holds the account's slot.
    Account(PickedAccount),
    Nobody(Failure),
    /// The account that stores the referenced object cannot serve it now.
    OriginAway(Failure),
}

/// Asks the platform's pool. On success the flight holds the account's slot.
pub(super) async fn pick(
    app: &App,
    plan: &'static Plan,
    flight: &mut Flight,
    tried: &[pool::AccountId],
) -> Result<Pick, Failure> {
    let platform = plan.platform();
    let now = app.ports.clock.now();
    let call = flight.call();
    let policy = flight.policy();
    let (binding, fallback) = flight.binding();
    let origins: Vec<_> = call
        .refers_to
        .iter()
        .map(|reference| reference.origin(&call.key))
        .collect();
    // The call's reference with the number given by the pool.
    let kind_of = |name: Option<u64>| {
        let at = origins.iter().position(|origin| Some(origin.id) == name)?;
        flight.call().refers_to.get(at).map(|reference| reference.kind)
    };
    let of_object = call.endpoint.is_about_an_object();
    if of_object && !is_known(app, platform, &origins).await {
        return Err(failures::unknown_response());
    }
    let mut since = records::learned_since(app, now);
    let question = |learned_since| pool::Pick {
        session: call.session.as_ref().map(|session| session.hash(&call.key)),
        origins: origins.clone(),
        owner: origin::fingerprint(&call.key.0),
        family: plan.accounts.family(&call.model).to_owned(),
        model: call.model.canonical().to_owned(),
        kinds: plan.kinds(call.endpoint),
        tried: tried.to_vec(),
        only: call.only.clone(),
        binding: binding.clone(),
        fallback,
        slot: call.endpoint.takes_slot(),
        learned_since,
        holder: policy.map(|policy| policy.id.clone()).unwrap_or_default(),
        trace: true,
        ..pool::Pick::of(call.id, app.config.relay.waiting_ttl().as_millis() as u64)
    };
    for _ in 0..3 {
        match app
            .ports
            .gates
            .pool(platform, pool::Command::Pick(question(since)))
            .await
        {
            Ok(pool::Reply::Picked {
                account,
                revision,
                on_trial,
                sticky,
                bound,
                origin,
                trace,
            }) => {
                let picked = PickedAccount {
                    account,
                    revision,
                    on_trial,
                };
                let followed = kind_of(origin);
                let reason = PickReason {
                    sticky,
                    bound,
                    followed,
                };
                flight.hold(picked.clone(), reason, trace);
                // It was forgotten just now.
                if of_object && followed.is_none() {
                    return Err(failures::unknown_response());
                }
                return Ok(Pick::Account(picked));
            }
            Ok(pool::Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
                bound,
                origin,
                ..
            }) => {
                let failure = failures::of_pool(&skipped, earliest, busy, now);
                if of_object && (origin.is_none() || skipped.is_empty()) {
                    return Err(failures::unknown_response());
                }
                if let Some(kind) = kind_of(origin) {
                    let failure = if skipped.is_empty() {
                        failures::origin_gone(kind)
                    } else {
                        failures::origin_away(failure, kind)
                    };
                    flight.nobody_left(skipped);
                    flight.origin_is_away();
                    return Ok(Pick::OriginAway(failure));
                }
                if skipped.is_empty() && bound.is_none() && tried.is_empty() {
                    flight.none_set_up();
                }
                flight.nobody_left(skipped);
                return Ok(Pick::Nobody(failures::of_binding(failure, bound)));
            }
            Ok(pool::Reply::NeedRoster) if since == 0 => break,
            Ok(pool::Reply::NeedRoster) => {}
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's pool gave no answer.")),
            Err(away) => return Err(Failure::relay_unreachable(away)),
        }
        let read = app.roster(platform);
        if let Some(roster) = Box::pin(records::from_the_store(app, &mut since, read)).await {
            let learned = app
                .ports
                .gates
                .pool(platform, pool::Command::Learn { roster })
                .await;
            learned.map_err(Failure::relay_unreachable)?;
        }
    }
    Err(Failure::relay_unavailable("the accounts cannot be read"))
}

/// Whether the pool knows an account for these objects of the key. An answer ends before the pool hears what it
/// made, so an unknown object is asked for once more.
async fn is_known(app: &App, platform: Platform, origins: &[pool::Origin]) -> bool {
    for last in [false, true] {
        let question = pool::Command::MadeBy {
            account: String::new(),
            origins: origins.iter().map(|origin| origin.id).collect(),
        };
        match app.ports.gates.pool(platform, question).await {
            Ok(pool::Reply::MadeBy { made }) if made.iter().all(Option::is_none) => {}
            // Whoever cannot be asked now cannot be asked for an account either, and that is said then.
            _ => return true,
        }
        if !last {
            app.ports.clock.sleep(REPORTED_WITHIN).await;
        }
    }
    false
}
