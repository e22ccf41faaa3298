//! Processes on one home, in memory; the clock is moved by hand where time matters.

mod home;

use std::collections::HashMap;

use crs_durable::CallId;
use crs_durable::gate::{Admit, Command, Gate, KeyPolicy, QueuePolicy, Refusal, Reply, Service};
use crs_durable::pool::{AccountPolicy, Command as ToPool, RefreshResult, Reply as OfPool};
use futures_util::future::join_all;

use self::home::MemoryHome;
use super::*;
use crate::host::native::process::ProcessGates;
use crate::host::native::random::NativeRandom;
use crate::host::native::tasks::NativeTasks;
use crate::model::account::Platform;
use crate::port::clock::movable::Movable;
use crate::port::gates::Gates;
use crate::store::fake::FakeStore;

const KEY: KeyHash = KeyHash([7; 32]);

struct World {
    home: Arc<MemoryHome>,
    store: Arc<FakeStore>,
    clock: Movable,
    shards: usize,
    processes: Vec<SharedGates>,
}

impl World {
    fn new() -> Self {
        Self::of_shards(1)
    }

    fn of_shards(shards: usize) -> Self {
        let clock = Movable::at(1_800_000_000_000);
        let mut world = Self {
            home: Arc::new(MemoryHome::new(clock.clone())),
            store: Arc::new(FakeStore::default()),
            clock,
            shards,
            processes: Vec::new(),
        };
        for _ in 0..3 {
            let process = world.process();
            world.processes.push(process);
        }
        world
    }

    fn process(&self) -> SharedGates {
        let parts = Parts {
            home: self.home.clone(),
            store: self.store.clone(),
            ledger: Ledger::new(self.store.clone(), 0),
            clock: Arc::new(self.clock.clone()),
            tasks: Arc::new(NativeTasks::new()),
            lease: Duration::from_mins(1),
            shards: Shards::new(self.shards),
        };
        let process = SharedGates::new(parts, &NativeRandom);
        listens(process.clone());
        process
    }

    async fn learn(&self, policy: KeyPolicy) {
        let policy = Some(Arc::new(policy));
        self.say(0, Command::Learn { policy }).await;
    }

    async fn say(&self, process: usize, command: Command) -> Reply {
        self.processes[process].gate(&KEY, command).await.unwrap()
    }

    async fn admit(&self, process: usize, call: u128) -> Reply {
        self.say(process, ask(call)).await
    }

    async fn settle(&self, process: usize, call: u128) {
        let settle = Command::Settle {
            call: CallId(call),
            event: None,
            usage: None,
        };
        self.say(process, settle).await;
    }

    async fn held(&self, process: usize) -> usize {
        match self.say(process, Command::Snapshot).await {
            Reply::Snapshot(shown) => shown.leases.len(),
            other => panic!("{other:?}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
fn listens(process: SharedGates) {
    tokio::task::spawn(async move { process.listen().await });
}

fn ask(call: u128) -> Command {
    Command::Admit(Admit {
        call: CallId(call),
        service: Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        ttl_ms: 600_000,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    })
}

fn slots(concurrency_limit: u32, queue: u32) -> KeyPolicy {
    KeyPolicy {
        id: "k".into(),
        active: true,
        concurrency_limit,
        queue: QueuePolicy {
            size: queue,
            timeout_ms: 60_000,
        },
        ..KeyPolicy::default()
    }
}

fn granted(reply: &Reply) -> bool {
    matches!(reply, Reply::Granted { .. })
}

#[tokio::test]
async fn a_crowd_over_three_processes_gets_exactly_the_slots() {
    let world = World::new();
    world.learn(slots(7, 0)).await;
    let crowd = (0..300).map(|call| world.admit((call % 3) as usize, call));
    let replies = join_all(crowd).await;
    assert_eq!(replies.iter().filter(|reply| granted(reply)).count(), 7);
    let full = |reply: &&Reply| matches!(reply, Reply::Refused(Refusal::ConcurrencyFull { .. }));
    assert_eq!(replies.iter().filter(full).count(), 293);
    assert_eq!(world.held(2).await, 7);
    assert!(
        world.home.steps() < 60,
        "{} steps for 300 commands: they are gathered",
        world.home.steps()
    );
}

#[tokio::test]
async fn who_waits_at_another_process_is_woken_by_a_message_or_asks_by_itself() {
    for heard in [true, false] {
        let world = World::new();
        world.home.has_messages.store(heard, Ordering::Relaxed);
        world.learn(slots(1, 5)).await;
        assert!(granted(&world.admit(0, 1).await));
        let waits = world.admit(1, 2);
        let frees = async {
            while world.home.steps() < 5 {
                tokio::task::yield_now().await;
            }
            world.settle(0, 1).await;
            if !heard {
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
                world.clock.advance(Duration::from_secs(2));
            }
        };
        let (reply, ()) = tokio::join!(waits, frees);
        assert!(granted(&reply), "{reply:?}");
    }
}

#[tokio::test]
async fn an_ended_renewal_is_heard_of_at_every_process() {
    let world = World::new();
    let roster = vec![AccountPolicy {
        id: "a".into(),
        credential_version: 1,
        ..AccountPolicy::default()
    }];
    let to = |process: usize, command| world.processes[process].pool(Platform::Claude, command);
    to(0, ToPool::Learn { roster }).await.unwrap();
    let begin = |call| ToPool::BeginRefresh {
        call: CallId(call),
        account: "a".into(),
        seen: 1,
        ttl_ms: 40_000,
        waits: true,
        waited_for: None,
        refused: false,
    };
    assert_eq!(to(0, begin(0)).await.unwrap(), OfPool::RefreshElected);
    let crowd = join_all((1..60).map(|call| to((call % 3) as usize, begin(call))));
    let ends = async {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        let result = RefreshResult::Refreshed { version: 2 };
        let end = ToPool::EndRefresh {
            call: CallId(0),
            account: "a".into(),
            result,
        };
        to(0, end).await.unwrap();
    };
    let (replies, ()) = tokio::join!(crowd, ends);
    for reply in replies {
        assert_eq!(reply.unwrap(), OfPool::RefreshDone { version: 2 });
    }
}

#[tokio::test]
async fn while_the_home_is_away_copies_decide_and_tell_it_afterwards() {
    let world = World::new();
    world.learn(slots(5, 0)).await;
    assert!(granted(&world.admit(0, 1).await));
    assert!(granted(&world.admit(1, 2).await));
    world.home.away.store(true, Ordering::Relaxed);
    let reply = world.processes[2].gate(&KEY, ask(9)).await;
    assert!(reply.is_err(), "there is no copy to decide by");
    for call in [3, 4, 5, 6] {
        // Process 1 knows of both calls, process 0 of its own.
        assert!(granted(&world.admit(0, call).await), "{call}");
    }
    let full = world.admit(0, 7).await;
    assert!(!granted(&full), "its copy is full: {full:?}");
    world.settle(1, 2).await;
    assert!(world.processes[0].unsaved_since().is_some());
    world.home.away.store(false, Ordering::Relaxed);
    for process in &world.processes {
        process.tend_once(false);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(process.0.figures.kept(), 0);
        assert_eq!(process.unsaved_since(), None, "nobody asks this one again");
    }
    assert!(world.processes[0].unsaved_since().is_none());
    assert_eq!(world.held(2).await, 5, "1, 3, 4, 5 and 6 run; 2 is over");
    assert!(!granted(&world.admit(2, 8).await));
}

#[tokio::test]
async fn what_one_process_kept_before_is_taken_over() {
    let world = World::new();
    let mut gate = Gate::default();
    let policy = KeyPolicy {
        limits: crs_durable::gate::Limits {
            rate_limit_window_minutes: 60,
            rate_limit_requests: 2,
            ..crs_durable::gate::Limits::default()
        },
        ..slots(0, 0)
    };
    let now = world.clock.now();
    let learn = Command::Learn {
        policy: Some(Arc::new(policy.clone())),
    };
    crs_durable::Machine::handle(&mut gate, now, learn);
    crs_durable::Machine::handle(&mut gate, now, ask(1));
    // As an earlier version wrote it.
    let key = format!("gate:{}", KEY.hex());
    world.store.put(&key, &serde_json::to_string(&gate).unwrap());
    world.learn(policy).await;
    assert!(granted(&world.admit(1, 2).await));
    let reply = world.admit(2, 3).await;
    assert!(
        matches!(reply, Reply::Refused(Refusal::LimitReached(_))),
        "{reply:?}"
    );
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.store.text(&key), None, "it is in the home now");
}

/// The same of rows, which a process with SHARED_LIMITS=false writes.
#[tokio::test]
async fn rows_of_a_single_process_are_taken_over() {
    let world = World::new();
    let alone = ProcessGates::load(world.store.clone(), Arc::new(world.clock.clone()));
    let alone = alone.await.unwrap();
    let roster = vec![AccountPolicy {
        id: "a".into(),
        ..AccountPolicy::default()
    }];
    let claude = async |gates: &dyn Gates, command| gates.pool(Platform::Claude, command).await.unwrap();
    claude(&alone, ToPool::Learn { roster }).await;
    let denied = crs_durable::pool::Report::of(
        CallId(1),
        "a".into(),
        crs_durable::pool::Outcome::Denied {
            why: "401".into(),
            until: None,
        },
    );
    claude(&alone, ToPool::Report(denied)).await;
    alone.save().await;
    let OfPool::Snapshot(shown) = claude(&world.processes[1], ToPool::Snapshot).await else {
        panic!("no snapshot")
    };
    assert!(shown.accounts[0].denied.is_some());
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_not_made_up() {
    let world = World::new();
    world.store.away.store(true, Ordering::Relaxed);
    let learn = Command::Learn {
        policy: Some(Arc::new(slots(1, 0))),
    };
    assert!(world.processes[0].gate(&KEY, learn.clone()).await.is_err());
    world.store.away.store(false, Ordering::Relaxed);
    assert!(world.processes[0].gate(&KEY, learn).await.is_ok());
}

#[tokio::test]
async fn clocks_of_processes_need_not_agree() {
    let world = World::new();
    world.learn(slots(1, 0)).await;
    // The home is ten minutes ahead: a lease of this process's is not at its end there.
    world.home.ahead.store(600_000, Ordering::Relaxed);
    let late = world.process();
    assert!(granted(&late.gate(&KEY, ask(1)).await.unwrap()));
    assert_eq!(world.held(0).await, 1);
    assert!(late.0.ahead() > 599_000);
}

#[tokio::test]
async fn the_slots_of_a_killed_process_are_free_after_a_minute_and_no_others() {
    let world = World::new();
    world.learn(slots(2, 0)).await;
    assert!(granted(&world.admit(0, 1).await) && granted(&world.admit(1, 2).await));
    for _ in 0..8 {
        // Process 0 does nothing any more.
        world.clock.advance(Duration::from_secs(20));
        world.processes[1].tend_once(false);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let Reply::Snapshot(shown) = world.say(2, Command::Snapshot).await else {
        panic!("a snapshot");
    };
    let held: Vec<_> = shown.leases.iter().map(|lease| lease.call.0).collect();
    assert_eq!(held, [2]);
    // What its call asked for is over after ten minutes all the same.
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(20));
        world.processes[1].tend_once(false);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.held(2).await, 0);
}

#[tokio::test]
async fn a_pool_that_is_split_is_one_for_all_processes() {
    let world = World::of_shards(4);
    let one = |number: usize| AccountPolicy {
        id: format!("account-{number}"),
        max_concurrency: 2,
        ..AccountPolicy::default()
    };
    let to = |process: usize, command| world.processes[process].pool(Platform::Claude, command);
    let roster = (0..10).map(one).collect();
    to(0, ToPool::Learn { roster }).await.unwrap();
    let pick = |call: u128| {
        let mut pick = crs_durable::pool::Pick::of(CallId(call), 600_000);
        pick.learned_since = 1;
        ToPool::Pick(pick)
    };
    let crowd = (0..60_u128).map(|call| to((call % 3) as usize, pick(call * 7)));
    let replies = join_all(crowd).await;
    let mut given: HashMap<String, usize> = HashMap::new();
    for reply in replies {
        match reply.unwrap() {
            OfPool::Picked { account, .. } => *given.entry(account).or_default() += 1,
            OfPool::NobodyLeft { skipped, busy, .. } => assert!(busy && skipped.len() == 10),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(given.len(), 10);
    assert!(given.values().all(|count| *count == 2), "{given:?}");
    let OfPool::Snapshot(shown) = to(2, ToPool::Snapshot).await.unwrap() else {
        panic!("a snapshot");
    };
    assert_eq!(shown.accounts.len(), 10);
}
