//! The gate against a plain model of it.

mod money;
mod plain;

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_durable::gate::{
    Admit, Command, Estimate, Gate, KeyPolicy, LeaseSnapshot, Limits, ModelMode, QueuePolicy, Reply,
    SeedSpend, Service, Snapshot, Spent, Usage,
};
use crs_durable::{CallId, Machine, Millis, Step};
use proptest::prelude::*;

use self::plain::Plain;
use crate::world::{JITTER_MS, MAX_TTL, Move, START, Table, ask, moves};

/// What somebody does, with the time that goes before.
#[derive(Clone, Debug)]
struct Event {
    clock: Move,
    act: Act,
    /// The reply was lost: the command is sent again.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Act {
    Say(Command),
    /// A call asks again that was told until when it waits.
    AskAgain(Admit),
    /// The next version of the key's record. The store may know when the key was first used.
    Change(KeyPolicy, bool),
    /// The state is stored and loaded.
    Restart,
    /// The host died, and all calls with it.
    Death,
}

fn limits() -> impl Strategy<Value = Limits> {
    // Mostly none, so that the others are seen.
    let limit = || prop_oneof![4 => Just(0), 1 => 1..150_u64];
    let window = (
        prop_oneof![2 => Just(0), 1 => 1..4_u64],
        prop_oneof![Just(0), 1..6_u64],
        limit(),
        limit(),
    );
    let calendar = (0..9_u8, 0..26_u8, -800..900_i32);
    let sometimes = prop_oneof![1 => Just((1, 0, 0)), 1 => calendar];
    (window, (limit(), limit(), limit(), limit()), sometimes).prop_map(
        |((minutes, requests, tokens, cost), (day, week, opus, total), (reset_day, hour, offset))| Limits {
            rate_limit_window_minutes: minutes,
            rate_limit_requests: requests,
            rate_limit_tokens: tokens,
            rate_limit_cost: cost,
            daily_cost_limit: day,
            weekly_cost_limit: week,
            weekly_opus_cost_limit: opus,
            total_cost_limit: total * 4,
            weekly_reset_day: reset_day,
            weekly_reset_hour: hour,
            utc_offset_minutes: offset,
        },
    )
}

fn policies() -> impl Strategy<Value = KeyPolicy> {
    let permissions = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![Service::Claude]),
        1 => Just(vec![Service::Gemini, Service::OpenAi])
    ];
    let clients = prop_oneof![
        6 => Just(None),
        1 => Just(Some(vec![])),
        2 => Just(Some(vec!["Claude_Code".to_owned()]))
    ];
    let expiry = prop::option::weighted(0.1, 0..4_000_000_000_000_u64);
    let valid_for_ms = prop_oneof![3 => Just(0), 1 => 1..8_000_000_u64, 1 => 1..2_000_000_000_u64];
    let queue = prop_oneof![1 => (0..2_u32, 0..2_u64), 3 => (1..5_u32, 1..=MAX_TTL)];
    let models = (prop::bool::weighted(0.2), prop::bool::ANY);
    (
        (prop::bool::weighted(0.9), expiry, valid_for_ms, 0..5_u32),
        (queue, permissions, clients, models),
        limits(),
    )
        .prop_map(
            |(
                (active, expires_at, valid_for_ms, concurrency_limit),
                ((size, timeout_ms), permissions, allowed_clients, (model_restriction, allow)),
                limits,
            )| KeyPolicy {
                id: "k".into(),
                name: "key".into(),
                version: 0,
                active,
                expires_at,
                valid_for_ms,
                activated_at: None,
                concurrency_limit,
                queue: QueuePolicy { size, timeout_ms },
                permissions,
                allowed_clients,
                model_restriction,
                model_mode: if allow { ModelMode::Allow } else { ModelMode::Deny },
                restricted_models: vec!["opus".into()],
                limits,
            },
        )
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..12_u128).prop_map(CallId)
}

fn ttls() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 1..2_000_u64, 8 => 2_000..=MAX_TTL]
}

fn admits() -> impl Strategy<Value = Admit> {
    let service = prop_oneof![5 => Just(Service::Claude), 1 => Just(Service::OpenAi)];
    let model = prop_oneof![
        Just(None),
        Just(Some("ccr,Opus".to_owned())),
        Just(Some("haiku".to_owned()))
    ];
    let client = prop_oneof![1 => Just(None), 2 => Just(Some("claude_code".to_owned()))];
    let estimate = prop::option::weighted(0.7, (0..80_u64, 0..40_u64));
    let since = prop_oneof![2 => Just(0), 3 => Just(1)];
    (
        (calls(), service, model, client),
        (any::<bool>(), prop::bool::weighted(0.9), estimate),
        (ttls(), since),
    )
        .prop_map(
            |((call, service, model, client), (opus, slot, estimate), (ttl_ms, learned_since))| Admit {
                service,
                model,
                client,
                opus,
                slot,
                estimate: estimate.map(|(tokens, cost)| Estimate { tokens, cost }),
                learned_since,
                ..ask(call, ttl_ms)
            },
        )
}

fn settles() -> impl Strategy<Value = Command> {
    let usage =
        (0..120_u64, 0..60_u64, any::<bool>()).prop_map(|(tokens, cost, opus)| Usage { tokens, cost, opus });
    (calls(), prop::option::weighted(0.8, usage)).prop_map(|(call, usage)| Command::Settle {
        call,
        event: None,
        usage,
    })
}

fn seeds() -> impl Strategy<Value = Command> {
    let sum = || 0..100_u64;
    (sum(), sum(), sum(), sum(), -2_000_000_000..2_000_000_000_i64).prop_map(
        |(day, week, week_opus, total, off)| {
            Command::SeedSpend(SeedSpend {
                day,
                week,
                week_opus,
                total,
                as_of: START.saturating_add_signed(off),
            })
        },
    )
}

fn resets() -> impl Strategy<Value = Command> {
    let which = vec![
        Spent::Window,
        Spent::Day,
        Spent::Week,
        Spent::WeekOpus,
        Spent::Total,
        Spent::All,
    ];
    prop::sample::select(which).prop_map(|which| Command::ResetSpend { which })
}

fn events() -> impl Strategy<Value = Event> {
    let act = prop_oneof![
        30 => admits().prop_map(|admit| Act::Say(Command::Admit(admit))),
        8 => admits().prop_map(Act::AskAgain),
        6 => (calls(), ttls()).prop_map(|(call, ttl_ms)| Act::Say(Command::Renew { call, ttl_ms, note: None })),
        14 => settles().prop_map(Act::Say),
        4 => calls().prop_map(|call| Act::Say(Command::Cancel { call })),
        1 => Just(Act::Say(Command::Snapshot)),
        1 => Just(Act::Say(Command::Invalidate)),
        1 => Just(Act::Say(Command::Learn { policy: None })),
        1 => seeds().prop_map(Act::Say),
        1 => resets().prop_map(Act::Say),
        4 => (policies(), any::<bool>()).prop_map(|(policy, stored)| Act::Change(policy, stored)),
        3 => Just(Act::Restart),
        1 => Just(Act::Death),
    ];
    (moves(), act, prop::bool::weighted(0.2)).prop_map(|(clock, act, lost)| Event { clock, act, lost })
}

/// Without touching it.
fn snapshot(gate: &Gate, at: Millis) -> Snapshot {
    match gate.clone().handle(at, Command::Snapshot).reply {
        Reply::Snapshot(snapshot) => *snapshot,
        other => panic!("{other:?}"),
    }
}

fn slots(snapshot: &Snapshot) -> usize {
    snapshot.leases.iter().filter(|lease| lease.slot).count()
}

/// What of a snapshot a restart must not forget.
fn lasting(snapshot: &Snapshot) -> impl PartialEq {
    let window = snapshot.window.clone().map(|mut window| {
        window.reserved = Estimate::default();
        window
    });
    let sums = [
        &snapshot.day,
        &snapshot.week,
        &snapshot.week_opus,
        &snapshot.total,
    ];
    let spent = sums.map(|sum| (sum.spent, sum.resets_at));
    (
        snapshot.policy.clone(),
        snapshot.activated_at,
        window,
        spent,
        snapshot.seeded,
    )
}

/// Invariants that can be told by what is shown.
fn sound(before: &Snapshot, after: &Snapshot, command: &Command) {
    let policy = after.policy.as_deref().filter(|policy| policy.active);
    let limit = policy.map_or(0, |policy| policy.concurrency_limit as usize);
    let more = slots(after) > slots(before);
    assert!(
        !more || limit == 0 || slots(after) <= limit,
        "too many after {command:?}"
    );
    if !after.waiters.is_empty() {
        assert!(
            limit > 0 && slots(after) >= limit,
            "somebody waits in vain: {command:?}"
        );
    }
    // Nobody is overtaken: those who waited and still do are in their order, before all others.
    let stay = |waiter: &&_| before.waiters.contains(waiter);
    let stayed: Vec<_> = after.waiters.iter().take_while(stay).collect();
    let before_in_order: Vec<_> = before
        .waiters
        .iter()
        .filter(|waiter| stayed.contains(waiter))
        .collect();
    assert_eq!(stayed, before_in_order, "after {command:?}");
    assert!(
        !after
            .waiters
            .iter()
            .skip(stayed.len())
            .any(|waiter| stay(&waiter))
    );
    let cost = |lease: &LeaseSnapshot| lease.reserved.cost;
    assert_eq!(after.total.reserved, after.leases.iter().map(cost).sum::<u64>());
    assert!(
        after
            .leases
            .iter()
            .all(|lease| !lease.offered || cost(lease) == 0)
    );
}

/// One command, and everything that must hold after any command.
fn step(gate: &mut Gate, model: &mut Plain, table: &mut Table, command: Command) -> Step<Reply> {
    let at = model.clock.reading;
    let before = snapshot(gate, at);
    let now = model.begin();
    let step = gate.handle(at, command.clone());
    model.check(now, &command, &step.reply);
    model.offer_slots(now);
    assert_eq!(step.wake, std::mem::take(&mut model.woken), "after {command:?}");
    let after = snapshot(gate, at);
    assert_eq!(after, model.clone().shown(), "after {command:?}");
    sound(&before, &after, &command);
    let same = before.leases == after.leases && before.waiters == after.waiters;
    assert!(step.changes.leases || same, "untold: {command:?}");
    let same = lasting(&before) == lasting(&after);
    assert!(step.changes.lasting || same, "untold: {command:?}");
    let first = model.first_end();
    assert!(
        first.is_none_or(|first| step.wake_at.is_some_and(|at| at <= first)),
        "woken too late"
    );
    assert!(
        first.is_some() || step.wake_at.is_none_or(|at| at <= now),
        "woken for nothing"
    );
    table.write(gate, &step.rows);
    assert_eq!(snapshot(&table.read(gate), at), after);
    step
}

fn run(events: Vec<Event>, last: Move) {
    let mut gate = Gate::default();
    let mut model = Plain::new();
    let mut table = Table::default();
    let mut version = 0;
    let mut told = BTreeMap::new();
    for Event { clock, act, lost } in events {
        model.clock.moves(clock);
        let mut command = match act {
            Act::Say(command) => command,
            Act::AskAgain(admit) => Command::Admit(Admit {
                queued_until: told.get(&admit.call).copied(),
                ..admit
            }),
            Act::Change(policy, stored) => {
                version += 1;
                let activated_at = snapshot(&gate, model.clock.reading).activated_at;
                let policy = Arc::new(KeyPolicy {
                    version,
                    activated_at: activated_at.filter(|_| stored),
                    ..policy
                });
                Command::Learn { policy: Some(policy) }
            }
            Act::Restart => {
                let kept = serde_json::to_string(&gate).unwrap();
                gate = serde_json::from_str(&kept).unwrap();
                assert_eq!(serde_json::to_string(&gate).unwrap(), kept);
                gate = table.read(&gate);
                continue;
            }
            Act::Death => {
                gate = gate.resumed();
                table = Table::of(&gate, &table);
                model.death();
                continue;
            }
        };
        if let (true, Command::Admit(admit)) = (lost, &mut command) {
            // A lease that has ended when the command is repeated is another's matter.
            admit.ttl_ms = admit.ttl_ms.max(1);
        }
        let first = step(&mut gate, &mut model, &mut table, command.clone());
        if let (Command::Admit(admit), Reply::Queued { until, .. }) = (&command, &first.reply) {
            told.insert(admit.call, *until);
        }
        if lost {
            let shown = snapshot(&gate, model.clock.reading);
            let second = step(&mut gate, &mut model, &mut table, command);
            // Whoever is refused leaves the queue, and may hear of that the second time.
            let refused = |step: &Step<Reply>| matches!(step.reply, Reply::Refused(_));
            assert!(first.reply == second.reply || (refused(&first) && refused(&second)));
            assert_eq!(shown, snapshot(&gate, model.clock.reading));
        }
    }
    // All clients are gone. Whatever the clock does now, one TTL later nothing is held.
    model.clock.moves(last);
    step(&mut gate, &mut model, &mut table, Command::Snapshot);
    model.clock.moves(Move::Pass(MAX_TTL + JITTER_MS));
    step(&mut gate, &mut model, &mut table, Command::Snapshot);
    let left = snapshot(&gate, model.clock.reading);
    assert_eq!((left.leases, left.waiters), (vec![], vec![]));
    let reserved = [left.day, left.week, left.week_opus, left.total].map(|sum| sum.reserved);
    assert_eq!(reserved, [0; 4]);
    assert!(
        left.window
            .is_none_or(|window| window.reserved == Estimate::default())
    );
}

proptest! {
    #[test]
    fn a_gate_is_what_it_promises(events in prop::collection::vec(events(), 1..120), last in moves()) {
        run(events, last);
    }
}
