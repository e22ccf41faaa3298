use super::*;
use crate::port::store::{Applied, Reply};

fn said(args: &Args) -> Vec<&str> {
    args.iter().map(|arg| std::str::from_utf8(arg).unwrap()).collect()
}

fn value(text: &str) -> Value {
    Value::Text(Bytes::copy_from_slice(text.as_bytes()))
}

/// The reply to one command.
fn answered(command: Command, answer: Value) -> Result<Reply, StoreError> {
    Pipeline::new("redis", vec![command])
        .replies(vec![answer])
        .map(|mut replies| replies.remove(0))
}

fn get() -> Command {
    Command::Get { key: "k".into() }
}

fn page(rev: bool) -> Command {
    Command::ZRangeByScore {
        key: "z".into(),
        min: -1.5,
        max: f64::INFINITY,
        rev,
        offset: 2,
        limit: u64::MAX,
    }
}

fn hash_count() -> Command {
    Command::HIncrBy {
        key: "h".into(),
        field: "f".into(),
        by: -3,
    }
}

#[test]
fn commands_as_redis_wants_them() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    for (command, args) in [
        (get(), vec!["GET", "k"]),
        (
            Command::Set {
                key: "k".into(),
                value: "v".into(),
                expire_at: None,
            },
            vec!["SET", "k", "v"],
        ),
        (
            Command::Set {
                key: "k".into(),
                value: "v".into(),
                expire_at: Some(5),
            },
            vec!["SET", "k", "v", "PXAT", "5"],
        ),
        // Redis refuses 0 here, and what does not fit.
        (
            Command::Set {
                key: "k".into(),
                value: "v".into(),
                expire_at: Some(0),
            },
            vec!["SET", "k", "v", "PXAT", "1"],
        ),
        (
            Command::PExpireAt {
                key: "k".into(),
                at: u64::MAX,
            },
            vec!["PEXPIREAT", "k", "9223372036854775807"],
        ),
        (
            Command::IncrBy {
                key: "k".into(),
                by: i64::MIN,
            },
            vec!["INCRBY", "k", "-9223372036854775808"],
        ),
        (
            Command::HMGet {
                key: "h".into(),
                fields: names(),
            },
            vec!["HMGET", "h", "a", "b"],
        ),
        (
            Command::HSet {
                key: "h".into(),
                entries: vec![("a".into(), "1".into()), ("b".into(), "".into())],
            },
            vec!["HSET", "h", "a", "1", "b", ""],
        ),
        (hash_count(), vec!["HINCRBY", "h", "f", "-3"]),
        (
            Command::ZAdd {
                key: "z".into(),
                entries: vec![(0.1, "a".into()), (f64::NEG_INFINITY, "b".into())],
            },
            vec!["ZADD", "z", "0.1", "a", "-inf", "b"],
        ),
        (
            Command::ZIncrBy {
                key: "z".into(),
                by: 1e300,
                member: "a".into(),
            },
            vec!["ZINCRBY", "z", "1e300", "a"],
        ),
        (
            page(false),
            vec![
                "ZRANGEBYSCORE",
                "z",
                "-1.5",
                "inf",
                "WITHSCORES",
                "LIMIT",
                "2",
                "9223372036854775807",
            ],
        ),
        (
            page(true),
            vec![
                "ZREVRANGEBYSCORE",
                "z",
                "inf",
                "-1.5",
                "WITHSCORES",
                "LIMIT",
                "2",
                "9223372036854775807",
            ],
        ),
    ] {
        assert_eq!(said(&request(&command)), args);
    }
}

#[test]
fn replies_by_the_shapes_of_both_protocols() {
    let entries = Reply::Entries(vec![("a".into(), "1".into())]);
    let all = || Command::HGetAll { key: "h".into() };
    let flat = Value::List(vec![value("a"), value("1")]);
    assert_eq!(answered(all(), flat).unwrap(), entries);
    assert_eq!(
        answered(all(), Value::Pairs(vec![(value("a"), value("1"))])).unwrap(),
        entries
    );

    let scored = Reply::Scored(vec![("a".into(), 1.5), ("b".into(), f64::INFINITY)]);
    let flat = Value::List(vec![value("a"), value("1.5"), value("b"), value("inf")]);
    assert_eq!(answered(page(false), flat).unwrap(), scored);
    let nested = Value::List(vec![
        Value::List(vec![value("a"), Value::Double(1.5)]),
        Value::List(vec![value("b"), Value::Double(f64::INFINITY)]),
    ]);
    assert_eq!(answered(page(false), nested).unwrap(), scored);

    let score = || Command::ZScore {
        key: "z".into(),
        member: "a".into(),
    };
    assert_eq!(answered(score(), value("-2")).unwrap(), Reply::Score(Some(-2.0)));
    assert_eq!(answered(score(), Value::Int(7)).unwrap(), Reply::Score(Some(7.0)));
    assert_eq!(answered(score(), Value::Nil).unwrap(), Reply::Score(None));
    assert_eq!(answered(get(), Value::Nil).unwrap(), Reply::Value(None));
    assert_eq!(
        answered(
            Command::PExpireAt {
                key: "k".into(),
                at: 1
            },
            Value::Int(0)
        )
        .unwrap(),
        Reply::Ok
    );
}

#[test]
fn an_answer_of_another_shape_names_the_key() {
    let no_text = Value::Text(Bytes::from_static(b"\xff"));
    for (command, answer, key) in [
        (get(), Value::Int(1), "k"),
        (get(), Value::List(vec![]), "k"),
        (hash_count(), value("1"), "h"),
        (
            Command::HMGet {
                key: "h".into(),
                fields: vec!["a".into()],
            },
            Value::List(vec![]),
            "h",
        ),
        (
            Command::HGetAll { key: "h".into() },
            Value::List(vec![value("a")]),
            "h",
        ),
        (
            Command::HGetAll { key: "h".into() },
            Value::List(vec![no_text.clone(), value("1")]),
            "h",
        ),
        (
            Command::SMembers { key: "s".into() },
            Value::List(vec![no_text]),
            "s",
        ),
        (page(false), Value::List(vec![value("a"), value("high")]), "z"),
        (page(false), Value::List(vec![value("a"), value("nan")]), "z"),
    ] {
        match answered(command, answer) {
            Err(StoreError::Unreadable { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn errors_of_the_server_name_the_key() {
    let failed = |command, code: &str, message: &str| {
        answered(
            command,
            Value::Error {
                code: code.into(),
                message: message.into(),
            },
        )
        .unwrap_err()
    };
    let error = failed(
        get(),
        "WRONGTYPE",
        "Operation against a key holding the wrong kind of value",
    );
    assert!(matches!(error, StoreError::WrongType { key, command: "GET" } if key == "k"));
    for message in [
        "hash value is not an integer",
        "increment or decrement would overflow",
    ] {
        assert!(
            matches!(failed(hash_count(), "ERR", message), StoreError::Unreadable { key, .. } if key == "h")
        );
    }
    let error = failed(get(), "NOPERM", "this user has no permissions");
    assert!(
        matches!(&error, StoreError::Failed { reason, .. } if reason.contains("GET k: NOPERM")),
        "{error}"
    );
    let in_a_script =
        "Error running script: @user_script:1: -READONLY You can't write against a read only replica.";
    for (code, message) in [
        ("LOADING", ""),
        ("READONLY", ""),
        ("NOREPLICAS", ""),
        ("MASTERDOWN", ""),
        ("BUSY", ""),
        ("CLUSTERDOWN", ""),
        ("ERR", in_a_script),
    ] {
        assert!(matches!(
            failed(get(), code, message),
            StoreError::Away { kind: "redis", .. }
        ));
    }
}

#[test]
fn what_asks_for_nothing_or_nonsense_is_not_sent() {
    let batch = vec![
        Command::HMGet {
            key: "h".into(),
            fields: vec![],
        },
        get(),
        Command::HSet {
            key: "h".into(),
            entries: vec![],
        },
    ];
    let pipeline = Pipeline::new("redis", batch.clone());
    assert_eq!(
        pipeline
            .requests()
            .map(|args| said(&args).join(" "))
            .collect::<Vec<_>>(),
        ["GET k"]
    );
    let replies = pipeline.replies(vec![value("v")]).unwrap();
    assert_eq!(
        replies,
        [
            Reply::Values(vec![]),
            Reply::Value(Some("v".into())),
            Reply::Int(0)
        ]
    );

    let nonsense = Command::ZAdd {
        key: "z".into(),
        entries: vec![(f64::NAN, "a".into())],
    };
    let pipeline = Pipeline::new("redis", vec![nonsense, get()]);
    assert_eq!(pipeline.requests().count(), 1);
    assert!(
        matches!(pipeline.replies(vec![value("v")]), Err(StoreError::Unreadable { key, .. }) if key == "z")
    );
    // An answer too few is no panic, and no reply to another command.
    assert!(matches!(
        Pipeline::new("redis", batch).replies(vec![]),
        Err(StoreError::Failed { .. })
    ));
}

#[test]
fn an_atomic_batch_is_one_command_with_every_key_once() {
    let guards = [
        Guard::Value {
            key: "k".into(),
            is: None,
        },
        Guard::Field {
            key: "h".into(),
            field: "f".into(),
            is: Some("\0".into()),
        },
    ];
    let batch = [
        Command::Set {
            key: "k".into(),
            value: "v".into(),
            expire_at: None,
        },
        Command::SAdd {
            key: "s".into(),
            members: vec![],
        },
        get(),
        Command::Del { key: "h".into() },
    ];
    let args = atomically(&guards, &batch).unwrap();
    assert_eq!(args[0], "EVAL");
    assert_eq!(
        said(&args)[2..],
        [
            "2", "k", "h", "2", //
            "value", "1", "", "0", "", //
            "field", "2", "f", "1", "\0", //
            "0", "*", "1", "SET", "1", "v", //
            "2", "string", "1", "", "0", //
            "3", "*", "2", "DEL", "0",
        ]
    );
    let nonsense = Command::ZIncrBy {
        key: "z".into(),
        by: f64::INFINITY,
        member: "a".into(),
    };
    assert!(matches!(atomically(&[], &[nonsense]), Err(StoreError::Unreadable { key, .. }) if key == "z"));
}

#[test]
fn a_long_command_is_said_in_parts_that_keep_pairs_together() {
    let entries = (0..2_001)
        .map(|n| (format!("f{n}"), Bytes::from(format!("v{n}"))))
        .collect();
    let args = atomically(
        &[],
        &[Command::HSet {
            key: "h".into(),
            entries,
        }],
    )
    .unwrap();
    let args = said(&args);
    assert_eq!(args[5..11], ["0", "hash", "1", "HSET", "2000", "f0"]);
    let second = 5 + 5 + 2_000;
    assert_eq!(
        args[second..second + 7],
        ["0", "hash", "1", "HSET", "2000", "f1000", "v1000"]
    );
    assert_eq!(
        args[second + 2_005..],
        ["0", "hash", "1", "HSET", "2", "f2000", "v2000"]
    );
}

#[test]
fn outcomes_of_an_atomic_batch() {
    let guards = [Guard::Field {
        key: "g".into(),
        field: "f".into(),
        is: None,
    }];
    let batch = [get(), hash_count()];
    let outcome = |answer| applied("redis", &guards, &batch, answer);
    let why = |why, number| Value::List(vec![value(why), Value::Int(number)]);
    assert_eq!(outcome(Value::Int(0)).unwrap(), Applied::Yes);
    assert_eq!(outcome(Value::Int(3)).unwrap(), Applied::No { guard: 2 });
    assert!(
        matches!(outcome(why("GUARDTYPE", 0)), Err(StoreError::WrongType { key, command: "HGET" }) if key == "g")
    );
    assert!(
        matches!(outcome(why("WRONGTYPE", 0)), Err(StoreError::WrongType { key, command: "GET" }) if key == "k")
    );
    for reason in ["NOTNUMBER", "OVERFLOW"] {
        assert!(matches!(outcome(why(reason, 1)), Err(StoreError::Unreadable { key, .. }) if key == "h"));
    }
    for nonsense in [
        Value::Nil,
        Value::Int(-1),
        why("WRONGTYPE", 9),
        why("OTHER", 0),
        Value::List(vec![]),
    ] {
        assert!(matches!(outcome(nonsense), Err(StoreError::Failed { .. })));
    }
    let busy = Value::Error {
        code: "BUSY".into(),
        message: "a script runs".into(),
    };
    assert!(matches!(outcome(busy), Err(StoreError::Away { .. })));
    let error = Value::Error {
        code: "ERR".into(),
        message: "script".into(),
    };
    assert!(matches!(outcome(error), Err(StoreError::Failed { .. })));
}
