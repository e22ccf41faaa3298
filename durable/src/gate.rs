//! The gate of one client key: decides in one step whether a call may start, and holds what it takes: a
//! slot, and a share of the key's money.
//!
//! | # | asked of an `Admit` | why in this place |
//! | --- | --- | --- |
//! | 1 | is the record known, and fresh enough | nothing can be judged by a record that may be wrong |
//! | 2 | does the key exist, is it active, has it expired | who it is comes before what it wants |
//! | 3 | may it use this service | restrictions are the same at every moment: no waiting helps, |
//! | 4 | may this client use it | so nobody is made to wait before hearing of them |
//! | 5 | may it use this model | |
//! | 6 | does the call hold its slot already | a repeated command; what follows was decided the first time |
//! | 7 | is it free (neither slot nor estimate) | it takes nothing, so nothing below concerns it |
//! | 8 | is it known what was spent before | limits on money would let everything pass |
//! | 9 | is there a slot, or a place in the queue | running calls end within minutes, so this passes soonest |
//! | 10 | is the window, or a limit on money, used up | of several the one that lasts longest |
//! | 11 | is there a slot at once | else it waits; all of this is asked again when it comes for its slot |
//!
//! Only then is anything taken: slot, reservation, a request of the window, the key's activation. A refused
//! call takes nothing, and gives back whatever it held.
//!
//! Money: a call reserves its estimate while it runs and is counted with what it really used when it
//! settles. Sums are those of settled calls; a call that nobody settles gives its reservation back when its
//! lease ends. So a limit is overshot by no more than what the calls that were not settled when the last one
//! was admitted used over their reservations (none, for a call whose lease had ended), and the part of that
//! last one's estimate for which there was no room: a call that runs alone is admitted with any estimate as
//! long as something is left.
//!
//! Commands are named by their call and may be repeated: an `Admit` whose answer was lost finds its own
//! lease and renews it. Only an `Admit` that arrives after its call's `Settle` (a copy the network kept
//! back) takes a slot nobody frees; that one ends with its TTL.
//!
//! A call whose body costs something to read (large, or compressed) asks twice: `before_body` holds its slot,
//! and the `Admit` with model and estimate decides the rest.
//!
//! Calls wait for slots in the order they came. A slot that comes free is given to the first of them in the
//! same step, held for it until it comes; so nobody can overtake and there is nothing to poll.
//!
//! Where the gate outlives the host of its calls (a Durable Object does), it also keeps what a call used
//! until the store has it: `Settle` brings the event, and of a call that never settles the gate has the
//! note it was admitted with.

mod admit;
mod calendar;
mod command;
mod ended;
mod kept;
pub mod money;
mod news;
mod permission;
mod policy;
mod queue;
mod spend;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::command::{
    Admit, CallEnd, Command, Estimate, Event, LeaseSnapshot, Limit, LimitReached, Refusal, Reply, SeedSpend,
    Snapshot, SpendSnapshot, Spent, Usage, WaiterSnapshot, WindowSnapshot,
};
pub use self::money::{MoneyLimit, PerLimit, Span};
pub use self::policy::{KeyPolicy, Limits, ModelMode, QueuePolicy, Service};

use self::calendar::Calendar;
use self::ended::AllEnded;
use self::news::Reader;
use self::queue::Queue;
use self::spend::{Reserved, Rounds, Spend};
use crate::freshness::{Freshness, OLDER_REFUSED_MS};
use crate::lease::Leases;
use crate::outbox::{Entry, Lost, Outbox};
use crate::rows::Row;
use crate::time::{Deadline, Present};
use crate::{CallId, Changes, Machine, Millis, Step};

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
    /// The key's first use, as long as the store does not know of it.
    activated: Option<Millis>,
    leases: Leases<Held>,
    ended: AllEnded,
    queue: Queue,
    #[serde(skip)]
    reader: Option<Reader>,
    spend: Spend,
    outbox: Outbox,
    #[serde(skip)]
    effects: Effects,
}

/// The effects of this step that the host must carry out.
#[derive(Clone, Debug, Default)]
struct Effects {
    rows: Vec<Row>,
    wake: Vec<CallId>,
    /// The record changed so that calls that wait may be decided differently.
    decides_anew: bool,
    /// Something of the head changed that a restart must not forget.
    lasting: bool,
}

impl Effects {
    fn head(&mut self) {
        self.rows.push(Row::Head);
        self.lasting = true;
    }
}

/// What a call holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Held {
    /// It counts against the concurrency limit.
    slot: bool,
    /// The slot is kept for the call: it waited and has not come for it yet, or its body is still to be read.
    /// Nothing else of it is decided.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    offered: bool,
    waited_ms: u64,
    reserved: Estimate,
    opus: bool,
    rounds: Rounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            slot: true,
            offered: false,
            waited_ms: 0,
            reserved: Estimate::default(),
            opus: false,
            rounds: Rounds::default(),
            note: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
    key: Lost,
}

/// How long what is known of a lost call waits for others.
const LOST_WAIT_MS: u64 = 10_000;

impl Gate {
    /// What a host starts from whose death ended all its calls: no leases, nobody waits, and the record is
    /// to be asked for again (it may have changed in the meantime).
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.leases = Leases::default();
        self.ended = AllEnded::default();
        self.queue = Queue::default();
        self.reader = None;
        self.freshness.resumed();
        self
    }

    /// Whether nothing is lost if the host forgets this gate: the store knows no such key, no call holds
    /// anything or waits, and the store has all events. (If the key is restored, its window begins anew; what
    /// was spent is in the ledger.)
    pub fn is_over(&self) -> bool {
        self.record.is_none()
            && self.freshness.known()
            && self.activated.is_none()
            && self.leases.calls().next().is_none()
            && self.ended.calls().next().is_none()
            && self.queue.is_empty()
            && self.outbox.len() == 0
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
        if changed {
            self.adopt(now, policy);
        }
        changed
    }

    /// The record is another one now.
    fn adopt(&mut self, now: Millis, policy: Option<Arc<KeyPolicy>>) {
        let old = std::mem::replace(&mut self.record, policy);
        let Some(new) = &self.record else { return };
        self.effects.decides_anew |= old.as_ref().is_none_or(|old| !old.decides_like(new));
        // The store knows, or the validity has no beginning any more: if it gets one again, then anew.
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

    fn renew(&mut self, now: Millis, call: CallId, ttl_ms: u64, note: Option<String>) {
        if !self.runs(call) {
            return;
        }
        self.leases.renew(now, call, ttl_ms);
        self.effects.rows.push(Row::Lease(call));
        if let (Some(text), Some(held)) = (note, self.leases.get_mut(call))
            && let Some(note) = &mut held.note
        {
            note.text = text;
        }
    }

    /// Why the operator wants the call to end, if that is so.
    fn call_end(&self, call: CallId) -> Option<CallEnd> {
        if self.runs(call) {
            self.is_key_gone().then_some(CallEnd::KeyGone)
        } else {
            self.ended.was_released(call).then_some(CallEnd::Released)
        }
    }

    /// Whether the key was disabled or deleted, as far as the gate was told.
    fn is_key_gone(&self) -> bool {
        self.freshness.known() && self.record.as_ref().is_none_or(|policy| !policy.active)
    }

    /// Whether the call was admitted and holds what it was admitted with.
    fn runs(&self, call: CallId) -> bool {
        self.leases.get(call).is_some_and(|lease| !lease.what.offered)
    }

    /// What the call held.
    fn free(&mut self, call: CallId) -> Option<Held> {
        let lease = self.leases.free(call)?;
        self.effects.rows.push(Row::Lease(call));
        Some(lease.what)
    }

    /// Whether it waited.
    fn leave_queue(&mut self, call: CallId) -> bool {
        let turn = self.queue.remove(call);
        self.effects.rows.extend(turn.map(Row::Waiter));
        turn.is_some()
    }

    fn settle(&mut self, now: Millis, call: CallId, event: Option<Event>, usage: Option<Usage>) {
        self.leave_queue(call);
        let held = self.free(call);
        let had = held.is_some();
        // What a call holds is its right to be counted, and so is gone the second time.
        let admitted = held.filter(|held| !held.offered).map(|held| held.rounds);
        let late = self.ended.take(call, &mut self.effects.rows);
        if let (Some(rounds), Some(usage)) = (admitted.or(late), usage)
            && (usage.tokens > 0 || usage.cost > 0)
        {
            self.spend.settle(now, rounds, &usage);
            self.effects.head();
        }
        if let Some(event) = event {
            let entry = Entry {
                call,
                text: event.text,
                doubtful: event.again || (event.held && !had),
                lost: None,
            };
            self.outbox
                .push(now, entry, event.wait_ms, &mut self.effects.rows);
        }
    }

    /// The call will not run, and holds nothing any more.
    fn cancel(&mut self, now: Millis, call: CallId) {
        self.leave_queue(call);
        if let Some(held) = self.free(call)
            && !held.offered
            && self.spend.forget(now, held.rounds)
        {
            self.effects.head();
        }
    }

    /// Frees what has ended. Nobody told how those calls went, so their notes are all there is of them.
    fn sweep(&mut self, now: Millis) {
        self.ended.sweep(now, &mut self.effects.rows);
        for (turn, waiter) in self.queue.sweep(now) {
            self.effects.rows.push(Row::Waiter(turn));
            self.effects.wake.push(waiter.call);
        }
        for (call, held) in self.leases.sweep(now) {
            self.effects.rows.push(Row::Lease(call));
            self.ended_untold(now, call, held, false);
        }
    }

    /// The lease ended before the call told what it used; `released`: the operator freed it.
    fn ended_untold(&mut self, now: Millis, call: CallId, held: Held, released: bool) {
        if held.offered {
            return;
        }
        self.ended
            .put(now, call, held.rounds, released, &mut self.effects.rows);
        if let Some(Note { text, key }) = held.note {
            let entry = Entry {
                call,
                text,
                doubtful: true,
                lost: Some(key),
            };
            self.outbox.push(now, entry, LOST_WAIT_MS, &mut self.effects.rows);
        }
    }

    fn reserved(&self, now: Millis) -> Reserved {
        let held = self.leases.iter().map(|(_, lease)| &lease.what);
        let calls = held.map(|held| (held.rounds, held.reserved, held.opus));
        self.spend.reserved(now, calls)
    }

    fn snapshot(&self, now: Millis) -> Snapshot {
        let reserved = self.reserved(now);
        let lease = |(call, lease): (CallId, &crate::lease::Lease<Held>)| LeaseSnapshot {
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
        self.effects.rows.extend(self.ended.calls().map(Row::Ended));
        self.effects.rows.extend(self.queue.turns().map(Row::Waiter));
    }

    fn obey(&mut self, now: Millis, command: Command) -> Reply {
        match command {
            Command::Learn { policy } => {
                self.effects.lasting |= self.learn(now, policy);
                self.effects.rows.push(Row::Head);
            }
            Command::Admit(admit) => return self.admit(now, &admit),
            Command::Renew { call, ttl_ms, note } => {
                self.renew(now, call, ttl_ms, note);
                if let Some(why) = self.call_end(call) {
                    return Reply::Ended(why);
                }
            }
            Command::Settle { call, event, usage } => self.settle(now, call, event, usage),
            Command::Cancel { call } => self.cancel(now, call),
            Command::Release { call } => {
                if let Some(held) = self.free(call) {
                    self.ended_untold(now, call, held, true);
                }
            }
            Command::TakeBatch => return Reply::Batch(self.outbox.take(now, &mut self.effects.rows)),
            Command::BatchSent { last, sent } => {
                return Reply::GivenUp(self.outbox.sent(now, last, sent, &mut self.effects.rows));
            }
            Command::Invalidate => {
                self.freshness.invalidated(now);
                // Whoever reads now may have read before the change.
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
        // Before the command, so that what has come free is not a newcomer's; and after it, for what it freed.
        self.offer_slots(now);
        let reply = self.obey(now, command);
        self.offer_slots(now);
        self.wake_waiters(now);
        let next_news = self.next_news(now);
        let Effects {
            rows, wake, lasting, ..
        } = std::mem::take(&mut self.effects);
        let of_calls = |row: &Row| matches!(row, Row::Lease(_) | Row::Ended(_) | Row::Waiter(_));
        Step {
            reply,
            changes: Changes {
                leases: tick.set_back || rows.iter().any(of_calls),
                lasting,
            },
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
