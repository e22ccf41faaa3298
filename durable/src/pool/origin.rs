//! Ties between a call and an account: an object the call refers to that the provider stores for that account only (a
//! stored response, a file, encrypted reasoning), and its session.
//!
//! Both are learned from calls that succeeded: the account that served a call has the objects the call referred to,
//! and those its answer made. A pick binds nothing. While the first calls of a session still run, later ones go to
//! the accounts that serve them.

use super::account::{Inquiry, Number, Standing};
use super::bindings::Owner;
use super::{Hold, Origin, Pool, PoolPart, Reply};
use crate::hash::fnv;
use crate::rows::Row;
use crate::{CallId, Millis};

/// Maximum number of a call's origins that are used and remembered.
const MAX_ORIGINS: usize = 16;

/// Maximum number of answers to one `MadeBy`.
const MAX_ASKED: usize = 256;

/// Maximum number of a session's running calls that are considered.
const MAX_SERVING: usize = 16;

/// The name under which the origins remember who claimed one. A reply can be lost, and its call then asks again.
fn receipt(origin: u64, call: CallId) -> u64 {
    fnv(origin.to_le_bytes().into_iter().chain(call.0.to_le_bytes()))
}

impl Pool {
    /// The first known object that the call depends on, and the account that stores it.
    pub(super) fn strict_origin(&self, now: Millis, pick: &super::Pick) -> Option<(u64, Number)> {
        let mut strict = pick
            .origins
            .iter()
            .take(MAX_ORIGINS)
            .filter(|origin| !origin.loose);
        strict.find_map(|origin| Some((origin.id, self.origins.get(now, origin.id)?)))
    }

    /// The account that stores an object the call can do without.
    pub(super) fn loose_origin(&self, now: Millis, pick: &super::Pick) -> Option<Number> {
        let mut loose = pick
            .origins
            .iter()
            .take(MAX_ORIGINS)
            .filter(|origin| origin.loose);
        loose.find_map(|origin| self.origins.get(now, origin.id))
    }

    /// The accounts of the session's running calls, in the order of their picks.
    pub(super) fn serving(&self, session: u64) -> impl Iterator<Item = Number> {
        let from = (session, 0, CallId(0));
        let to = (session, u64::MAX, CallId(u128::MAX));
        let calls = self.serving.range(from..=to).take(MAX_SERVING);
        calls.filter_map(|(.., call)| self.leases.get(*call).map(|lease| lease.what.account))
    }

    pub(super) fn origin_away(&self, now: Millis, pick: &super::Pick, origin: u64, number: Number) -> Reply {
        let inquiry = Inquiry::new(now, pick, &self.leases);
        let standing = self
            .accounts
            .get(&number)
            .map(|account| account.standing(number, &inquiry));
        let (skipped, earliest, busy) = match standing {
            Some(Standing::Skipped { obstacle, back_at }) => {
                let busy = matches!(obstacle, super::account::Obstacle::Full(_));
                (vec![(self.id(number), obstacle.skip())], back_at, busy)
            }
            _ => (Vec::new(), None, false),
        };
        Reply::NobodyLeft {
            skipped,
            earliest,
            busy,
            bound: None,
            origin: Some(origin),
            own_full: false,
        }
    }

    /// The shard that serves the call's session, if it is another one.
    pub(super) fn elsewhere(&mut self, now: Millis, pick: &super::Pick) -> Option<u64> {
        let session = pick.session.filter(|_| pick.part != PoolPart::Whole)?;
        if self.sessions.get(now, session).is_some() || self.serving(session).next().is_some() {
            return None;
        }
        let shard = self.elsewhere.get(now, session)?;
        if pick.slot {
            let kept = self.elsewhere.touch(now, session);
            self.touched.extend(kept.into_iter().map(Row::Elsewhere));
        }
        Some(shard)
    }

    /// Whether an account of this shard, or another shard, serves the session.
    pub(super) fn has_account(&self, now: Millis, session: u64) -> bool {
        self.sessions.get(now, session).is_some() || self.elsewhere.get(now, session).is_some()
    }

    /// From now on that shard serves the session. The account that it leaves must not get it back after it has
    /// recovered.
    pub(super) fn move_session(&mut self, now: Millis, session: u64, shard: u64, owner: Owner) {
        let moved = self.elsewhere.bind(now, session, shard, owner);
        let left = self.sessions.drop(session);
        self.touched.extend(moved.into_iter().map(Row::Elsewhere));
        self.touched.extend(left.into_iter().map(Row::Session));
    }

    /// Forgets that another shard serves the session.
    pub(super) fn came_back(&mut self, session: u64) {
        let dropped = self.elsewhere.drop(session);
        self.touched.extend(dropped.into_iter().map(Row::Elsewhere));
    }

    /// The call was served well: binds its session and its objects to the account.
    pub(super) fn served(&mut self, now: Millis, hold: &Hold, made: &[Origin]) {
        let (account, owner) = (hold.account, hold.owner);
        let mut touched = Vec::new();
        if let Some(session) = hold.session {
            let kept = self.sessions.bind(now, session, account, owner);
            touched.extend(kept.into_iter().map(Row::Session));
            self.came_back(session);
        }
        // A conversation's newer reasoning replaces all earlier reasoning.
        let renewed = made.iter().any(|origin| origin.loose);
        for origin in hold.origins.iter().take(MAX_ORIGINS) {
            let maker = self.origins.get(now, origin.id);
            if origin.loose && maker.is_some_and(|maker| maker != account) {
                // The account has done without it. It marks the end of the other account's part of the conversation.
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
        self.touched.extend(touched);
    }

    /// Whether the account made each of these; `None`: unknown.
    pub(super) fn made_by(&self, now: Millis, account: &str, origins: &[u64]) -> Reply {
        let number = self.numbers.get(account).copied();
        let is_its = |origin: &u64| Some(Some(self.origins.get(now, *origin)?) == number);
        let made = origins.iter().take(MAX_ASKED).map(is_its).collect();
        Reply::MadeBy { made }
    }

    /// See `Command::Claim`.
    pub(super) fn claim(&mut self, now: Millis, call: CallId, origin: u64) -> Reply {
        let receipt = receipt(origin, call);
        if self.origins.get(now, origin).is_some()
            && let Some((account, _, owner)) = self.origins.binding(origin)
        {
            let dropped = self.origins.drop(origin);
            let bound = self.origins.bind(now, receipt, account, owner);
            self.touched
                .extend(dropped.into_iter().chain(bound).map(Row::Origin));
        }
        let made = vec![self.origins.get(now, receipt).map(|_| true)];
        Reply::MadeBy { made }
    }

    fn bind_origin(&mut self, now: Millis, origin: &Origin, account: Number, owner: Owner) -> Vec<u64> {
        self.origins.bind(now, origin.id, account, owner)
    }
}
