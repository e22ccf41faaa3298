use crs_durable::CallId;
use crs_support::redis_server::RedisServer;

use super::*;
use crate::store::tcp::Tcp;

const MACHINE: &str = "gate:00ff";

fn home(server: &RedisServer) -> RedisHome<Tcp> {
    RedisHome::new(Tcp::new(&server.url(0), None).unwrap())
}

fn version(number: u64) -> Version {
    Version {
        number,
        name: u128::from(number) << 100,
    }
}

fn write(base: u64, next: u64, rows: &[(Row, Option<&str>)]) -> Request {
    let of = |number| {
        if number == 0 {
            Version::default()
        } else {
            version(number)
        }
    };
    Request {
        base: of(base),
        next: (next > 0).then(|| of(next)),
        before: Vec::new(),
        rows: rows
            .iter()
            .map(|(row, text)| (*row, text.map(str::to_owned)))
            .collect(),
        wake: Vec::new(),
        news: false,
        over: false,
    }
}

async fn answer(home: &RedisHome<Tcp>, request: &Request) -> Answer {
    home.step(MACHINE, request).await.unwrap().answer
}

#[tokio::test]
async fn a_step_is_taken_by_the_version_and_others_hear_what_changed() {
    let server = RedisServer::start();
    let home = home(&server);
    assert_eq!(
        answer(&home, &write(0, 0, &[])).await,
        Answer::Yes,
        "there is nothing"
    );
    let (head, lease) = (Row::Head, Row::Lease(CallId(7)));
    let first = write(0, 1, &[(head, Some("{\"a\":\"\u{e9} b\"}")), (lease, Some("1"))]);
    assert_eq!(answer(&home, &first).await, Answer::Yes);
    assert_eq!(answer(&home, &write(1, 0, &[])).await, Answer::Yes, "only looks");
    let second = write(1, 2, &[(lease, None), (Row::Waiter(3), Some("w"))]);
    assert_eq!(answer(&home, &second).await, Answer::Yes);
    assert_eq!(
        answer(&home, &write(2, 3, &[(head, Some("3"))])).await,
        Answer::Yes
    );
    let late = write(1, 2, &[(head, Some("never"))]);
    let Answer::Changed {
        version: now,
        mut rows,
        log,
    } = answer(&home, &late).await
    else {
        panic!("it is further");
    };
    rows.sort();
    assert_eq!((now, log), (version(3), vec![version(2), version(3)]));
    assert_eq!(
        rows,
        [
            (head, Some("3".into())),
            (lease, None),
            (Row::Waiter(3), Some("w".into()))
        ]
    );
    // Of another past: nothing is known in common.
    let mut other = write(1, 2, &[]);
    other.base.name += 1;
    let Answer::Whole {
        version: now,
        mut rows,
        mut log,
        ..
    } = answer(&home, &other).await
    else {
        panic!("all there is");
    };
    rows.sort();
    log.sort();
    assert_eq!((now, log), (version(3), vec![version(1), version(2), version(3)]));
    assert_eq!(rows, [(head, "3".into()), (Row::Waiter(3), "w".into())]);
}

#[tokio::test]
async fn a_restarted_server_gets_the_script_and_keeps_the_versions() {
    let server = RedisServer::start();
    let home = home(&server);
    assert_eq!(
        answer(&home, &write(0, 1, &[(Row::Head, Some("1"))])).await,
        Answer::Yes
    );
    let tcp = Tcp::new(&server.url(0), None).unwrap();
    for words in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
        let args = words.iter().map(|word| Bytes::from((*word).to_owned())).collect();
        tcp.send(args).await.unwrap();
    }
    let Answer::Whole {
        version: now, rows, ..
    } = answer(&home, &write(1, 2, &[])).await
    else {
        panic!("it has nothing");
    };
    assert_eq!((now, rows), (Version::default(), Vec::new()));
    let again = Request {
        before: vec![version(1)],
        ..write(0, 2, &[(Row::Head, Some("2"))])
    };
    assert_eq!(answer(&home, &again).await, Answer::Yes);
    let Answer::Whole { log, before, .. } = answer(&home, &write(1, 2, &[])).await else {
        panic!("who knows the first version reads all, and sees that it is known");
    };
    assert_eq!((log, before), (vec![version(2)], vec![version(1)]));
}

#[tokio::test]
async fn many_rows_and_many_versions_are_no_trouble() {
    let server = RedisServer::start();
    let home = home(&server);
    let rows: Vec<(Row, Option<&str>)> = (0..9_000)
        .map(|session| (Row::Session(session), Some("[1,2,3]")))
        .collect();
    assert_eq!(answer(&home, &write(0, 1, &rows)).await, Answer::Yes);
    for number in 1..1_100 {
        let step = write(number, number + 1, &[(Row::Session(number), None)]);
        assert_eq!(answer(&home, &step).await, Answer::Yes);
    }
    let Answer::Changed { rows, .. } = answer(&home, &write(100, 0, &[])).await else {
        panic!("the last thousand are remembered");
    };
    assert_eq!(rows.len(), 1_000);
    let Answer::Whole { rows, log, .. } = answer(&home, &write(50, 0, &[])).await else {
        panic!("older ones are not");
    };
    assert_eq!((rows.len(), log.len()), (9_000 - 1_099, 1_024));
}

#[tokio::test]
async fn wake_ups_reach_all_processes_and_unneeded_rows_expire() {
    let server = RedisServer::start();
    let home = home(&server);
    let mut messages = home.messages().await.unwrap().unwrap();
    let request = Request {
        wake: vec![CallId(5)],
        news: true,
        over: true,
        ..write(0, 1, &[(Row::Head, Some("1"))])
    };
    assert_eq!(answer(&home, &request).await, Answer::Yes);
    let message = messages.next().await.unwrap();
    assert_eq!(
        (message.machine.as_str(), message.wake, message.news),
        (MACHINE, vec![CallId(5)], true)
    );
    let tcp = Tcp::new(&server.url(0), None).unwrap();
    let ends = async || {
        let args = vec![Bytes::from_static(b"PTTL"), Bytes::from(keys::machine(MACHINE))];
        tcp.send(args).await.unwrap()
    };
    assert!(matches!(ends().await, Value::Int(1..=86_400_000)));
    assert_eq!(
        answer(&home, &write(1, 2, &[(Row::Head, Some("2"))])).await,
        Answer::Yes
    );
    assert_eq!(ends().await, Value::Int(-1), "it is needed again");
}
