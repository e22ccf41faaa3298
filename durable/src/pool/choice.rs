//! Which account serves an attempt.
//!
//! First the account the call holds already (its answer was lost), then the one that keeps what the call
//! refers to (`origin`), then the one its session is bound to, or is just being served by, if it can serve
//! the call and is neither in back-off nor a fallback. Else, of those that can serve, the first in this order:
//!
//! | by | because |
//! | --- | --- |
//! | what the call is bound to, before what it may fall back to | the operator's word about the key |
//! | not in back-off (`health`), nor in one of another key's making alone (`witness`) | it would probably fail, or may |
//! | the lowest priority number | the operator's word about the account |
//! | not down to its reserve of a measured window | it is kept for when it is needed: when it is alone |
//! | the least load: slots held of slots there are | the provider throttles crowds; an account without a limit counts as one of ten |
//! | what is left is lost soonest: the end of its longest measured window | spend what resets first; an account not measured has nothing to lose |
//! | the least recently used, then the id | fair, and the same everywhere |
//!
//! Load comes before the windows: those hardly change while calls run, so all of a crowd would go to one
//! account. A session stays where it is even when that is down to its reserve or busier than others: what
//! the provider has cached for it is worth more. It leaves back-off and a fallback only for something better,
//! and what only another key has met it does not leave.

use super::account::{Account, Ask, Number, Obstacle, Ready, Standing};
use super::health::Proof;
use super::witness::Doubt;
use super::{Hold, Pick, Pool, Reply, Skip, Trace};
use crate::lease::Lease;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{Changes, Millis};

/// What an account without a limit counts as.
const NOMINAL_SLOTS: u32 = 10;

/// See the module: the order of the fields is the order of the choice, the least is chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    fallback: bool,
    doubt: Doubt,
    priority: u32,
    in_reserve: bool,
    load_permille: u64,
    resets_at: Millis,
    turn: u64,
    id: &'a str,
}

/// The account the session is bound to.
enum Own {
    /// There is none, or it will not serve soon.
    Nothing,
    /// It is only full: the session comes back to it.
    Full,
    /// It can serve, but there may be something better.
    Able(Number, Ready),
}

/// What is given, and how it was come to.
struct Choice {
    account: Number,
    sticky: bool,
    /// The call's session is to be bound to it once it has served.
    binds: bool,
    trace: Option<Box<Trace>>,
}

impl<'a> Rank<'a> {
    pub(super) fn of(account: &'a Account, ready: Ready, ask: &Ask<'_>) -> Self {
        let Account { policy, quota, .. } = account;
        let family = &ask.pick.family;
        let slots = match policy.max_concurrency {
            0 => NOMINAL_SLOTS,
            limit => limit,
        };
        let used = quota.used(ask.now, family);
        Self {
            fallback: ready.fallback,
            doubt: ready.doubt,
            priority: policy.priority,
            in_reserve: used.is_some_and(|used| used >= policy.reserve_from_permille()),
            load_permille: u64::from(account.held) * 1_000 / u64::from(slots),
            resets_at: quota.resets_at(ask.now, family).unwrap_or(Millis::MAX),
            turn: account.turn,
            id: &policy.id,
        }
    }

    pub(super) fn ready(&self) -> Ready {
        Ready {
            fallback: self.fallback,
            doubt: self.doubt,
        }
    }

    pub(super) fn in_reserve(&self) -> bool {
        self.in_reserve
    }

    pub(super) fn load_permille(&self) -> u64 {
        self.load_permille
    }
}

impl Pool {
    pub(super) fn pick(&mut self, now: Millis, pick: &Pick, changes: &mut Changes) -> Reply {
        if !self.freshness.decides(now, pick.learned_since) || self.lacks_kinds(pick) {
            return Reply::NeedRoster;
        }
        let previous = self.free(pick.call);
        changes.leases |= previous.is_some();
        if let Some(only) = &pick.only {
            return self.pick_only(now, pick, only, previous, changes);
        }
        if let Some(lease) = previous
            && let Some(Standing::Ready(_)) = self.standing(now, pick, lease.what.account)
        {
            let trace = self.traced(now, pick);
            return self.pick_again(now, pick, lease, trace);
        }
        if let Some(reply) = self.pick_origin(now, pick, changes) {
            return reply;
        }
        match self.own(now, pick) {
            Own::Able(number, ready) if ready.keeps_a_session() => {
                self.renew_session(now, pick, changes);
                let given = Choice {
                    account: number,
                    sticky: true,
                    binds: true,
                    trace: self.traced(now, pick),
                };
                self.take(now, pick, given, changes)
            }
            own => self.pick_best(now, pick, &own, changes),
        }
    }

    /// Whether the call needs the accounts' kinds and the roster, of an older version, does not have them. With
    /// `learned_since` 0 the store cannot be asked, and the pool decides without them.
    fn lacks_kinds(&self, pick: &Pick) -> bool {
        pick.kinds.is_some()
            && pick.learned_since > 0
            && self
                .accounts
                .values()
                .any(|account| account.policy.kind.is_none())
    }

    /// Of the accounts that keep something the call can do without, have its session, or serve it just now:
    /// the first of those that suit the call best.
    fn own(&self, now: Millis, pick: &Pick) -> Own {
        let bound = pick.session.and_then(|session| self.sessions.get(now, session));
        let loose = self.loose_origin(now, pick);
        if let Some(number) = loose
            && let Some(Standing::Ready(ready)) = self.standing(now, pick, number)
            && ready.keeps_a_session()
        {
            // Elsewhere the call is served with a loss; away from its session, without.
            return Own::Able(number, ready);
        }
        let full = bound.and_then(|number| self.standing(now, pick, number));
        let full = matches!(
            full,
            Some(Standing::Skipped {
                obstacle: Obstacle::Full(_),
                ..
            })
        );
        let serving = pick.session.filter(|_| !full).into_iter();
        let serving = serving.flat_map(|session| self.serving(session));
        let own = loose.into_iter().chain(bound).chain(serving);
        let able = own.filter_map(|number| match self.standing(now, pick, number)? {
            Standing::Ready(ready) => Some((number, ready)),
            Standing::Skipped { .. } => None,
        });
        match able.min_by_key(|(_, ready)| *ready) {
            Some((number, ready)) => Own::Able(number, ready),
            None if full => Own::Full,
            None => Own::Nothing,
        }
    }

    /// The account that keeps what the call cannot do without, if one is known: that one or none, also when the
    /// account was deleted.
    fn pick_origin(&mut self, now: Millis, pick: &Pick, changes: &mut Changes) -> Option<Reply> {
        let (origin, number) = self.strict_origin(now, pick)?;
        if !matches!(self.standing(now, pick, number), Some(Standing::Ready(_))) {
            return Some(self.origin_away(now, pick, origin, number));
        }
        let given = Choice {
            account: number,
            sticky: false,
            binds: true,
            trace: self.traced(now, pick),
        };
        let mut reply = self.take(now, pick, given, changes);
        if let Reply::Picked { origin: told, .. } = &mut reply {
            *told = Some(origin);
        }
        Some(reply)
    }

    fn pick_best(&mut self, now: Millis, pick: &Pick, own: &Own, changes: &mut Changes) -> Reply {
        let Some((best, suits)) = self.best(now, pick) else {
            return self.nobody_left(now, pick);
        };
        let mut trace = self.traced(now, pick);
        let (account, sticky) = match *own {
            // Nothing is better: the session may as well stay.
            Own::Able(own, ready) if ready <= suits => (own, true),
            Own::Able(own, _) => {
                if let Some(trace) = &mut trace {
                    trace.skipped.insert(0, (self.id(own), Skip::NotPreferred));
                }
                (best, false)
            }
            Own::Full | Own::Nothing => (best, false),
        };
        let full = matches!(own, Own::Full);
        if full || sticky {
            self.renew_session(now, pick, changes);
        }
        let given = Choice {
            account,
            sticky,
            binds: !full,
            trace,
        };
        self.take(now, pick, given, changes)
    }

    fn best(&self, now: Millis, pick: &Pick) -> Option<(Number, Ready)> {
        let ask = Ask::new(now, pick, &self.leases);
        let mut best: Option<(Rank<'_>, Number)> = None;
        for (number, account) in &self.accounts {
            let Standing::Ready(ready) = account.standing(*number, &ask) else {
                continue;
            };
            let rank = Rank::of(account, ready, &ask);
            if best.is_none_or(|(held, _)| rank < held) {
                best = Some((rank, *number));
            }
        }
        best.map(|(rank, number)| (number, rank.ready()))
    }

    /// The operator's test of one account: its marks and limits do not count.
    fn pick_only(
        &mut self,
        now: Millis,
        pick: &Pick,
        only: &str,
        previous: Option<Lease<Hold>>,
        changes: &mut Changes,
    ) -> Reply {
        let nobody = |skipped| Reply::NobodyLeft {
            skipped,
            earliest: None,
            busy: false,
            bound: None,
            origin: None,
        };
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, only) else {
            return nobody(Vec::new());
        };
        if let Some(why) = account.policy.unusable.clone() {
            return nobody(vec![(only.to_owned(), Skip::Unusable { why })]);
        }
        if pick.tried.iter().any(|tried| tried == only) {
            return nobody(vec![(only.to_owned(), Skip::Tried)]);
        }
        let trace = pick
            .trace
            .then(|| Box::new(self.trace_of_only(now, pick, number)));
        match previous {
            Some(lease) if lease.what.account == number => self.pick_again(now, pick, lease, trace),
            _ => {
                let given = Choice {
                    account: number,
                    sticky: false,
                    binds: false,
                    trace,
                };
                self.take(now, pick, given, changes)
            }
        }
    }

    /// The call holds this account already: its answer was lost, or it asks once more.
    fn pick_again(
        &mut self,
        now: Millis,
        pick: &Pick,
        mut lease: Lease<Hold>,
        trace: Option<Box<Trace>>,
    ) -> Reply {
        lease.end.extend(Deadline::after(now, pick.ttl_ms));
        let Hold { account, sticky, .. } = lease.what;
        self.put(pick.call, lease);
        self.picked(
            pick,
            Choice {
                account,
                sticky,
                binds: false,
                trace,
            },
        )
    }

    fn picked(&self, pick: &Pick, given: Choice) -> Reply {
        let account = self.accounts.get(&given.account);
        let hold = self.leases.get(pick.call).map(|lease| &lease.what);
        let proof = hold.map_or(Proof::Nothing, Hold::proof);
        let meant = |account: &Account| {
            let binding = pick.binding.as_ref();
            binding.is_some_and(|binding| account.policy.is_meant(binding))
        };
        Reply::Picked {
            account: self.id(given.account),
            revision: account.map_or(0, |account| account.policy.revision),
            on_trial: account.is_some_and(|account| account.health.on_trial(proof)),
            sticky: given.sticky,
            bound: account.is_some_and(meant),
            origin: None,
            trace: given.trace,
        }
    }

    fn traced(&self, now: Millis, pick: &Pick) -> Option<Box<Trace>> {
        pick.trace.then(|| Box::new(self.trace(now, pick)))
    }

    fn renew_session(&mut self, now: Millis, pick: &Pick, changes: &mut Changes) {
        if let Some(session) = pick.session.filter(|_| pick.slot) {
            let kept = self.sessions.touch(now, session);
            changes.lasting |= !kept.is_empty();
            self.touched.extend(kept.into_iter().map(Row::Session));
        }
    }

    fn take(&mut self, now: Millis, pick: &Pick, given: Choice, changes: &mut Changes) -> Reply {
        self.turn = self.turn.saturating_add(1);
        let number = given.account;
        let mut what = Hold {
            account: number,
            sticky: given.sticky,
            turn: self.turn,
            slot: pick.slot,
            credentials: 0,
            family: pick.family.clone(),
            holder: pick.holder.clone(),
            // What is free binds nothing.
            session: pick.session.filter(|_| pick.slot && given.binds),
            owner: pick.owner,
            origins: if pick.slot {
                pick.origins.clone()
            } else {
                Vec::new()
            },
        };
        if let Some(account) = self.accounts.get_mut(&number) {
            account.turn = self.turn;
            account.last_used = Some(now);
            let holds = super::account::holders(&self.leases, number);
            account.health.probed_by(now, pick.call, what.proof(), holds);
            what.credentials = account.policy.credential_version;
        }
        self.put(
            pick.call,
            Lease {
                since: now,
                end: Deadline::after(now, pick.ttl_ms),
                what,
            },
        );
        changes.leases = true;
        // The turn too: of accounts alike the next is the one used longest ago, even after a restart.
        self.touched.push(Row::Account(number));
        self.picked(pick, given)
    }

    fn standing<'a>(&'a self, now: Millis, pick: &'a Pick, number: Number) -> Option<Standing<'a>> {
        let ask = Ask::new(now, pick, &self.leases);
        self.accounts
            .get(&number)
            .map(|account| account.standing(number, &ask))
    }
}
