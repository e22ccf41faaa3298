//! The pool of one platform: chooses the account of an attempt, holds its slot, and knows how every
//! account is doing (cooldowns, back-off, refused credentials, sticky sessions, who refreshes a token).
//!
//! A call holds at most one slot in a pool: leases are named by their call.
//!
//! | module | idea |
//! | --- | --- |
//! | `command` | what the pool is told and asked, and what it answers |
//! | `account` | one account, and whether it can serve a call |
//! | `choice` | which account serves an attempt |
//! | `health` | cooldowns, back-off, denials, and how they heal |
//! | `session` | sticky sessions |
//! | `refresh` | who refreshes a token |
//! | `kept` | the pool as rows of a table |

mod account;
mod choice;
mod command;
mod health;
mod kept;
mod refresh;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::account::{Account, Number};
pub use self::command::{
    AccountId, AccountPolicy, AccountSnapshot, Command, Outcome, Pick, RefreshResult, Reply, Skip, Snapshot,
};
use self::health::{Hit, Turns};
use self::session::Sessions;
use crate::freshness::Freshness;
use crate::lease::{Lease, Leases};
use crate::rows::Row;
use crate::time::Present;
use crate::{CallId, Changes, Machine, Millis, Step};

/// See the module. `Default` is a pool that knows no accounts yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    present: Present,
    freshness: Freshness,
    accounts: BTreeMap<Number, Account>,
    numbers: BTreeMap<AccountId, Number>,
    /// The number of the last account that was new.
    last_number: Number,
    leases: Leases<Hold>,
    sessions: Sessions,
    /// Grows with every account given.
    turn: u64,
    /// Rows this step touched.
    #[serde(skip)]
    touched: Vec<Row>,
}

/// What a call holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    account: Number,
    /// It was given for its session's sake.
    sticky: bool,
    turn: u64,
    /// Whether it occupies one of the account's slots.
    #[serde(default = "yes")]
    slot: bool,
    /// Version of the credentials the call uses, as far as the pool knows.
    credentials: u64,
}

impl Pool {
    /// What a host starts from whose death ended all its calls: no leases, nobody refreshing, and the
    /// roster is to be asked for again (it may have changed in the meantime).
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.leases = Leases::default();
        for account in self.accounts.values_mut() {
            account.held = 0;
            account.election = None;
        }
        self.freshness.resumed();
        self
    }

    fn learn(&mut self, now: Millis, roster: Vec<AccountPolicy>, changes: &mut Changes) {
        let mut changed = !self.freshness.known();
        let mut listed = BTreeSet::new();
        for policy in roster {
            if let Some((number, account)) = find(&self.numbers, &mut self.accounts, &policy.id) {
                changed |= account.learn(now, policy);
                listed.insert(number);
            } else {
                self.last_number = self.last_number.saturating_add(1);
                self.numbers.insert(policy.id.clone(), self.last_number);
                self.accounts.insert(self.last_number, Account::new(policy));
                listed.insert(self.last_number);
                changed = true;
            }
        }
        if listed.len() < self.accounts.len() {
            let stays = |number: &Number| listed.contains(number);
            self.touched.extend(
                self.accounts
                    .keys()
                    .filter(|number| !stays(number))
                    .map(|number| Row::Account(*number)),
            );
            self.accounts.retain(|number, _| stays(number));
            self.numbers.retain(|_, number| stays(number));
            let ended = self.leases.take_where(|lease| !stays(&lease.what.account));
            changes.leases |= !ended.is_empty();
            self.touched
                .extend(ended.into_iter().map(|(call, _)| Row::Lease(call)));
            self.drop_sessions(|number| !stays(&number));
            changed = true;
        }
        self.touched.push(Row::Head);
        if changed {
            self.touched.extend(listed.into_iter().map(Row::Account));
        }
        // Rosters have no version: which of two that came so shortly after one another was read first
        // is not known.
        if changed && self.freshness.recent(now) {
            self.freshness.doubt(now);
        }
        self.freshness.learned(now);
        changes.lasting |= changed;
    }

    fn report(&mut self, now: Millis, call: CallId, account: &str, outcome: Outcome, changes: &mut Changes) {
        let Some((number, account)) = find(&self.numbers, &mut self.accounts, account) else {
            return;
        };
        let hold = self
            .leases
            .get(call)
            .map(|lease| &lease.what)
            .filter(|hold| hold.account == number);
        let turns = Turns {
            of_call: hold.map(|hold| hold.turn),
            given: self.turn,
        };
        // Of a call the pool knows no more (it tells late, or twice) nobody knows which it used.
        let replaced = match hold {
            Some(hold) => hold.credentials != account.policy.credential_version,
            None => account.replaced_lately(now),
        };
        let (holds, serving) = (hold.is_some(), outcome == Outcome::Serving);
        let told = !matches!(outcome, Outcome::Finished | Outcome::Neutral);
        let health = &mut account.health;
        let news = match outcome {
            Outcome::Serving => health.serves(now),
            Outcome::Finished | Outcome::Neutral => false,
            Outcome::Throttled {
                until: Some(until),
                family,
            } if until > now => health.cool(now, family, until),
            // Without a reset, or with one that has passed, we can only guess.
            Outcome::Throttled { .. } => health.hit(now, Hit::Throttled, turns),
            Outcome::Unwell { .. } => health.hit(now, Hit::Unwell, turns),
            Outcome::Denied { .. } if replaced => false,
            Outcome::Denied { why, until } => health.deny(now, why, until),
        };
        changes.lasting |= news;
        // Marks that have ended go without being news.
        if told {
            self.touched.push(Row::Account(number));
        }
        if holds && !serving {
            changes.leases |= self.free(call).is_some();
        }
    }

    fn flush(&mut self, account: Option<&str>) -> bool {
        match account {
            None => self.drop_sessions(|_| true),
            Some(id) => match self.numbers.get(id).copied() {
                Some(flushed) => self.drop_sessions(|number| number == flushed),
                None => false,
            },
        }
    }

    /// Says whether there were any.
    fn drop_sessions(&mut self, gone: impl Fn(Number) -> bool) -> bool {
        let dropped = self.sessions.drop_accounts(gone);
        let any = !dropped.is_empty();
        self.touched.extend(dropped.into_iter().map(Row::Session));
        any
    }

    fn reset(&mut self, account: &str, changes: &mut Changes) {
        if let Some((number, account)) = find(&self.numbers, &mut self.accounts, account) {
            changes.lasting |= account.health.reset();
            changes.leases |= account.election.take().is_some();
            self.touched.push(Row::Account(number));
        }
    }

    fn snapshot(&self, now: Millis) -> Snapshot {
        let mut leases: BTreeMap<Number, Vec<_>> = BTreeMap::new();
        for (call, lease) in self.leases.iter() {
            leases
                .entry(lease.what.account)
                .or_default()
                .push((call, lease.since, lease.end.until()));
        }
        let mut sessions: BTreeMap<Number, usize> = BTreeMap::new();
        for number in self.sessions.accounts() {
            *sessions.entry(number).or_default() += 1;
        }
        let account = |(number, account): (&Number, &Account)| AccountSnapshot {
            policy: account.policy.clone(),
            leases: leases.get(number).cloned().unwrap_or_default(),
            cooldowns: account
                .health
                .cooldowns(now)
                .map(|cooldown| (cooldown.family.clone(), cooldown.end.until()))
                .collect(),
            backoff_until: account.health.backoff_until(now),
            denied: account
                .health
                .denial()
                .map(|denial| (denial.why.clone(), denial.end.map(crate::time::Deadline::until))),
            last_used: account.last_used,
            sessions: sessions.get(number).copied().unwrap_or(0),
        };
        Snapshot {
            accounts: self.accounts.iter().map(account).collect(),
            sessions: self.sessions.len(),
        }
    }

    fn id(&self, number: Number) -> AccountId {
        self.accounts
            .get(&number)
            .map(|account| account.policy.id.clone())
            .unwrap_or_default()
    }

    fn put(&mut self, call: CallId, lease: Lease<Hold>) {
        if let Some(account) = self.accounts.get_mut(&lease.what.account) {
            account.held = account.held.saturating_add(u32::from(lease.what.slot));
        }
        self.touched.push(Row::Lease(call));
        self.leases.put(call, lease);
    }

    fn free(&mut self, call: CallId) -> Option<Lease<Hold>> {
        let lease = self.leases.free(call)?;
        self.touched.push(Row::Lease(call));
        release(&mut self.accounts, &lease.what);
        Some(lease)
    }

    /// Says whether a lease had ended.
    fn sweep(&mut self, now: Millis) -> bool {
        let sessions = self.sessions.sweep(now);
        self.touched.extend(sessions.into_iter().map(Row::Session));
        let ended = self.leases.sweep(now);
        for (call, hold) in &ended {
            release(&mut self.accounts, hold);
            self.touched.push(Row::Lease(*call));
        }
        !ended.is_empty()
    }

    fn set_back(&mut self, now: Millis) {
        self.freshness.set_back(now);
        self.leases.set_back(now);
        self.sessions.set_back(now);
        for account in self.accounts.values_mut() {
            account.set_back(now);
        }
        self.touched.push(Row::Head);
        self.touched.extend(self.leases.calls().map(Row::Lease));
        self.touched.extend(self.sessions.ids().map(Row::Session));
        self.touched
            .extend(self.accounts.keys().copied().map(Row::Account));
    }
}

/// Holds written before some took no slot.
fn yes() -> bool {
    true
}

fn release(accounts: &mut BTreeMap<Number, Account>, hold: &Hold) {
    if let Some(account) = accounts.get_mut(&hold.account) {
        account.held = account.held.saturating_sub(u32::from(hold.slot));
    }
}

fn find<'a>(
    numbers: &BTreeMap<AccountId, Number>,
    accounts: &'a mut BTreeMap<Number, Account>,
    id: &str,
) -> Option<(Number, &'a mut Account)> {
    let number = *numbers.get(id)?;
    accounts.get_mut(&number).map(|account| (number, account))
}

impl Machine for Pool {
    type Command = Command;
    type Reply = Reply;

    fn handle(&mut self, now: Millis, command: Command) -> Step<Reply> {
        let tick = self.present.read(now);
        let now = tick.now;
        if tick.set_back {
            self.set_back(now);
        }
        let mut changes = Changes {
            leases: tick.set_back,
            lasting: tick.set_back,
        };
        changes.leases |= self.sweep(now);
        let reply = match command {
            Command::Learn { roster } => {
                self.learn(now, roster, &mut changes);
                Reply::Done
            }
            Command::Pick(pick) => self.pick(now, &pick, &mut changes),
            Command::Renew { call, ttl_ms } => {
                if self.leases.renew(now, call, ttl_ms) {
                    changes.leases = true;
                    self.touched.push(Row::Lease(call));
                }
                Reply::Done
            }
            Command::Report {
                call,
                account,
                outcome,
            } => {
                self.report(now, call, &account, outcome, &mut changes);
                Reply::Done
            }
            Command::BeginRefresh {
                call,
                account,
                seen,
                ttl_ms,
            } => self.begin_refresh(now, call, &account, seen, ttl_ms, &mut changes),
            Command::EndRefresh {
                call,
                account,
                result,
            } => {
                self.end_refresh(now, call, &account, result, &mut changes);
                Reply::Done
            }
            Command::Reset { account } => {
                self.reset(&account, &mut changes);
                Reply::Done
            }
            Command::Flush { account } => {
                changes.lasting |= self.flush(account.as_deref());
                Reply::Done
            }
            Command::Invalidate => {
                self.freshness.invalidated(now);
                changes.lasting = true;
                self.touched.push(Row::Head);
                Reply::Done
            }
            Command::Snapshot => Reply::Snapshot(Box::new(self.snapshot(now))),
        };
        let wake_at = [self.leases.earliest(), self.sessions.earliest()]
            .into_iter()
            .flatten()
            .min();
        Step {
            reply,
            changes,
            wake_at,
            wake: Vec::new(),
            rows: std::mem::take(&mut self.touched),
        }
    }
}

#[cfg(test)]
mod tests;
