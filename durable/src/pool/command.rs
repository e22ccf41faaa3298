//! What the pool is told and asked, and what it answers.

use serde::{Deserialize, Serialize};

use crate::{CallId, Millis};

pub type AccountId = String;

/// What the pool must know of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPolicy {
    pub id: AccountId,
    /// Lower is chosen first, as in CRS (1 to 100, 50 by default).
    pub priority: u32,
    /// Calls the account may serve at once; 0 is no limit.
    pub max_concurrency: u32,
    pub active: bool,
    /// The operator's switch: a paused account keeps its sessions' history but gets no calls.
    pub schedulable: bool,
    /// Changes when the credentials were replaced: a mark for refused credentials ends with it.
    pub credential_version: u64,
    /// Grows with every change of the account's record.
    #[serde(default)]
    pub revision: u64,
    /// Why this host cannot use the account at all (e.g. a proxy where none can be had).
    pub unusable: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The platform's accounts as the store has them now. Marks and leases of accounts that are
    /// still there survive. A credential version older than the one held is a slow reader's.
    Learn {
        roster: Vec<AccountPolicy>,
    },
    Pick(Pick),
    Renew {
        call: CallId,
        ttl_ms: u64,
    },
    /// How the attempt went; frees the call's slot on that account unless the outcome says it goes on.
    Report {
        call: CallId,
        account: AccountId,
        outcome: Outcome,
    },
    /// Ask to be the one who refreshes the account's token. `seen` is the credential version the
    /// caller found stale; the election ends by itself after `ttl_ms`.
    BeginRefresh {
        call: CallId,
        account: AccountId,
        seen: u64,
        ttl_ms: u64,
    },
    /// The refresher is done: with a new credential version, or with the provider's refusal.
    EndRefresh {
        call: CallId,
        account: AccountId,
        result: RefreshResult,
    },
    /// The operator's word: forget cooldowns, back-off and marks of the account.
    Reset {
        account: AccountId,
    },
    /// Forget sticky sessions: of one account, or all.
    Flush {
        account: Option<AccountId>,
    },
    /// Some account was changed elsewhere: the next `Pick` must ask for the roster again; see
    /// `gate::Command::Invalidate`.
    Invalidate,
    Snapshot,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pick {
    pub call: CallId,
    /// Hash of (client key, session signal): a session stays on its account while that can serve it.
    pub session: Option<u64>,
    /// Model family the call asks for, in the provider's terms: a cooldown may hold for one family only.
    pub family: String,
    /// Accounts this call has tried already.
    pub tried: Vec<AccountId>,
    /// Only this account (the operator's test of it); skips cooldowns and pauses, takes a slot.
    pub only: Option<AccountId>,
    /// Whether the call takes one of the account's slots. One that does not is served by a full account too.
    pub slot: bool,
    pub ttl_ms: u64,
    /// See `gate::Admit::learned_since`.
    pub learned_since: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The pool does not know the accounts, or not freshly enough, or (`BeginRefresh`) not this one.
    NeedRoster,
    /// `skipped` names those that could not serve, not those that only ranked lower; it is empty when
    /// the account was given for the session's sake.
    Picked {
        account: AccountId,
        /// Of the account's record: a copy of an earlier one is out of date.
        revision: u64,
        /// The account was in trouble: the pool wants to hear of `Outcome::Serving`. Of others the end of
        /// the call is news enough.
        on_trial: bool,
        sticky: bool,
        skipped: Vec<(AccountId, Skip)>,
    },
    /// Nobody can serve the call now. `earliest` is when the first account is expected back, if
    /// waiting helps at all; `busy` says some account is only full.
    NobodyLeft {
        skipped: Vec<(AccountId, Skip)>,
        earliest: Option<Millis>,
        busy: bool,
    },
    /// You are the refresher: read the credentials again first, then refresh.
    RefreshElected,
    /// Somebody else is at it until `until`; read the credentials again after a while.
    RefreshBusy {
        until: Millis,
    },
    /// The credentials are newer than what you saw.
    RefreshDone {
        version: u64,
    },
    Done,
    Snapshot(Box<Snapshot>),
}

/// Why an account was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Skip {
    Tried,
    Inactive,
    Paused,
    Unusable {
        why: String,
    },
    Full {
        limit: u32,
    },
    Cooling {
        until: Millis,
        family: Option<String>,
    },
    Denied {
        why: String,
        until: Option<Millis>,
    },
    /// It could serve, another was preferred. Said only of the account the session was bound to, which
    /// is in back-off.
    NotPreferred,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The provider began to answer well; the slot stays held until `Finished`. Ends the account's
    /// back-off, and a denial whose time has passed.
    Serving,
    /// The call is over, whatever its end; frees the slot.
    Finished,
    /// Rate limited. `until` is the provider's own word (trusted, up to 8 days) or `None`: a back-off
    /// of 15 s that doubles with each hit in a row, up to 5 min.
    /// `family`: only calls of this model family are limited.
    Throttled {
        until: Option<Millis>,
        family: Option<String>,
    },
    /// 5xx, 529, no connection, cut before the first byte: prefer others for 5 s, doubling with each
    /// hit in a row up to 60 s. An account that is the only one left serves all the same.
    Unwell { why: String },
    /// Credentials refused. `until`: may heal by itself then, and one call at a time may try; `None`:
    /// only new credentials or a reset help. Not held against credentials replaced since the pick.
    Denied { why: String, until: Option<Millis> },
    /// Nothing to hold against the account (client's fault, client left before an answer).
    Neutral,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefreshResult {
    Refreshed {
        version: u64,
    },
    /// The provider refused the refresh token for good.
    Refused {
        why: String,
    },
    /// It could not be asked; whoever comes next may try again.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub accounts: Vec<AccountSnapshot>,
    pub sessions: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSnapshot {
    pub policy: AccountPolicy,
    pub leases: Vec<(CallId, Millis, Millis)>,
    /// (family or all, until)
    pub cooldowns: Vec<(Option<String>, Millis)>,
    pub backoff_until: Option<Millis>,
    pub denied: Option<(String, Option<Millis>)>,
    pub last_used: Option<Millis>,
    pub sessions: usize,
}
