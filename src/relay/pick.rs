//! Which account serves the call: the platform's pool is asked, and taught its roster if it needs one.

use crs_durable::pool;

use super::flight::{Flight, PickReason, PickedAccount};
use super::{failures, records};
use crate::app::App;
use crate::dialect::origin;
use crate::error::{Code, Failure};
use crate::plan::Plan;

pub(super) enum Pick {
    /// The flight holds its slot.
    Account(PickedAccount),
    Nobody(Failure),
    /// The account that keeps what the call refers to cannot serve it now.
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
    let origins: Vec<_> = call
        .refers_to
        .iter()
        .map(|reference| reference.origin(&call.key))
        .collect();
    // The call's reference that the pool names by this number.
    let kind_of = |name: Option<u64>| {
        let at = origins.iter().position(|origin| Some(origin.id) == name)?;
        flight.call().refers_to.get(at).map(|reference| reference.kind)
    };
    let mut ask = pool::Pick {
        session: call.session.as_ref().map(|session| session.hash(&call.key)),
        origins: origins.clone(),
        owner: origin::fingerprint(&call.key.0),
        family: plan.accounts.family(&call.model).to_owned(),
        model: call.model.canonical().to_owned(),
        kinds: plan.kinds(call.endpoint),
        tried: tried.to_vec(),
        only: call.only.clone(),
        binding: policy.and_then(|policy| policy.bindings.get(platform.name()).cloned()),
        fallback: policy.is_some_and(|policy| policy.binding_fallback),
        slot: call.endpoint.takes_slot(),
        learned_since: records::learned_since(app, now),
        holder: policy.map(|policy| policy.id.clone()).unwrap_or_default(),
        trace: true,
        ..pool::Pick::of(call.id, app.config.relay.waiting_ttl().as_millis() as u64)
    };
    for _ in 0..3 {
        match app
            .ports
            .gates
            .pool(platform, pool::Command::Pick(ask.clone()))
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
                return Ok(Pick::Account(picked));
            }
            Ok(pool::Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
                bound,
                origin,
            }) => {
                let failure = failures::of_pool(&skipped, earliest, busy, now);
                if let Some(kind) = kind_of(origin) {
                    let failure = if skipped.is_empty() {
                        failures::origin_gone(kind)
                    } else {
                        failures::origin_away(failure, kind)
                    };
                    flight.nobody_left(skipped);
                    return Ok(Pick::OriginAway(failure));
                }
                flight.nobody_left(skipped);
                return Ok(Pick::Nobody(failures::of_binding(failure, bound)));
            }
            Ok(pool::Reply::NeedRoster) if ask.learned_since == 0 => break,
            Ok(pool::Reply::NeedRoster) => {}
            Ok(_) => return Err(Failure::new(Code::Internal, "The relay's pool gave no answer.")),
            Err(away) => return Err(Failure::relay_unreachable(away)),
        }
        let read = app.roster(platform);
        if let Some(roster) = records::from_the_store(app, &mut ask.learned_since, read).await {
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
