//! The reasons for a choice: on request, and when no account is left.

use serde::{Deserialize, Serialize};

use super::account::{Inquiry, Number, Obstacle, Ready, Standing};
use super::choice::Rank;
use super::witness::Doubt;
use super::{AccountId, Binding, BindingFailure, Pick, Pool, Reply};
use crate::Millis;
use crate::time::Deadline;

/// Maximum length of each list of a trace; a pool may have hundreds of accounts.
const MAX_TRACED: usize = 32;

/// The reasons for a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The able accounts, the best first.
    pub candidates: Vec<Candidate>,
    /// The other accounts, the nearest to being able first; accounts that the call is not meant for come last.
    pub skipped: Vec<(AccountId, Skip)>,
    /// The number of accounts that are left out of both lists.
    pub omitted: usize,
}

/// The rank of an account, field by field in this order (see `choice`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub account: AccountId,
    /// The call is bound to something else, but may fall back to it.
    pub fallback: bool,
    /// In trouble a short while ago.
    pub backed_off: bool,
    /// Only calls of one other key met that trouble.
    #[serde(default)]
    pub others_alone: bool,
    pub priority: u32,
    /// It is down to its reserve of some window.
    pub in_reserve: bool,
    /// Held slots divided by slots; an account without a limit counts as one of ten.
    pub load_permille: u64,
    pub held: u32,
    pub max_concurrency: u32,
    /// The largest used share of a window, if any was measured.
    pub used_permille: Option<u16>,
    /// When the rest of its longest window expires.
    pub resets_at: Option<Millis>,
    pub last_used: Option<Millis>,
}

/// Why an account was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skip {
    /// The call is bound to another account, or to a group without it.
    NotBound,
    /// It only serves calls bound to it or to one of its groups.
    Dedicated,
    Inactive,
    Paused,
    Unusable {
        why: String,
    },
    /// Its subscription has ended.
    Expired {
        at: Millis,
    },
    /// It does not serve the model.
    Model {
        model: String,
    },
    Tried,
    Cooling {
        until: Millis,
        family: Option<String>,
        #[serde(default)]
        why: String,
    },
    Denied {
        why: String,
        until: Option<Millis>,
    },
    /// Its calls have used up its daily quota, in micro-USD.
    Quota {
        resets_at: Millis,
        spent: u64,
        limit: u64,
    },
    Full {
        limit: u32,
    },
    /// It could serve, but another was preferred. Only for the account that the session was bound to.
    NotPreferred,
}

impl Skip {
    /// For people, in a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotBound => "not bound",
            Self::Dedicated => "dedicated",
            Self::Inactive => "inactive",
            Self::Paused => "paused",
            Self::Unusable { .. } => "unusable",
            Self::Expired { .. } => "expired",
            Self::Model { .. } => "model",
            Self::Tried => "tried",
            Self::Cooling { .. } => "cooling",
            Self::Denied { .. } => "denied",
            Self::Quota { .. } => "quota",
            Self::Full { .. } => "full",
            Self::NotPreferred => "not preferred",
        }
    }
}

impl Obstacle<'_> {
    pub(super) fn skip(self) -> Skip {
        match self {
            Self::OtherKind => Skip::Unusable {
                why: "accounts of its kind do not serve such calls".to_owned(),
            },
            Self::NotBound => Skip::NotBound,
            Self::Dedicated => Skip::Dedicated,
            Self::Inactive => Skip::Inactive,
            Self::Paused => Skip::Paused,
            Self::Unusable(why) => Skip::Unusable { why: why.to_owned() },
            Self::Expired(at) => Skip::Expired { at },
            Self::Model(model) => Skip::Model {
                model: model.to_owned(),
            },
            Self::Tried => Skip::Tried,
            Self::Cooling(cooldown) => Skip::Cooling {
                until: cooldown.end.until(),
                family: cooldown.family.clone(),
                why: cooldown.why.clone(),
            },
            Self::Denied(denial) => Skip::Denied {
                why: denial.why.clone(),
                until: denial.end.map(Deadline::until),
            },
            Self::Quota { day, limit } => Skip::Quota {
                resets_at: day.end.until(),
                spent: day.spent,
                limit,
            },
            Self::Full(limit) => Skip::Full { limit },
        }
    }
}

impl Pool {
    /// Also returns the best account: a pool may have hundreds, so they are looked at once.
    pub(super) fn trace(&self, now: Millis, pick: &Pick) -> (Trace, Option<(Number, Ready)>) {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        let (mut ready, mut skipped) = (Vec::new(), Vec::new());
        for (number, account) in &self.accounts {
            match account.standing(*number, &inquiry) {
                Standing::Ready(standing) => ready.push((Rank::of(account, standing, &inquiry), *number)),
                Standing::Skipped { obstacle, .. } => skipped.push((obstacle, &account.policy.id)),
            }
        }
        let omitted = ready.len().saturating_sub(MAX_TRACED) + skipped.len().saturating_sub(MAX_TRACED);
        if ready.len() > MAX_TRACED {
            // Only the listed ones are sorted.
            ready.select_nth_unstable(MAX_TRACED);
            ready.truncate(MAX_TRACED);
        }
        ready.sort_unstable();
        let best = ready.first().map(|(rank, number)| (*number, rank.ready()));
        skipped.sort_by_key(|(obstacle, _)| matches!(obstacle, Obstacle::NotBound | Obstacle::Dedicated));
        let trace = Trace {
            omitted,
            candidates: ready
                .into_iter()
                .filter_map(|(rank, number)| self.candidate(number, rank.ready(), &inquiry))
                .collect(),
            skipped: skipped
                .into_iter()
                .take(MAX_TRACED)
                .map(|(obstacle, id)| (id.clone(), obstacle.skip()))
                .collect(),
        };
        (trace, best)
    }

    /// For the operator's test, which looks at one account only.
    pub(super) fn trace_of_only(&self, now: Millis, pick: &Pick, number: Number) -> Trace {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        let ready = Ready {
            fallback: false,
            doubt: self
                .accounts
                .get(&number)
                .map_or(Doubt::None, |account| account.doubt(number, &inquiry)),
        };
        Trace {
            candidates: self.candidate(number, ready, &inquiry).into_iter().collect(),
            ..Trace::default()
        }
    }

    fn candidate(&self, number: Number, ready: Ready, inquiry: &Inquiry<'_>) -> Option<Candidate> {
        let account = self.accounts.get(&number)?;
        let rank = Rank::of(account, ready, inquiry);
        Some(Candidate {
            account: account.policy.id.clone(),
            fallback: ready.fallback,
            backed_off: ready.doubt != Doubt::None,
            others_alone: ready.doubt == Doubt::Slight,
            priority: account.policy.priority,
            in_reserve: rank.in_reserve(),
            load_permille: rank.load_permille(),
            held: account.held,
            max_concurrency: account.policy.max_concurrency,
            used_permille: account.quota.used(inquiry.now, &inquiry.pick.family),
            resets_at: account.quota.resets_at(inquiry.now, &inquiry.pick.family),
            last_used: account.last_used,
        })
    }

    pub(super) fn nobody_left(&self, now: Millis, pick: &Pick) -> Reply {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        let mut skipped = Vec::new();
        let mut earliest: Option<Millis> = None;
        let mut busy = false;
        for (number, account) in &self.accounts {
            match account.standing(*number, &inquiry) {
                Standing::Ready(_)
                | Standing::Skipped {
                    obstacle: Obstacle::NotBound | Obstacle::OtherKind,
                    ..
                } => {}
                Standing::Skipped { obstacle, back_at } => {
                    busy |= matches!(obstacle, Obstacle::Full(_));
                    earliest = [earliest, back_at].into_iter().flatten().min();
                    skipped.push((account.policy.id.clone(), obstacle.skip()));
                }
            }
        }
        Reply::NobodyLeft {
            skipped,
            earliest,
            busy,
            bound: pick.binding.as_ref().map(|binding| self.unbound(binding)),
            origin: None,
            own_full: false,
        }
    }

    fn unbound(&self, binding: &Binding) -> BindingFailure {
        let there = match binding {
            Binding::Account(id) => self.numbers.contains_key(id),
            Binding::Group(_) => self
                .accounts
                .values()
                .any(|account| account.policy.is_meant(binding)),
        };
        if there {
            BindingFailure::Unable
        } else {
            BindingFailure::Missing
        }
    }
}
