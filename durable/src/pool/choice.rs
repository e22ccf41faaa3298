//! Which account serves an attempt.
//!
//! First the account that the call already holds (its reply was lost), then the one that stores an object the call
//! refers to (`origin`), then the one its session is bound to or is being served by, if it can serve the call and
//! is neither in back-off nor a fallback. Otherwise the first of the able accounts in this order:
//!
//! | by | because |
//! | --- | --- |
//! | the call's binding, before its fallback | the operator's setting of the key |
//! | not in back-off (`health`), nor in one caused by another key alone (`witness`) | it would probably fail, or may |
//! | the lowest priority number | the operator's setting of the account |
//! | not down to its reserve of a measured window | the reserve is for times when no other account is left |
//! | the least load: held slots divided by slots | the provider throttles crowds; an account without a limit counts as one of ten |
//! | the rest of its quota expires soonest: the end of its longest measured window | spend first what expires first; an account without measured windows has nothing to lose |
//! | the least recently used, then the id | fair, and the same everywhere |
//!
//! Load comes before the windows: windows hardly change while calls run, so all calls of a crowd would go to one
//! account. A session stays on its account even if that is down to its reserve or busier than others: the
//! provider's cache is worth more. It leaves an account in back-off or a fallback only for a better one, and
//! ignores trouble that only another key has met.

use super::account::{Account, Inquiry, Number, Obstacle, Ready, Standing};
use super::health::Proof;
use super::witness::Doubt;
use super::{Hold, Pick, Pool, PoolPart, Reply, Skip, Trace};
use crate::Millis;
use crate::lease::Lease;
use crate::rows::Row;
use crate::time::Deadline;

/// The assumed slots of an account without a limit.
const NOMINAL_SLOTS: u32 = 10;

/// See the module. Accounts are compared by these fields in this order; the least one is picked.
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

/// The state of the account that the session is bound to.
enum SessionAccount {
    /// There is none, or it will not serve soon.
    Nothing,
    /// It is only full: the session will come back to it.
    Full,
    /// It can serve, but there may be something better.
    Able(Number, Ready),
}

/// The picked account, and the reasons.
struct Choice {
    account: Number,
    sticky: bool,
    /// The call's session is bound to it once it has served.
    binds: bool,
    trace: Option<Box<Trace>>,
}

impl<'a> Rank<'a> {
    pub(super) fn of(account: &'a Account, ready: Ready, inquiry: &Inquiry<'_>) -> Self {
        let Account { policy, quota, .. } = account;
        let family = &inquiry.pick.family;
        let slots = match policy.max_concurrency {
            0 => NOMINAL_SLOTS,
            limit => limit,
        };
        let used = quota.used(inquiry.now, family);
        Self {
            fallback: ready.fallback,
            doubt: ready.doubt,
            priority: policy.priority,
            in_reserve: used.is_some_and(|used| used >= policy.reserve_from_permille()),
            load_permille: u64::from(account.held) * 1_000 / u64::from(slots),
            resets_at: quota.resets_at(inquiry.now, family).unwrap_or(Millis::MAX),
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
    pub(super) fn pick(&mut self, now: Millis, pick: &Pick) -> Reply {
        let decides = self.freshness.decides(now, pick.learned_since) && !self.lacks_kinds(pick);
        if !decides && !pick.granted {
            return Reply::NeedRoster;
        }
        let previous = self.free(pick.call);
        if let Some(only) = &pick.only {
            return self.pick_only(now, pick, only, previous);
        }
        if let Some(lease) = previous
            && let Some(Standing::Ready(_)) = self.standing(now, pick, lease.what.account)
        {
            let trace = self.traced(now, pick);
            return self.pick_again(now, pick, lease, trace);
        }
        if let Some(reply) = self.pick_origin(now, pick) {
            return reply;
        }
        if let Some(shard) = self.elsewhere(now, pick) {
            return Reply::Elsewhere { shard };
        }
        match self.own(now, pick) {
            SessionAccount::Able(number, ready) if ready.keeps_a_session() => {
                self.renew_session(now, pick);
                let given = Choice {
                    account: number,
                    sticky: true,
                    binds: true,
                    trace: self.traced(now, pick),
                };
                self.take(now, pick, given)
            }
            own => self.pick_best(now, pick, &own),
        }
    }

    /// Whether the call restricts the kinds of accounts but the roster, of an older version, has no kinds. With
    /// `learned_since` 0 the store is unavailable, and the pool decides without them.
    fn lacks_kinds(&self, pick: &Pick) -> bool {
        pick.kinds.is_some()
            && pick.learned_since > 0
            && self
                .accounts
                .values()
                .any(|account| account.policy.kind.is_none())
    }

    /// Looks at the accounts that store an optional object of the call, have its session, or serve it now: returns
    /// the first of those that suit the call best.
    fn own(&self, now: Millis, pick: &Pick) -> SessionAccount {
        let bound = pick.session.and_then(|session| self.sessions.get(now, session));
        let loose = self.loose_origin(now, pick);
        if let Some(number) = loose
            && let Some(Standing::Ready(ready)) = self.standing(now, pick, number)
            && ready.keeps_a_session()
        {
            // Without the object the call loses something; away from its session it does not.
            return SessionAccount::Able(number, ready);
        }
        let awaited = bound.filter(|_| pick.part != PoolPart::OtherShard);
        let full = awaited.and_then(|number| self.standing(now, pick, number));
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
            Some((number, ready)) => SessionAccount::Able(number, ready),
            None if full => SessionAccount::Full,
            None => SessionAccount::Nothing,
        }
    }

    /// The account that stores an object the call depends on, if it is known: picks that one or none, even if the
    /// account was deleted.
    fn pick_origin(&mut self, now: Millis, pick: &Pick) -> Option<Reply> {
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
        let mut reply = self.take(now, pick, given);
        if let Reply::Picked { origin: decisive, .. } = &mut reply {
            *decisive = Some(origin);
        }
        Some(reply)
    }

    fn pick_best(&mut self, now: Millis, pick: &Pick, own: &SessionAccount) -> Reply {
        let (mut trace, best) = if pick.trace {
            let (trace, best) = self.trace(now, pick);
            (Some(Box::new(trace)), best)
        } else {
            (None, self.best(now, pick))
        };
        let Some((best, suits)) = best else {
            let mut reply = self.nobody_left(now, pick);
            if let Reply::NobodyLeft { own_full, .. } = &mut reply {
                *own_full = pick.part != PoolPart::Whole && matches!(own, SessionAccount::Full);
            }
            return reply;
        };
        let (account, sticky) = match *own {
            // No other account suits better, so the session stays.
            SessionAccount::Able(own, ready) if ready <= suits => (own, true),
            SessionAccount::Able(own, _) => {
                if let Some(trace) = &mut trace {
                    trace.skipped.insert(0, (self.id(own), Skip::NotPreferred));
                }
                (best, false)
            }
            SessionAccount::Full | SessionAccount::Nothing => (best, false),
        };
        let full = matches!(own, SessionAccount::Full);
        if full || sticky {
            self.renew_session(now, pick);
        }
        let given = Choice {
            account,
            sticky,
            binds: !full,
            trace,
        };
        self.take(now, pick, given)
    }

    fn best(&self, now: Millis, pick: &Pick) -> Option<(Number, Ready)> {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        let mut best: Option<(Rank<'_>, Number)> = None;
        for (number, account) in &self.accounts {
            let Standing::Ready(ready) = account.standing(*number, &inquiry) else {
                continue;
            };
            let rank = Rank::of(account, ready, &inquiry);
            if best.is_none_or(|(held, _)| rank < held) {
                best = Some((rank, *number));
            }
        }
        best.map(|(rank, number)| (number, rank.ready()))
    }

    /// The operator's test of one account: ignores its marks and limits.
    fn pick_only(&mut self, now: Millis, pick: &Pick, only: &str, previous: Option<Lease<Hold>>) -> Reply {
        let nobody = |skipped| Reply::NobodyLeft {
            skipped,
            earliest: None,
            busy: false,
            bound: None,
            origin: None,
            own_full: false,
        };
        let Some((number, account)) = super::find(&self.numbers, &mut self.accounts, only) else {
            return nobody(Vec::new());
        };
        if let Some(why) = account.policy.unusable.clone().filter(|_| !pick.granted) {
            return nobody(vec![(only.to_owned(), Skip::Unusable { why })]);
        }
        if !pick.granted && pick.tried.iter().any(|tried| tried == only) {
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
                    binds: pick.granted,
                    trace,
                };
                self.take(now, pick, given)
            }
        }
    }

    /// The call already holds this account: its reply was lost, or it asks once more.
    fn pick_again(
        &mut self,
        now: Millis,
        pick: &Pick,
        mut lease: Lease<Hold>,
        trace: Option<Box<Trace>>,
    ) -> Reply {
        lease.end.extend(Deadline::after(now, pick.ttl_ms));
        let Hold { account, sticky, .. } = lease.what;
        self.give(pick.call, lease);
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
        pick.trace.then(|| Box::new(self.trace(now, pick).0))
    }

    fn renew_session(&mut self, now: Millis, pick: &Pick) {
        if let Some(session) = pick.session.filter(|_| pick.slot) {
            let kept = self.sessions.touch(now, session);
            self.touched.extend(kept.into_iter().map(Row::Session));
        }
    }

    fn take(&mut self, now: Millis, pick: &Pick, given: Choice) -> Reply {
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
            // A free call binds nothing.
            session: pick.session.filter(|_| pick.slot && given.binds),
            owner: pick.owner,
            announces: matches!(pick.part, PoolPart::Shard | PoolPart::OtherShard),
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
        self.give(
            pick.call,
            Lease {
                since: now,
                end: Deadline::after(now, pick.ttl_ms),
                what,
            },
        );
        // The turn is persisted, too: of equal accounts the next is the least recently used one, even after a
        // restart.
        self.touched.push(Row::Account(number));
        self.picked(pick, given)
    }

    fn standing<'a>(&'a self, now: Millis, pick: &'a Pick, number: Number) -> Option<Standing<'a>> {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        self.accounts
            .get(&number)
            .map(|account| account.standing(number, &inquiry))
    }
}
