//! What the pool is told and asked, and what it answers.

use serde::{Deserialize, Serialize};

use super::{AccountPolicy, Skip, Snapshot, Trace};
use crate::{CallId, Millis};

pub type AccountId = String;
pub type GroupId = String;

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
    Report(Report),
    /// The operator frees a slot by hand. Its call goes on without one, and whatever it reports later
    /// takes nobody else's.
    Release {
        call: CallId,
    },
    /// Which of these did the account make? See [`Origin::id`].
    MadeBy {
        account: AccountId,
        origins: Vec<u64>,
    },
    /// Ask to be the one who refreshes the account's token. `seen` is the credential version the
    /// caller found stale; the election ends by itself after `ttl_ms`.
    BeginRefresh {
        call: CallId,
        account: AccountId,
        seen: u64,
        ttl_ms: u64,
        /// The caller has nothing to do until the renewal is over: its host holds `RefreshBusy` back until
        /// there is other news (`Step::wake`), or asks again by itself at the election's end.
        #[serde(default)]
        waits: bool,
        /// The last round the caller was told of by `RefreshBusy`. If that round or a later one failed, the
        /// caller hears so instead of being elected.
        #[serde(default)]
        waited_for: Option<u64>,
        /// The provider refused these credentials although they have not ended. Credentials that were renewed
        /// a moment ago are not renewed for that reason: see `Reply::RefreshTooSoon`.
        #[serde(default)]
        refused: bool,
    },
    /// The refresher is done: with a new credential version, or with the provider's refusal.
    EndRefresh {
        call: CallId,
        account: AccountId,
        result: RefreshResult,
    },
    /// The operator's word: forget cooldowns, marks and measured quota windows of the account. What its
    /// calls have cost today and its recent errors are facts; they stay.
    Reset {
        account: AccountId,
    },
    /// Forget sticky sessions: of one account or all, one session or all.
    Flush {
        account: Option<AccountId>,
        #[serde(default)]
        session: Option<u64>,
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
    /// What the call refers to that a provider keeps for one account, the most binding first.
    #[serde(default)]
    pub origins: Vec<Origin>,
    /// Hash of the client key: what its calls bind counts as its share.
    #[serde(default)]
    pub owner: u64,
    /// Model family the call asks for, in the provider's terms: a cooldown may hold for one family only.
    pub family: String,
    /// The model, by its canonical name; empty: an account need not support any.
    #[serde(default)]
    pub model: String,
    /// Kinds of accounts that can serve the call. `None`: every kind.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// Accounts this call has tried already.
    pub tried: Vec<AccountId>,
    /// Only this account (the operator's test of it); skips cooldowns, pauses and bindings, takes a slot.
    pub only: Option<AccountId>,
    /// What the client's key is bound to.
    #[serde(default)]
    pub binding: Option<Binding>,
    /// Whether a bound call may be given an account of the common pool when nothing it is bound to can
    /// serve. Never silently: `Reply::Picked` says so.
    #[serde(default)]
    pub fallback: bool,
    /// Whether the call takes one of the account's slots. One that does not is served by a full account too.
    pub slot: bool,
    pub ttl_ms: u64,
    /// See `gate::Admit::learned_since`.
    pub learned_since: Millis,
    /// Whose call it is (the client key's id), for people: shown with the lease.
    #[serde(default)]
    pub holder: String,
    /// Whether the answer is to tell how it was come to.
    #[serde(default)]
    pub trace: bool,
}

impl Pick {
    /// A call that takes a slot and asks for nothing in particular.
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
        }
    }
}

/// Something that a provider keeps for one account: a stored response, a file, encrypted reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Hash of (client key, what it is, its id): a key is only routed by what it used or made itself.
    pub id: u64,
    /// Another account may serve the call without it.
    #[serde(default)]
    pub loose: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binding {
    Account(AccountId),
    Group(GroupId),
}

/// How the attempt went; frees the call's slot on that account unless the outcome says it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub call: CallId,
    pub account: AccountId,
    pub outcome: Outcome,
    /// The provider's status, for people; `None`: there was no answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// What the answer told of the account's quota windows, whatever the outcome.
    #[serde(default)]
    pub quota: Vec<QuotaWindow>,
    /// What the call cost, in micro-USD, for the account's daily quota. Counted once, by the report that
    /// frees the call's lease on the account: what comes without a lease, or twice, is not.
    #[serde(default)]
    pub spent: u64,
    /// The account served the call well: its session and what it referred to belong there.
    #[serde(default)]
    pub served: bool,
    /// What the answer made that the provider keeps for the account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Origin>,
}

impl Report {
    /// Of an attempt that tells and costs nothing.
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

/// A quota window of the provider's, as one answer told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaWindow {
    /// `unified-5h`, `unified-7d`, `codex-primary`, `requests`, ...: one of each per account. A newer
    /// observation replaces an older one.
    pub name: String,
    /// Only calls of this model family use it.
    #[serde(default)]
    pub family: Option<String>,
    /// The share used; more than 1,000 is more than there was.
    pub used_permille: u16,
    /// From then on the window counts as unused.
    pub resets_at: Millis,
    pub observed_at: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The pool does not know the accounts, or not freshly enough, or (`BeginRefresh`) not this one.
    NeedRoster,
    Picked {
        account: AccountId,
        /// Of the account's record: a copy of an earlier one is out of date.
        revision: u64,
        /// The account was in trouble: the pool wants to hear of `Outcome::Serving`. Of others the end of
        /// the call is news enough.
        on_trial: bool,
        /// Given for its session's sake.
        sticky: bool,
        /// It is what the call is bound to. A bound call that is given anything else has fallen back.
        #[serde(default)]
        bound: bool,
        /// The one of the call's origins for which it was given: it could go nowhere else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<u64>,
        /// If it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<Box<Trace>>,
    },
    /// Nobody can serve the call now.
    NobodyLeft {
        /// Why, of every account that the call might be given; a bound call is told of what it is bound to.
        skipped: Vec<(AccountId, Skip)>,
        /// When the first account is expected back, if waiting helps at all.
        earliest: Option<Millis>,
        /// Some account is only full.
        busy: bool,
        /// What became of the call's binding, if it has one.
        #[serde(default)]
        bound: Option<Unbound>,
        /// The one of the call's origins that is kept by an account that cannot serve now; that account alone
        /// is `skipped`. Nobody is, if the account was deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<u64>,
    },
    /// You are the refresher: read the credentials again first, then refresh.
    RefreshElected,
    /// Somebody else is at it until `until`.
    RefreshBusy {
        until: Millis,
        /// Counts the elections of the account.
        #[serde(default)]
        round: u64,
    },
    /// The credentials are newer than what you saw.
    RefreshDone {
        version: u64,
    },
    /// The provider refused to renew these credentials, and nobody is to ask it again.
    RefreshRefused {
        why: String,
    },
    /// The renewal that the caller waited for failed for a reason that may pass.
    RefreshFailed,
    /// The credentials were renewed (or could not be) so lately that a refusal of them is evidence about the
    /// request. From `at` on it is a reason to renew them again.
    RefreshTooSoon {
        at: Millis,
    },
    /// In the order of the question (the first 256); `None`: nobody knows.
    MadeBy {
        made: Vec<Option<bool>>,
    },
    Done,
    Snapshot(Box<Snapshot>),
}

/// Why a bound call was not given what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unbound {
    /// There is no such account in the pool, or the group has none there.
    Missing,
    /// It cannot serve the call now.
    Unable,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The provider began to answer well; the slot stays held until `Finished`. Ends the account's
    /// guessed cooldowns (of the call's family, if the call takes a slot), and a denial whose time has
    /// passed.
    Serving,
    /// The call is over, whatever its end; frees the slot.
    Finished,
    /// Rate limited. `until` is the provider's own word (trusted, up to 8 days) or `None`: others are
    /// preferred for 15 s, doubling with each hit in a row up to 5 min.
    /// `family`: only calls of this model family are limited.
    Throttled {
        until: Option<Millis>,
        family: Option<String>,
        /// For people.
        #[serde(default)]
        why: String,
    },
    /// 5xx, 529, no connection, cut before the first byte: prefer others for 5 s, doubling with each
    /// hit in a row up to 60 s. An account that is the only one left serves all the same.
    Unwell {
        why: String,
        /// The provider's word on when to try again; believed for up to 5 min, since it is no measure of a
        /// limit and may follow one request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Millis>,
    },
    /// Credentials refused. `until`: may heal by itself then, and one call at a time may try; `None`:
    /// only new credentials or a reset help. Not held against credentials replaced since the pick.
    Denied { why: String, until: Option<Millis> },
    /// Refused, and nobody knows whether the account or the request is meant. Evidence only: it makes the
    /// account rank behind others, for calls of that key and family; for everybody once another key has met
    /// it with another request. A good answer ends it.
    Refused {
        why: String,
        /// Fingerprint of the request.
        request: u64,
    },
    /// Nothing to hold against the account (client's fault, client left before an answer).
    Neutral,
}

impl Outcome {
    /// What is said of an error that is held against the account.
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
    /// It could not be asked; whoever comes next may try again.
    Failed,
}
