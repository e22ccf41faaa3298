//! The pool of one platform: chooses the account of an attempt, holds its slot, and tracks the state of every
//! account (cooldowns, back-off, refused credentials, sticky sessions, token refreshes).
//!
//! A call holds at most one slot in a pool: leases are named by their call.
//!
//! | module | idea |
//! | --- | --- |
//! | `command` | the pool's commands and replies |
//! | `policy` | the operator's settings of an account, and the calls it may serve by them |
//! | `account` | one account, and whether it can serve a call |
//! | `choice` | which account serves an attempt |
//! | `explain` | the reasons for that choice |
//! | `report` | updates from the result of an attempt |
//! | `health` | cooldowns and denials, and how they heal |
//! | `witness` | whose calls met a trouble |
//! | `quota` | the remaining quota of an account |
//! | `errors` | the last errors of an account |
//! | `bindings` | expiring bindings of names to accounts, with a share for each key |
//! | `origin` | ties between a call and an account: the objects it refers to, and its session |
//! | `refresh` | who refreshes a token |
//! | `snapshot` | the pool as shown to people |
//! | `table` | the pool as rows of a table |
//! | [`shards`] | a pool that is split into several |

mod account;
mod bindings;
mod choice;
mod command;
mod errors;
mod explain;
mod health;
mod origin;
mod policy;
mod quota;
mod refresh;
mod report;
pub mod shards;
mod snapshot;
mod table;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::account::{Account, Number};
use self::bindings::{Origins, Owner, Sessions};
pub use self::command::{
    AccountId, Binding, BindingFailure, Command, GroupId, Origin, Outcome, Pick, PoolPart, QuotaWindow,
    RefreshResult, Reply, Report,
};
use self::errors::Errors;
pub use self::explain::{Candidate, Skip, Trace};
use self::health::Proof;
pub use self::policy::AccountPolicy;
use self::refresh::Applicant;
pub use self::snapshot::{AccountError, AccountSnapshot, Cooldown, CooldownKind, LeaseSnapshot, Snapshot};
use crate::freshness::Freshness;
use crate::lease::{Lease, Leases};
use crate::rows::Row;
use crate::time::Present;
use crate::{CallId, Machine, Millis, Step};

/// See the module. `Default` is a pool without accounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    present: Present,
    freshness: Freshness,
    accounts: BTreeMap<Number, Account>,
    numbers: BTreeMap<AccountId, Number>,
    /// The number of the newest account.
    last_number: Number,
    /// Only of accounts that had errors.
    errors: BTreeMap<Number, Errors>,
    leases: Leases<Hold>,
    /// Persisted under another name than before bindings had owners.
    #[serde(rename = "bound_sessions")]
    sessions: Sessions,
    /// Objects that a provider stores for one account only.
    origins: Origins,
    /// Sessions of this shard that another shard serves, with that shard's number.
    elsewhere: Sessions,
    /// Running calls of sessions: session, turn and call. Derived from the leases.
    #[serde(skip)]
    serving: BTreeSet<(u64, u64, CallId)>,
    /// Grows with every account that is picked.
    turn: u64,
    /// Rows changed by this step.
    #[serde(skip)]
    touched: Vec<Row>,
    /// Calls that wait for a refresh and must ask again after this step.
    #[serde(skip)]
    woken: Vec<CallId>,
}

/// The resources of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    account: Number,
    /// Picked because of its session.
    sticky: bool,
    turn: u64,
    /// Whether the call occupies one of the account's slots.
    #[serde(default = "yes")]
    slot: bool,
    /// Version of the credentials the call uses, as far as the pool knows.
    credentials: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    family: String,
    /// The owner of the call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    holder: String,
    /// The session to bind to the account if it serves the call well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(default)]
    owner: Owner,
    /// The home shard of the session must learn that this shard served it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    announces: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<Origin>,
}

impl Hold {
    /// The marks that a good answer to the call disproves.
    fn proof(&self) -> Proof<'_> {
        if self.slot {
            Proof::Family(&self.family)
        } else {
            Proof::Nothing
        }
    }
}

impl Pool {
    /// The state to start from after a host's death, which ended all its calls: no leases, no refreshes, and the
    /// roster must be learned again (it may have changed in the meantime).
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.leases = Leases::default();
        self.serving.clear();
        for account in self.accounts.values_mut() {
            account.held = 0;
            account.renewals.stop();
        }
        self.freshness.resumed();
        self
    }

    fn learn(&mut self, now: Millis, roster: Vec<AccountPolicy>) {
        let mut changed = !self.freshness.known();
        let mut listed = BTreeSet::new();
        for policy in roster {
            if let Some((number, account)) = find(&self.numbers, &mut self.accounts, &policy.id) {
                if account.learn(now, policy) {
                    changed = true;
                    self.woken.extend(account.renewals.wake());
                }
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
                    .flat_map(|number| [Row::Account(*number), Row::Errors(*number)]),
            );
            let gone = self.accounts.extract_if(.., |number, _| !stays(number));
            self.woken
                .extend(gone.flat_map(|(_, mut account)| account.renewals.wake()));
            self.numbers.retain(|_, number| stays(number));
            let ended = self.leases.take_where(|lease| !stays(&lease.what.account));
            for (call, hold) in ended {
                self.serving.remove(&served_by(call, &hold));
                self.touched.push(Row::Lease(call));
            }
            self.errors.retain(|number, _| stays(number));
            let dropped = self.sessions.drop_accounts(|number| !stays(&number));
            self.touched.extend(dropped.into_iter().map(Row::Session));
            // `origins` stay until they end: a call that refers to them must learn that the account is gone.
            changed = true;
        }
        self.touched.push(Row::Head);
        if changed {
            self.touched.extend(listed.into_iter().map(Row::Account));
        }
        // Rosters have no version: of two that came so close together it is unknown which was read first.
        if changed && self.freshness.recent(now) {
            self.freshness.doubt(now);
        }
        self.freshness.learned(now);
    }

    fn flush(&mut self, account: Option<&str>, session: Option<u64>) {
        let number = account.map(|id| self.numbers.get(id).copied());
        let dropped = match (number, session) {
            (Some(None), _) => Vec::new(),
            (Some(Some(of)), Some(session)) if self.sessions.account(session) != Some(of) => Vec::new(),
            (of, Some(session)) => {
                if of.is_none() {
                    self.came_back(session);
                }
                self.sessions.drop(session)
            }
            (Some(Some(flushed)), None) => self.sessions.drop_accounts(|number| number == flushed),
            (None, None) => {
                let all = self.elsewhere.drop_accounts(|_| true);
                self.touched.extend(all.into_iter().map(Row::Elsewhere));
                self.sessions.drop_accounts(|_| true)
            }
        };
        self.touched.extend(dropped.into_iter().map(Row::Session));
    }

    fn reset(&mut self, account: &str) {
        if let Some((number, account)) = find(&self.numbers, &mut self.accounts, account) {
            let was_renewing = !account.renewals.is_empty();
            self.woken.extend(account.renewals.reset());
            if account.health.reset() | account.quota.reset() | was_renewing {
                self.touched.push(Row::Account(number));
            }
        }
    }

    fn id(&self, number: Number) -> AccountId {
        self.accounts
            .get(&number)
            .map(|account| account.policy.id.clone())
            .unwrap_or_default()
    }

    fn give(&mut self, call: CallId, lease: Lease<Hold>) {
        self.touched.push(Row::Lease(call));
        self.hold(call, lease);
    }

    fn free(&mut self, call: CallId) -> Option<Lease<Hold>> {
        let lease = self.unhold(call)?;
        self.touched.push(Row::Lease(call));
        Some(lease)
    }

    /// The call must have no lease.
    fn hold(&mut self, call: CallId, lease: Lease<Hold>) {
        if let Some(account) = self.accounts.get_mut(&lease.what.account) {
            account.held = account.held.saturating_add(u32::from(lease.what.slot));
        }
        self.serves(call, &lease.what);
        self.leases.put(call, lease);
    }

    fn unhold(&mut self, call: CallId) -> Option<Lease<Hold>> {
        let lease = self.leases.free(call)?;
        self.serving.remove(&served_by(call, &lease.what));
        release(&mut self.accounts, &lease.what);
        Some(lease)
    }

    fn serves(&mut self, call: CallId, hold: &Hold) {
        if hold.session.is_some() {
            self.serving.insert(served_by(call, hold));
        }
    }

    fn sweep(&mut self, now: Millis) {
        let sessions = self.sessions.sweep(now);
        self.touched.extend(sessions.into_iter().map(Row::Session));
        let origins = self.origins.sweep(now);
        self.touched.extend(origins.into_iter().map(Row::Origin));
        let elsewhere = self.elsewhere.sweep(now);
        self.touched.extend(elsewhere.into_iter().map(Row::Elsewhere));
        let ended = self.leases.sweep(now);
        for (call, hold) in &ended {
            self.serving.remove(&served_by(*call, hold));
            release(&mut self.accounts, hold);
            self.touched.push(Row::Lease(*call));
        }
    }

    fn set_back(&mut self, now: Millis) {
        self.freshness.set_back(now);
        self.leases.set_back(now);
        self.sessions.set_back(now);
        self.origins.set_back(now);
        self.elsewhere.set_back(now);
        for account in self.accounts.values_mut() {
            account.set_back(now);
        }
        for errors in self.errors.values_mut() {
            errors.set_back(now);
        }
        self.touched.push(Row::Head);
        self.touched.extend(self.errors.keys().copied().map(Row::Errors));
        self.touched.extend(self.leases.calls().map(Row::Lease));
        self.touched.extend(self.sessions.names().map(Row::Session));
        self.touched.extend(self.origins.names().map(Row::Origin));
        self.touched.extend(self.elsewhere.names().map(Row::Elsewhere));
        self.touched
            .extend(self.accounts.keys().copied().map(Row::Account));
    }
}

/// The default for holds from before calls without a slot existed.
fn yes() -> bool {
    true
}

/// The entry in `Pool::serving` of a call of a session.
fn served_by(call: CallId, hold: &Hold) -> (u64, u64, CallId) {
    (hold.session.unwrap_or_default(), hold.turn, call)
}

fn release(accounts: &mut BTreeMap<Number, Account>, hold: &Hold) {
    if let Some(account) = accounts.get_mut(&hold.account) {
        account.held = account.held.saturating_sub(u32::from(hold.slot));
    }
}

/// The text, cut to `max`.
fn short(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
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
        self.sweep(now);
        let reply = match command {
            Command::Learn { roster } => {
                self.learn(now, roster);
                Reply::Done
            }
            Command::Pick(pick) => self.pick(now, &pick),
            Command::Renew { call, ttl_ms } => {
                if self.leases.renew(now, call, ttl_ms) {
                    self.touched.push(Row::Lease(call));
                }
                Reply::Done
            }
            Command::Report(report) => match self.report(now, report) {
                Some((session, owner)) => Reply::Served { session, owner },
                None => Reply::Done,
            },
            Command::Release { call } => {
                self.free(call);
                Reply::Done
            }
            Command::BeginRefresh {
                call,
                account,
                seen,
                ttl_ms,
                waits,
                waited_for,
                refused,
            } => {
                let applicant = Applicant {
                    call,
                    seen,
                    ttl_ms,
                    waits,
                    waited_for,
                    refused,
                };
                self.begin_refresh(now, &account, &applicant)
            }
            Command::EndRefresh {
                call,
                account,
                result,
            } => {
                self.end_refresh(now, call, &account, result);
                Reply::Done
            }
            Command::MadeBy { account, origins } => self.made_by(now, &account, &origins),
            Command::Claim { call, origin } => self.claim(now, call, origin),
            Command::Reset { account } => {
                self.reset(&account);
                Reply::Done
            }
            Command::Flush { account, session } => {
                self.flush(account.as_deref(), session);
                Reply::Done
            }
            Command::Moved {
                session,
                shard,
                owner,
                tries,
            } => {
                if !tries || !self.has_account(now, session) {
                    self.move_session(now, session, shard, owner);
                }
                Reply::Done
            }
            Command::Invalidate => {
                self.freshness.invalidated(now);
                self.touched.push(Row::Head);
                Reply::Done
            }
            Command::Snapshot => Reply::Snapshot(Box::new(self.snapshot(now))),
        };
        let wake_at = [
            self.leases.earliest(),
            self.sessions.earliest(),
            self.origins.earliest(),
            self.elsewhere.earliest(),
        ]
        .into_iter()
        .flatten()
        .min();
        Step {
            reply,
            wake_at,
            wake: std::mem::take(&mut self.woken),
            rows: std::mem::take(&mut self.touched),
        }
    }
}

#[cfg(test)]
mod tests;
