//! Which account a pool must choose.

use crs_durable::Millis;
use crs_durable::pool::{Pick, Reply, Skip, Snapshot};

use super::{Account, Held, Model, SESSION_TTL_MS};
use crate::world::Lease;

impl Model {
    /// Why the account cannot serve, and when time heals that.
    fn obstacle(&self, now: Millis, pick: &Pick, account: &Account) -> Option<(Skip, Option<Millis>)> {
        let policy = &account.policy;
        if !policy.active {
            return Some((Skip::Inactive, None));
        }
        if !policy.schedulable {
            return Some((Skip::Paused, None));
        }
        if let Some(why) = policy.unusable.clone() {
            return Some((Skip::Unusable { why }, None));
        }
        let cooling = account
            .cooldowns
            .iter()
            .filter(|(family, end)| {
                now < end.until && family.as_ref().is_none_or(|family| *family == pick.family)
            })
            .map(|(family, end)| (end.until, family.clone()))
            .max_by_key(|(until, _)| *until);
        let cooled = cooling.as_ref().map(|(until, _)| *until);
        let proving = account.probe.is_some_and(|probe| {
            probe != pick.call
                && self
                    .leases
                    .get(probe)
                    .is_some_and(|lease| lease.what.account == policy.id)
        });
        let marked = match account.denied.clone() {
            Some((why, None)) => Some((Skip::Denied { why, until: None }, None)),
            Some((why, Some(end))) if now < end.until => Some((
                Skip::Denied {
                    why,
                    until: Some(end.until),
                },
                cooled.max(Some(end.until)),
            )),
            Some((why, Some(end))) if proving => Some((
                Skip::Denied {
                    why,
                    until: Some(end.until),
                },
                cooled.max(Some(now + 1_000)),
            )),
            _ => cooling.map(|(until, family)| (Skip::Cooling { until, family }, Some(until))),
        };
        let tried = pick.tried.contains(&policy.id);
        let full = policy.max_concurrency > 0
            && self.leases.shown(|held| held.account == policy.id).len() >= policy.max_concurrency as usize;
        match marked {
            Some((_, back_at)) if tried => Some((Skip::Tried, back_at)),
            Some(marked) => Some(marked),
            None if tried => Some((Skip::Tried, None)),
            None if full => Some((
                Skip::Full {
                    limit: policy.max_concurrency,
                },
                None,
            )),
            None => None,
        }
    }

    pub(super) fn pick(&mut self, now: Millis, before: &Snapshot, pick: &Pick, reply: &Reply) {
        let previous = self.leases.free(pick.call);
        if let Some(only) = &pick.only {
            let usable = self
                .account(only)
                .is_some_and(|account| account.policy.unusable.is_none());
            let expected = (usable && !pick.tried.contains(only)).then(|| only.clone());
            match reply {
                Reply::Picked { account, skipped, .. } => {
                    assert_eq!(Some(account), expected.as_ref());
                    assert_eq!(skipped, &[]);
                    let same = previous.filter(|lease| lease.what.account == *account);
                    self.take(
                        now,
                        pick,
                        account,
                        same.as_ref().is_some_and(|lease| lease.what.sticky),
                        same,
                    );
                }
                Reply::NobodyLeft {
                    earliest: None,
                    busy: false,
                    ..
                } => assert_eq!(expected, None),
                other => panic!("{other:?}"),
            }
            return;
        }
        let obstacles: Vec<_> = self
            .accounts
            .iter()
            .map(|account| (account, self.obstacle(now, pick, account)))
            .collect();
        let ready = |id: &str| {
            obstacles
                .iter()
                .any(|(account, obstacle)| account.policy.id == id && obstacle.is_none())
        };
        let expected_skips: Vec<_> = obstacles
            .iter()
            .filter_map(|(account, obstacle)| Some((account.policy.id.clone(), obstacle.clone()?.0)))
            .collect();
        let backed_off = |id: &str| {
            let shown = before.accounts.iter().find(|account| account.policy.id == id);
            shown.is_some_and(|account| account.backoff_until.is_some())
        };
        let best = obstacles
            .iter()
            .filter(|(_, obstacle)| obstacle.is_none())
            .map(|(account, _)| &account.policy)
            .min_by_key(|policy| {
                let turn = self.account(&policy.id).map(|account| account.turn);
                (backed_off(&policy.id), policy.priority, turn, policy.id.clone())
            });
        let Some(best) = best.map(|policy| policy.id.clone()) else {
            let earliest = obstacles
                .iter()
                .filter_map(|(_, obstacle)| obstacle.as_ref()?.1)
                .min();
            let busy = expected_skips
                .iter()
                .any(|(_, skip)| matches!(skip, Skip::Full { .. }));
            assert_eq!(
                reply,
                &Reply::NobodyLeft {
                    skipped: expected_skips,
                    earliest,
                    busy
                }
            );
            return;
        };
        let Reply::Picked {
            account,
            sticky,
            skipped,
            ..
        } = reply
        else {
            panic!("nobody left but {best}")
        };
        // Its answer was lost: it has what it had.
        if let Some(lease) = previous
            && ready(&lease.what.account)
        {
            assert_eq!((account, *sticky), (&lease.what.account, lease.what.sticky));
            self.take(now, pick, account, *sticky, Some(lease));
            return;
        }
        let bound = self
            .sessions
            .iter()
            .find(|(session, ..)| Some(*session) == pick.session);
        let bound = bound.map(|(_, bound, _)| bound.clone());
        let full = |id: &str| {
            expected_skips
                .iter()
                .any(|(other, skip)| other == id && matches!(skip, Skip::Full { .. }))
        };
        match bound {
            Some(bound) if ready(&bound) && (!backed_off(&bound) || backed_off(&best)) => {
                assert_eq!((account, *sticky), (&bound, true));
                self.bind(now, pick.session, &bound);
            }
            Some(bound) => {
                assert_eq!((account, *sticky), (&best, false));
                let mut expected = expected_skips.clone();
                if ready(&bound) {
                    expected.push((bound.clone(), Skip::NotPreferred));
                }
                assert_eq!(skipped, &expected);
                let stays = if full(&bound) { bound } else { best };
                self.bind(now, pick.session, &stays);
            }
            None => {
                assert_eq!((account, *sticky, skipped), (&best, false, &expected_skips));
                self.bind(now, pick.session, &best);
            }
        }
        self.take(now, pick, account, *sticky, None);
    }

    fn bind(&mut self, now: Millis, session: Option<u64>, account: &str) {
        let Some(session) = session else { return };
        let until = now + SESSION_TTL_MS;
        self.sessions.retain(|(other, ..)| *other != session);
        self.sessions.push((session, account.to_owned(), until));
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
        let max = taken.policy.max_concurrency as usize;
        let held = Held {
            account: account.to_owned(),
            credentials,
            sticky,
        };
        self.leases.put(&self.clock, now, pick.call, pick.ttl_ms, held);
        let holders = self.leases.shown(|held| held.account == account).len();
        assert!(
            pick.only.is_some() || max == 0 || holders <= max,
            "more slots than there are"
        );
    }
}
