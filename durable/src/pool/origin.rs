//! What ties a call to an account: something it refers to that the provider keeps for that account only (a
//! stored response, a file, encrypted reasoning), and its session.
//!
//! Both are learned from calls that succeeded: the account that served a call knows what the call referred
//! to, and what its answer made. A pick binds nothing. While the first calls of a session still run, later
//! ones go where those are served.

use super::account::{Ask, Number, Standing};
use super::bindings::Owner;
use super::{Hold, Origin, Pool, Reply};
use crate::rows::Row;
use crate::{CallId, Changes, Millis};

/// Of one call at most so many are looked at and remembered.
const MAX_ORIGINS: usize = 16;

/// In one question about makers so many are answered.
const MAX_ASKED: usize = 256;

/// Of a session's running calls at most so many are looked at.
const MAX_SERVING: usize = 16;

impl Pool {
    /// What the call cannot do without, and the account that keeps it; the first that is known.
    pub(super) fn strict_origin(&self, now: Millis, pick: &super::Pick) -> Option<(u64, Number)> {
        let mut strict = pick
            .origins
            .iter()
            .take(MAX_ORIGINS)
            .filter(|origin| !origin.loose);
        strict.find_map(|origin| Some((origin.id, self.origins.get(now, origin.id)?)))
    }

    /// The account that keeps something the call can do without elsewhere.
    pub(super) fn loose_origin(&self, now: Millis, pick: &super::Pick) -> Option<Number> {
        let mut loose = pick
            .origins
            .iter()
            .take(MAX_ORIGINS)
            .filter(|origin| origin.loose);
        loose.find_map(|origin| self.origins.get(now, origin.id))
    }

    /// The accounts that serve the session's calls of those that run, the first of them first.
    pub(super) fn serving(&self, session: u64) -> impl Iterator<Item = Number> {
        let from = (session, 0, CallId(0));
        let to = (session, u64::MAX, CallId(u128::MAX));
        let calls = self.serving.range(from..=to).take(MAX_SERVING);
        calls.filter_map(|(.., call)| self.leases.get(*call).map(|lease| lease.what.account))
    }

    pub(super) fn origin_away(&self, now: Millis, pick: &super::Pick, origin: u64, number: Number) -> Reply {
        let ask = Ask::new(now, pick, &self.leases);
        let standing = self
            .accounts
            .get(&number)
            .map(|account| account.standing(number, &ask));
        let (skipped, earliest, busy) = match standing {
            Some(Standing::Skipped { obstacle, back_at }) => {
                let busy = matches!(obstacle, super::account::Obstacle::Full(_));
                (vec![(self.id(number), obstacle.told())], back_at, busy)
            }
            _ => (Vec::new(), None, false),
        };
        Reply::NobodyLeft {
            skipped,
            earliest,
            busy,
            bound: None,
            origin: Some(origin),
        }
    }

    /// The call was served well: what it held shows what belongs to the account.
    pub(super) fn served(&mut self, now: Millis, hold: &Hold, made: &[Origin], changes: &mut Changes) {
        let (account, owner) = (hold.account, hold.owner);
        let mut touched = Vec::new();
        if let Some(session) = hold.session {
            let kept = self.sessions.bind(now, session, account, owner);
            touched.extend(kept.into_iter().map(Row::Session));
        }
        // A conversation's newer reasoning stands for all before it.
        let renewed = made.iter().any(|origin| origin.loose);
        for origin in hold.origins.iter().take(MAX_ORIGINS) {
            let maker = self.origins.get(now, origin.id);
            if origin.loose && maker.is_some_and(|maker| maker != account) {
                // The account has done without it. It marks where the other's part of the conversation ends.
                continue;
            }
            let kept = if origin.loose && renewed && made.iter().all(|new| new.id != origin.id) {
                self.origins.drop(origin.id)
            } else {
                self.bind_origin(now, origin, account, owner)
            };
            touched.extend(kept.into_iter().map(Row::Origin));
        }
        for origin in made.iter().take(MAX_ORIGINS) {
            let kept = self.bind_origin(now, origin, account, owner);
            touched.extend(kept.into_iter().map(Row::Origin));
        }
        changes.lasting |= !touched.is_empty();
        self.touched.extend(touched);
    }

    /// Of each of these whether the account made it; `None`: nobody knows.
    pub(super) fn made_by(&self, now: Millis, account: &str, origins: &[u64]) -> Reply {
        let number = self.numbers.get(account).copied();
        let is_its = |origin: &u64| Some(Some(self.origins.get(now, *origin)?) == number);
        let made = origins.iter().take(MAX_ASKED).map(is_its).collect();
        Reply::MadeBy { made }
    }

    fn bind_origin(&mut self, now: Millis, origin: &Origin, account: Number, owner: Owner) -> Vec<u64> {
        self.origins.bind(now, origin.id, account, owner)
    }
}
