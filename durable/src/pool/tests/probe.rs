use super::*;

/// An account in trouble whose guessed time is over, and a worse one that is well.
fn half_open() -> (Pool, Millis) {
    let worse = AccountPolicy {
        priority: 90,
        ..account("b")
    };
    let mut pool = pool([account("a"), worse]);
    pool.tries(T, 1, "a", unwell());
    assert_eq!(pool.given(T + 4_999, ask(2)), "b");
    (pool, T + 5_000)
}

#[test]
fn one_call_proves_a_guess_over() {
    let (mut pool, now) = half_open();
    assert_eq!(pool.given(now, ask(10)), "a");
    assert_eq!(pool.given(now, ask(10)), "a", "its answer was lost");
    assert_eq!(
        pool.shows(now, "a").cooldowns.first().and_then(|one| one.probe),
        Some(CallId(10))
    );
    for call in 11..14 {
        assert_eq!(pool.given(now + 999, ask(call)), "b");
    }
    assert!(pool.reports(now + 999, 10, "a", Outcome::Serving).lasting);
    assert_eq!(pool.shows(now + 999, "a").cooldowns, []);
    for call in 14..16 {
        assert_eq!(pool.given(now + 999, ask(call)), "a");
    }
}

#[test]
fn a_probe_that_fails_begins_the_next_guess() {
    let (mut pool, now) = half_open();
    assert_eq!(pool.given(now, ask(10)), "a");
    pool.reports(now + 10, 10, "a", unwell());
    let until = now + 10 + 10_000;
    let held = cooling(None, until, CooldownKind::Unwell, "529");
    assert_eq!(pool.shows(now + 10, "a").cooldowns, [held]);
    assert_eq!(pool.given(until - 1, ask(11)), "b");
    assert_eq!(pool.given(until, ask(12)), "a");
}

#[test]
fn a_probe_that_says_nothing_is_followed_by_another() {
    let (mut pool, now) = half_open();
    // Its slot is free: by its own end, by hand, by the client's leaving.
    let ends = |pool: &mut Pool, call| pool.reports(now, call, "a", Outcome::Neutral);
    assert_eq!(pool.given(now, ask(10)), "a");
    ends(&mut pool, 10);
    assert_eq!(pool.given(now, ask(11)), "a");
    pool.say(now, Command::Release { call: CallId(11) });
    let short = Pick {
        ttl_ms: 100,
        ..ask(12)
    };
    assert_eq!(pool.given(now, short), "a");
    assert_eq!(pool.given(now + 99, ask(13)), "b");
    assert_eq!(pool.given(now + 100, ask(14)), "a");
    // It is slow: a second later another may try beside it.
    assert_eq!(pool.given(now + 1_099, ask(15)), "b");
    assert_eq!(pool.given(now + 1_100, ask(16)), "a");
    assert_eq!(pool.given(now + 1_100, ask(17)), "b");
}

#[test]
fn nobody_is_sent_away_for_a_probe() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", guess());
    pool.given(T + 15_000, ask(2));
    assert_eq!(pool.given(T + 15_000, ask(3)), "a");
    let shown = pool.shows(T + 15_000, "a");
    assert_eq!(
        shown.cooldowns.first().and_then(|one| one.probe),
        Some(CallId(2)),
        "still the first"
    );
    assert_eq!(shown.backoff_until, None);
}

#[test]
fn a_call_without_a_slot_proves_no_guess_over() {
    let (mut pool, now) = half_open();
    let counts = |call| Pick {
        slot: false,
        ..ask(call)
    };
    let Reply::Picked {
        account, on_trial, ..
    } = pool.asks(now, counts(10))
    else {
        panic!("nobody")
    };
    assert_eq!((account.as_str(), on_trial), ("a", false));
    assert!(!pool.reports(now, 10, "a", Outcome::Serving).lasting);
    assert_eq!(pool.given(now, ask(11)), "a", "it is no probe");
    assert_eq!(pool.given(now, counts(12)), "b", "but it makes way for one");
}

#[test]
fn a_guess_holds_for_its_family() {
    let mut pool = pool([
        account("a"),
        AccountPolicy {
            priority: 90,
            ..account("b")
        },
    ]);
    let opus_only = Outcome::Throttled {
        until: None,
        family: Some("opus".into()),
        why: "429".into(),
    };
    pool.tries(T, 1, "a", opus_only);
    let haiku = |call| Pick {
        family: "haiku".into(),
        ..ask(call)
    };
    assert_eq!(pool.given(T, ask(2)), "b");
    let Reply::Picked {
        account, on_trial, ..
    } = pool.asks(T, haiku(3))
    else {
        panic!("nobody")
    };
    assert_eq!((account.as_str(), on_trial), ("a", false));
    // A good answer of another family proves nothing.
    assert!(!pool.reports(T, 3, "a", Outcome::Serving).lasting);
    assert_eq!(pool.given(T, ask(4)), "b");
    assert_eq!(
        pool.given(T + 15_000, haiku(5)),
        "a",
        "nor does it keep the probe out"
    );
    assert_eq!(pool.given(T + 15_000, ask(6)), "a");
    assert!(pool.reports(T + 15_000, 6, "a", Outcome::Serving).lasting);
}

#[test]
fn a_clock_set_back_lengthens_no_probe() {
    let (mut pool, now) = half_open();
    pool.given(now, ask(10));
    let back = now - HOUR;
    // The guess itself is ahead again, by no more than it was.
    assert_eq!(pool.given(back, ask(11)), "b");
    assert_eq!(pool.shows(back, "a").backoff_until, Some(back + 5_000));
    assert_eq!(pool.given(back + 5_000, ask(12)), "a");
}
