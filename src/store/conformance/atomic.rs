//! Guards and atomic batches.

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        guards_of_values,
        guards_of_fields,
        the_first_guard_that_does_not_hold_is_named,
        a_guard_on_another_type_is_an_error,
        every_command_may_be_in_a_batch,
        a_batch_sees_its_own_changes,
        what_ends_in_a_batch_is_gone_for_the_rest_of_it,
        a_failing_command_takes_the_whole_batch_back,
        increments_are_exact_over_the_whole_range,
        long_commands_and_long_batches,
    );
}

fn value(key: &str, is: Option<&str>) -> Guard {
    Guard::Value {
        key: key.into(),
        is: is.map(bytes),
    }
}

fn field(key: &str, field: &str, is: Option<&str>) -> Guard {
    Guard::Field {
        key: key.into(),
        field: field.into(),
        is: is.map(bytes),
    }
}

const NO: Applied = Applied::No { guard: 0 };

async fn guards_of_values(s: &Subject) {
    assert_eq!(
        s.atomically(vec![value("g:v", Some("1"))], vec![set("g:v", "x")])
            .await,
        NO
    );
    assert_eq!(
        s.atomically(vec![value("g:v", Some(""))], vec![set("g:v", "x")])
            .await,
        NO
    );
    assert_eq!(s.one(exists("g:v")).await, Reply::Int(0));
    assert_eq!(
        s.atomically(vec![value("g:v", None)], vec![set("g:v", "1")])
            .await,
        Applied::Yes
    );
    assert_eq!(
        s.atomically(vec![value("g:v", None)], vec![set("g:v", "x")])
            .await,
        NO
    );
    assert_eq!(
        s.atomically(vec![value("g:v", Some("2"))], vec![set("g:v", "x")])
            .await,
        NO
    );
    assert_eq!(
        s.atomically(vec![value("g:v", Some("1"))], vec![set("g:v", "2")])
            .await,
        Applied::Yes
    );
    assert_eq!(s.one(get("g:v")).await, some("2"));
    let binary = Bytes::from_static(b"\0\xff\r\n");
    s.one(Command::Set {
        key: "g:b".into(),
        value: binary.clone(),
        expire_at: None,
    })
    .await;
    let guard = Guard::Value {
        key: "g:b".into(),
        is: Some(binary),
    };
    assert_eq!(s.atomically(vec![guard], vec![del("g:b")]).await, Applied::Yes);
    assert_eq!(s.one(exists("g:b")).await, Reply::Int(0));
    // Absence can be tested for keys of any type.
    s.one(hset("g:h", &[("a", "1")])).await;
    assert_eq!(s.atomically(vec![value("g:h", None)], vec![del("g:h")]).await, NO);
}

async fn guards_of_fields(s: &Subject) {
    assert_eq!(s.atomically(vec![field("g:f", "a", Some("1"))], vec![]).await, NO);
    let absent = vec![field("g:f", "a", None)];
    assert_eq!(
        s.atomically(absent.clone(), vec![hset("g:f", &[("a", "1")])])
            .await,
        Applied::Yes
    );
    assert_eq!(s.atomically(absent, vec![hset("g:f", &[("a", "x")])]).await, NO);
    assert_eq!(
        s.atomically(vec![field("g:f", "b", None)], vec![hset("g:f", &[("b", "")])])
            .await,
        Applied::Yes
    );
    assert_eq!(
        s.atomically(vec![field("g:f", "b", Some(""))], vec![]).await,
        Applied::Yes
    );
    assert_eq!(s.atomically(vec![field("g:f", "b", None)], vec![]).await, NO);
    assert_eq!(
        s.atomically(vec![field("g:f", "a", Some("2"))], vec![del("g:f")])
            .await,
        NO
    );
    assert_eq!(
        s.atomically(vec![field("g:f", "a", Some("1"))], vec![hincr_by("g:f", "a", 1)])
            .await,
        Applied::Yes
    );
    assert_eq!(
        sorted(s.one(hgetall("g:f")).await),
        entries(&[("a", "2"), ("b", "")])
    );
}

async fn the_first_guard_that_does_not_hold_is_named(s: &Subject) {
    s.run(vec![set("g:1", "1"), hset("g:2", &[("a", "2")])]).await;
    let guards = |last: &str| {
        vec![
            value("g:1", Some("1")),
            field("g:2", "a", Some("2")),
            value("g:none", None),
            field("g:2", "a", Some(last)),
            value("g:1", None),
        ]
    };
    assert_eq!(
        s.atomically(guards("2"), vec![set("g:1", "x")]).await,
        Applied::No { guard: 4 }
    );
    assert_eq!(
        s.atomically(guards("3"), vec![set("g:1", "x")]).await,
        Applied::No { guard: 3 }
    );
    assert_eq!(s.one(get("g:1")).await, some("1"));
    assert_eq!(s.atomically(vec![], vec![set("g:1", "2")]).await, Applied::Yes);
    assert_eq!(s.one(get("g:1")).await, some("2"));
    assert_eq!(s.atomically(vec![], vec![]).await, Applied::Yes);
}

async fn a_guard_on_another_type_is_an_error(s: &Subject) {
    s.run(vec![set("g:text", "1"), hset("g:hash", &[("a", "1")])])
        .await;
    for guard in [
        field("g:text", "a", None),
        field("g:text", "a", Some("1")),
        value("g:hash", Some("1")),
    ] {
        match s
            .store
            .atomically(vec![value("g:none", None), guard.clone()], vec![del("g:text")])
            .await
        {
            Err(StoreError::WrongType { key, .. }) => assert_eq!(key, guard.key()),
            other => panic!("{guard:?}: {other:?}"),
        }
    }
    assert_eq!(s.one(get("g:text")).await, some("1"));
}

async fn every_command_may_be_in_a_batch(s: &Subject) {
    s.run(vec![
        set("b:del", "v"),
        hset("b:hdel", &[("a", "1"), ("b", "2")]),
        sadd("b:srem", &["a", "b"]),
        zadd("b:zrem", &[(1.0, "a"), (2.0, "b")]),
        zadd("b:cut", &[(1.0, "a"), (2.0, "b")]),
        set("b:past", "v"),
        set("b:future", "v"),
    ])
    .await;
    let batch = vec![
        set("b:set", "v"),
        set_until("b:until", "v", FUTURE),
        set_until("b:gone", "v", PAST),
        del("b:del"),
        incr_by("b:count", 7),
        expire_at("b:past", PAST),
        expire_at("b:future", FUTURE),
        hset("b:hash", &[("a", "1"), ("b", "2")]),
        hdel("b:hdel", &["a"]),
        hincr_by("b:hash", "a", -3),
        sadd("b:set-of", &["m"]),
        srem("b:srem", &["a"]),
        zadd("b:sorted", &[(1.5, "m")]),
        zincr_by("b:sorted", 1.0, "n"),
        zrem("b:zrem", &["a"]),
        zcut("b:cut", 0.0, 1.0),
        // These only read; their replies are dropped.
        get("b:set"),
        exists("b:set"),
        hget("b:hash", "a"),
        hmget("b:hash", &["a", "b"]),
        hgetall("b:hash"),
        hlen("b:hash"),
        smembers("b:set-of"),
        zscore("b:sorted", "m"),
        zcard("b:sorted"),
        zrange("b:sorted", 0.0, 9.0),
        // And these have no fields or members.
        hset("b:idle", &[]),
        sadd("b:idle", &[]),
    ];
    assert_eq!(s.atomically(vec![], batch).await, Applied::Yes);
    let read = vec![
        get("b:set"),
        get("b:until"),
        exists("b:gone"),
        exists("b:del"),
        get("b:count"),
        exists("b:past"),
        get("b:future"),
        hmget("b:hash", &["a", "b"]),
        hgetall("b:hdel"),
        smembers("b:set-of"),
        smembers("b:srem"),
        zrange("b:sorted", 0.0, 9.0),
        zrange("b:zrem", 0.0, 9.0),
        zrange("b:cut", 0.0, 9.0),
        exists("b:idle"),
    ];
    assert_eq!(
        s.run(read).await,
        [
            some("v"),
            some("v"),
            Reply::Int(0),
            Reply::Int(0),
            some("7"),
            Reply::Int(0),
            some("v"),
            Reply::Values(vec![Some(bytes("-2")), Some(bytes("2"))]),
            entries(&[("b", "2")]),
            Reply::Members(names(&["m"])),
            Reply::Members(names(&["b"])),
            Reply::Scored(vec![("n".into(), 1.0), ("m".into(), 1.5)]),
            Reply::Scored(vec![("b".into(), 2.0)]),
            Reply::Scored(vec![("b".into(), 2.0)]),
            Reply::Int(0),
        ]
    );
}

async fn a_batch_sees_its_own_changes(s: &Subject) {
    s.run(vec![hset("own", &[("a", "1")]), set("own-text", "5")])
        .await;
    let batch = vec![
        // A key changes its type.
        del("own"),
        zadd("own", &[(1.0, "m")]),
        set("own", "10"),
        incr_by("own", 5),
        // The field is text at first and a number by then.
        hset("own-hash", &[("n", "9223372036854775806")]),
        hincr_by("own-hash", "n", 1),
        hdel("own-hash", &["n"]),
        hincr_by("own-hash", "n", 2),
        incr_by("own-text", 1),
        incr_by("own-text", 1),
    ];
    assert_eq!(s.atomically(vec![value("own", None)], batch.clone()).await, NO);
    assert_eq!(
        s.atomically(vec![field("own", "a", Some("1"))], batch).await,
        Applied::Yes
    );
    assert_eq!(
        s.run(vec![get("own"), hgetall("own-hash"), get("own-text")])
            .await,
        [some("15"), entries(&[("n", "2")]), some("7")]
    );
}

async fn what_ends_in_a_batch_is_gone_for_the_rest_of_it(s: &Subject) {
    let setup = vec![
        hset("over:hash", &[("n", "text")]),
        set("over:text", "text"),
        hset("over:deleted", &[("n", "text")]),
        set("over:set", "text"),
    ];
    s.run(setup).await;
    let batch = vec![
        expire_at("over:hash", PAST),
        zadd("over:hash", &[(1.0, "m")]),
        expire_at("over:text", PAST),
        incr_by("over:text", 1),
        del("over:deleted"),
        hincr_by("over:deleted", "n", 1),
        set_until("over:set", "text", PAST),
        sadd("over:set", &["m"]),
    ];
    assert_eq!(s.atomically(vec![], batch).await, Applied::Yes);
    let read = vec![
        zcard("over:hash"),
        get("over:text"),
        hgetall("over:deleted"),
        smembers("over:set"),
    ];
    assert_eq!(
        s.run(read).await,
        [
            Reply::Int(1),
            some("1"),
            entries(&[("n", "1")]),
            Reply::Members(names(&["m"]))
        ]
    );
}

async fn a_failing_command_takes_the_whole_batch_back(s: &Subject) {
    let setup = vec![
        set("back:text", "text"),
        set_until("back:count", "1", FUTURE),
        hset(
            "back:hash",
            &[("a", "1"), ("text", "t"), ("full", "9223372036854775807")],
        ),
        sadd("back:set", &["m"]),
        zadd("back:sorted", &[(1.0, "m"), (2.0, "n")]),
    ];
    let read = || {
        vec![
            get("back:text"),
            get("back:count"),
            hgetall("back:hash"),
            hlen("back:hash"),
            smembers("back:set"),
            zrange("back:sorted", f64::NEG_INFINITY, f64::INFINITY),
            zcard("back:sorted"),
            exists("back:new"),
        ]
    };
    s.run(setup).await;
    let before: Vec<Reply> = s.run(read()).await.into_iter().map(sorted).collect();
    let failing = [
        (sadd("back:hash", &["m"]), "WrongType"),
        (hget("back:sorted", "a"), "WrongType"),
        (incr_by("back:text", 1), "Unreadable"),
        (hincr_by("back:hash", "text", 1), "Unreadable"),
        (hincr_by("back:hash", "full", 1), "Unreadable"),
        (zadd("back:sorted", &[(f64::NAN, "m")]), "Unreadable"),
        // Refused because of the batch's own earlier commands.
        (hset("back:new", &[("a", "1")]), "WrongType"),
        (hincr_by("back:hash", "a", i64::MAX), "Unreadable"),
    ];
    for (command, kind) in failing {
        let batch = vec![
            incr_by("back:count", 1),
            expire_at("back:count", FUTURE + 5),
            hset("back:hash", &[("a", "2"), ("b", "3")]),
            hdel("back:hash", &["a"]),
            hincr_by("back:hash", "a", 1),
            sadd("back:set", &["n"]),
            srem("back:set", &["m"]),
            zadd("back:sorted", &[(5.0, "m"), (6.0, "o")]),
            zincr_by("back:sorted", 1.0, "n"),
            zcut("back:sorted", 4.0, 5.0),
            zrem("back:sorted", &["o"]),
            set("back:new", "v"),
            command.clone(),
            set("back:text", "after"),
            del("back:sorted"),
        ];
        let error = s
            .store
            .atomically(vec![], batch)
            .await
            .expect_err(&format!("{command:?} fails"));
        match (&error, kind) {
            (StoreError::WrongType { key, .. }, "WrongType")
            | (StoreError::Unreadable { key, .. }, "Unreadable") => assert_eq!(key, command.key()),
            _ => panic!("{command:?}: {error:?}"),
        }
        let after: Vec<Reply> = s.run(read()).await.into_iter().map(sorted).collect();
        assert_eq!(after, before, "{command:?}");
    }
    let Some(clock) = &s.clock else { return };
    clock.jump(FUTURE);
    assert_eq!(
        s.one(get("back:count")).await,
        Reply::Value(None),
        "the expiry came back too"
    );
    clock.jump(START);
}

async fn increments_are_exact_over_the_whole_range(s: &Subject) {
    let numbers = [
        0,
        1,
        -1,
        999_999_999,
        1_000_000_000,
        -1_000_000_001,
        9_007_199_254_740_993,
        -9_007_199_254_740_993,
        i64::MAX,
        i64::MAX - 1,
        i64::MIN,
        i64::MIN + 1,
        4_611_686_018_427_387_904,
        -5_000_000_000_000_000_001,
    ];
    for held in numbers {
        for by in numbers {
            s.run(vec![
                hset("exact", &[("n", &held.to_string())]),
                set("exact-text", &held.to_string()),
            ])
            .await;
            // Run twice, so that the second run sees the first one's result.
            let batch = vec![
                hincr_by("exact", "n", by),
                incr_by("exact-text", by),
                hincr_by("exact", "n", 0),
            ];
            let outcome = s.store.atomically(vec![], batch).await;
            let expected = match held.checked_add(by) {
                Some(sum) => {
                    assert_eq!(outcome.expect("it fits"), Applied::Yes, "{held} + {by}");
                    sum
                }
                None => {
                    assert!(
                        matches!(outcome, Err(StoreError::Unreadable { .. })),
                        "{held} + {by}"
                    );
                    held
                }
            };
            let expected = some(&expected.to_string());
            assert_eq!(
                s.run(vec![hget("exact", "n"), get("exact-text")]).await,
                [expected.clone(), expected]
            );
        }
    }
}

async fn long_commands_and_long_batches(s: &Subject) {
    let many: Vec<String> = (0..5_000).map(|n| format!("m{n:05}")).collect();
    let batch = vec![
        Command::HSet {
            key: "long:hash".into(),
            entries: many.iter().map(|name| (name.clone(), bytes(name))).collect(),
        },
        Command::SAdd {
            key: "long:set".into(),
            members: many.clone(),
        },
        Command::ZAdd {
            key: "long:sorted".into(),
            entries: many.iter().map(|name| (1.0, name.clone())).collect(),
        },
        Command::HDel {
            key: "long:hash".into(),
            fields: many[..2_500].to_vec(),
        },
        Command::SRem {
            key: "long:set".into(),
            members: many[..2_499].to_vec(),
        },
        Command::ZRem {
            key: "long:sorted".into(),
            members: many[..4_999].to_vec(),
        },
    ];
    assert_eq!(s.atomically(vec![], batch).await, Applied::Yes);
    assert_eq!(s.one(hlen("long:hash")).await, Reply::Int(2_500));
    let Reply::Members(left) = s.one(smembers("long:set")).await else {
        panic!("no members")
    };
    assert_eq!(left.len(), 2_501);
    assert_eq!(
        members(s.one(zrange("long:sorted", 0.0, 1.0)).await),
        [many[4_999].clone()]
    );

    let batch: Vec<Command> = (0..5_000)
        .map(|n| hincr_by(&format!("long:rollup:{}", n % 50), &format!("f{}", n % 7), 1))
        .collect();
    assert_eq!(
        s.atomically(vec![value("long:mark", None)], batch.clone()).await,
        Applied::Yes
    );
    let sums = (0..50).map(|n| hgetall(&format!("long:rollup:{n}"))).collect();
    let total: i64 = s
        .run(sums)
        .await
        .into_iter()
        .flat_map(|reply| match reply {
            Reply::Entries(entries) => entries,
            other => panic!("{other:?}"),
        })
        .map(|(_, value)| std::str::from_utf8(&value).unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(total, 5_000);
}
