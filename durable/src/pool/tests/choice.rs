use super::*;

/// What is shown of a slot.
fn lease(call: u128, since: Millis, until: Millis) -> LeaseSnapshot {
    LeaseSnapshot {
        call: CallId(call),
        since,
        until,
        holder: String::new(),
        family: "opus".into(),
        slot: true,
        sticky: false,
    }
}

#[test]
fn the_lowest_priority_then_the_least_recently_used() {
    let mut pool = pool([
        AccountPolicy {
            priority: 60,
            ..account("a")
        },
        account("c"),
        account("b"),
        AccountPolicy {
            priority: 60,
            ..account("d")
        },
    ]);
    // All at one moment: the clock cannot tell them apart.
    let given: Vec<_> = (0..6).map(|call| pool.given(T, ask(call))).collect();
    assert_eq!(given, ["b", "c", "b", "c", "b", "c"]);
    assert_eq!(pool.given(T, tried(9, &["b", "c"])), "a");
    assert_eq!(pool.given(T, tried(10, &["b", "c"])), "d");
}

#[test]
fn whoever_cannot_serve_is_passed_over_with_the_reason() {
    let mut pool = pool([
        AccountPolicy {
            active: false,
            ..account("inactive")
        },
        AccountPolicy {
            schedulable: false,
            ..account("paused")
        },
        AccountPolicy {
            unusable: Some("no proxy".into()),
            ..account("unusable")
        },
        account("tried"),
        AccountPolicy {
            max_concurrency: 1,
            ..account("full")
        },
        account("cooling"),
        account("denied"),
        account("well"),
    ]);
    pool.given(T, only(1, "full"));
    pool.tries(T, 2, "cooling", throttled(T + 5_000));
    pool.tries(T, 3, "denied", denied(None));
    let (given, skipped) = pool.given_past(T, tried(4, &["tried"]));
    assert_eq!(given, "well");
    let expected = [
        ("inactive", Skip::Inactive),
        ("paused", Skip::Paused),
        (
            "unusable",
            Skip::Unusable {
                why: "no proxy".into(),
            },
        ),
        ("tried", Skip::Tried),
        ("full", Skip::Full { limit: 1 }),
        (
            "cooling",
            Skip::Cooling {
                until: T + 5_000,
                family: None,
                why: "limited".into(),
            },
        ),
        (
            "denied",
            Skip::Denied {
                why: "401".into(),
                until: None,
            },
        ),
    ];
    assert_eq!(skipped, expected.map(|(id, skip)| (id.to_owned(), skip)));
    // The others could serve but rank lower: they are not named.
    assert_eq!(pool.given_past(T + 5_000, ask(5)).1.len(), 5);
}

#[test]
fn nobody_left_says_when_to_come_back() {
    let mut pool = alike(3);
    pool.tries(T, 1, "a", throttled(T + 9_000));
    pool.tries(T, 1, "b", throttled(T + 7_000));
    pool.tries(T, 1, "c", denied(Some(T + 8_000)));
    let nobody = pool.nobody(T, tried(1, &["b"]));
    assert_eq!(
        (nobody.earliest, nobody.busy),
        (Some(T + 7_000), false),
        "a tried one comes back, too"
    );
    assert_eq!(nobody.skipped.len(), 3);
    // Two marks: it is back when both have ended.
    pool.reports(T, 1, "b", denied(Some(T + 8_500)));
    assert_eq!(pool.nobody(T, ask(2)).earliest, Some(T + 8_000));
    assert_eq!(pool.nobody(T + 7_999, ask(2)).earliest, Some(T + 8_000));
    assert_eq!(pool.given(T + 8_000, ask(2)), "c");
}

#[test]
fn waiting_helps_only_for_what_time_heals() {
    let mut pool = pool([
        account("denied"),
        AccountPolicy {
            active: false,
            ..account("inactive")
        },
        AccountPolicy {
            schedulable: false,
            ..account("paused")
        },
        account("tried"),
    ]);
    pool.tries(T, 1, "denied", denied(None));
    pool.tries(T, 1, "denied", throttled(T + 9_000));
    pool.tries(T, 1, "inactive", throttled(T + 9_000));
    pool.tries(T, 1, "paused", denied(Some(T + 9_000)));
    assert_eq!(pool.nobody(T, tried(1, &["tried"])).earliest, None);
    let mut empty = super::pool([]);
    assert_eq!(
        empty.nobody(T, ask(1)),
        Nobody {
            skipped: vec![],
            earliest: None,
            busy: false,
            bound: None
        }
    );
}

#[test]
fn a_crowd_gets_exactly_the_slots_there_are() {
    let mut pool = pool(["a", "b", "c"].map(|id| AccountPolicy {
        max_concurrency: 7,
        ..account(id)
    }));
    let given = (0..200)
        .filter(|call| matches!(pool.asks(T, ask(*call)), Reply::Picked { .. }))
        .count();
    assert_eq!(given, 21);
    let nobody = pool.nobody(T, ask(500));
    assert!(nobody.busy);
    assert_eq!(nobody.earliest, None);
    assert!(
        !pool.nobody(T, tried(500, &["a", "b", "c"])).busy,
        "not only full"
    );
    for id in ["a", "b", "c"] {
        assert_eq!(pool.holders(T, id).len(), 7);
    }
    pool.reports(T, 0, "a", Outcome::Finished);
    assert_eq!(pool.given(T, ask(500)), "a");
    pool.nobody(T, ask(501));
}

#[test]
fn a_call_holds_one_slot_at_a_time() {
    let mut pool = alike(3);
    assert_eq!(pool.given(T, ask(1)), "a");
    assert_eq!(pool.given(T, tried(1, &["a"])), "b");
    assert_eq!(pool.given(T, tried(1, &["a", "b"])), "c");
    assert_eq!(
        (pool.holders(T, "a"), pool.holders(T, "b"), pool.holders(T, "c")),
        (vec![], vec![], vec![1])
    );
    // Nobody is left: then it holds nothing, either.
    pool.nobody(T, tried(1, &["a", "b", "c"]));
    assert_eq!(pool.holders(T, "c"), []);
}

#[test]
fn a_repeated_pick_is_given_what_it_has() {
    let mut pool = pool(["a", "b"].map(|id| AccountPolicy {
        max_concurrency: 1,
        ..account(id)
    }));
    assert_eq!(pool.given_sticky(T, with_session(1, 7)), ("a".into(), false));
    let step = pool.handle(T + 5, Command::Pick(with_session(1, 7)));
    assert_eq!(
        step.reply,
        Reply::Picked {
            account: "a".into(),
            revision: 1,
            on_trial: false,
            sticky: false,
            bound: false,
            origin: None,
            trace: None
        }
    );
    assert_eq!(
        step.changes(),
        ChangedRows {
            of_calls: true,
            lasting: false
        }
    );
    assert_eq!(pool.shows(T + 5, "a").leases, [lease(1, T, T + 5 + TTL)]);
    assert_eq!(pool.given(T + 6, ask(2)), "b");
    // It moves on if the account can no longer serve it.
    pool.reports(T + 7, 9, "a", throttled(T + 9_000));
    assert!(pool.nobody(T + 7, ask(1)).busy);
    assert_eq!(pool.holders(T + 7, "a"), []);
}

#[test]
fn the_operators_test_reaches_any_account_that_can_be_reached() {
    let mut pool = pool([
        account("a"),
        AccountPolicy {
            active: false,
            schedulable: false,
            priority: 99,
            max_concurrency: 1,
            ..account("b")
        },
        AccountPolicy {
            unusable: Some("no proxy".into()),
            ..account("c")
        },
    ]);
    pool.tries(T, 1, "b", throttled(T + HOUR));
    pool.tries(T, 1, "b", denied(None));
    assert_eq!(pool.given(T, only(1, "b")), "b");
    assert_eq!(pool.given(T, only(2, "b")), "b");
    assert_eq!(pool.holders(T, "b"), [1, 2]);
    assert_eq!(pool.given(T, only(2, "b")), "b");
    assert_eq!(pool.holders(T, "b"), [1, 2]);
    let nobody = |skipped| Nobody {
        skipped,
        earliest: None,
        busy: false,
        bound: None,
    };
    assert_eq!(pool.nobody(T, only(3, "nobody")), nobody(vec![]));
    let why = "no proxy".to_owned();
    assert_eq!(
        pool.nobody(T, only(3, "c")),
        nobody(vec![("c".into(), Skip::Unusable { why })])
    );
    let again = Pick {
        tried: vec!["b".into()],
        ..only(2, "b")
    };
    assert_eq!(pool.nobody(T, again), nobody(vec![("b".into(), Skip::Tried)]));
    assert_eq!(pool.holders(T, "b"), [1]);
    // It binds no session.
    pool.given(
        T,
        Pick {
            session: Some(7),
            ..only(4, "b")
        },
    );
    assert_eq!(pool.sessions(T), 0);
}

#[test]
fn a_slot_ends_with_its_ttl_unless_renewed() {
    let mut pool = pool([AccountPolicy {
        max_concurrency: 1,
        ..account("a")
    }]);
    pool.given(T, ask(1));
    pool.say(
        T + 1_000,
        Command::Renew {
            call: CallId(1),
            ttl_ms: TTL,
        },
    );
    pool.nobody(T + 999 + TTL, ask(2));
    assert_eq!(pool.given(T + 1_000 + TTL, ask(2)), "a");
    // Its call lives on without a slot, and takes nobody else's.
    pool.say(
        T + 1_000 + TTL,
        Command::Renew {
            call: CallId(1),
            ttl_ms: TTL,
        },
    );
    pool.reports(T + 1_000 + TTL, 1, "a", Outcome::Finished);
    assert_eq!(pool.holders(T + 1_000 + TTL, "a"), [2]);
}

#[test]
fn a_clock_set_back_lengthens_nothing() {
    let mut pool = alike(1);
    pool.tries(T, 1, "a", throttled(T + HOUR));
    pool.reports(T, 1, "a", unwell());
    pool.given(T, only(2, "a"));
    let back = T - 100 * HOUR;
    let step = pool.handle(back, Command::Snapshot);
    assert_eq!(
        step.changes(),
        ChangedRows {
            of_calls: true,
            lasting: true
        }
    );
    assert_eq!(step.wake_at, Some(back + TTL));
    let account = pool.shows(back, "a");
    assert_eq!(account.leases, [lease(2, back, back + TTL)]);
    let cooldowns = [
        cooling(None, back + HOUR, CooldownKind::Measured, "limited"),
        cooling(None, back + 5_000, CooldownKind::Unwell, "529"),
    ];
    assert_eq!(account.cooldowns, cooldowns);
    assert_eq!(account.backoff_until, Some(back + 5_000));
    assert_eq!(account.last_used, Some(back));
    assert_eq!(pool.given(back + HOUR, ask(3)), "a");
}

#[test]
fn a_call_without_a_slot_is_served_by_a_full_account_and_fills_none() {
    let mut pool = pool([AccountPolicy {
        max_concurrency: 1,
        ..account("a")
    }]);
    let free = |call| Pick {
        slot: false,
        ..ask(call)
    };
    assert_eq!(pool.given(T, free(1)), "a");
    assert_eq!(pool.given(T, ask(2)), "a");
    assert_eq!(pool.given(T, free(3)), "a");
    pool.reports(T, 3, "a", Outcome::Finished);
    // The slot of call 2 is still taken.
    let Reply::NobodyLeft { busy, .. } = pool.handle(T, Command::Pick(ask(4))).reply else {
        panic!("a second slot was given");
    };
    assert!(busy);
}
