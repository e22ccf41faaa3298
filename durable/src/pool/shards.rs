//! A pool that is split into shards: routes a command to shards and combines their replies.
//!
//! Accounts are spread by a hash of their ids; every command about one account goes to its shard, so limits,
//! cooldowns and refreshes are exact. Calls are spread by their sessions, so that one shard alone decides most.
//!
//! | command | goes to |
//! | --- | --- |
//! | a call of a session | the session's home shard, or the shard that the home shard knows to serve it |
//! | a call that refers to an object at a provider | the account's shard, found by asking all |
//! | a call bound to an account | its shard, and others only to fall back |
//! | a call bound to a group | all in turn, before any of them falls back |
//! | any call that its shard has no account for | the others in turn; the home shard records which one serves the session |
//! | about one account | its shard |
//! | a lease by its call, a roster, a snapshot | all |
//!
//! Accounts are compared (by priority, load, windows) within a shard only.

use std::collections::VecDeque;

use super::{AccountPolicy, Binding, BindingFailure, Command, Pick, PoolPart, Reply, Snapshot};
use crate::hash::fnv;

/// The maximum number of shards of a pool.
pub const MOST: usize = 64;

/// The number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards(usize);

/// The next action for a command.
#[derive(Debug)]
pub enum Next {
    /// Ask these shards, all at once, and pass on the replies in the same order.
    Ask(Vec<(usize, Command)>),
    Reply(Reply),
}

/// The way of one command through the shards.
#[derive(Debug)]
pub struct Route {
    shards: Shards,
    strategy: Strategy,
}

#[derive(Debug)]
enum Strategy {
    /// The single reply is the result.
    One,
    /// The home shard of the session must learn that this shard served it.
    Report {
        shard: usize,
    },
    /// The first reply with an answer is the result.
    Any,
    /// The replies are merged for display.
    Snapshot,
    Pick(Box<PickRoute>),
}

#[derive(Debug)]
struct PickRoute {
    pick: Pick,
    home: usize,
    /// The shard asked first.
    first: usize,
    /// The shard that serves the session, by the home shard's record.
    known: Option<usize>,
    /// The shards were asked for the makers of the call's origins.
    asks_makers: bool,
    order: VecDeque<usize>,
    asked: Vec<usize>,
    at: usize,
    /// A call bound to a group may fall back once all shards have been asked.
    falls_back: bool,
    nobody: Option<Reply>,
    picked: Option<Reply>,
}

impl Shards {
    /// From 1 to [`MOST`].
    pub fn new(count: usize) -> Self {
        Self(count.clamp(1, MOST))
    }

    pub fn count(self) -> usize {
        self.0
    }

    /// The shard of an account.
    pub fn of_account(self, id: &str) -> usize {
        self.of_hash(fnv(id.bytes()))
    }

    #[cfg(test)]
    pub fn of_session(self, session: u64) -> usize {
        self.of_hash(session)
    }
    fn of_hash(self, hash: u64) -> usize {
        // The high bits of FNV and of a session's hash are well mixed; the low ones may serve another choice.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed).unwrap_or(0) % self.0
    }

    fn all(self) -> impl Iterator<Item = usize> {
        0..self.0
    }

    /// The first questions.
    pub fn route(self, command: Command) -> (Route, Vec<(usize, Command)>) {
        let (strategy, asks) = self.begin(command);
        (
            Route {
                shards: self,
                strategy,
            },
            asks,
        )
    }

    fn begin(self, command: Command) -> (Strategy, Vec<(usize, Command)>) {
        let to_all = |command: &Command| self.all().map(|shard| (shard, command.clone())).collect();
        if self.0 == 1 {
            return (Strategy::One, vec![(0, command)]);
        }
        match &command {
            Command::Pick(pick) => self.route_pick(pick.clone()),
            Command::Learn { roster } => (Strategy::Any, self.spread(roster)),
            Command::Report(report) => {
                let shard = self.of_account(&report.account);
                (Strategy::Report { shard }, vec![(shard, command)])
            }
            Command::BeginRefresh { account, .. }
            | Command::EndRefresh { account, .. }
            | Command::Reset { account }
            | Command::Flush {
                account: Some(account),
                ..
            } => (Strategy::One, vec![(self.of_account(account), command)]),
            Command::Snapshot => (Strategy::Snapshot, to_all(&command)),
            // Any of the shards may know the maker of an origin.
            Command::MadeBy { .. }
            | Command::Claim { .. }
            | Command::Renew { .. }
            | Command::Release { .. }
            | Command::Flush { account: None, .. }
            | Command::Moved { .. }
            | Command::Invalidate => (Strategy::Any, to_all(&command)),
        }
    }

    /// Records in the home shard of a session that an account of `shard` has served it.
    fn announce(self, shard: usize, replies: Vec<Reply>) -> Next {
        match replies.into_iter().next() {
            Some(Reply::Served { session, owner }) if self.of_hash(session) != shard => {
                let moved = Command::Moved {
                    session,
                    shard: shard as u64,
                    owner,
                    tries: false,
                };
                Next::Ask(vec![(self.of_hash(session), moved)])
            }
            _ => Next::Reply(Reply::Done),
        }
    }

    fn spread(self, roster: &[AccountPolicy]) -> Vec<(usize, Command)> {
        let mut rosters = vec![Vec::new(); self.0];
        for account in roster {
            if let Some(roster) = rosters.get_mut(self.of_account(&account.id)) {
                roster.push(account.clone());
            }
        }
        let learn = |(shard, roster)| (shard, Command::Learn { roster });
        rosters.into_iter().enumerate().map(learn).collect()
    }

    fn route_pick(self, mut pick: Pick) -> (Strategy, Vec<(usize, Command)>) {
        if let Some(only) = &pick.only {
            return (Strategy::One, vec![(self.of_account(only), Command::Pick(pick))]);
        }
        let by_call = || u64::try_from(pick.call.0 & u128::from(u64::MAX)).unwrap_or(0);
        let home = self.of_hash(pick.session.unwrap_or_else(by_call));
        let mut first = home;
        let mut falls_back = false;
        match &pick.binding {
            Some(Binding::Account(id)) => first = self.of_account(id),
            Some(Binding::Group(_)) => falls_back = std::mem::take(&mut pick.fallback),
            None => {}
        }
        let bound_to_one = matches!(pick.binding, Some(Binding::Account(_))) && !pick.fallback;
        let mut route = PickRoute {
            home,
            first,
            known: None,
            asks_makers: !pick.origins.is_empty(),
            order: VecDeque::from([first]),
            asked: Vec::new(),
            at: first,
            falls_back,
            nobody: None,
            picked: None,
            pick,
        };
        if !bound_to_one {
            route.add_others(self);
        }
        let asks = if route.asks_makers {
            route.ask_makers(self)
        } else {
            route.ask_next()
        };
        (Strategy::Pick(Box::new(route)), asks)
    }
}

impl Route {
    /// The shards have replied, in the order in which they were asked.
    pub fn advance(&mut self, replies: Vec<Reply>) -> Next {
        match &mut self.strategy {
            Strategy::Pick(route) => route.advance(self.shards, replies),
            Strategy::Report { shard } => {
                let shard = *shard;
                self.strategy = Strategy::Any;
                self.shards.announce(shard, replies)
            }
            Strategy::One => Next::Reply(replies.into_iter().next().unwrap_or(Reply::Done)),
            Strategy::Any => Next::Reply(combined(replies)),
            Strategy::Snapshot => Next::Reply(merged_snapshot(replies)),
        }
    }
}

/// Combines the replies of several shards to the same question.
fn combined(replies: Vec<Reply>) -> Reply {
    let mut made: Option<Vec<Option<bool>>> = None;
    for reply in replies {
        let Reply::MadeBy { made: theirs } = reply else {
            continue;
        };
        made = Some(match made {
            None => theirs,
            // A known answer beats an unknown one, and the maker's answer beats both.
            Some(ours) => ours.into_iter().zip(theirs).map(|(a, b)| a.max(b)).collect(),
        });
    }
    made.map_or(Reply::Done, |made| Reply::MadeBy { made })
}

fn merged_snapshot(replies: Vec<Reply>) -> Reply {
    let mut all = Snapshot {
        accounts: Vec::new(),
        sessions: 0,
    };
    for reply in replies {
        if let Reply::Snapshot(shard) = reply {
            all.accounts.extend(shard.accounts);
            all.sessions += shard.sessions;
        }
    }
    all.accounts.sort_by(|a, b| a.policy.id.cmp(&b.policy.id));
    Reply::Snapshot(Box::new(all))
}

impl PickRoute {
    /// Adds the remaining shards, starting after the home shard so that spilled calls do not all go to the same one.
    fn add_others(&mut self, shards: Shards) {
        for step in 0..shards.0 {
            let shard = (self.home + step) % shards.0;
            if !self.order.contains(&shard) && !self.asked.contains(&shard) {
                self.order.push_back(shard);
            }
        }
    }

    fn ask_makers(&self, shards: Shards) -> Vec<(usize, Command)> {
        let ask = Command::MadeBy {
            account: String::new(),
            origins: self.pick.origins.iter().map(|origin| origin.id).collect(),
        };
        shards.all().map(|shard| (shard, ask.clone())).collect()
    }

    /// Asks the next shard, which must exist.
    fn ask_next(&mut self) -> Vec<(usize, Command)> {
        let Some(shard) = self.order.pop_front() else {
            return Vec::new();
        };
        self.at = shard;
        let mut pick = self.pick.clone();
        pick.part = match self.known {
            // When the home shard is asked again, it must not reply again that the session is elsewhere.
            Some(_) if shard == self.home => PoolPart::Whole,
            Some(known) if shard == known => PoolPart::KnownShard,
            None if shard == self.first => PoolPart::Shard,
            _ => PoolPart::OtherShard,
        };
        self.asked.push(shard);
        vec![(shard, Command::Pick(pick))]
    }

    fn advance(&mut self, shards: Shards, replies: Vec<Reply>) -> Next {
        if let Some(picked) = self.picked.take() {
            return Next::Reply(picked);
        }
        if std::mem::take(&mut self.asks_makers) {
            self.order_by_maker(&replies);
            return Next::Ask(self.ask_next());
        }
        match replies.into_iter().next().unwrap_or(Reply::Done) {
            Reply::Elsewhere { shard } => {
                let shard = usize::try_from(shard).unwrap_or(0) % shards.0;
                self.known = Some(shard);
                self.asked.retain(|asked| *asked != self.home);
                self.order.retain(|next| *next != shard);
                // The shard that served the session has no account now; the home shard comes next.
                if !self.asked.contains(&shard) && shard != self.home {
                    self.order.push_front(self.home);
                    self.order.push_front(shard);
                } else {
                    self.order.push_front(self.home);
                }
                Next::Ask(self.ask_next())
            }
            picked @ Reply::Picked { .. } => self.record_move(picked),
            Reply::NobodyLeft {
                skipped,
                earliest,
                busy,
                bound,
                origin,
                own_full,
            } => {
                let reply = Reply::NobodyLeft {
                    skipped,
                    earliest,
                    busy,
                    bound,
                    origin,
                    own_full: false,
                };
                // Only this account can serve the call.
                if origin.is_some() {
                    return Next::Reply(reply);
                }
                if own_full {
                    // The session will come back to its account, so it is bound to no other meanwhile.
                    self.pick.session = None;
                }
                self.nobody = Some(match self.nobody.take() {
                    Some(before) => merged(before, reply),
                    None => reply,
                });
                self.next_shard(shards)
            }
            // The shard needs to learn first, or cannot answer.
            other => Next::Reply(other),
        }
    }

    fn next_shard(&mut self, shards: Shards) -> Next {
        if self.order.is_empty() && std::mem::take(&mut self.falls_back) {
            self.pick.fallback = true;
            self.asked.clear();
            self.order.push_back(self.known.unwrap_or(self.home));
            self.add_others(shards);
            self.nobody = None;
        }
        if self.order.is_empty() {
            return Next::Reply(self.nobody.take().unwrap_or(Reply::Done));
        }
        Next::Ask(self.ask_next())
    }

    /// Records in the home shard that another shard tries to serve the session.
    fn record_move(&mut self, picked: Reply) -> Next {
        let session = self.pick.session.filter(|_| self.pick.slot);
        match session {
            Some(session) if self.at != self.home && self.known.is_none() => {
                self.picked = Some(picked);
                let command = Command::Moved {
                    session,
                    shard: self.at as u64,
                    owner: self.pick.owner,
                    tries: true,
                };
                Next::Ask(vec![(self.home, command)])
            }
            _ => Next::Reply(picked),
        }
    }

    /// Puts the shard first that stores the call's most binding object.
    fn order_by_maker(&mut self, replies: &[Reply]) {
        let knows = |number: usize| {
            replies.iter().position(|reply| match reply {
                Reply::MadeBy { made } => made.get(number).is_some_and(Option::is_some),
                _ => false,
            })
        };
        let mut loose = None;
        for (number, origin) in self.pick.origins.iter().enumerate() {
            let Some(shard) = knows(number) else { continue };
            if !origin.loose {
                self.order = VecDeque::from([shard]);
                return;
            }
            loose = loose.or(Some(shard));
        }
        if let Some(shard) = loose
            && self.order.contains(&shard)
        {
            self.order.retain(|next| *next != shard);
            self.order.push_front(shard);
        }
    }
}

/// Merges the reasons of two shards for having no account.
fn merged(one: Reply, other: Reply) -> Reply {
    match (one, other) {
        (
            Reply::NobodyLeft {
                mut skipped,
                earliest,
                busy,
                bound,
                ..
            },
            Reply::NobodyLeft {
                skipped: more,
                earliest: then,
                busy: also,
                bound: there,
                ..
            },
        ) => {
            skipped.extend(more);
            let missing = [bound, there]
                .into_iter()
                .flatten()
                .all(|bound| bound == BindingFailure::Missing);
            Reply::NobodyLeft {
                skipped,
                earliest: [earliest, then].into_iter().flatten().min(),
                busy: busy || also,
                bound: bound.or(there).map(|_| {
                    if missing {
                        BindingFailure::Missing
                    } else {
                        BindingFailure::Unable
                    }
                }),
                origin: None,
                own_full: false,
            }
        }
        (one, _) => one,
    }
}
