//! The gate of one client key: decides in one step whether a call may start, and holds its slot.
//!
//! Commands are named by their call and may be repeated: an `Admit` whose answer was lost finds its own
//! lease and renews it. Only an `Admit` that arrives after its call's `Settle` (a copy the network kept
//! back) takes a slot nobody frees; that one ends with its TTL.
//!
//! Where the gate outlives the host of its calls (a Durable Object does), it also keeps what a call used
//! until the store has it: `Settle` brings the event, and of a call that never settles the gate has the
//! note it was admitted with.

mod kept;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::freshness::{Freshness, OLDER_REFUSED_MS};
use crate::lease::{Lease, Leases};
use crate::outbox::{Batch, Entry, Lost, Outbox, Sent};
use crate::rows::Row;
use crate::time::{Deadline, Present};
use crate::{CallId, Changes, Machine, Millis, Step};

/// Bounds of what a call is told to wait for a slot.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=5_000;

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
    /// the call was admitted with.
    Renew {
        call: CallId,
        ttl_ms: u64,
        note: Option<String>,
    },
    /// The call is over; its slot is free. Unknown calls are ignored (the lease had ended). The event, if
    /// there is one, waits here until the store has it.
    Settle {
        call: CallId,
        event: Option<Event>,
    },
    /// The events to be written now, if any are due; the gate's `wake_at` says when. Whoever takes them
    /// tells how it went with `BatchSent`, or is given the same ones again after half a minute.
    TakeBatch,
    /// `last`: see [`Batch`].
    BatchSent {
        last: u64,
        sent: Sent,
    },
    /// The key was changed elsewhere: the next `Admit` must ask for the record again. A record learned
    /// within 5 s of this may have been read before the change, so it is asked for once more then.
    Invalidate,
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
    /// The model as the client named it; compared with the deny list.
    pub model: Option<String>,
    /// Whether the call takes a concurrency slot (`count_tokens` and listings do not).
    pub slot: bool,
    pub ttl_ms: u64,
    /// A record learned before this moment is too old to decide by; the host chooses it. When the store
    /// cannot be asked, the host repeats the command with 0 and the old record decides. A host without
    /// a maximum age sends 1: with 0 it would not hear of `Invalidate` either.
    pub learned_since: Millis,
    /// What to write of the call if nobody ever settles it. `None`: nothing.
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The gate does not know the key's record, or not freshly enough: `Learn`, then repeat. Once more
    /// after a `Learn`: what was read was already out of date.
    NeedPolicy,
    Granted {
        policy: Arc<KeyPolicy>,
    },
    Refused(Refusal),
    Batch(Option<Batch>),
    /// To `BatchSent`: events the store refused for good. They are nowhere else any more.
    GivenUp(Vec<Entry>),
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
    /// Events that wait for the store, and how many were ever given up.
    pub events: usize,
    pub given_up: u64,
}

/// See the module. `Default` is a gate that knows nothing yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    present: Present,
    /// `None` before the first `Learn`, or the store knows no such key.
    record: Option<Arc<KeyPolicy>>,
    freshness: Freshness,
    /// The newest version that decided, and until when an older one is a slow reader's.
    newest: Option<(u64, Deadline)>,
    leases: Leases<Held>,
    outbox: Outbox,
    /// Rows this step touched.
    #[serde(skip)]
    touched: Vec<Row>,
}

/// What a call's slot is held with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Held {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    text: String,
    key: Lost,
}

/// How long what is known of a lost call waits for others.
const LOST_WAIT_MS: u64 = 10_000;

impl Gate {
    /// What a host starts from whose death ended all its calls: no leases, and the record is to be
    /// asked for again (it may have changed in the meantime).
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.leases = Leases::default();
        self.freshness.resumed();
        self
    }

    /// Says whether the record changed.
    fn learn(&mut self, now: Millis, policy: Option<Arc<KeyPolicy>>) -> bool {
        let live = |end: &Deadline| !end.passed(now);
        // A record that contradicts the held one so soon may have been read before it. Versions tell
        // which of two is newer, but the absence of a record has none.
        let contradicts = self.freshness.recent(now) && self.record.is_some() != policy.is_some();
        if let Some(policy) = &policy {
            let newest = self
                .newest
                .filter(|(_, end)| live(end))
                .map(|(version, _)| version);
            // If the absence no longer decides, there was news: it may be of the key's return.
            let decides = self.freshness.decides(now, 1);
            let undeleted = contradicts && decides && newest == Some(policy.version);
            if undeleted || newest.is_some_and(|newest| policy.version < newest) {
                return false;
            }
            self.newest = Some((policy.version, Deadline::after(now, OLDER_REFUSED_MS)));
        }
        if contradicts {
            self.freshness.doubt(now);
        }
        let changed = !self.freshness.known() || self.record != policy;
        self.freshness.learned(now);
        self.record = policy;
        changed
    }

    fn admit(&mut self, now: Millis, admit: &Admit) -> (Reply, bool) {
        if !self.freshness.decides(now, admit.learned_since) {
            return (Reply::NeedPolicy, false);
        }
        match self.judge(now, admit) {
            Ok(policy) => {
                if admit.slot && !self.renew(now, admit.call, admit.ttl_ms, None) {
                    let note = admit.note.clone().map(|text| Note {
                        text,
                        key: Lost {
                            key_id: policy.id.clone(),
                            key_name: policy.name.clone(),
                        },
                    });
                    let lease = Lease {
                        since: now,
                        end: Deadline::after(now, admit.ttl_ms),
                        what: Held { note },
                    };
                    self.leases.put(admit.call, lease);
                    self.touched.push(Row::Lease(admit.call));
                }
                (Reply::Granted { policy }, admit.slot)
            }
            // The call will not run. It holds a slot if it was granted before and asked again.
            Err(refusal) => (Reply::Refused(refusal), self.free(admit.call)),
        }
    }

    /// Says whether the call has a lease.
    fn renew(&mut self, now: Millis, call: CallId, ttl_ms: u64, note: Option<String>) -> bool {
        let renewed = self.leases.renew(now, call, ttl_ms);
        if renewed {
            self.touched.push(Row::Lease(call));
            if let (Some(text), Some(held)) = (note, self.leases.get_mut(call))
                && let Some(note) = &mut held.note
            {
                note.text = text;
            }
        }
        renewed
    }

    /// Says whether the call had a lease.
    fn free(&mut self, call: CallId) -> bool {
        let had = self.leases.free(call).is_some();
        if had {
            self.touched.push(Row::Lease(call));
        }
        had
    }

    fn settle(&mut self, now: Millis, call: CallId, event: Option<Event>) -> bool {
        let had = self.free(call);
        if let Some(event) = event {
            let entry = Entry {
                call,
                text: event.text,
                doubtful: event.again || (event.held && !had),
                lost: None,
            };
            self.outbox.push(now, entry, event.wait_ms, &mut self.touched);
        }
        had
    }

    /// Frees what has ended. Nobody told how those calls went, so their notes are all there is of them.
    fn sweep(&mut self, now: Millis) -> bool {
        let ended = self.leases.sweep(now);
        let any = !ended.is_empty();
        for (call, held) in ended {
            self.touched.push(Row::Lease(call));
            if let Some(Note { text, key }) = held.note {
                let entry = Entry {
                    call,
                    text,
                    doubtful: true,
                    lost: Some(key),
                };
                self.outbox.push(now, entry, LOST_WAIT_MS, &mut self.touched);
            }
        }
        any
    }

    fn judge(&self, now: Millis, admit: &Admit) -> Result<Arc<KeyPolicy>, Refusal> {
        let policy = self.record.as_ref().ok_or(Refusal::UnknownKey)?;
        if !policy.active {
            return Err(Refusal::Disabled);
        }
        if let Some(at) = policy.expires_at.filter(|at| *at <= now) {
            return Err(Refusal::Expired { at });
        }
        if !policy.permissions.is_empty() && !policy.permissions.contains(&admit.service) {
            return Err(Refusal::NotPermitted {
                service: admit.service,
            });
        }
        if let Some(model) = admit.model.as_ref().filter(|model| policy.denies(model)) {
            return Err(Refusal::ModelRestricted { model: model.clone() });
        }
        let limit = policy.concurrency_limit;
        let full = limit > 0 && self.leases.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        if admit.slot && full && self.leases.get(admit.call).is_none() {
            return Err(Refusal::ConcurrencyFull {
                limit,
                retry_after_ms: self.retry_after(now, admit.call),
            });
        }
        Ok(Arc::clone(policy))
    }

    /// A slot is freed by the end of its call, which nobody can foretell, or by the end of its lease.
    /// Calls refused together are told different times (their ids' noise is at hand), so that they do
    /// not come back together.
    fn retry_after(&self, now: Millis, call: CallId) -> u64 {
        let (least, most) = (*RETRY_MS.start(), *RETRY_MS.end());
        let spread = call.0 % u128::from(most - least + 1);
        let guess = least + u64::try_from(spread).unwrap_or(0);
        let ends_in = self.leases.earliest().map_or(most, |end| end.saturating_sub(now));
        guess.min(ends_in).max(least)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            policy: self.record.clone(),
            leases: self
                .leases
                .iter()
                .map(|(call, lease)| (call, lease.since, lease.end.until()))
                .collect(),
            events: self.outbox.len(),
            given_up: self.outbox.given_up(),
        }
    }

    fn set_back(&mut self, now: Millis) {
        self.leases.set_back(now);
        self.outbox.set_back(now);
        self.touched.push(Row::Head);
        self.touched.extend(self.leases.calls().map(Row::Lease));
        self.freshness.set_back(now);
        if let Some((_, end)) = &mut self.newest {
            end.set_back(now);
        }
    }
}

impl KeyPolicy {
    /// The deny list holds exact names. Case does not count, nor does the prefix by which a client
    /// names a vendor (`ccr,` in CRS).
    fn denies(&self, model: &str) -> bool {
        self.model_restriction
            && self
                .restricted_models
                .iter()
                .any(|name| bare(name).eq_ignore_ascii_case(bare(model)))
    }
}

fn bare(model: &str) -> &str {
    const VENDOR: &str = "ccr,";
    let model = model.trim();
    match (model.get(..VENDOR.len()), model.get(VENDOR.len()..)) {
        (Some(prefix), Some(rest)) if prefix.eq_ignore_ascii_case(VENDOR) => rest.trim_start(),
        _ => model,
    }
}

impl Machine for Gate {
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
            Command::Learn { policy } => {
                changes.lasting |= self.learn(now, policy);
                self.touched.push(Row::Head);
                Reply::Done
            }
            Command::Admit(admit) => {
                let (reply, leases) = self.admit(now, &admit);
                changes.leases |= leases;
                reply
            }
            Command::Renew { call, ttl_ms, note } => {
                changes.leases |= self.renew(now, call, ttl_ms, note);
                Reply::Done
            }
            Command::Settle { call, event } => {
                changes.leases |= self.settle(now, call, event);
                Reply::Done
            }
            Command::TakeBatch => Reply::Batch(self.outbox.take(now, &mut self.touched)),
            Command::BatchSent { last, sent } => {
                Reply::GivenUp(self.outbox.sent(now, last, sent, &mut self.touched))
            }
            Command::Invalidate => {
                self.freshness.invalidated(now);
                changes.lasting = true;
                self.touched.push(Row::Head);
                Reply::Done
            }
            Command::Snapshot => Reply::Snapshot(self.snapshot()),
        };
        Step {
            reply,
            changes,
            wake_at: [self.leases.earliest(), self.outbox.due()]
                .into_iter()
                .flatten()
                .min(),
            rows: std::mem::take(&mut self.touched),
        }
    }
}

#[cfg(test)]
mod tests;
