//! Expiring keys.

use super::*;

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        a_key_set_until_the_past_is_not_there,
        a_key_set_until_the_future_is_there,
        an_expiry_in_the_past_ends_keys_of_every_type,
        set_drops_the_expiry,
        changing_a_value_keeps_the_expiry,
        the_last_expiry_counts,
        an_expiry_of_nothing_is_nothing,
        keys_end_when_their_time_comes,
        what_ended_leaves_nothing_for_its_successor,
        a_guard_does_not_see_what_ended,
    );
}

async fn a_key_set_until_the_past_is_not_there(s: &Subject) {
    for past in [0, 1, PAST] {
        s.one(set("until-past", "old")).await;
        assert_eq!(s.one(set_until("until-past", "new", past)).await, Reply::Ok);
        assert_eq!(s.one(get("until-past")).await, Reply::Value(None));
        assert_eq!(s.one(exists("until-past")).await, Reply::Int(0));
        assert_eq!(s.one(del("until-past")).await, Reply::Int(0));
    }
    // And so it is free for another type.
    s.one(set_until("until-past", "new", PAST)).await;
    assert_eq!(s.one(hset("until-past", &[("a", "1")])).await, Reply::Int(1));
}

async fn a_key_set_until_the_future_is_there(s: &Subject) {
    for future in [FUTURE, i64::MAX.unsigned_abs(), u64::MAX] {
        assert_eq!(s.one(set_until("until-future", "v", future)).await, Reply::Ok);
        assert_eq!(s.one(get("until-future")).await, some("v"));
        assert_eq!(s.one(expire_at("until-future", future)).await, Reply::Ok);
        assert_eq!(s.one(get("until-future")).await, some("v"));
    }
}

async fn an_expiry_in_the_past_ends_keys_of_every_type(s: &Subject) {
    for make in [
        set("ended", "v"),
        hset("ended", &[("a", "1")]),
        sadd("ended", &["m"]),
        zadd("ended", &[(1.0, "m")]),
    ] {
        s.one(make).await;
        assert_eq!(s.one(expire_at("ended", PAST)).await, Reply::Ok);
        assert_eq!(s.one(exists("ended")).await, Reply::Int(0));
    }
    // In one batch too.
    let replies = s.run(vec![
        hset("ended", &[("a", "1")]),
        expire_at("ended", 0),
        hlen("ended"),
        hset("ended", &[("b", "1")]),
    ]);
    assert_eq!(
        replies.await,
        [Reply::Int(1), Reply::Ok, Reply::Int(0), Reply::Int(1)]
    );
    assert_eq!(s.one(hgetall("ended")).await, entries(&[("b", "1")]));
}

async fn set_drops_the_expiry(s: &Subject) {
    s.run(vec![set_until("kept", "1", FUTURE), set("kept", "2")])
        .await;
    let Some(clock) = &s.clock else { return };
    clock.jump(FUTURE + 1);
    assert_eq!(s.one(get("kept")).await, some("2"));
    clock.jump(START);
}

async fn changing_a_value_keeps_the_expiry(s: &Subject) {
    s.run(vec![
        set_until("keeps:text", "1", FUTURE),
        hset("keeps:hash", &[("a", "1")]),
        expire_at("keeps:hash", FUTURE),
        zadd("keeps:sorted", &[(1.0, "m")]),
        expire_at("keeps:sorted", FUTURE),
    ])
    .await;
    s.run(vec![
        incr_by("keeps:text", 1),
        hset("keeps:hash", &[("b", "2")]),
        hincr_by("keeps:hash", "a", 1),
        zadd("keeps:sorted", &[(2.0, "n")]),
    ])
    .await;
    assert_eq!(s.one(get("keeps:text")).await, some("2"));
    assert_eq!(s.one(hlen("keeps:hash")).await, Reply::Int(2));
    let Some(clock) = &s.clock else { return };
    clock.jump(FUTURE);
    for key in ["keeps:text", "keeps:hash", "keeps:sorted"] {
        assert_eq!(s.one(exists(key)).await, Reply::Int(0), "{key}");
    }
    clock.jump(START);
}

async fn the_last_expiry_counts(s: &Subject) {
    let later = FUTURE + 1_000;
    s.run(vec![
        hset("last-expiry", &[("a", "1")]),
        expire_at("last-expiry", FUTURE),
        expire_at("last-expiry", later),
    ])
    .await;
    s.run(vec![
        set_until("last-set", "1", later),
        set_until("last-set", "2", FUTURE),
    ])
    .await;
    let Some(clock) = &s.clock else { return };
    clock.jump(FUTURE);
    assert_eq!(s.one(hget("last-expiry", "a")).await, some("1"));
    assert_eq!(s.one(get("last-set")).await, Reply::Value(None));
    clock.jump(later);
    assert_eq!(s.one(hget("last-expiry", "a")).await, Reply::Value(None));
    clock.jump(START);
}

async fn an_expiry_of_nothing_is_nothing(s: &Subject) {
    assert_eq!(s.one(expire_at("nothing", FUTURE)).await, Reply::Ok);
    assert_eq!(s.one(exists("nothing")).await, Reply::Int(0));
    s.one(set("nothing", "v")).await;
    let Some(clock) = &s.clock else { return };
    clock.jump(FUTURE + 1);
    assert_eq!(s.one(get("nothing")).await, some("v"));
    clock.jump(START);
}

async fn keys_end_when_their_time_comes(s: &Subject) {
    let Some(clock) = &s.clock else { return };
    s.run(vec![
        set_until("timed:text", "v", START + 1_000),
        hset("timed:hash", &[("a", "1")]),
        expire_at("timed:hash", START + 1_000),
        sadd("timed:set", &["m"]),
        expire_at("timed:set", START + 1_000),
        zadd("timed:sorted", &[(1.0, "m")]),
        expire_at("timed:sorted", START + 1_000),
    ])
    .await;
    let all = || {
        vec![
            get("timed:text"),
            hgetall("timed:hash"),
            smembers("timed:set"),
            zrange("timed:sorted", 0.0, 9.0),
        ]
    };
    clock.jump(START + 999);
    assert_eq!(
        s.run(all()).await,
        [
            some("v"),
            entries(&[("a", "1")]),
            Reply::Members(names(&["m"])),
            Reply::Scored(vec![("m".into(), 1.0)])
        ]
    );
    clock.jump(START + 1_000);
    let none = [
        Reply::Value(None),
        Reply::Entries(vec![]),
        Reply::Members(vec![]),
        Reply::Scored(vec![]),
    ];
    assert_eq!(s.run(all()).await, none);
    // For commands of another type too, and in batches that also write.
    assert_eq!(s.one(hget("timed:text", "a")).await, Reply::Value(None));
    let mut batch = all();
    batch.extend([
        zcard("timed:sorted"),
        hlen("timed:hash"),
        exists("timed:set"),
        del("timed:text"),
    ]);
    let replies = s.run(batch).await;
    assert_eq!(replies[..4], none);
    assert_eq!(
        replies[4..],
        [Reply::Int(0), Reply::Int(0), Reply::Int(0), Reply::Int(0)]
    );
    clock.jump(START);
}

async fn what_ended_leaves_nothing_for_its_successor(s: &Subject) {
    let Some(clock) = &s.clock else { return };
    s.run(vec![
        hset("heir:hash", &[("a", "1"), ("b", "2")]),
        expire_at("heir:hash", START + 1),
        zadd("heir:sorted", &[(1.0, "m")]),
        expire_at("heir:sorted", START + 1),
        set_until("heir:count", "41", START + 1),
    ])
    .await;
    clock.jump(START + 1);
    let replies = s
        .run(vec![
            hset("heir:hash", &[("c", "3")]),
            zadd("heir:sorted", &[(2.0, "n")]),
            incr_by("heir:count", 1),
        ])
        .await;
    assert_eq!(replies, [Reply::Int(1), Reply::Int(1), Reply::Int(1)]);
    assert_eq!(s.one(hgetall("heir:hash")).await, entries(&[("c", "3")]));
    assert_eq!(members(s.one(zrange("heir:sorted", 0.0, 9.0)).await), ["n"]);
    // The new keys have no end.
    clock.jump(FUTURE + 1);
    assert_eq!(s.one(hlen("heir:hash")).await, Reply::Int(1));
    assert_eq!(s.one(get("heir:count")).await, some("1"));
    clock.jump(START);
}

async fn a_guard_does_not_see_what_ended(s: &Subject) {
    s.run(vec![
        hset("guarded-end", &[("a", "1")]),
        expire_at("guarded-end", PAST),
    ])
    .await;
    let guards = vec![
        Guard::Value {
            key: "guarded-end".into(),
            is: None,
        },
        Guard::Field {
            key: "guarded-end".into(),
            field: "a".into(),
            is: None,
        },
    ];
    assert_eq!(s.atomically(guards, vec![]).await, Applied::Yes);
}
