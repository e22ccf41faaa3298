//! The decision to admit a call, and the queue for slots.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::command::{Admit, Refusal, Reply};
use super::policy::KeyPolicy;
use super::queue::Waiter;
use super::{Gate, Hold, LOST_WAIT_MS, Note};
use crate::lease::Lease;
use crate::outbox::LostKey;
use crate::rows::Row;
use crate::time::Deadline;
use crate::{CallId, Millis};

/// Bounds of the suggested wait for a slot, or for an amount that is only reserved.
pub(super) const RETRY_MS: RangeInclusive<u64> = 1_000..=5_000;

/// Bounds of the suggested wait after a call timed out in the queue; between them, half of its time in the queue.
pub(super) const RETRY_QUEUE_MS: RangeInclusive<u64> = 5_000..=30_000;

/// How long a slot is held for a call that waited for it. The call is woken at once, so it comes soon or its client
/// has left.
pub(super) const CLAIM_MS: u64 = 3_000;

/// The verdict on a call that is not refused.
enum Verdict {
    /// The call holds nothing and needs nothing.
    Free,
    /// The call already holds what it asks for.
    Runs,
    Starts,
    Waits,
    NeedSpend,
}

impl Gate {
    pub(super) fn admit(&mut self, now: Millis, admit: &Admit) -> Reply {
        if admit.granted {
            return self.grant(now, admit);
        }
        if !self.freshness.decides(now, admit.learned_since) {
            return self.undecided(now, admit.call);
        }
        let (policy, verdict) = match self.judge(now, admit) {
            Ok(judged) => judged,
            Err(refusal) => {
                self.withdraw(now, admit.call);
                return Reply::Refused(refusal);
            }
        };
        match verdict {
            Verdict::Free => {}
            Verdict::Runs => self.renew(now, admit.call, admit.ttl_ms, None),
            Verdict::Starts if admit.before_body => self.hold_slot(now, admit),
            Verdict::Starts => self.start(now, &policy, admit),
            Verdict::Waits => return self.wait(now, &policy, admit),
            Verdict::NeedSpend => return Reply::NeedSpend,
        }
        let waited_ms = self.leases.get(admit.call).map(|lease| lease.what.waited_ms);
        Reply::Granted {
            activated_at: self.activated,
            waited_ms: waited_ms.unwrap_or(0),
            policy,
        }
    }

    /// Takes over a grant that another copy decided. The decision is not made again.
    fn grant(&mut self, now: Millis, admit: &Admit) -> Reply {
        let Some(policy) = self.record.clone() else {
            return Reply::NeedPolicy;
        };
        if self.kept.get(admit.call).is_some() {
            // Its settlement follows.
        } else if self.runs(admit.call) {
            self.renew(now, admit.call, admit.ttl_ms, None);
        } else if admit.metered() {
            // Its lease may have ended while the gate was unreachable: it was counted when it was admitted.
            self.outbox.recall(admit.call, &mut self.effects.rows);
            let counted = self.ended.take(admit.call, &mut self.effects.rows);
            self.start(now, &policy, admit);
            if let (Some(counted), Some(held)) = (counted, self.leases.get_mut(admit.call)) {
                let again = std::mem::replace(&mut held.rounds, counted);
                self.spend.forget(now, again);
            }
        }
        Reply::Granted {
            activated_at: self.activated,
            waited_ms: 0,
            policy,
        }
    }

    fn judge(&self, now: Millis, admit: &Admit) -> Result<(Arc<KeyPolicy>, Verdict), Refusal> {
        let policy = self.record.as_ref().ok_or(Refusal::UnknownKey)?;
        policy.permits(now, self.activated_at(), admit)?;
        let verdict = if self.runs(admit.call) {
            Verdict::Runs
        } else if !admit.metered() {
            Verdict::Free
        } else if admit.learned_since > 0 && !self.spend.knows(policy.limits.of_money()) {
            Verdict::NeedSpend
        } else {
            let slot = !admit.slot || self.leases.get(admit.call).is_some() || self.has_slot(policy);
            if !slot && self.queue.place(admit.call).is_none() {
                self.may_wait(now, policy, admit)?;
            }
            self.within_limits(now, policy, admit)?;
            if slot { Verdict::Starts } else { Verdict::Waits }
        };
        Ok((Arc::clone(policy), verdict))
    }

    /// While there is a free slot, no call waits: see `offer_slots`.
    fn has_slot(&self, policy: &KeyPolicy) -> bool {
        let limit = policy.concurrency_limit;
        let held = || self.leases.iter().filter(|(_, lease)| lease.what.slot).count();
        limit == 0 || held() < usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Whether the call may join the queue.
    fn may_wait(&self, now: Millis, policy: &KeyPolicy, admit: &Admit) -> Result<(), Refusal> {
        let (limit, queue) = (policy.concurrency_limit, policy.queue);
        if admit.queued_until.is_some_and(|until| until <= now) {
            let (least, most) = (*RETRY_QUEUE_MS.start(), *RETRY_QUEUE_MS.end());
            return Err(Refusal::QueueTimeout {
                limit,
                retry_after_ms: (queue.timeout_ms / 2).clamp(least, most),
            });
        }
        let retry_after_ms = self.retry_after(now, admit.call);
        if !queue.on() {
            return Err(Refusal::ConcurrencyFull {
                limit,
                retry_after_ms,
            });
        }
        if self.queue.len() >= usize::try_from(queue.size).unwrap_or(usize::MAX) {
            return Err(Refusal::QueueFull {
                limit,
                size: queue.size,
                retry_after_ms,
            });
        }
        Ok(())
    }

    fn within_limits(&self, now: Millis, policy: &KeyPolicy, admit: &Admit) -> Result<(), Refusal> {
        if !policy.limits.windowed() && policy.limits.of_money().next().is_none() {
            return Ok(());
        }
        let ask = (admit.estimate.unwrap_or_default(), admit.opus);
        let soon = self.retry_after(now, admit.call);
        let reserved = self.reserved(now);
        self.spend
            .reached(now, &policy.limits, &reserved, ask, soon)
            .map_or(Ok(()), |reached| Err(Refusal::LimitReached(reached)))
    }

    fn start(&mut self, now: Millis, policy: &KeyPolicy, admit: &Admit) {
        let offered = self.leases.get(admit.call).map(|lease| lease.what.waited_ms);
        self.leave_queue(admit.call);
        if policy.valid_for_ms > 0 && self.activated_at().is_none() {
            self.activated = Some(now);
            self.effects.head();
        }
        if policy.limits.windowed() {
            self.effects.head();
        }
        let note = admit.note.clone().map(|text| Note {
            text,
            key: LostKey {
                key_id: policy.id.clone(),
                key_name: policy.name.clone(),
            },
            wait_ms: LOST_WAIT_MS.min(admit.ttl_ms),
        });
        let held = Hold {
            slot: admit.slot,
            offered: false,
            waited_ms: offered.unwrap_or(0),
            reserved: admit.estimate.unwrap_or_default(),
            opus: admit.opus,
            rounds: self.spend.begin(now, &policy.limits),
            note,
        };
        self.hold(now, admit.call, admit.ttl_ms, held);
    }

    /// Holds a slot for a call whose body is still to be read.
    fn hold_slot(&mut self, now: Millis, admit: &Admit) {
        let waited = self.leases.get(admit.call).map(|lease| lease.what.waited_ms);
        self.leave_queue(admit.call);
        let held = Hold {
            offered: true,
            waited_ms: waited.unwrap_or(0),
            ..Hold::default()
        };
        self.hold(now, admit.call, admit.ttl_ms, held);
    }

    fn hold(&mut self, now: Millis, call: CallId, ttl_ms: u64, what: Hold) {
        let end = Deadline::after(now, ttl_ms);
        let lease = Lease {
            since: now,
            end,
            what,
        };
        self.leases.put(call, lease);
        self.effects.rows.push(Row::Lease(call));
    }

    fn wait(&mut self, now: Millis, policy: &KeyPolicy, admit: &Admit) -> Reply {
        if self.queue.place(admit.call).is_none() {
            let longest = Deadline::after(now, policy.queue.timeout_ms);
            // A call that lost its place no longer waits for its former end.
            let end = match admit.queued_until {
                Some(until) if until < longest.until() => Deadline::at(now, until),
                _ => longest,
            };
            let waiter = Waiter {
                call: admit.call,
                since: now,
                end,
            };
            let turn = self.queue.push(waiter);
            self.effects.rows.push(Row::Waiter(turn));
        }
        self.queued_reply(now, admit.call).unwrap_or(Reply::NeedPolicy)
    }

    /// The reply to a call that has a place in the queue.
    pub(super) fn queued_reply(&self, now: Millis, call: CallId) -> Option<Reply> {
        let (position, until) = self.queue.place(call)?;
        Some(Reply::Queued {
            position,
            until,
            wait_ms: until.saturating_sub(now),
        })
    }

    /// A refused call will not run. It may still hold resources from an earlier grant. If this is a late copy and the
    /// call runs after all, its usage is still counted.
    fn withdraw(&mut self, now: Millis, call: CallId) {
        let ran = self.leases.get(call).filter(|lease| !lease.what.offered);
        let rounds = ran.map(|lease| lease.what.rounds);
        self.cancel(now, call);
        if let Some(rounds) = rounds {
            self.ended.put(now, call, rounds, false, &mut self.effects.rows);
        }
    }

    /// Offers free slots to waiting calls, in their order. If no call can be admitted, none has to wait for its
    /// refusal.
    pub(super) fn offer_slots(&mut self, now: Millis) {
        while !self.queue.is_empty() {
            let activated_at = self.activated_at();
            let open = |policy: &&Arc<KeyPolicy>| policy.is_open(now, activated_at).is_ok();
            let open = self.record.as_ref().filter(open);
            if open.is_some_and(|policy| !self.has_slot(policy)) {
                return;
            }
            let open = open.is_some();
            let Some((turn, waiter)) = self.queue.pop() else {
                return;
            };
            self.effects.rows.push(Row::Waiter(turn));
            self.effects.wake.push(waiter.call);
            if open {
                let offer = Hold {
                    offered: true,
                    waited_ms: now.saturating_sub(waiter.since),
                    ..Hold::default()
                };
                self.hold(now, waiter.call, CLAIM_MS, offer);
            }
        }
    }

    /// A slot is freed by the end of its call, which is unpredictable, or by the end of its lease. Calls refused
    /// together get different times (with noise from their ids), so that they do not come back together.
    fn retry_after(&self, now: Millis, call: CallId) -> u64 {
        let (least, most) = (*RETRY_MS.start(), *RETRY_MS.end());
        let spread = call.0 % u128::from(most - least + 1);
        let guess = least + u64::try_from(spread).unwrap_or(0);
        let ends_in = self.leases.earliest().map_or(most, |end| end.saturating_sub(now));
        guess.min(ends_in).max(least)
    }
}
