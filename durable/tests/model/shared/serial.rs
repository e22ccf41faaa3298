//! As long as the home answers, several processes are one.

use std::collections::BTreeMap;

use crs_durable::gate::{Admit, Command, Estimate, Gate, KeyPolicy, Limits, QueuePolicy, Reply, Usage};
use crs_durable::pool::{self, AccountPolicy, Pick, Pool, Report};
use crs_durable::rows::Row;
use crs_durable::shared::{NextAction, Outcome, Request, Shared, SharedMachine};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use super::home::Home;
use crate::world::{START, ask};

const PROCESSES: usize = 3;

#[derive(Clone, Debug)]
enum Act<C> {
    Say(usize, C),
    /// The process's request reaches the home, and the answer the process.
    Deliver(usize),
    Pass(u64),
}

struct World<M: SharedMachine> {
    home: Home,
    processes: Vec<Shared<M>>,
    /// On their way, with the time at which they were tried.
    sent: Vec<Option<(Request, Millis)>>,
    reference: M,
    now: Millis,
    names: u128,
    tickets: BTreeMap<u64, bool>,
}

impl<M> World<M>
where
    M: SharedMachine + Clone,
    M::Command: Clone + std::fmt::Debug,
    M::Reply: serde::Serialize,
{
    fn new(first: M::Command) -> Self {
        let mut world = Self {
            // Few versions are remembered, so that copies are left behind.
            home: Home::new(6),
            processes: (0..PROCESSES).map(|_| Shared::default()).collect(),
            sent: vec![None; PROCESSES],
            reference: M::default(),
            now: START,
            names: 0,
            tickets: BTreeMap::new(),
        };
        world.say(0, first);
        world.settle();
        world
    }

    fn say(&mut self, process: usize, command: M::Command) {
        let ticket = self.tickets.len() as u64;
        self.tickets.insert(ticket, false);
        self.processes[process].submit(ticket, command);
        self.begin(process);
    }

    fn begin(&mut self, process: usize) {
        self.names += 1;
        match self.processes[process].begin(self.now, self.names) {
            NextAction::Send(request) => {
                assert!(self.sent[process].is_none());
                self.sent[process] = Some((request, self.now));
            }
            NextAction::Nothing => {}
            NextAction::Decided(_) => panic!("the home is there"),
        }
    }

    fn deliver(&mut self, process: usize) {
        let Some((request, tried)) = self.sent[process].take() else {
            return;
        };
        let answer = self.home.step(&request);
        let outcome = self.processes[process].answered(self.now, answer);
        self.check(tried, outcome);
        self.begin(process);
    }

    fn check(&mut self, tried: Millis, outcome: Outcome<M>) {
        assert!(outcome.failed.is_empty() && outcome.replayed == 0);
        for answered in outcome.answers {
            let one = self.reference.handle(tried, answered.command.clone()).reply;
            assert_eq!(told(&answered.reply), told(&one), "{:?}", answered.command);
            let told = self.tickets.insert(answered.ticket, true);
            assert_eq!(told, Some(false), "answered twice");
        }
    }

    /// Everything arrives, and every process looks once more.
    fn settle(&mut self) {
        for process in 0..PROCESSES {
            while self.sent[process].is_some() {
                self.deliver(process);
            }
        }
        for process in 0..PROCESSES {
            let probe = self.processes[process].probe().unwrap();
            self.sent[process] = Some((probe, self.now));
            self.deliver(process);
            assert!(self.processes[process].is_idle());
        }
        assert!(self.tickets.values().all(|told| *told));
        for row in self.reference.rows() {
            let told = plain(row, self.reference.row(row));
            assert_eq!(told, plain(row, self.home.rows.get(&row).cloned()), "{row}");
            for process in &self.processes {
                let copy = process.ask(|machine| machine.row(row));
                assert_eq!(told, plain(row, copy), "{row}");
            }
        }
        for process in &self.processes {
            let rows = process.ask(|machine| machine.rows().len());
            assert_eq!(rows, self.reference.rows().len());
        }
    }

    fn run(&mut self, acts: Vec<Act<M::Command>>) {
        for act in acts {
            match act {
                Act::Say(process, command) => self.say(process, command),
                Act::Deliver(process) => self.deliver(process),
                // A command that changed nothing is no version: what was tried before it may come after it.
                Act::Pass(by) if self.sent.iter().all(Option::is_none) => self.now += by,
                Act::Pass(_) => {}
            }
        }
        self.settle();
    }
}

/// Without a guess: when it is worth to ask again follows from when a lease may end, which a machine knows at least.
fn told(reply: &impl serde::Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(reply).unwrap();
    if let Some(fields) = value
        .get_mut("Refused")
        .and_then(serde_json::Value::as_object_mut)
    {
        for refusal in fields.values_mut().filter_map(serde_json::Value::as_object_mut) {
            refusal.remove("retry_after_ms");
        }
    }
    value
}

/// Without what need not be told: the last reading of the clock, a session's renewal by less than a minute, and
/// turns, of which what was tried in vain leaves some out.
fn plain(row: Row, text: Option<String>) -> Option<serde_json::Value> {
    fn strip(value: &mut serde_json::Value) {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "present" | "held" | "turn" | "after"));
            fields.values_mut().for_each(strip);
        }
        value.as_array_mut().into_iter().flatten().for_each(strip);
    }
    let mut value: serde_json::Value = serde_json::from_str(&text?).unwrap();
    strip(&mut value);
    if matches!(row, Row::Session(_) | Row::Origin(_)) {
        value[1] = serde_json::Value::Null;
    }
    Some(value)
}

fn acts<C: Clone + std::fmt::Debug>(
    commands: impl Strategy<Value = C>,
) -> impl Strategy<Value = Vec<Act<C>>> {
    let act = prop_oneof![
        5 => (0..PROCESSES, commands).prop_map(|(process, command)| Act::Say(process, command)),
        5 => (0..PROCESSES).prop_map(Act::Deliver),
        1 => (0..3_000_u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..100)
}

fn calls() -> impl Strategy<Value = CallId> {
    (0..9_u128).prop_map(CallId)
}

fn to_gate() -> impl Strategy<Value = Command> {
    let ttl = || 1_000..60_000_u64;
    prop_oneof![
        8 => (calls(), ttl(), 0..3_u64).prop_map(|(call, ttl_ms, cost)| Command::Admit(Admit {
            learned_since: 0,
            estimate: Some(Estimate { tokens: cost, cost }),
            ..ask(call, ttl_ms)
        })),
        5 => (calls(), 0..5_u64).prop_map(|(call, cost)| Command::Settle {
            call,
            event: None,
            usage: Some(Usage { tokens: cost, cost, opus: false }),
        }),
        2 => (calls(), ttl()).prop_map(|(call, ttl_ms)| Command::Renew { call, ttl_ms, note: None }),
        1 => calls().prop_map(|call| Command::Cancel { call }),
        1 => (calls(), calls()).prop_map(|(call, kept)| Command::Keep { call, kept, ttl_ms: 1_000 }),
        1 => calls().prop_map(|call| Command::Release { call }),
    ]
}

fn to_pool() -> impl Strategy<Value = pool::Command> {
    let account = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let outcome = prop_oneof![
        4 => Just(pool::Outcome::Finished),
        1 => Just(pool::Outcome::Serving),
        1 => Just(pool::Outcome::Unwell { why: "529".into(), until: None }),
    ];
    prop_oneof![
        8 => (calls(), prop::option::of(0..4_u64)).prop_map(|(call, session)| {
            pool::Command::Pick(Pick { session, ..Pick::of(call, 40_000) })
        }),
        6 => (calls(), account(), outcome, any::<bool>()).prop_map(|(call, account, outcome, served)| {
            pool::Command::Report(Report { served, ..Report::of(call, account, outcome) })
        }),
        2 => (calls(), account(), 1..4_u64).prop_map(|(call, account, seen)| pool::Command::BeginRefresh {
            call, account, seen, ttl_ms: 20_000, waits: true, waited_for: None, refused: false,
        }),
        2 => (calls(), account(), 2..5_u64).prop_map(|(call, account, version)| pool::Command::EndRefresh {
            call, account, result: pool::RefreshResult::Refreshed { version },
        }),
        1 => account().prop_map(|account| pool::Command::Reset { account }),
    ]
}

proptest! {
    #[test]
    fn a_gate_of_three_processes_is_one(acts in acts(to_gate()), slots in 1..4_u32) {
        let policy = KeyPolicy {
            id: "k".into(),
            active: true,
            concurrency_limit: slots,
            queue: QueuePolicy { size: 3, timeout_ms: 20_000 },
            limits: Limits { rate_limit_window_minutes: 1, rate_limit_requests: 9, ..Limits::default() },
            ..KeyPolicy::default()
        };
        World::<Gate>::new(Command::Learn { policy: Some(policy.into()) }).run(acts);
    }

    #[test]
    fn a_pool_of_three_processes_is_one(acts in acts(to_pool()), slots in 1..4_u32) {
        let account = |id: &str| AccountPolicy {
            id: id.into(),
            max_concurrency: slots,
            credential_version: 1,
            active: true,
            schedulable: true,
            ..AccountPolicy::default()
        };
        let roster = vec![account("a"), account("b")];
        World::<Pool>::new(pool::Command::Learn { roster }).run(acts);
    }
}

/// Of a crowd on three processes exactly so many are let in as there are slots, and the rest in their order.
#[test]
fn a_crowd_on_three_processes_gets_what_there_is() {
    let policy = KeyPolicy {
        active: true,
        concurrency_limit: 7,
        ..KeyPolicy::default()
    };
    let mut world = World::<Gate>::new(Command::Learn {
        policy: Some(policy.into()),
    });
    for call in 0..600 {
        let admit = Admit {
            learned_since: 0,
            ..ask(CallId(call), 60_000)
        };
        world.say((call % 3) as usize, Command::Admit(admit));
    }
    world.settle();
    let Reply::Snapshot(shown) = world.reference.handle(world.now, Command::Snapshot).reply else {
        panic!("a snapshot");
    };
    assert_eq!(shown.leases.len(), 7);
}
