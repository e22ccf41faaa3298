//! The pool as shown to people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::{Account, Number};
use super::{AccountPolicy, Pool, QuotaWindow};
use crate::time::Deadline;
use crate::{CallId, Millis};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub accounts: Vec<AccountSnapshot>,
    pub sessions: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSnapshot {
    pub policy: AccountPolicy,
    pub leases: Vec<LeaseSnapshot>,
    /// Active ones, and guesses that are over but not yet tested (`until` has passed).
    pub cooldowns: Vec<Cooldown>,
    /// When the last active guess ends.
    pub backoff_until: Option<Millis>,
    pub denied: Option<(String, Option<Millis>)>,
    pub last_used: Option<Millis>,
    pub sessions: usize,
    /// The provider's current windows, by the latest answer.
    pub quota: Vec<QuotaWindow>,
    /// Cost of today's calls in micro-USD, if the account has a daily quota, and the end of the day.
    pub spent: Option<(u64, Millis)>,
    /// The oldest first.
    pub errors: Vec<AccountError>,
}

/// The holder of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSnapshot {
    pub call: CallId,
    pub since: Millis,
    pub until: Millis,
    /// The owner of the call, from `Pick::holder`.
    pub holder: String,
    pub family: String,
    /// Whether it takes one of the account's slots.
    pub slot: bool,
    /// Picked because of its session.
    pub sticky: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cooldown {
    /// `None`: all families.
    pub family: Option<String>,
    pub until: Millis,
    pub kind: CooldownKind,
    pub why: String,
    /// The call that is testing the account now.
    pub probe: Option<CallId>,
    /// The only key whose calls met it (`Pick::holder`): it weighs less for other keys.
    #[serde(default)]
    pub only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CooldownKind {
    /// The provider named the end. Excludes the account.
    Measured,
    /// Rate limited without an end: a guess that prefers others.
    Throttled,
    /// In trouble: a guess that prefers others.
    Unwell,
    /// Refused for an unknown reason: a guess that prefers others for the keys that met it.
    Refused,
}

/// An error that was held against the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountError {
    pub at: Millis,
    pub call: CallId,
    /// The provider's status, if it answered.
    pub status: Option<u16>,
    pub why: String,
}

impl Pool {
    pub(super) fn snapshot(&self, now: Millis) -> Snapshot {
        let mut leases: BTreeMap<Number, Vec<_>> = BTreeMap::new();
        for (call, lease) in self.leases.iter() {
            let held = &lease.what;
            leases.entry(held.account).or_default().push(LeaseSnapshot {
                call,
                since: lease.since,
                until: lease.end.until(),
                holder: held.holder.clone(),
                family: held.family.clone(),
                slot: held.slot,
                sticky: held.sticky,
            });
        }
        let mut sessions: BTreeMap<Number, usize> = BTreeMap::new();
        for number in self.sessions.accounts() {
            *sessions.entry(number).or_default() += 1;
        }
        let account = |(number, account): (&Number, &Account)| AccountSnapshot {
            policy: account.policy.clone(),
            leases: leases.remove(number).unwrap_or_default(),
            cooldowns: self.cooldowns(now, *number, account),
            backoff_until: account.health.backoff_until(now),
            denied: account
                .health
                .denial()
                .map(|denial| (denial.why.clone(), denial.end.map(Deadline::until))),
            last_used: account.last_used,
            sessions: sessions.get(number).copied().unwrap_or(0),
            quota: account.quota.shown(now).collect(),
            spent: account.quota.day(now).map(|day| (day.spent, day.end.until())),
            errors: self
                .errors
                .get(number)
                .map(super::errors::Errors::shown)
                .unwrap_or_default(),
        };
        Snapshot {
            accounts: self.accounts.iter().map(account).collect(),
            sessions: self.sessions.len(),
        }
    }

    fn cooldowns(&self, now: Millis, number: Number, account: &Account) -> Vec<Cooldown> {
        let shown = |cooldown: &super::health::Cooldown| Cooldown {
            family: cooldown.family.clone(),
            until: cooldown.end.until(),
            kind: cooldown.kind(),
            only: cooldown.only().map(str::to_owned),
            why: cooldown.why.clone(),
            probe: cooldown.probe(now, super::account::holders(&self.leases, number)),
        };
        account.health.cooldowns(now).map(shown).collect()
    }
}
