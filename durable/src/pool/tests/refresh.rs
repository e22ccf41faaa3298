use super::*;

fn begin(call: u128, seen: u64) -> Command {
    Command::BeginRefresh {
        call: CallId(call),
        account: "a".into(),
        seen,
        ttl_ms: 10_000,
        waits: false,
        waited_for: None,
        refused: false,
    }
}

/// Waits while somebody else is at it.
fn wait(call: u128, seen: u64, waited: Option<u64>) -> Command {
    match begin(call, seen) {
        Command::BeginRefresh {
            call,
            account,
            seen,
            ttl_ms,
            ..
        } => Command::BeginRefresh {
            call,
            account,
            seen,
            ttl_ms,
            waits: true,
            waited_for: waited,
            refused: false,
        },
        other => other,
    }
}

fn busy(until: Millis, round: u64) -> Reply {
    Reply::RefreshBusy { until, round }
}

fn refusal() -> Reply {
    Reply::RefreshRefused {
        why: "invalid_grant".into(),
    }
}

fn end(call: u128, result: RefreshResult) -> Command {
    Command::EndRefresh {
        call: CallId(call),
        account: "a".into(),
        result,
    }
}

fn refused() -> RefreshResult {
    RefreshResult::Refused {
        why: "invalid_grant".into(),
    }
}

#[test]
fn a_crowd_elects_one() {
    let mut pool = alike(1);
    let elected: Vec<_> = (0..200)
        .filter(|call| pool.say(T, begin(*call, 1)) == Reply::RefreshElected)
        .collect();
    assert_eq!(elected, [0]);
    assert_eq!(pool.say(T, begin(5, 1)), busy(T + 10_000, 1));
    assert_eq!(
        pool.say(T + 5, begin(0, 1)),
        Reply::RefreshElected,
        "its answer was lost"
    );
    assert_eq!(pool.say(T + 6, begin(5, 1)), busy(T + 10_005, 1));
    let step = pool.handle(T + 9, end(0, RefreshResult::Refreshed { version: 2 }));
    assert_eq!(
        step.changes(),
        ChangedRows {
            of_calls: false,
            lasting: true
        }
    );
    assert_eq!(
        pool.handle(T + 9, end(0, RefreshResult::Refreshed { version: 2 }))
            .changes(),
        ChangedRows::default()
    );
    assert_eq!(pool.say(T + 9, begin(5, 1)), Reply::RefreshDone { version: 2 });
    assert_eq!(pool.shows(T + 9, "a").policy.credential_version, 2);
    assert_eq!(
        pool.say(T + 9, begin(6, 2)),
        Reply::RefreshElected,
        "these are stale in their turn"
    );
}

#[test]
fn an_election_ends_by_itself() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    assert_eq!(pool.say(T + 9_999, begin(2, 1)), busy(T + 10_000, 1));
    assert_eq!(pool.say(T + 10_000, begin(2, 1)), Reply::RefreshElected);
    // The first is no longer listened to.
    assert_eq!(
        pool.handle(T + 10_001, end(1, refused())).changes(),
        ChangedRows::default()
    );
    assert_eq!(pool.shows(T + 10_001, "a").denied, None);
    assert!(matches!(
        pool.say(T + 10_001, begin(3, 1)),
        Reply::RefreshBusy { .. }
    ));
}

#[test]
fn who_is_late_but_not_replaced_is_listened_to() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    pool.say(T + 20_000, end(1, RefreshResult::Refreshed { version: 2 }));
    assert_eq!(
        pool.say(T + 20_000, begin(2, 1)),
        Reply::RefreshDone { version: 2 }
    );
}

#[test]
fn only_the_elected_call_ends_a_refresh() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    for result in [
        refused(),
        RefreshResult::Failed,
        RefreshResult::Refreshed { version: 9 },
    ] {
        assert_eq!(pool.handle(T, end(2, result)).changes(), ChangedRows::default());
    }
    assert!(matches!(pool.say(T, begin(3, 1)), Reply::RefreshBusy { .. }));
}

#[test]
fn a_refused_refresh_denies_the_account() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    assert!(pool.handle(T, end(1, refused())).changes().lasting);
    assert_eq!(pool.shows(T, "a").denied, Some(("invalid_grant".into(), None)));
    pool.nobody(T, ask(2));
    let errors = pool.shows(T, "a").errors;
    assert_eq!((errors.len(), errors[0].why.as_str()), (1, "invalid_grant"));
    // These credentials are never asked about again; newer ones are, and heal it.
    assert_eq!(pool.say(T + HOUR, begin(3, 1)), refusal());
    assert_eq!(pool.clone().resumed().say(T + HOUR, begin(3, 1)), refusal());
    assert_eq!(pool.say(T + HOUR, begin(3, 2)), Reply::RefreshElected);
    pool.say(T + HOUR, end(3, RefreshResult::Refreshed { version: 3 }));
    assert_eq!(pool.given(T + HOUR, ask(4)), "a");
}

#[test]
fn a_reset_lets_refused_credentials_be_tried_again() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    pool.say(T, end(1, refused()));
    let reset = Command::Reset { account: "a".into() };
    assert!(pool.handle(T, reset).changes().lasting);
    assert_eq!(pool.say(T, begin(2, 1)), Reply::RefreshElected);
}

/// Twenty calls that wait for call 0.
fn crowd(pool: &mut Pool) -> Vec<CallId> {
    assert_eq!(pool.say(T, begin(0, 1)), Reply::RefreshElected);
    for call in 1..=20 {
        assert_eq!(pool.say(T, wait(call, 1, None)), busy(T + 10_000, 1));
    }
    (1..=20).map(CallId).collect()
}

#[test]
fn all_who_wait_are_woken_and_hear_how_it_ended() {
    let told = |result, reply: &Reply| {
        let mut pool = alike(1);
        let waiting = crowd(&mut pool);
        assert_eq!(pool.handle(T + 1, end(0, result)).wake, waiting);
        for call in 1..=20 {
            assert_eq!(&pool.say(T + 1, wait(call, 1, Some(1))), reply);
        }
        pool
    };
    told(
        RefreshResult::Refreshed { version: 2 },
        &Reply::RefreshDone { version: 2 },
    );
    told(refused(), &refusal());
    let mut pool = told(RefreshResult::Failed, &Reply::RefreshFailed);
    assert_eq!(
        pool.say(T + 2, wait(21, 1, None)),
        Reply::RefreshElected,
        "a later call tries"
    );
    assert_eq!(
        pool.say(T + 2, wait(20, 1, Some(1))),
        Reply::RefreshFailed,
        "whoever is slow hears of its own round"
    );
    assert_eq!(pool.say(T + 2, wait(22, 1, None)), busy(T + 10_002, 2));
    assert_eq!(
        pool.handle(T + 3, end(21, RefreshResult::Failed)).wake,
        [CallId(22)]
    );
    assert_eq!(pool.say(T + 3, wait(19, 1, Some(1))), Reply::RefreshFailed);
}

#[test]
fn those_who_waited_for_a_refresher_that_died_wait_for_the_next() {
    let mut pool = alike(1);
    crowd(&mut pool);
    let at = T + 10_000;
    assert_eq!(pool.say(at, wait(5, 1, Some(1))), Reply::RefreshElected);
    assert_eq!(pool.say(at, wait(6, 1, Some(1))), busy(at + 10_000, 2));
    // Those who have not asked again yet are woken all the same.
    assert_eq!(pool.handle(at, end(5, RefreshResult::Failed)).wake.len(), 19);
    assert_eq!(pool.say(at, wait(7, 1, Some(1))), Reply::RefreshFailed);
}

#[test]
fn who_waits_is_woken_by_whatever_changes_the_account() {
    let newer = AccountPolicy {
        credential_version: 2,
        ..account("a")
    };
    let reset = Command::Reset { account: "a".into() };
    let learn = |roster| Command::Learn { roster };
    for command in [learn(vec![newer]), learn(vec![account("b")]), reset] {
        let mut pool = alike(1);
        let waiting = crowd(&mut pool);
        assert_eq!(pool.handle(T, command).wake, waiting);
    }
}

#[test]
fn a_refusal_of_what_was_replaced_meanwhile_denies_nothing() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    pool.learns(
        T,
        [AccountPolicy {
            credential_version: 2,
            ..account("a")
        }],
    );
    pool.say(T, end(1, refused()));
    assert_eq!(pool.given(T, ask(2)), "a");
}

#[test]
fn a_failed_refresh_lets_the_next_try() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    assert_eq!(
        pool.handle(T, end(1, RefreshResult::Failed)).changes(),
        ChangedRows {
            of_calls: false,
            lasting: true
        }
    );
    assert_eq!(pool.say(T, begin(2, 1)), Reply::RefreshElected);
    assert_eq!(pool.shows(T, "a").denied, None);
}

#[test]
fn an_older_result_does_not_replace_newer_credentials() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    pool.learns(
        T,
        [AccountPolicy {
            credential_version: 5,
            ..account("a")
        }],
    );
    pool.tries(T, 9, "a", denied(None));
    pool.say(T, end(1, RefreshResult::Refreshed { version: 2 }));
    let account = pool.shows(T, "a");
    assert_eq!(account.policy.credential_version, 5);
    assert!(account.denied.is_some());
}

#[test]
fn a_clock_set_back_does_not_lengthen_an_election() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    assert_eq!(pool.say(T - HOUR, begin(2, 1)), busy(T - HOUR + 10_000, 1));
    assert_eq!(pool.say(T - HOUR + 10_000, begin(2, 1)), Reply::RefreshElected);
}

#[test]
fn an_account_that_is_gone_is_not_refreshed() {
    let mut pool = alike(1);
    pool.say(T, begin(1, 1));
    pool.learns(T, [account("b")]);
    assert_eq!(pool.say(T, begin(1, 1)), Reply::NeedRoster);
    assert_eq!(
        pool.handle(T, end(1, refused())).changes(),
        ChangedRows::default()
    );
}

/// After a 401 by credentials that have not ended.
fn after_401(call: u128, seen: u64) -> Command {
    match begin(call, seen) {
        Command::BeginRefresh {
            call,
            account,
            seen,
            ttl_ms,
            ..
        } => Command::BeginRefresh {
            call,
            account,
            seen,
            ttl_ms,
            waits: true,
            waited_for: None,
            refused: true,
        },
        other => other,
    }
}

const MINUTE: u64 = 60_000;

#[test]
fn a_refusal_of_new_credentials_is_no_reason_to_renew_them() {
    let mut pool = alike(1);
    assert_eq!(pool.say(T, after_401(1, 1)), Reply::RefreshElected);
    pool.say(T, end(1, RefreshResult::Refreshed { version: 2 }));
    assert_eq!(
        pool.say(T, after_401(2, 1)),
        Reply::RefreshDone { version: 2 },
        "the older are another matter"
    );
    let at = T + 10 * MINUTE;
    assert_eq!(pool.say(at - 1, after_401(2, 2)), Reply::RefreshTooSoon { at });
    let kept = serde_json::to_string(&pool).unwrap();
    let mut pool: Pool = serde_json::from_str(&kept).unwrap();
    assert_eq!(pool.say(at - 1, after_401(3, 2)), Reply::RefreshTooSoon { at });
    // Each further one doubles the time.
    assert_eq!(pool.say(at, after_401(4, 2)), Reply::RefreshElected);
    pool.say(at, end(4, RefreshResult::Refreshed { version: 3 }));
    assert_eq!(
        pool.say(at, after_401(5, 3)),
        Reply::RefreshTooSoon { at: at + 20 * MINUTE }
    );
    // Credentials that end are renewed whenever that is, and are new then.
    assert_eq!(pool.say(at, begin(6, 3)), Reply::RefreshElected);
    assert!(matches!(pool.say(at, after_401(7, 3)), Reply::RefreshBusy { .. }));
    pool.say(at, end(6, RefreshResult::Refreshed { version: 4 }));
    assert_eq!(
        pool.say(at, after_401(7, 4)),
        Reply::RefreshTooSoon { at: at + 10 * MINUTE }
    );
    // The operator's word.
    pool.say(at, Command::Reset { account: "a".into() });
    assert_eq!(pool.say(at, after_401(8, 4)), Reply::RefreshElected);
}

#[test]
fn renewals_that_fail_after_refusals_are_tried_again_at_once_and_then_later_and_later() {
    let mut pool = alike(1);
    let mut now = T;
    for (call, pause) in [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        .into_iter()
        .enumerate()
    {
        let call = 10 * call as u128;
        assert_eq!(pool.say(now, after_401(call, 1)), Reply::RefreshElected, "{call}");
        pool.say(now, end(call, RefreshResult::Failed));
        if pause > 0 {
            let at = now + pause;
            assert_eq!(
                pool.say(now, after_401(call + 1, 1)),
                Reply::RefreshTooSoon { at }
            );
            now = at;
        }
    }
    assert_eq!(pool.say(now, begin(98, 1)), Reply::RefreshElected, "it has ended");
    pool.say(now, end(98, RefreshResult::Refreshed { version: 2 }));
    let later = now + 600_000;
    for call in [100, 101] {
        assert_eq!(
            pool.say(later, after_401(call, 2)),
            Reply::RefreshElected,
            "they went well since"
        );
        pool.say(later, end(call, RefreshResult::Failed));
    }
}
