//! Why a call was given what it was given: told when asked for, and when nobody is left.

use serde::{Deserialize, Serialize};

use super::account::{Ask, Number, Obstacle, Ready, Standing};
use super::choice::Rank;
use super::witness::Doubt;
use super::{AccountId, Binding, Pick, Pool, Reply, Unbound};
use crate::Millis;
use crate::time::Deadline;

/// Each list of a trace is no longer than this; a pool may have hundreds of accounts.
const MAX_TRACED: usize = 32;

/// How a choice was come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Those that could serve, the best first.
    pub candidates: Vec<Candidate>,
    /// Those that could not, the nearest to it first: what the call is not meant for comes last.
    pub skipped: Vec<(AccountId, Skip)>,
    /// How many of both are not named.
    pub omitted: usize,
}

/// What an account was ranked by, in this order (see `choice`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub account: AccountId,
    /// The call is bound to something else, but may fall back to it.
    pub fallback: bool,
    /// In trouble a short while ago.
    pub backed_off: bool,
    /// That trouble was met by the calls of one other key alone.
    #[serde(default)]
    pub others_alone: bool,
    pub priority: u32,
    /// It has used what is not kept back of some window.
    pub in_reserve: bool,
    /// Slots held of slots there are; an account without a limit counts as one of ten.
    pub load_permille: u64,
    pub held: u32,
    pub max_concurrency: u32,
    /// The largest share used of a window, if any was measured.
    pub used_permille: Option<u16>,
    /// When what is left of its longest window is lost.
    pub resets_at: Option<Millis>,
    pub last_used: Option<Millis>,
}

/// Why an account was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skip {
    /// The call is bound to another account, or to a group it is not in.
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
    /// Its calls have cost what they may in a day, in micro-USD.
    Quota {
        resets_at: Millis,
        spent: u64,
        limit: u64,
    },
    Full {
        limit: u32,
    },
    /// It could serve, another was preferred. Said only of the account the session was bound to.
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
    pub(super) fn told(self) -> Skip {
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
    pub(super) fn trace(&self, now: Millis, pick: &Pick) -> Trace {
        let ask = Ask::new(now, pick, &self.leases);
        let (mut ready, mut skipped) = (Vec::new(), Vec::new());
        for (number, account) in &self.accounts {
            match account.standing(*number, &ask) {
                Standing::Ready(standing) => ready.push((Rank::of(account, standing, &ask), *number)),
                Standing::Skipped { obstacle, .. } => skipped.push((obstacle, &account.policy.id)),
            }
        }
        ready.sort_unstable();
        skipped.sort_by_key(|(obstacle, _)| matches!(obstacle, Obstacle::NotBound | Obstacle::Dedicated));
        Trace {
            omitted: ready.len().saturating_sub(MAX_TRACED) + skipped.len().saturating_sub(MAX_TRACED),
            candidates: ready
                .into_iter()
                .take(MAX_TRACED)
                .filter_map(|(rank, number)| self.candidate(number, rank.ready(), &ask))
                .collect(),
            skipped: skipped
                .into_iter()
                .take(MAX_TRACED)
                .map(|(obstacle, id)| (id.clone(), obstacle.told()))
                .collect(),
        }
    }

    /// Of the operator's test, which looks at nothing else.
    pub(super) fn trace_of_only(&self, now: Millis, pick: &Pick, number: Number) -> Trace {
        let ask = Ask::new(now, pick, &self.leases);
        let ready = Ready {
            fallback: false,
            doubt: self
                .accounts
                .get(&number)
                .map_or(Doubt::None, |account| account.doubt(number, &ask)),
        };
        Trace {
            candidates: self.candidate(number, ready, &ask).into_iter().collect(),
            ..Trace::default()
        }
    }

    fn candidate(&self, number: Number, ready: Ready, ask: &Ask<'_>) -> Option<Candidate> {
        let account = self.accounts.get(&number)?;
        let rank = Rank::of(account, ready, ask);
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
            used_permille: account.quota.used(ask.now, &ask.pick.family),
            resets_at: account.quota.resets_at(ask.now, &ask.pick.family),
            last_used: account.last_used,
        })
    }

    pub(super) fn nobody_left(&self, now: Millis, pick: &Pick) -> Reply {
        let ask = Ask::new(now, pick, &self.leases);
        let mut skipped = Vec::new();
        let mut earliest: Option<Millis> = None;
        let mut busy = false;
        for (number, account) in &self.accounts {
            match account.standing(*number, &ask) {
                Standing::Ready(_)
                | Standing::Skipped {
                    obstacle: Obstacle::NotBound | Obstacle::OtherKind,
                    ..
                } => {}
                Standing::Skipped { obstacle, back_at } => {
                    busy |= matches!(obstacle, Obstacle::Full(_));
                    earliest = [earliest, back_at].into_iter().flatten().min();
                    skipped.push((account.policy.id.clone(), obstacle.told()));
                }
            }
        }
        Reply::NobodyLeft {
            skipped,
            earliest,
            busy,
            bound: pick.binding.as_ref().map(|binding| self.unbound(binding)),
            origin: None,
        }
    }

    fn unbound(&self, binding: &Binding) -> Unbound {
        let there = match binding {
            Binding::Account(id) => self.numbers.contains_key(id),
            Binding::Group(_) => self
                .accounts
                .values()
                .any(|account| account.policy.is_meant(binding)),
        };
        if there { Unbound::Unable } else { Unbound::Missing }
    }
}
