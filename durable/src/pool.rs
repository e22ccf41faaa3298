//! The pool of one platform: chooses the account of an attempt, holds its slot, and knows how every
//! account is doing (cooldowns, back-off, refused credentials, sticky sessions, who refreshes a token).
//!
//! A call holds at most one slot in a pool: leases are named by their call.
//!
//! | module | idea |
//! | --- | --- |
//! | `command` | what the pool is told and asked, and what it answers |
//! | `policy` | what the operator says of an account, and whom that lets it serve |
//! | `account` | one account, and whether it can serve a call |
//! | `choice` | which account serves an attempt |
//! | `explain` | why it does |
//! | `report` | what is learned from how it went |
//! | `health` | cooldowns and denials, and how they heal |
//! | `witness` | whose calls met a trouble |
//! | `quota` | what an account has left |
//! | `errors` | what was last held against it |
//! | `bindings` | which account a name belongs to, for a while, with a share for each key |
//! | `origin` | what ties a call to an account: what it refers to, and its session |
//! | `refresh` | who refreshes a token |
//! | `snapshot` | the pool as people are shown it |
//! | `kept` | the pool as rows of a table |

mod account;
mod bindings;
mod choice;
mod command;
mod errors;
mod explain;
mod health;
mod kept;
mod origin;
mod policy;
mod quota;
mod refresh;
mod report;
mod snapshot;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::account::{Account, Number};
use self::bindings::{Origins, Owner, Sessions};
pub use self::command::{
    AccountId, Binding, Command, GroupId, Origin, Outcome, Pick, QuotaWindow, RefreshResult, Reply, Report,
    Unbound,
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
    /// Of the accounts that had any.
    errors: BTreeMap<Number, Errors>,
    leases: Leases<Hold>,
    /// Persisted under another name than before its bindings had owners.
    #[serde(rename = "bound_sessions")]
    sessions: Sessions,
    /// What providers keep for one account.
    origins: Origins,
    /// Sessions that calls are being served for: session, turn and call. Derived from the leases.
    #[serde(skip)]
    serving: BTreeSet<(u64, u64, CallId)>,
    /// Grows with every account given.
    turn: u64,
    /// Rows this step touched.
    #[serde(skip)]
    touched: Vec<Row>,
    /// Calls that wait for a renewal and are to ask again after this step.
    #[serde(skip)]
    woken: Vec<CallId>,
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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    family: String,
    /// Whose call it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    holder: String,
    /// The session to be bound to the account if it serves the call well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(default)]
    owner: Owner,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<Origin>,
}

impl Hold {
    /// What a good answer to the call proves.
    fn proof(&self) -> Proof<'_> {
        if self.slot {
            Proof::Family(&self.family)
        } else {
            Proof::Nothing
        }
    }
}

impl Pool {
    /// What a host starts from whose death ended all its calls: no leases, nobody refreshing, and the
    /// roster is to be asked for again (it may have changed in the meantime).
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

    fn learn(&mut self, now: Millis, roster: Vec<AccountPolicy>, changes: &mut Changes) {
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
            changes.leases |= !ended.is_empty();
            for (call, hold) in ended {
                self.serving.remove(&served_by(call, &hold));
                self.touched.push(Row::Lease(call));
            }
            self.errors.retain(|number, _| stays(number));
            let dropped = self.sessions.drop_accounts(|number| !stays(&number));
            self.dropped(dropped);
            // `origins` stay until they end: whoever refers to them is told that the account is gone.
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

    fn flush(&mut self, account: Option<&str>, session: Option<u64>) -> bool {
        let number = account.map(|id| self.numbers.get(id).copied());
        let dropped = match (number, session) {
            (Some(None), _) => Vec::new(),
            (Some(Some(of)), Some(session)) if self.sessions.account(session) != Some(of) => Vec::new(),
            (_, Some(session)) => self.sessions.drop(session),
            (Some(Some(flushed)), None) => self.sessions.drop_accounts(|number| number == flushed),
            (None, None) => self.sessions.drop_accounts(|_| true),
        };
        self.dropped(dropped)
    }

    /// Says whether there were any.
    fn dropped(&mut self, sessions: Vec<u64>) -> bool {
        let any = !sessions.is_empty();
        self.touched.extend(sessions.into_iter().map(Row::Session));
        any
    }

    fn reset(&mut self, account: &str, changes: &mut Changes) {
        if let Some((number, account)) = find(&self.numbers, &mut self.accounts, account) {
            changes.lasting |= account.health.reset() | account.quota.reset();
            changes.leases |= !account.renewals.is_empty();
            self.woken.extend(account.renewals.reset());
            self.touched.push(Row::Account(number));
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
        self.serves(call, &lease.what);
        self.leases.put(call, lease);
    }

    fn free(&mut self, call: CallId) -> Option<Lease<Hold>> {
        let lease = self.leases.free(call)?;
        self.touched.push(Row::Lease(call));
        self.serving.remove(&served_by(call, &lease.what));
        release(&mut self.accounts, &lease.what);
        Some(lease)
    }

    fn serves(&mut self, call: CallId, hold: &Hold) {
        if hold.session.is_some() {
            self.serving.insert(served_by(call, hold));
        }
    }

    /// Says whether a lease had ended.
    fn sweep(&mut self, now: Millis) -> bool {
        let sessions = self.sessions.sweep(now);
        self.touched.extend(sessions.into_iter().map(Row::Session));
        let origins = self.origins.sweep(now);
        self.touched.extend(origins.into_iter().map(Row::Origin));
        let ended = self.leases.sweep(now);
        for (call, hold) in &ended {
            self.serving.remove(&served_by(*call, hold));
            release(&mut self.accounts, hold);
            self.touched.push(Row::Lease(*call));
        }
        !ended.is_empty()
    }

    fn set_back(&mut self, now: Millis) {
        self.freshness.set_back(now);
        self.leases.set_back(now);
        self.sessions.set_back(now);
        self.origins.set_back(now);
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
        self.touched
            .extend(self.accounts.keys().copied().map(Row::Account));
    }
}

/// Holds written before some took no slot.
fn yes() -> bool {
    true
}

/// The entry in `Pool::serving` of a call that is served for a session.
fn served_by(call: CallId, hold: &Hold) -> (u64, u64, CallId) {
    (hold.session.unwrap_or_default(), hold.turn, call)
}

fn release(accounts: &mut BTreeMap<Number, Account>, hold: &Hold) {
    if let Some(account) = accounts.get_mut(&hold.account) {
        account.held = account.held.saturating_sub(u32::from(hold.slot));
    }
}

/// The text, or as much of it as fits.
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
            Command::Report(report) => {
                self.report(now, report, &mut changes);
                Reply::Done
            }
            Command::Release { call } => {
                changes.leases |= self.free(call).is_some();
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
                self.begin_refresh(now, &account, &applicant, &mut changes)
            }
            Command::EndRefresh {
                call,
                account,
                result,
            } => {
                self.end_refresh(now, call, &account, result, &mut changes);
                Reply::Done
            }
            Command::MadeBy { account, origins } => self.made_by(now, &account, &origins),
            Command::Reset { account } => {
                self.reset(&account, &mut changes);
                Reply::Done
            }
            Command::Flush { account, session } => {
                changes.lasting |= self.flush(account.as_deref(), session);
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
        let wake_at = [
            self.leases.earliest(),
            self.sessions.earliest(),
            self.origins.earliest(),
        ]
        .into_iter()
        .flatten()
        .min();
        Step {
            reply,
            changes,
            wake_at,
            wake: std::mem::take(&mut self.woken),
            rows: std::mem::take(&mut self.touched),
        }
    }
}

#[cfg(test)]
mod tests;
