//! Batches that are not atomic, and large values.

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        an_empty_batch_is_answered,
        commands_run_in_order,
        a_failing_command_does_not_stop_the_others,
        large_values,
        large_batches,
    );
}

async fn an_empty_batch_is_answered(s: &Subject) {
    assert_eq!(s.run(vec![]).await, []);
}

async fn commands_run_in_order(s: &Subject) {
    let replies = s
        .run(vec![
            get("order"),
            set("order", "1"),
            get("order"),
            incr_by("order", 1),
            get("order"),
            del("order"),
            exists("order"),
            hset("order", &[("a", "1"), ("b", "2")]),
            hincr_by("order", "a", 4),
            hgetall("order"),
            hlen("order"),
            zadd("order-list", &[(2.0, "b"), (1.0, "a")]),
            zrange("order-list", 0.0, 9.0),
            zadd("order-list", &[(3.0, "a")]),
            zpage("order-list", 0.0, 9.0, true, 0, 1),
            zcard("order-list"),
            sadd("order-set", &["m"]),
            smembers("order-set"),
            srem("order-set", &["m"]),
            smembers("order-set"),
        ])
        .await;
    assert_eq!(
        replies.into_iter().map(sorted).collect::<Vec<_>>(),
        [
            Reply::Value(None),
            Reply::Ok,
            some("1"),
            Reply::Int(2),
            some("2"),
            Reply::Int(1),
            Reply::Int(0),
            Reply::Int(2),
            Reply::Int(5),
            entries(&[("a", "5"), ("b", "2")]),
            Reply::Int(2),
            Reply::Int(2),
            Reply::Scored(vec![("a".into(), 1.0), ("b".into(), 2.0)]),
            Reply::Int(0),
            Reply::Scored(vec![("a".into(), 3.0)]),
            Reply::Int(2),
            Reply::Int(1),
            Reply::Members(names(&["m"])),
            Reply::Int(1),
            Reply::Members(vec![]),
        ]
    );
}

async fn a_failing_command_does_not_stop_the_others(s: &Subject) {
    s.one(set("in-the-way", "text")).await;
    let batch = vec![
        set("before", "1"),
        hset("in-the-way", &[("a", "1")]),
        incr_by("in-the-way", 1),
        set("after", "1"),
    ];
    match s.store.run(batch).await {
        Err(StoreError::WrongType { key, command }) => {
            assert_eq!((key.as_str(), command), ("in-the-way", "HSET"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        s.run(vec![get("before"), get("after"), get("in-the-way")]).await,
        [some("1"), some("1"), some("text")]
    );
    // Among commands that only read too.
    match s.store.run(vec![get("before"), hget("in-the-way", "a")]).await {
        Err(StoreError::WrongType { key, command }) => {
            assert_eq!((key.as_str(), command), ("in-the-way", "HGET"));
        }
        other => panic!("{other:?}"),
    }
}

async fn large_values(s: &Subject) {
    let value: Bytes = (0..1_048_576_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect::<Vec<u8>>()
        .into();
    let key = "large";
    s.one(Command::Set {
        key: key.into(),
        value: value.clone(),
        expire_at: None,
    })
    .await;
    assert_eq!(s.one(get(key)).await, Reply::Value(Some(value.clone())));
    let guard = Guard::Value {
        key: key.into(),
        is: Some(value.clone()),
    };
    let batch = vec![
        Command::HSet {
            key: "large-hash".into(),
            entries: vec![("a".into(), value.clone())],
        },
        del(key),
    ];
    assert_eq!(s.atomically(vec![guard], batch).await, Applied::Yes);
    assert_eq!(
        s.run(vec![exists(key), hget("large-hash", "a")]).await,
        [Reply::Int(0), Reply::Value(Some(value))]
    );
}

async fn large_batches(s: &Subject) {
    let batch: Vec<Command> = (0..5_000)
        .map(|n| match n % 5 {
            0 => set(&format!("large:{n}"), &n.to_string()),
            1 => hincr_by(&format!("large:hash:{}", n % 100), "count", 1),
            2 => hset(&format!("large:hash:{}", n % 100), &[("last", &n.to_string())]),
            3 => zadd("large:list", &[(f64::from(n), &format!("m{n}"))]),
            _ => sadd("large:set", &[&format!("m{}", n % 1_000)]),
        })
        .collect();
    s.run(batch).await;
    let replies = s
        .run(vec![
            zcard("large:list"),
            hget("large:hash:1", "count"),
            get("large:4995"),
        ])
        .await;
    assert_eq!(replies, [Reply::Int(1_000), some("50"), some("4995")]);
    let reads = s
        .run((0..5_000).map(|n| get(&format!("large:{n}"))).collect())
        .await;
    assert_eq!(
        reads
            .into_iter()
            .filter(|reply| *reply != Reply::Value(None))
            .count(),
        1_000
    );
    let page = members(s.one(zpage("large:list", 0.0, 5_000.0, true, 0, 2)).await);
    assert_eq!(page, ["m4998", "m4993"]);
}
