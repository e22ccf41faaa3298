use super::*;

/// The length of the back-off that follows.
fn backoff(pool: &mut Pool, now: Millis, call: u128, outcome: Outcome) -> Option<u64> {
    pool.tries(now, call, "a", outcome);
    pool.shows(now, "a").backoff_until.map(|until| until - now)
}

#[test]
fn the_providers_word_is_trusted() {
    let mut pool = alike(2);
    pool.tries(T, 1, "a", throttled(T + 3 * HOUR));
    assert_eq!(pool.given(T + 3 * HOUR - 1, ask(1)), "b");
    assert_eq!(pool.given(T + 3 * HOUR - 1, ask(2)), "b");
    assert_eq!(pool.given(T + 3 * HOUR, ask(3)), "a");
    assert_eq!(pool.shows(T + 3 * HOUR, "a").cooldowns, []);
}

#[test]
fn a_cooldown_holds_for_its_family() {
    let mut pool = alike(1);
    let opus = |until| Outcome::Throttled {
        until: Some(until),
        family: Some("opus".into()),
        why: "limited".into(),
    };
    pool.tries(T, 1, "a", opus(T + 9_000));
    pool.reports(T, 1, "a", opus(T + 5_000));
    assert_eq!(
        pool.given(
            T,
            Pick {
                family: "haiku".into(),
                ..ask(2)
            }
        ),
        "a"
    );
    let skip = |until, family: Option<&str>| Skip::Cooling {
        until,
        family: family.map(str::to_owned),
        why: "limited".into(),
    };
    assert_eq!(
        pool.nobody(T, ask(3)).skipped,
        [("a".into(), skip(T + 9_000, Some("opus")))],
        "the later"
    );
    // One for all families holds for each.
    pool.reports(T, 1, "a", throttled(T + 10_000));
    assert_eq!(pool.nobody(T, ask(3)).earliest, Some(T + 10_000));
    let longer = pool.reports(T, 1, "a", throttled(T + 10_001)).lasting;
    assert!(longer, "a restart must not forget that");
    let haiku = Pick {
        family: "haiku".into(),
        ..ask(2)
    };
    assert_eq!(
        pool.nobody(T, haiku).skipped,
        [("a".into(), skip(T + 10_001, None))]
    );
    let held = cooling(None, T + 10_001, CooldownKind::Measured, "limited");
    assert_eq!(pool.shows(T + 9_500, "a").cooldowns, [held]);
}

#[test]
fn nonsense_from_a_provider_is_bounded() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", throttled(Millis::MAX));
    let week = cooling(None, T + 8 * 24 * HOUR, CooldownKind::Measured, "limited");
    assert_eq!(pool.shows(T, "a").cooldowns, std::slice::from_ref(&week));
    for family in 0..1_000 {
        let family = Some(family.to_string());
        pool.reports(
            T,
            1,
            "a",
            Outcome::Throttled {
                until: Some(T + HOUR),
                family,
                why: String::new(),
            },
        );
    }
    let cooldowns = pool.shows(T, "a").cooldowns;
    assert_eq!(cooldowns.len(), 32);
    assert_eq!(cooldowns.first(), Some(&week), "the shortest had to go");
    // A reset that lies in the past says nothing: then it is a guess.
    let mut pool = alike(1);
    assert_eq!(backoff(&mut pool, T, 1, throttled(T)), Some(15_000));
    let guess = cooling(None, T + 15_000, CooldownKind::Throttled, "limited");
    assert_eq!(pool.shows(T, "a").cooldowns, [guess]);
}

#[test]
fn guesses_double_and_are_bounded() {
    let mut pool = alike(1);
    let delays: Vec<_> = (0..7)
        .filter_map(|call| backoff(&mut pool, T, call, guess()))
        .collect();
    assert_eq!(
        delays,
        [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000]
    );
    let mut pool = alike(1);
    let delays: Vec<_> = (0..6)
        .filter_map(|call| backoff(&mut pool, T, call, unwell()))
        .collect();
    assert_eq!(delays, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    // Hits in a row: a good answer ends the row.
    pool.given(T, ask(9));
    assert!(pool.reports(T, 9, "a", Outcome::Serving).lasting);
    assert_eq!(pool.shows(T, "a").backoff_until, None);
    assert_eq!(backoff(&mut pool, T, 10, unwell()), Some(5_000));
    // Time alone does not.
    assert_eq!(backoff(&mut pool, T + HOUR, 11, unwell()), Some(10_000));
    for call in 100..200 {
        backoff(&mut pool, T, call, unwell());
    }
    assert_eq!(backoff(&mut pool, T + 2 * HOUR, 12, unwell()), Some(60_000));
}

#[test]
fn a_shorter_back_off_does_not_end_a_longer_one() {
    let mut pool = alike(1);
    backoff(&mut pool, T, 1, guess());
    assert_eq!(backoff(&mut pool, T, 2, unwell()), Some(15_000));
}

#[test]
fn calls_cut_by_one_outage_are_one_hit() {
    let mut pool = alike(1);
    for call in 0..50 {
        pool.given(T, ask(call));
    }
    let news = (0..50)
        .filter(|call| pool.reports(T + 1, *call, "a", unwell()).lasting)
        .count();
    assert_eq!(news, 1);
    assert_eq!(pool.shows(T + 1, "a").backoff_until, Some(T + 1 + 5_000));
    assert_eq!(
        backoff(&mut pool, T + 1, 60, unwell()),
        Some(10_000),
        "the next is another"
    );
}

#[test]
fn back_off_prefers_others_but_excludes_nobody() {
    let mut pool = pool([
        account("a"),
        AccountPolicy {
            priority: 90,
            ..account("b")
        },
    ]);
    assert_eq!(pool.given(T, ask(1)), "a");
    pool.reports(T, 1, "a", unwell());
    assert_eq!(pool.given(T, ask(2)), "b");
    assert_eq!(pool.given(T, tried(3, &["b"])), "a", "the only one left");
    pool.tries(T, 4, "b", unwell());
    assert_eq!(pool.given(T, ask(5)), "a", "all in back-off: by priority again");
    assert_eq!(pool.given(T + 5_000, ask(6)), "a", "it ends by itself");
}

#[test]
fn refused_credentials_wait_for_new_ones() {
    let mut pool = alike(2);
    pool.tries(T, 1, "a", denied(None));
    assert_eq!(pool.shows(T, "a").denied, Some(("401".into(), None)));
    let later = T + 1_000 * HOUR;
    for call in 2..6 {
        assert_eq!(pool.given(later, ask(call)), "b");
    }
    // What might have healed by itself does not soften it.
    assert!(!pool.reports(later, 1, "a", denied(Some(later + 1))).lasting);
    pool.given(later, only(7, "a"));
    assert!(!pool.reports(later, 7, "a", Outcome::Serving).lasting);
    assert_eq!(pool.given(later, ask(8)), "b");
    let roster = || {
        [
            AccountPolicy {
                credential_version: 2,
                ..account("a")
            },
            account("b"),
        ]
    };
    assert!(pool.learns(later, roster()).lasting);
    assert_eq!(pool.shows(later, "a").denied, None);
    assert_eq!(pool.given(later, ask(9)), "a");
}

#[test]
fn the_operators_reset_forgets_everything() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", unwell());
    pool.tries(T, 1, "a", throttled(T + HOUR));
    pool.tries(T, 1, "a", denied(None));
    pool.given(T, only(2, "a"));
    pool.say(
        T,
        Command::BeginRefresh {
            call: CallId(2),
            account: "a".into(),
            seen: 1,
            ttl_ms: TTL,
            waits: false,
            waited_for: None,
            refused: false,
        },
    );
    let reset = || Command::Reset { account: "a".into() };
    assert_eq!(
        pool.handle(T, reset()).changes(),
        ChangedRows {
            of_calls: false,
            lasting: true
        }
    );
    assert_eq!(pool.handle(T, reset()).changes(), ChangedRows::default());
    let account = pool.shows(T, "a");
    assert_eq!(
        (account.cooldowns.len(), account.backoff_until, account.denied),
        (0, None, None)
    );
    assert_eq!(account.leases.len(), 1, "calls that run go on");
    let elected = Command::BeginRefresh {
        call: CallId(3),
        account: "a".into(),
        seen: 1,
        ttl_ms: TTL,
        waits: false,
        waited_for: None,
        refused: false,
    };
    assert_eq!(pool.say(T, elected), Reply::RefreshElected);
    assert_eq!(backoff(&mut pool, T, 4, unwell()), Some(5_000));
}

#[test]
fn an_ended_denial_is_proved_by_one_call_at_a_time() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", denied(Some(T + 9_000)));
    let after = T + 9_000;
    assert_eq!(pool.given(after, ask(2)), "a");
    assert_eq!(pool.given(after, ask(2)), "a", "its answer was lost");
    let skip = Skip::Denied {
        why: "401".into(),
        until: Some(T + 9_000),
    };
    let nobody = Nobody {
        skipped: vec![("a".into(), skip)],
        earliest: Some(after + 1_000),
        busy: false,
        bound: None,
    };
    assert_eq!(pool.nobody(after, ask(3)), nobody);
    // It says nothing about the credentials: the next may try.
    pool.reports(after, 2, "a", unwell());
    assert_eq!(pool.given(after, ask(3)), "a");
    // It is refused again.
    pool.reports(after, 3, "a", denied(Some(after + 9_000)));
    assert_eq!(pool.nobody(after, ask(4)).earliest, Some(after + 9_000));
    // It vanishes: its slot ends, and with it the proof.
    assert_eq!(pool.given(after + 9_000, ask(4)), "a");
    pool.nobody(after + 8_999 + TTL, ask(5));
    assert_eq!(pool.given(after + 9_000 + TTL, ask(5)), "a");
    // It serves.
    assert!(
        pool.reports(after + 9_000 + TTL, 5, "a", Outcome::Serving)
            .lasting
    );
    assert_eq!(pool.given(after + 9_000 + TTL, ask(6)), "a");
    assert_eq!(pool.shows(after + 9_000 + TTL, "a").denied, None);
}

#[test]
fn an_ended_cooldown_lets_everybody_in() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", throttled(T + 9_000));
    assert_eq!(pool.given(T + 9_000, ask(2)), "a");
    assert_eq!(pool.given(T + 9_000, ask(3)), "a");
}

#[test]
fn a_good_answer_does_not_end_what_still_holds() {
    let mut pool = alike(1);
    pool.given(T, ask(1));
    pool.given(T, ask(2));
    pool.given(T, ask(3));
    pool.reports(T, 1, "a", throttled(T + 9_000));
    pool.reports(T, 2, "a", denied(Some(T + 9_000)));
    assert_eq!(pool.reports(T, 3, "a", Outcome::Serving), ChangedRows::default());
    assert_eq!(pool.holders(T, "a"), [3], "it keeps its slot");
    pool.nobody(T, ask(4));
}

#[test]
fn every_end_of_an_attempt_frees_its_own_slot_only() {
    let ends = [
        Outcome::Finished,
        Outcome::Neutral,
        guess(),
        throttled(T + 1),
        unwell(),
        denied(None),
    ];
    for outcome in ends {
        let mut pool = alike(2);
        pool.given(T, only(1, "a"));
        pool.given(T, only(2, "a"));
        pool.reports(T, 1, "b", outcome.clone());
        assert_eq!(
            pool.holders(T, "a"),
            [1, 2],
            "it holds no slot there: {outcome:?}"
        );
        assert!(pool.reports(T, 1, "a", outcome.clone()).of_calls);
        assert_eq!(pool.holders(T, "a"), [2], "{outcome:?}");
        assert!(!pool.reports(T, 1, "a", outcome.clone()).of_calls);
        assert_eq!(pool.holders(T, "a"), [2], "{outcome:?}");
    }
}

#[test]
fn a_repeated_report_says_nothing_new() {
    for outcome in [
        guess(),
        throttled(T + HOUR),
        unwell(),
        denied(None),
        denied(Some(T + HOUR)),
    ] {
        let mut pool = alike(1);
        pool.given(T, ask(1));
        assert!(pool.reports(T, 1, "a", outcome.clone()).lasting);
        let shown = pool.shows(T, "a");
        assert_eq!(
            pool.reports(T, 1, "a", outcome.clone()),
            ChangedRows::default(),
            "{outcome:?}"
        );
        assert_eq!(pool.shows(T, "a"), shown);
    }
}

#[test]
fn a_late_report_still_tells_how_the_account_does() {
    let mut pool = pool([AccountPolicy {
        max_concurrency: 1,
        ..account("a")
    }]);
    pool.given(T, ask(1));
    pool.given(T + TTL, ask(2));
    assert!(pool.reports(T + TTL, 1, "a", unwell()).lasting);
    assert!(pool.reports(T + TTL, 1, "a", throttled(T + HOUR)).lasting);
    assert!(pool.reports(T + TTL, 1, "a", denied(None)).lasting);
    let account = pool.shows(T + TTL, "a");
    assert_eq!(
        (account.cooldowns.len(), account.backoff_until.is_some()),
        (2, true)
    );
    assert!(account.denied.is_some());
    assert_eq!(pool.holders(T + TTL, "a"), [2]);
}

#[test]
fn a_refusal_of_replaced_credentials_is_not_held_against_the_new_ones() {
    let mut pool = alike(1);
    pool.given(T, ask(1));
    pool.learns(
        T,
        [AccountPolicy {
            credential_version: 2,
            ..account("a")
        }],
    );
    let changes = pool.reports(T, 1, "a", denied(None));
    assert_eq!(
        changes,
        ChangedRows {
            of_calls: true,
            lasting: false
        }
    );
    assert_eq!(pool.given(T, ask(2)), "a");
    // One that heard of the new ones is believed.
    pool.given(T, ask(3));
    pool.learns(
        T,
        [AccountPolicy {
            credential_version: 3,
            ..account("a")
        }],
    );
    let refresh = Command::BeginRefresh {
        call: CallId(3),
        account: "a".into(),
        seen: 2,
        ttl_ms: TTL,
        waits: false,
        waited_for: None,
        refused: false,
    };
    assert_eq!(pool.say(T, refresh), Reply::RefreshDone { version: 3 });
    assert!(pool.reports(T, 3, "a", denied(None)).lasting);
}

#[test]
fn a_provider_that_says_when_it_is_well_again_is_left_alone_until_then() {
    let mut pool = alike(2);
    let trouble = |until| Outcome::Unwell {
        why: "529".into(),
        until: Some(until),
    };
    pool.tries(T, 1, "a", trouble(T + 40_000));
    assert_eq!(pool.shows(T, "a").backoff_until, Some(T + 40_000));
    // Not for long, whatever it says, and never as the only one.
    pool.tries(T, 2, "b", trouble(T + 86_400_000));
    assert_eq!(pool.shows(T, "b").backoff_until, Some(T + 300_000));
    assert_eq!(pool.given(T + 1, ask(3)), "a");
    // A moment that has passed shortens nothing.
    let mut pool = alike(1);
    pool.tries(T, 1, "a", trouble(T - 1));
    assert_eq!(pool.shows(T, "a").backoff_until, Some(T + 5_000));
}
