use super::*;

const MINUTES: u64 = 60_000;

fn granted(gate: &mut Gate, now: Millis, asks: impl Iterator<Item = Admit>) -> usize {
    asks.filter(|ask| matches!(gate.asks(now, ask.clone()), Reply::Granted { .. }))
        .count()
}

fn window(limits: Limits) -> Gate {
    limited(Limits {
        rate_limit_window_minutes: 5,
        ..limits
    })
}

#[test]
fn a_window_admits_exactly_so_many_requests() {
    let mut gate = window(Limits {
        rate_limit_requests: 37,
        ..Limits::default()
    });
    // Each asks twice, for the first answer was lost.
    let crowd = (0..200).flat_map(|call| [ask(call), ask(call)]);
    assert_eq!(granted(&mut gate, T, crowd), 2 * 37);
    assert_eq!(
        gate.reached(T + 1_000, ask(999)),
        LimitReached {
            which: Limit::WindowRequests,
            limit: 37,
            used: 37,
            reserved: 0,
            resets_at: Some(T + 5 * MINUTES),
            retry_after_ms: Some(5 * MINUTES - 1_000),
        }
    );
    // That calls end gives no request back.
    for call in 0..37 {
        gate.say(T + 2_000, settle(call));
    }
    assert_eq!(gate.reached(T + 3_000, ask(999)).used, 37);
    assert_eq!(granted(&mut gate, T + 5 * MINUTES, (200..400).map(ask)), 37);
}

#[test]
fn a_window_begins_with_its_first_request() {
    let mut gate = window(Limits {
        rate_limit_requests: 1,
        ..Limits::default()
    });
    assert_eq!(gate.shown(T).window, None);
    let at = T + 7 * MINUTES;
    gate.granted(at, ask(1));
    let shown = gate.shown(at).window.unwrap();
    assert_eq!(
        (shown.start, shown.end, shown.requests),
        (at, at + 5 * MINUTES, 1)
    );
    assert_eq!(gate.shown(at + 5 * MINUTES).window, None);
    gate.granted(at + 20 * MINUTES, ask(2));
    assert_eq!(
        gate.shown(at + 20 * MINUTES).window.unwrap().start,
        at + 20 * MINUTES
    );
}

#[test]
fn refused_cancelled_and_free_calls_are_no_requests() {
    let mut gate = window(Limits {
        rate_limit_requests: 2,
        ..Limits::default()
    });
    let opus = |call| Admit {
        model: Some("opus".into()),
        ..ask(call)
    };
    let limits = gate.shown(T).policy.unwrap().limits;
    let restricted = |version| KeyPolicy {
        model_restriction: true,
        restricted_models: vec!["opus".into()],
        limits,
        version,
        ..no_limits()
    };
    let requests = |gate: &mut Gate| gate.shown(T).window.map(|window| window.requests);
    gate.learns(T, Some(restricted(2)));
    gate.refusal(T, opus(1));
    let free = Admit {
        slot: false,
        ..ask(1)
    };
    gate.granted(T, free.clone());
    assert_eq!(requests(&mut gate), None);
    gate.granted(T, ask(1));
    gate.granted(T, ask(2));
    gate.reached(T, ask(3));
    gate.granted(T, free);
    assert_eq!(requests(&mut gate), Some(2));
    gate.say(T, cancel(1));
    gate.say(T, cancel(1));
    assert_eq!(requests(&mut gate), Some(1));
    // Granted, but its answer was lost, and then the key was changed.
    gate.refusal(T, opus(2));
    assert_eq!(requests(&mut gate), Some(0));
}

#[test]
fn tokens_and_cost_of_a_window_are_counted_when_calls_settle() {
    for which in [Limit::WindowTokens, Limit::WindowCost] {
        let mut gate = match which {
            Limit::WindowTokens => window(Limits {
                rate_limit_tokens: 100,
                ..Limits::default()
            }),
            _ => window(Limits {
                rate_limit_cost: 100,
                ..Limits::default()
            }),
        };
        gate.granted(T, ask_for(1, 60));
        gate.say(T, settle_at(1, 99));
        gate.granted(T, ask_for(2, 1));
        gate.say(T, settle_at(2, 1));
        let reached = gate.reached(T + 1, ask_for(3, 0));
        assert_eq!((reached.which, reached.used, reached.reserved), (which, 100, 0));
        assert_eq!(reached.resets_at, Some(T + 5 * MINUTES));
        gate.granted(T + 5 * MINUTES, ask_for(3, 100));
    }
}

#[test]
fn a_crowd_gets_exactly_the_money_there_is() {
    let of = |limits| Limits {
        utc_offset_minutes: 480,
        ..limits
    };
    for limits in [
        Limits {
            money: PerLimit::these([(MoneyLimit::Day, 1_000)]),
            ..Limits::default()
        },
        Limits {
            money: PerLimit::these([(MoneyLimit::Week, 1_000)]),
            ..Limits::default()
        },
        Limits {
            money: PerLimit::these([(MoneyLimit::WeekOpus, 1_000)]),
            ..Limits::default()
        },
        Limits {
            money: PerLimit::these([(MoneyLimit::Total, 1_000)]),
            ..Limits::default()
        },
        Limits {
            rate_limit_window_minutes: 5,
            rate_limit_cost: 1_000,
            ..Limits::default()
        },
    ] {
        let mut gate = limited(of(limits));
        let opus = |call| Admit {
            opus: true,
            ..ask_for(call, 50)
        };
        assert_eq!(granted(&mut gate, T, (0..200).map(opus)), 20, "{limits:?}");
        let reached = gate.reached(T, opus(300));
        assert_eq!((reached.limit, reached.used, reached.reserved), (1_000, 0, 1_000));
        // Some of it is free again soon.
        assert!(
            reached
                .retry_after_ms
                .is_some_and(|soon| RETRY_MS.contains(&soon))
        );
        // Half of it was needed, so half as many more are let in.
        for call in 0..20 {
            let Command::Settle {
                call,
                usage: Some(usage),
                ..
            } = settle_at(call, 25)
            else {
                panic!()
            };
            gate.say(
                T,
                Command::Settle {
                    call,
                    event: None,
                    usage: Some(Usage { opus: true, ..usage }),
                },
            );
        }
        assert_eq!(granted(&mut gate, T, (300..500).map(opus)), 10, "{limits:?}");
    }
}

#[test]
fn a_limit_is_overshot_by_what_running_calls_use_over_their_estimates() {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::Total, 100)]),
        ..Limits::default()
    });
    assert_eq!(granted(&mut gate, T, (0..50).map(|call| ask_for(call, 10))), 10);
    for call in 0..10 {
        gate.say(T, settle_at(call, 13));
    }
    assert_eq!(gate.spent(T)[3], 130);
    assert_eq!(
        gate.reached(T, ask_for(99, 0)),
        LimitReached {
            which: Limit::Money(MoneyLimit::Total),
            limit: 100,
            used: 130,
            reserved: 0,
            resets_at: None,
            retry_after_ms: None,
        }
    );
}

#[test]
fn what_is_left_is_good_for_one_more_call() {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::Total, 100)]),
        ..Limits::default()
    });
    gate.granted(T, ask_for(1, 500));
    assert_eq!(gate.reached(T, ask_for(2, 0)).reserved, 500, "but for one alone");
    gate.say(T, settle_at(1, 99));
    gate.granted(T, ask_for(2, 500));
    gate.say(T, settle_at(2, 2));
    assert_eq!(gate.reached(T, ask_for(3, 0)).used, 101);
}

#[test]
fn only_opus_counts_against_the_limit_on_opus() {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::WeekOpus, 100), (MoneyLimit::Week, 1_000)]),
        ..Limits::default()
    });
    let opus = |call| Admit {
        opus: true,
        ..ask_for(call, 10)
    };
    gate.granted(T, ask_for(1, 300));
    gate.say(T, settle_at(1, 300));
    gate.granted(T, opus(2));
    assert_eq!(gate.reserved_now(T), [10; 4]);
    let usage = |opus| {
        Some(Usage {
            tokens: 1,
            cost: 100,
            opus,
        })
    };
    let end = |call, opus| Command::Settle {
        call: CallId(call),
        event: None,
        usage: usage(opus),
    };
    gate.say(T, end(2, true));
    assert_eq!(gate.spent(T), [400, 400, 100, 400]);
    assert_eq!(gate.reached(T, opus(3)).which, Limit::Money(MoneyLimit::WeekOpus));
    gate.granted(T, ask_for(3, 10));
    // What it was in the end is what counts.
    gate.say(T, end(3, false));
    assert_eq!(gate.spent(T), [500, 500, 100, 500]);
}

#[test]
fn of_several_limits_the_one_that_lasts_longest_is_told() {
    let mut gate = limited(Limits {
        rate_limit_window_minutes: 5,
        rate_limit_requests: 1,
        money: PerLimit::these([(MoneyLimit::Day, 10), (MoneyLimit::Week, 10)]),
        ..Limits::default()
    });
    gate.granted(T, ask_for(1, 1));
    assert_eq!(gate.reached(T, ask(2)).which, Limit::WindowRequests);
    gate.say(T, settle_at(1, 10));
    assert_eq!(gate.reached(T, ask(2)).which, Limit::Money(MoneyLimit::Week));
}

#[test]
fn a_call_without_a_slot_may_reserve_money() {
    let mut gate = limited(Limits {
        money: PerLimit::these([(MoneyLimit::Total, 100)]),
        ..Limits::default()
    });
    let ask = |call, cost| Admit {
        slot: false,
        ..ask_for(call, cost)
    };
    gate.granted(T, ask(1, 60));
    gate.reached(T, ask(2, 60));
    assert_eq!(gate.reserved_now(T)[3], 60);
    assert!(!gate.shown(T).leases[0].slot);
    gate.say(T, settle_at(1, 70));
    gate.granted(T, ask(2, 30));
    assert_eq!(gate.spent(T)[3], 70);
}

#[test]
fn what_was_spent_before_the_gate_began_is_asked_for_once() {
    let mut gate = gate(KeyPolicy {
        limits: Limits {
            money: PerLimit::these([(MoneyLimit::Day, 100), (MoneyLimit::Total, 900)]),
            ..Limits::default()
        },
        ..no_limits()
    });
    assert_eq!(gate.asks(T, ask(1)), Reply::NeedSpend);
    let free = Admit {
        slot: false,
        ..ask(1)
    };
    gate.granted(T, free);
    // The store cannot be asked: what is known decides.
    let unasked = Admit {
        learned_since: 0,
        ..ask_for(1, 10)
    };
    gate.granted(T, unasked);
    gate.say(T, settle_at(1, 10));
    let seed = |day, total| Command::SeedSpend(seeded([day, day, 0, total], T));
    gate.say(T, seed(70, 800));
    assert_eq!(gate.spent(T), [70, 70, 0, 800]);
    gate.say(T, seed(99, 999));
    assert_eq!(gate.spent(T), [70, 70, 0, 800], "once");
    gate.granted(T, ask_for(2, 30));
}

#[test]
fn what_was_read_yesterday_is_not_of_today() {
    let mut gate = gate(no_limits());
    let day = gate.shown(T).spent[MoneyLimit::Day].resets_at.unwrap();
    let seed = seeded([5, 50, 25, 500], day - 1);
    gate.say(day, Command::SeedSpend(seed));
    assert_eq!(gate.spent(day), [0, 50, 25, 500]);
}

#[test]
fn the_operator_forgives_what_was_spent() {
    let spend = |gate: &mut Gate, call| {
        gate.granted(T, ask_for(call, 10));
        let usage = Some(Usage {
            tokens: 7,
            cost: 7,
            opus: true,
        });
        gate.say(
            T,
            Command::Settle {
                call: CallId(call),
                event: None,
                usage,
            },
        );
    };
    let limits = Limits {
        rate_limit_window_minutes: 5,
        rate_limit_requests: 9,
        ..Limits::default()
    };
    for (which, left) in [
        (ResetScope::Window, [7, 7, 7, 7]),
        (ResetScope::Money(MoneyLimit::Day), [0, 7, 7, 7]),
        (ResetScope::Money(MoneyLimit::Week), [7, 0, 7, 7]),
        (ResetScope::Money(MoneyLimit::WeekOpus), [7, 7, 0, 7]),
        (ResetScope::Money(MoneyLimit::Total), [7, 7, 7, 0]),
        (ResetScope::All, [0, 0, 0, 0]),
    ] {
        let mut gate = limited(limits);
        spend(&mut gate, 1);
        gate.granted(T, ask(2));
        assert_eq!(gate.say(T, Command::ResetSpend { which }), Reply::Done);
        assert_eq!(gate.spent(T), left, "{which:?}");
        let window = gate.shown(T).window.map(|window| window.requests);
        let forgiven = matches!(which, ResetScope::Window | ResetScope::All);
        assert_eq!(window, (!forgiven).then_some(2));
        // What runs now counts, but for the window.
        gate.granted(T, ask(3));
        gate.say(T, settle_at(2, 4));
        assert_eq!(gate.spent(T)[0], left[0] + 4);
        let used = gate.shown(T).window.unwrap().used.cost;
        assert_eq!(used, if forgiven { 0 } else { 11 });
    }
}

#[test]
fn a_part_is_forgiven_only_when_the_whole_is_known() {
    let mut gate = gate(no_limits());
    let day = Command::ResetSpend {
        which: ResetScope::Money(MoneyLimit::Day),
    };
    assert_eq!(gate.say(T, day.clone()), Reply::NeedSpend);
    let seed = seeded([5; 4], T);
    gate.say(T, Command::SeedSpend(seed));
    assert_eq!(gate.say(T, day), Reply::Done);
    assert_eq!(gate.spent(T), [0, 5, 5, 5]);
    // All of it may go unknown.
    let mut gate = Gate::default();
    gate.learns(T, Some(no_limits()));
    assert_eq!(
        gate.say(
            T,
            Command::ResetSpend {
                which: ResetScope::All
            }
        ),
        Reply::Done
    );
    gate.say(T, Command::SeedSpend(seed));
    assert_eq!(gate.spent(T), [0; 4]);
}
