//! One account as the pool sees it, and whether it can serve a call.

use serde::{Deserialize, Serialize};

use super::health::Health;
use super::refresh::Election;
use super::{AccountId, AccountPolicy, Hold, Pick, Skip};
use crate::freshness::OLDER_REFUSED_MS;
use crate::lease::Leases;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// Names an account within the pool, short and for ever.
pub(super) type Number = u64;

/// When an account whose ended denial is being proved may be asked for again.
const PROBE_WAIT_MS: u64 = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) policy: AccountPolicy,
    /// Leases on this account.
    pub(super) held: u32,
    /// The pool's turn when it was last chosen, 0 for never. Clocks are too coarse to order a crowd.
    pub(super) turn: u64,
    pub(super) last_used: Option<Millis>,
    pub(super) health: Health,
    pub(super) election: Option<Election>,
    /// The credentials were replaced: until this end, a roster with older ones is a slow reader's.
    replaced: Option<Deadline>,
}

/// Who asks for an account.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) now: Millis,
    pub(super) call: CallId,
    pub(super) family: &'a str,
    pub(super) tried: &'a [AccountId],
    pub(super) slot: bool,
    pub(super) leases: &'a Leases<Hold>,
}

pub(super) enum Standing {
    Ready {
        backed_off: bool,
    },
    Skipped {
        skip: Skip,
        /// When the account may be expected back, if time alone brings it back.
        back_at: Option<Millis>,
    },
}

impl<'a> Ask<'a> {
    pub(super) fn new(now: Millis, pick: &'a Pick, leases: &'a Leases<Hold>) -> Self {
        Self {
            now,
            call: pick.call,
            family: &pick.family,
            tried: &pick.tried,
            slot: pick.slot,
            leases,
        }
    }
}

impl Account {
    pub(super) fn new(policy: AccountPolicy) -> Self {
        Self {
            policy,
            held: 0,
            turn: 0,
            last_used: None,
            health: Health::default(),
            election: None,
            replaced: None,
        }
    }

    /// Takes over what the store has now; says whether anything changed.
    pub(super) fn learn(&mut self, now: Millis, mut policy: AccountPolicy) -> bool {
        let held = self.policy.credential_version;
        if policy.credential_version < held && self.replaced_lately(now) {
            policy.credential_version = held;
        }
        if policy.credential_version != held {
            self.replaced = Some(Deadline::after(now, OLDER_REFUSED_MS));
            self.health.allow();
        }
        let changed = self.policy != policy;
        self.policy = policy;
        changed
    }

    /// The credentials were refreshed.
    pub(super) fn refreshed(&mut self, now: Millis, version: u64) {
        if version >= self.policy.credential_version {
            self.policy.credential_version = version;
            self.replaced = Some(Deadline::after(now, OLDER_REFUSED_MS));
            self.health.allow();
        }
    }

    pub(super) fn replaced_lately(&self, now: Millis) -> bool {
        self.replaced.is_some_and(|end| !end.passed(now))
    }

    pub(super) fn standing(&self, number: Number, ask: &Ask<'_>) -> Standing {
        let AccountPolicy {
            id,
            active,
            schedulable,
            unusable,
            max_concurrency,
            ..
        } = &self.policy;
        let never = |skip| Standing::Skipped { skip, back_at: None };
        if !active {
            return never(Skip::Inactive);
        }
        if !schedulable {
            return never(Skip::Paused);
        }
        if let Some(why) = unusable {
            return never(Skip::Unusable { why: why.clone() });
        }
        let tried = ask.tried.iter().any(|tried| tried == id);
        if let Some((skip, back_at)) = self.excluded(number, ask) {
            return Standing::Skipped {
                skip: if tried { Skip::Tried } else { skip },
                back_at,
            };
        }
        if tried {
            return never(Skip::Tried);
        }
        if ask.slot && *max_concurrency > 0 && self.held >= *max_concurrency {
            return never(Skip::Full {
                limit: *max_concurrency,
            });
        }
        Standing::Ready {
            backed_off: self.health.backoff_until(ask.now).is_some(),
        }
    }

    /// Why the account's health excludes it, and when that ends.
    fn excluded(&self, number: Number, ask: &Ask<'_>) -> Option<(Skip, Option<Millis>)> {
        let cooling = self.health.cooling(ask.now, ask.family);
        let cooled = cooling.map(|cooldown| cooldown.end.until());
        if let Some(denial) = self.health.denial() {
            let denied = || Skip::Denied {
                why: denial.why.clone(),
                until: denial.end.map(Deadline::until),
            };
            match denial.end {
                None => return Some((denied(), None)),
                Some(end) if !end.passed(ask.now) => {
                    return Some((denied(), cooled.max(Some(end.until()))));
                }
                Some(_) if proving(denial.probe, number, ask) => {
                    return Some((denied(), cooled.max(Some(ask.now.saturating_add(PROBE_WAIT_MS)))));
                }
                Some(_) => {}
            }
        }
        cooling.map(|cooldown| {
            let until = cooldown.end.until();
            (
                Skip::Cooling {
                    until,
                    family: cooldown.family.clone(),
                },
                Some(until),
            )
        })
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        self.health.set_back(now);
        self.last_used = self.last_used.map(|used| used.min(now));
        if let Some(election) = &mut self.election {
            election.end.set_back(now);
        }
        if let Some(end) = &mut self.replaced {
            end.set_back(now);
        }
    }
}

/// Whether another call is proving that the account serves again. It is while it holds its slot.
fn proving(probe: Option<CallId>, number: Number, ask: &Ask<'_>) -> bool {
    let holds = |probe| {
        ask.leases
            .get(probe)
            .is_some_and(|lease| lease.what.account == number)
    };
    probe.is_some_and(|probe| probe != ask.call && holds(probe))
}
