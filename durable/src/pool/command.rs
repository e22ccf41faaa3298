//! The pool's commands and replies.

use serde::{Deserialize, Serialize};

use super::{AccountPolicy, Skip, Snapshot, Trace};
use crate::{CallId, Millis};

pub type AccountId = String;
pub type GroupId = String;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The platform's accounts as the store has them now. Marks and leases of accounts that still exist stay. A
    /// credential version older than the current one comes from a slow reader.
    Learn {
        roster: Vec<AccountPolicy>,
    },
    Pick(Pick),
    Renew {
        call: CallId,
        ttl_ms: u64,
    },
    Report(Report),
    /// The operator frees a slot by hand. Its call continues without one, and its later report frees no other call's
    /// slot.
    Release {
        call: CallId,
    },
    /// Which of these did the account make? See [`Origin::id`].
    MadeBy {
        account: AccountId,
        origins: Vec<u64>,
    },
    /// Gives this origin to the call, and forgets it. The reply's `MadeBy` has `Some(true)` if it was known: of all
    /// calls that claim one, a single call hears that, and hears it again when it asks again.
    Claim {
        call: CallId,
        origin: u64,
    },
    /// Asks to become the call that refreshes the account's token. `seen` is the credential version that the caller
    /// found stale; the election ends by itself after `ttl_ms`.
    BeginRefresh {
        call: CallId,
        account: AccountId,
        seen: u64,
        ttl_ms: u64,
        /// The caller only waits for the end of the refresh: its host holds `RefreshBusy` back until there is news
        /// (`Step::wake`), or asks again at the election's end.
        #[serde(default)]
        waits: bool,
        /// The last round that `RefreshBusy` reported to the caller. If that round or a later one failed, the reply
        /// says so and does not elect the caller.
        #[serde(default)]
        waited_for: Option<u64>,
        /// The provider refused these credentials before their end. A refusal right after a refresh is no reason for
        /// another one: see `Reply::RefreshTooSoon`.
        #[serde(default)]
        refused: bool,
    },
    /// The elected call is done: with a new credential version, or with the provider's refusal.
    EndRefresh {
        call: CallId,
        account: AccountId,
        result: RefreshResult,
    },
    /// The operator resets the account: forgets cooldowns, marks and measured quota windows. Today's cost and recent
    /// errors are facts and stay.
    Reset {
        account: AccountId,
    },
    /// Forgets sticky sessions: of one account or all, one session or all.
    Flush {
        account: Option<AccountId>,
        #[serde(default)]
        session: Option<u64>,
    },
    /// For a split pool: that shard serves a session whose home is here.
    Moved {
        session: u64,
        shard: u64,
        owner: u64,
        /// The shard only tries: an account that served the session well stays its account.
        tries: bool,
    },
    /// An account was changed elsewhere: the next `Pick` must ask for the roster again; see
    /// `gate::Command::Invalidate`.
    Invalidate,
    Snapshot,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pick {
    pub call: CallId,
    /// Hash of (client key, session signal): a session stays on its account while that can serve it.
    pub session: Option<u64>,
    /// Objects that the call refers to and a provider stores for one account, the most binding first.
    #[serde(default)]
    pub origins: Vec<Origin>,
    /// Hash of the client key: the call's bindings count towards its share.
    #[serde(default)]
    pub owner: u64,
    /// Model family of the call, in the provider's terms: a cooldown may apply to one family only.
    pub family: String,
    /// The model, by its canonical name; empty if the call has none.
    #[serde(default)]
    pub model: String,
    /// Kinds of accounts that can serve the call. `None`: every kind.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// Accounts that this call has already tried.
    pub tried: Vec<AccountId>,
    /// Only this account (the operator's test of it); skips cooldowns, pauses and bindings, takes a slot.
    pub only: Option<AccountId>,
    /// The binding of the client's key.
    #[serde(default)]
    pub binding: Option<Binding>,
    /// Whether a bound call may get an account of the common pool when no bound account can serve it. Always visible:
    /// `Reply::Picked` says so.
    #[serde(default)]
    pub fallback: bool,
    /// Whether the call takes one of the account's slots. A call that does not can be served by a full account, too.
    pub slot: bool,
    pub ttl_ms: u64,
    /// See `gate::Admit::learned_since`.
    pub learned_since: Millis,
    /// The owner of the call (the client key's id), for people: shown with the lease.
    #[serde(default)]
    pub holder: String,
    /// Whether the reply must contain the reasons for the choice.
    #[serde(default)]
    pub trace: bool,
    /// The call got the account `only` and is served by it, but this pool does not know it: see
    /// `gate::Admit::granted`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub granted: bool,
    #[serde(default, skip_serializing_if = "is_whole")]
    pub part: PoolPart,
}

impl Pick {
    /// A call that takes a slot and has no other demands.
    pub fn of(call: CallId, ttl_ms: u64) -> Self {
        Self {
            call,
            session: None,
            origins: Vec::new(),
            owner: 0,
            family: String::new(),
            model: String::new(),
            kinds: None,
            tried: Vec::new(),
            only: None,
            binding: None,
            fallback: false,
            slot: true,
            ttl_ms,
            learned_since: 0,
            holder: String::new(),
            trace: false,
            granted: false,
            part: PoolPart::Whole,
        }
    }
}

/// The part of the pool that gets a `Pick`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolPart {
    /// The whole pool, or its last resort.
    #[default]
    Whole,
    /// A shard of a split pool. It may reply with `Elsewhere`, `own_full` and, to the report, `Served`.
    Shard,
    /// The same, but the home shard already knows that this shard serves the session.
    KnownShard,
    /// A shard that is asked because the one with the session has no account. It may still have a binding of the
    /// session from before: that account is as good as any, but if it is full the session does not wait for it.
    OtherShard,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_whole(part: &PoolPart) -> bool {
    *part == PoolPart::Whole
}

/// An object that a provider stores for one account: a stored response, a file, encrypted reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Hash of (client key, kind of object, its id): a key is only routed by objects that it used or made itself.
    pub id: u64,
    /// Another account may serve the call without the object.
    #[serde(default)]
    pub loose: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binding {
    Account(AccountId),
    Group(GroupId),
}

/// The result of an attempt; frees the call's slot on that account unless the outcome says that the call continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub call: CallId,
    pub account: AccountId,
    pub outcome: Outcome,
    /// The provider's status, for people; `None`: no answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// The account's quota windows from the answer, whatever the outcome.
    #[serde(default)]
    pub quota: Vec<QuotaWindow>,
    /// The cost of the call in micro-USD, for the account's daily quota. Counted once, by the report that frees the
    /// call's lease on the account: reports without a lease, or repeated ones, do not count.
    #[serde(default)]
    pub spent: u64,
    /// The account served the call well: its session and the objects it referred to belong there.
    #[serde(default)]
    pub served: bool,
    /// Objects made by the answer that the provider stores for the account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Origin>,
}

impl Report {
    /// A report without cost and measurements.
    pub fn of(call: CallId, account: AccountId, outcome: Outcome) -> Self {
        Self {
            call,
            account,
            outcome,
            status: None,
            quota: Vec::new(),
            spent: 0,
            served: false,
            made: Vec::new(),
        }
    }
}

/// A provider's quota window, from one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaWindow {
    /// `unified-5h`, `unified-7d`, `codex-primary`, `requests`, ...: one of each per account. A newer
    /// observation replaces an older one.
    pub name: String,
    /// Only calls of this model family use it.
    #[serde(default)]
    pub family: Option<String>,
    /// The used share; may exceed 1,000 if the window was overdrawn.
    pub used_permille: u16,
    /// From then on the window counts as unused.
    pub resets_at: Millis,
    pub observed_at: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The pool lacks the roster, or a fresh one, or (`BeginRefresh`) this account.
    NeedRoster,
    Picked {
        account: AccountId,
        /// Of the account's record: a copy with an earlier revision is stale.
        revision: u64,
        /// The account was in trouble: the pool needs `Outcome::Serving`. For other accounts the report at the end of
        /// the call is enough.
        on_trial: bool,
        /// Picked because of its session.
        sticky: bool,
        /// The account is among the call's bindings. A bound call with any other account has fallen back.
        #[serde(default)]
        bound: bool,
        /// The origin of the call that decided the pick: only this account can serve the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<u64>,
        /// If it was requested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<Box<Trace>>,
    },
    /// No account can serve the call now.
    NobodyLeft {
        /// The reason for every account that the call could get; a bound call sees its bound accounts only.
        skipped: Vec<(AccountId, Skip)>,
        /// When the first account is expected back, if waiting helps at all.
        earliest: Option<Millis>,
        /// At least one account is only full.
        busy: bool,
        /// The state of the call's binding, if it has one.
        #[serde(default)]
        bound: Option<BindingFailure>,
        /// The origin of the call whose account cannot serve now; then `skipped` has that account alone, or nothing
        /// if the account was deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<u64>,
        /// The account of the call's session is only full. Set by shards of a split pool.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        own_full: bool,
    },
    /// From a shard of a split pool: that shard serves the session.
    Elsewhere {
        shard: u64,
    },
    /// From a shard of a split pool: its account served this session.
    Served {
        session: u64,
        owner: u64,
    },
    /// The caller refreshes the token: it reads the credentials again first, then refreshes.
    RefreshElected,
    /// Another call refreshes the token, until `until` at most.
    RefreshBusy {
        until: Millis,
        /// Number of the account's elections so far.
        #[serde(default)]
        round: u64,
    },
    /// The credentials are newer than the caller's.
    RefreshDone {
        version: u64,
    },
    /// The provider refused to refresh these credentials; it must not be asked again.
    RefreshRefused {
        why: String,
    },
    /// The refresh that the caller waited for failed for a reason that may pass.
    RefreshFailed,
    /// The credentials were refreshed so recently (or could not be) that a refusal of them is evidence against the
    /// request. From `at` on a refusal is a reason to refresh them again.
    RefreshTooSoon {
        at: Millis,
    },
    /// In the order of the question (the first 256); `None`: unknown.
    MadeBy {
        made: Vec<Option<bool>>,
    },
    Done,
    Snapshot(Box<Snapshot>),
}

/// Why a bound call did not get a bound account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindingFailure {
    /// The pool has no such account, or the group has no account in it.
    Missing,
    /// No bound account can serve the call now.
    Unable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The provider began to answer well; the slot stays held until `Finished`. Ends the account's guessed cooldowns
    /// (of the call's family, if the call takes a slot), and a denial whose time has passed.
    Serving,
    /// The call is over, whatever its result; frees the slot.
    Finished,
    /// Rate limited. `until` is the provider's own time (trusted, up to 8 days). `None`: other accounts are preferred
    /// for 15 s, doubling with each consecutive hit up to 5 min. `family`: only calls of this model family are
    /// limited.
    Throttled {
        until: Option<Millis>,
        family: Option<String>,
        /// For people.
        #[serde(default)]
        why: String,
    },
    /// 5xx, 529, no connection, cut before the first byte: other accounts are preferred for 5 s, doubling with each
    /// consecutive hit up to 60 s. An account that is the only one left still serves.
    Unwell {
        why: String,
        /// The provider's time for a retry; trusted for up to 5 min, since it is not a measured limit and may concern
        /// one request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Millis>,
    },
    /// Credentials refused. `until`: may heal by itself then, and one call at a time tests it; `None`: only new
    /// credentials or a reset help. Not held against credentials replaced since the pick.
    Denied { why: String, until: Option<Millis> },
    /// Refused, and it is unknown whether because of the account or the request. Evidence only: the account ranks
    /// behind others, for calls of that key and family; for all keys once another key has met the refusal with
    /// another request. A good answer ends it.
    Refused {
        why: String,
        /// Fingerprint of the request.
        request: u64,
    },
    /// No evidence against the account (the client's fault, or the client left before an answer).
    Neutral,
}

impl Outcome {
    /// The text of an error that is held against the account.
    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::Throttled { why, .. }
            | Self::Unwell { why, .. }
            | Self::Denied { why, .. }
            | Self::Refused { why, .. } => Some(why),
            Self::Serving | Self::Finished | Self::Neutral => None,
        }
    }
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
    /// The token endpoint could not be reached; the next call may try again.
    Failed,
}
