//! A process that is killed while it writes. The child is this test binary again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command as Process, Stdio};

use super::*;

const FILE: &str = "CRS_TEST_KILLED_FILE";
const FIRST: &str = "CRS_TEST_KILLED_FIRST";
const CHILD: &str = "store::embedded::tests::killed::writes_until_it_is_killed";

/// Rounds, and acknowledged writes after which each ends.
const ROUNDS: [u64; 8] = [1, 40, 3, 400, 150, 25, 700, 90];
const WRITERS: usize = 8;

fn record(number: u64) -> String {
    format!("record:{number}")
}

/// One record: a hash, a place in the list, and two counters that must agree.
fn write(number: u64) -> Vec<Command> {
    let key = record(number);
    let fields = (0..8)
        .map(|field| (format!("f{field}"), number.to_string().into()))
        .collect();
    vec![
        incr("count"),
        Command::HSet {
            key: key.clone(),
            entries: fields,
        },
        Command::ZAdd {
            key: "list".into(),
            entries: vec![(number as f64, key.clone())],
        },
        Command::Set {
            key: format!("text:{key}"),
            value: vec![b'x'; 300].into(),
            expire_at: None,
        },
        Command::HIncrBy {
            key: "counts".into(),
            field: "count".into(),
            by: 1,
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of `acknowledged_writes_survive_a_kill`"]
#[expect(
    clippy::disallowed_methods,
    reason = "told by the parent which file to write to"
)]
async fn writes_until_it_is_killed() {
    let (Ok(file), Ok(first)) = (std::env::var(FILE), std::env::var(FIRST)) else {
        return;
    };
    let first: u64 = first.parse().unwrap();
    let store = Arc::new(Embedded::open(file.as_ref(), Arc::new(Movable::at(START))).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS as u64 {
        let store = store.clone();
        writers.spawn(async move {
            for number in (first + writer..).step_by(WRITERS) {
                assert_eq!(
                    store.atomically(vec![], write(number)).await.unwrap(),
                    Applied::Yes
                );
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {number}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    while writers.join_next().await.is_some() {}
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let place = Place::new();
    let mut acknowledged: Vec<u64> = Vec::new();
    for (round, writes) in ROUNDS.into_iter().enumerate() {
        let first = round as u64 * 1_000_000;
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                CHILD,
                "--ignored",
                "--nocapture",
                "--test-threads",
                "1",
            ])
            .env(FILE, place.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut seen = 0;
        let number = |line: String| line.split_once("acknowledged ")?.1.trim().parse::<u64>().ok();
        while seen < writes {
            let line = lines.next().expect("the child writes until it is killed");
            if let Some(number) = number(line) {
                acknowledged.push(number);
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it could still say counts too.
        acknowledged.extend(lines.filter_map(number));

        let store = place.open();
        for number in &acknowledged {
            let replies = store
                .run(vec![
                    Command::HGetAll { key: record(*number) },
                    Command::ZScore {
                        key: "list".into(),
                        member: record(*number),
                    },
                    get(&format!("text:{}", record(*number))),
                ])
                .await
                .unwrap();
            let Reply::Entries(fields) = &replies[0] else {
                panic!("no entries")
            };
            assert_eq!(fields.len(), 8, "round {round}, record {number}");
            assert!(fields.iter().all(|(_, value)| *value == number.to_string()));
            assert_eq!(replies[1], Reply::Score(Some(*number as f64)));
            assert_eq!(replies[2], some(&"x".repeat(300)));
        }
        // What was not acknowledged may be there, but not half of it.
        let replies = store
            .run(vec![
                get("count"),
                Command::HGet {
                    key: "counts".into(),
                    field: "count".into(),
                },
                Command::ZCard { key: "list".into() },
            ])
            .await
            .unwrap();
        assert_eq!(replies[0], replies[1], "round {round}");
        let Reply::Int(listed) = replies[2] else {
            panic!("no count")
        };
        assert_eq!(replies[0], some(&listed.to_string()), "round {round}");
        assert!(u64::try_from(listed).unwrap() >= acknowledged.len() as u64);
    }
}
