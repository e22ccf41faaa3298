//! One account, and whether it can serve a call.

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

/// Short, permanent name of an account within the pool.
pub(super) type Number = u64;

/// When to ask again for an account whose ended denial is being tested by another call.
const PROBE_WAIT_MS: u64 = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) policy: AccountPolicy,
    /// Leases on this account that take a slot.
    pub(super) held: u32,
    /// The pool's turn at the account's last pick, 0 for never. Clocks are too coarse to order a crowd.
    pub(super) turn: u64,
    pub(super) last_used: Option<Millis>,
    pub(super) health: Health,
    #[serde(default)]
    pub(super) quota: Quota,
    #[serde(default)]
    pub(super) renewals: Renewals,
    /// The credentials were replaced: until this end, a roster with older ones comes from a slow reader.
    replaced: Option<Deadline>,
}

/// A request for an account. The call holds none meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'a> {
    pub(super) now: Millis,
    pub(super) pick: &'a Pick,
    pub(super) leases: &'a Leases<Hold>,
}

/// Copies nothing: a pool may look at hundreds of accounts for one call.
pub(super) enum Standing<'a> {
    Ready(Ready),
    Skipped {
        obstacle: Obstacle<'a>,
        /// When the account is expected back, if only time is needed.
        back_at: Option<Millis>,
    },
}

/// How well an account suits a call that it can serve; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ready {
    /// The call is bound to something else.
    pub(super) fallback: bool,
    pub(super) doubt: Doubt,
}

impl Ready {
    /// Whether a session stays on it even if another account would suit better: the provider's cache for the session
    /// is worth more than a doubt raised by another key's calls.
    pub(super) fn keeps_a_session(self) -> bool {
        !self.fallback && self.doubt <= Doubt::Slight
    }
}

/// The reason why an account cannot serve; see `Skip`.
#[derive(Clone, Copy)]
pub(super) enum Obstacle<'a> {
    /// Its kind cannot serve the call.
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

impl<'a> Inquiry<'a> {
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

    /// Takes over the store's current policy; returns whether anything changed.
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

    pub(super) fn standing<'a>(&'a self, number: Number, inquiry: &Inquiry<'a>) -> Standing<'a> {
        let Inquiry { now, pick, .. } = *inquiry;
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
        if let Some((obstacle, back_at)) = self.excluded(number, inquiry) {
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
                doubt: self.doubt(number, inquiry),
            });
        };
        Standing::Skipped {
            obstacle,
            back_at: None,
        }
    }

    /// Whether the operator's settings let the account serve the call. `Ok`: whether only as a fallback.
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

    /// Obstacles that only time or new credentials remove, with the time.
    fn excluded<'a>(
        &'a self,
        number: Number,
        inquiry: &Inquiry<'a>,
    ) -> Option<(Obstacle<'a>, Option<Millis>)> {
        let cooling = self.health.cooling(inquiry.now, &inquiry.pick.family);
        let day = self.used_up(inquiry.now);
        let back_at = cooling
            .map(|cooldown| cooldown.end.until())
            .max(day.map(|day| day.end.until()));
        if let Some(denial) = self.health.denial() {
            let proving = || denial.probe.is_some_and(holders(inquiry.leases, number));
            match denial.end {
                None => return Some((Obstacle::Denied(denial), None)),
                Some(end) if !end.passed(inquiry.now) => {
                    return Some((Obstacle::Denied(denial), back_at.max(Some(end.until()))));
                }
                // Another call is testing the account as long as it holds its slot.
                Some(_) if proving() => {
                    let soon = inquiry.now.saturating_add(PROBE_WAIT_MS);
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

    /// The operator's day whose quota is used up, if it is not over.
    fn used_up(&self, now: Millis) -> Option<&Day> {
        let limit = self.policy.daily_quota;
        self.quota.day(now).filter(|day| limit > 0 && day.spent >= limit)
    }

    pub(super) fn doubt(&self, number: Number, inquiry: &Inquiry<'_>) -> Doubt {
        let Pick { family, holder, .. } = inquiry.pick;
        self.health
            .doubt(inquiry.now, family, holder, holders(inquiry.leases, number))
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

/// Returns a function that says whether a call has a lease on the account.
pub(super) fn holders(leases: &Leases<Hold>, number: Number) -> impl Fn(CallId) -> bool {
    move |call| leases.get(call).is_some_and(|lease| lease.what.account == number)
}
