//! Which account a pool must choose.

use crs_durable::pool::{
    AccountPolicy, Binding, BindingFailure, Cooldown, CooldownKind, Pick, Reply, Skip, Snapshot, Trace,
};
use crs_durable::{CallId, Millis};

use super::{Account, Held, Model, SESSION_TTL_MS};
use crate::world::Lease;

/// What accounts that can serve are ordered by.
type Rank = (bool, u8, u32, bool, u64, Millis, u64, String);

fn is_meant(policy: &AccountPolicy, binding: &Binding) -> bool {
    match binding {
        Binding::Account(id) => policy.id == *id,
        Binding::Group(group) => policy.groups.contains(group),
    }
}

/// Why the operator does not let the account serve the call.
fn refusal(now: Millis, pick: &Pick, policy: &AccountPolicy) -> Option<Skip> {
    let bound = pick.binding.as_ref();
    let meant = bound.is_some_and(|binding| is_meant(policy, binding));
    let model = |names: &std::collections::BTreeSet<String>| {
        let model = pick.model.to_ascii_lowercase();
        model.is_empty() || names.iter().any(|name| name.to_ascii_lowercase() == model)
    };
    let refusals = [
        (bound.is_some() && !meant && !pick.fallback, Skip::NotBound),
        (!meant && !policy.shared, Skip::Dedicated),
        (!policy.active, Skip::Inactive),
        (!policy.schedulable, Skip::Paused),
        (
            policy.unusable.is_some(),
            Skip::Unusable {
                why: policy.unusable.clone().unwrap_or_default(),
            },
        ),
        (
            policy.expires_at.is_some_and(|at| at <= now),
            Skip::Expired {
                at: policy.expires_at.unwrap_or_default(),
            },
        ),
        (
            !policy.supported_models.as_ref().is_none_or(model),
            Skip::Model {
                model: pick.model.clone(),
            },
        ),
    ];
    let mut refusals = refusals.into_iter();
    refusals.find(|(refused, _)| *refused).map(|(_, refusal)| refusal)
}

impl Model {
    fn holds(&self, call: CallId, account: &str) -> bool {
        self.leases
            .get(call)
            .is_some_and(|lease| lease.what.account == account)
    }

    fn slots(&self, account: &str) -> u32 {
        let held = self.leases.0.iter().filter(|lease| lease.what.account == account);
        u32::try_from(held.filter(|lease| lease.what.slot).count()).unwrap()
    }

    /// Why the account cannot serve, and when time heals that.
    fn obstacle(&self, now: Millis, pick: &Pick, account: &Account) -> Option<(Skip, Option<Millis>)> {
        let policy = &account.policy;
        if let Some(refusal) = refusal(now, pick, policy) {
            return Some((refusal, None));
        }
        let cooling = account
            .cooldowns
            .iter()
            .filter(|(family, end)| {
                now < end.until && family.as_ref().is_none_or(|family| *family == pick.family)
            })
            .map(|(family, end)| (end.until, family.clone()))
            .max_by_key(|(until, _)| *until);
        let limit = policy.daily_quota;
        let spent = account
            .quota
            .spent(now)
            .filter(|(spent, _)| limit > 0 && *spent >= limit);
        let healed = cooling
            .as_ref()
            .map(|(until, _)| *until)
            .max(spent.map(|(_, until)| until));
        let proving = account
            .probe
            .is_some_and(|probe| probe != pick.call && self.holds(probe, &policy.id));
        let denied = |why: &str, until| Skip::Denied {
            why: why.to_owned(),
            until,
        };
        let marked = match (&account.denied, cooling, spent) {
            (Some((why, None)), ..) => Some((denied(why, None), None)),
            (Some((why, Some(end))), ..) if now < end.until => {
                Some((denied(why, Some(end.until)), healed.max(Some(end.until))))
            }
            (Some((why, Some(end))), ..) if proving => {
                Some((denied(why, Some(end.until)), healed.max(Some(now + 1_000))))
            }
            (_, Some((until, family)), _) => {
                let why = "limited".to_owned();
                Some((Skip::Cooling { until, family, why }, healed))
            }
            (_, None, Some((spent, resets_at))) => Some((
                Skip::Quota {
                    resets_at,
                    spent,
                    limit,
                },
                healed,
            )),
            (_, None, None) => None,
        };
        let tried = pick.tried.contains(&policy.id);
        let limit = policy.max_concurrency;
        let full = pick.slot && limit > 0 && self.slots(&policy.id) >= limit;
        match marked {
            Some((_, back_at)) if tried => Some((Skip::Tried, back_at)),
            Some(marked) => Some(marked),
            None if tried => Some((Skip::Tried, None)),
            None if full => Some((Skip::Full { limit }, None)),
            None => None,
        }
    }

    fn rank(&self, now: Millis, before: &Snapshot, pick: &Pick, account: &Account) -> Rank {
        let policy = &account.policy;
        let shown = before.accounts.iter().find(|shown| shown.policy.id == policy.id);
        // A probe is over when its call is given something else.
        let held_back = |probe| probe != pick.call && self.holds(probe, &policy.id);
        let holds = |one: &&Cooldown| {
            one.kind != CooldownKind::Measured
                && one.family.as_ref().is_none_or(|family| *family == pick.family)
                && (now < one.until || one.probe.is_some_and(held_back))
        };
        let guesses = shown.into_iter().flat_map(|shown| &shown.cooldowns).filter(holds);
        let doubts = guesses.map(|one| match (&one.only, one.kind) {
            (Some(only), CooldownKind::Refused) if *only != pick.holder => 0,
            (Some(only), _) if *only != pick.holder => 1,
            _ => 2,
        });
        let doubt = doubts.max().unwrap_or(0);
        let bound = pick.binding.as_ref();
        let (used, resets) = account.quota.left(now, &pick.family);
        let reserve = 1_000_u16.saturating_sub(u16::from(policy.reserve_percent) * 10);
        let slots = match policy.max_concurrency {
            0 => 10,
            limit => limit,
        };
        (
            bound.is_some_and(|binding| !is_meant(policy, binding)),
            doubt,
            policy.priority,
            used.is_some_and(|used| used >= reserve),
            u64::from(self.slots(&policy.id) * 1_000 / slots),
            resets.unwrap_or(Millis::MAX),
            account.turn,
            policy.id.clone(),
        )
    }

    pub(super) fn pick(&mut self, now: Millis, before: &Snapshot, pick: &Pick, reply: &Reply) {
        let previous = self.leases.free(pick.call);
        if let Reply::Picked {
            account,
            bound,
            trace,
            ..
        } = reply
        {
            let account = self.account(account).expect("an account that is there");
            let meant = pick
                .binding
                .as_ref()
                .map(|binding| is_meant(&account.policy, binding));
            assert_eq!(*bound, meant == Some(true));
            assert_eq!(trace.is_some(), pick.trace);
            if pick.only.is_none() {
                assert!(meant != Some(false) || pick.fallback, "fell back in silence");
                assert!(
                    meant == Some(true) || account.policy.shared,
                    "given a dedicated one"
                );
                let other = account
                    .probe
                    .is_some_and(|probe| self.holds(probe, &account.policy.id));
                assert!(account.denied.is_none() || !other, "a probe is alone");
            }
        }
        match &pick.only {
            Some(only) => self.pick_only(now, pick, only, previous, reply),
            None => self.pick_any(now, before, pick, previous, reply),
        }
    }

    fn pick_only(
        &mut self,
        now: Millis,
        pick: &Pick,
        only: &String,
        previous: Option<Lease<Held>>,
        reply: &Reply,
    ) {
        let usable = self
            .account(only)
            .is_some_and(|account| account.policy.unusable.is_none());
        let expected = (usable && !pick.tried.contains(only)).then(|| only.clone());
        match reply {
            Reply::Picked { account, .. } => {
                assert_eq!(Some(account), expected.as_ref());
                let same = previous.filter(|lease| lease.what.account == *account);
                let sticky = same.as_ref().is_some_and(|lease| lease.what.sticky);
                self.take(now, pick, account, sticky, same);
            }
            Reply::NobodyLeft {
                earliest: None,
                busy: false,
                bound: None,
                origin: None,
                ..
            } => assert_eq!(expected, None),
            other => panic!("{other:?}"),
        }
    }

    fn pick_any(
        &mut self,
        now: Millis,
        before: &Snapshot,
        pick: &Pick,
        previous: Option<Lease<Held>>,
        reply: &Reply,
    ) {
        let obstacles: Vec<_> = self
            .accounts
            .iter()
            .map(|account| (account, self.obstacle(now, pick, account)))
            .collect();
        let mut ranks: Vec<_> = obstacles
            .iter()
            .filter(|(_, obstacle)| obstacle.is_none())
            .map(|(account, _)| self.rank(now, before, pick, account))
            .collect();
        ranks.sort();
        let skips: Vec<_> = obstacles
            .into_iter()
            .filter_map(|(account, obstacle)| {
                let (skip, back_at) = obstacle?;
                Some((account.policy.id.clone(), skip, back_at))
            })
            .collect();
        let rank = |id: &str| ranks.iter().find(|rank| rank.7 == id);
        let lost = previous
            .as_ref()
            .is_some_and(|lease| rank(&lease.what.account).is_some());
        if !lost && let Some((origin, home)) = self.strict_origin(pick) {
            self.pick_origin(now, pick, (origin, &home), rank(&home).is_some(), &skips, reply);
            return;
        }
        let Some(best) = ranks.first() else {
            self.check_nobody(pick, &skips, reply);
            return;
        };
        let Reply::Picked {
            account,
            sticky,
            trace,
            ..
        } = reply
        else {
            panic!("nobody left but {best:?}")
        };
        // Its answer was lost: it has what it had.
        if let Some(lease) = previous
            && rank(&lease.what.account).is_some()
        {
            assert_eq!((account, *sticky), (&lease.what.account, lease.what.sticky));
            check_trace(trace.as_deref(), &ranks, &skips, None);
            self.take(now, pick, account, *sticky, Some(lease));
            return;
        }
        let bound = self.bound(pick);
        let full = |id: &String| {
            let full =
                |(other, skip, _): &(String, Skip, _)| other == id && matches!(skip, Skip::Full { .. });
            skips.iter().any(full)
        };
        let mut loose = pick.origins.iter().filter(|origin| origin.loose);
        let loose = loose.find_map(|origin| self.made(origin.id));
        let crowded = bound.as_ref().is_some_and(full);
        let serving = if crowded { vec![] } else { self.serving(pick) };
        let keeps = |home: &String| rank(home).is_some_and(|rank| !rank.0 && rank.1 < 2);
        let made = loose.clone().filter(keeps);
        let able = loose.into_iter().chain(bound.clone()).chain(serving);
        let able = able.filter_map(|home| rank(&home).map(|rank| ((rank.0, rank.1), home)));
        let home = able.min_by_key(|(suits, _)| *suits).map(|(_, home)| home);
        let home = made.or(home);
        let home = home.or(bound.filter(|_| crowded));
        let (binds, left) = match home {
            Some(home) => match rank(&home) {
                Some(rank) if (!rank.0 && rank.1 < 2) || (rank.0, rank.1) <= (best.0, best.1) => {
                    assert_eq!((account, *sticky), (&home, true));
                    (true, None)
                }
                Some(_) => (true, Some(home)),
                None => (false, None),
            },
            None => (true, None),
        };
        if !*sticky {
            assert_eq!(account, &best.7);
        }
        check_trace(trace.as_deref(), &ranks, &skips, left.as_ref());
        if *sticky || !binds {
            self.touch(now, pick);
        }
        self.take_for(now, pick, account, *sticky, binds);
    }

    /// What the call cannot do without, and who keeps it.
    fn strict_origin(&self, pick: &Pick) -> Option<(u64, String)> {
        let mut strict = pick.origins.iter().filter(|origin| !origin.loose);
        strict.find_map(|origin| Some((origin.id, self.made(origin.id)?)))
    }

    fn made(&self, origin: u64) -> Option<String> {
        let found = self.origins.iter().find(|(id, ..)| *id == origin);
        found.map(|(_, account, _)| account.clone())
    }

    fn bound(&self, pick: &Pick) -> Option<String> {
        let mut sessions = self.sessions.iter();
        let found = sessions.find(|(session, ..)| Some(*session) == pick.session);
        found.map(|(_, account, _)| account.clone())
    }

    /// Where the session's calls of those that run are served, the first of them first.
    fn serving(&self, pick: &Pick) -> Vec<String> {
        let Some(session) = pick.session else {
            return vec![];
        };
        let leases = self
            .leases
            .0
            .iter()
            .filter(|lease| lease.what.session == Some(session));
        let mut calls: Vec<_> = leases
            .map(|lease| (lease.what.turn, &lease.what.account))
            .collect();
        calls.sort();
        calls.into_iter().map(|(_, account)| account.clone()).collect()
    }

    fn pick_origin(
        &mut self,
        now: Millis,
        pick: &Pick,
        (origin, home): (u64, &str),
        able: bool,
        skips: &[(String, Skip, Option<Millis>)],
        reply: &Reply,
    ) {
        match reply {
            Reply::Picked {
                account,
                sticky: false,
                origin: Some(told),
                ..
            } if able => {
                assert_eq!((account.as_str(), *told), (home, origin));
                self.take_for(now, pick, home, false, true);
            }
            _ => {
                // Of a deleted account there is nothing to say.
                let found = skips.iter().find(|(id, ..)| id == home).cloned();
                assert_eq!(found.is_none(), home == super::GONE);
                let expected = Reply::NobodyLeft {
                    busy: matches!(found, Some((_, Skip::Full { .. }, _))),
                    earliest: found.as_ref().and_then(|(.., earliest)| *earliest),
                    skipped: found.into_iter().map(|(id, skip, _)| (id, skip)).collect(),
                    bound: None,
                    origin: Some(origin),
                    own_full: false,
                };
                assert_eq!(reply, &expected);
            }
        }
    }

    fn take_for(&mut self, now: Millis, pick: &Pick, account: &str, sticky: bool, binds: bool) {
        self.take(now, pick, account, sticky, None);
        let lease = self.leases.0.iter_mut().find(|lease| lease.call == pick.call);
        if let Some(lease) = lease.filter(|_| pick.slot) {
            lease.what.session = pick.session.filter(|_| binds);
        }
    }

    fn check_nobody(&self, pick: &Pick, skips: &[(String, Skip, Option<Millis>)], reply: &Reply) {
        let there = |binding| {
            let mut accounts = self.accounts.iter();
            if accounts.any(|account| is_meant(&account.policy, binding)) {
                BindingFailure::Unable
            } else {
                BindingFailure::Missing
            }
        };
        let own = skips.iter().filter(|(_, skip, _)| *skip != Skip::NotBound);
        let expected = Reply::NobodyLeft {
            skipped: own
                .clone()
                .map(|(id, skip, _)| (id.clone(), skip.clone()))
                .collect(),
            earliest: own.filter_map(|(.., back_at)| *back_at).min(),
            busy: skips.iter().any(|(_, skip, _)| matches!(skip, Skip::Full { .. })),
            bound: pick.binding.as_ref().map(there),
            origin: None,
            own_full: false,
        };
        assert_eq!(reply, &expected);
    }

    /// The session was used.
    fn touch(&mut self, now: Millis, pick: &Pick) {
        let used = |session: &u64| pick.slot && Some(*session) == pick.session;
        for (session, _, until) in &mut self.sessions {
            if used(session) {
                *until = (*until).max(now + SESSION_TTL_MS);
            }
        }
    }

    fn take(&mut self, now: Millis, pick: &Pick, account: &str, sticky: bool, again: Option<Lease<Held>>) {
        if let Some(lease) = again {
            self.leases.0.push(lease);
            self.leases.renew(&self.clock, now, pick.call, pick.ttl_ms);
            return;
        }
        self.turn += 1;
        let turn = self.turn;
        let Some(taken) = self.account_mut(account) else {
            panic!("{account} is not there")
        };
        taken.turn = turn;
        if taken
            .denied
            .as_ref()
            .is_some_and(|(_, end)| end.is_some_and(|end| end.until <= now))
        {
            taken.probe = Some(pick.call);
        }
        let credentials = taken.policy.credential_version;
        let max = taken.policy.max_concurrency;
        let held = Held {
            account: account.to_owned(),
            credentials,
            sticky,
            slot: pick.slot,
            family: pick.family.clone(),
            holder: pick.holder.clone(),
            session: None,
            turn,
            origins: if pick.slot { pick.origins.clone() } else { vec![] },
        };
        self.leases.put(&self.clock, now, pick.call, pick.ttl_ms, held);
        assert!(
            pick.only.is_some() || !pick.slot || max == 0 || self.slots(account) <= max,
            "more slots than there are"
        );
    }
}

fn check_trace(
    trace: Option<&Trace>,
    ranks: &[Rank],
    skips: &[(String, Skip, Option<Millis>)],
    left: Option<&String>,
) {
    let Some(trace) = trace else { return };
    let told = trace.candidates.iter().map(|one| {
        let resets_at = one.resets_at.unwrap_or(Millis::MAX);
        (
            one.fallback,
            u8::from(one.backed_off) * (2 - u8::from(one.others_alone)),
            one.priority,
            one.in_reserve,
            one.load_permille,
            resets_at,
            one.account.clone(),
        )
    });
    let ranks = ranks.iter().cloned();
    let expected = ranks.map(|(fallback, off, priority, reserve, load, resets, _, id)| {
        (fallback, off, priority, reserve, load, resets, id)
    });
    assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let mut expected: Vec<_> = skips
        .iter()
        .map(|(id, skip, _)| (id.clone(), skip.clone()))
        .collect();
    expected.sort_by_key(|(_, skip)| matches!(skip, Skip::NotBound | Skip::Dedicated));
    if let Some(left) = left {
        expected.insert(0, (left.clone(), Skip::NotPreferred));
    }
    assert_eq!((&trace.skipped, trace.omitted), (&expected, 0));
}
