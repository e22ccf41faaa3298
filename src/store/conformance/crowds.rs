//! Concurrent callers.

use tokio::task::JoinSet;

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        compare_and_set_loses_no_increment,
        readers_see_whole_batches_only,
        what_is_acknowledged_is_seen_by_everyone,
        a_failing_caller_does_not_disturb_the_others,
    );
}

async fn compare_and_set_loses_no_increment(s: &Subject) {
    s.run(vec![set("cas", "0"), hset("cas-hash", &[("n", "0")])])
        .await;
    let mut writers = JoinSet::new();
    for _ in 0..200 {
        let store = s.store.clone();
        writers.spawn(async move {
            loop {
                let replies = store.run(vec![get("cas"), hget("cas-hash", "n")]).await.unwrap();
                let [Reply::Value(Some(text)), Reply::Value(Some(number))] = replies.as_slice() else {
                    panic!("{replies:?}");
                };
                let next = (std::str::from_utf8(text).unwrap().parse::<u32>().unwrap() + 1).to_string();
                let guards = vec![
                    Guard::Value {
                        key: "cas".into(),
                        is: Some(text.clone()),
                    },
                    Guard::Field {
                        key: "cas-hash".into(),
                        field: "n".into(),
                        is: Some(number.clone()),
                    },
                ];
                let batch = vec![set("cas", &next), hincr_by("cas-hash", "n", 1)];
                if store.atomically(guards, batch).await.unwrap() == Applied::Yes {
                    return;
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(
        s.run(vec![get("cas"), hget("cas-hash", "n")]).await,
        [some("200"), some("200")]
    );
}

async fn readers_see_whole_batches_only(s: &Subject) {
    const ROUNDS: usize = 100;
    s.one(hset("whole", &[("a", "0"), ("b", "0")])).await;
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let store = s.store.clone();
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                let batch = vec![
                    hincr_by("whole", "a", 1),
                    zadd("whole-list", &[(1.0, "x")]),
                    zrem("whole-list", &["x"]),
                    hincr_by("whole", "b", 1),
                ];
                assert_eq!(store.atomically(vec![], batch).await.unwrap(), Applied::Yes);
            }
        });
    }
    for _ in 0..2 {
        let store = s.store.clone();
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                let replies = store
                    .run(vec![hmget("whole", &["a", "b"]), zcard("whole-list")])
                    .await
                    .unwrap();
                match &replies[0] {
                    Reply::Values(values) => assert_eq!(values[0], values[1]),
                    other => panic!("{other:?}"),
                }
                assert_eq!(replies[1], Reply::Int(0));
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let total = (2 * ROUNDS).to_string();
    assert_eq!(
        s.one(hmget("whole", &["a", "b"])).await,
        Reply::Values(vec![Some(bytes(&total)); 2])
    );
}

async fn what_is_acknowledged_is_seen_by_everyone(s: &Subject) {
    let mut callers = JoinSet::new();
    for n in 0..32 {
        let store = s.store.clone();
        callers.spawn(async move {
            let (key, list) = (format!("seen:{n}"), "seen");
            for round in 0..10 {
                let text = round.to_string();
                store
                    .run(vec![set(&key, &text), zadd(list, &[(f64::from(round), &key)])])
                    .await
                    .unwrap();
                let replies = store.run(vec![get(&key), zscore(list, &key)]).await.unwrap();
                assert_eq!(replies, [some(&text), Reply::Score(Some(f64::from(round)))]);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

async fn a_failing_caller_does_not_disturb_the_others(s: &Subject) {
    s.one(set("bad", "text")).await;
    let mut callers = JoinSet::new();
    for n in 0..60 {
        let store = s.store.clone();
        callers.spawn(async move {
            match n % 3 {
                0 => {
                    let batch = vec![incr_by("good", 1), hset(&format!("good:{n}"), &[("a", "1")])];
                    store.run(batch).await.unwrap();
                }
                1 => {
                    let batch = vec![incr_by("half", 1), hincr_by("bad", "a", 1)];
                    assert!(store.run(batch).await.is_err());
                }
                _ => {
                    let batch = vec![incr_by("never", 1), hincr_by("bad", "a", 1)];
                    assert!(store.atomically(vec![], batch).await.is_err());
                }
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(
        s.run(vec![get("good"), get("half"), exists("never")]).await,
        [some("20"), some("20"), Reply::Int(0)]
    );
}
