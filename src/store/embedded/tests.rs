mod appended;
mod bench;
mod disk;
mod ends;
mod groups;
mod killed;
mod power;

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::port::clock::movable::Movable;
use crate::store::conformance::{self, START, Subject, differential};

/// A data file in a directory of its own.
struct Place {
    directory: TempDir,
    clock: Movable,
}

impl Place {
    fn new() -> Place {
        Place {
            directory: tempfile::tempdir().unwrap(),
            clock: Movable::at(START),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("crs.redb")
    }

    fn try_open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(&self.path(), Arc::new(self.clock.clone()))
    }

    fn open(&self) -> Embedded {
        self.try_open().unwrap()
    }
}

fn set(key: &str, value: &str) -> Command {
    Command::Set {
        key: key.into(),
        value: value.to_owned().into(),
        expire_at: None,
    }
}

fn get(key: &str) -> Command {
    Command::Get { key: key.into() }
}

fn incr(key: &str) -> Command {
    Command::IncrBy {
        key: key.into(),
        by: 1,
    }
}

fn some(text: &str) -> Reply {
    Reply::Value(Some(text.to_owned().into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let place = Place::new();
    let subject = Subject {
        store: Arc::new(place.open()),
        clock: Some(place.clock.clone()),
    };
    conformance::run(&subject).await;
}

#[test]
fn agrees_with_memory() {
    let place = Place::new();
    let subject = Subject {
        store: Arc::new(place.open()),
        clock: Some(place.clock.clone()),
    };
    differential::agrees_with_memory(&subject, 300);
}

/// Two of everything, to look for after the file was closed.
fn of_every_type() -> Vec<Command> {
    vec![
        set("text", "1"),
        Command::HSet {
            key: "hash".into(),
            entries: vec![("a".into(), "1".into()), ("b".into(), "x".into())],
        },
        Command::SAdd {
            key: "set".into(),
            members: vec!["a".into(), "b".into()],
        },
        Command::ZAdd {
            key: "sorted".into(),
            entries: vec![(2.0, "a".into()), (-1.0, "b".into())],
        },
        Command::Set {
            key: "ends".into(),
            value: "v".into(),
            expire_at: Some(START + 10),
        },
    ]
}

fn all_of_it() -> Vec<Command> {
    vec![
        get("text"),
        Command::HGetAll { key: "hash".into() },
        Command::HLen { key: "hash".into() },
        Command::SMembers { key: "set".into() },
        Command::ZRangeByScore {
            key: "sorted".into(),
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
            rev: false,
            offset: 0,
            limit: 9,
        },
        Command::ZCard { key: "sorted".into() },
        get("ends"),
    ]
}

#[tokio::test]
async fn everything_is_there_when_the_file_is_opened_again() {
    let place = Place::new();
    let store = place.open();
    store.run(of_every_type()).await.unwrap();
    let before = store.run(all_of_it()).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.run(all_of_it()).await.unwrap(), before);
    // New collections do not take the place of old ones.
    store
        .run(vec![Command::SAdd {
            key: "new".into(),
            members: vec!["c".into()],
        }])
        .await
        .unwrap();
    assert_eq!(store.run(all_of_it()).await.unwrap(), before);
    place.clock.jump(START + 10);
    assert_eq!(store.run(vec![get("ends")]).await.unwrap(), [Reply::Value(None)]);
}

#[tokio::test]
async fn a_long_read_goes_to_another_thread_and_is_answered_alike() {
    let place = Place::new();
    let store = place.open();
    let names: Vec<String> = (0..1_000).map(|n| format!("m{n:04}")).collect();
    let fields = names
        .iter()
        .map(|name| (name.clone(), name.clone().into()))
        .collect();
    let scores = names.iter().map(|name| (1.0, name.clone())).collect();
    store
        .run(vec![
            Command::HSet {
                key: "hash".into(),
                entries: fields,
            },
            Command::ZAdd {
                key: "sorted".into(),
                entries: scores,
            },
        ])
        .await
        .unwrap();
    let page = |offset, limit| Command::ZRangeByScore {
        key: "sorted".into(),
        min: 0.0,
        max: 1.0,
        rev: true,
        offset,
        limit,
    };
    let long = vec![Command::HGetAll { key: "hash".into() }];
    assert!(matches!(
        store.shared.read(&long, Some(READ_HERE)),
        Err(Fault::Long)
    ));
    assert!(matches!(
        store.shared.read(&[page(990, 2)], Some(READ_HERE)),
        Err(Fault::Long)
    ));
    assert!(store.shared.read(&[page(10, 20)], Some(READ_HERE)).is_ok());
    let Reply::Entries(entries) = store.run(long).await.unwrap().remove(0) else {
        panic!("no entries")
    };
    assert_eq!(entries.len(), 1_000);
    let expected = Reply::Scored(vec![("m0009".into(), 1.0), ("m0008".into(), 1.0)]);
    assert_eq!(store.run(vec![page(990, 2)]).await.unwrap(), [expected]);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nothing_back() {
    let place = Place::new();
    let store = place.open();
    let (release, until) = mpsc::channel();
    store.jobs.as_ref().unwrap().send(Job::Hold(until)).unwrap();
    {
        let call = store.run(vec![incr("left")]);
        tokio::pin!(call);
        assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
    }
    release.send(()).unwrap();
    assert_eq!(store.run(vec![incr("stayed")]).await.unwrap(), [Reply::Int(1)]);
    assert_eq!(store.run(vec![get("left")]).await.unwrap(), [some("1")]);
}

#[tokio::test]
async fn what_waits_is_written_before_the_store_is_dropped() {
    let place = Place::new();
    let store = place.open();
    let (release, until) = mpsc::channel();
    store.jobs.as_ref().unwrap().send(Job::Hold(until)).unwrap();
    {
        let call = store.run(vec![incr("last")]);
        tokio::pin!(call);
        assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
    }
    release.send(()).unwrap();
    drop(store);
    assert_eq!(place.open().run(vec![get("last")]).await.unwrap(), [some("1")]);
}
