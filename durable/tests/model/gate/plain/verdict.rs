//! What the gate must answer to an `Admit`.

use crs_durable::gate::{
    Admit, Estimate, KeyPolicy, Limit, LimitReached, ModelMode, MoneyLimit, Refusal, Reply, Usage,
};
use crs_durable::{CallId, Millis};

use super::{Held, Plain, Waiter, sum, windowed};
use crate::world::End;

impl Plain {
    pub(super) fn restriction(&self, now: Millis, admit: &Admit) -> Option<Refusal> {
        let Some(policy) = &self.record else {
            return Some(Refusal::UnknownKey);
        };
        let permitted = policy.permissions.is_empty() || policy.permissions.contains(&admit.service);
        let allowed = policy.allowed_clients.clone();
        let client = allowed.filter(|list| list.is_empty() || admit.client.is_none());
        let opus = admit.model.as_deref() == Some("ccr,Opus");
        let wrong = opus == (policy.model_mode == ModelMode::Deny);
        let model = admit.model.clone().filter(|_| policy.model_restriction && wrong);
        if !policy.active {
            Some(Refusal::Disabled)
        } else if let Some(at) = self.expiry().filter(|at| now >= *at) {
            Some(Refusal::Expired { at })
        } else if !permitted {
            Some(Refusal::NotPermitted {
                service: admit.service,
            })
        } else if let Some(allowed) = client {
            Some(Refusal::ClientNotAllowed {
                client: admit.client.clone(),
                allowed,
            })
        } else {
            model.map(|model| Refusal::ModelRestricted { model })
        }
    }

    /// Limits that refuse: which, how much of it is allowed, used, reserved, and when it is reset.
    fn limits_reached(&self, now: Millis, admit: &Admit) -> Vec<(Limit, [u64; 3], Option<Millis>)> {
        let limits = self.limits();
        let Estimate { tokens, cost } = admit.estimate.unwrap_or_default();
        let mut all = vec![];
        if let Some(window) = self.live(now).filter(|_| windowed(&limits)) {
            let held = self.in_window(now);
            let resets = Some(window.end.until);
            let used = |of: fn(&Usage) -> u64| window.used.iter().map(of).sum::<u64>();
            let requests = [limits.rate_limit_requests, window.requests, 0];
            let of_tokens = [limits.rate_limit_tokens, used(|usage| usage.tokens), held.tokens];
            let of_cost = [limits.rate_limit_cost, used(|usage| usage.cost), held.cost];
            all.push((Limit::WindowRequests, requests, 0, resets));
            all.push((Limit::WindowTokens, of_tokens, tokens, resets));
            all.push((Limit::WindowCost, of_cost, cost, resets));
        }
        for limit in MoneyLimit::ALL {
            let most = match limit {
                MoneyLimit::WeekOpus => limits.money[limit] * u64::from(admit.opus),
                _ => limits.money[limit],
            };
            let numbers = [most, sum(&self.spent[limit]), self.held_of(limit)];
            all.push((Limit::Money(limit), numbers, cost, self.resets_at(limit)));
        }
        all.into_iter()
            .filter(|(_, [limit, used, reserved], asked, _)| {
                let alone = *reserved == 0;
                let left = limit.saturating_sub(used + reserved);
                *limit > 0 && (left == 0 || (!alone && left < *asked))
            })
            .map(|(which, numbers, _, resets)| (which, numbers, resets))
            .collect()
    }

    pub(super) fn refused(&mut self, now: Millis, admit: &Admit, refusal: &Refusal) {
        let soon = 1_000..=5_000;
        if let Some(expected) = self.restriction(now, admit) {
            assert_eq!(&expected, refusal);
        } else {
            let policy = self.record.clone().expect("it is known");
            assert!(!self.runs(admit.call) && metered(admit));
            let limit = policy.concurrency_limit;
            let full = admit.slot
                && limit > 0
                && self.slots() >= limit as usize
                && self.leases.get(admit.call).is_none();
            let newcomer = full && self.waits(admit.call).is_none();
            let late = admit.queued_until.is_some_and(|until| now >= until);
            let queue = policy.queue;
            match refusal {
                Refusal::QueueTimeout {
                    limit: told,
                    retry_after_ms,
                } => {
                    assert!(newcomer && late && *told == limit);
                    assert!((5_000..=30_000).contains(retry_after_ms));
                }
                Refusal::ConcurrencyFull {
                    limit: told,
                    retry_after_ms,
                } => {
                    assert!(newcomer && !late && *told == limit);
                    assert!(queue.size == 0 || queue.timeout_ms == 0);
                    assert!(soon.contains(retry_after_ms));
                    let first = self.leases.0.iter().map(|lease| lease.end.until - now).min();
                    assert!(first.is_some_and(|first| *retry_after_ms <= first.max(1_000)));
                }
                Refusal::QueueFull {
                    limit: told,
                    size,
                    retry_after_ms,
                } => {
                    assert!(newcomer && !late && *told == limit && soon.contains(retry_after_ms));
                    assert!(self.waiters.len() >= *size as usize && *size == queue.size);
                }
                Refusal::LimitReached(told) => self.limited(now, admit, told),
                other => panic!("{other:?} for no reason"),
            }
        }
        // It runs no more, but what it uses is still to be counted if it did.
        if self.runs(admit.call) {
            let rounds = self.leases.get(admit.call).expect("it runs").what.rounds;
            self.cancel(now, admit.call);
            self.end(now, admit.call, rounds);
        } else {
            self.cancel(now, admit.call);
        }
    }

    fn limited(&self, now: Millis, admit: &Admit, told: &LimitReached) {
        let reached = self.limits_reached(now, admit);
        let numbers = [told.limit, told.used, told.reserved];
        assert!(
            reached.contains(&(told.which, numbers, told.resets_at)),
            "{reached:?}"
        );
        let wait = |[limit, used, _]: [u64; 3], resets: Option<Millis>| {
            (used >= limit).then(|| resets.map_or(u64::MAX, |at| at - now))
        };
        if let Some(longest) = reached
            .iter()
            .filter_map(|(_, numbers, resets)| wait(*numbers, *resets))
            .max()
        {
            assert!(told.retry_after_ms.unwrap_or(u64::MAX) >= longest);
        }
        match wait(numbers, told.resets_at) {
            Some(u64::MAX) => assert_eq!(told.retry_after_ms, None),
            Some(exactly) => assert_eq!(told.retry_after_ms, Some(exactly)),
            None => assert!(told.retry_after_ms.is_some_and(|soon| soon > 0 && soon <= 5_000)),
        }
    }

    pub(super) fn granted(&mut self, now: Millis, admit: &Admit, reply: &Reply) {
        assert_eq!(self.restriction(now, admit), None);
        let policy = self.record.clone().expect("it is known");
        let call = admit.call;
        let clock = self.clock.clone();
        if self.runs(call) {
            self.leases.renew(&clock, now, call, admit.ttl_ms);
        } else if metered(admit) {
            self.may_start(now, &policy, admit);
            let offer = self.leases.free(call);
            self.waiters.retain(|waiter| waiter.call != call);
            let waited_ms = offer.map_or(0, |offer| offer.what.waited_ms);
            if admit.before_body {
                let held = Held {
                    slot: true,
                    offered: true,
                    waited_ms,
                    reserved: Estimate::default(),
                    opus: false,
                    rounds: (0, [0; 3]),
                };
                self.leases.put_unswept(&clock, now, call, admit.ttl_ms, held);
                assert_eq!(reply, &self.expected(policy, call));
                return;
            }
            if policy.valid_for_ms > 0 && self.activated_at().is_none() {
                self.activated = Some(now);
            }
            let held = Held {
                slot: admit.slot,
                offered: false,
                waited_ms,
                reserved: admit.estimate.unwrap_or_default(),
                opus: admit.opus,
                rounds: (
                    self.request(now, &policy.limits),
                    self.periods.clone().map(|period| period.round),
                ),
            };
            self.leases.put_unswept(&clock, now, call, admit.ttl_ms, held);
        }
        assert_eq!(reply, &self.expected(policy, call));
    }

    fn expected(&self, policy: KeyPolicy, call: CallId) -> Reply {
        let waited_ms = self.leases.get(call).map_or(0, |lease| lease.what.waited_ms);
        Reply::Granted {
            policy: policy.into(),
            activated_at: self.activated,
            waited_ms,
        }
    }

    fn may_start(&self, now: Millis, policy: &KeyPolicy, admit: &Admit) {
        let limits = &policy.limits;
        let of_money: u64 = limits.money.iter().map(|(_, limit)| limit).sum();
        assert!(self.seeded || of_money == 0 || admit.learned_since == 0);
        assert_eq!(self.limits_reached(now, admit), []);
        let limit = policy.concurrency_limit as usize;
        let offered = self.leases.get(admit.call).is_some();
        assert!(!admit.slot || offered || limit == 0 || self.slots() < limit);
        assert!(!admit.slot || offered || self.waiters.is_empty(), "it overtook");
    }

    pub(super) fn queued(&mut self, now: Millis, admit: &Admit, reply: &Reply) {
        assert_eq!(self.restriction(now, admit), None);
        let policy = self.record.clone().expect("it is known");
        assert!(admit.slot && self.leases.get(admit.call).is_none());
        assert!(policy.concurrency_limit > 0 && self.slots() >= policy.concurrency_limit as usize);
        assert_eq!(self.limits_reached(now, admit), []);
        if self.waits(admit.call).is_none() {
            assert!(policy.queue.timeout_ms > 0 && self.waiters.len() < policy.queue.size as usize);
            assert!(admit.queued_until.is_none_or(|until| now < until));
            let longest = now + policy.queue.timeout_ms;
            let until = admit.queued_until.unwrap_or(longest).min(longest);
            let end = End::after(now, until - now);
            let call = admit.call;
            self.waiters.push(Waiter {
                call,
                since: now,
                end,
            });
        }
        self.still_waits(now, admit.call, reply);
    }

    pub(super) fn still_waits(&self, now: Millis, call: CallId, reply: &Reply) {
        let place = self.waits(call).expect("it waits");
        let until = self.waiters[place].end.until;
        let expected = Reply::Queued {
            position: place as u32 + 1,
            until,
            wait_ms: until - now,
        };
        assert_eq!(reply, &expected);
    }
}

fn metered(admit: &Admit) -> bool {
    admit.slot || (admit.estimate.is_some() && !admit.before_body)
}
