//! The gate against a plain model of it.

mod acts;
mod money;
mod plain;

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_durable::gate::{
    Admit, Command, Estimate, Gate, KeyPolicy, LeaseSnapshot, MoneyLimit, PerLimit, Reply, SeedSpend,
    Snapshot,
};
use crs_durable::{CallId, Machine, Millis, Step};
use proptest::prelude::*;

use self::acts::{Act, Event, events, policies};
use self::plain::Plain;
use crate::world::{JITTER_MS, MAX_TTL, Move, Table, moves};

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
    let spent = snapshot.spent.map(|_, sum| (sum.spent, sum.resets_at, sum.known));
    (snapshot.policy.clone(), snapshot.activated_at, window, spent)
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
    // The rest is for work that goes on after its call.
    assert!(after.spent[MoneyLimit::Total].reserved >= after.leases.iter().map(cost).sum::<u64>());
    assert!(
        after
            .leases
            .iter()
            .all(|lease| !lease.offered || cost(lease) == 0)
    );
}

/// A gate with its host, and the model it is held to.
struct World {
    gate: Gate,
    model: Plain,
    table: Table,
    /// The key's record in the store.
    stored: Option<Arc<KeyPolicy>>,
    version: u64,
    /// Until when calls were told to wait.
    told: BTreeMap<CallId, Millis>,
}

impl World {
    fn new() -> Self {
        Self {
            gate: Gate::default(),
            model: Plain::new(),
            table: Table::default(),
            stored: None,
            version: 0,
            told: BTreeMap::new(),
        }
    }

    fn shown(&self) -> Snapshot {
        snapshot(&self.gate, self.model.clock.reading)
    }

    /// One command, and everything that must hold after any command.
    fn step(&mut self, command: Command) -> Step<Reply> {
        let Self {
            gate, model, table, ..
        } = self;
        let at = model.clock.reading;
        let before = snapshot(gate, at);
        let now = model.begin();
        let step = gate.handle(at, command.clone());
        model.check(now, &command, &step.reply);
        model.offer_slots(now);
        model.wake_waiters(now, &step.wake);
        assert_eq!(step.wake, std::mem::take(&mut model.woken), "after {command:?}");
        let after = snapshot(gate, at);
        assert_eq!(after, model.clone().shown(), "after {command:?}");
        sound(&before, &after, &command);
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
        let resumed = snapshot(&table.resumed(gate), at);
        assert!(lasting(&resumed) == lasting(&after), "forgotten: {command:?}");
        step
    }

    /// A command whose reply may be lost.
    fn say(&mut self, mut command: Command, lost: bool) -> Reply {
        if let (true, Command::Admit(admit)) = (lost, &mut command) {
            // A lease that has ended when the command is repeated is another matter.
            admit.ttl_ms = admit.ttl_ms.max(1);
        }
        let first = self.step(command.clone()).reply;
        if let (Command::Admit(admit), Reply::Queued { until, .. }) = (&command, &first) {
            self.told.insert(admit.call, *until);
        }
        if lost {
            let shown = self.shown();
            let second = self.step(command).reply;
            // Whoever is refused leaves the queue, and may hear of that the second time.
            let refused = |reply: &Reply| matches!(reply, Reply::Refused(_));
            assert!(first == second || (refused(&first) && refused(&second)));
            assert_eq!(shown, self.shown());
        }
        first
    }

    /// The next version of the record is stored, and the gate is told.
    fn change(&mut self, policy: KeyPolicy, activation_stored: bool, lost: bool) {
        self.version += 1;
        self.stored = Some(Arc::new(KeyPolicy {
            version: self.version,
            activated_at: self.shown().activated_at.filter(|_| activation_stored),
            ..policy
        }));
        let policy = self.stored.clone();
        self.say(Command::Learn { policy }, lost);
    }

    /// As a host does it.
    fn admit(&mut self, admit: Admit, lost: bool, store: bool) {
        for _ in 0..3 {
            let needed = match self.say(Command::Admit(admit.clone()), lost) {
                Reply::NeedPolicy => Command::Learn {
                    policy: self.stored.clone(),
                },
                Reply::NeedSpend => Command::SeedSpend(SeedSpend {
                    spent: PerLimit::these(MoneyLimit::ALL.into_iter().zip([9, 19, 5, 40, 90])),
                    as_of: self.model.clock.reading,
                }),
                _ => return,
            };
            if !store {
                return;
            }
            self.say(needed, lost);
        }
    }

    /// Of the calls that wait or are offered a slot, the one of this turn.
    fn comes(&self, turn: usize) -> Option<CallId> {
        let shown = self.shown();
        let offered = shown.leases.iter().filter(|lease| lease.offered);
        let waiting = shown.waiters.iter().map(|waiter| waiter.call);
        let mut all: Vec<_> = offered.map(|lease| lease.call).chain(waiting).collect();
        all.extend(self.told.keys());
        (!all.is_empty()).then(|| all[turn % all.len()])
    }

    fn act(&mut self, event: Event) {
        let Event {
            clock,
            act,
            lost,
            store,
        } = event;
        self.model.clock.moves(clock);
        match act {
            Act::Say(Command::Admit(admit)) => self.admit(admit, lost, store),
            Act::Say(command) => {
                if let Command::Learn { policy } = &command {
                    self.stored.clone_from(policy);
                }
                self.say(command, lost);
            }
            Act::Come(admit, turn) => {
                let call = self.comes(turn).unwrap_or(admit.call);
                let queued_until = self.told.get(&call).copied();
                let admit = Admit {
                    call,
                    queued_until,
                    ..admit
                };
                self.admit(admit, lost, store);
            }
            Act::Change(policy, activation_stored) => self.change(policy, activation_stored, lost),
            Act::Restart => {
                let kept = serde_json::to_string(&self.gate).unwrap();
                self.gate = serde_json::from_str(&kept).unwrap();
                assert_eq!(serde_json::to_string(&self.gate).unwrap(), kept);
                self.gate = self.table.read(&self.gate);
                self.model.reader = None;
            }
            Act::Death => {
                self.gate = self.gate.clone().resumed();
                self.table = Table::of(&self.gate, &self.table);
                self.model.death();
            }
        }
    }
}

fn run(first: KeyPolicy, events: Vec<Event>, last: Move) {
    let mut world = World::new();
    world.change(first, false, false);
    for event in events {
        world.act(event);
    }
    // All clients are gone. Whatever the clock does now, one TTL later nothing is held.
    world.model.clock.moves(last);
    world.step(Command::Snapshot);
    world.model.clock.moves(Move::Pass(MAX_TTL + JITTER_MS));
    world.step(Command::Snapshot);
    let left = world.shown();
    assert_eq!((left.leases, left.waiters), (vec![], vec![]));
    let reserved = left.spent.map(|_, sum| sum.reserved);
    assert_eq!(reserved, PerLimit::default());
    let of_window = left.window.map(|window| window.reserved);
    assert!(of_window.is_none_or(|reserved| reserved == Estimate::default()));
}

proptest! {
    #[test]
    fn a_gate_is_what_it_promises(
        first in policies(),
        events in prop::collection::vec(events(), 1..120),
        last in moves(),
    ) {
        run(first, events, last);
    }
}
