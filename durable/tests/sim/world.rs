//! The processes, the home, and virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use crs_durable::gate::{self, Admit, Gate, KeyPolicy, Service};
use crs_durable::pool::{self, AccountPolicy, Pick, Pool, Report};
use crs_durable::shared::{Answer, NextAction, Outcome, Request, Shared, SharedMachine};
use crs_durable::{CallId, Millis};

use crate::home::Home;

/// CPU time of a process per call outside the machines: client, provider, ledger. An assumption.
const CALL_US: u64 = 250;
/// CPU time of a process per step, per command of it, and per account that a choice compares.
const STEP_US: u64 = 15;
const COMMAND_US: u64 = 4;
const ACCOUNT_NS: u64 = 60;
/// CPU time of the home per step, and per row of it: measured 17.5 us with one row, 142 us with a hundred.
const HOME_STEP_US: u64 = 16;
const HOME_ROW_NS: u64 = 1_260;
/// Duration of a provider call: short, so that few calls run at once.
const PROVIDER_US: u64 = 20_000;

const START: Millis = 1_800_000_000_000;
const SLOTS: u32 = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) processes: usize,
    pub(crate) accounts: usize,
    /// Shards of the pool: accounts and calls are distributed over them.
    pub(crate) shards: usize,
    /// Used with Zipf frequencies, the first most often.
    pub(crate) keys: u64,
    pub(crate) round_trip_us: u64,
    /// Concurrent calls of each process.
    pub(crate) at_once: usize,
    /// Total number of calls.
    pub(crate) calls: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) steps: u64,
    pub(crate) commands: u64,
    pub(crate) conflicts: u64,
    pub(crate) held: usize,
    pub(crate) slots: usize,
    pub(crate) most_at_once: usize,
    took_us: u64,
    home_us: u64,
    /// From a call's arrival to its account, sorted.
    admitted_us: Vec<u64>,
}

impl Figures {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 * 1e6 / self.took_us as f64
    }

    pub(crate) fn admitted_ms(&self, percent: usize) -> f64 {
        let at = self.admitted_us.len() * percent / 100;
        self.admitted_us[at.min(self.admitted_us.len() - 1)] as f64 / 1_000.0
    }

    pub(crate) fn home_busy(&self) -> f64 {
        self.home_us as f64 / self.took_us as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Gate(u64),
    Pool(usize),
}

/// A scheduled event.
#[derive(Debug)]
enum Event {
    Arrival(usize),
    /// A request arrives at the home.
    Request(usize, Name, Request),
    /// The answer arrives at the process.
    Reply(usize, Name, Answer),
    /// The provider call ends.
    ProviderDone(u64),
}

/// A running call.
struct Call {
    process: usize,
    key: u64,
    shard: usize,
    account: String,
    since: u64,
    /// Replies missing before the call is over.
    missing_replies: u8,
}

#[derive(Default)]
struct Process {
    gates: HashMap<u64, Shared<Gate>>,
    pools: Vec<Shared<Pool>>,
    busy_until: u64,
}

struct World<'a> {
    plan: &'a Plan,
    now: u64,
    seed: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    scheduled: HashMap<u64, Event>,
    next: u64,
    processes: Vec<Process>,
    homes: HashMap<Name, Home>,
    home_busy_until: u64,
    calls: BTreeMap<u64, Call>,
    started: usize,
    served: BTreeMap<String, usize>,
    names: u128,
    figures: Figures,
}

pub(crate) fn run(plan: &Plan, seed: u64) -> Figures {
    let processes = (0..plan.processes).map(|_| Process {
        pools: (0..plan.shards).map(|_| Shared::default()).collect(),
        ..Process::default()
    });
    let mut world = World {
        plan,
        now: 0,
        seed,
        events: BinaryHeap::new(),
        scheduled: HashMap::new(),
        next: 0,
        processes: processes.collect(),
        homes: HashMap::new(),
        home_busy_until: 0,
        calls: BTreeMap::new(),
        started: 0,
        served: BTreeMap::new(),
        names: 0,
        figures: Figures {
            slots: SLOTS as usize,
            ..Figures::default()
        },
    };
    for process in 0..plan.processes {
        for _ in 0..plan.at_once {
            let at = world.roll(2_000);
            world.at(at, Event::Arrival(process));
        }
    }
    while let Some(Reverse((at, number))) = world.events.pop() {
        world.now = at;
        let event = world.scheduled.remove(&number).expect("an event");
        world.run(event);
    }
    world.figures.took_us = world.now;
    world.figures.held = world.held();
    world.figures.admitted_us.sort_unstable();
    world.figures
}

impl World<'_> {
    /// SplitMix64.
    fn roll(&mut self, sides: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// Zipf with exponent 1, by the inverse of its integral.
    fn key(&mut self) -> u64 {
        let uniform = self.roll(1 << 52) as f64 / (1_u64 << 52) as f64;
        ((self.plan.keys as f64).powf(uniform) as u64).saturating_sub(1)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next += 1;
        self.events.push(Reverse((at, self.next)));
        self.scheduled.insert(self.next, event);
    }

    fn millis(&self) -> Millis {
        START + self.now / 1_000
    }

    /// Adds CPU time to the process's queue of work; returns when it will be done.
    fn work(&mut self, process: usize, nanos: u64) -> u64 {
        let now = self.now;
        let process = &mut self.processes[process];
        process.busy_until = process.busy_until.max(now) + nanos / 1_000;
        process.busy_until
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Arrival(process) => self.start_call(process),
            Event::Request(process, name, request) => {
                let rows = request.rows.len() as u64;
                let cost = HOME_STEP_US + rows * HOME_ROW_NS / 1_000;
                self.home_busy_until = self.home_busy_until.max(self.now) + cost;
                self.figures.home_us += cost;
                // The same length of the log as in the script.
                let home = self.homes.entry(name).or_insert_with(|| Home::new(1_024));
                let answer = home.step(&request);
                let at = self.home_busy_until + self.plan.round_trip_us / 2;
                self.at(at, Event::Reply(process, name, answer));
            }
            Event::Reply(process, name, answer) => {
                self.work(process, STEP_US * 1_000);
                let now = self.millis();
                match name {
                    Name::Gate(key) => {
                        let outcome = self.processes[process]
                            .gates
                            .get_mut(&key)
                            .expect("a gate")
                            .answered(now, answer);
                        self.of_gate(process, key, outcome);
                    }
                    Name::Pool(shard) => {
                        let outcome = self.processes[process].pools[shard].answered(now, answer);
                        self.of_pool(process, shard, outcome);
                    }
                }
                self.begin(process, name);
            }
            Event::ProviderDone(number) => self.finish_call(number),
        }
    }

    fn start_call(&mut self, process: usize) {
        if self.started == self.plan.calls {
            return;
        }
        self.started += 1;
        let number = self.started as u64;
        let key = self.key();
        let shard = self.roll(self.plan.shards as u64) as usize;
        let call = Call {
            process,
            key,
            shard,
            account: String::new(),
            since: self.now,
            missing_replies: 0,
        };
        self.calls.insert(number, call);
        self.work(process, CALL_US * 500);
        self.send_to_gate(process, key, number, gate::Command::Admit(admit(number)));
    }

    /// `ticket`: the call.
    fn send_to_gate(&mut self, process: usize, key: u64, ticket: u64, command: gate::Command) {
        self.processes[process]
            .gates
            .entry(key)
            .or_default()
            .submit(ticket, command);
        self.begin(process, Name::Gate(key));
    }

    fn send_to_pool(&mut self, process: usize, shard: usize, ticket: u64, command: pool::Command) {
        self.processes[process].pools[shard].submit(ticket, command);
        self.begin(process, Name::Pool(shard));
    }

    fn begin(&mut self, process: usize, name: Name) {
        self.names += 1;
        let (now, step) = (self.millis(), self.names);
        let request = match name {
            Name::Gate(key) => next_request(
                self.processes[process].gates.get_mut(&key).expect("a gate"),
                now,
                step,
            ),
            Name::Pool(shard) => next_request(&mut self.processes[process].pools[shard], now, step),
        };
        let Some(request) = request else { return };
        self.figures.steps += 1;
        let looks = match name {
            Name::Gate(_) => 0,
            // A call changes about four rows, and makes one choice among all accounts of the shard.
            Name::Pool(_) => request.rows.len() / 4 * self.plan.accounts / self.plan.shards,
        };
        let nanos =
            STEP_US * 1_000 + request.rows.len() as u64 * COMMAND_US * 1_000 + looks as u64 * ACCOUNT_NS;
        let sent_at = self.work(process, nanos);
        self.at(
            sent_at + self.plan.round_trip_us / 2,
            Event::Request(process, name, request),
        );
    }

    fn of_gate(&mut self, process: usize, key: u64, outcome: Outcome<Gate>) {
        self.figures.conflicts += u64::from(outcome.conflict);
        for answered in outcome.answers {
            self.figures.commands += 1;
            match (answered.command, answered.reply) {
                (gate::Command::Admit(_), gate::Reply::Granted { .. }) => self.pick(answered.ticket),
                (gate::Command::Admit(admit), gate::Reply::NeedPolicy) => {
                    let policy = Some(std::sync::Arc::new(policy()));
                    self.send_to_gate(process, key, 0, gate::Command::Learn { policy });
                    self.send_to_gate(process, key, answered.ticket, gate::Command::Admit(admit));
                }
                (gate::Command::Settle { .. }, _) => self.count_reply(answered.ticket),
                (gate::Command::Learn { .. }, _) => {}
                (command, reply) => panic!("{command:?}: {reply:?}"),
            }
        }
    }

    fn pick(&mut self, number: u64) {
        let call = &self.calls[&number];
        let (process, shard) = (call.process, call.shard);
        let mut pick = Pick::of(CallId(number.into()), 60_000);
        pick.learned_since = 1;
        self.send_to_pool(process, shard, number, pool::Command::Pick(pick));
    }

    fn of_pool(&mut self, process: usize, shard: usize, outcome: Outcome<Pool>) {
        self.figures.conflicts += u64::from(outcome.conflict);
        for answered in outcome.answers {
            self.figures.commands += 1;
            match (answered.command, answered.reply) {
                (pool::Command::Pick(_), pool::Reply::Picked { account, .. }) => {
                    self.picked(answered.ticket, account);
                }
                (pool::Command::Pick(pick), pool::Reply::NeedRoster) => {
                    let roster = self.roster(shard);
                    self.send_to_pool(process, shard, 0, pool::Command::Learn { roster });
                    self.send_to_pool(process, shard, answered.ticket, pool::Command::Pick(pick));
                }
                (pool::Command::Report(_), _) => self.count_reply(answered.ticket),
                (pool::Command::Learn { .. }, _) => {}
                (command, reply) => panic!("{command:?}: {reply:?}"),
            }
        }
    }

    fn picked(&mut self, number: u64, account: String) {
        let now = self.now;
        let served = self.served.entry(account.clone()).or_default();
        *served += 1;
        self.figures.most_at_once = self.figures.most_at_once.max(*served);
        let call = self.calls.get_mut(&number).expect("a call");
        call.account = account;
        self.figures.admitted_us.push(now - call.since);
        self.at(now + PROVIDER_US, Event::ProviderDone(number));
    }

    fn finish_call(&mut self, number: u64) {
        let call = self.calls.get_mut(&number).expect("a call");
        call.missing_replies = 2;
        let (process, key, shard) = (call.process, call.key, call.shard);
        let account = call.account.clone();
        *self.served.get_mut(&account).expect("a served call") -= 1;
        self.work(process, CALL_US * 500);
        let id = CallId(number.into());
        let report = Report::of(id, account, pool::Outcome::Finished);
        self.send_to_pool(process, shard, number, pool::Command::Report(report));
        let settle = gate::Command::Settle {
            call: id,
            event: None,
            usage: None,
        };
        self.send_to_gate(process, key, number, settle);
    }

    /// A machine has confirmed the end of the call.
    fn count_reply(&mut self, number: u64) {
        let call = self.calls.get_mut(&number).expect("a call");
        call.missing_replies -= 1;
        if call.missing_replies == 0 {
            let process = call.process;
            self.calls.remove(&number);
            self.figures.calls += 1;
            self.at(self.now, Event::Arrival(process));
        }
    }

    fn roster(&self, shard: usize) -> Vec<AccountPolicy> {
        let of_shard = (0..self.plan.accounts).filter(|number| number % self.plan.shards == shard);
        let account = |number: usize| AccountPolicy {
            id: format!("account-{number}"),
            max_concurrency: SLOTS,
            credential_version: 1,
            ..AccountPolicy::default()
        };
        of_shard.map(account).collect()
    }

    /// Number of leases at the homes.
    fn held(&self) -> usize {
        let rows = self.homes.values().flat_map(|home| home.rows.keys());
        let names: BTreeSet<String> = rows.map(ToString::to_string).collect();
        names.iter().filter(|name| name.starts_with("lease")).count()
    }
}

fn next_request<M>(copy: &mut Shared<M>, now: Millis, name: u128) -> Option<Request>
where
    M: SharedMachine,
    M::Command: Clone,
{
    match copy.begin(now, name) {
        NextAction::Send(request) => Some(request),
        NextAction::Nothing => None,
        NextAction::Decided(_) => panic!("the home is available"),
    }
}

fn admit(number: u64) -> Admit {
    Admit {
        call: CallId(number.into()),
        service: Service::Claude,
        or_services: Vec::new(),
        by_routes: false,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        ttl_ms: 60_000,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        granted: false,
    }
}

fn policy() -> KeyPolicy {
    KeyPolicy {
        id: "key".into(),
        active: true,
        ..KeyPolicy::default()
    }
}
