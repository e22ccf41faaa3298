//! Crowds get exactly what there is, and limits on money are overshot by no more than is promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_durable::gate::{
    Admit, Command, Estimate, Gate, KeyPolicy, Limits, MoneyLimit, PerLimit, Refusal, Reply, SeedSpend, Usage,
};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use super::snapshot;
use crate::world::{START, ask};

const TTL: u64 = 60_000;

fn gate(policy: KeyPolicy) -> Gate {
    let mut gate = Gate::default();
    let policy = Arc::new(KeyPolicy {
        version: 1,
        active: true,
        ..policy
    });
    gate.handle(START, Command::Learn { policy: Some(policy) });
    gate.handle(START, Command::SeedSpend(SeedSpend::default()));
    gate
}

fn costs(call: u128, cost: u64) -> Admit {
    Admit {
        estimate: Some(Estimate { tokens: cost, cost }),
        ..ask(CallId(call), TTL)
    }
}

fn is_granted(gate: &mut Gate, at: Millis, admit: Admit) -> bool {
    matches!(
        gate.handle(at, Command::Admit(admit)).reply,
        Reply::Granted { .. }
    )
}

fn settle(call: u128, cost: u64) -> Command {
    Command::Settle {
        call: CallId(call),
        event: None,
        usage: Some(Usage {
            tokens: cost,
            cost,
            opus: false,
        }),
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A new call and its estimate.
    Admit(u64),
    /// The call of this turn used so much.
    Settle(usize, u64),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..60_u64).prop_map(Act::Admit),
        4 => (any::<usize>(), 0..90_u64).prop_map(|(turn, cost)| Act::Settle(turn, cost)),
        2 => (0..TTL / 2).prop_map(Act::Pass),
    ]
}

proptest! {
    /// Every call is settled in the end, some after their leases ended. What they used, and whether the last
    /// one was admitted alone, says how much the limit may be overshot.
    #[test]
    fn the_overshoot_is_bounded(
        limit in 1..500_u64,
        acts in prop::collection::vec(acts(), 1..150),
        rest in prop::collection::vec(0..90_u64, 150),
    ) {
        let mut gate = gate(KeyPolicy {
            limits: Limits { money: PerLimit::these([(MoneyLimit::Total, limit)]), ..Limits::default() },
            ..KeyPolicy::default()
        });
        let mut now = START;
        // Calls that are not settled, with their estimates; those that ran when the last one was admitted.
        let mut open: BTreeMap<u128, u64> = BTreeMap::new();
        let mut at_last: BTreeMap<u128, u64> = BTreeMap::new();
        let mut not_fitting = 0;
        let mut used: BTreeMap<u128, u64> = BTreeMap::new();
        let mut next = 0_u128;
        for act in &acts {
            match act {
                Act::Pass(by) => now += by,
                Act::Admit(estimate) => {
                    next += 1;
                    let before = snapshot(&gate, now).spent[MoneyLimit::Total].clone();
                    if is_granted(&mut gate, now, costs(next, *estimate)) {
                        prop_assert!(before.spent < limit);
                        open.insert(next, *estimate);
                        let leases = snapshot(&gate, now).leases;
                        let holds = |call: &u128| leases.iter().any(|lease| lease.call.0 == *call);
                        // A call whose lease has ended reserves nothing any more.
                        at_last = open.iter().map(|(call, estimate)| (*call, if holds(call) { *estimate } else { 0 })).collect();
                        let over = (before.spent + before.reserved + estimate).saturating_sub(limit);
                        prop_assert!(over == 0 || before.reserved == 0, "only one alone need not fit");
                        not_fitting = over;
                    }
                }
                Act::Settle(turn, cost) => {
                    let call = open.keys().nth(turn % open.len().max(1)).copied();
                    if let Some(call) = call {
                        open.remove(&call);
                        used.insert(call, *cost);
                        gate.handle(now, settle(call, *cost));
                    }
                }
            }
            prop_assert_eq!(snapshot(&gate, now).spent[MoneyLimit::Total].spent, used.values().sum::<u64>());
        }
        for (call, cost) in open.keys().zip(rest) {
            used.insert(*call, cost);
            gate.handle(now, settle(*call, cost));
        }
        let spent = snapshot(&gate, now).spent[MoneyLimit::Total].spent;
        prop_assert_eq!(spent, used.values().sum::<u64>());
        let over_estimates: u64 = at_last.iter().map(|(call, estimate)| used[call].saturating_sub(*estimate)).sum();
        prop_assert!(spent <= limit + over_estimates + not_fitting, "{} of {}", spent, limit);
    }

    #[test]
    fn a_crowd_gets_exactly_the_requests_and_the_money(
        limit in 1..300_u64,
        cost in 1..40_u64,
        which in 0..4_usize,
        lost in any::<u64>(),
    ) {
        let requests = which == 0;
        let mut limits = Limits { rate_limit_window_minutes: 1, ..Limits::default() };
        *[
            &mut limits.rate_limit_requests,
            &mut limits.rate_limit_tokens,
            &mut limits.rate_limit_cost,
            &mut limits.money[MoneyLimit::Day],
        ].into_iter().nth(which).unwrap() = limit;
        let mut gate = gate(KeyPolicy { limits, ..KeyPolicy::default() });
        let mut admit = |call| {
            let granted = is_granted(&mut gate, START, costs(call, cost));
            if lost >> (call % 64) & 1 == 1 {
                assert_eq!(granted, is_granted(&mut gate, START, costs(call, cost)));
            }
            granted
        };
        let granted = (0..200).filter(|call| admit(*call)).count() as u64;
        let expected = if requests { limit } else { (limit / cost).max(1) };
        prop_assert_eq!(granted, expected.min(200));
        // The estimates were right, so not a micro-dollar is over.
        for call in 0..200 {
            gate.handle(START, settle(call, cost));
        }
        let spent = snapshot(&gate, START).spent[MoneyLimit::Total].spent;
        prop_assert_eq!(spent, granted * cost);
        prop_assert!(requests || spent <= limit.max(cost));
    }

    #[test]
    fn a_crowd_gets_exactly_the_slots(limit in 0..260_u32, gone in 0..200_usize, lost in any::<u64>()) {
        let mut gate = gate(KeyPolicy { concurrency_limit: limit, ..KeyPolicy::default() });
        let mut admit = |call, at| {
            let admit = ask(CallId(call), 9);
            let mut granted = is_granted(&mut gate, at, admit.clone());
            if lost >> (call % 64) & 1 == 1 {
                granted = is_granted(&mut gate, at, admit);
            }
            granted
        };
        let expected = if limit == 0 { 200 } else { 200.min(limit as usize) };
        prop_assert_eq!((0..200).filter(|call| admit(*call, START)).count(), expected);
        // Some settle, the others vanish.
        let granted = (1_000..1_200).filter(|call| admit(*call, START + 8)).count();
        prop_assert_eq!(granted, if limit == 0 { 200 } else { (limit as usize - expected).min(200) });
        for call in 0..gone as u128 {
            gate.handle(START + 8, settle(call, 1));
        }
        let left = snapshot(&gate, START + 8).leases.len();
        prop_assert_eq!(left, expected - gone.min(expected) + granted);
        prop_assert_eq!(snapshot(&gate, START + 9).leases.len(), granted);
        prop_assert_eq!(snapshot(&gate, START + 17).leases.len(), 0);
    }

    /// Everybody who waits is served in turn, at once and exactly one for each slot that comes free.
    #[test]
    fn a_queue_is_served_in_order(limit in 1..6_u32, crowd in 1..60_u128, leaves in any::<u64>()) {
        let queue = crs_durable::gate::QueuePolicy { size: 50, timeout_ms: TTL };
        let mut gate = gate(KeyPolicy { concurrency_limit: limit, queue, ..KeyPolicy::default() });
        let mut running: Vec<u128> = vec![];
        let mut waiting: Vec<u128> = vec![];
        for call in 0..crowd {
            match gate.handle(START, Command::Admit(ask(CallId(call), TTL))).reply {
                Reply::Granted { .. } => running.push(call),
                Reply::Queued { position, .. } => {
                    waiting.push(call);
                    prop_assert_eq!(position as usize, waiting.len());
                }
                Reply::Refused(Refusal::QueueFull { .. }) => prop_assert_eq!(waiting.len(), 50),
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(running.len(), (crowd as usize).min(limit as usize));
        waiting.retain(|call| {
            let leaves = leaves >> (call % 64) & 1 == 1;
            if leaves {
                let step = gate.handle(START, Command::Cancel { call: CallId(*call) });
                assert_eq!(step.wake, []);
            }
            !leaves
        });
        let mut served = vec![];
        while let Some(call) = running.pop() {
            let woken = gate.handle(START + 1, settle(call, 1)).wake;
            for CallId(call) in woken {
                served.push(call);
                prop_assert!(is_granted(&mut gate, START + 1, ask(CallId(call), TTL)));
                running.push(call);
            }
        }
        prop_assert_eq!(served, waiting);
    }
}
