//! The gate of one client key: decides in one step whether a call may start, and holds what the call takes: a
//! slot, and a share of the key's money.
//!
//! | # | check of an `Admit` | why in this place |
//! | --- | --- | --- |
//! | 1 | is the record known, and fresh enough | a stale record must not decide |
//! | 2 | does the key exist, is it active, has it expired | identity comes before permission |
//! | 3 | may it use this service | restrictions are the same at every moment: waiting does not help, |
//! | 4 | may this client use it | so no call waits before it is refused for them |
//! | 5 | may it use this model | |
//! | 6 | does the call hold its slot already | a repeated command; the first one decided the rest |
//! | 7 | is it free (neither slot nor estimate) | it takes nothing, so no later check concerns it |
//! | 8 | is the earlier spending known | without it, limits on money would let every call pass |
//! | 9 | is there a slot, or a place in the queue | running calls end within minutes, so this passes soonest |
//! | 10 | is the window, or a limit on money, used up | of several, the one that lasts longest |
//! | 11 | is there a slot at once | else the call waits, and all checks run again when it comes for its slot |
//!
//! Only then does the call take anything: slot, reservation, a request of the window, the key's activation. A
//! refused call takes nothing, and gives back whatever it held.
//!
//! Money: a running call reserves its estimate. When it settles, its real usage is counted instead. Sums contain
//! settled calls only; a call that is never settled gives its reservation back when its lease ends. So a limit
//! is exceeded by at most (a) the usage beyond their reservations of the calls that were unsettled when the last
//! one was admitted (all of their usage, if their lease had ended), and (b) the part of that last call's estimate
//! for which there was no room: a call that runs alone is admitted with any estimate as long as anything is left.
//!
//! Commands are named by their call and may be repeated: an `Admit` whose reply was lost finds its own lease and
//! renews it. Only an `Admit` that arrives after its call's `Settle` (a copy delayed by the network) takes a slot
//! that no call frees; that lease ends with its TTL.
//!
//! A call whose body is expensive to read (large, or compressed) asks twice: `before_body` holds its slot, and
//! the `Admit` with model and estimate decides the rest.
//!
//! Calls wait for slots in order of arrival. A freed slot is offered to the first of them in the same step and
//! held until that call comes; so no call can overtake and no call has to poll.
//!
//! A gate that outlives the host of its calls (as a Durable Object does) also keeps the events of calls until the
//! store has them: `Settle` brings the event, and for a call that never settles the gate writes the note from
//! its `Admit`.

mod admit;
mod calendar;
mod calls;
mod command;
mod ended;
mod kept;
pub mod money;
mod news;
mod permission;
mod policy;
mod queue;
mod spend;
mod table;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::command::{
    Admit, CallEnd, Command, Estimate, Event, LeaseSnapshot, Limit, LimitReached, Refusal, Reply, ResetScope,
    SeedSpend, Snapshot, SpendSnapshot, Usage, WaiterSnapshot, WindowSnapshot,
};
pub use self::money::{MoneyLimit, PerLimit, Span};
pub use self::policy::{KeyPolicy, Limits, ModelMode, QueuePolicy, Service};

use self::calendar::Calendar;
use self::calls::{Hold, LOST_WAIT_MS, Note};
use self::ended::EndedCalls;
use self::kept::Kept;
use self::news::Reader;
use self::queue::Queue;
use self::spend::{Reservations, Spend};
use crate::freshness::{Freshness, OLDER_REFUSED_MS};
use crate::lease::Leases;
use crate::outbox::Outbox;
use crate::rows::Row;
use crate::time::{Deadline, Present};
use crate::{CallId, Machine, Millis, Step};

/// See the module. `Default` is a gate without any record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    present: Present,
    /// `None` before the first `Learn`, or if the store has no such key.
    record: Option<Arc<KeyPolicy>>,
    freshness: Freshness,
    /// The newest version that decided. Until the deadline, an older version comes from a slow reader.
    newest: Option<(u64, Deadline)>,
    /// The key's first use, until the store has it.
    activated: Option<Millis>,
    leases: Leases<Hold>,
    kept: Leases<Kept>,
    ended: EndedCalls,
    queue: Queue,
    #[serde(skip)]
    reader: Option<Reader>,
    spend: Spend,
    outbox: Outbox,
    #[serde(skip)]
    effects: Effects,
}

/// Side effects of this step for the host.
#[derive(Clone, Debug, Default)]
struct Effects {
    rows: Vec<Row>,
    wake: Vec<CallId>,
    /// The record changed in a way that may change the decision for waiting calls.
    decides_anew: bool,
}

impl Effects {
    fn head(&mut self) {
        self.rows.push(Row::Head);
    }
}

impl Gate {
    /// The state to start from after a host's death, which ended all its calls: no leases, no waiters, and the record
    /// must be learned again (it may have changed in the meantime).
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.leases = Leases::default();
        self.ended = EndedCalls::default();
        self.queue = Queue::default();
        self.reader = None;
        self.freshness.resumed();
        self
    }

    /// Whether the host can forget this gate without loss: the store has no such key, no call holds anything or
    /// waits, and the store has all events. (If the key is restored, its window begins anew, and nothing is reserved
    /// for its responses in the background; its spending is in the ledger.)
    pub fn is_over(&self) -> bool {
        self.record.is_none()
            && self.freshness.known()
            && self.activated.is_none()
            && self.leases.calls().next().is_none()
            && self.ended.calls().next().is_none()
            && self.queue.is_empty()
            && self.outbox.is_empty()
    }

    fn learn(&mut self, now: Millis, policy: Option<Arc<KeyPolicy>>) {
        let live = |end: &Deadline| !end.passed(now);
        // A record that contradicts the current one so soon may have been read before it. Versions tell which of two
        // records is newer, but the absence of a record has no version.
        let contradicts = self.freshness.recent(now) && self.record.is_some() != policy.is_some();
        if let Some(policy) = &policy {
            let newest = self
                .newest
                .filter(|(_, end)| live(end))
                .map(|(version, _)| version);
            // If the absence no longer decides, there was news, perhaps of the key's return.
            let decides = self.freshness.decides(now, 1);
            let undeleted = contradicts && decides && newest == Some(policy.version);
            if undeleted || newest.is_some_and(|newest| policy.version < newest) {
                return;
            }
            self.newest = Some((policy.version, Deadline::after(now, OLDER_REFUSED_MS)));
        }
        if contradicts {
            self.freshness.doubt(now);
        }
        let changed = !self.freshness.known() || self.record != policy;
        self.freshness.learned(now);
        if changed {
            self.adopt(now, policy);
        }
    }

    /// Replaces the record.
    fn adopt(&mut self, now: Millis, policy: Option<Arc<KeyPolicy>>) {
        let old = std::mem::replace(&mut self.record, policy);
        let Some(new) = &self.record else { return };
        self.effects.decides_anew |= old.as_ref().is_none_or(|old| !old.decides_like(new));
        // The store has the time, or the validity has no start any more; if it gets one again, it starts anew.
        if new.activated_at.is_some() || new.valid_for_ms == 0 {
            self.activated = None;
        }
        let before = old.map(|old| old.limits);
        let after = new.limits;
        if before.is_none_or(|before| before.calendar() != after.calendar()) {
            self.spend.realign(now, after.calendar());
        }
        let windows = |limits: &Limits| (limits.windowed(), limits.rate_limit_window_minutes);
        if before.is_none_or(|before| windows(&before) != windows(&after)) {
            self.spend.resize_window(now, &after);
        }
    }

    fn calendar(&self) -> Calendar {
        let of = |policy: &Arc<KeyPolicy>| policy.limits.calendar();
        self.record.as_ref().map(of).unwrap_or_default()
    }

    /// When the key was first used.
    fn activated_at(&self) -> Option<Millis> {
        let stored = self.record.as_ref().and_then(|policy| policy.activated_at);
        stored.or(self.activated)
    }

    /// Whether no call holds anything, and no event waits for the store.
    pub fn is_quiet(&self) -> bool {
        self.leases.calls().next().is_none() && self.outbox.is_empty()
    }

    fn reserved(&self, now: Millis) -> Reservations {
        let held = self.leases.iter().map(|(_, lease)| &lease.what);
        let calls = held.map(|held| (held.rounds, held.reserved, held.opus));
        let kept = self.kept.iter().map(|(_, lease)| &lease.what);
        let kept = kept.map(|kept| (kept.rounds, kept.reserved, kept.opus));
        self.spend.reserved(now, calls.chain(kept))
    }

    fn snapshot(&self, now: Millis) -> Snapshot {
        let reserved = self.reserved(now);
        let lease = |(call, lease): (CallId, &crate::lease::Lease<Hold>)| LeaseSnapshot {
            call,
            since: lease.since,
            until: lease.end.until(),
            slot: lease.what.slot,
            offered: lease.what.offered,
            reserved: lease.what.reserved,
        };
        let waiter = |waiter: &queue::Waiter| WaiterSnapshot {
            call: waiter.call,
            since: waiter.since,
            until: waiter.end.until(),
        };
        Snapshot {
            policy: self.record.clone(),
            activated_at: self.activated_at(),
            leases: self.leases.iter().map(lease).collect(),
            waiters: self.queue.iter().map(waiter).collect(),
            window: self.spend.window_snapshot(now, &reserved),
            spent: self.spend.snapshots(&reserved),
            events: self.outbox.len(),
            given_up: self.outbox.given_up(),
        }
    }

    fn set_back(&mut self, now: Millis) {
        self.leases.set_back(now);
        self.kept.set_back(now);
        self.ended.set_back(now);
        self.queue.set_back(now);
        if let Some(reader) = &mut self.reader {
            reader.set_back(now);
        }
        self.outbox.set_back(now);
        self.spend.set_back(now, self.calendar());
        self.activated = self.activated.map(|at| at.min(now));
        self.freshness.set_back(now);
        if let Some((_, end)) = &mut self.newest {
            end.set_back(now);
        }
        self.effects.head();
        self.effects.rows.extend(self.leases.calls().map(Row::Lease));
        self.effects.rows.extend(self.kept.calls().map(Row::Kept));
        self.effects.rows.extend(self.ended.calls().map(Row::Ended));
        self.effects.rows.extend(self.queue.turns().map(Row::Waiter));
    }

    fn obey(&mut self, now: Millis, command: Command) -> Reply {
        match command {
            Command::Learn { policy } => {
                self.learn(now, policy);
                self.effects.head();
            }
            Command::Admit(admit) => return self.admit(now, &admit),
            Command::Renew { call, ttl_ms, note } => {
                self.renew(now, call, ttl_ms, note);
                if let Some(why) = self.call_end(call) {
                    return Reply::Ended(why);
                }
            }
            Command::Settle { call, event, usage } => self.settle(now, call, event, usage),
            Command::Keep { call, kept, ttl_ms } => self.keep(now, call, kept, ttl_ms),
            Command::Cancel { call } => self.cancel(now, call),
            Command::Release { call } => {
                if let Some(held) = self.free(call) {
                    self.end_unsettled(now, call, held, true);
                }
            }
            Command::TakeBatch => return Reply::Batch(self.outbox.take(now, &mut self.effects.rows)),
            Command::BatchSent { last, sent } => {
                return Reply::GivenUp(self.outbox.sent(now, last, sent, &mut self.effects.rows));
            }
            Command::Invalidate => {
                self.freshness.invalidated(now);
                // A read that is running now may have started before the change.
                self.reader = None;
                self.effects.head();
            }
            Command::SeedSpend(seed) => {
                self.spend.seed(&seed);
                self.effects.head();
            }
            Command::ResetSpend { which } => {
                if !self.spend.can_reset(which) {
                    return Reply::NeedSpend;
                }
                self.spend.reset(which);
                self.effects.head();
            }
            Command::Inherit(from) => {
                if self.spend.inherit(now, &from) {
                    self.activated = self.activated.or(from.activated_at);
                    self.effects.head();
                }
            }
            Command::Snapshot => return Reply::Snapshot(Box::new(self.snapshot(now))),
        }
        Reply::Done
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
        if self.spend.roll(now, self.calendar()) {
            self.effects.head();
        }
        self.sweep(now);
        // Before the command, so that a newcomer cannot take a slot that came free; and after it, for slots that the
        // command freed.
        self.offer_slots(now);
        let reply = self.obey(now, command);
        self.offer_slots(now);
        self.wake_waiters(now);
        let next_news = self.next_news(now);
        let Effects { rows, wake, .. } = std::mem::take(&mut self.effects);
        Step {
            reply,
            wake_at: [
                self.leases.earliest(),
                self.outbox.due(),
                self.queue.earliest(),
                next_news,
            ]
            .into_iter()
            .flatten()
            .min(),
            wake,
            rows,
        }
    }
}

#[cfg(test)]
mod tests;
