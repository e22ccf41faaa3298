//! Random histories sent to a backend and to the memory backend, which must answer the same.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::store::memory::Memory;
use crate::store::vocabulary::Kind;

#[derive(Clone, Debug)]
enum Step {
    Run(Vec<Command>),
    Atomically(Vec<Guard>, Vec<Command>),
    /// Sent only if the clock can be moved.
    Wait(Duration),
}

const KEYS: [&str; 3] = ["k0", "k1", "k2"];

/// Compares `cases` histories. Must run outside of a runtime, because it creates one.
pub(crate) fn agrees_with_memory(subject: &Subject, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&vec(steps(), 1..12), |history| {
        runtime.block_on(compare(subject, history))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn compare(subject: &Subject, history: Vec<Step>) -> Result<(), TestCaseError> {
    subject.run(KEYS.map(del).to_vec()).await;
    let clock = match &subject.clock {
        Some(clock) => {
            clock.jump(START);
            clock.clone()
        }
        // With a real clock, expiries near the start are in the past.
        None => Movable::at(START + 1_000),
    };
    let model = Memory::new(Arc::new(clock.clone()));
    for (index, step) in history.into_iter().enumerate() {
        match step {
            Step::Run(batch) => {
                let expected = shown(model.run(batch.clone()).await);
                prop_assert_eq!(shown(subject.store.run(batch).await), expected, "step {}", index);
            }
            Step::Atomically(guards, mut batch) => {
                if subject.store.shared() {
                    batch = without_second_types(batch);
                }
                let expected = shown(
                    model
                        .atomically(guards.clone(), batch.clone())
                        .await
                        .map(|applied| vec![applied]),
                );
                let outcome = subject
                    .store
                    .atomically(guards, batch)
                    .await
                    .map(|applied| vec![applied]);
                prop_assert_eq!(shown(outcome), expected, "step {}", index);
            }
            Step::Wait(time) => {
                if subject.clock.is_some() {
                    clock.advance(time);
                }
            }
        }
    }
    for key in KEYS {
        for read in [
            get(key),
            hgetall(key),
            hlen(key),
            smembers(key),
            zcard(key),
            exists(key),
        ] {
            let expected = shown(model.run(vec![read.clone()]).await);
            prop_assert_eq!(shown(subject.store.run(vec![read]).await), expected, "at the end");
        }
        for rev in [false, true] {
            let read = zpage(key, f64::NEG_INFINITY, f64::INFINITY, rev, 0, 100);
            let expected = shown(model.run(vec![read.clone()]).await);
            prop_assert_eq!(shown(subject.store.run(vec![read]).await), expected, "at the end");
        }
    }
    Ok(())
}

/// The defined parts of an answer, in comparable form.
fn shown<T: Shown>(outcome: Result<Vec<T>, StoreError>) -> Result<Vec<T>, String> {
    match outcome {
        Ok(replies) => Ok(replies.into_iter().map(Shown::ordered).collect()),
        Err(StoreError::WrongType { key, command }) => Err(format!("wrong type: {key} {command}")),
        Err(StoreError::Unreadable { key, .. }) => Err(format!("unreadable: {key}")),
        Err(other) => Err(format!("{other:?}")),
    }
}

trait Shown {
    fn ordered(self) -> Self;
}

impl Shown for Reply {
    fn ordered(self) -> Reply {
        sorted(self)
    }
}

impl Shown for Applied {
    fn ordered(self) -> Applied {
        self
    }
}

/// Removes commands that give another type to a key that may have been emptied in the batch: the script refuses
/// these, other backends look at the key itself.
fn without_second_types(batch: Vec<Command>) -> Vec<Command> {
    let mut emptied: Vec<(String, Kind)> = Vec::new();
    batch
        .into_iter()
        .filter(|command| {
            let key = command.key();
            match command {
                Command::Set { .. } | Command::Del { .. } => emptied.retain(|(other, _)| other != key),
                Command::HDel { .. }
                | Command::SRem { .. }
                | Command::ZRem { .. }
                | Command::ZRemRangeByScore { .. } => {
                    let kind = command.kind().unwrap();
                    let second = emptied.iter().any(|(other, held)| other == key && *held != kind);
                    if !second {
                        emptied.push((key.to_owned(), kind));
                    }
                    return !second;
                }
                _ => {
                    let other_type = |(other, held): &(String, Kind)| {
                        other == key && command.kind().is_some_and(|kind| kind != *held)
                    };
                    return !emptied.iter().any(other_type);
                }
            }
            true
        })
        .collect()
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => vec(commands(), 1..12).prop_map(Step::Run),
        4 => (vec(guards(), 0..3), vec(commands(), 0..10)).prop_map(|(guards, batch)| Step::Atomically(guards, batch)),
        1 => (1..200_u64).prop_map(|time| Step::Wait(Duration::from_millis(time))),
    ]
}

fn guards() -> impl Strategy<Value = Guard> {
    prop_oneof![
        (keys(), prop::option::of(values())).prop_map(|(key, is)| Guard::Value { key, is }),
        (keys(), fields(), prop::option::of(values())).prop_map(|(key, field, is)| Guard::Field {
            key,
            field,
            is
        }),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    let texts = prop_oneof![
        keys().prop_map(|key| Command::Get { key }),
        (keys(), values(), prop::option::of(ends())).prop_map(|(key, value, expire_at)| Command::Set {
            key,
            value,
            expire_at
        }),
        keys().prop_map(|key| Command::Del { key }),
        keys().prop_map(|key| Command::Exists { key }),
        (keys(), increments()).prop_map(|(key, by)| Command::IncrBy { key, by }),
        (keys(), ends()).prop_map(|(key, at)| Command::PExpireAt { key, at }),
    ];
    let hashes = prop_oneof![
        (keys(), fields()).prop_map(|(key, field)| Command::HGet { key, field }),
        (keys(), vec(fields(), 0..4)).prop_map(|(key, fields)| Command::HMGet { key, fields }),
        keys().prop_map(|key| Command::HGetAll { key }),
        (keys(), vec((fields(), values()), 0..4)).prop_map(|(key, entries)| Command::HSet { key, entries }),
        (keys(), vec(fields(), 0..4)).prop_map(|(key, fields)| Command::HDel { key, fields }),
        (keys(), fields(), increments()).prop_map(|(key, field, by)| Command::HIncrBy { key, field, by }),
        keys().prop_map(|key| Command::HLen { key }),
    ];
    let sets = prop_oneof![
        (keys(), vec(fields(), 0..4)).prop_map(|(key, members)| Command::SAdd { key, members }),
        (keys(), vec(fields(), 0..4)).prop_map(|(key, members)| Command::SRem { key, members }),
        keys().prop_map(|key| Command::SMembers { key }),
    ];
    let sorted = prop_oneof![
        (keys(), vec((scores(), fields()), 0..4)).prop_map(|(key, entries)| Command::ZAdd { key, entries }),
        (keys(), scores(), fields()).prop_map(|(key, by, member)| Command::ZIncrBy { key, by, member }),
        (keys(), vec(fields(), 0..4)).prop_map(|(key, members)| Command::ZRem { key, members }),
        (keys(), fields()).prop_map(|(key, member)| Command::ZScore { key, member }),
        keys().prop_map(|key| Command::ZCard { key }),
        (keys(), scores(), scores(), any::<bool>(), 0..4_u64, 0..6_u64).prop_map(
            |(key, min, max, rev, offset, limit)| Command::ZRangeByScore {
                key,
                min,
                max,
                rev,
                offset,
                limit
            }
        ),
        (keys(), scores(), scores()).prop_map(|(key, min, max)| Command::ZRemRangeByScore { key, min, max }),
    ];
    prop_oneof![3 => texts, 4 => hashes, 2 => sets, 4 => sorted]
}

fn keys() -> impl Strategy<Value = String> {
    select(KEYS.to_vec()).prop_map(str::to_owned)
}

fn fields() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "ü", "", "c\0"]).prop_map(str::to_owned)
}

fn values() -> impl Strategy<Value = Bytes> {
    select(vec![
        "",
        "0",
        "1",
        "-7",
        "01",
        "text",
        "9223372036854775807",
        "-9223372036854775808",
        "1\0",
    ])
    .prop_map(|text| Bytes::from_static(text.as_bytes()))
}

fn increments() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -3..4_i64, 1 => select(vec![i64::MIN, i64::MAX, 1 << 62, 1_000_000_007])]
}

fn scores() -> impl Strategy<Value = f64> {
    select(vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.5,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::NAN,
    ])
}

fn ends() -> impl Strategy<Value = Millis> {
    prop_oneof![1 => Just(PAST), 1 => Just(FUTURE), 3 => START..START + 500]
}
