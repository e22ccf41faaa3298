use super::*;

/// Friday, 15 January 2027, 08:00 UTC.
const FRIDAY: Millis = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn gate_with(limits: Limits) -> Gate {
    let mut gate = gate(KeyPolicy {
        limits,
        ..no_limits()
    });
    gate.say(FRIDAY, Command::SeedSpend(SeedSpend::default()));
    gate
}

fn daily() -> Gate {
    gate_with(Limits {
        money: PerLimit::these([(MoneyLimit::Day, 100)]),
        ..Limits::default()
    })
}

/// A whole call.
fn spend(gate: &mut Gate, now: Millis, cost: u64) {
    let call = u128::from(now) << 8 | 1;
    gate.granted(now, ask_for(call, 0));
    gate.say(now, settle_at(call, cost));
}

#[test]
fn a_day_ends_at_the_operators_midnight() {
    for (utc_offset_minutes, hours) in [(0, 16), (8 * 60, 8), (-5 * 60, 21)] {
        let mut gate = gate_with(Limits {
            money: PerLimit::these([(MoneyLimit::Day, 100)]),
            utc_offset_minutes,
            ..Limits::default()
        });
        spend(&mut gate, FRIDAY, 100);
        let midnight = FRIDAY + hours * HOUR;
        assert_eq!(
            gate.reached(FRIDAY, ask(1)),
            LimitReached {
                which: Limit::Money(MoneyLimit::Day),
                limit: 100,
                used: 100,
                reserved: 0,
                resets_at: Some(midnight),
                retry_after_ms: Some(hours * HOUR),
            }
        );
        gate.reached(midnight - 1, ask(1));
        gate.granted(midnight, ask(1));
        assert_eq!(gate.spent(midnight), [0, 100, 0, 100]);
    }
}

#[test]
fn a_month_ends_by_the_operators_calendar() {
    // From 15 January 2027, 08:00 UTC to the 1st of February.
    for (utc_offset_minutes, hours) in [(0, 16), (8 * 60, 8), (-5 * 60, 21)] {
        let mut gate = gate_with(Limits {
            money: PerLimit::these([(MoneyLimit::Month, 100)]),
            utc_offset_minutes,
            ..Limits::default()
        });
        spend(&mut gate, FRIDAY, 60);
        spend(&mut gate, FRIDAY + 10 * DAY, 40);
        let february = FRIDAY + 16 * DAY + hours * HOUR;
        let reached = gate.reached(FRIDAY + 10 * DAY, ask(1));
        assert_eq!(reached.which, Limit::Money(MoneyLimit::Month));
        assert_eq!((reached.used, reached.resets_at), (100, Some(february)));
        gate.reached(february - 1, ask(1));
        spend(&mut gate, february, 70);
        // February has 28 days.
        let month = gate.shown(february).spent[MoneyLimit::Month].clone();
        assert_eq!((month.spent, month.resets_at), (70, Some(february + 28 * DAY)));
    }
}

#[test]
fn a_week_ends_when_the_operator_says() {
    for (weekly_reset_day, weekly_reset_hour, resets) in [
        (0, 0, 2 * DAY + 16 * HOUR),
        (5, 9, HOUR),
        (5, 8, 7 * DAY),
        (7, 12, 2 * DAY + 4 * HOUR),
    ] {
        let mut gate = gate_with(Limits {
            money: PerLimit::these([(MoneyLimit::Week, 100), (MoneyLimit::WeekOpus, 1)]),
            weekly_reset_day,
            weekly_reset_hour,
            ..Limits::default()
        });
        spend(&mut gate, FRIDAY, 100);
        assert_eq!(gate.reached(FRIDAY, ask(1)).resets_at, Some(FRIDAY + resets));
        gate.granted(FRIDAY + resets, ask(1));
    }
}

#[test]
fn what_settles_after_its_period_counts_in_no_later_one() {
    let mut gate = gate_with(Limits {
        rate_limit_window_minutes: 60,
        rate_limit_cost: 1_000,
        money: PerLimit::these([(MoneyLimit::Day, 100)]),
        ..Limits::default()
    });
    let midnight = FRIDAY + 16 * HOUR;
    let long = Admit {
        ttl_ms: DAY,
        ..ask_for(1, 90)
    };
    gate.granted(midnight - 1, long);
    assert_eq!(gate.reserved_now(midnight - 1), [90, 90, 0, 90]);
    assert_eq!(
        gate.reserved_now(midnight),
        [0, 90, 0, 90],
        "nor is it reserved there"
    );
    gate.granted(midnight + 2 * HOUR, ask_for(2, 50));
    gate.say(midnight + 2 * HOUR, settle_at(1, 90));
    let shown = gate.shown(midnight + 2 * HOUR);
    assert_eq!(gate.spent(midnight + 2 * HOUR), [0, 90, 0, 90]);
    let window = shown.window.unwrap();
    assert_eq!(
        (window.requests, window.used, window.reserved.cost),
        (1, Estimate::default(), 50)
    );
}

#[test]
fn a_clock_set_back_forgives_nothing_and_locks_for_no_more_than_a_period() {
    let mut gate = daily();
    spend(&mut gate, FRIDAY, 100);
    // An hour, a year: what was spent is spent, until that day's end.
    let mut now = FRIDAY;
    for back in [HOUR, 365 * DAY] {
        now -= back;
        let reached = gate.reached(now, ask(1));
        assert_eq!((reached.used, reached.resets_at.unwrap() % DAY), (100, 0));
        assert!(reached.resets_at.unwrap() - now <= DAY);
    }
    gate.granted(now + DAY, ask(1));
}

#[test]
fn a_clock_set_ahead_and_right_again_locks_nobody() {
    let mut gate = gate_with(Limits {
        rate_limit_window_minutes: 60,
        rate_limit_requests: 1,
        money: PerLimit::these([(MoneyLimit::Day, 100)]),
        ..Limits::default()
    });
    spend(&mut gate, FRIDAY, 60);
    let ahead = FRIDAY + 400 * DAY;
    spend(&mut gate, ahead, 100);
    let reached = gate.reached(FRIDAY + 1, ask(1));
    assert_eq!(
        (reached.which, reached.used),
        (Limit::Money(MoneyLimit::Day), 100)
    );
    let window = gate.shown(FRIDAY + 1).window.unwrap();
    assert_eq!((window.start, window.end), (FRIDAY + 1, FRIDAY + 1 + HOUR));
    gate.granted(FRIDAY + 16 * HOUR, ask(1));
}

#[test]
fn a_change_of_the_calendar_keeps_what_was_spent() {
    let mut gate = daily();
    spend(&mut gate, FRIDAY, 100);
    gate.learns(
        FRIDAY,
        Some(KeyPolicy {
            version: 2,
            limits: Limits {
                money: PerLimit::these([(MoneyLimit::Day, 100)]),
                utc_offset_minutes: 8 * 60,
                ..Limits::default()
            },
            ..no_limits()
        }),
    );
    assert_eq!(gate.reached(FRIDAY, ask(1)).resets_at, Some(FRIDAY + 8 * HOUR));
    gate.granted(FRIDAY + 8 * HOUR, ask(1));
}

#[test]
fn a_window_is_as_long_as_the_key_now_says() {
    let of = |version, minutes| KeyPolicy {
        version,
        limits: Limits {
            rate_limit_window_minutes: minutes,
            rate_limit_requests: 1,
            ..Limits::default()
        },
        ..no_limits()
    };
    let mut gate = gate(of(1, 60 * 24 * 30));
    gate.granted(T, ask(1));
    gate.learns(T + HOUR / 2, Some(of(2, 60)));
    assert_eq!(gate.reached(T + HOUR / 2, ask(2)).resets_at, Some(T + HOUR));
    gate.learns(T + HOUR / 2, Some(of(3, 120)));
    assert_eq!(gate.reached(T + HOUR / 2, ask(2)).resets_at, Some(T + 2 * HOUR));
    gate.learns(T + HOUR / 2, Some(of(4, 10)));
    gate.granted(T + HOUR / 2, ask(2));
    gate.learns(T + HOUR / 2, Some(of(5, 0)));
    gate.granted(T + HOUR / 2, ask(3));
    assert_eq!(gate.shown(T + HOUR / 2).window, None);
}

#[test]
fn a_deleted_keys_days_go_on() {
    let mut gate = daily();
    spend(&mut gate, FRIDAY, 30);
    gate.granted(FRIDAY, ask_for(1, 10));
    gate.learns(FRIDAY, None);
    gate.say(FRIDAY, settle_at(1, 10));
    assert_eq!(gate.spent(FRIDAY), [40, 40, 0, 40]);
    assert_eq!(gate.spent(FRIDAY + DAY)[0], 0);
}
