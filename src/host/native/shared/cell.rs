//! One shared machine in this process: its callers, its waiting calls, and the task that takes its steps to the home.

mod driver;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use crs_durable::gate::CallEnd;
use crs_durable::holder::{Holder, Stepped};
use crs_durable::shared::{CommandReply, NextAction, Outcome, Shared};
use crs_durable::{CallId, Millis};
use futures_channel::oneshot;

pub(super) use self::driver::Driver;
use super::super::held::{Machine, lock};
use super::Inner;
use crate::port::clock::within;
use crate::port::gates::KeyHash;

/// A waiting call asks by itself after this time if the home has no messages.
const POLL_MS: u64 = 500;

/// Minimum delay before this process wakes a machine: another process may have done it.
const WAKE_LATE_MS: u64 = 1_000;

pub struct Cell<M: Machine> {
    pub(super) name: String,
    pub(super) state: Mutex<State<M>>,
}

pub(super) struct State<M: Machine> {
    /// For a gate only.
    pub(super) key: Option<KeyHash>,
    /// Until when the gate's entry in the list of holding gates is valid.
    pub(super) listed_until: Millis,
    pub(super) holder: Holder<Shared<M>>,
    /// Callers without a reply, by ticket.
    callers: HashMap<u64, Caller<M>>,
    /// The leases of this process's calls.
    held: HashMap<CallId, HeldLease<M>>,
    /// When the leases were last renewed.
    renewed: Millis,
    /// The home was unavailable since: it may have seen leases end.
    was_away: bool,
    /// Calls woken by other processes before the reply that makes them wait has arrived.
    early: HashSet<CallId>,
    /// A task takes the machine's steps to the home.
    has_driver: bool,
    /// The task must ask for others' changes.
    look: bool,
    /// The operator may want calls of this process to end.
    ends: bool,
    /// The state that a single process kept has been looked for.
    is_own_read: bool,
    is_own_there: bool,
    /// The number of kept commands that is part of the figures.
    counted: usize,
    wake_at: Option<Millis>,
    used: Millis,
}

struct Caller<M: Machine> {
    sender: oneshot::Sender<SteppedOf<M>>,
    /// The requested duration of the lease that the command asks for.
    ttl: Option<u64>,
}

/// A lease.
struct HeldLease<M: Machine> {
    /// When it ends unless its call renews it.
    until: Millis,
    /// The command that restores it at a machine that has lost it.
    granted: M::Command,
}

type SteppedOf<M> = Stepped<<M as crs_durable::Machine>::Reply, <M as crs_durable::Machine>::Command>;

impl<M: Machine> Cell<M> {
    pub(super) fn new(name: String, key: Option<KeyHash>) -> Self {
        Self {
            name,
            state: Mutex::new(State {
                key,
                listed_until: 0,
                holder: Holder::new(Shared::default()),
                callers: HashMap::new(),
                held: HashMap::new(),
                renewed: 0,
                was_away: false,
                early: HashSet::new(),
                has_driver: false,
                look: false,
                ends: false,
                is_own_read: false,
                is_own_there: false,
                counted: 0,
                wake_at: None,
                used: 0,
            }),
        }
    }

    /// Whether it is unused since that time, and holds nothing that ends.
    pub(super) fn is_idle(&self, since: Millis) -> bool {
        let state = lock(&self.state);
        state.used < since && state.holder.home.is_idle() && !state.has_driver && state.wake_at.is_none()
    }
}

impl<M: Machine> State<M> {
    /// Passes replies to the callers, and wakes waiting calls.
    fn deliver(&mut self, inner: &Inner, now: Millis, ask_again_ms: u64, outcome: Outcome<M>) {
        inner.figures.commands(outcome.answers.len());
        inner.figures.replayed(outcome.replayed);
        if outcome.conflict {
            inner.figures.conflict();
        }
        self.wake_at = outcome.wake_at;
        for answered in outcome.answers {
            let Some(Caller { sender, ttl }) = self.callers.remove(&answered.ticket) else {
                if let Some((call, why)) = M::reported_end(&answered.command, &answered.reply) {
                    self.end(inner, call, why);
                }
                continue;
            };
            self.follow(now, ttl, &answered.command, &answered.reply);
            // Something may come free merely because time passes.
            let next = outcome.wake_at.map_or(u64::MAX, |at| at.saturating_sub(now));
            let CommandReply { command, reply, .. } = answered;
            let wait = self.holder.wait(now, command, &reply, next.min(ask_again_ms));
            if let Some(wait) = &wait
                && self.early.remove(&wait.call)
            {
                self.holder.wake(wait.call);
            }
            let _ = sender.send(Stepped {
                reply,
                wait,
                wake_at: outcome.wake_at,
            });
        }
        for call in outcome.wake {
            self.holder.wake(call);
        }
        if outcome.wake_all {
            self.holder.wake_all();
        }
        for ticket in outcome.failed {
            self.callers.remove(&ticket);
        }
        if self.ends {
            let end = |call: &CallId| Some((*call, self.holder.home.ask(|machine| machine.call_end(*call))?));
            let ended: Vec<_> = self.held.keys().filter_map(end).collect();
            for (call, why) in ended {
                self.end(inner, call, why);
            }
        }
    }

    /// Ends a call of this process on the operator's behalf.
    fn end(&self, inner: &Inner, call: CallId, why: CallEnd) {
        if let (Some(key), Some(end)) = (&self.key, inner.end.get()) {
            end(key, call, why);
        }
    }

    /// Tracks the leases of this process's calls.
    fn follow(&mut self, now: Millis, ttl: Option<u64>, command: &M::Command, reply: &M::Reply) {
        if let Some(call) = M::freed_lease(command, reply) {
            self.held.remove(&call);
        }
        let Some(until) = ttl.map(|ttl| now.saturating_add(ttl)) else {
            return;
        };
        if let Some(call) = M::new_lease(command, reply) {
            if self.held.is_empty() {
                self.renewed = now;
            }
            if let Some(granted) = M::replay(command.clone(), reply) {
                self.held.insert(call, HeldLease { until, granted });
            }
        } else if let Some(held) = M::renewed_lease(command).and_then(|call| self.held.get_mut(&call)) {
            held.until = held.until.max(until);
        }
    }

    /// Renews the leases of running calls.
    fn renew(&mut self, inner: &Inner, now: Millis) {
        self.renewed = now;
        let again = std::mem::take(&mut self.was_away);
        self.held.retain(|_, held| held.until > now);
        for (call, held) in &self.held {
            let ttl = held.until.saturating_sub(now).min(inner.lease_ms);
            let command = if again {
                held.granted.clone()
            } else {
                M::renewal(*call, ttl)
            };
            let ticket = inner.tickets.fetch_add(1, Ordering::Relaxed);
            self.holder.home.submit(ticket, command);
        }
    }

    /// Answers at once while the home is unavailable.
    fn decide(&mut self, inner: &Inner) {
        let now = inner.now();
        if let NextAction::Decided(outcome) = self.holder.home.begin(now, inner.name()) {
            self.deliver(inner, now, POLL_MS, outcome);
        }
    }
}

impl Inner {
    /// `None`: the home is unavailable, and there is no copy.
    pub(super) async fn take_to_home<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<Cell<M>>,
        mut command: M::Command,
    ) -> Option<M::Reply> {
        M::to_machine_time(&mut command, self.ahead());
        let ttl = M::limit_ttl(&mut command, self.lease_ms);
        loop {
            let Stepped { reply, wait, .. } = self.submit(cell, command, ttl).await.ok()?;
            let Some(wait) = wait else { return Some(reply) };
            let _ = within(&*self.clock, wait.at_most, wait.woken).await;
            command = wait.again;
        }
    }

    fn submit<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<Cell<M>>,
        command: M::Command,
        ttl: Option<u64>,
    ) -> oneshot::Receiver<SteppedOf<M>> {
        let (sender, result) = oneshot::channel();
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let mut state = lock(&cell.state);
        state.used = self.clock.now();
        // A caller that asks again, or leaves, no longer waits for the earlier reply.
        state.holder.stop_waiting(&command);
        state.callers.insert(ticket, Caller { sender, ttl });
        self.with_kept_count(&mut state, |state| {
            state.holder.home.submit(ticket, command);
            if state.holder.home.is_away() {
                state.decide(self);
            }
        });
        self.drive(cell, state);
        result
    }

    /// Other processes have news for these calls, or for all calls that wait here.
    pub(super) fn wake<M: Machine>(self: &Arc<Self>, cell: &Arc<Cell<M>>, calls: &[CallId], news: bool) {
        let mut state = lock(&cell.state);
        for call in calls {
            if !state.holder.wake(*call) && state.has_driver {
                state.early.insert(*call);
            }
        }
        if news {
            state.ends |= !state.held.is_empty();
            state.look |= state.ends || state.holder.waiting() > 0;
        }
        if state.look {
            self.drive(cell, state);
        }
    }

    /// Starts the task if the home must be probed, if leases must be renewed, or if the machine wants to be woken:
    /// with the command `tick`, or by the caller if that is `None`. `late`: leases may have ended without renewal.
    pub(super) fn tend<M: Machine>(
        self: &Arc<Self>,
        cell: &Arc<Cell<M>>,
        late: bool,
        tick: Option<M::Command>,
    ) -> bool {
        let mut state = lock(&cell.state);
        let now = self.now();
        state.was_away |= late && !state.held.is_empty();
        let renew_at = state.renewed.saturating_add(self.lease_ms / 3);
        let is_due = |at: Millis| at.saturating_add(WAKE_LATE_MS) < now;
        if state.holder.home.is_away() {
            state.look = true;
            state.was_away = true;
        } else if !state.held.is_empty() && (state.was_away || renew_at <= now) {
            state.renew(self, now);
        } else if state.wake_at.is_some_and(is_due) && !state.has_driver {
            state.wake_at = None;
            let Some(tick) = tick else { return true };
            let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
            state.holder.home.submit(ticket, tick);
        } else if tick.is_some() && self.figures.away_since().is_some() {
            // The home failed a machine of which there was no copy, and perhaps nobody asks again.
            state.look = true;
        } else {
            return false;
        }
        self.drive(cell, state);
        false
    }

    fn drive<M: Machine>(self: &Arc<Self>, cell: &Arc<Cell<M>>, mut state: MutexGuard<'_, State<M>>) {
        if state.holder.home.is_away() && !state.look {
            return;
        }
        if std::mem::replace(&mut state.has_driver, true) {
            return;
        }
        drop(state);
        let driver = Driver {
            inner: self.clone(),
            cell: cell.clone(),
            is_done: false,
        };
        self.tasks.spawn(Box::pin(driver.run()));
    }

    /// Updates the figures with the number of commands that the machine keeps after the change.
    fn with_kept_count<M: Machine, T>(
        &self,
        state: &mut State<M>,
        change: impl FnOnce(&mut State<M>) -> T,
    ) -> T {
        let result = change(state);
        let now = state.holder.home.kept();
        let before = std::mem::replace(&mut state.counted, now);
        if before != now {
            self.figures.keeps(before, now);
        }
        result
    }
}
