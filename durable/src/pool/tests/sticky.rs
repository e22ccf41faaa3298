use super::*;

#[test]
fn a_session_stays_on_its_account() {
    let mut pool = alike(3);
    assert_eq!(pool.given_sticky(T, with_session(1, 7)), ("a".into(), false));
    assert_eq!(pool.given_sticky(T, with_session(2, 8)), ("b".into(), false));
    for call in 3..9 {
        assert_eq!(pool.given_sticky(T, with_session(call, 7)), ("a".into(), true));
        assert_eq!(
            pool.given_sticky(T, with_session(call + 10, 8)),
            ("b".into(), true)
        );
    }
    assert_eq!(pool.sessions(T), 0, "nothing has succeeded yet");
    pool.reports(T, 1, "a", Outcome::Finished);
    pool.reports(T, 2, "b", Outcome::Finished);
    assert_eq!(
        (
            pool.shows(T, "a").sessions,
            pool.shows(T, "b").sessions,
            pool.sessions(T)
        ),
        (1, 1, 2)
    );
    // Priority does not move it.
    let better = AccountPolicy {
        priority: 1,
        ..account("c")
    };
    pool.learns(T, [account("a"), account("b"), better]);
    assert_eq!(pool.given_sticky(T, with_session(30, 7)), ("a".into(), true));
    assert_eq!(pool.given_sticky(T, with_session(31, 9)), ("c".into(), false));
}

#[test]
fn a_session_is_forgotten_an_hour_after_its_last_use() {
    let mut pool = alike(2);
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", Outcome::Finished);
    pool.given(T + 30_000, with_session(2, 7));
    pool.reports(T + 30_000, 2, "a", Outcome::Finished);
    assert_eq!(
        pool.given_sticky(T + 30_000 + HOUR - 1, with_session(3, 7)),
        ("a".into(), true)
    );
    assert_eq!(
        pool.given_sticky(T + 30_000 + 2 * HOUR - 1, with_session(4, 7)),
        ("b".into(), false)
    );
    assert_eq!(pool.sessions(T + 30_000 + 3 * HOUR), 0);
}

#[test]
fn a_full_account_keeps_its_sessions() {
    let mut pool = pool([
        AccountPolicy {
            max_concurrency: 1,
            ..account("a")
        },
        account("b"),
    ]);
    pool.given(T, with_session(1, 7));
    let (given, skipped) = pool.given_past(T, with_session(2, 7));
    assert_eq!(
        (given.as_str(), skipped),
        ("b", vec![("a".into(), Skip::Full { limit: 1 })])
    );
    assert_eq!(pool.given(T, with_session(2, 7)), "b", "its answer was lost");
    pool.reports(T, 1, "a", Outcome::Finished);
    assert_eq!(pool.given_sticky(T, with_session(3, 7)), ("a".into(), true));
    // Its time is renewed all the same.
    assert_eq!(pool.given(T + HOUR - TTL, with_session(4, 9)), "b");
    pool.given(T + HOUR - TTL, only(5, "a"));
    assert_eq!(pool.given(T + HOUR - TTL, with_session(6, 7)), "b");
    pool.reports(T + HOUR - TTL, 5, "a", Outcome::Finished);
    assert_eq!(
        pool.given_sticky(T + HOUR, with_session(7, 7)),
        ("a".into(), true)
    );
}

#[test]
fn a_session_moves_for_good_when_its_account_fails() {
    type Harm = fn(&mut Pool) -> ChangedRows;
    let harms: [Harm; 5] = [
        |pool| pool.reports(T, 1, "a", throttled(T + 9_000)),
        |pool| pool.reports(T, 1, "a", denied(None)),
        |pool| {
            pool.learns(
                T,
                [
                    AccountPolicy {
                        schedulable: false,
                        ..account("a")
                    },
                    account("b"),
                ],
            )
        },
        |pool| {
            pool.learns(
                T,
                [
                    AccountPolicy {
                        active: false,
                        ..account("a")
                    },
                    account("b"),
                ],
            )
        },
        |pool| pool.learns(T, [account("b")]),
    ];
    for harm in harms {
        let mut pool = alike(2);
        assert_eq!(pool.given(T, with_session(1, 7)), "a");
        assert!(harm(&mut pool).lasting);
        assert_eq!(pool.given_sticky(T, with_session(1, 7)), ("b".into(), false));
        pool.learns(
            T,
            [
                AccountPolicy {
                    credential_version: 2,
                    ..account("a")
                },
                account("b"),
            ],
        );
        assert_eq!(
            pool.given_sticky(
                T + 9_000,
                Pick {
                    learned_since: 0,
                    ..with_session(2, 7)
                }
            ),
            ("b".into(), true)
        );
    }
}

/// A session is bound by a call that succeeded, not by a pick.
#[test]
fn what_fails_binds_nothing() {
    let ended = |outcome| Report::of(CallId(1), "a".into(), outcome);
    for outcome in [unwell(), Outcome::Neutral, throttled(T + 1), Outcome::Finished] {
        let mut pool = alike(2);
        pool.given(T, with_session(1, 7));
        assert!(
            pool.handle(T, Command::Report(ended(outcome)))
                .rows
                .iter()
                .all(|row| !matches!(row, Row::Session(_)))
        );
        assert_eq!(pool.sessions(T), 0);
        assert!(!pool.given_sticky(T + 1, with_session(2, 7)).1);
    }
}

#[test]
fn free_calls_follow_a_session_and_bind_nothing() {
    let mut pool = alike(3);
    let free = |call, session| Pick {
        slot: false,
        ..with_session(call, session)
    };
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", Outcome::Finished);
    assert_eq!(pool.given_sticky(T + 1, free(2, 7)), ("a".into(), true));
    pool.given(T + 1, free(3, 8));
    pool.reports(T + 1, 3, "b", Outcome::Finished);
    assert_eq!(pool.sessions(T + 1), 1);
    assert!(!pool.given_sticky(T + 1, free(4, 8)).1);
    assert!(
        !pool.given_sticky(T + HOUR, free(5, 7)).1,
        "nor do they prolong one"
    );
}

#[test]
fn parallel_first_calls_of_a_session_go_to_one_account_while_it_serves() {
    let mut pool = alike(3);
    assert_eq!(pool.given_sticky(T, with_session(1, 7)), ("a".into(), false));
    assert_eq!(pool.given_sticky(T, with_session(2, 7)), ("a".into(), true));
    // The first fails over: its session follows, for want of one that succeeded.
    pool.reports(T, 1, "a", throttled(T + 9_000));
    let again = Pick {
        tried: vec!["a".into()],
        ..with_session(1, 7)
    };
    assert_eq!(pool.given(T, again), "b");
    assert_eq!(pool.given_sticky(T, with_session(3, 7)), ("b".into(), true));
    pool.reports(T, 2, "a", Outcome::Neutral);
    pool.reports(T, 1, "b", Outcome::Neutral);
    pool.reports(T, 3, "b", Outcome::Neutral);
    assert!(
        !pool.given_sticky(T, with_session(4, 7)).1,
        "none of them is left"
    );
}

#[test]
fn a_session_moves_when_its_account_was_tried() {
    let mut pool = alike(2);
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", unwell());
    let again = Pick {
        tried: vec!["a".into()],
        ..with_session(1, 7)
    };
    assert_eq!(pool.given_sticky(T, again), ("b".into(), false));
    pool.reports(T, 1, "b", Outcome::Finished);
    assert_eq!(
        pool.given_sticky(T + HOUR / 2, with_session(2, 7)),
        ("b".into(), true)
    );
}

#[test]
fn a_session_leaves_back_off_only_for_something_better() {
    let mut pool = alike(2);
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", Outcome::Finished);
    pool.tries(T, 1, "a", unwell());
    pool.tries(T, 2, "b", unwell());
    assert_eq!(
        pool.given_sticky(T, with_session(3, 7)),
        ("a".into(), true),
        "b is no better"
    );
    pool.reports(T, 9, "b", Outcome::Serving);
    let skipped = vec![("a".into(), Skip::NotPreferred)];
    let mut told = pool.clone();
    assert_eq!(told.given_past(T, with_session(4, 7)), ("b".into(), skipped));
    let step = pool.handle(T, Command::Pick(with_session(4, 7)));
    assert!(matches!(step.reply, Reply::Picked { sticky: false, .. }));
    let binds = |row: &Row| matches!(row, Row::Session(_));
    assert!(!step.rows.iter().any(binds), "it may fail there, too");
    assert!(pool.reports(T, 4, "b", Outcome::Finished).lasting);
    assert_eq!(
        pool.given_sticky(T + HOUR / 2, with_session(5, 7)),
        ("b".into(), true)
    );
}

#[test]
fn use_of_a_session_is_kept_by_the_minute() {
    let mut pool = alike(1);
    let mut written = |at, call| {
        let picked = pool.handle(at, Command::Pick(with_session(call, 7))).rows;
        let picked = picked.contains(&Row::Session(7));
        (picked, pool.reports(at, call, "a", Outcome::Finished).lasting)
    };
    assert_eq!(written(T, 1), (false, true), "new");
    assert_eq!(written(T + 60_000, 2), (false, false));
    assert_eq!(written(T + 60_001, 3), (true, false));
    assert_eq!(written(T + 60_002, 4), (false, false));
}

#[test]
fn the_operator_can_flush_sessions() {
    let mut pool = alike(2);
    for session in 0..4 {
        let account = pool.given(T, with_session(session.into(), session));
        pool.reports(T, session.into(), &account, Outcome::Finished);
    }
    pool.given(T, only(10, "a"));
    pool.given(T, only(11, "b"));
    let flush = |account: Option<&str>| Command::Flush {
        account: account.map(str::to_owned),
        session: None,
    };
    let one = |account: Option<&str>, session| Command::Flush {
        account: account.map(str::to_owned),
        session: Some(session),
    };
    assert_eq!(pool.given_sticky(T, with_session(9, 3)), ("b".into(), true));
    assert!(!pool.handle(T, one(None, 9)).changes().lasting);
    assert!(!pool.handle(T, one(Some("a"), 3)).changes().lasting, "it is b's");
    assert!(pool.handle(T, one(Some("b"), 3)).changes().lasting);
    assert!(pool.handle(T, one(None, 1)).changes().lasting);
    assert_eq!((pool.shows(T, "a").sessions, pool.shows(T, "b").sessions), (2, 0));
    let again = Pick {
        tried: vec!["a".into()],
        ..with_session(8, 3)
    };
    assert_eq!(pool.given(T, again), "b");
    pool.reports(T, 8, "b", Outcome::Finished);
    assert!(!pool.handle(T, flush(Some("nobody"))).changes().lasting);
    assert!(pool.handle(T, flush(Some("a"))).changes().lasting);
    assert_eq!((pool.shows(T, "a").sessions, pool.shows(T, "b").sessions), (0, 1));
    assert!(pool.handle(T, flush(None)).changes().lasting);
    assert!(!pool.handle(T, flush(None)).changes().lasting);
    assert_eq!(pool.sessions(T), 0);
    assert_eq!(pool.holders(T, "a"), [10], "calls that run go on");
}
