//! One account as the pool sees it, and whether it can serve a call.

use serde::{Deserialize, Serialize};

use super::health::{Cooldown, Denial, Health};
use super::policy::Reach;
use super::quota::{Day, Quota};
use super::refresh::Renewals;
use super::witness::Doubt;
use super::{AccountPolicy, Hold, Pick};
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
    /// Leases on this account that take a slot.
    pub(super) held: u32,
    /// The pool's turn when it was last chosen, 0 for never. Clocks are too coarse to order a crowd.
    pub(super) turn: u64,
    pub(super) last_used: Option<Millis>,
    pub(super) health: Health,
    #[serde(default)]
    pub(super) quota: Quota,
    #[serde(default)]
    pub(super) renewals: Renewals,
    /// The credentials were replaced: until this end, a roster with older ones is a slow reader's.
    replaced: Option<Deadline>,
}

/// Who asks for an account. While it asks it holds none.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) now: Millis,
    pub(super) pick: &'a Pick,
    pub(super) leases: &'a Leases<Hold>,
}

/// Nothing here is copied: a pool may look at hundreds of accounts for one call.
pub(super) enum Standing<'a> {
    Ready(Ready),
    Skipped {
        obstacle: Obstacle<'a>,
        /// When the account may be expected back, if time alone brings it back.
        back_at: Option<Millis>,
    },
}

/// How well an account that can serve suits the call; the better is the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ready {
    /// The call is bound to something else.
    pub(super) fallback: bool,
    pub(super) doubt: Doubt,
}

impl Ready {
    /// Whether a session stays on it, whatever else there is: what the provider has cached for it is worth
    /// more than a doubt that another key's calls have raised.
    pub(super) fn keeps_a_session(self) -> bool {
        !self.fallback && self.doubt <= Doubt::Slight
    }
}

/// Why an account cannot serve; see `Skip`.
#[derive(Clone, Copy)]
pub(super) enum Obstacle<'a> {
    /// It is of a kind that cannot serve the call.
    OtherKind,
    NotBound,
    Dedicated,
    Inactive,
    Paused,
    Unusable(&'a str),
    Expired(Millis),
    Model(&'a str),
    Tried,
    Cooling(&'a Cooldown),
    Denied(&'a Denial),
    Quota {
        day: &'a Day,
        limit: u64,
    },
    Full(u32),
}

impl<'a> Ask<'a> {
    pub(super) fn new(now: Millis, pick: &'a Pick, leases: &'a Leases<Hold>) -> Self {
        Self { now, pick, leases }
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
            quota: Quota::default(),
            renewals: Renewals::default(),
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

    pub(super) fn standing<'a>(&'a self, number: Number, ask: &Ask<'a>) -> Standing<'a> {
        let Ask { now, pick, .. } = *ask;
        let fallback = match self.refusal(now, pick) {
            Ok(fallback) => fallback,
            Err(obstacle) => {
                return Standing::Skipped {
                    obstacle,
                    back_at: None,
                };
            }
        };
        let tried = pick.tried.contains(&self.policy.id);
        if let Some((obstacle, back_at)) = self.excluded(number, ask) {
            return Standing::Skipped {
                obstacle: if tried { Obstacle::Tried } else { obstacle },
                back_at,
            };
        }
        let limit = self.policy.max_concurrency;
        let obstacle = if tried {
            Obstacle::Tried
        } else if pick.slot && limit > 0 && self.held >= limit {
            Obstacle::Full(limit)
        } else {
            return Standing::Ready(Ready {
                fallback,
                doubt: self.doubt(number, ask),
            });
        };
        Standing::Skipped {
            obstacle,
            back_at: None,
        }
    }

    /// Whether the operator lets the account serve the call, and if, whether only as a fallback.
    fn refusal<'a>(&'a self, now: Millis, pick: &'a Pick) -> Result<bool, Obstacle<'a>> {
        let policy = &self.policy;
        if !policy.is_of_kind(pick) {
            return Err(Obstacle::OtherKind);
        }
        let fallback = match policy.reach(pick) {
            Reach::NotBound => return Err(Obstacle::NotBound),
            Reach::Dedicated => return Err(Obstacle::Dedicated),
            Reach::Asked => false,
            Reach::Fallback => true,
        };
        if !policy.active {
            return Err(Obstacle::Inactive);
        }
        if !policy.schedulable {
            return Err(Obstacle::Paused);
        }
        if let Some(why) = &policy.unusable {
            return Err(Obstacle::Unusable(why));
        }
        if let Some(at) = policy.expires_at.filter(|at| *at <= now) {
            return Err(Obstacle::Expired(at));
        }
        if !policy.serves_model(&pick.model) {
            return Err(Obstacle::Model(&pick.model));
        }
        Ok(fallback)
    }

    /// What only time (or new credentials) can change, and when it does.
    fn excluded<'a>(&'a self, number: Number, ask: &Ask<'a>) -> Option<(Obstacle<'a>, Option<Millis>)> {
        let cooling = self.health.cooling(ask.now, &ask.pick.family);
        let day = self.used_up(ask.now);
        let back_at = cooling
            .map(|cooldown| cooldown.end.until())
            .max(day.map(|day| day.end.until()));
        if let Some(denial) = self.health.denial() {
            let proving = || denial.probe.is_some_and(holders(ask.leases, number));
            match denial.end {
                None => return Some((Obstacle::Denied(denial), None)),
                Some(end) if !end.passed(ask.now) => {
                    return Some((Obstacle::Denied(denial), back_at.max(Some(end.until()))));
                }
                // Another call is: it is while it holds its slot.
                Some(_) if proving() => {
                    let soon = ask.now.saturating_add(PROBE_WAIT_MS);
                    return Some((Obstacle::Denied(denial), back_at.max(Some(soon))));
                }
                Some(_) => {}
            }
        }
        let limit = self.policy.daily_quota;
        let obstacle = match (cooling, day) {
            (Some(cooldown), _) => Obstacle::Cooling(cooldown),
            (None, Some(day)) => Obstacle::Quota { day, limit },
            (None, None) => return None,
        };
        Some((obstacle, back_at))
    }

    /// The day on which its calls have cost what they may, if it is not over.
    fn used_up(&self, now: Millis) -> Option<&Day> {
        let limit = self.policy.daily_quota;
        self.quota.day(now).filter(|day| limit > 0 && day.spent >= limit)
    }

    pub(super) fn doubt(&self, number: Number, ask: &Ask<'_>) -> Doubt {
        let Pick { family, holder, .. } = ask.pick;
        self.health
            .doubt(ask.now, family, holder, holders(ask.leases, number))
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        self.health.set_back(now);
        self.quota.set_back(now);
        self.last_used = self.last_used.map(|used| used.min(now));
        self.renewals.set_back(now);
        if let Some(end) = &mut self.replaced {
            end.set_back(now);
        }
    }
}

/// Tells of a call whether it has a lease on the account.
pub(super) fn holders(leases: &Leases<Hold>, number: Number) -> impl Fn(CallId) -> bool {
    move |call| leases.get(call).is_some_and(|lease| lease.what.account == number)
}
