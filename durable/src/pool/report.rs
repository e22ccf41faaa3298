//! Updates from the result of an attempt.

use super::health::{Hit, Proof, Turns};
use super::witness::Witness;
use super::{AccountError, Hold, Outcome, Pool, Report};
use crate::Millis;
use crate::rows::Row;

/// Maximum length of a reason: it is for people, and providers may send whole pages.
pub(super) const MAX_WHY: usize = 200;

impl Pool {
    /// Returns the session that the call's account served, with its owner, if its home shard must learn that.
    pub(super) fn report(&mut self, now: Millis, report: Report) -> Option<(u64, u64)> {
        let Report {
            call,
            account,
            outcome,
            status,
            quota,
            spent,
            served,
            made,
        } = report;
        let (number, account) = super::find(&self.numbers, &mut self.accounts, &account)?;
        let hold = self
            .leases
            .get(call)
            .map(|lease| &lease.what)
            .filter(|hold| hold.account == number);
        let turns = Turns {
            of_call: hold.map(|hold| hold.turn),
            given: self.turn,
        };
        // For a call that the pool no longer knows (it reports late, or twice) the credentials are unknown.
        let replaced = match hold {
            Some(hold) => hold.credentials != account.policy.credential_version,
            None => account.replaced_lately(now),
        };
        let frees = hold.is_some() && outcome != Outcome::Serving;
        let replaced = replaced && matches!(outcome, Outcome::Denied { .. });
        if let Some(why) = outcome.error().filter(|_| !replaced) {
            let error = AccountError {
                at: now,
                call,
                status,
                why: super::short(why.to_owned(), MAX_WHY),
            };
            if self.errors.entry(number).or_default().add(error) {
                self.touched.push(Row::Errors(number));
            }
        }
        let mut news = account.quota.observe(now, quota);
        if frees && spent > 0 && account.policy.daily_quota > 0 {
            account.quota.spend(now, &account.policy, spent);
            news = true;
        }
        let short = |why| super::short(why, MAX_WHY);
        let witness = Witness {
            holder: hold.map(|hold| hold.holder.as_str()),
            request: None,
        };
        let health = &mut account.health;
        news |= match outcome {
            Outcome::Serving => health.serves(now, hold.map_or(Proof::All, Hold::proof)),
            Outcome::Finished | Outcome::Neutral => false,
            Outcome::Throttled {
                until: Some(until),
                family,
                why,
            } if until > now => health.cool(now, family, until, short(why)),
            // Without a reset, or with one that has passed, the time is a guess.
            Outcome::Throttled { family, why, .. } => {
                health.hit(now, Hit::Throttled, family, short(why), turns, witness)
            }
            Outcome::Unwell { why, until } => {
                let hit = health.hit(now, Hit::Unwell, None, short(why), turns, witness);
                hit | until.is_some_and(|until| health.rest(now, until))
            }
            Outcome::Refused { why, request } => match hold.filter(|hold| hold.slot) {
                Some(hold) => {
                    let witness = Witness {
                        request: Some(request),
                        ..witness
                    };
                    health.refused(now, hold.family.clone(), short(why), turns, witness)
                }
                // A free call has rights of its own; and the key of an unknown call is unknown.
                None => false,
            },
            Outcome::Denied { .. } if replaced => false,
            Outcome::Denied { why, until } => health.deny(now, short(why), until),
        };
        if news {
            self.touched.push(Row::Account(number));
        }
        let lease = frees.then(|| self.free(call)).flatten().filter(|_| served)?;
        self.served(now, &lease.what, &made);
        let Hold {
            session,
            owner,
            announces,
            ..
        } = lease.what;
        session.filter(|_| announces).map(|session| (session, owner))
    }
}
