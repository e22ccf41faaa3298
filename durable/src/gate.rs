//! The gate of one client key: decides in one step whether a call may start, and holds its slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{CallId, Machine, Millis, Step};

/// What the gate must know of a key. `version` grows with every change of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPolicy {
    pub id: String,
    pub name: String,
    pub version: u64,
    pub active: bool,
    pub expires_at: Option<Millis>,
    /// Calls that may run at once; 0 is no limit.
    pub concurrency_limit: u32,
    /// Services the key may use; empty is all.
    pub permissions: Vec<Service>,
    /// Deny list of model names; used when `model_restriction` is set.
    pub model_restriction: bool,
    pub restricted_models: Vec<String>,
}

/// What a key can be permitted to use, by CRS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Claude,
    Gemini,
    OpenAi,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gate {
    // The helper who builds this chooses the fields.
    _todo: BTreeMap<CallId, Millis>,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// The key's record as the store has it now; `None`: the store knows no such key.
    Learn {
        policy: Option<Arc<KeyPolicy>>,
    },
    Admit(Admit),
    /// The call lives: its lease lasts at least until `now + ttl_ms`.
    Renew {
        call: CallId,
        ttl_ms: u64,
    },
    /// The call is over; its slot is free. Unknown calls are ignored (the lease had ended).
    Settle {
        call: CallId,
    },
    /// The key was changed elsewhere: the next `Admit` must ask for the record again.
    Invalidate,
    Snapshot,
}

#[derive(Clone, Debug)]
pub struct Admit {
    pub call: CallId,
    pub service: Service,
    /// The model as the client named it; compared with the deny list.
    pub model: Option<String>,
    /// Whether the call takes a concurrency slot (`count_tokens` and listings do not).
    pub slot: bool,
    pub ttl_ms: u64,
    /// A record learned before this moment is too old to decide by; the host chooses it. When the store
    /// cannot be asked, the host repeats the command with 0 and the old record decides.
    pub learned_since: Millis,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The gate does not know the key's record, or not freshly enough: `Learn`, then repeat.
    NeedPolicy,
    Granted {
        policy: Arc<KeyPolicy>,
    },
    Refused(Refusal),
    Done,
    Snapshot(Snapshot),
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
    ModelRestricted {
        model: String,
    },
    /// All `limit` slots are held; one may be free after `retry_after_ms`.
    ConcurrencyFull {
        limit: u32,
        retry_after_ms: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub policy: Option<Arc<KeyPolicy>>,
    /// Live leases: the call, since when, until when.
    pub leases: Vec<(CallId, Millis, Millis)>,
}

impl Machine for Gate {
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
