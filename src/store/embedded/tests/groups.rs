//! Callers that share a transaction.

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;

/// Lets all calls queue while the writer stands still, then lets it go.
async fn together<T>(store: &Embedded, calls: Vec<impl Future<Output = T>>) -> Vec<T> {
    let (release, until) = mpsc::channel();
    store.jobs.as_ref().unwrap().send(Job::Hold(until)).unwrap();
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    release.send(()).unwrap();
    join_all(calls).await
}

#[tokio::test]
async fn calls_that_wait_together_are_committed_together() {
    let place = Place::new();
    let store = place.open();
    store.run(vec![set("before", "1")]).await.unwrap();
    let before = store.commits();
    let calls = (0..32)
        .map(|n| store.run(vec![set(&format!("k{n}"), "v"), incr("all")]))
        .collect();
    let replies = together(&store, calls).await;
    assert_eq!(store.commits(), before + 1);
    let counts: Vec<Reply> = replies
        .into_iter()
        .map(|replies| replies.unwrap().remove(1))
        .collect();
    assert_eq!(
        counts,
        (1..=32).map(Reply::Int).collect::<Vec<_>>(),
        "in the order they came"
    );
}

#[tokio::test]
async fn a_group_is_bounded_by_what_it_weighs() {
    let place = Place::new();
    let store = place.open();
    let before = store.commits();
    let large: String = "x".repeat(1 << 20);
    let calls = (0..12)
        .map(|n| store.run(vec![set(&format!("k{n}"), &large)]))
        .collect();
    together(&store, calls)
        .await
        .into_iter()
        .for_each(|outcome| assert_eq!(outcome.unwrap(), [Reply::Ok]));
    // Each weighs 4,097, so eight fill a group.
    assert_eq!(store.commits() - before, 2);
}

#[tokio::test]
async fn a_failing_call_concerns_its_caller_only() {
    let place = Place::new();
    let store = place.open();
    store.run(of_every_type()).await.unwrap();
    let before = store.commits();
    let add = |key: &str| Command::SAdd {
        key: key.into(),
        members: vec!["m".into()],
    };
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let store = &store;
            async move {
                match n % 4 {
                    0 => store.run(vec![incr("good")]).await.map(drop),
                    1 => store
                        .run(vec![incr("half"), add("text"), incr("half")])
                        .await
                        .map(drop),
                    // Half-done when it fails: the group is run again without it.
                    2 => store
                        .atomically(vec![], vec![incr("never"), add("text")])
                        .await
                        .map(drop),
                    _ => {
                        let applied = store
                            .atomically(vec![], vec![incr("atomic"), add("members")])
                            .await;
                        applied.map(|applied| assert_eq!(applied, Applied::Yes))
                    }
                }
            }
        })
        .collect();
    for (n, outcome) in together(&store, calls).await.into_iter().enumerate() {
        match outcome {
            Ok(()) => assert!(matches!(n % 4, 0 | 3), "call {n}"),
            Err(StoreError::WrongType { key, command: "SADD" }) => {
                assert!(matches!(n % 4, 1 | 2), "call {n}");
                assert_eq!(key, "text");
            }
            Err(other) => panic!("call {n}: {other}"),
        }
    }
    assert_eq!(store.commits(), before + 1);
    let counts = store
        .run(vec![get("good"), get("half"), get("never"), get("atomic")])
        .await
        .unwrap();
    assert_eq!(counts, [some("10"), some("20"), Reply::Value(None), some("10")]);
}

#[tokio::test]
async fn what_changes_nothing_costs_no_commit() {
    let place = Place::new();
    let store = place.open();
    store.run(of_every_type()).await.unwrap();
    let before = store.commits();
    let guard = Guard::Value {
        key: "text".into(),
        is: None,
    };
    assert_eq!(
        store
            .atomically(vec![guard], vec![set("text", "2")])
            .await
            .unwrap(),
        Applied::No { guard: 0 }
    );
    let idle = vec![
        Command::Del { key: "none".into() },
        Command::HDel {
            key: "hash".into(),
            fields: vec!["none".into()],
        },
        Command::HSet {
            key: "hash".into(),
            entries: vec![("a".into(), "1".into())],
        },
        Command::ZAdd {
            key: "sorted".into(),
            entries: vec![(2.0, "a".into())],
        },
        Command::PExpireAt {
            key: "ends".into(),
            at: START + 10,
        },
    ];
    store.run(idle).await.unwrap();
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn callers_of_one_group_see_one_another_in_order() {
    let place = Place::new();
    let store = place.open();
    let zero = || Some("0".into());
    let cas = |n: u32| {
        let guard = Guard::Field {
            key: "h".into(),
            field: "n".into(),
            is: if n == 0 { None } else { zero() },
        };
        let set = Command::HSet {
            key: "h".into(),
            entries: vec![("n".into(), "0".into())],
        };
        store.atomically(vec![guard], vec![set, incr("wins")])
    };
    // Only the first finds the field absent; the others find what it left, uncommitted as yet.
    let outcomes = together(&store, (0..10).map(cas).collect()).await;
    assert!(
        outcomes
            .into_iter()
            .all(|outcome| outcome.unwrap() == Applied::Yes)
    );
    assert_eq!(store.run(vec![get("wins")]).await.unwrap(), [some("10")]);
}
