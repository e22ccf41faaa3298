//! A store, its readers, and an operator who changes what is in it: how long can an old record decide?

use std::sync::Arc;

use crs_durable::gate::{self, Gate, KeyPolicy, Refusal};
use crs_durable::pool::{self, AccountPolicy, Pool};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use crate::world::{START, ask};

/// No reader is slower than this from its read to its `Learn`.
const SLOW_MS: u64 = 5_000;

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    /// A reader reads the store.
    Read(usize),
    /// It tells the machine what it read.
    Deliver(usize),
    /// The operator changes the record, deletes or restores it, and says so in one of two ways.
    Write {
        exists: bool,
        brings: bool,
    },
    /// A call asks, and does what a host does.
    Ask,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..=2 * SLOW_MS).prop_map(Act::Pass),
        4 => (0..4_usize).prop_map(Act::Read),
        4 => (0..4_usize).prop_map(Act::Deliver),
        2 => (prop::bool::weighted(0.7), any::<bool>())
            .prop_map(|(exists, brings)| Act::Write { exists, brings }),
        6 => Just(Act::Ask),
    ]
}

#[derive(Debug, PartialEq)]
enum Answer {
    /// It asks for the record.
    Asks,
    /// It decides by the record of this version, or by there being none.
    Decides(Option<u64>),
}

/// A machine that decides by one record. The record is known by its version.
trait Subject: Default {
    /// Whether an operator who brings a changed record himself is believed at once and for good.
    const BELIEVES: bool;

    /// `None`: the store holds no record.
    fn learn(&mut self, now: Millis, version: Option<u64>);
    fn invalidate(&mut self, now: Millis);
    fn ask(&mut self, now: Millis) -> Answer;
}

impl Subject for Gate {
    const BELIEVES: bool = true;

    fn learn(&mut self, now: Millis, version: Option<u64>) {
        let policy = version.map(|version| {
            Arc::new(KeyPolicy {
                id: "k".into(),
                name: "key".into(),
                version,
                active: true,
                ..KeyPolicy::default()
            })
        });
        self.handle(now, gate::Command::Learn { policy });
    }

    fn invalidate(&mut self, now: Millis) {
        self.handle(now, gate::Command::Invalidate);
    }

    fn ask(&mut self, now: Millis) -> Answer {
        let admit = gate::Admit {
            slot: false,
            ..ask(CallId(1), 0)
        };
        match self.handle(now, gate::Command::Admit(admit)).reply {
            gate::Reply::NeedPolicy => Answer::Asks,
            gate::Reply::Granted { policy, .. } => Answer::Decides(Some(policy.version)),
            gate::Reply::Refused(Refusal::UnknownKey) => Answer::Decides(None),
            other => panic!("{other:?}"),
        }
    }
}

impl Subject for Pool {
    const BELIEVES: bool = false;

    fn learn(&mut self, now: Millis, version: Option<u64>) {
        let account = version.map(|version| AccountPolicy {
            id: "a".into(),
            priority: u32::try_from(version).unwrap(),
            credential_version: 1,
            ..AccountPolicy::default()
        });
        self.handle(
            now,
            pool::Command::Learn {
                roster: account.into_iter().collect(),
            },
        );
    }

    fn invalidate(&mut self, now: Millis) {
        self.handle(now, pool::Command::Invalidate);
    }

    fn ask(&mut self, now: Millis) -> Answer {
        let pick = pool::Pick {
            learned_since: 1,
            ..pool::Pick::of(CallId(1), 0)
        };
        match self.handle(now, pool::Command::Pick(pick)).reply {
            pool::Reply::NeedRoster => Answer::Asks,
            pool::Reply::NobodyLeft { .. } => Answer::Decides(None),
            pool::Reply::Picked { .. } => match self.handle(now, pool::Command::Snapshot).reply {
                pool::Reply::Snapshot(snapshot) => {
                    Answer::Decides(Some(snapshot.accounts[0].policy.priority.into()))
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Default)]
struct World<S> {
    now: Millis,
    machine: S,
    /// Every state of the store: when the machine was told of it, and the record's version.
    states: Vec<(Millis, Option<u64>)>,
    /// When it read, and which state.
    readers: [Option<(Millis, usize)>; 4],
    /// The newest version an operator brought himself.
    brought: Option<u64>,
}

impl<S: Subject> World<S> {
    fn learn(&mut self, state: usize) {
        self.machine.learn(self.now, self.states[state].1);
    }

    /// What a host does: asks, reads if it must, asks again.
    fn decision(&mut self) -> Option<u64> {
        if let Answer::Decides(decision) = self.machine.ask(self.now) {
            return decision;
        }
        self.learn(self.states.len() - 1);
        match self.machine.ask(self.now) {
            Answer::Decides(decision) => decision,
            Answer::Asks => panic!("what was just read does not decide"),
        }
    }

    /// The store was like that a moment ago, or still is. What a slow reader brought at the last moment
    /// decides for as long again.
    fn check(&self, decision: Option<u64>) {
        let old = self.now - 2 * SLOW_MS;
        let first = self
            .states
            .iter()
            .rposition(|(told, _)| *told <= old)
            .unwrap_or(0);
        assert!(
            self.states[first..]
                .iter()
                .any(|(_, version)| *version == decision),
            "{decision:?} decides"
        );
        let undone = S::BELIEVES && decision.is_some() && decision < self.brought;
        assert!(!undone, "an operator's own word was undone by {decision:?}");
    }
}

fn run<S: Subject>(acts: Vec<Act>) {
    let mut world = World::<S> {
        now: START,
        states: vec![(0, Some(1))],
        ..World::default()
    };
    let mut version = 1;
    for act in acts {
        match act {
            Act::Pass(by) => {
                world.now += by;
                let now = world.now;
                // Such a reader would have given up.
                let slow = |read: Millis| now - read >= SLOW_MS;
                world
                    .readers
                    .iter_mut()
                    .for_each(|reader| _ = reader.take_if(|(read, _)| slow(*read)));
            }
            Act::Read(reader) => world.readers[reader] = Some((world.now, world.states.len() - 1)),
            Act::Deliver(reader) => {
                if let Some((_, state)) = world.readers[reader].take() {
                    world.learn(state);
                }
            }
            Act::Write { exists, brings } => {
                version += 1;
                let record = exists.then_some(version);
                world.states.push((world.now, record));
                if brings {
                    world.learn(world.states.len() - 1);
                    world.brought = world.brought.max(record);
                } else {
                    world.machine.invalidate(world.now);
                }
            }
            Act::Ask => {
                let decision = world.decision();
                world.check(decision);
            }
        }
    }
    // In the end everybody has the truth.
    world.now += SLOW_MS;
    assert_eq!(
        world.decision(),
        world.states.last().and_then(|(_, version)| *version)
    );
}

proptest! {
    #[test]
    fn an_old_key_decides_no_longer_than_a_reader_may_need(acts in prop::collection::vec(acts(), 1..60)) {
        run::<Gate>(acts);
    }

    #[test]
    fn an_old_roster_decides_no_longer_than_a_reader_may_need(acts in prop::collection::vec(acts(), 1..60)) {
        run::<Pool>(acts);
    }
}
