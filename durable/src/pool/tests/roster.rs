use super::*;

#[test]
fn a_pool_asks_for_what_it_does_not_know() {
    let mut pool = Pool::default();
    assert_eq!(pool.asks(T, ask(1)), Reply::NeedRoster);
    assert_eq!(
        pool.asks(
            T,
            Pick {
                learned_since: 0,
                ..ask(1)
            }
        ),
        Reply::NeedRoster
    );
    assert!(pool.learns(T, [account("a")]).lasting);
    assert_eq!(pool.given(T, ask(1)), "a");
    assert_eq!(
        pool.asks(
            T + 9,
            Pick {
                learned_since: T + 1,
                ..ask(2)
            }
        ),
        Reply::NeedRoster
    );
    assert_eq!(
        pool.given(
            T + 9,
            Pick {
                learned_since: 0,
                ..ask(2)
            }
        ),
        "a"
    );
    let step = pool.handle(T + 9, Command::Invalidate);
    assert!(step.changes().lasting);
    assert_eq!(pool.asks(T + 9, ask(3)), Reply::NeedRoster);
    assert_eq!(
        pool.given(
            T + 9,
            Pick {
                learned_since: 0,
                ..ask(3)
            }
        ),
        "a",
        "the store is away"
    );
    // What was on its way when the news came is asked for once more.
    pool.learns(T + 10, [account("a")]);
    assert_eq!(pool.given(T + 10, ask(4)), "a");
    assert_eq!(pool.asks(T + 9 + 5_000, ask(5)), Reply::NeedRoster);
    pool.learns(T + 9 + 5_000, [account("a")]);
    assert_eq!(pool.given(T + HOUR, ask(5)), "a");
}

#[test]
fn marks_leases_and_sessions_survive_a_new_roster() {
    let mut pool = alike(2);
    pool.given(T, with_session(1, 7));
    pool.tries(T, 2, "b", throttled(T + HOUR));
    let before = pool.shows(T, "a");
    pool.learns(
        T,
        [
            account("c"),
            AccountPolicy {
                priority: 9,
                ..account("b")
            },
            account("a"),
        ],
    );
    assert_eq!(pool.shows(T, "a"), before);
    let b = pool.shows(T, "b");
    assert_eq!((b.policy.priority, b.cooldowns.len()), (9, 1));
    assert_eq!(pool.given_sticky(T, with_session(3, 7)), ("a".into(), true));
}

#[test]
fn what_belongs_to_a_removed_account_goes_with_it() {
    let mut pool = alike(2);
    assert_eq!(pool.given(T, with_session(1, 7)), "a");
    assert_eq!(
        pool.learns(T, [account("b")]),
        ChangedRows {
            of_calls: true,
            lasting: true
        }
    );
    assert_eq!(pool.sessions(T), 0);
    assert_eq!(
        pool.reports(T, 1, "a", unwell()),
        ChangedRows::default(),
        "it may still be told of"
    );
    // It comes back as a stranger.
    pool.learns(T, [account("a"), account("b")]);
    let account = pool.shows(T, "a");
    assert_eq!((account.leases.len(), account.last_used), (0, None));
    assert_eq!(pool.reports(T, 1, "a", Outcome::Finished), ChangedRows::default());
}

#[test]
fn a_slow_reader_cannot_bring_old_credentials_back() {
    let mut pool = alike(1);
    let refresh = Command::BeginRefresh {
        call: CallId(1),
        account: "a".into(),
        seen: 1,
        ttl_ms: TTL,
        waits: false,
        waited_for: None,
        refused: false,
    };
    pool.say(T, refresh.clone());
    let result = RefreshResult::Refreshed { version: 2 };
    pool.say(
        T,
        Command::EndRefresh {
            call: CallId(1),
            account: "a".into(),
            result,
        },
    );
    pool.tries(T, 1, "a", denied(None));
    pool.learns(T + 1, [account("a")]);
    assert_eq!(pool.say(T + 1, refresh), Reply::RefreshDone { version: 2 });
    pool.nobody(T + 1, ask(2));
    // A store restored from a backup is believed in the end.
    pool.learns(T + HOUR, [account("a")]);
    assert_eq!(pool.given(T + HOUR, ask(2)), "a");
    assert_eq!(pool.shows(T + HOUR, "a").policy.credential_version, 1);
}

#[test]
fn the_same_roster_again_writes_the_head_only() {
    let mut pool = Pool::default();
    let mut rows = |roster| pool.handle(T, Command::Learn { roster }).rows;
    assert_eq!(rows(vec![]), [Row::Head], "an empty one is knowledge, too");
    assert_eq!(rows(vec![]), [Row::Head]);
    assert_eq!(rows(vec![account("a")]), [Row::Head, Row::Account(1)]);
    assert_eq!(rows(vec![account("a"), account("a")]), [Row::Head]);
}

#[test]
fn what_is_kept_comes_back_the_same() {
    let mut pool = alike(3);
    pool.given(T, with_session(u128::MAX - 5, u64::MAX - 5));
    pool.tries(T, 2, "b", throttled(T + HOUR));
    pool.tries(
        T,
        2,
        "b",
        Outcome::Throttled {
            until: Some(T + HOUR),
            family: Some("opus".into()),
            why: String::new(),
        },
    );
    pool.tries(T, 3, "c", denied(Some(T + 1)));
    pool.tries(T, 3, "c", unwell());
    pool.given(T + 1, only(4, "c"));
    pool.say(
        T,
        Command::BeginRefresh {
            call: CallId(1),
            account: "a".into(),
            seen: 1,
            ttl_ms: TTL,
            waits: false,
            waited_for: None,
            refused: false,
        },
    );
    let kept = serde_json::to_string(&pool).unwrap();
    let mut back: Pool = serde_json::from_str(&kept).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), kept);
    assert_eq!(back.say(T, Command::Snapshot), pool.say(T, Command::Snapshot));
    // What an older version kept has not every field.
    assert!(serde_json::from_str::<Pool>("{}").is_ok());
    for call in 100..120 {
        assert_eq!(back.asks(T + 1, ask(call)), pool.asks(T + 1, ask(call)));
    }
}

#[test]
fn what_an_older_version_kept_is_understood() {
    use crate::rows::RowMachine as _;
    let policy = r#"{"id":"a","priority":50,"max_concurrency":0,"active":true,"schedulable":true,
        "credential_version":1,"unusable":null}"#;
    let policy: AccountPolicy = serde_json::from_str(policy).unwrap();
    assert_eq!(
        policy,
        AccountPolicy {
            revision: 0,
            ..account("a")
        }
    );
    let policy = serde_json::to_value(&policy).unwrap();
    let end = serde_json::json!({ "until": T + HOUR, "span": HOUR });
    let kept = serde_json::json!({
        "policy": policy, "held": 1, "turn": 3, "last_used": T, "election": null, "replaced": null,
        "health": {
            "cooldowns": [{ "family": null, "end": end }],
            "backoff": { "end": end, "throttled": 1, "unwell": 0, "turn": 1 },
            "denial": null,
        },
    });
    let hold = serde_json::json!({ "account": 1, "sticky": false, "turn": 3, "credentials": 1 });
    let lease = serde_json::json!({ "since": T, "end": end, "what": hold });
    let rows = [
        (Row::Account(1), kept.to_string()),
        (Row::Lease(CallId(1)), lease.to_string()),
        (Row::Errors(9), r#"{"last":[]}"#.to_owned()),
    ];
    let shown = Pool::from_rows(rows).shows(T, "a");
    assert_eq!((shown.leases.len(), shown.cooldowns.len()), (1, 1));
    let report = r#"{"Report":{"call":1,"account":"a","outcome":"Finished"}}"#;
    assert!(serde_json::from_str::<Command>(report).is_ok());
    assert!(serde_json::from_str::<Command>(r#"{"Flush":{"account":null}}"#).is_ok());
}

#[test]
fn after_the_death_of_the_host_no_call_is_left() {
    let mut pool = pool([AccountPolicy {
        max_concurrency: 1,
        ..account("a")
    }]);
    pool.given(T, with_session(1, 7));
    pool.reports(T, 1, "a", Outcome::Finished);
    pool.given(T, with_session(1, 8));
    pool.say(
        T,
        Command::BeginRefresh {
            call: CallId(1),
            account: "a".into(),
            seen: 1,
            ttl_ms: TTL,
            waits: false,
            waited_for: None,
            refused: false,
        },
    );
    pool.reports(T, 9, "a", unwell());
    let mut pool = pool.resumed();
    assert_eq!(
        pool.asks(T, ask(2)),
        Reply::NeedRoster,
        "it may have been changed meanwhile"
    );
    pool.learns(
        T,
        [AccountPolicy {
            max_concurrency: 1,
            ..account("a")
        }],
    );
    assert_eq!(pool.given_sticky(T, with_session(2, 7)), ("a".into(), true));
    assert!(pool.shows(T, "a").backoff_until.is_some());
    let refresh = Command::BeginRefresh {
        call: CallId(2),
        account: "a".into(),
        seen: 1,
        ttl_ms: TTL,
        waits: false,
        waited_for: None,
        refused: false,
    };
    assert_eq!(pool.say(T, refresh), Reply::RefreshElected);
}
