//! Every call leaves exactly one event in the store, and is counted once if it settles: whether it settles in
//! time, late or never, whatever is sent twice, and whenever the gate's host dies between two rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crs_durable::gate::{Admit, Command, Event, Gate, KeyPolicy, MoneyLimit, Reply, Usage};
use crs_durable::outbox::{Batch, SendResult};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use crate::world::{START, Table, ask};

const TTL: u64 = 60_000;
const WAIT: u64 = 5_000;

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Admit,
    /// The call of this turn among those that run; its answer may be lost, so that it is sent twice.
    Settle(usize, bool),
    Renew(usize),
    /// Take a batch and write it: the store may be away, or its answer, or ours to the gate, be lost.
    Flush(Luck),
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Luck {
    Good,
    StoreAway,
    AnswerLost,
    GateNotTold,
}

fn acts() -> impl Strategy<Value = Act> {
    let luck = prop_oneof![
        4 => Just(Luck::Good),
        1 => Just(Luck::StoreAway),
        1 => Just(Luck::AnswerLost),
        1 => Just(Luck::GateNotTold),
    ];
    prop_oneof![
        4 => (0..TTL / 3).prop_map(Act::Pass),
        6 => Just(Act::Admit),
        6 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(turn, twice)| Act::Settle(turn, twice)),
        2 => any::<usize>().prop_map(Act::Renew),
        4 => luck.prop_map(Act::Flush),
        2 => Just(Act::Restart),
    ]
}

/// The ledger, as far as it matters here.
#[derive(Default)]
struct Store {
    batches: BTreeSet<u64>,
    events: BTreeMap<CallId, Vec<String>>,
}

impl Store {
    fn write(&mut self, batch: &Batch) {
        if !self.batches.insert(batch.first) {
            return;
        }
        for entry in &batch.entries {
            let held = self.events.entry(entry.call).or_default();
            if !entry.doubtful || held.is_empty() {
                held.push(entry.text.clone());
            }
        }
    }
}

struct World {
    gate: Gate,
    table: Table,
    store: Store,
    now: Millis,
    running: Vec<CallId>,
    /// Calls whose settlement came, in time or not.
    told: u64,
    admitted: u128,
    /// Calls whose settlement came in time.
    settled: BTreeSet<CallId>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            gate: Gate::default(),
            table: Table::default(),
            store: Store::default(),
            now: START,
            running: vec![],
            told: 0,
            admitted: 0,
            settled: BTreeSet::new(),
        };
        let policy = KeyPolicy {
            id: "k".into(),
            name: "key".into(),
            version: 1,
            active: true,
            ..KeyPolicy::default()
        };
        world.say(Command::Learn {
            policy: Some(Arc::new(policy)),
        });
        world
    }

    fn say(&mut self, command: Command) -> Reply {
        let step = self.gate.handle(self.now, command);
        self.table.write(&self.gate, &step.rows);
        step.reply
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pass(by) => self.now += by,
            Act::Admit => {
                let call = CallId(self.admitted);
                self.admitted += 1;
                let admit = Admit {
                    note: Some(format!("note {}", call.0)),
                    ..ask(call, TTL)
                };
                assert!(matches!(self.say(Command::Admit(admit)), Reply::Granted { .. }));
                self.running.push(call);
            }
            Act::Renew(turn) => {
                if let Some(call) = self.turn(*turn) {
                    let note = Some(format!("note {} with more", call.0));
                    self.say(Command::Renew {
                        call,
                        ttl_ms: TTL,
                        note,
                    });
                }
            }
            Act::Settle(turn, twice) => {
                let Some(call) = self.turn(*turn) else { return };
                self.running.retain(|other| *other != call);
                self.told += 1;
                let held = match self.say(Command::Snapshot) {
                    Reply::Snapshot(snapshot) => snapshot.leases.iter().any(|lease| lease.call == call),
                    other => panic!("{other:?}"),
                };
                if held {
                    self.settled.insert(call);
                }
                for again in [false, true].into_iter().take(1 + usize::from(*twice)) {
                    // Each costs one micro-dollar.
                    let usage = Some(Usage {
                        tokens: 0,
                        cost: 1,
                        opus: false,
                    });
                    let event = Some(Event {
                        text: format!("event {}", call.0),
                        wait_ms: WAIT,
                        held: true,
                        again,
                    });
                    self.say(Command::Settle { call, event, usage });
                }
            }
            Act::Flush(luck) => {
                let Reply::Batch(Some(batch)) = self.say(Command::TakeBatch) else {
                    return;
                };
                if *luck != Luck::StoreAway {
                    self.store.write(&batch);
                }
                let sent = match luck {
                    Luck::Good => SendResult::Written,
                    Luck::StoreAway | Luck::AnswerLost => SendResult::Away,
                    Luck::GateNotTold => return,
                };
                self.say(Command::BatchSent {
                    last: batch.last,
                    sent,
                });
            }
            Act::Restart => self.gate = self.table.read(&self.gate),
        }
    }

    fn turn(&self, turn: usize) -> Option<CallId> {
        let count = self.running.len();
        (count > 0).then(|| self.running[turn % count])
    }
}

proptest! {
    #[test]
    fn every_call_leaves_exactly_one_event(acts in prop::collection::vec(acts(), 1..150)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        // Everybody is gone, the store is well, and the host wakes the gate when it asks for it.
        world.gate = world.table.read(&world.gate);
        world.now += TTL;
        for _ in 0..2_000 {
            let step = world.gate.handle(world.now, Command::Snapshot);
            world.table.write(&world.gate, &step.rows);
            let Some(wake_at) = step.wake_at else { break };
            world.now = world.now.max(wake_at);
            world.act(&Act::Flush(Luck::Good));
        }
        let Reply::Snapshot(snapshot) = world.say(Command::Snapshot) else { panic!() };
        prop_assert_eq!((snapshot.events, snapshot.given_up), (0, 0));
        prop_assert_eq!(snapshot.spent[MoneyLimit::Total].spent, world.told, "each is counted once");
        for call in (0..world.admitted).map(CallId) {
            let events = world.store.events.get(&call).cloned().unwrap_or_default();
            prop_assert_eq!(events.len(), 1, "{:?}: {:?}", call, events);
            if world.settled.contains(&call) {
                prop_assert_eq!(&events[0], &format!("event {}", call.0));
            }
        }
        prop_assert_eq!(world.store.events.len() as u128, world.admitted);
    }
}
