//! What may go wrong between processes and home.

use std::collections::BTreeMap;

use crs_durable::gate::{
    Admit, Command, Estimate, Gate, KeyPolicy, Limits, MoneyLimit, PerLimit, Reply, Usage,
};
use crs_durable::shared::{NextAction, Outcome, Request, Shared};
use crs_durable::{CallId, Machine, Millis};
use proptest::prelude::*;

use super::home::Home;
use crate::world::{START, ask};

const PROCESSES: usize = 3;

/// Whether a step of which nothing was heard was taken can be told as long as its version is remembered.
const LOG: usize = 200;

/// No lease ends while a history lasts.
const TTL: u64 = 10_000_000;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A new call begins at the process.
    Begins(usize),
    /// A call that was granted ends, having used so much.
    Ends(usize, u64),
    Deliver(usize),
    /// The home takes the request, and the answer is lost.
    LosesAnswer(usize),
    LosesRequest(usize),
    /// The request is given up, and reaches the home some time later.
    Delays(usize),
    Arrives,
    Probe(usize),
    /// The home is as it was so many steps ago.
    FailsOver(usize),
    Empties,
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let process = || 0..PROCESSES;
    let act = prop_oneof![
        20 => process().prop_map(Act::Begins),
        20 => (0..64_usize, 0..9_u64).prop_map(|(turn, used)| Act::Ends(turn, used)),
        40 => process().prop_map(Act::Deliver),
        3 => process().prop_map(Act::LosesAnswer),
        3 => process().prop_map(Act::LosesRequest),
        3 => process().prop_map(Act::Delays),
        4 => Just(Act::Arrives),
        10 => process().prop_map(Act::Probe),
        1 => (1..4_usize).prop_map(Act::FailsOver),
        1 => Just(Act::Empties),
        5 => (0..100_u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..150)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Asked,
    Granted,
    /// It has told what it used; the answer is still to come.
    Ending(u64),
    Over(u64),
    Refused,
}

struct World {
    home: Home,
    /// What the home was before each of its last steps.
    past: Vec<Home>,
    processes: Vec<Shared<Gate>>,
    sent: Vec<Option<Request>>,
    late: Vec<Request>,
    emptied: bool,
    failed_over: bool,
    calls: BTreeMap<u64, (usize, State)>,
    next: u64,
    now: Millis,
    names: u128,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            home: Home::new(LOG),
            past: Vec::new(),
            processes: (0..PROCESSES).map(|_| Shared::default()).collect(),
            sent: vec![None; PROCESSES],
            late: Vec::new(),
            emptied: false,
            failed_over: false,
            calls: BTreeMap::new(),
            next: 1,
            now: START,
            names: 0,
        };
        let policy = KeyPolicy {
            id: "k".into(),
            active: true,
            concurrency_limit: 4,
            limits: Limits {
                money: PerLimit::these([(MoneyLimit::Total, 1_000_000)]),
                ..Limits::default()
            },
            ..KeyPolicy::default()
        };
        world.say(
            0,
            0,
            Command::Learn {
                policy: Some(policy.into()),
            },
        );
        world.all_arrives();
        world
    }

    fn say(&mut self, process: usize, ticket: u64, command: Command) {
        self.processes[process].submit(ticket, command);
        self.begin(process);
    }

    fn begin(&mut self, process: usize) {
        loop {
            self.names += 1;
            match self.processes[process].begin(self.now, self.names) {
                NextAction::Send(request) => self.sent[process] = Some(request),
                NextAction::Nothing => {}
                NextAction::Decided(outcome) => {
                    self.told(outcome);
                    continue;
                }
            }
            return;
        }
    }

    fn told(&mut self, outcome: Outcome<Gate>) {
        for answered in outcome.answers {
            let call = match &answered.command {
                Command::Admit(admit) => admit.call,
                Command::Settle { call, .. } => *call,
                _ => continue,
            };
            let (_, state) = self.calls.get_mut(&(call.0 as u64)).unwrap();
            *state = match (*state, &answered.reply) {
                (State::Asked, Reply::Granted { .. }) => State::Granted,
                (State::Asked, Reply::Refused(_) | Reply::NeedPolicy) => State::Refused,
                (State::Ending(used), Reply::Done) => State::Over(used),
                other => panic!("{other:?}"),
            };
        }
        for ticket in outcome.failed {
            // There was no copy yet: nobody was let in.
            if let Some((_, state)) = self.calls.get_mut(&ticket) {
                *state = State::Refused;
            }
        }
    }

    fn arrives(&mut self, request: &Request) -> crs_durable::shared::Answer {
        self.past.push(self.home.clone());
        self.home.step(request)
    }

    fn unanswered(&mut self, process: usize) {
        let outcome = self.processes[process].unanswered(self.now);
        self.told(outcome);
        self.begin(process);
    }

    fn deliver(&mut self, process: usize) {
        let Some(request) = self.sent[process].take() else {
            return;
        };
        let answer = self.arrives(&request);
        let outcome = self.processes[process].answered(self.now, answer);
        self.told(outcome);
        self.begin(process);
    }

    fn all_arrives(&mut self) {
        for _ in 0..3 {
            for process in 0..PROCESSES {
                while self.sent[process].is_some() {
                    self.deliver(process);
                }
                self.sent[process] = self.processes[process].probe();
                while self.sent[process].is_some() {
                    self.deliver(process);
                }
            }
        }
        assert!(self.processes.iter().all(Shared::is_idle));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Begins(process) => {
                let number = self.next;
                self.next += 1;
                self.calls.insert(number, (process, State::Asked));
                let admit = Admit {
                    learned_since: 0,
                    estimate: Some(Estimate { tokens: 1, cost: 1 }),
                    ..ask(CallId(u128::from(number)), TTL)
                };
                self.say(process, number, Command::Admit(admit));
            }
            Act::Ends(turn, used) => {
                let granted = self
                    .calls
                    .iter_mut()
                    .filter(|(_, (_, state))| *state == State::Granted);
                let granted: Vec<_> = granted.collect();
                let count = granted.len().max(1);
                let Some((number, (process, state))) = granted.into_iter().nth(turn % count) else {
                    return;
                };
                *state = State::Ending(used);
                let usage = Usage {
                    tokens: used,
                    cost: used,
                    opus: false,
                };
                let (number, process) = (*number, *process);
                let call = CallId(u128::from(number));
                let settle = Command::Settle {
                    call,
                    event: None,
                    usage: Some(usage),
                };
                self.say(process, number, settle);
            }
            Act::Deliver(process) => self.deliver(process),
            Act::LosesAnswer(process) => {
                if let Some(request) = self.sent[process].take() {
                    self.arrives(&request);
                    self.unanswered(process);
                }
            }
            Act::LosesRequest(process) => {
                if self.sent[process].take().is_some() {
                    self.unanswered(process);
                }
            }
            Act::Delays(process) => {
                if let Some(request) = self.sent[process].take() {
                    self.late.push(request);
                    self.unanswered(process);
                }
            }
            Act::Arrives => {
                if let Some(request) = self.late.pop() {
                    self.arrives(&request);
                }
            }
            Act::Probe(process) => {
                if self.sent[process].is_none() && self.processes[process].is_away() {
                    self.sent[process] = self.processes[process].probe();
                }
            }
            Act::FailsOver(_) if self.emptied => {}
            Act::FailsOver(back) => {
                self.failed_over = true;
                // To a state of this home's own: what it was before that is forgotten for good.
                let keeps = self.past.len().saturating_sub(back);
                if let Some(past) = self.past.get(keeps).cloned() {
                    self.home = past;
                    self.past.truncate(keeps);
                }
            }
            // A loss of everything is the only loss: a process that was away for two of them cannot tell what the
            // others know.
            Act::Empties if self.emptied || self.failed_over => {}
            Act::Empties => {
                self.emptied = true;
                self.home = Home::new(LOG);
                self.past.clear();
            }
            Act::Pass(by) => self.now += by,
        }
    }

    fn check(&mut self) {
        self.all_arrives();
        let mut gate = self.processes[0].ask(Clone::clone);
        let Reply::Snapshot(shown) = gate.handle(self.now, Command::Snapshot).reply else {
            panic!("a snapshot");
        };
        let held: Vec<u128> = shown.leases.iter().map(|lease| lease.call.0).collect();
        let running = self
            .calls
            .iter()
            .filter(|(_, (_, state))| *state == State::Granted);
        let running: Vec<u128> = running.map(|(number, _)| u128::from(*number)).collect();
        assert_eq!(held, running);
        let used = self.calls.values().map(|(_, state)| match state {
            State::Over(used) => *used,
            State::Granted | State::Refused => 0,
            other => panic!("{other:?}"),
        });
        let mut limits = shown.spent.iter();
        let total = limits.find_map(|(limit, sum)| (limit == MoneyLimit::Total).then_some(sum.spent));
        assert_eq!(total, Some(used.sum::<u64>()));
    }
}

proptest! {
    #[test]
    fn what_was_granted_is_held_and_what_was_used_is_counted_once(acts in acts()) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.check();
    }
}
