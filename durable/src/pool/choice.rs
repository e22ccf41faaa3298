//! Which account serves an attempt.
//!
//! In this order: the account the call holds already (its answer was lost), the one its session is
//! bound to, else of those that can serve it one that is not in back-off, then the lowest priority
//! number, then the least recently used.

use super::account::{Ask, Number, Standing};
use super::{Hold, Pick, Pool, Reply, Skip};
use crate::lease::Lease;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{Changes, Millis};

/// What the session is bound to.
enum Bound {
    /// Nothing, or an account that will not serve soon.
    Nothing,
    /// An account that is only full: the session comes back to it.
    Full,
    BackedOff(Number),
}

impl Pool {
    pub(super) fn pick(&mut self, now: Millis, pick: &Pick, changes: &mut Changes) -> Reply {
        if !self.freshness.decides(now, pick.learned_since) {
            return Reply::NeedRoster;
        }
        let previous = self.free(pick.call);
        changes.leases |= previous.is_some();
        if let Some(only) = &pick.only {
            return self.pick_only(now, pick, only, previous, changes);
        }
        if let Some(lease) = previous
            && let Some(Standing::Ready { .. }) = self.standing(now, pick, lease.what.account)
        {
            return self.pick_again(now, pick, lease);
        }
        let mut bound = Bound::Nothing;
        if let Some(session) = pick.session
            && let Some(number) = self.sessions.get(now, session)
        {
            match self.standing(now, pick, number) {
                Some(Standing::Ready { backed_off: false }) => {
                    let kept = self.sessions.touch(now, session);
                    changes.lasting |= self.keep_sessions(kept);
                    return self.take(now, pick, number, true, Vec::new(), changes);
                }
                Some(Standing::Ready { backed_off: true }) => bound = Bound::BackedOff(number),
                Some(Standing::Skipped {
                    skip: Skip::Full { .. },
                    ..
                }) => bound = Bound::Full,
                Some(Standing::Skipped { .. }) | None => {}
            }
        }
        self.pick_best(now, pick, &bound, changes)
    }

    fn pick_best(&mut self, now: Millis, pick: &Pick, bound: &Bound, changes: &mut Changes) -> Reply {
        let ask = Ask::new(now, pick, &self.leases);
        let mut best = None;
        let mut skipped = Vec::new();
        let mut earliest: Option<Millis> = None;
        let mut busy = false;
        for (number, account) in &self.accounts {
            match account.standing(*number, &ask) {
                Standing::Ready { backed_off } => {
                    let policy = &account.policy;
                    let rank = (backed_off, policy.priority, account.turn, policy.id.as_str());
                    if best.is_none_or(|(held, _)| rank < held) {
                        best = Some((rank, *number));
                    }
                }
                Standing::Skipped { skip, back_at } => {
                    busy |= matches!(skip, Skip::Full { .. });
                    earliest = [earliest, back_at].into_iter().flatten().min();
                    skipped.push((account.policy.id.clone(), skip));
                }
            }
        }
        let Some(((backed_off, ..), best)) = best else {
            return Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
            };
        };
        let (number, sticky) = match *bound {
            // Everybody is in back-off: the session may as well stay.
            Bound::BackedOff(own) if backed_off => (own, true),
            Bound::BackedOff(own) => {
                if let Some(account) = self.accounts.get(&own) {
                    skipped.push((account.policy.id.clone(), Skip::NotPreferred));
                }
                (best, false)
            }
            Bound::Full | Bound::Nothing => (best, false),
        };
        if let Some(session) = pick.session {
            let kept = match bound {
                Bound::Full => self.sessions.touch(now, session),
                Bound::Nothing | Bound::BackedOff(_) => self.sessions.bind(now, session, number),
            };
            changes.lasting |= self.keep_sessions(kept);
        }
        self.take(now, pick, number, sticky, skipped, changes)
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
        match previous {
            Some(lease) if lease.what.account == number => self.pick_again(now, pick, lease),
            _ => self.take(now, pick, number, false, Vec::new(), changes),
        }
    }

    /// The call holds this account already: its answer was lost, or it asks once more.
    fn pick_again(&mut self, now: Millis, pick: &Pick, mut lease: Lease<Hold>) -> Reply {
        lease.end.extend(Deadline::after(now, pick.ttl_ms));
        let Hold { account, sticky, .. } = lease.what;
        self.put(pick.call, lease);
        self.picked(account, sticky, Vec::new())
    }

    fn picked(&self, number: Number, sticky: bool, skipped: Vec<(super::AccountId, Skip)>) -> Reply {
        let account = self.accounts.get(&number);
        Reply::Picked {
            account: self.id(number),
            revision: account.map_or(0, |account| account.policy.revision),
            on_trial: account.is_some_and(|account| account.health.on_trial()),
            sticky,
            skipped,
        }
    }

    /// Says whether there were any.
    fn keep_sessions(&mut self, kept: Vec<u64>) -> bool {
        let any = !kept.is_empty();
        self.touched.extend(kept.into_iter().map(Row::Session));
        any
    }

    fn take(
        &mut self,
        now: Millis,
        pick: &Pick,
        number: Number,
        sticky: bool,
        skipped: Vec<(super::AccountId, Skip)>,
        changes: &mut Changes,
    ) -> Reply {
        self.turn = self.turn.saturating_add(1);
        let mut credentials = 0;
        if let Some(account) = self.accounts.get_mut(&number) {
            account.turn = self.turn;
            account.last_used = Some(now);
            account.health.probed_by(now, pick.call);
            credentials = account.policy.credential_version;
        }
        let what = Hold {
            account: number,
            sticky,
            turn: self.turn,
            slot: pick.slot,
            credentials,
        };
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
        self.picked(number, sticky, skipped)
    }

    fn standing(&self, now: Millis, pick: &Pick, number: Number) -> Option<Standing> {
        let ask = Ask::new(now, pick, &self.leases);
        self.accounts
            .get(&number)
            .map(|account| account.standing(number, &ask))
    }
}
