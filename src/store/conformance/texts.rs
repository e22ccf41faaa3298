//! Texts, counters, and keys as such.

use super::*;

/// The commands of one type, for a key.
type Commands = dyn Fn(&str) -> Vec<Command> + Sync;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        a_text_is_read_back,
        set_replaces_any_type,
        del_and_exists_count_keys,
        incr_by_counts_from_nothing,
        incr_by_keeps_the_value_a_text,
        incr_by_refuses_text,
        incr_by_refuses_to_overflow,
        texts_are_bytes,
        keys_are_any_text,
        commands_for_other_types_name_the_key,
    );
}

async fn a_text_is_read_back(s: &Subject) {
    assert_eq!(s.one(get("text")).await, Reply::Value(None));
    assert_eq!(s.one(set("text", "one")).await, Reply::Ok);
    assert_eq!(s.one(get("text")).await, some("one"));
    s.one(set("text", "")).await;
    assert_eq!(s.one(get("text")).await, some(""));
    assert_eq!(s.one(exists("text")).await, Reply::Int(1));
}

async fn set_replaces_any_type(s: &Subject) {
    s.run(vec![
        hset("replaced-hash", &[("field", "1")]),
        sadd("replaced-set", &["member"]),
        zadd("replaced-sorted", &[(1.0, "member")]),
    ])
    .await;
    for key in ["replaced-hash", "replaced-set", "replaced-sorted"] {
        assert_eq!(s.one(set(key, "text")).await, Reply::Ok);
        assert_eq!(s.one(get(key)).await, some("text"));
        // What was there has left nothing behind for a key of its type.
        s.one(del(key)).await;
    }
    s.run(vec![
        hset("replaced-hash", &[("other", "2")]),
        zadd("replaced-sorted", &[(2.0, "other")]),
    ])
    .await;
    assert_eq!(s.one(hgetall("replaced-hash")).await, entries(&[("other", "2")]));
    assert_eq!(
        members(s.one(zrange("replaced-sorted", 0.0, 9.0)).await),
        ["other"]
    );
}

async fn del_and_exists_count_keys(s: &Subject) {
    assert_eq!(s.one(del("gone")).await, Reply::Int(0));
    assert_eq!(s.one(exists("gone")).await, Reply::Int(0));
    for make in [
        set("gone", "v"),
        hset("gone", &[("f", "v")]),
        sadd("gone", &["m"]),
        zadd("gone", &[(1.0, "m")]),
    ] {
        s.one(make).await;
        assert_eq!(s.one(exists("gone")).await, Reply::Int(1));
        assert_eq!(s.one(del("gone")).await, Reply::Int(1));
        assert_eq!(s.one(exists("gone")).await, Reply::Int(0));
        assert_eq!(s.one(get("gone")).await, Reply::Value(None));
    }
}

async fn incr_by_counts_from_nothing(s: &Subject) {
    assert_eq!(s.one(incr_by("count", 5)).await, Reply::Int(5));
    assert_eq!(s.one(incr_by("count", -7)).await, Reply::Int(-2));
    assert_eq!(s.one(incr_by("count", 0)).await, Reply::Int(-2));
    assert_eq!(s.one(get("count")).await, some("-2"));
}

async fn incr_by_keeps_the_value_a_text(s: &Subject) {
    s.one(set("counted", "41")).await;
    assert_eq!(s.one(incr_by("counted", 1)).await, Reply::Int(42));
    assert_eq!(s.one(get("counted")).await, some("42"));
}

async fn incr_by_refuses_text(s: &Subject) {
    for text in [
        "ten",
        "",
        "1.5",
        " 1",
        "1 ",
        "+1",
        "01",
        "-0",
        "9223372036854775808",
    ] {
        s.one(set("no-number", text)).await;
        s.is_unreadable(incr_by("no-number", 1)).await;
        assert_eq!(s.one(get("no-number")).await, some(text), "nothing changed");
    }
}

async fn incr_by_refuses_to_overflow(s: &Subject) {
    for (held, by) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
        s.one(set("full", &held.to_string())).await;
        s.is_unreadable(incr_by("full", by)).await;
        assert_eq!(
            s.one(get("full")).await,
            some(&held.to_string()),
            "nothing changed"
        );
    }
    s.one(set("full", &i64::MAX.to_string())).await;
    assert_eq!(s.one(incr_by("full", i64::MIN)).await, Reply::Int(-1));
}

async fn texts_are_bytes(s: &Subject) {
    let value: Bytes = (0..=255).chain([0, 13, 10, 0]).collect::<Vec<u8>>().into();
    s.one(Command::Set {
        key: "bytes".into(),
        value: value.clone(),
        expire_at: None,
    })
    .await;
    assert_eq!(s.one(get("bytes")).await, Reply::Value(Some(value)));
}

async fn keys_are_any_text(s: &Subject) {
    let long = "k".repeat(5_000);
    let keys = [
        "schlüssel",
        "钥匙:🔑",
        "with space",
        "line\nbreak\r\n",
        "nul\0nul",
        "",
        "a*b?c[d]",
        long.as_str(),
    ];
    for (index, key) in keys.iter().enumerate() {
        s.run(vec![
            set(key, &index.to_string()),
            hset(&format!("hash:{key}"), &[(key, key)]),
        ])
        .await;
        s.run(vec![
            sadd(&format!("set:{key}"), &[key]),
            zadd(&format!("sorted:{key}"), &[(1.0, key)]),
        ])
        .await;
    }
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(s.one(get(key)).await, some(&index.to_string()), "{key:?}");
        assert_eq!(
            s.one(hgetall(&format!("hash:{key}"))).await,
            entries(&[(key, key)]),
            "{key:?}"
        );
        assert_eq!(
            s.one(smembers(&format!("set:{key}"))).await,
            Reply::Members(names(&[key])),
            "{key:?}"
        );
        assert_eq!(
            members(s.one(zrange(&format!("sorted:{key}"), 1.0, 1.0)).await),
            [*key],
            "{key:?}"
        );
    }
    s.is_of_another_type(hget("钥匙:🔑", "f")).await;
}

async fn commands_for_other_types_name_the_key(s: &Subject) {
    s.run(vec![
        set("type:text", "1"),
        hset("type:hash", &[("f", "1")]),
        sadd("type:set", &["m"]),
        zadd("type:sorted", &[(1.0, "m")]),
    ])
    .await;
    let for_text = |key: &str| vec![get(key), incr_by(key, 1)];
    let for_hash = |key: &str| {
        vec![
            hget(key, "f"),
            hmget(key, &["f"]),
            hgetall(key),
            hset(key, &[("f", "2")]),
            hdel(key, &["f"]),
            hincr_by(key, "f", 1),
            hlen(key),
        ]
    };
    let for_set = |key: &str| vec![sadd(key, &["n"]), srem(key, &["m"]), smembers(key)];
    let for_sorted = |key: &str| {
        vec![
            zadd(key, &[(2.0, "n")]),
            zincr_by(key, 1.0, "m"),
            zrem(key, &["m"]),
            zscore(key, "m"),
            zcard(key),
            zrange(key, 0.0, 1.0),
            zpage(key, 0.0, 1.0, true, 0, 1),
            zcut(key, 0.0, 1.0),
        ]
    };
    let groups: [(&str, &Commands); 4] = [
        ("type:text", &for_text),
        ("type:hash", &for_hash),
        ("type:set", &for_set),
        ("type:sorted", &for_sorted),
    ];
    for (own, _) in groups {
        for (_, commands) in groups.iter().filter(|(other, _)| *other != own) {
            for command in commands(own) {
                s.is_of_another_type(command).await;
            }
        }
    }
    assert_eq!(s.one(get("type:text")).await, some("1"));
    assert_eq!(s.one(hgetall("type:hash")).await, entries(&[("f", "1")]));
    assert_eq!(s.one(smembers("type:set")).await, Reply::Members(names(&["m"])));
    assert_eq!(
        s.one(zrange("type:sorted", 0.0, 9.0)).await,
        Reply::Scored(vec![("m".into(), 1.0)])
    );
}
