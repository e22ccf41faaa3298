//! What the gate is told and what it answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::money::{MoneyLimit, PerLimit};
use super::policy::{KeyPolicy, Service};
use crate::outbox::{Batch, Entry, Sent};
use crate::{CallId, Millis};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The key's record as the store has it now; `None`: the store knows no such key.
    ///
    /// A version older than the one held is a slow reader's and changes nothing, so a host that
    /// changes a key sends the new record itself: no reader can undo it.
    Learn {
        policy: Option<Arc<KeyPolicy>>,
    },
    Admit(Admit),
    /// The call lives: its lease lasts at least until `now + ttl_ms`. A note takes the place of the one
    /// the call was admitted with. Answered by `Ended` if the operator wants the call to end.
    Renew {
        call: CallId,
        ttl_ms: u64,
        note: Option<String>,
    },
    /// The call is over; what it held is free, and what it used is counted in place of what it reserved
    /// (`None`: it used nothing). Only the first counts, and only of a call that was admitted with a slot
    /// or an estimate. The event, if there is one, waits here until the store has it.
    Settle {
        call: CallId,
        event: Option<Event>,
        #[serde(default)]
        usage: Option<Usage>,
    },
    /// The call will not run: its client left while it waited, or before it was told of its grant. It
    /// gives up its place or its slot, and no request is counted.
    Cancel {
        call: CallId,
    },
    /// The operator frees a slot by hand, as if the lease's time were up: what it reserved is free, and the
    /// call is still counted if it tells what it used. A call that waits goes on waiting.
    Release {
        call: CallId,
    },
    /// The events to be written now, if any are due; the gate's `wake_at` says when. Whoever takes them
    /// tells how it went with `BatchSent`, or is given the same ones again after half a minute.
    TakeBatch,
    /// `last`: see [`Batch`].
    BatchSent {
        last: u64,
        sent: Sent,
    },
    /// The key was changed elsewhere: the next `Admit` must ask for the record again; of the calls that wait one
    /// is woken to do so. A record learned
    /// within 5 s of this may have been read before the change, so it is asked for once more then.
    Invalidate,
    /// What the key had spent, by the ledger, before this gate began; the answer to `NeedSpend`. For each limit
    /// only the first counts. What the gate counted itself in the meantime is in the ledger too or will be, so of
    /// the two sums the greater stays.
    SeedSpend(SeedSpend),
    /// The operator forgives what was spent. Calls that run now count when they settle (but for the
    /// window: the next request begins a new one). Answered by `NeedSpend` as long as what was spent
    /// before this gate began is not known, but for `All` and `Window`.
    ResetSpend {
        which: Spent,
    },
    /// The key has a new secret, and this is the new secret's gate: what the gate of the old secret counted
    /// goes on here. What its running calls had reserved counts as spent, since they settle with the old gate.
    /// Changes nothing if this gate has counted anything, so it may be sent again.
    Inherit(Box<Snapshot>),
    Snapshot,
}

/// What a call used, for the store. The text means something to the host only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub text: String,
    /// How long it may wait for others to be written with.
    pub wait_ms: u64,
    /// The call was granted a slot.
    pub held: bool,
    /// The command is sent a second time: the first may have arrived.
    pub again: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admit {
    pub call: CallId,
    pub service: Service,
    /// The model as the client named it; compared with the key's list.
    pub model: Option<String>,
    /// The name that all names of this model have in common, as the host knows it; compared with the list's.
    #[serde(default)]
    pub canonical: Option<String>,
    /// The model is of the Opus class.
    #[serde(default)]
    pub opus: bool,
    /// The client as the host recognised it: `claude_code`, `gemini_cli`, `codex_cli`.
    #[serde(default)]
    pub client: Option<String>,
    /// Whether the call takes a concurrency slot (`count_tokens` and listings do not).
    pub slot: bool,
    /// What the call may use, to be reserved until it settles. A call with neither slot nor estimate is
    /// free: it holds nothing, is counted nowhere, and no limit on requests, tokens or money refuses it.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    pub ttl_ms: u64,
    /// A record learned before this moment is too old to decide by; the host chooses it. When the store
    /// cannot be asked, the host repeats the command with 0 and what is known decides. A host without
    /// a maximum age sends 1: with 0 it would not hear of `Invalidate` either.
    pub learned_since: Millis,
    /// What to write of the call if nobody ever settles it. `None`: nothing.
    pub note: Option<String>,
    /// The `until` of the `Queued` this call was answered with. After that moment it waits no more; before
    /// it, a call that lost its place (it did not come for its slot in time) waits again, behind the others.
    #[serde(default)]
    pub queued_until: Option<Millis>,
    /// The call's body is not read yet, so model and estimate are not known. What can be decided without them
    /// is, and the slot is held for the call as one is that it waited for; nothing is counted. The `Admit` that
    /// follows within `ttl_ms` decides the rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_body: bool,
}

/// Tokens of every kind; micro-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    pub tokens: u64,
    pub cost: u64,
}

/// What a call really used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub tokens: u64,
    pub cost: u64,
    /// The model that served is of the Opus class.
    pub opus: bool,
}

/// Sums of the ledger at the moment `as_of`, of the spans that it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSpend {
    #[serde(flatten)]
    pub spent: PerLimit<u64>,
    pub as_of: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spent {
    Window,
    All,
    #[serde(untagged)]
    Money(MoneyLimit),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The gate does not know the key's record, or not freshly enough: `Learn`, then repeat. Once more
    /// after a `Learn`: what was read was already out of date.
    NeedPolicy,
    /// The key has a limit on money and the gate does not know what was spent before it began:
    /// `SeedSpend`, then repeat.
    NeedSpend,
    Granted {
        policy: Arc<KeyPolicy>,
        /// When the key's validity began, if `policy` does not say so yet: the host stores it.
        activated_at: Option<Millis>,
        /// How long the call waited for its slot.
        waited_ms: u64,
    },
    /// All slots are held; the call waits for one. `Step::wake` names it when it is to ask again: a slot
    /// is held for it, its key changed, or it waited in vain. Whoever hears nothing asks after `wait_ms`.
    Queued {
        /// 1 is the next.
        position: u32,
        until: Millis,
        /// `until`, for hosts whose clock is not the gate's.
        wait_ms: u64,
    },
    Refused(Refusal),
    Batch(Option<Batch>),
    /// To `Renew`: the call is to end.
    Ended(CallEnd),
    /// To `BatchSent`: events the store refused for good. They are nowhere else any more.
    GivenUp(Vec<Entry>),
    Done,
    Snapshot(Box<Snapshot>),
}

/// Why a running call is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    /// Its key was disabled or deleted.
    KeyGone,
    /// Its slot was freed by hand.
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    UnknownKey,
    Disabled,
    Expired {
        at: Millis,
    },
    NotPermitted {
        service: Service,
    },
    /// `client`: as the host recognised it, if it did.
    ClientNotAllowed {
        client: Option<String>,
        allowed: Vec<String>,
    },
    ModelRestricted {
        model: String,
    },
    /// All `limit` slots are held; one may be free after `retry_after_ms`.
    ConcurrencyFull {
        limit: u32,
        retry_after_ms: u64,
    },
    /// All slots are held, and `size` calls wait for one already.
    QueueFull {
        limit: u32,
        size: u32,
        retry_after_ms: u64,
    },
    /// The call waited for a slot as long as it may.
    QueueTimeout {
        limit: u32,
        retry_after_ms: u64,
    },
    LimitReached(LimitReached),
}

/// A limit on what may be used up. If `used` is below `limit`, what running calls have reserved of it
/// leaves too little: some of that is given back when they settle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    pub which: Limit,
    pub limit: u64,
    pub used: u64,
    pub reserved: u64,
    /// When `used` begins at 0 again; `None`: never.
    pub resets_at: Option<Millis>,
    /// When it is worth to ask again; `None`: not before the operator changes something.
    pub retry_after_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    WindowRequests,
    WindowTokens,
    WindowCost,
    #[serde(untagged)]
    Money(#[serde(with = "super::money::in_refusal")] MoneyLimit),
}

/// Everything about a key, for people to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub policy: Option<Arc<KeyPolicy>>,
    /// When the key was first used, by the record or else by the gate.
    pub activated_at: Option<Millis>,
    pub leases: Vec<LeaseSnapshot>,
    /// In the order of their turns.
    pub waiters: Vec<WaiterSnapshot>,
    /// `None`: the next request begins one.
    pub window: Option<WindowSnapshot>,
    #[serde(flatten)]
    pub spent: PerLimit<SpendSnapshot>,
    /// Events that wait for the store, and how many were ever given up.
    pub events: usize,
    pub given_up: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSnapshot {
    pub call: CallId,
    pub since: Millis,
    pub until: Millis,
    /// It counts against the concurrency limit.
    pub slot: bool,
    /// The slot is held for a call that waited and has not come for it yet.
    pub offered: bool,
    pub reserved: Estimate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterSnapshot {
    pub call: CallId,
    pub since: Millis,
    pub until: Millis,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSnapshot {
    pub start: Millis,
    pub end: Millis,
    pub requests: u64,
    pub used: Estimate,
    pub reserved: Estimate,
}

/// Micro-USD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpendSnapshot {
    pub spent: u64,
    pub reserved: u64,
    /// When `spent` begins at 0 again; `None`: never.
    pub resets_at: Option<Millis>,
    /// What was spent before the gate began is among it.
    pub known: bool,
}

impl Admit {
    /// Whether the call is counted: see `estimate`. What it may use is not reserved before its body is read.
    pub(super) fn metered(&self) -> bool {
        self.slot || (self.estimate.is_some() && !self.before_body)
    }
}
