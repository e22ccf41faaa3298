use super::*;

/// An hour after a midnight of UTC.
const MORNING: Millis = 12_345 * 24 * HOUR + HOUR;

fn window(name: &str, used_permille: u16, resets_at: Millis, observed_at: Millis) -> QuotaWindow {
    QuotaWindow {
        name: name.into(),
        family: None,
        used_permille,
        resets_at,
        observed_at,
    }
}

fn measures(pool: &mut Pool, now: Millis, id: &str, quota: &[QuotaWindow]) -> ChangedRows {
    pool.tells(
        now,
        Report {
            quota: quota.to_vec(),
            ..Report::of(CallId(999), id.into(), Outcome::Serving)
        },
    )
}

/// What a sequence of calls is given, one after the other.
fn in_turn<const N: usize>(pool: &mut Pool, now: Millis) -> [String; N] {
    std::array::from_fn(|call| {
        let call = 10_000 + call as u128;
        let given = pool.given(now, ask(call));
        pool.reports(now, call, &given, Outcome::Finished);
        given
    })
}

#[test]
fn what_is_lost_soonest_is_spent_first() {
    let mut pool = alike(3);
    measures(&mut pool, T, "a", &[window("7d", 100, T + 100 * HOUR, T)]);
    measures(&mut pool, T, "b", &[window("7d", 900, T + 20 * HOUR, T)]);
    // c was never measured: it has nothing to lose.
    assert_eq!(in_turn(&mut pool, T), ["b", "b", "b"]);
    // The longest window counts: the short ones are full again before it ends.
    measures(&mut pool, T, "a", &[window("5h", 0, T + HOUR, T)]);
    assert_eq!(in_turn(&mut pool, T), ["b", "b"]);
    // A window that is over in a minute decides nothing, one that is over neither.
    assert_eq!(in_turn(&mut pool, T + 20 * HOUR - 60_000), ["a", "a"]);
    assert_eq!(in_turn(&mut pool, T + 100 * HOUR), ["c", "b", "a", "c"]);
}

#[test]
fn priority_and_load_come_before_what_is_lost() {
    let mut pool = pool([
        account("a"),
        account("b"),
        AccountPolicy {
            priority: 60,
            ..account("c")
        },
    ]);
    measures(&mut pool, T, "c", &[window("7d", 0, T + 2 * HOUR, T)]);
    measures(&mut pool, T, "b", &[window("7d", 0, T + 20 * HOUR, T)]);
    let given: Vec<_> = (0..4).map(|call| pool.given(T, ask(call))).collect();
    assert_eq!(given, ["b", "a", "b", "a"]);
}

#[test]
fn load_is_slots_held_of_slots_there_are() {
    let limit = |id, max_concurrency| AccountPolicy {
        max_concurrency,
        ..account(id)
    };
    let mut pool = pool([limit("a", 20), limit("b", 5), account("c")]);
    let mut given = std::collections::BTreeMap::<_, u32>::new();
    for call in 0..35 {
        *given.entry(pool.given(T, ask(call))).or_default() += 1;
    }
    let shares = [("a", 20), ("b", 5), ("c", 10)].map(|(id, count)| (id.to_owned(), count));
    assert_eq!(given.into_iter().collect::<Vec<_>>(), shares);
    // Only the one without a limit is left.
    for call in 100..110 {
        assert_eq!(pool.given(T, ask(call)), "c");
    }
}

#[test]
fn the_reserve_is_kept_for_when_it_is_needed() {
    let mut pool = pool([
        AccountPolicy {
            reserve_percent: 20,
            ..account("a")
        },
        account("b"),
        AccountPolicy {
            priority: 60,
            ..account("c")
        },
    ]);
    measures(&mut pool, T, "a", &[window("5h", 799, T + HOUR, T)]);
    assert_eq!(in_turn(&mut pool, T), ["a", "a"]);
    measures(&mut pool, T + 1, "a", &[window("5h", 810, T + HOUR, T + 1)]);
    assert_eq!(in_turn(&mut pool, T + 1), ["b", "b"]);
    assert_eq!(
        pool.given(T + 1, tried(1, &["b"])),
        "a",
        "its priority is its priority"
    );
    assert_eq!(
        pool.given(T + 1, tried(2, &["b", "c"])),
        "a",
        "it serves when it is alone"
    );
    // Another without a reserve is kept back when it is used up.
    measures(&mut pool, T + 2, "b", &[window("7d", 1_000, T + HOUR, T + 2)]);
    measures(&mut pool, T + 2, "a", &[window("5h", 0, T + HOUR, T + 2)]);
    assert_eq!(pool.given(T + 2, ask(3)), "a", "though it is the busier");
    // At the end of the window it is as good as new.
    pool.reports(T + 2, 1, "a", Outcome::Finished);
    assert_eq!(pool.given(T + HOUR, ask(4)), "b");
}

#[test]
fn a_window_of_a_family_counts_for_its_calls() {
    let mut pool = alike(2);
    let opus = QuotaWindow {
        family: Some("opus".into()),
        ..window("7d-opus", 1_000, T + HOUR, T)
    };
    measures(&mut pool, T, "a", &[opus]);
    assert_eq!(in_turn(&mut pool, T), ["b", "b"]);
    let haiku = Pick {
        family: "haiku".into(),
        ..ask(1)
    };
    assert_eq!(pool.given(T, haiku), "a");
}

#[test]
fn a_session_stays_on_an_account_down_to_its_reserve() {
    let mut pool = alike(2);
    assert_eq!(pool.given(T, with_session(1, 7)), "a");
    measures(&mut pool, T, "a", &[window("5h", 1_000, T + HOUR, T)]);
    assert_eq!(pool.given_sticky(T, with_session(2, 7)), ("a".into(), true));
}

#[test]
fn a_newer_observation_replaces_an_older_one() {
    let mut pool = alike(1);
    let shown = |pool: &mut Pool, now| pool.shows(now, "a").quota;
    let first = window("5h", 300, T + HOUR, T);
    assert!(measures(&mut pool, T, "a", std::slice::from_ref(&first)).lasting);
    assert_eq!(shown(&mut pool, T), std::slice::from_ref(&first));
    let again = measures(&mut pool, T, "a", std::slice::from_ref(&first));
    assert_eq!(again, ChangedRows::default());
    // A slow reader's, and one that hardly differs, are not worth a write.
    measures(&mut pool, T + 5, "a", &[window("5h", 900, T + HOUR, T - 1)]);
    measures(
        &mut pool,
        T + 5,
        "a",
        &[window("5h", 309, T + HOUR + 60_000, T + 5)],
    );
    assert_eq!(shown(&mut pool, T + 5), std::slice::from_ref(&first));
    for next in [
        window("5h", 310, T + HOUR, T + 6),
        window("5h", 310, T + HOUR + 60_001, T + 7),
        window("5h", 311, T + HOUR + 60_001, T + 60_008),
    ] {
        assert!(measures(&mut pool, T + 60_008, "a", std::slice::from_ref(&next)).lasting);
        assert_eq!(shown(&mut pool, T + 60_008), [next]);
    }
    assert_eq!(
        shown(&mut pool, T + HOUR + 60_001),
        [],
        "an ended one is as good as unused"
    );
    // One that has ended is no news, one from the future is from now.
    let late = T + 2 * HOUR;
    assert_eq!(
        measures(&mut pool, late, "a", &[window("7d", 5, late, late)]),
        ChangedRows::default()
    );
    measures(&mut pool, late, "a", &[window("5h", 5, late + HOUR, Millis::MAX)]);
    assert_eq!(shown(&mut pool, late), [window("5h", 5, late + HOUR, late)]);
    let twice = [
        window("5h", 50, late + HOUR, late + 1),
        window("5h", 90, late + HOUR, late + 1),
    ];
    measures(&mut pool, late + 1, "a", &twice);
    assert_eq!(shown(&mut pool, late + 1), twice[..1]);
    // The operator's reset: they are measured anew.
    pool.say(late, Command::Reset { account: "a".into() });
    assert_eq!(shown(&mut pool, late), []);
}

#[test]
fn windows_are_bounded() {
    let mut pool = alike(1);
    let many: Vec<_> = (0..20)
        .map(|index| window(&index.to_string(), 0, T + 2 * HOUR - index, T))
        .collect();
    measures(&mut pool, T, "a", &many);
    assert_eq!(pool.shows(T, "a").quota, many[..8]);
    assert_eq!(measures(&mut pool, T, "a", &many), ChangedRows::default());
    measures(&mut pool, T, "a", &[window(&"x".repeat(999), 0, Millis::MAX, T)]);
    let last = pool.shows(T, "a").quota.pop().unwrap();
    assert_eq!((last.name.len(), last.resets_at), (64, T + 8 * 24 * HOUR));
}

fn costs(pool: &mut Pool, now: Millis, call: u128, spent: u64) -> ChangedRows {
    assert_eq!(pool.given(now, only(call, "a")), "a");
    let report = Report {
        spent,
        ..Report::of(CallId(call), "a".into(), Outcome::Finished)
    };
    let changes = pool.tells(now, report.clone());
    assert_eq!(pool.tells(now, report), ChangedRows::default(), "counted once");
    changes
}

fn limited(daily_quota: u64) -> AccountPolicy {
    AccountPolicy {
        daily_quota,
        utc_offset_minutes: 480,
        ..account("a")
    }
}

#[test]
fn the_days_quota_is_the_operators_and_excludes() {
    let mut pool = Pool::default();
    pool.learns(MORNING, [limited(1_000)]);
    let midnight = MORNING + 15 * HOUR;
    assert!(costs(&mut pool, MORNING, 1, 400).lasting);
    assert_eq!(pool.shows(MORNING, "a").spent, Some((400, midnight)));
    assert_eq!(pool.given(MORNING, ask(2)), "a");
    costs(&mut pool, MORNING, 2, 600);
    let nobody = pool.nobody(MORNING, ask(3));
    let skip = Skip::Quota {
        resets_at: midnight,
        spent: 1_000,
        limit: 1_000,
    };
    assert_eq!(
        (nobody.skipped, nobody.earliest),
        (vec![("a".into(), skip)], Some(midnight))
    );
    // A reset is about the provider's limits. The operator may raise his own.
    pool.say(MORNING, Command::Reset { account: "a".into() });
    pool.nobody(MORNING, ask(3));
    pool.learns(MORNING + 10_000, [limited(1_001)]);
    assert_eq!(pool.given(MORNING + 10_000, ask(3)), "a");
    pool.learns(MORNING + 20_000, [limited(1_000)]);
    assert_eq!(
        pool.given(midnight, ask(4)),
        "a",
        "the next day is a day of its own"
    );
    assert_eq!(pool.shows(midnight, "a").spent, None);
    costs(&mut pool, midnight, 5, 1);
    assert_eq!(pool.shows(midnight, "a").spent, Some((1, midnight + 24 * HOUR)));
    let back = pool.shows(MORNING, "a").spent;
    assert_eq!(
        back,
        Some((1, MORNING + 24 * HOUR)),
        "a clock set back lengthens no day"
    );
}

#[test]
fn costs_are_counted_by_who_frees_the_slot() {
    let mut pool = Pool::default();
    pool.learns(MORNING, [limited(1_000)]);
    let report = |call, outcome| Report {
        spent: 10,
        ..Report::of(CallId(call), "a".into(), outcome)
    };
    pool.given(MORNING, ask(1));
    pool.tells(MORNING, report(1, Outcome::Serving));
    pool.tells(MORNING, report(2, Outcome::Finished));
    assert_eq!(pool.shows(MORNING, "a").spent, None);
    pool.tells(MORNING, report(1, Outcome::Neutral));
    assert_eq!(pool.shows(MORNING, "a").spent.map(|(spent, _)| spent), Some(10));
    // Without a quota nothing is counted, so nothing is written.
    pool.learns(MORNING, [limited(0)]);
    pool.given(MORNING, ask(3));
    let step = pool.handle(MORNING, Command::Report(report(3, Outcome::Finished)));
    assert_eq!(step.rows, [Row::Lease(CallId(3))]);
    assert!(!step.changes().lasting);
}

#[test]
fn quota_survives_a_restart() {
    use crate::rows::RowMachine as _;
    let mut pool = Pool::default();
    pool.learns(MORNING, [limited(1_000)]);
    costs(&mut pool, MORNING, 1, 1_000);
    measures(
        &mut pool,
        MORNING,
        "a",
        &[window("5h", 300, MORNING + HOUR, MORNING)],
    );
    pool.reports(MORNING, 2, "a", unwell());
    let rows = [Row::Head, Row::Account(1), Row::Errors(1)];
    let kept = rows.map(|row| (row, pool.row(row).unwrap()));
    let mut back = Pool::from_rows(kept);
    assert_eq!(
        back.say(MORNING, Command::Snapshot),
        pool.say(MORNING, Command::Snapshot)
    );
}
