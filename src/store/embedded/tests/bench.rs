//! What commands cost. Run it by hand, optimised:
//! `cargo test --release --lib store::embedded::tests::bench -- --ignored --nocapture`

use std::time::{Duration, Instant};

use super::*;

const BATCH: u64 = 5_000;
const ROUNDS: u64 = 20;
/// Keys of eight fields that are there before anything is measured.
const KEYS: u64 = 20_000;

fn hash_key(number: u64) -> String {
    format!("usage:model:daily:claude-something-4-5:{number:08}")
}

fn count(key: u64, field: u64) -> Command {
    Command::HIncrBy {
        key: hash_key(key),
        field: format!("tokens:{field}"),
        by: 17,
    }
}

/// Even numbers enough, and the same ones every time.
fn scattered(number: u64, below: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % below
}

/// Processor time of all threads so far; the machine may be busy with other things.
fn processor() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let times = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        nanos += times
            .split_whitespace()
            .next()
            .and_then(|time| time.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Duration::from_nanos(nanos)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn measure(store: &Embedded, what: &str, batch: impl Fn(u64) -> Vec<Command>) {
    let (mut times, mut busy) = (Vec::new(), Duration::ZERO);
    let commands = u32::try_from(BATCH).unwrap();
    for round in 0..ROUNDS {
        let batch = batch(round);
        let (start, before) = (Instant::now(), processor());
        store.run(batch).await.unwrap();
        busy += processor().saturating_sub(before);
        times.push(start.elapsed() / commands);
    }
    times.sort();
    let (median, processor) = (
        times[times.len() / 2],
        busy / commands / u32::try_from(ROUNDS).unwrap(),
    );
    println!(
        "{what:<58} {median:>7.2?} per command, processor {processor:>7.2?}, resident {}",
        resident()
    );
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("VmRSS: not known");
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn commands() {
    let place = Place::new();
    println!("resident before: {}", resident());
    let store = Arc::new(place.open());
    for part in 0..KEYS / 2_000 {
        let batch = (0..2_000).flat_map(|n| (0..8).map(move |field| count(part * 2_000 + n, field)));
        store.run(batch.collect()).await.unwrap();
    }
    println!(
        "file of {KEYS} hashes of 8 fields: {} KiB",
        std::fs::metadata(place.path()).unwrap().len() / 1024
    );

    let of = |round, n| round * BATCH + n;
    measure(
        &store,
        "HINCRBY, 5,000 fields of 5,000 keys all over the file",
        |round| {
            (0..BATCH)
                .map(|n| count(scattered(of(round, n), KEYS), n % 8))
                .collect()
        },
    )
    .await;
    measure(&store, "HINCRBY, 8 fields of 625 neighbouring keys", |round| {
        (0..BATCH)
            .map(|n| count((round * 700 + n / 8) % KEYS, n % 8))
            .collect()
    })
    .await;
    measure(
        &store,
        "HINCRBY, 40 events on the same 16 keys of 8 fields",
        |round| {
            (0..BATCH)
                .map(|n| count((round * 16 + (n / 8) % 16) % KEYS, n % 8))
                .collect()
        },
    )
    .await;
    measure(&store, "HSET, 5 fields of new keys", |round| {
        let key = |n| format!("request:{:012}", of(round, n));
        let fields = || {
            (0..5)
                .map(|field| (format!("field{field}"), "some value".into()))
                .collect()
        };
        (0..BATCH)
            .map(|n| Command::HSet {
                key: key(n),
                entries: fields(),
            })
            .collect()
    })
    .await;
    measure(&store, "HSET, 1 field of one large hash", |round| {
        let field = |n| format!("{:08}", scattered(of(round, n), 1_000_000));
        (0..BATCH)
            .map(|n| Command::HSet {
                key: "large".into(),
                entries: vec![(field(n), "some value".into())],
            })
            .collect()
    })
    .await;
    measure(&store, "ZADD, in the order of time", |round| {
        let entry = |n| (of(round, n) as f64, format!("{:032x}", of(round, n)));
        (0..BATCH)
            .map(|n| Command::ZAdd {
                key: "requests".into(),
                entries: vec![entry(n)],
            })
            .collect()
    })
    .await;
    measure(&store, "ZADD, known members to the top", |round| {
        let entry = |n| {
            (
                (round * BATCH + n) as f64,
                format!("member{:05}", scattered(of(round, n), 5_000)),
            )
        };
        (0..BATCH)
            .map(|n| Command::ZAdd {
                key: "recent".into(),
                entries: vec![entry(n)],
            })
            .collect()
    })
    .await;
    measure(&store, "SET, 400 bytes, new keys that end", |round| {
        let set = |n| Command::Set {
            key: format!("log:{:012}", of(round, n)),
            value: vec![b'x'; 400].into(),
            expire_at: Some(START + 1_000_000 + of(round, n)),
        };
        (0..BATCH).map(set).collect()
    })
    .await;

    for callers in [1, 32, 256_u64] {
        let (commits, busy, start) = (store.commits(), processor(), Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..callers {
            let store = store.clone();
            tasks.spawn(async move {
                for n in 0..8_000 / callers {
                    store.run(vec![count(caller, n % 8)]).await.unwrap();
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let time = start.elapsed();
        println!(
            "{callers:>3} callers, one HINCRBY each time: {:>7.0} calls/s, processor {:.2?} per call, {} commits",
            8_000.0 / time.as_secs_f64(),
            processor().saturating_sub(busy) / 8_000,
            store.commits() - commits
        );
    }

    let (busy, start) = (processor(), Instant::now());
    for n in 0..20_000 {
        let field = Command::HGet {
            key: hash_key(scattered(n, KEYS)),
            field: "tokens:3".into(),
        };
        store.run(vec![field]).await.unwrap();
    }
    println!(
        "HGET, one by one: {:.2?} each, processor {:.2?}",
        start.elapsed() / 20_000,
        processor().saturating_sub(busy) / 20_000
    );
    let (busy, start) = (processor(), Instant::now());
    for n in 0..20_000 {
        store
            .run(vec![Command::HGetAll {
                key: hash_key(scattered(n, KEYS)),
            }])
            .await
            .unwrap();
    }
    println!(
        "HGETALL of 8 fields, one by one: {:.2?} each, processor {:.2?}",
        start.elapsed() / 20_000,
        processor().saturating_sub(busy) / 20_000
    );
    println!(
        "file: {} MiB, resident: {}",
        std::fs::metadata(place.path()).unwrap().len() >> 20,
        resident()
    );

    // As a kill leaves it: a copy of the file of a store that is open.
    let copy = place.directory.path().join("copy.redb");
    std::fs::copy(place.path(), &copy).unwrap();
    let start = Instant::now();
    drop(Embedded::open(&copy, Arc::new(Movable::at(START))).unwrap());
    println!("opening it after a kill: {:.2?}", start.elapsed());
}
