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
    type Harm = fn(&mut Pool) -> Changes;
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
    assert_eq!(
        pool.given_sticky(T + HOUR / 2, with_session(2, 7)),
        ("b".into(), true)
    );
}

#[test]
fn a_session_leaves_back_off_only_for_something_better() {
    let mut pool = alike(2);
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", unwell());
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
    assert!(step.changes.lasting);
    assert_eq!(
        pool.given_sticky(T + HOUR / 2, with_session(5, 7)),
        ("b".into(), true)
    );
}

#[test]
fn use_of_a_session_is_kept_by_the_minute() {
    let mut pool = alike(1);
    let mut lasting = |at, call| {
        pool.handle(at, Command::Pick(with_session(call, 7)))
            .changes
            .lasting
    };
    assert!(lasting(T, 1), "new");
    assert!(!lasting(T + 60_000, 2));
    assert!(lasting(T + 60_001, 3));
    assert!(!lasting(T + 60_002, 4));
}

#[test]
fn the_operator_can_flush_sessions() {
    let mut pool = alike(2);
    for session in 0..4 {
        pool.given(T, with_session(session.into(), session));
    }
    let flush = |account: Option<&str>| Command::Flush {
        account: account.map(str::to_owned),
        session: None,
    };
    let one = |account: Option<&str>, session| Command::Flush {
        account: account.map(str::to_owned),
        session: Some(session),
    };
    assert_eq!(pool.given_sticky(T, with_session(9, 3)), ("b".into(), true));
    assert!(!pool.handle(T, one(None, 9)).changes.lasting);
    assert!(!pool.handle(T, one(Some("a"), 3)).changes.lasting, "it is b's");
    assert!(pool.handle(T, one(Some("b"), 3)).changes.lasting);
    assert!(pool.handle(T, one(None, 1)).changes.lasting);
    assert_eq!((pool.shows(T, "a").sessions, pool.shows(T, "b").sessions), (2, 0));
    let again = Pick {
        tried: vec!["a".into()],
        ..with_session(8, 3)
    };
    assert_eq!(pool.given(T, again), "b");
    assert!(!pool.handle(T, flush(Some("nobody"))).changes.lasting);
    assert!(pool.handle(T, flush(Some("a"))).changes.lasting);
    assert_eq!((pool.shows(T, "a").sessions, pool.shows(T, "b").sessions), (0, 1));
    assert!(pool.handle(T, flush(None)).changes.lasting);
    assert!(!pool.handle(T, flush(None)).changes.lasting);
    assert_eq!(pool.sessions(T), 0);
    assert_eq!(pool.holders(T, "a").len(), 2, "calls that run go on");
}
