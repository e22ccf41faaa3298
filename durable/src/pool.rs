//! The pool of one platform: chooses the account of an attempt, holds its slot, and knows how every
//! account is doing (cooldowns, back-off, refused credentials, sticky sessions, who refreshes a token).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CallId, Machine, Millis, Step};

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
    /// Why this host cannot use the account at all (e.g. a proxy where none can be had).
    pub unusable: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    _todo: BTreeMap<CallId, Millis>,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// The platform's accounts as the store has them now. Marks and leases of accounts that are
    /// still there survive.
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
    Invalidate,
    Snapshot,
}

#[derive(Clone, Debug)]
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
    pub ttl_ms: u64,
    /// See `gate::Admit::learned_since`.
    pub learned_since: Millis,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    NeedRoster,
    Picked {
        account: AccountId,
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
    /// It could serve, another was preferred (priority, back-off, recency).
    NotPreferred,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The provider began to answer well; the slot stays held until `Finished`.
    Serving,
    /// The call is over, whatever its end; frees the slot.
    Finished,
    /// Rate limited. `until` is the provider's own word (trusted) or `None` (guessed, a short back-off).
    /// `family`: only calls of this model family are limited.
    Throttled {
        until: Option<Millis>,
        family: Option<String>,
    },
    /// 5xx, 529, no connection, cut before the first byte: prefer others for a short while.
    Unwell { why: String },
    /// Credentials refused. `until`: may heal by itself then; `None`: only new credentials or a reset help.
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

impl Machine for Pool {
    type Command = Command;
    type Reply = Reply;

    fn handle(&mut self, _now: Millis, _command: Command) -> Step<Reply> {
        Step {
            reply: Reply::Done,
            changes: crate::Changes::default(),
            wake_at: None,
        }
    }
}
