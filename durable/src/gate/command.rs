//! The gate's commands and replies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::money::{MoneyLimit, PerLimit};
use super::policy::{KeyPolicy, Service};
use crate::outbox::{Batch, Entry, SendResult};
use crate::{CallId, Millis};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The key's current record in the store; `None` if the store has no such key.
    ///
    /// A version older than the current one comes from a slow reader and changes nothing. So a host that changes a
    /// key sends the new record itself: no reader can undo it.
    Learn {
        policy: Option<Arc<KeyPolicy>>,
    },
    Admit(Admit),
    /// The call still runs: its lease lasts at least until `now + ttl_ms`. A note replaces the one from the call's
    /// `Admit`. The reply is `Ended` if the operator ends the call.
    Renew {
        call: CallId,
        ttl_ms: u64,
        note: Option<String>,
    },
    /// The call is over: its resources are free, and its usage is counted in place of its reservation (`None`: no
    /// usage). Only the first `Settle` counts, and only for a call that was admitted with a slot or an estimate. The
    /// event, if any, waits here until the store has it.
    Settle {
        call: CallId,
        event: Option<Event>,
        #[serde(default)]
        usage: Option<Usage>,
    },
    /// The provider goes on with the call's work after its answer. The reservation passes to `kept`, which holds no
    /// slot, needs no renewal and outlives the host's death; whoever learns the usage settles `kept`, after an `Admit`
    /// as `granted` for the case that the reservation has ended. Nothing changes if the call does not run or if `kept`
    /// is there already, so the command may be repeated.
    Keep {
        call: CallId,
        kept: CallId,
        ttl_ms: u64,
    },
    /// The call will not run: its client left while it waited, or before the reply with its grant arrived. It gives
    /// up its place or its slot, and no request is counted.
    Cancel {
        call: CallId,
    },
    /// The operator frees a slot by hand, as if the lease had ended: the reservation is free, and the call is still
    /// counted if it settles later. A waiting call goes on waiting.
    Release {
        call: CallId,
    },
    /// Returns the events to write now, if any are due; the gate's `wake_at` is that time. The host reports the
    /// result with `BatchSent`, or gets the same events again after half a minute.
    TakeBatch,
    /// `last`: see [`Batch`].
    BatchSent {
        last: u64,
        sent: SendResult,
    },
    /// The key was changed elsewhere: the next `Admit` must ask for the record again, and one of the waiting calls is
    /// woken to do so. A record learned within 5 s of this may have been read before the change, so the gate then
    /// asks for it once more.
    Invalidate,
    /// The key's spending, by the ledger, before this gate began; the answer to `NeedSpend`. For each limit only the
    /// first one counts. The gate's own sums of the meantime are in the ledger too or will be, so the larger of the
    /// two sums stays.
    SeedSpend(SeedSpend),
    /// The operator resets spending. Calls that run now count when they settle (except in the window: the next
    /// request begins a new one). The reply is `NeedSpend` as long as the spending before this gate began is not
    /// known, except for `All` and `Window`.
    ResetSpend {
        which: ResetScope,
    },
    /// The key has a new secret, and this is the new secret's gate: it continues the sums of the old secret's gate.
    /// The reservations of running calls count as spent, since those calls settle with the old gate. Changes nothing
    /// if this gate has already counted anything, so the command may be repeated.
    Inherit(Box<Snapshot>),
    Snapshot,
}

/// The record of a call's usage, for the store. Only the host can read the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub text: String,
    /// How long it may wait for other events in the same batch.
    pub wait_ms: u64,
    /// The call was granted a slot.
    pub held: bool,
    /// This is a repetition: the first command may have arrived.
    pub again: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admit {
    pub call: CallId,
    pub service: Service,
    /// Further services that can serve the call: the key needs permission for only one of them. The host checks
    /// which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub or_services: Vec<Service>,
    /// The key's routes may lead to any service. So a key with routes passes, and the host checks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_routes: bool,
    /// The model as the client named it; compared with the key's list.
    pub model: Option<String>,
    /// The canonical name of the model, as the host knows it; compared with the list's canonical names.
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
    /// The expected usage of the call, reserved until it settles. A call with neither slot nor estimate is free: it
    /// holds nothing, is counted nowhere, and no limit on requests, tokens or money refuses it.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    pub ttl_ms: u64,
    /// A record learned before this moment is too old to decide; the host chooses it. If the store is unavailable,
    /// the host repeats the command with 0 and the current record decides. A host without a maximum age sends 1: with
    /// 0 it would ignore `Invalidate` as well.
    pub learned_since: Millis,
    /// The event to write if this call is never settled. `None`: no event.
    pub note: Option<String>,
    /// The `until` of the `Queued` reply to this call. After that moment it waits no more; before it, a call that
    /// lost its place (it did not come for its slot in time) waits again, behind the others.
    #[serde(default)]
    pub queued_until: Option<Millis>,
    /// The call's body is not read yet, so model and estimate are unknown. The checks that need neither are made, and
    /// the slot is held for the call as if it had waited for it; no request is counted. The `Admit` that follows
    /// within `ttl_ms` decides the rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_body: bool,
    /// The call was granted what it asks for and runs, but this gate does not know it: another copy of the gate
    /// decided. The call gets its resources whatever the limits say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub granted: bool,
}

/// Tokens of every kind; micro-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    pub tokens: u64,
    pub cost: u64,
}

/// The real usage of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub tokens: u64,
    pub cost: u64,
    /// The model that served is of the Opus class.
    pub opus: bool,
}

/// Sums of the ledger at the moment `as_of`, for the spans that contain it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSpend {
    #[serde(flatten)]
    pub spent: PerLimit<u64>,
    pub as_of: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetScope {
    Window,
    All,
    #[serde(untagged)]
    Money(MoneyLimit),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The gate lacks the key's record, or a fresh one: `Learn`, then repeat. Again after a `Learn`: the record that
    /// was read was already stale.
    NeedPolicy,
    /// The key has a limit on money and its spending before this gate began is unknown: `SeedSpend`, then repeat.
    NeedSpend,
    Granted {
        policy: Arc<KeyPolicy>,
        /// The beginning of the key's validity, if `policy` does not have it yet: the host stores it.
        activated_at: Option<Millis>,
        /// How long the call waited for its slot.
        waited_ms: u64,
    },
    /// No slot is free; the call waits for one. `Step::wake` names the call when it must ask again: a slot is held
    /// for it, its key changed, or its time in the queue is over. A call that is not woken asks after `wait_ms`.
    Queued {
        /// 1 is the next one.
        position: u32,
        until: Millis,
        /// Like `until`, for hosts whose clock is not the gate's.
        wait_ms: u64,
    },
    Refused(Refusal),
    Batch(Option<Batch>),
    /// Reply to `Renew`: the call must end.
    Ended(CallEnd),
    /// Reply to `BatchSent`: events that the store refused for good. No other copy of them exists.
    GivenUp(Vec<Entry>),
    Done,
    Snapshot(Box<Snapshot>),
}

/// Why a running call must end.
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

/// A limit on usage. If `used` is below `limit`, the reservations of running calls leave too little room; part of
/// them comes back when those calls settle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReached {
    pub which: Limit,
    pub limit: u64,
    pub used: u64,
    pub reserved: u64,
    /// When `used` restarts at 0; `None`: never.
    pub resets_at: Option<Millis>,
    /// When to ask again; `None`: only after a change by the operator.
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

/// The whole state of a key, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub policy: Option<Arc<KeyPolicy>>,
    /// When the key was first used, by the record or otherwise by the gate.
    pub activated_at: Option<Millis>,
    pub leases: Vec<LeaseSnapshot>,
    /// In the order of the queue.
    pub waiters: Vec<WaiterSnapshot>,
    /// `None`: the next request begins one.
    pub window: Option<WindowSnapshot>,
    #[serde(flatten)]
    pub spent: PerLimit<SpendSnapshot>,
    /// Number of events that wait for the store, and the number ever given up.
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
    /// When `spent` restarts at 0; `None`: never.
    pub resets_at: Option<Millis>,
    /// Whether it includes the spending from before this gate began.
    pub known: bool,
}

impl Admit {
    /// Whether the call is counted: see `estimate`. Before the body is read, no estimate is reserved.
    pub(super) fn metered(&self) -> bool {
        self.slot || (self.estimate.is_some() && !self.before_body)
    }
}
