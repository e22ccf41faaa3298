use super::*;

fn errors(pool: &mut Pool, now: Millis) -> Vec<(u128, Option<u16>, String)> {
    let shown = pool.shows(now, "a").errors.into_iter();
    shown
        .map(|error| (error.call.0, error.status, error.why))
        .collect()
}

fn error(call: u128, status: Option<u16>, why: &str) -> Report {
    let outcome = Outcome::Unwell {
        why: why.into(),
        until: None,
    };
    Report {
        status,
        ..Report::of(CallId(call), "a".into(), outcome)
    }
}

#[test]
fn what_is_held_against_an_account_is_told_afterwards() {
    let mut pool = alike(1);
    assert!(pool.tells(T, error(1, Some(529), "overloaded")).lasting);
    pool.reports(T + 1, 2, "a", throttled(T + HOUR));
    pool.reports(T + 2, 3, "a", denied(None));
    for outcome in [Outcome::Serving, Outcome::Finished, Outcome::Neutral] {
        pool.reports(T + 3, 4, "a", outcome);
    }
    let expected = [
        (1, Some(529), "overloaded".to_owned()),
        (2, None, "limited".to_owned()),
        (3, None, "401".to_owned()),
    ];
    assert_eq!(errors(&mut pool, T + 3), expected);
    // It is because of them that the operator resets.
    pool.say(T + 4, Command::Reset { account: "a".into() });
    assert_eq!(errors(&mut pool, T + 4), expected);
    pool.learns(T + 5, [account("b")]);
    pool.learns(T + 5, [account("a")]);
    assert_eq!(errors(&mut pool, T + 5), []);
}

#[test]
fn a_repetition_and_an_outage_are_told_once() {
    let mut pool = alike(1);
    for call in 0..50 {
        pool.tells(T, error(call, None, "no connection"));
    }
    assert_eq!(errors(&mut pool, T).len(), 1);
    pool.tells(T + HOUR, error(0, None, "no connection"));
    assert_eq!(
        errors(&mut pool, T + HOUR).len(),
        1,
        "the same call tells it again"
    );
    pool.tells(T + 999, error(60, None, "no connection"));
    pool.tells(T + 1_000, error(61, None, "no connection"));
    pool.tells(T + 1_000, error(62, Some(503), "no connection"));
    pool.tells(T + 1_000, error(63, None, "cut"));
    let calls: Vec<_> = errors(&mut pool, T + 1_000)
        .iter()
        .map(|(call, ..)| *call)
        .collect();
    assert_eq!(calls, [0, 61, 62, 63]);
}

#[test]
fn errors_are_bounded() {
    let mut pool = alike(1);
    for call in 0..40 {
        pool.tells(T + call, error(call.into(), Some(500), &call.to_string()));
    }
    let told = errors(&mut pool, T + 50);
    assert_eq!((told.len(), told.first().map(|first| first.0)), (16, Some(24)));
    pool.tells(T + 60, error(50, None, &"ü".repeat(1_000)));
    pool.reports(
        T + 60,
        51,
        "a",
        Outcome::Denied {
            why: "ü".repeat(1_000),
            until: None,
        },
    );
    let told = errors(&mut pool, T + 60);
    assert_eq!(told.last().map(|last| last.2.len()), Some(200));
    let denied = pool.shows(T + 60, "a").denied;
    assert_eq!(denied.map(|(why, _)| why.len()), Some(200));
}

#[test]
fn a_clock_set_back_makes_no_error_of_the_future() {
    let mut pool = alike(1);
    pool.tells(T, error(1, None, "cut"));
    let back = T - HOUR;
    assert_eq!(
        pool.shows(back, "a").errors.first().map(|error| error.at),
        Some(back)
    );
}
