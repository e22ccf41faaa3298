//! The gate against a plain model of it.

use std::sync::Arc;

use crs_durable::gate::{Admit, Command, Gate, KeyPolicy, Refusal, Reply, Service, Snapshot};
use crs_durable::{CallId, Machine, Millis, Step};
use proptest::prelude::*;

use crate::world::{Clock, JITTER_MS, Leases, MAX_TTL, Move, Table, moves};

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
    /// The next version of the key's record.
    Change(KeyPolicy),
    /// The state is stored and loaded.
    Restart,
    /// The host died, and all calls with it.
    Death,
}

fn policies() -> impl Strategy<Value = KeyPolicy> {
    let services = prop::sample::subsequence(vec![Service::Claude, Service::Gemini, Service::OpenAi], 0..=2);
    let expiry = prop::option::weighted(0.2, 0..4_000_000_000_000_u64);
    (
        prop::bool::weighted(0.85),
        expiry,
        0..5_u32,
        services,
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(active, expires_at, concurrency_limit, permissions, model_restriction)| KeyPolicy {
                id: "k".into(),
                name: "key".into(),
                version: 0,
                active,
                expires_at,
                concurrency_limit,
                permissions: if permissions.len() == 1 {
                    vec![]
                } else {
                    permissions
                },
                model_restriction,
                restricted_models: vec!["opus".into()],
            },
        )
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..9_u128).prop_map(CallId)
}

fn ttls() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 1..2_000_u64, 6 => 2_000..=MAX_TTL]
}

fn admits() -> impl Strategy<Value = Command> {
    let service = prop_oneof![3 => Just(Service::Claude), 1 => Just(Service::OpenAi)];
    let model = prop_oneof![
        Just(None),
        Just(Some("ccr,Opus".to_owned())),
        Just(Some("haiku".to_owned()))
    ];
    let since = prop_oneof![4 => Just(0), 1 => Just(1)];
    (calls(), service, model, prop::bool::weighted(0.9), ttls(), since).prop_map(
        |(call, service, model, slot, ttl_ms, learned_since)| {
            Command::Admit(Admit {
                call,
                service,
                model,
                slot,
                ttl_ms,
                learned_since,
                note: None,
            })
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    let act = prop_oneof![
        30 => admits().prop_map(Act::Say),
        8 => (calls(), ttls()).prop_map(|(call, ttl_ms)| Act::Say(Command::Renew { call, ttl_ms, note: None })),
        8 => calls().prop_map(|call| Act::Say(Command::Settle { call, event: None })),
        1 => Just(Act::Say(Command::Snapshot)),
        1 => Just(Act::Say(Command::Invalidate)),
        1 => Just(Act::Say(Command::Learn { policy: None })),
        4 => policies().prop_map(Act::Change),
        3 => Just(Act::Restart),
        1 => Just(Act::Death),
    ];
    (moves(), act, prop::bool::weighted(0.2)).prop_map(|(clock, act, lost)| Event { clock, act, lost })
}

struct Model {
    clock: Clock,
    version: u64,
    learned: bool,
    record: Option<KeyPolicy>,
    stale: bool,
    leases: Leases<()>,
    table: Table,
}

impl Model {
    fn verdict(&self, now: Millis, admit: &Admit) -> Result<KeyPolicy, Refusal> {
        let policy = self.record.clone().ok_or(Refusal::UnknownKey)?;
        let expired = policy.expires_at.filter(|at| now >= *at);
        let permitted = policy.permissions.is_empty() || policy.permissions.contains(&admit.service);
        let restricted = policy.model_restriction && admit.model.as_deref() == Some("ccr,Opus");
        let limit = policy.concurrency_limit;
        let others = self
            .leases
            .0
            .iter()
            .filter(|lease| lease.call != admit.call)
            .count();
        let holds = self.leases.get(admit.call).is_some();
        if !policy.active {
            Err(Refusal::Disabled)
        } else if let Some(at) = expired {
            Err(Refusal::Expired { at })
        } else if !permitted {
            Err(Refusal::NotPermitted {
                service: admit.service,
            })
        } else if restricted {
            Err(Refusal::ModelRestricted {
                model: "ccr,Opus".into(),
            })
        } else if admit.slot && !holds && limit > 0 && others >= limit as usize {
            Err(Refusal::ConcurrencyFull {
                limit,
                retry_after_ms: 0,
            })
        } else {
            Ok(policy)
        }
    }

    /// What the gate must have answered, and what it must be like then.
    fn check(&mut self, now: Millis, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Learn { policy }, Reply::Done) => {
                self.record = policy.as_deref().cloned();
                (self.learned, self.stale) = (true, false);
            }
            (Command::Admit(admit), Reply::NeedPolicy) => {
                assert!(!self.learned || admit.learned_since > 0, "the old record must do");
            }
            (Command::Admit(admit), reply) => {
                assert!(self.learned, "nothing was ever learned");
                assert!(!self.stale || admit.learned_since == 0, "the record is stale");
                match (self.verdict(now, admit), reply) {
                    (Ok(expected), Reply::Granted { policy }) => {
                        assert_eq!(expected, **policy);
                        let holds = self.leases.get(admit.call).is_some();
                        let limit = expected.concurrency_limit as usize;
                        if admit.slot && !self.leases.renew(&self.clock, now, admit.call, admit.ttl_ms) {
                            self.leases.put(&self.clock, now, admit.call, admit.ttl_ms, ());
                        }
                        assert!(holds || !admit.slot || limit == 0 || self.leases.0.len() <= limit);
                    }
                    (
                        Err(Refusal::ConcurrencyFull { limit: expected, .. }),
                        Reply::Refused(Refusal::ConcurrencyFull {
                            limit,
                            retry_after_ms,
                        }),
                    ) => {
                        assert_eq!(expected, *limit);
                        assert!((1_000..=5_000).contains(retry_after_ms));
                        let first = self.leases.0.iter().map(|lease| lease.end.until - now).min();
                        assert!(first.is_some_and(|first| *retry_after_ms <= first.max(1_000)));
                    }
                    (Err(expected), Reply::Refused(refusal)) => {
                        assert_eq!(&expected, refusal);
                        self.leases.free(admit.call);
                    }
                    (expected, reply) => panic!("expected {expected:?}, got {reply:?}"),
                }
            }
            (Command::Renew { call, ttl_ms, .. }, Reply::Done) => {
                self.leases.renew(&self.clock, now, *call, *ttl_ms);
            }
            (Command::Settle { call, .. }, Reply::Done) => _ = self.leases.free(*call),
            (Command::Invalidate, Reply::Done) => self.stale = true,
            (Command::Snapshot, Reply::Snapshot(_)) => {}
            (command, reply) => panic!("{command:?} was answered by {reply:?}"),
        }
    }
}

/// Without touching it.
fn snapshot(gate: &Gate, at: Millis) -> Snapshot {
    match gate.clone().handle(at, Command::Snapshot).reply {
        Reply::Snapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

/// One command, and everything that must hold after any command.
fn step(gate: &mut Gate, model: &mut Model, command: Command) -> Step<Reply> {
    let at = model.clock.reading;
    let before = snapshot(gate, at);
    let (now, set_back) = model.clock.now();
    model.leases.begin(now, set_back);
    let step = gate.handle(at, command.clone());
    model.check(now, &command, &step.reply);
    let after = snapshot(gate, at);
    assert_eq!(after.leases, model.leases.shown(|()| true), "after {command:?}");
    assert_eq!(after.policy.as_deref(), model.record.as_ref());
    assert!(
        step.changes.leases || before.leases == after.leases,
        "untold: {command:?}"
    );
    assert!(
        step.changes.lasting || before.policy == after.policy,
        "untold: {command:?}"
    );
    let first = model.leases.0.iter().map(|lease| lease.end.until).min();
    assert!(
        first.is_none_or(|first| step.wake_at.is_some_and(|at| at <= first)),
        "woken too late"
    );
    assert!(
        first.is_some() || step.wake_at.is_none_or(|at| at <= now),
        "woken for nothing"
    );
    model.leases.none_outlives_its_ttl(&model.clock);
    model.table.write(gate, &step.rows);
    assert_eq!(snapshot(&model.table.read(gate), at), after);
    step
}

fn run(events: Vec<Event>, last: Move) {
    let mut gate = Gate::default();
    let mut model = Model {
        clock: Clock::new(),
        version: 0,
        learned: false,
        record: None,
        stale: false,
        leases: Leases(vec![]),
        table: Table::default(),
    };
    for Event { clock, act, lost } in events {
        model.clock.moves(clock);
        let command = match act {
            Act::Say(command) => command,
            Act::Change(policy) => {
                model.version += 1;
                let policy = Arc::new(KeyPolicy {
                    version: model.version,
                    ..policy
                });
                Command::Learn { policy: Some(policy) }
            }
            Act::Restart => {
                let kept = serde_json::to_string(&gate).unwrap();
                gate = serde_json::from_str(&kept).unwrap();
                assert_eq!(serde_json::to_string(&gate).unwrap(), kept);
                gate = model.table.read(&gate);
                continue;
            }
            Act::Death => {
                gate = gate.resumed();
                model.table = Table::of(&gate, &model.table);
                model.leases.0.clear();
                model.stale = true;
                continue;
            }
        };
        let first = step(&mut gate, &mut model, command.clone());
        if lost {
            let shown = snapshot(&gate, model.clock.reading);
            let second = step(&mut gate, &mut model, command);
            assert_eq!(first.reply, second.reply);
            assert_eq!(shown, snapshot(&gate, model.clock.reading));
        }
    }
    // All clients are gone. Whatever the clock does now, one TTL later nothing is held.
    model.clock.moves(last);
    step(&mut gate, &mut model, Command::Snapshot);
    model.clock.moves(Move::Pass(MAX_TTL + JITTER_MS));
    step(&mut gate, &mut model, Command::Snapshot);
    assert_eq!(snapshot(&gate, model.clock.reading).leases, []);
}

proptest! {
    #[test]
    fn a_gate_is_what_it_promises(events in prop::collection::vec(events(), 1..120), last in moves()) {
        run(events, last);
    }

    #[test]
    fn a_crowd_gets_exactly_the_limit(limit in 0..260_u32, gone in 0..200_usize, lost in any::<u64>()) {
        let mut gate = Gate::default();
        let policy = KeyPolicy {
            id: "k".into(),
            name: "key".into(),
            version: 1,
            active: true,
            expires_at: None,
            concurrency_limit: limit,
            permissions: vec![],
            model_restriction: false,
            restricted_models: vec![],
        };
        let at = Clock::new().reading;
        gate.handle(at, Command::Learn { policy: Some(Arc::new(policy)) });
        let mut admit = |call, at| {
            let service = Service::Claude;
            let admit = Admit { call: CallId(call), service, model: None, slot: true, ttl_ms: 9, learned_since: 1, note: None };
            let mut granted = matches!(gate.handle(at, Command::Admit(admit.clone())).reply, Reply::Granted { .. });
            if lost >> (call % 64) & 1 == 1 {
                granted = matches!(gate.handle(at, Command::Admit(admit)).reply, Reply::Granted { .. });
            }
            granted
        };
        let expected = if limit == 0 { 200 } else { 200.min(limit as usize) };
        prop_assert_eq!((0..200).filter(|call| admit(*call, at)).count(), expected);
        // Some settle, the others vanish.
        let granted = (1_000..1_200).filter(|call| admit(*call, at + 8)).count();
        prop_assert_eq!(granted, if limit == 0 { 200 } else { (limit as usize - expected).min(200) });
        for call in 0..gone as u128 {
            gate.handle(at + 8, Command::Settle { call: CallId(call), event: None });
        }
        let left = snapshot(&gate, at + 8).leases.len();
        prop_assert_eq!(left, expected - gone.min(expected) + granted);
        prop_assert_eq!(snapshot(&gate, at + 9).leases.len(), granted);
        prop_assert_eq!(snapshot(&gate, at + 17).leases.len(), 0);
    }
}
