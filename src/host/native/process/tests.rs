//! The machines of this process, with a clock moved by hand.

use std::time::Duration;

use bytes::Bytes;
use crs_durable::CallId;
use crs_durable::gate::{self, KeyPolicy};
use crs_durable::pool::{AccountPolicy, Command as ToPool, Pool, RefreshResult, Reply};
use crs_durable::rows::RowMachine as _;
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;
use crate::model::account::Platform;
use crate::port::clock::movable::Movable;
use crate::port::gates::Gates as _;
use crate::port::store::Reply as StoreReply;
use crate::store::fake::FakeStore;
use crate::store::keys;

const TTL: u64 = 40_000;

async fn gates(clock: &Movable) -> ProcessGates {
    let gates = ProcessGates::load(Arc::new(FakeStore::default()), Arc::new(clock.clone()))
        .await
        .unwrap();
    let roster = vec![AccountPolicy {
        id: "a".into(),
        credential_version: 1,
        ..AccountPolicy::default()
    }];
    gates
        .pool(Platform::Claude, ToPool::Learn { roster })
        .await
        .unwrap();
    gates
}

impl ProcessGates {
    async fn asks(&self, call: u128, waits: bool) -> Reply {
        let begin = ToPool::BeginRefresh {
            call: CallId(call),
            account: "a".into(),
            seen: 1,
            ttl_ms: TTL,
            waits,
            waited_for: None,
            refused: false,
        };
        self.pool(Platform::Claude, begin).await.unwrap()
    }

    async fn ends(&self, call: u128, result: RefreshResult) {
        let end = ToPool::EndRefresh {
            call: CallId(call),
            account: "a".into(),
            result,
        };
        self.pool(Platform::Claude, end).await.unwrap();
    }

    fn waiting(&self) -> usize {
        let waiting = |cell: &Arc<ProcessCell<Pool>>| {
            let state = lock(&cell.state);
            state.holder.as_ref().map_or(0, Holder::waiting)
        };
        self.0.table.pools().map(waiting).sum()
    }
}

/// Twenty calls wait for one refresher; all must be answered without any time passing.
async fn crowd(result: RefreshResult, reply: Reply) {
    let clock = Movable::at(1_000_000);
    let gates = gates(&clock).await;
    assert_eq!(gates.asks(0, true).await, Reply::RefreshElected);
    let mut crowd = Box::pin(join_all((1..=20).map(|call| gates.asks(call, true))));
    assert!((&mut crowd).now_or_never().is_none());
    assert_eq!(gates.waiting(), 20);
    assert!(
        matches!(gates.asks(21, false).await, Reply::RefreshBusy { .. }),
        "this one does not wait"
    );
    clock.advance(Duration::from_secs(20));
    assert!((&mut crowd).now_or_never().is_none());
    gates.ends(0, result).await;
    let replies = crowd.now_or_never().expect("answers at once");
    assert_eq!(replies, vec![reply; 20]);
    assert_eq!(gates.waiting(), 0);
}

#[tokio::test]
async fn a_crowd_hears_of_a_refusal_at_once() {
    let why = "invalid_grant".to_owned();
    crowd(
        RefreshResult::Refused { why: why.clone() },
        Reply::RefreshRefused { why },
    )
    .await;
}

#[tokio::test]
async fn a_crowd_hears_of_a_failure_at_once() {
    crowd(RefreshResult::Failed, Reply::RefreshFailed).await;
}

#[tokio::test]
async fn a_crowd_hears_of_new_credentials_at_once() {
    crowd(
        RefreshResult::Refreshed { version: 2 },
        Reply::RefreshDone { version: 2 },
    )
    .await;
}

#[tokio::test]
async fn one_takes_over_from_a_refresher_that_died_and_nothing_stays_behind() {
    let clock = Movable::at(1_000_000);
    let gates = gates(&clock).await;
    gates.asks(0, true).await;
    let mut one = Box::pin(gates.asks(1, true));
    let mut two = Box::pin(gates.asks(2, true));
    // This one's client leaves.
    let mut left = Box::pin(gates.asks(3, true));
    for waiter in [&mut one, &mut two, &mut left] {
        assert!(waiter.now_or_never().is_none());
    }
    drop(left);
    clock.advance(Duration::from_millis(TTL));
    assert_eq!(one.now_or_never(), Some(Reply::RefreshElected));
    assert!((&mut two).now_or_never().is_none());
    gates.ends(1, RefreshResult::Failed).await;
    assert_eq!(two.now_or_never(), Some(Reply::RefreshFailed));
    assert_eq!(gates.waiting(), 0);
}

#[tokio::test]
async fn what_cannot_be_saved_is_told_since_when() {
    let clock = Movable::at(1_000);
    let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
    let gates = ProcessGates::load(store.clone(), Arc::new(clock.clone()))
        .await
        .unwrap();
    gates.save().await;
    assert_eq!(gates.unsaved_since(), None);
    let key = KeyHash([1; 32]);
    gates.gate(&key, gate::Command::Invalidate).await.unwrap();
    store.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        gates.save().await;
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(gates.unsaved_since(), Some(1_000));
    store.full.store(false, Ordering::SeqCst);
    gates.save().await;
    assert_eq!(gates.unsaved_since(), None);
    assert!(head(&store, &key).await.is_some(), "it was not forgotten");
}

/// The stored head of a gate.
async fn head(store: &FakeStore, key: &KeyHash) -> Option<Bytes> {
    let get = Command::HGet {
        key: keys::machine(&format!("gate:{}", key.hex())),
        field: "head".into(),
    };
    match store.run(vec![get]).await.unwrap().pop() {
        Some(StoreReply::Value(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn admit(call: u128) -> gate::Command {
    gate::Command::Admit(gate::Admit {
        call: CallId(call),
        service: gate::Service::Claude,
        model: None,
        canonical: None,
        opus: false,
        client: None,
        slot: true,
        estimate: None,
        ttl_ms: TTL,
        learned_since: 1,
        note: None,
        queued_until: None,
        before_body: false,
        or_services: Vec::new(),
        by_routes: false,
        granted: false,
    })
}

/// A key with one slot, and twenty calls that wait for it: all must be answered without any time passing.
#[tokio::test]
async fn a_queue_hears_at_once_of_its_key() {
    let clock = Movable::at(1_000_000);
    let gates = gates(&clock).await;
    let key = KeyHash([7; 32]);
    let learn = |version, change: fn(&mut KeyPolicy)| {
        let mut policy = KeyPolicy {
            version,
            active: true,
            concurrency_limit: 1,
            queue: gate::QueuePolicy {
                size: 50,
                timeout_ms: 600_000,
            },
            ..KeyPolicy::default()
        };
        change(&mut policy);
        let policy = Some(Arc::new(policy));
        gate::Command::Learn { policy }
    };
    let say = async |command| gates.gate(&key, command).await.unwrap();
    say(learn(1, |_| {})).await;
    say(admit(0)).await;
    let mut crowd = Box::pin(join_all((1..=20).map(|call| say(admit(call)))));
    assert!((&mut crowd).now_or_never().is_none());
    say(learn(2, |key| key.permissions = vec![gate::Service::Claude])).await;
    assert!((&mut crowd).now_or_never().is_none(), "nothing changes for them");
    say(learn(3, |key| key.active = false)).await;
    let replies = crowd.now_or_never().expect("answers at once");
    assert_eq!(replies, vec![gate::Reply::Refused(gate::Refusal::Disabled); 20]);

    // One of the crowd reads an invalidated record; the others wait on, and hear what it learned.
    say(learn(4, |_| {})).await;
    let mut waiting: Vec<_> = (1..=20).map(|call| Box::pin(say(admit(call)))).collect();
    for call in &mut waiting {
        assert!(call.now_or_never().is_none());
    }
    say(gate::Command::Invalidate).await;
    let asked: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
    let asked: Vec<_> = asked
        .into_iter()
        .enumerate()
        .filter(|(_, reply)| reply.is_some())
        .collect();
    assert_eq!(asked, [(0, Some(gate::Reply::NeedPolicy))]);
    say(gate::Command::Learn { policy: None }).await;
    for call in waiting.into_iter().skip(1) {
        let unknown = gate::Reply::Refused(gate::Refusal::UnknownKey);
        assert_eq!(call.now_or_never(), Some(unknown));
    }
}

#[tokio::test]
async fn a_gates_row_ends_with_its_key() {
    let clock = Movable::at(1_000_000);
    let store = Arc::new(FakeStore::default());
    let gates = ProcessGates::load(store.clone(), Arc::new(clock.clone()))
        .await
        .unwrap();
    let key = KeyHash([7; 32]);
    let policy = Arc::new(KeyPolicy {
        id: "k".into(),
        active: true,
        ..KeyPolicy::default()
    });
    let say = async |command| gates.gate(&key, command).await.unwrap();
    say(gate::Command::Learn { policy: Some(policy) }).await;
    let granted = say(admit(1)).await;
    assert!(matches!(granted, gate::Reply::Granted { .. }), "{granted:?}");
    gates.save().await;
    assert!(head(&store, &key).await.is_some());
    // The key is deleted while a call of it runs: what that used is still to be counted.
    say(gate::Command::Learn { policy: None }).await;
    gates.save().await;
    assert!(head(&store, &key).await.is_some());
    say(gate::Command::Settle {
        call: CallId(1),
        event: None,
        usage: None,
    })
    .await;
    gates.save().await;
    assert_eq!(head(&store, &key).await, None);
    // Batches of the ledger that name it do not bring it back.
    let kept = gates.kept(&key);
    assert!(
        kept.iter().all(|command| matches!(command, Command::Del { .. })),
        "{kept:?}"
    );
}

/// A store that refuses at the end of one run and at the start of the next: what was spent is not forgotten.
#[tokio::test]
async fn a_gate_goes_on_from_what_the_store_did_not_take() {
    let clock = Movable::at(1_000_000);
    let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
    let load = async || {
        ProcessGates::load(store.clone(), Arc::new(clock.clone()))
            .await
            .unwrap()
    };
    let key = KeyHash([1; 32]);
    let spent = async |gates: &ProcessGates| match gates.gate(&key, gate::Command::Snapshot).await.unwrap() {
        gate::Reply::Snapshot(snapshot) => snapshot.spent[gate::MoneyLimit::Total].spent,
        other => panic!("{other:?}"),
    };
    let policy = KeyPolicy {
        version: 1,
        active: true,
        ..KeyPolicy::default()
    };
    let learn = gate::Command::Learn {
        policy: Some(Arc::new(policy)),
    };

    let first = load().await;
    first.gate(&key, learn.clone()).await.unwrap();
    first.gate(&key, admit(1)).await.unwrap();
    first.save().await;
    let before = spent(&first).await;
    store.full.store(true, Ordering::SeqCst);
    let usage = gate::Usage {
        cost: 5_000,
        ..gate::Usage::default()
    };
    let settle = gate::Command::Settle {
        call: CallId(1),
        event: None,
        usage: Some(usage),
    };
    first.gate(&key, settle).await.unwrap();
    let after = spent(&first).await;
    assert!(after > before);
    let kept = first.kept(&key);
    let [Command::HSet { entries, .. }] = kept.as_slice() else {
        panic!("the gate has no rows: {kept:?}");
    };
    let row =
        |(name, text): &(String, Bytes)| (name.parse().unwrap(), String::from_utf8(text.to_vec()).unwrap());
    let gate = Gate::from_rows(entries.iter().map(row));

    // The next start finds the store as it was.
    let second = load().await;
    second.resume(vec![(key.clone(), gate)]);
    assert_eq!(spent(&second).await, after);
    second.save().await;
    assert!(second.unsaved_since().is_some());
    store.full.store(false, Ordering::SeqCst);
    second.save().await;
    assert_eq!(spent(&load().await).await, after, "the store has it now");
}

#[tokio::test]
async fn an_unused_gate_is_dropped_and_read_again() {
    let clock = Movable::at(1_000_000);
    let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
    let gates = ProcessGates::load(store.clone(), Arc::new(clock.clone()))
        .await
        .unwrap();
    let (unused, running) = (KeyHash([1; 32]), KeyHash([2; 32]));
    let policy = Arc::new(KeyPolicy {
        active: true,
        ..KeyPolicy::default()
    });
    for key in [&unused, &running] {
        let policy = Some(policy.clone());
        gates.gate(key, gate::Command::Learn { policy }).await.unwrap();
    }
    let long = gate::Command::Admit(gate::Admit {
        ttl_ms: 10 * IDLE_MS,
        ..match admit(1) {
            gate::Command::Admit(admit) => admit,
            other => panic!("{other:?}"),
        }
    });
    gates.gate(&running, long).await.unwrap();
    let held = || gates.0.table.gates().map(|gates| gates.len()).sum::<usize>();
    store.full.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_millis(2 * IDLE_MS));
    gates.save().await;
    assert_eq!(held(), 2, "the store does not have them");
    store.full.store(false, Ordering::SeqCst);
    gates.save().await;
    clock.advance(Duration::from_millis(SWEEP_MS));
    gates.save().await;
    assert_eq!(held(), 1, "a call of the other one runs");
    match gates.gate(&unused, gate::Command::Snapshot).await.unwrap() {
        gate::Reply::Snapshot(shown) => assert!(shown.policy.is_some()),
        other => panic!("{other:?}"),
    }
}

/// A pool as it is stored in this form, in a store.
async fn pool_of(write: impl AsyncFnOnce(&FakeStore, &Pool)) -> (Arc<FakeStore>, ProcessGates) {
    let clock = Movable::at(1_000_000);
    let store = Arc::new(FakeStore::new(Arc::new(clock.clone())));
    let mut pool = Pool::default();
    let roster = vec![AccountPolicy {
        id: "a".into(),
        ..AccountPolicy::default()
    }];
    crs_durable::Machine::handle(&mut pool, clock.now(), ToPool::Learn { roster });
    write(&store, &pool).await;
    let gates = ProcessGates::load(store.clone(), Arc::new(clock)).await.unwrap();
    let Reply::Snapshot(shown) = gates.pool(Platform::Claude, ToPool::Snapshot).await.unwrap() else {
        panic!("no snapshot")
    };
    assert_eq!(shown.accounts.len(), 1);
    gates.save().await;
    (store, gates)
}

async fn fields(store: &FakeStore) -> Vec<String> {
    let key = keys::machine("pool:claude");
    match store.run(vec![Command::HGetAll { key }]).await.unwrap().pop() {
        Some(StoreReply::Entries(entries)) => {
            let mut names: Vec<_> = entries.into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_text_of_an_earlier_version_becomes_rows() {
    let (store, _) = pool_of(async |store, pool| {
        store.put("pool:claude", &serde_json::to_string(pool).unwrap());
    })
    .await;
    assert_eq!(store.text("pool:claude"), None);
    assert_eq!(fields(&store).await, ["account:1", "head"]);
}

/// After `SHARED_LIMITS=false`: another process must not go on from its copy.
#[tokio::test]
async fn rows_that_were_shared_lose_their_version() {
    let (store, _) = pool_of(async |store, pool| {
        let row = |row: crs_durable::rows::Row| (row.to_string(), pool.row(row).unwrap().into());
        let mut entries: Vec<(String, Bytes)> = pool.rows().into_iter().map(row).collect();
        entries.push((keys::MACHINE_VERSION.into(), "7:00".into()));
        entries.push(("lease:00000000000000000000000000000001".into(), "{}".into()));
        let key = keys::machine("pool:claude");
        store.run(vec![Command::HSet { key, entries }]).await.unwrap();
    })
    .await;
    assert_eq!(fields(&store).await, ["account:1", "head"]);
}
